"""A run of the rules that is killed at any of its writes loses nothing, and the next run finishes what it began."""

from __future__ import annotations

import os
import sys

import pytest

from tests.toolkit.sync.policies.site import Site
from toolkit.sync.policies.policy import Match, Rule
from toolkit.sync.policies.shelf import open_shelf
from toolkit.sync.policies.trash import TRASH, binned
from toolkit.sync.run import run_task
from toolkit.sync.task import SyncTask
from toolkit.sync.verify import verify_target

RULES = (
    Rule(name="scratch", action="expire", match=Match(path="scratch/**")),
    Rule(name="old", action="move", tier="warm", to="cold", match=Match(path="frames/f2")),
    Rule(name="age", action="move", tier="hot", to="warm", match=Match(path="studies/**")),
)
_WRITES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate"}
FRAMES = {f"frames/f{number}" for number in range(3)}
EXPECTED = {
    "hot": {"frames/f1", "frames/f2"},  # the oldest has left to make room
    "warm": {"frames/f0", "frames/f1", "studies/a"},
    "cold": {"frames/f2"},
}


def make(root):
    """Frames in hot and warm, a study in hot, something to expire in hot and in cold; hot is too full."""
    root.mkdir()
    site = Site(root)
    site.write("scratch/in-cold", tier="warm")
    site.route("archive", "warm", "cold", "scratch")
    (site.root / "warm/scratch/in-cold").unlink()
    for number in range(3):
        site.write(f"frames/f{number}", age=30 - number)
    site.write("studies/a", age=5)
    site.write("scratch/x", age=5)
    site.route("frames", "hot", "warm", "frames")
    policy = site.policy(*RULES, capacity={"hot": 101_000}, hot={"high": 0.9, "low": 0.8})
    return site, policy


def killed_at(site, policy, number: int) -> bool:
    """Carry the rules out in a child that ends at its n-th write as a kill would; say whether it came so far."""
    child = os.fork()
    if child == 0:
        left = number

        def count(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            writes = event in _WRITES or (
                event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            )
            if writes:
                left -= 1
                if left <= 0:
                    os._exit(9)

        try:
            sys.addaudithook(count)
            site.run(policy)
        except BaseException:  # noqa: BLE001 -- the child must not go on as a second pytest
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in {0, 9}
    return code == 9


def everything(site) -> set[str]:
    """All files that are in a tier or can be taken out of a trash."""
    found: set[str] = set()
    for tier, storage in site.storages.items():
        shelf = open_shelf(storage)
        found |= set(site.has(tier))
        found |= {each.path.decode() for each in binned(shelf)}
        entries = shelf.entries([item.path for item in shelf.items()])
        assert all(shelf.holds(entry) for entry in entries)
        shelf.close()
    return found


def check(root, number: int) -> bool:
    site, policy = make(root)
    was_killed = killed_at(site, policy, number)
    all_there = {*FRAMES, "studies/a", "scratch/x", "scratch/in-cold"}
    assert everything(site) == all_there, f"lost after a kill at write {number}"
    frames = SyncTask(
        route="frames", source=site.storages["hot"], targets=(site.storages["warm"],), path="frames"
    )
    run_task(frames)
    assert everything(site) == all_there, f"the route took something after a kill at write {number}"
    for days in (0, 0.001):
        site.run(policy, days)
    has = {tier: set(site.has(tier)) for tier in site.storages}
    assert has == EXPECTED, f"not finished after a kill at write {number}"
    assert everything(site) == all_there
    assert verify_target(frames, site.storages["warm"]).damage == ()
    assert run_task(frames).exit_code == 0
    assert {tier: set(site.has(tier)) for tier in site.storages} == EXPECTED
    assert not (site.root / "hot" / TRASH.decode() / "frames").exists()
    return was_killed


def test_a_run_that_is_killed_once(tmp_path):
    assert check(tmp_path / "early", 12)
    assert check(tmp_path / "late", 60)


@pytest.mark.faults
@pytest.mark.timeout(400)
def test_a_run_that_is_killed_at_many_writes(tmp_path):
    number = 1
    while check(tmp_path / str(number), number):
        number += 9
    assert number > 60
