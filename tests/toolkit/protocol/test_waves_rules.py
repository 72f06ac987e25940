"""The rules of a rollout, one by one: limits, measured gates, grace, pace, approval, retries, deadline."""

from __future__ import annotations

import msgspec

from tests.toolkit.protocol.test_waves import ACTIVE, DEVICES, OLD_ACTIVE, REFUSED, rollout, said
from toolkit.protocol.waves import Progress, RolloutState, Step, step
from toolkit.protocol.waves_pace import rate
from toolkit.wire.report import ModelReport, Served
from toolkit.wire.rollout import Limit, Measured, Pace, Query, Retry, Rollout, Wave
from toolkit.wire.states import InstallState

ALL = dict.fromkeys(DEVICES, True)
TWICE = (Wave(devices=5), Wave(devices=10))


def served(requests: int, failures: int = 0, p99: float = 0.01) -> ModelReport:
    report = said(InstallState.ACTIVE)
    figures = Served(requests=requests, failures=failures, p99_seconds=p99)
    return ModelReport(
        model=report.model, state=report.state, version="2", artifact=report.artifact, serving_version="2",
        served=figures,
    )  # fmt: skip


def failed(code: str, *, rollout: str = "seg-2", state: InstallState = InstallState.FAILED) -> ModelReport:
    return ModelReport(
        model="seg", state=state, version="2", artifact=REFUSED.artifact, serving_version="1", code=code,
        rollout=rollout,
    )  # fmt: skip


def later(
    intent: Rollout, decided: Step, reports: dict[str, ModelReport], now: float, **more: object
) -> Step:
    return step(intent, reports, decided.progress, now, **more)


# ---------------------------------------------------------------- limits


def test_a_share_is_judged_on_those_that_have_come_to_an_end_and_not_before_there_are_enough():
    intent = rollout(max_failed=10, waves=TWICE, limits=(Limit(share=0.3, executed=4),))
    one = {DEVICES[0]: REFUSED}
    early = step(intent, one, Progress(), 0.0)
    assert early.progress.state is RolloutState.RUNNING, "1 of 1, and 4 are needed"
    ended = step(intent, {**one, **dict.fromkeys(DEVICES[1:4], ACTIVE)}, Progress(), 0.0)
    assert ended.progress.state is RolloutState.RUNNING, "1 of 4 is 25 %"
    two = step(intent, {**one, DEVICES[1]: REFUSED, **dict.fromkeys(DEVICES[2:4], ACTIVE)}, Progress(), 0.0)
    assert two.progress.state is RolloutState.FAILED
    assert two.progress.why == "refused 50 % of 4 devices, limit 30 %"


def test_a_wave_smaller_than_a_judgement_needs_is_judged_when_it_has_ended():
    intent = rollout(max_failed=10, limits=(Limit(share=0.3, executed=50),))
    assert step(intent, {DEVICES[0]: REFUSED}, Progress(), 0.0).progress.state is RolloutState.RUNNING
    decided = step(intent, {DEVICES[0]: REFUSED, DEVICES[1]: REFUSED}, Progress(), 0.0)
    assert decided.progress.state is RolloutState.FAILED, "the next wave would meet the same"


def test_a_bad_wave_is_not_diluted_by_the_good_ones_before_it():
    intent = rollout(max_failed=10, waves=TWICE, limits=(Limit(share=0.5),))
    reports = {
        **dict.fromkeys(DEVICES[:5], ACTIVE),
        **dict.fromkeys(DEVICES[5:8], REFUSED),
        DEVICES[8]: ACTIVE,
    }
    decided = step(intent, reports, Progress(wave=1), 0.0)
    assert decided.progress.state is RolloutState.FAILED, "3 of 4 of the wave, 3 of 9 in all"


def test_a_device_of_an_earlier_wave_that_falls_back_counts():
    intent = rollout(max_failed=10, waves=TWICE, limits=(Limit(count=0, states=(InstallState.ROLLED_BACK,)),))
    reports = dict.fromkeys(DEVICES[:5], ACTIVE)
    good = step(intent, reports, Progress(), 0.0)
    assert good.progress.wave == 1
    fallen = later(intent, good, {**reports, DEVICES[0]: said(InstallState.ROLLED_BACK, serving="1")}, 1.0)
    assert (fallen.progress.state, fallen.progress.why) == (
        RolloutState.FAILED,
        "ROLLED_BACK 1 of 5 devices, limit 0",
    )


