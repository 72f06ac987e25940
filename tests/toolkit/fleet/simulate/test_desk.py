"""A desk asks about few devices and must say what asking about all of them says, as `fleet.steer` does at each look."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from tests.toolkit.fleet.pretend import NEW, OLD, entry, intent
from toolkit.fleet.simulate.desk import Desk, Models
from toolkit.fleet.wanted import changed, leading, reports_of
from toolkit.protocol.waves import Progress, step
from toolkit.wire.report import ModelReport, Report
from toolkit.wire.rollout import Limit, Retry, Rollout, Wave
from toolkit.wire.states import InstallState

DEVICES = tuple(f"device-{number:02}" for number in range(40))
WAVES = tuple(Wave(devices=each) for each in (4, 15, 40))


class AskAboutAll:
    """What `steer` does, written out: every leading rollout, every device, every time."""

    def __init__(self) -> None:
        self.rollouts: dict[str, Rollout] = {}
        self.reports: dict[str, Report] = {}
        self.online: dict[str, bool] = {}
        self.progress: dict[str, Progress] = {}
        self.desired: dict[str, Models] = {}

    def look(self, now: float, most: int) -> list[tuple[str, Models]]:
        wanted: dict[str, Models] = {}
        for rollout in leading(self.rollouts.values()).values():
            before = self.progress.get(rollout.name, Progress())
            said = reports_of(rollout, self.reports)
            decided = step(rollout, said, before, now, online=self.online)
            self.progress[rollout.name] = decided.progress
            for device in (*rollout.spec.devices, *rollout.spec.followers):
                models = wanted.get(device, self.desired.get(device, ()))
                wanted[device] = changed(models, rollout, decided, device)
        due = [(each, models) for each, models in wanted.items() if models != self.desired.get(each, ())][
            :most
        ]
        self.desired.update(due)
        return due


def said(dice: random.Random, device: str, models: Models, seq: int) -> Report:
    """What a device may say: of what it was told, of something older, refusing now and then."""
    told = next((each for each in models if each.model == "digits"), entry())
    refused = dice.random() < 0.05
    done = dice.random() < 0.7
    state = InstallState.FAILED if refused else InstallState.ACTIVE if done else InstallState.DOWNLOADING
    report = ModelReport(
        model="digits",
        state=state,
        version=told.version,
        artifact=told.artifact,
        rollout=told.rollout,
        serving_version=told.version if state is InstallState.ACTIVE else "1",
        code="golden-mismatch" if refused else "",
    )
    return Report(device=device, seq=seq, models=(report,))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("most", [3, 1000])
def test_it_writes_what_asking_about_all_of_them_writes(seed, most):
    dice = random.Random(seed)
    desk, peer = Desk(writes_per_look=most), AskAboutAll()
    spec = {
        "waves": WAVES,
        "soak_seconds": 2.0,
        "max_failed": 40,
        "limits": (Limit(share=0.3, executed=4),),
        "on_failure": dice.choice(["stop", "take-back"]),
        "offline_grace_seconds": dice.choice([None, 5.0]),
        "retry": dice.choice([None, Retry(attempts=2)]),
        "followers": ("service-a",),
    }
    second = intent(
        "digits-3", DEVICES, number=2, version="3", previous_version="2", previous_artifact=NEW, **spec
    )
    second = replace(second, spec=replace(second.spec, artifact=OLD[::-1]))
    rollouts = [intent("digits-2", DEVICES, **spec), second]
    actions = ["run", "run", "pause", "run", dice.choice(["run", "abort", "rollback"])]
    written = 0
    for now in range(120):
        if now in {0, 60}:
            rollout = rollouts[now // 60]
        if now % 12 == 0:
            rollout = replace(rollout, seq=now + 1, action=actions[now // 12 % 5])
            for each in (desk, peer):
                each.take_rollout(rollout) if isinstance(each, Desk) else each.rollouts.update(
                    {rollout.name: rollout}
                )
        for device in dice.sample(DEVICES, 12):
            if dice.random() < 0.3:
                online = dice.random() < 0.8
                desk.take_presence(device, online=online)
                peer.online[device] = online
            if device in peer.desired:
                report = said(dice, device, peer.desired[device], now)
                desk.take_report(report)
                peer.reports[device] = report
        wrote = [(each.device, each.models) for each in desk.look(float(now))]
        assert wrote == peer.look(float(now), most), now
        written += len(wrote)
    assert written > 10
    assert desk.desired == peer.desired


def test_a_cleared_rollout_asks_for_nothing_more():
    desk = Desk()
    desk.take_rollout(intent(devices=DEVICES, waves=WAVES))
    assert [each.device for each in desk.look(0.0)] == list(intent(devices=DEVICES).spec.devices[:4])
    desk.drop_rollout("digits-2")
    assert desk.look(1.0) == []
    assert desk.progress == {}


def test_a_report_from_before_counts_for_a_rollout_that_comes_later():
    desk = Desk()
    first = intent(devices=DEVICES, waves=WAVES)
    has = ModelReport(
        model="digits", state=InstallState.ACTIVE, version="2", artifact=NEW, serving_version="2"
    )
    for device in first.spec.devices[:4]:
        desk.take_report(Report(device=device, seq=1, models=(has,)))
        desk.take_presence(device, online=True)
    desk.take_rollout(first)
    assert len(desk.look(0.0)) == 15  # the canary is done, so the second wave is told at once
    desk.drop_report(first.spec.devices[0])
    desk.look(1.0)
    assert desk.progress["digits-2"].active == 3


def test_followers_are_told_when_all_devices_have_it():
    desk = Desk()
    rollout = intent(devices=DEVICES[:2], waves=(Wave(devices=2),), followers=("service-a",))
    desk.take_rollout(rollout)
    assert {each.device for each in desk.look(0.0)} == set(DEVICES[:2])
    has = ModelReport(
        model="digits", state=InstallState.ACTIVE, version="2", artifact=NEW, serving_version="2"
    )
    for device in DEVICES[:2]:
        desk.take_presence(device, online=True)
        desk.take_report(Report(device=device, seq=1, models=(has,)))
    assert [each.device for each in desk.look(1.0)] == ["service-a"]
