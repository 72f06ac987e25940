"""How long a device waits for a patch, by a clock that the test turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue

import pytest

from edge_runtime.patching import MANIFEST_SECONDS, STILL_SECONDS, Bench, Patching
from edge_runtime.store import Tally
from edge_runtime.transfer import Fetches, Surroundings
from edge_runtime.worker import Worker
from tests.edge_runtime.conftest import Keys
from tests.edge_runtime.patches import Patched, make_patched
from tests.edge_runtime.test_shelf import Place
from toolkit.protocol.exchange import Reconnected
from toolkit.protocol.installation import Needs
from toolkit.protocol.offer import Ability
from toolkit.protocol.pace import PaceSettings
from toolkit.wire.request import decode_request


@dataclass
class Desk:
    """Patching with a real store, disk thread and fetches, but no link."""

    place: Place
    keys: Keys
    pair: Patched
    now: float = 0.0
    free_disk: int = 1 << 40
    wanted: list[str] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    calls: Queue[Callable[[], None]] = field(default_factory=Queue)

    def __post_init__(self) -> None:
        self.disk = Worker("disk", self.calls.put)
        around = Surroundings(
            device="us-001", store=self.place.store, folders=self.place.folders, disk=self.disk,
            send=self.sent.append, now=lambda: self.now, max_frame_bytes=262_144, settings=PaceSettings(),
        )  # fmt: skip
        self.fetches = Fetches(around, 1)
        bench = Bench(
            shelf=self.place.shelf, store=self.place.store, folders=self.place.folders, disk=self.disk,
            fetches=self.fetches, keyring=lambda: self.keys.keyring, want_manifest=self.wanted.append,
            ability=lambda: Ability("x86_64", 10, 1 << 40, self.free_disk), now=lambda: self.now,
        )  # fmt: skip
        self.patching = Patching(bench)

    def until(self, condition: Callable[[], object]) -> None:
        """Carry out what the disk thread posts until the condition holds."""
        while not condition():
            self.calls.get(timeout=60)()

    def start(self) -> None:
        self.patching.start("linear", self.pair.target.artifact, lambda: self.ended.append("linear"))

    @property
    def problem(self) -> str:
        return self.patching.problem_of(self.pair.target.artifact)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    keys, place = Keys(), Place(tmp_path)
    pair = make_patched(keys, count=50_000)
    place.install(pair.base)
    place.accept(pair.target)
    desk = Desk(place, keys, pair)
    yield desk
    desk.disk.close()
    place.store.close()


def test_a_manifest_that_does_not_come_is_waited_for_a_while(desk: Desk) -> None:
    desk.start()
    desk.until(lambda: desk.wanted)
    assert desk.wanted == [desk.pair.patch.artifact]
    desk.now += MANIFEST_SECONDS - 1
    desk.patching.tick()
    assert not desk.problem
    desk.now += 2
    desk.patching.tick()
    desk.until(lambda: desk.ended)
    assert "manifest did not come" in desk.problem
    desk.patching.manifest_arrived(desk.pair.patch.artifact, desk.pair.patch.sealed)
    assert not desk.sent, "too late"


def fetching(desk: Desk) -> None:
    """Bring the device to where it asks for the chunks of the patch."""
    desk.fetches.tell(Reconnected())
    desk.place.accept(desk.pair.patch)
    desk.start()
    desk.until(lambda: desk.sent and desk.fetches.chunks)
    assert decode_request(desk.sent[-1]).artifact == desk.pair.patch.artifact


def test_a_connected_device_does_without_a_patch_of_which_nothing_comes(desk: Desk) -> None:
    desk.place.accept(desk.pair.patch)
    desk.place.store.save_tally(desk.pair.patch.artifact, Tally(received=500, resent=30, bad=2))
    fetching(desk)
    desk.patching.tick()
    desk.now += STILL_SECONDS - 1
    desk.patching.tick()
    assert not desk.problem
    desk.now += 2
    desk.patching.tick()
    desk.until(lambda: desk.ended)
    assert "nothing of it came" in desk.problem
    # What came in vain came all the same.
    assert desk.place.store.tally(desk.pair.target.artifact) == Tally(received=500, resent=30, bad=2)
    assert not desk.fetches.chunks


def test_what_is_stopped_ends_without_a_word_and_keeps_what_came(desk: Desk) -> None:
    fetching(desk)
    desk.patching.stop("linear")
    desk.disk.close()
    while not desk.calls.empty():
        desk.calls.get()()
    assert (desk.ended, desk.problem, dict(desk.fetches.chunks)) == ([], "", {})
    assert desk.pair.patch.artifact in desk.place.store.artifacts()


def test_without_room_for_a_patch_nothing_of_it_is_fetched(desk: Desk) -> None:
    desk.free_disk = desk.pair.target.manifest.total_bytes
    desk.fetches.tell(Reconnected())
    desk.start()
    desk.until(lambda: desk.wanted)
    desk.patching.manifest_arrived(desk.pair.patch.artifact, desk.pair.patch.sealed)
    desk.until(lambda: desk.ended)
    assert "bytes of disk" in desk.problem
    assert not desk.sent


def test_cleaning_up_keeps_a_patch_while_its_target_is_fetched_and_no_longer(desk: Desk) -> None:
    desk.place.accept(desk.pair.patch)
    desk.place.bring(desk.pair.patch, [0])
    base, target, patch = (each.artifact for each in (desk.pair.base, desk.pair.target, desk.pair.patch))
    fetched = Needs(frozenset({base}), frozenset({target}))
    desk.place.shelf.clean(lambda: [fetched])
    assert desk.place.store.bitmap(patch, len(desk.pair.patch.chunks)).count == 1
    desk.place.shelf.clean(lambda: [Needs(frozenset({base, target}), frozenset())])
    assert patch not in desk.place.store.artifacts()
    assert patch not in desk.place.folders.stored()