def test_a_code_has_a_limit_of_its_own():
    intent = rollout(max_failed=10, waves=TWICE, limits=(Limit(count=0, codes=("golden-mismatch",)),))
    assert (
        step(intent, {DEVICES[0]: failed("no-space")}, Progress(), 0.0).progress.state is RolloutState.RUNNING
    )
    decided = step(intent, {DEVICES[0]: failed("golden-mismatch")}, Progress(), 0.0)
    assert decided.progress.why == "golden-mismatch 1 of 1 devices, limit 0"


# ---------------------------------------------------------------- what happens then


def test_taking_back_reaches_everybody_who_has_it_and_ends_when_they_are_back():
    intent = rollout(on_failure="take-back", waves=TWICE)
    reports = {**dict.fromkeys(DEVICES[:4], ACTIVE), DEVICES[4]: REFUSED}
    broken = step(intent, reports, Progress(), 0.0, online=ALL)
    assert (broken.progress.state, broken.progress.waiting) == (RolloutState.ROLLING_BACK, 4)
    assert broken.shall_have == ()
    assert set(broken.take_back) == set(DEVICES) - {DEVICES[4]}, "who refused keeps the evidence"
    back = later(
        intent, broken, {**dict.fromkeys(DEVICES[:4], OLD_ACTIVE), DEVICES[4]: REFUSED}, 1.0, online=ALL
    )
    assert (back.progress.state, back.progress.why) == (RolloutState.FAILED, broken.progress.why)


def test_the_verdict_stays_when_the_reports_that_said_so_are_gone():
    intent = rollout(on_failure="take-back", measured=Measured(error_rate=0.01))
    bad = step(intent, dict.fromkeys(DEVICES[:2], served(100, 50)), Progress(), 0.0)
    assert bad.progress.state is RolloutState.ROLLING_BACK
    after = later(intent, bad, dict.fromkeys(DEVICES[:2], OLD_ACTIVE), 9.0)
    assert (after.progress.state, after.shall_have) == (RolloutState.FAILED, ())
    assert later(intent, after, {}, 99.0).progress.state is RolloutState.FAILED


def test_a_device_that_is_offline_goes_back_when_it_returns():
    intent = rollout(on_failure="take-back")
    reports = {DEVICES[0]: REFUSED, DEVICES[1]: ACTIVE}
    decided = step(intent, reports, Progress(), 0.0, online={**ALL, DEVICES[1]: False})
    assert decided.progress.state is RolloutState.FAILED
    assert DEVICES[1] in decided.take_back


# ---------------------------------------------------------------- measured gates


def test_an_error_rate_is_judged_over_the_wave_and_not_on_a_few_requests():
    intent = rollout(waves=TWICE, soak_seconds=60.0, measured=Measured(error_rate=0.01, requests=1000))
    few = step(intent, {DEVICES[0]: served(999, 999)}, Progress(), 0.0)
    assert few.progress.state is RolloutState.RUNNING
    assert str(few.gates[1]) == "error rate 100 % of 999 requests, limit 1 %: judged from 1,000 on"
    good = {device: served(300, 3) for device in DEVICES[:5]}
    calm = step(intent, good, Progress(), 0.0)
    assert (calm.progress.state, str(calm.gates[1])) == (
        RolloutState.SOAKING,
        "error rate 1 % of 1,500 requests, limit 1 %",
    )
    bad = later(intent, calm, {**good, DEVICES[4]: served(301, 4)}, 30.0)
    assert (bad.progress.state, bad.progress.why) == (
        RolloutState.FAILED,
        "error rate 1.07 % of 1,501 requests, limit 1 %",
    )


def test_a_p99_is_weighted_by_requests():
    intent = rollout(waves=TWICE, soak_seconds=60.0, measured=Measured(p99_seconds=0.5))
    reports = {**{device: served(100, p99=0.1) for device in DEVICES[:4]}, DEVICES[4]: served(1, p99=9.0)}
    assert step(intent, reports, Progress(), 0.0).progress.state is RolloutState.SOAKING
    reports[DEVICES[4]] = served(100, p99=9.0)
    decided = step(intent, reports, Progress(), 0.0)
    assert decided.progress.why == "p99 1,880 ms of 500 requests, limit 500 ms"


