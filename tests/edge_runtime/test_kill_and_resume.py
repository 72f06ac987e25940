"""SIGKILL in every state of an installation of 32 MiB: nothing that was stored is sent again, and it becomes active."""

from __future__ import annotations

import random

import pytest

from edge_runtime.store import Store
from toolkit.wire.states import InstallState

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]

MIB = 1024 * 1024
OLD = random.Random(1).randbytes(12 * MIB)
NEW = OLD[: 8 * MIB] + random.Random(2).randbytes(24 * MIB)


def on_disk(device, made) -> tuple[InstallState, set[int]]:
    """Read what the killed daemon has saved: the state, and the chunks that its bitmap has."""
    store = Store(device.state / "edge.sqlite")
    try:
        (held,) = store.installations().values()
        bitmap = store.bitmap(made.artifact, len(made.chunks))
    finally:
        store.close()
    return held.state, {number for number in range(len(made.chunks)) if number in bitmap}


class Kills:
    """Kills a daemon, remembers what it had stored at each kill, and prints the state."""

    def __init__(self, device, depot, made) -> None:
        self.device, self.depot, self.made = device, depot, made
        self.kills: list[tuple[str, set[int], int]] = []

    def kill(self) -> InstallState:
        self.device.kill()
        state, stored = on_disk(self.device, self.made)
        sent = len(self.depot.chunks_sent(self.made))
        self.kills.append((state.value, stored, sent))
        print(f"killed in {state.value}: {len(stored)} of {len(self.made.chunks)} chunks stored, {sent} sent")
        return state

    def kill_at(self, point: str) -> None:
        """Start, wait until the daemon stops at the point, and kill it there."""
        self.device.start("--hold", point)
        assert self.device.held() == point
        assert self.kill().value == point.partition(":")[0]

    def assert_nothing_stored_was_sent_again(self) -> None:
        sent = self.depot.chunks_sent(self.made)
        for state, stored, sent_before in self.kills:
            again = stored & set(sent[sent_before:])
            assert not again, f"{len(again)} chunks that were stored at the kill in {state} came again"


def test_a_kill_in_each_state_costs_nothing_that_was_stored(depot, device, keys, wait_until) -> None:
    old, new = keys.model("v1", ballast=OLD), keys.model("v2", ballast=NEW)
    assert new.manifest.total_bytes > 32 * MIB
    device.start()
    depot.offer(old)
    depot.wait_for_state("ACTIVE", "v1")
    assert device.stop() == 0

    shared = {number for number, chunk in enumerate(new.chunks) if chunk in set(old.chunks)}
    assert len(shared) > 300
    depot.offer(new)
    kills = Kills(device, depot, new)
    kills.kill_at("SEEDING")
    kills.kill_at("SEEDING:done")
    assert kills.kills[-1][1] == shared, "what the device had was taken from there"

    for chunks in (200, 500):
        depot.pause_after(chunks)
        device.start()
        assert depot.reached_limit.wait(60)
        wait_until(lambda: device.get("/v2/health/ready")[0] == 200, "the old version serves meanwhile")
        assert device.infer([1, 0, 0, 0])[0] == "v1"
        # What arrived is stored and committed within a second of silence; a report tells how much.
        had = len(kills.kills[-1][1])
        depot.wait_for(
            lambda model, had=had: model.state.value == "DOWNLOADING" and model.chunks_have > had + 100
        )
        assert kills.kill() is InstallState.DOWNLOADING
    depot.resume()
    for point in (
        "DOWNLOADING:done",
        "VERIFYING",
        "VERIFYING:done",
        "STAGED",
        "STAGED:done",
        "ACTIVATING",
        "ACTIVATING:done",
    ):
        kills.kill_at(point)
    device.start()
    active = depot.wait_for_state("ACTIVE", "v2")
    assert device.infer([1, 0, 0, 0]) == ("v2", [0.0, 2.0, 4.0])

    kills.assert_nothing_stored_was_sent_again()
    sent = depot.chunks_sent(new)
    assert not shared & set(sent), "what the device had came over the link"
    assert set(sent) | shared == set(range(len(new.chunks)))
    assert {state for state, _, _ in kills.kills} == {
        "SEEDING",
        "DOWNLOADING",
        "VERIFYING",
        "STAGED",
        "ACTIVATING",
    }
    assert active.chunks_seeded == len(shared)
    assert active.bytes_resent == 0
    assert depot.last.starts == 1 + len(kills.kills) + 1
