"""What holds of every rollout: hypothesis invents rollouts, fleets that obey or do not, and drivers that die.

A fleet is played by the book: who is told goes through states of its own choice, and some devices come and go.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from tests.toolkit.protocol.test_waves import NEW, OLD
from toolkit.protocol.waves import ENDED, Progress, RolloutState, Step, bounds, step
from toolkit.protocol.waves_tally import REFUSED
from toolkit.wire.report import ModelReport, Served
from toolkit.wire.rollout import Limit, Measured, Pace, Retry, Rollout, RolloutSpec, Wave
from toolkit.wire.states import InstallState

DEVICES = tuple(f"d{number:02}" for number in range(24))
FATES = st.sampled_from(["good"] * 8 + ["bad", "wrong", "slow", "away"])
"""Of a device that is told: takes it; refuses it; takes it and fails requests; is at work for ever; is offline."""


def waves() -> st.SearchStrategy[tuple[Wave, ...]]:
    reach = st.lists(st.integers(1, 23), max_size=4, unique=True)
    return st.builds(
        lambda ends, words: tuple(
            Wave(devices=end, approve=word) for end, word in zip([*sorted(ends), 24], words, strict=False)
        ),
        reach,
        st.lists(st.booleans(), min_size=5, max_size=5),
    )


@st.composite
def rollouts(draw: st.DrawFn) -> Rollout:
    spec = RolloutSpec(
        model="seg", version="2", artifact=NEW, devices=DEVICES, waves=draw(waves()), previous_version="1",
        previous_artifact=OLD, soak_seconds=draw(st.sampled_from([0.0, 30.0])),
        max_failed=draw(st.integers(0, 5)),
        limits=draw(st.sampled_from([(), (Limit(share=0.2, executed=5),)])),
        measured=draw(st.sampled_from([None, Measured(error_rate=0.1, requests=10)])),
        on_failure=draw(st.sampled_from(["stop", "take-back"])),
        success=draw(st.sampled_from([0.0, 0.75])),
        offline_grace_seconds=draw(st.sampled_from([None, 60.0])),
        pace=draw(st.sampled_from([None, Pace(in_flight=3), Pace(per_minute=6.0, growth=2.0, each=3, most=60.0)])),
        retry=draw(st.sampled_from([None, Retry(attempts=2)])),
        deadline_seconds=draw(st.sampled_from([None, 600.0])),
    )  # fmt: skip
    return Rollout(name="seg-2", number=1, seq=1, spec=spec, approved=draw(st.integers(0, 5)))


@dataclass
class Fleet:
    """Devices that do what their fate says, one state a turn."""

    fates: dict[str, str]
    reports: dict[str, ModelReport]

    @property
    def online(self) -> dict[str, bool]:
        return {device: fate != "away" for device, fate in self.fates.items()}

    def obey(self, decided: Step) -> None:
        for device in decided.shall_have:
            if self.online[device]:
                self.reports[device] = self._answer(device, decided.attempts.get(device, 1))
        for device in decided.take_back:
            if device in self.reports and self.online[device]:
                self.reports[device] = said(InstallState.ACTIVE, serving="1", artifact=OLD)

    def _answer(self, device: str, attempt: int) -> ModelReport:
        label = "seg-2" if attempt == 1 else f"seg-2~{attempt}"
        before = self.reports.get(device)
        fate = self.fates[device]
        if before is None or before.artifact != NEW or fate == "slow" or before.rollout != label:
            return said(InstallState.DOWNLOADING, serving="1", rollout=label)
        if fate == "bad":
            return said(InstallState.FAILED, serving="1", rollout=label)
        served = Served(requests=20, failures=20 if fate == "wrong" else 0)
        return replace_served(said(InstallState.ACTIVE, rollout=label), served)


def said(
    state: InstallState, *, serving: str = "2", artifact: str = NEW, rollout: str = "seg-2"
) -> ModelReport:
    return ModelReport(
        model="seg", state=state, version="2", artifact=artifact, serving_version=serving, rollout=rollout
    )


def replace_served(report: ModelReport, served: Served) -> ModelReport:
    return ModelReport(
        **{name: getattr(report, name) for name in report.__struct_fields__ if name != "served"},
        served=served,
    )


def fleets() -> st.SearchStrategy[Fleet]:
    fates = st.lists(FATES, min_size=24, max_size=24)
    return fates.map(lambda each: Fleet(dict(zip(DEVICES, each, strict=True)), {}))


def passed_wave(fleet: Fleet, spec: RolloutSpec, wave: int) -> bool:
    """Whether nobody of a wave's devices is still at work, or enough of them have it, as its rules say."""
    first, reach = bounds(spec, wave)
    own = [(device, fleet.reports.get(device)) for device in spec.devices[first:reach]]
    done = sum(1 for _, said in own if said and said.state is InstallState.ACTIVE and said.artifact == NEW)
    ended = done + sum(1 for _, said in own if said and said.state in REFUSED)
    there = sum(1 for device, _ in own if fleet.online[device] or spec.offline_grace_seconds is None)
    return done >= spec.success * there - 1e-6 if spec.success else ended >= there