def test_what_the_old_version_served_judges_nobody():
    intent = rollout(measured=Measured(error_rate=0.01, requests=1))
    old = ModelReport(
        model="seg", state=InstallState.DOWNLOADING, version="2", artifact=ACTIVE.artifact, serving_version="1",
        served=Served(requests=100, failures=100),
    )  # fmt: skip
    not_yet = msgspec.structs.replace(old, state=InstallState.PROBATION)
    decided = step(intent, {DEVICES[0]: old, DEVICES[1]: not_yet, DEVICES[2]: served(9, 9)}, Progress(), 0.0)
    assert (decided.progress.state, decided.gates[1].of) == (RolloutState.RUNNING, 0)


# ---------------------------------------------------------------- success and those who are away


def test_a_wave_may_go_on_when_enough_of_it_have_the_version():
    intent = rollout(waves=TWICE, success=0.8)
    three = step(intent, dict.fromkeys(DEVICES[:3], ACTIVE), Progress(), 0.0)
    assert three.progress.wave == 0
    assert later(intent, three, dict.fromkeys(DEVICES[:4], ACTIVE), 1.0).progress.wave == 1


def test_a_wave_that_can_no_longer_reach_its_share_fails():
    intent = rollout(waves=TWICE, success=0.8, max_failed=10)
    reports = {**dict.fromkeys(DEVICES[:3], ACTIVE), **dict.fromkeys(DEVICES[3:5], REFUSED)}
    told = step(intent, {}, Progress(), 0.0)
    decided = later(intent, told, reports, 1.0)
    assert decided.progress.state is RolloutState.FAILED
    assert decided.progress.why == "3 of 5 devices of wave 1 have it, 4 are needed (80 %)"


def test_offline_devices_hold_a_wave_until_their_grace_is_over_and_get_it_all_the_same():
    intent = rollout(offline_grace_seconds=3600.0)
    online = {**ALL, DEVICES[1]: False}
    reports = {DEVICES[0]: ACTIVE}
    held = step(intent, reports, Progress(), 0.0, online=online)
    assert (held.progress.wave, held.progress.waiting, held.progress.offline) == (0, 1, 1)
    still = later(intent, held, reports, 3599.0, online=online)
    assert still.progress.wave == 0
    gone_on = later(intent, still, reports, 3600.0, online=online)
    assert gone_on.progress.wave == 1
    assert DEVICES[1] in gone_on.shall_have, "its desired state waits for it"
    returned = later(intent, gone_on, {**reports, DEVICES[1]: REFUSED}, 7200.0, online=ALL)
    assert returned.progress.state is RolloutState.FAILED, "while the rollout goes on, its word counts"


def test_a_connected_device_that_says_nothing_holds_its_wave():
    intent = rollout(offline_grace_seconds=10.0)
    told = step(intent, {DEVICES[0]: ACTIVE}, Progress(), 0.0, online=ALL)
    assert later(intent, told, {DEVICES[0]: ACTIVE}, 1e6, online=ALL).progress.wave == 0


def test_a_wave_of_which_nobody_answered_is_never_passed_but_the_last_one_is():
    intent = rollout(offline_grace_seconds=10.0)
    nobody = step(intent, {}, Progress(), 0.0, online={})
    assert later(intent, nobody, {}, 1e6, online={}).progress.wave == 0
    most = dict.fromkeys(DEVICES[:5], ACTIVE)
    last = step(intent, most, Progress(wave=2), 0.0, online={})
    assert later(intent, last, most, 11.0, online={}).progress.state is RolloutState.SUCCEEDED


def test_who_returns_after_the_end_gets_it_and_judges_nobody():
    intent = rollout(offline_grace_seconds=10.0, on_failure="take-back")
    most = dict.fromkeys(DEVICES[:9], ACTIVE)
    online = {**ALL, DEVICES[9]: False}
    done = later(intent, step(intent, most, Progress(), 0.0, online=online), most, 11.0, online=online)
    assert (done.progress.state, done.shall_have) == (RolloutState.SUCCEEDED, DEVICES)
    back = later(intent, done, {**most, DEVICES[9]: REFUSED}, 1e6, online=ALL)
    assert (back.progress.state, back.progress.refused, back.shall_have) == (
        RolloutState.SUCCEEDED,
        1,
        DEVICES,
    )


# ---------------------------------------------------------------- pace


