"""Simulated devices on a real Mosquitto with the real depot and the real driver: a rollout that goes well, and one that
must stop. What the driver wrote, the simulation's own driver writes again from its journal.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ports import one_free_port
from toolkit.fleet.broker import start_broker
from toolkit.fleet.simulate.faults import character_of
from toolkit.fleet.simulate.journal import load_journal
from toolkit.fleet.simulate.process import ask_for_files, peak_memory
from toolkit.fleet.simulate.rehearsal import Played, Rules, play, said_of
from toolkit.fleet.simulate.replay import replay, written
from toolkit.fleet.simulate.stage import VERSIONS, FleetPlan, Stage, faults
from toolkit.link.settings import settings_from_url
from toolkit.protocol.waves import order_of
from toolkit.topology.shares import Share

OLD, NEW, BROKEN = VERSIONS


def rehearse(folder: Path, plan: FleetPlan, rules: Rules) -> Played:
    """Play a rehearsal; look at everything that it left, and replay its journal."""
    ask_for_files()
    broker = start_broker(folder / "broker", kind="mosquitto", choose=one_free_port)
    stage = Stage(plan, settings_from_url(broker.url, "test"), folder / "registry")
    try:
        try:
            stage.open()
            played = play(stage, rules)
            serving = {device: said.serving_version for device, said in said_of(stage).items()}
        finally:
            stage.close()
        memory = peak_memory(broker.process.pid)
    finally:
        broker.stop()
    check_rollouts(plan, rules, played, serving)
    check_replay(stage, folder / "journal.jsonl")
    print(f"\n{played}\nbroker's memory: {memory / 2**20:.1f} MiB")
    return played


def check_rollouts(plan: FleetPlan, rules: Rules, played: Played, serving: dict[str, str]) -> None:
    characters = {name: character_of(name, plan.seed, plan.faults) for name in plan.names}
    bad = {name for name, each in characters.items() if NEW in each.refuses}
    canary = rules.course(plan.devices).waves[0].devices
    first, healthy, broken = played.acts
    assert (first.state, first.active) == ("SUCCEEDED", plan.devices)

    assert (healthy.state, healthy.wave) == ("SUCCEEDED", healthy.waves)
    assert (healthy.active, healthy.refused) == (plan.devices - len(bad), len(bad))
    assert healthy.touched == plan.devices
    away = sum(1 for each in characters.values() if each.kind == "offline")
    assert away > 0
    assert played.outages >= away

    assert (broken.state, broken.wave) == ("FAILED", 1)
    first_ones = order_of(f"rehearsal-{BROKEN}", plan.names)[:canary]
    refusing = [name for name in first_ones if BROKEN in characters[name].refuses]
    assert len(refusing) > 0
    assert broken.refused == len(refusing)
    assert broken.touched == canary
    # Whoever never got the healthy version still has the first one, and everybody else is back on the healthy one.
    assert serving == {name: OLD if name in bad else NEW for name in plan.names}
    assert played.good


def check_replay(stage: Stage, file: Path) -> None:
    stage.driver.journal.save(file)
    entries = load_journal(file)
    wrote = written(entries, stage.topics, stage.keyring)
    assert {each.device for each in wrote} == set(stage.plan.names)
    replayed = replay(entries, stage.topics, stage.keyring)
    assert replayed.told == wrote
    assert replayed.progress["rehearsal-1.2.0"].state.value == "FAILED"


@pytest.mark.broker
def test_a_small_fleet(tmp_path):
    rules = Rules(shares=(Share.parse("8"),), soak_seconds=0.2, executed=1.0)
    quick = faults(offline_until=0.5, offline_seconds=1.5, flap_seconds=0.5)
    played = rehearse(tmp_path, FleetPlan(48, seed=29, faults=quick), rules)
    assert played.kinds == {"healthy": 41, "offline": 4, "bad": 2, "flapping": 1}
    # The second version shares most of its bytes with the first, and devices seed from what they have.
    assert played.acts[1].bytes_most < 0.6 * played.acts[0].bytes_most


@pytest.mark.slow
@pytest.mark.broker
def test_a_thousand_devices(tmp_path):
    played = rehearse(tmp_path, FleetPlan(1000, seed=1), Rules(patience_seconds=240))
    assert played.kinds["offline"] > 80
    assert played.kinds["bad"] > 10
    assert played.kinds["flapping"] > 5
