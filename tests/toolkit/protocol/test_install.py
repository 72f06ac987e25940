"""The install table: complete, without dead ends, resuming after a crash at any point, and keeping its bans."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from toolkit.protocol.install import IGNORED, TABLE, needs, step
from toolkit.protocol.installation import (
    MAX_RESTARTS,
    MAX_TRIES,
    Action,
    Event,
    Given,
    Installation,
    Offer,
    Offered,
    Outcome,
    Restarted,
    Rules,
    Serving,
    Struck,
    Tick,
    Withdrawn,
)
from toolkit.wire.digest import Digest, digest_of
from toolkit.wire.document import decode_json, encode_json
from toolkit.wire.states import FINISHED, InstallState

S = InstallState


def artifact(name: str) -> Digest:
    return digest_of(name.encode())


def offer(version: str, rollout: str = "r1") -> Offered:
    return Offered(Offer(version=version, artifact=artifact(version), rollout=rollout))


ENDS: dict[Action, Event] = {
    Action.CHECK_OFFER: Event.ACCEPT,
    Action.AWAIT_WINDOW: Event.WINDOW,
    Action.SEED: Event.SEEDED,
    Action.DOWNLOAD: Event.DOWNLOADED,
    Action.ASSEMBLE: Event.VERIFIED,
    Action.CHECK_GOLDEN: Event.PASSED,
    Action.PREPARE: Event.PREPARED,
}
"""How each action ends when all is well."""


class Device:
    """A device in which every action succeeds at once, unless told otherwise; it notes each state it is in."""

    def __init__(self, held: Installation | None = None) -> None:
        self.held = held or Installation(model="m")
        self.now = 0.0
        self.todo: list[Action] = []
        self.done: list[Action] = []
        self.states = [self.held.state]
        self.fails: dict[Action, Outcome] = {}

    def give(self, given: Given) -> None:
        self.held, actions = step(self.held, given, self.now)
        # What is saved must be readable again, or a restart would lose it.
        self.held = decode_json(encode_json(self.held), Installation, what="installation")
        if self.held.state is not self.states[-1]:
            self.states.append(self.held.state)
        if Action.STOP in actions:
            self.todo.clear()
        self.todo.extend(actions)

    def do_one(self) -> None:
        action = self.todo.pop(0)
        self.done.append(action)
        if action is Action.SERVE:
            first = self.held.shall_serve
            self.give(Serving(first.artifact if first else ""))
        elif action in self.fails:
            ending = self.fails[action]
            self.give(Outcome(self.held.attempt, ending.event, ending.code, ending.reason))
        elif action in ENDS:
            self.give(Outcome(self.held.attempt, ENDS[action], counter=int(self.version()[1:]), floor=1))

    def version(self) -> str:
        return self.held.offer.version if self.held.offer else "v0"

    def run(self) -> None:
        while self.todo:
            self.do_one()
        self.give(Tick())
        while self.todo:
            self.do_one()

    def crash(self) -> None:
        self.todo.clear()
        self.give(Restarted())


def installed(*versions: str) -> Device:
    device = Device()
    for version in versions:
        device.give(offer(version))
        device.run()
    assert device.held.state is S.ACTIVE
    return device


def failing(action: Action, code: str, event: Event = Event.FAIL) -> dict[Action, Outcome]:
    return {action: Outcome(0, event, code, "because")}


def test_every_pair_is_in_the_table_or_ignored_and_none_is_both() -> None:
    pairs = {(state, event) for state in InstallState for event in Event}
    assert set(TABLE) | IGNORED == pairs
    assert not set(TABLE) & IGNORED


def test_a_healthy_installation_passes_every_state_in_order() -> None:
    device = Device()
    device.give(offer("v1"))
    device.run()
    assert device.states == [
        S.IDLE,
        S.OFFERED,
        S.WAITING_WINDOW,
        S.SEEDING,
        S.DOWNLOADING,
        S.VERIFYING,
        S.STAGED,
        S.ACTIVATING,
        S.PROBATION,
        S.ACTIVE,
    ]
    assert device.held.serving == artifact("v1")
    assert device.held.floor == 1


def test_there_is_no_dead_end() -> None:
    """From every state some path of arrows leads to a finished one."""
    arrows: dict[InstallState, set[InstallState]] = {state: set() for state in InstallState}
    for (state, _), arrow in TABLE.items():
        arrows[state].add(arrow.to)
    for start in InstallState:
        seen, edge = {start}, {start}
        while edge:
            edge = {to for state in edge for to in arrows[state]} - seen
            seen |= edge
        assert seen & FINISHED, start
        assert S.OFFERED in seen, f"{start} never takes an offer again"


@pytest.mark.parametrize("crash_after", range(1, 12))
@pytest.mark.parametrize("base", [(), ("v1",)])
def test_a_crash_before_or_after_any_action_is_resumed(crash_after: int, base: Sequence[str]) -> None:
    """The daemon dies after `crash_after` actions, with the next one begun or not; the new one ends ACTIVE."""
    device = installed(*base) if base else Device()
    device.give(offer("v2"))
    for _ in range(crash_after):
        if device.todo:
            device.do_one()
    where = device.held.state
    device.crash()
    if where not in FINISHED | {S.PROBATION}:
        assert device.held.state is where
        assert device.todo[0] is Action.SERVE, "what served before the crash must serve at once"
        assert device.todo[-1] in ENDS, f"{where} does not take up its work again"
    device.run()
    assert device.held.state is S.ACTIVE
    assert device.held.serving == artifact("v2")


@pytest.mark.parametrize(
    ("action", "code", "event", "state"),
    [
        (Action.CHECK_OFFER, "bad-seal", Event.REFUSE, S.REJECTED),
        (Action.DOWNLOAD, "chunk-damaged", Event.FAIL, S.FAILED),
        (Action.CHECK_GOLDEN, "golden-mismatch", Event.FAIL, S.FAILED),
        (Action.PREPARE, "load-failed", Event.FAIL, S.FAILED),
    ],
)
def test_a_refused_version_is_not_tried_again_for_the_same_rollout(
    action: Action, code: str, event: Event, state: InstallState
) -> None:
    device = installed("v1")
    device.fails = failing(action, code, event)
    device.give(offer("v2"))
    device.run()
    assert (device.held.state, device.held.code, device.held.serving) == (state, code, artifact("v1"))

    tried = device.done.count(action)
    device.give(offer("v2"))
    device.crash()
    device.run()
    assert device.done.count(action) == tried
    # Another version in between does not make it forget.
    device.fails = {}
    device.give(offer("v3"))
    device.run()
    device.give(offer("v2"))
    device.run()
    assert (device.held.state, device.held.code) == (S.REJECTED, "banned")
    assert device.held.serving == artifact("v3")
    # A new rollout is a new decision of a person.
    device.give(offer("v2", rollout="r2"))
    device.run()
    assert (device.held.state, device.held.serving) == (S.ACTIVE, artifact("v2"))


def test_a_failure_that_time_may_cure_is_tried_again_with_growing_pauses_and_then_banned() -> None:
    device = installed("v1")
    device.fails = failing(Action.CHECK_OFFER, "no-space", Event.REFUSE)
    device.give(offer("v2"))
    pauses = []
    for _ in range(MAX_TRIES):
        device.run()
        assert device.held.state is S.REJECTED
        pauses.append(max(device.held.retry_at - device.now, 0))
        device.now = max(device.held.retry_at, device.now)
        device.give(Tick())
    assert pauses == [30.0, 60.0, 0]
    assert device.held.state is S.REJECTED
    assert not device.todo


def test_an_outcome_of_an_earlier_attempt_changes_nothing() -> None:
    device = Device()
    device.give(offer("v1"))
    late = Outcome(device.held.attempt, Event.ACCEPT)
    device.give(offer("v2"))
    before = device.held
    device.give(late)
    assert device.held == before


def test_a_new_offer_takes_the_place_of_unfinished_work() -> None:
    device = installed("v1")
    device.give(offer("v2"))
    for _ in range(4):
        device.do_one()
    device.give(offer("v3"))
    assert device.held.state is S.OFFERED
    device.run()
    assert device.held.serving == artifact("v3")
    assert [each.version for each in device.held.good] == ["v3", "v1"]


@pytest.mark.parametrize(("steps", "state"), [(1, S.CANCELLED), (100, S.IDLE)])
def test_a_withdrawn_model_is_served_no_more_and_comes_back_without_being_fetched(
    steps: int, state: InstallState
) -> None:
    device = installed("v1")
    device.give(offer("v2"))
    for _ in range(steps):
        if device.todo:
            device.do_one()
    device.give(Withdrawn())
    device.run()
    assert (device.held.state, device.held.serving) == (state, "")
    device.crash()
    device.run()
    assert (device.held.state, device.held.serving) == (state, ""), "nor after a restart"

    device.done.clear()
    device.give(offer("v1", rollout="again"))
    device.run()
    assert (device.held.state, device.held.serving) == (S.ACTIVE, artifact("v1"))
    assert Action.DOWNLOAD not in device.done
    device.give(Withdrawn())
    device.give(offer("v1", rollout="again"))
    device.run()
    assert device.held.serving == artifact("v1")


def test_withdrawing_does_not_lift_a_ban() -> None:
    device = installed("v1")
    device.fails = failing(Action.CHECK_GOLDEN, "golden-mismatch")
    device.give(offer("v2"))
    device.run()
    device.give(Withdrawn())
    device.give(offer("v2"))
    assert (device.held.state, device.held.code) == (S.REJECTED, "banned")


def test_the_same_artifact_for_another_rollout_keeps_its_state_and_takes_the_name() -> None:
    device = installed("v1")
    done = len(device.done)
    device.give(offer("v1", rollout="r2"))
    assert device.held.state is S.ACTIVE
    assert device.held.offer is not None
    assert (device.held.offer.rollout, device.held.good[0].rollout) == ("r2", "r2")
    assert len(device.done) == done


def test_an_operator_may_go_back_and_nothing_is_fetched_for_it() -> None:
    device = installed("v1", "v2")
    device.done.clear()
    device.give(offer("v1", rollout="back"))
    device.run()
    assert device.held.serving == artifact("v1")
    assert Action.DOWNLOAD not in device.done
    assert Action.CHECK_GOLDEN in device.done


def test_damaged_stored_chunks_are_fetched_again_but_not_for_ever() -> None:
    device = installed("v1")
    device.fails = {Action.ASSEMBLE: Outcome(0, Event.CHUNKS_LOST)}
    device.give(offer("v2"))
    device.run()
    assert device.done.count(Action.ASSEMBLE) == 1 + 3
    assert (device.held.state, device.held.code) == (S.FAILED, "disk-damaged")


def test_probation_ends_by_time_and_only_while_the_version_serves() -> None:
    held, now, rules = Installation(model="m"), 100.0, Rules(probation_seconds=60)
    for given in (
        offer("v1"),
        *(Outcome(1, event, counter=1) for event in list(ENDS.values())),
    ):
        held, _ = step(held, given, now, rules)
    assert (held.state, held.probation_until) == (S.PROBATION, 160.0)
    held, _ = step(held, Tick(), 161.0, rules)
    assert held.state is S.PROBATION, "it does not serve yet"
    held, _ = step(held, Serving(artifact("v1")), 161.0, rules)
    held, _ = step(held, Tick(), 161.0, rules)
    assert held.state is S.ACTIVE


def test_three_failed_inferences_in_probation_roll_back_and_ban() -> None:
    device = installed("v1")
    device.give(offer("v2"))
    while device.held.state is not S.PROBATION:
        device.do_one()
    for _ in range(3):
        device.give(Struck(artifact("v2"), "it failed"))
    device.run()
    assert (device.held.state, device.held.code) == (S.ROLLED_BACK, "unhealthy")
    assert device.held.serving == artifact("v1")
    device.give(offer("v2"))
    assert device.held.state is S.ROLLED_BACK


def test_after_three_starts_in_which_it_did_not_come_up_the_previous_version_serves() -> None:
    device = installed("v1", "v2")
    for _ in range(MAX_RESTARTS):
        device.crash()  # it dies while loading: `Serving` never comes
        assert device.held.good[0].version == "v2"
    device.crash()
    device.run()
    assert (device.held.state, device.held.code) == (S.ROLLED_BACK, "boot-loop")
    assert device.held.serving == artifact("v1")


def test_starts_that_succeed_are_not_counted() -> None:
    device = installed("v1", "v2")
    for _ in range(3 * MAX_RESTARTS):
        device.crash()
        device.run()
    assert device.held.serving == artifact("v2")


def test_a_version_that_takes_the_daemon_down_while_it_is_loaded_fails() -> None:
    device = installed("v1")
    device.give(offer("v2"))
    while device.held.state is not S.ACTIVATING:
        device.do_one()
    for _ in range(MAX_RESTARTS + 1):
        device.crash()
        device.do_one()  # v1 serves; then loading v2 kills us again
    device.run()
    assert (device.held.state, device.held.code) == (S.FAILED, "crash-loop")
    assert device.held.serving == artifact("v1")


def test_the_only_version_is_loaded_again_later_instead_of_being_given_up() -> None:
    device = installed("v1")
    device.give(Struck(artifact("v1"), "no memory", fatal=True))
    assert device.held.state is S.ACTIVE
    device.now += 31
    device.give(Tick())
    assert device.todo == [Action.SERVE]


def test_two_good_versions_stay_on_the_disk_and_the_refused_one_goes() -> None:
    device = installed("v1", "v2", "v3")
    assert needs(device.held).versions == {artifact("v3"), artifact("v2")}
    device.fails = failing(Action.CHECK_GOLDEN, "golden-mismatch")
    device.give(offer("v4"))
    device.run()
    assert needs(device.held).versions == {artifact("v3"), artifact("v2")}
    assert not needs(device.held).parts


def test_the_part_file_is_kept_for_exactly_as_long_as_it_is_of_use() -> None:
    device = installed("v1")
    device.give(offer("v2"))
    while device.held.state is not S.ACTIVE:
        early = device.held.state in {S.OFFERED, S.WAITING_WINDOW, S.SEEDING, S.DOWNLOADING, S.VERIFYING}
        assert (artifact("v2") in needs(device.held).parts) == early, device.held.state
        assert artifact("v1") in needs(device.held).versions
        if not device.todo:
            device.give(Tick())
        else:
            device.do_one()


happenings = st.one_of(
    st.builds(offer, st.sampled_from(["v1", "v2", "v3"]), st.sampled_from(["r1", "r2"])),
    st.builds(Withdrawn),
    st.builds(Restarted),
    st.builds(Tick),
    st.builds(Serving, st.sampled_from([artifact("v1"), artifact("v2"), ""])),
    st.builds(Struck, st.sampled_from([artifact("v1"), artifact("v2")]), st.just("x"), st.booleans()),
    st.builds(
        Outcome,
        st.integers(1, 6),
        st.sampled_from([*ENDS.values(), Event.FAIL, Event.REFUSE, Event.CHUNKS_LOST]),
        st.sampled_from(["no-space", "golden-mismatch"]),
    ),
)


@drawn(st.lists(happenings, max_size=40))
@settings(max_examples=300, deadline=None)
def test_after_any_history_a_new_rollout_reaches_active_and_what_is_good_stays(history: list[Given]) -> None:
    device = Device()
    for number, given in enumerate(history):
        device.now = float(number * 10)
        present = isinstance(given, Outcome)
        device.give(Outcome(device.held.attempt, given.event, given.code) if present else given)
        held = device.held
        assert len({each.artifact for each in held.good}) == len(held.good)
        assert {each.artifact for each in held.good[:2]} <= needs(held).versions
    device.crash()
    device.run()
    device.give(offer("v9", rollout="last"))
    device.run()
    assert device.held.state is S.ACTIVE
    assert device.held.serving == artifact("v9")