def test_devices_are_told_at_a_pace_that_grows_with_success():
    pace = Pace(per_minute=60.0, most=120.0, growth=2.0, each=2)
    intent = rollout(waves=(Wave(devices=10),), pace=pace)
    decided, told = step(intent, {}, Progress(), 0.0), []
    for second in range(1, 5):
        told.append(len(decided.shall_have))
        decided = later(intent, decided, {}, float(second))
    assert told == [1, 2, 3, 4], "one a second, the first at once"
    reports = dict.fromkeys(DEVICES[:4], ACTIVE)
    assert len(later(intent, decided, reports, 5.0).shall_have) == 7, "2 a second: the ceiling"
    assert [rate(pace, active) for active in (0, 1, 2, 3, 4, 10_000)] == [60, 60, 120, 120, 120, 120]


def test_so_many_are_at_work_and_the_offline_ones_are_not():
    intent = rollout(waves=(Wave(devices=10),), pace=Pace(in_flight=2))
    first = step(intent, {}, Progress(), 0.0, online=ALL)
    assert first.shall_have == DEVICES[:2]
    assert later(intent, first, {}, 1e5, online=ALL).shall_have == DEVICES[:2]
    one = later(intent, first, {DEVICES[0]: ACTIVE}, 1.0, online=ALL)
    assert one.shall_have == DEVICES[:3]
    away = later(intent, one, {DEVICES[0]: ACTIVE}, 2.0, online={**ALL, DEVICES[1]: False})
    assert away.shall_have == DEVICES[:4]


def test_a_pace_that_was_held_up_does_not_catch_up_in_one_burst():
    intent = rollout(waves=(Wave(devices=10),), pace=Pace(per_minute=60.0, in_flight=4))
    decided = step(intent, {}, Progress(), 0.0)
    for second in range(1, 50):
        decided = later(intent, decided, {}, float(second))
    assert decided.shall_have == DEVICES[:4]
    after = later(intent, decided, dict.fromkeys(DEVICES[:4], ACTIVE), 50.0)
    assert len(after.shall_have) == 6, "one second's worth and the one that was due"


def test_a_wave_of_which_some_were_not_told_yet_is_not_done_however_well_it_goes():
    intent = rollout(waves=TWICE, success=0.2, pace=Pace(in_flight=2))
    first = step(intent, {}, Progress(), 0.0)
    second = later(intent, first, dict.fromkeys(DEVICES[:2], ACTIVE), 1.0)
    assert (second.progress.wave, second.progress.told) == (0, 4)


def test_a_driver_that_slept_does_not_catch_up_in_one_burst():
    intent = rollout(waves=(Wave(devices=10),), pace=Pace(per_minute=2.0))
    first = step(intent, {}, Progress(), 0.0)
    assert len(later(intent, first, {}, 86_400.0).shall_have) == 3


# ---------------------------------------------------------------- approval, retries, deadline


def test_a_wave_that_needs_approval_waits_for_it_and_is_watched_meanwhile():
    waves = (Wave(devices=2), Wave(devices=10, approve=True))
    intent = rollout(waves=waves)
    reports = dict.fromkeys(DEVICES[:2], ACTIVE)
    waits = step(intent, reports, Progress(), 0.0)
    assert (waits.progress.state, waits.shall_have) == (RolloutState.AWAITING_APPROVAL, DEVICES[:2])
    assert later(intent, waits, reports, 1e6).shall_have == DEVICES[:2]
    assert later(intent, waits, {**reports, DEVICES[0]: REFUSED}, 5.0).progress.state is RolloutState.FAILED
    assert later(rollout(waves=waves, approved=2), waits, reports, 5.0).shall_have == DEVICES
    first = step(rollout(waves=(Wave(devices=10, approve=True),)), {}, Progress(), 0.0)
    assert (first.progress.state, first.shall_have) == (RolloutState.AWAITING_APPROVAL, ())


def test_a_device_that_failed_is_asked_again_so_many_times():
    intent = rollout(retry=Retry(attempts=3, codes=("no-space",)))
    told = step(intent, {}, Progress(), 0.0)
    again = later(intent, told, {DEVICES[0]: failed("no-space")}, 1.0)
    assert (again.progress.state, dict(again.attempts)) == (RolloutState.RUNNING, {DEVICES[0]: 2})
    at_work = failed("", rollout="seg-2~2", state=InstallState.DOWNLOADING)
    assert dict(later(intent, again, {DEVICES[0]: at_work}, 2.0).attempts) == {DEVICES[0]: 2}
    third = later(intent, again, {DEVICES[0]: failed("no-space", rollout="seg-2~2")}, 3.0)
    assert dict(third.attempts) == {DEVICES[0]: 3}
    over = later(intent, third, {DEVICES[0]: failed("no-space", rollout="seg-2~3")}, 4.0)
    assert (over.progress.state, over.progress.why) == (
        RolloutState.FAILED,
        "refused 1 of 1 devices, limit 0",
    )
    allowed = rollout(retry=Retry(attempts=3), max_failed=1)
    kept = later(allowed, third, {DEVICES[0]: failed("no-space", rollout="seg-2~3")}, 4.0)
    assert dict(kept.attempts) == {DEVICES[0]: 3}, "another name would lift the device's own ban"


