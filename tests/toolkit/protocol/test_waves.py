"""Waves: the canary goes first, a refusal stops the rest, and the answer is rebuilt from reports alone."""

from __future__ import annotations

from dataclasses import replace as with_changes

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from toolkit.protocol.waves import ENDED, Progress, RolloutState, order_of, step
from toolkit.wire.digest import digest_of
from toolkit.wire.report import ModelReport
from toolkit.wire.rollout import Rollout, RolloutSpec, Wave
from toolkit.wire.states import InstallState

DEVICES = tuple(f"endo-{number:02}" for number in range(10))
NEW = digest_of(b"new")
OLD = digest_of(b"old")


def rollout(**changes: object) -> Rollout:
    spec = RolloutSpec(
        model="seg",
        version="2",
        artifact=NEW,
        devices=DEVICES,
        waves=(Wave(devices=2), Wave(devices=5), Wave(devices=10)),
        previous_version="1",
        previous_artifact=OLD,
    )
    intent = Rollout(name="seg-2", number=2, seq=1, spec=spec)
    for name, value in changes.items():
        if name in {"action", "approved"}:
            intent = msgspec.structs.replace(intent, **{name: value})
        else:
            intent = msgspec.structs.replace(
                intent, spec=msgspec.structs.replace(intent.spec, **{name: value})
            )
    return intent


def said(state: InstallState, *, artifact: str = NEW, serving: str = "2") -> ModelReport:
    return ModelReport(model="seg", state=state, version="2", artifact=artifact, serving_version=serving)


ACTIVE = said(InstallState.ACTIVE)
OLD_ACTIVE = said(InstallState.ACTIVE, artifact=OLD, serving="1")
REFUSED = said(InstallState.FAILED, serving="1")


def test_only_the_canary_is_told_first_even_when_nobody_ever_reported():
    decided = step(rollout(), {}, Progress(), 0.0)
    assert decided.shall_have == DEVICES[:2]
    assert decided.progress == Progress(
        RolloutState.RUNNING, 0, None, 0, 0, 2, told=2, began=0.0, wave_since=0.0, at=0.0
    )


def test_a_wave_begins_when_the_one_before_is_active_and_has_soaked():
    intent = rollout(soak_seconds=60.0)
    reports = dict.fromkeys(DEVICES[:2], ACTIVE)
    soaking = step(intent, reports, Progress(), 100.0)
    assert (soaking.progress.state, soaking.shall_have) == (RolloutState.SOAKING, DEVICES[:2])
    still = step(intent, reports, soaking.progress, 159.9)
    assert still.progress.state is RolloutState.SOAKING
    next_wave = step(intent, reports, still.progress, 160.0)
    assert (next_wave.progress.wave, next_wave.shall_have) == (1, DEVICES[:5])


def test_a_device_that_falls_back_while_soaking_starts_the_soak_again():
    intent = rollout(soak_seconds=60.0)
    soaking = step(intent, dict.fromkeys(DEVICES[:2], ACTIVE), Progress(), 0.0)
    fallen = step(
        intent, {DEVICES[0]: ACTIVE, DEVICES[1]: said(InstallState.PROBATION)}, soaking.progress, 30.0
    )
    assert (fallen.progress.state, fallen.progress.soak_since) == (RolloutState.RUNNING, None)


def test_a_refusal_stops_the_rollout_and_spares_those_who_have_not_got_it_yet():
    reports = {DEVICES[0]: REFUSED, DEVICES[1]: ACTIVE, DEVICES[2]: OLD_ACTIVE}
    decided = step(rollout(), reports, Progress(), 0.0)
    assert decided.progress.state is RolloutState.FAILED
    assert decided.shall_have == (DEVICES[1],)
    assert DEVICES[0] not in decided.take_back, "its report is the evidence"
    assert set(decided.take_back) == set(DEVICES[2:])


def test_allowed_refusals_do_not_stop_it():
    reports = {DEVICES[0]: REFUSED, DEVICES[1]: ACTIVE}
    decided = step(rollout(max_failed=1), reports, Progress(), 0.0)
    assert (decided.progress.wave, decided.shall_have) == (1, DEVICES[:5])


def test_the_refusal_of_another_version_does_not_count():
    other = said(InstallState.FAILED, artifact=digest_of(b"third"), serving="1")
    decided = step(rollout(), {DEVICES[0]: other, DEVICES[1]: ACTIVE}, Progress(), 0.0)
    assert decided.progress.state is RolloutState.RUNNING


def test_pause_holds_abort_spares_rollback_takes_all_back():
    reports = {DEVICES[0]: ACTIVE}
    assert step(rollout(action="pause"), reports, Progress(), 0.0).shall_have == (), "nobody new is told"
    paused = step(rollout(action="pause"), reports, Progress(told=2), 0.0)
    assert (paused.progress.state, paused.shall_have, paused.take_back) == (
        RolloutState.PAUSED,
        DEVICES[:2],
        (),
    )
    aborted = step(rollout(action="abort"), reports, Progress(), 0.0)
    assert (aborted.shall_have, set(aborted.take_back)) == ((DEVICES[0],), set(DEVICES[1:]))
    rolling = step(rollout(action="rollback"), reports, Progress(), 0.0)
    assert (rolling.progress.state, rolling.take_back) == (RolloutState.ROLLING_BACK, DEVICES)
    back = step(rollout(action="rollback"), {DEVICES[0]: OLD_ACTIVE}, Progress(), 0.0)
    assert back.progress.state is RolloutState.ROLLED_BACK


@given(st.lists(st.sampled_from(DEVICES), min_size=1, unique=True), st.text("abc-", min_size=1, max_size=8))
def test_the_order_is_a_stable_permutation(devices: list[str], name: str):
    ordered = order_of(name, tuple(devices))
    assert sorted(ordered) == sorted(devices)
    assert ordered == order_of(name, tuple(reversed(devices)))


@given(
    st.dictionaries(
        st.sampled_from(DEVICES),
        st.builds(
            said,
            st.sampled_from(list(InstallState)),
            artifact=st.sampled_from([NEW, OLD]),
            serving=st.sampled_from(["", "1", "2"]),
        ),
    ),
    st.sampled_from(["run", "pause", "abort", "rollback"]),
    st.integers(0, 2),
    st.integers(0, 3),
)
def test_whatever_is_reported_nobody_is_told_two_things_and_a_new_driver_agrees(
    reports, action, wave, allowed
):
    intent = rollout(action=action, max_failed=allowed)
    decided = step(intent, reports, Progress(wave=wave), 5.0)
    assert not set(decided.shall_have) & set(decided.take_back)
    if decided.progress.state in ENDED:
        again = step(intent, reports, with_changes(decided.progress, soak_since=None), 99.0)
        assert (again.progress.state, again.shall_have, again.take_back) == (
            decided.progress.state,
            decided.shall_have,
            decided.take_back,
        )


def test_devices_that_always_obey_bring_it_to_an_end():
    intent, reports, progress = rollout(), dict.fromkeys(DEVICES, OLD_ACTIVE), Progress()
    waves_seen = []
    for second in range(10):
        decided = step(intent, reports, progress, float(second))
        waves_seen.append(len(decided.shall_have))
        reports = {**reports, **dict.fromkeys(decided.shall_have, ACTIVE)}
        progress = decided.progress
    assert progress.state is RolloutState.SUCCEEDED
    assert waves_seen[:3] == [2, 5, 10]