@given(rollouts(), fleets(), st.lists(st.sampled_from([1, 20, 61]), min_size=5, max_size=40))
def test_nobody_is_told_before_the_waves_before_have_passed_and_reach_only_grows(
    intent: Rollout, fleet: Fleet, pauses: list[int]
):
    progress, now, told_before, wave_before = Progress(), 0.0, 0, 0
    spec = intent.spec
    for pause in pauses:
        decided = step(intent, fleet.reports, progress, now, online=fleet.online)
        progress = decided.progress
        assert not set(decided.shall_have) & set(decided.take_back)
        assert progress.told >= told_before
        assert progress.wave >= wave_before
        assert progress.told <= bounds(spec, progress.wave)[1], "nobody beyond the running wave"
        assert set(decided.shall_have) <= set(spec.devices[: progress.told])
        for wave in range(wave_before, progress.wave):
            assert passed_wave(fleet, spec, wave), f"wave {wave} had not passed"
            assert not spec.waves[wave + 1].approve or intent.approved > wave + 1
        if any(gate.broken for gate in decided.gates) and progress.state is not RolloutState.SUCCEEDED:
            assert progress.state in ENDED | {RolloutState.ROLLING_BACK}
        if spec.on_failure == "take-back" and progress.state is RolloutState.FAILED:
            assert decided.shall_have == ()
        told_before, wave_before = progress.told, progress.wave
        fleet.obey(decided)
        now += pause


@given(rollouts(), fleets())
def test_a_version_that_everybody_fails_touches_the_first_wave_only(intent: Rollout, fleet: Fleet):
    fleet.fates = {device: "bad" if fate == "good" else fate for device, fate in fleet.fates.items()}
    spec = RolloutSpec(
        **{
            **{name: getattr(intent.spec, name) for name in intent.spec.__struct_fields__},
            "max_failed": 0, "retry": None,
        }
    )  # fmt: skip
    intent = Rollout(name="seg-2", number=1, seq=1, spec=spec, approved=9)
    first = bounds(spec, 0)[1]
    anybody_fails = any(fleet.fates[device] == "bad" for device in DEVICES[:first])
    progress, now = Progress(), 0.0
    for _ in range(80):
        decided = step(intent, fleet.reports, progress, now, online=fleet.online)
        fleet.obey(decided)
        progress, now = decided.progress, now + 20.0
    if anybody_fails:
        assert progress.state in {RolloutState.FAILED, RolloutState.TIMED_OUT}
        assert progress.told <= first
        if spec.on_failure == "take-back":
            assert all(
                said.serving_version == "1" for device, said in fleet.reports.items() if fleet.online[device]
            )


@given(
    rollouts(),
    fleets(),
    st.lists(st.sampled_from([1, 20]), min_size=5, max_size=30),
    st.integers(0, 29),
    st.integers(0, 10**9),
)
def test_a_driver_that_goes_on_from_the_noted_progress_decides_the_same(
    intent: Rollout, fleet: Fleet, pauses: list[int], dies: int, other_clock: int
):
    """Times travel as time that has passed; the next driver's clock stands elsewhere."""
    progress, heir, now = Progress(), None, 0
    for turn, pause in enumerate(pauses):
        decided = step(intent, fleet.reports, progress, now, online=fleet.online)
        if turn == dies:
            heir = moved(decided.progress, other_clock - now)
        elif heir is not None:
            theirs = step(intent, fleet.reports, heir, other_clock, online=fleet.online)
            assert (theirs.shall_have, theirs.take_back, theirs.progress.state) == (
                decided.shall_have, decided.take_back, decided.progress.state
            )  # fmt: skip
            heir = theirs.progress
        progress = decided.progress
        fleet.obey(decided)
        now, other_clock = now + pause, other_clock + pause


def moved(progress: Progress, by: float) -> Progress:
    def there(since: float | None) -> float | None:
        return None if since is None else since + by

    return replace(
        progress, began=there(progress.began), wave_since=there(progress.wave_since),
        soak_since=there(progress.soak_since), at=there(progress.at),
    )  # fmt: skip


@given(rollouts(), fleets())
def test_deciding_twice_in_one_moment_changes_nothing(intent: Rollout, fleet: Fleet):
    progress = Progress()
    for turn in range(12):
        decided = step(intent, fleet.reports, progress, turn * 20.0, online=fleet.online)
        again = step(intent, fleet.reports, decided.progress, turn * 20.0, online=fleet.online)
        assert (again.shall_have, again.take_back, again.attempts) == (
            decided.shall_have, decided.take_back, decided.attempts
        ) or again.progress.wave > decided.progress.wave  # fmt: skip
        progress = decided.progress
        fleet.obey(decided)