def test_who_is_not_asked_again():
    intent = rollout(retry=Retry(attempts=2, codes=("no-space",)), max_failed=5)
    other_code = step(intent, {DEVICES[0]: failed("golden-mismatch")}, Progress(told=2), 0.0)
    assert (dict(other_code.attempts), other_code.progress.refused) == ({}, 1)
    older = step(intent, {DEVICES[0]: failed("no-space", rollout="older~2")}, Progress(told=2), 0.0)
    assert (dict(older.attempts), older.progress.refused) == ({DEVICES[0]: 2}, 0), (
        "attempts of others do not count"
    )


def test_a_deadline_ends_it_as_it_stands_and_names_who_is_missing():
    intent = rollout(deadline_seconds=100.0)
    told = step(intent, {}, Progress(), 1000.0)
    reports = {DEVICES[0]: ACTIVE}
    assert later(intent, told, reports, 1099.0).progress.state is RolloutState.RUNNING
    late = later(intent, told, reports, 1100.0)
    assert late.progress.state is RolloutState.TIMED_OUT
    assert (late.shall_have, set(late.take_back)) == ((DEVICES[0],), set(DEVICES[1:]))
    assert late.progress.why.startswith("9 of 10 devices do not have it after 100 s: endo-01, endo-02")
    assert later(intent, late, dict.fromkeys(DEVICES, ACTIVE), 1e6).progress.state is RolloutState.TIMED_OUT


def test_a_pause_stops_the_time_of_the_deadline_and_of_the_grace():
    intent, paused = rollout(deadline_seconds=100.0), rollout(deadline_seconds=100.0, action="pause")
    told = step(intent, {}, Progress(), 0.0)
    held = later(paused, told, {}, 90.0)
    held = later(paused, held, {}, 5000.0)
    assert later(intent, held, {}, 5090.0).progress.state is RolloutState.RUNNING
    assert later(intent, held, {}, 5100.0).progress.state is RolloutState.TIMED_OUT


def test_a_clock_that_goes_back_ends_nothing_early_and_not_much_later():
    intent = rollout(deadline_seconds=100.0)
    told = later(intent, step(intent, {}, Progress(), 1e9), {}, 1e9 + 60)
    back = later(intent, told, {}, 5.0)
    assert later(intent, back, {}, 44.0).progress.state is RolloutState.RUNNING
    assert later(intent, back, {}, 45.0).progress.state is RolloutState.TIMED_OUT


# ---------------------------------------------------------------- figures of Prometheus
DROP = Query(name="dice-drop", promql="avg(edge_dice_drop)", above=0.02)


def test_no_wave_ends_while_a_figure_is_not_known():
    intent, reports = rollout(waves=TWICE, queries=(DROP,)), dict.fromkeys(DEVICES, ACTIVE)
    blind = step(intent, reports, Progress(), 0.0)
    assert (blind.progress.state, blind.progress.wave) == (RolloutState.SOAKING, 0)
    assert str(blind.gates[-1]) == "query-dice-drop: no figure of Prometheus yet, limit 0.02"
    other = later(intent, blind, reports, 9.0, figures={"another": 0.0})
    assert other.progress.wave == 0
    known = later(intent, other, reports, 10.0, figures={"dice-drop": 0.02})
    assert known.progress.state is RolloutState.SUCCEEDED
    assert not any(gate.broken for gate in known.gates), "the limit itself is still good"


def test_a_figure_above_its_limit_fails_the_rollout_and_says_so():
    intent, reports = rollout(waves=TWICE, queries=(DROP,)), {DEVICES[0]: ACTIVE}
    decided = step(intent, reports, Progress(), 0.0, figures={"dice-drop": 0.0201})
    assert decided.progress.state is RolloutState.FAILED
    assert decided.progress.why == "query-dice-drop: 0.0201, limit 0.02"
    gone = later(intent, decided, reports, 1.0)
    assert gone.progress.state is RolloutState.FAILED, "a verdict stays when the figure is gone"
