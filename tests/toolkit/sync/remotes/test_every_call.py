"""A run that fails or is killed at its k-th call to the storage, for every k, and is then run again.

Whatever broke, the next run brings everything, the storage holds together, and every state that was ever committed can
still be read: that is what "data, index, Ref last" is for.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from tests.contracts.remote import MemoryRemote, ThroughRemote
from tests.toolkit.sync.trees import edit_tree, make_tree, photograph, task_of
from toolkit.errors import RemoteUnavailableError
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.choose import open_storage
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.sync.remotes.remote import Remote
from toolkit.sync.run import run_task
from toolkit.sync.task import Storage, SyncTask
from toolkit.sync.verify import verify_packs

T = TypeVar("T")
_counter = itertools.count()


class Killed(BaseException):
    """As SIGKILL: nobody catches it, nobody cleans up over there."""


class CutRemote(ThroughRemote):
    """A Remote that ends at its k-th call, before or after it is carried out, and says nothing from then on."""

    def __init__(self, inner: Remote, at: int, *, after: bool, error: type[BaseException]) -> None:
        super().__init__(inner)
        self._at, self._after, self._error = at, after, error
        self.calls = 0

    def _call(self, operation: Callable[[], T]) -> T:
        self.calls += 1
        if self.calls < self._at:
            return operation()
        if self.calls == self._at and self._after:
            operation()
        raise self._error("the line is cut")


def broken_run(task: SyncTask, inner: Remote, at: int, *, after: bool, error: type[BaseException]) -> bool:
    """Run a task over a line that is cut; tell whether it was cut before the run had ended."""
    cut = CutRemote(inner, at, after=after, error=error)
    try:
        result = run_task(task, remotes=lambda _: cut)
    except (Killed, RemoteUnavailableError):
        return True
    assert bool(result.targets[0].error) == (cut.calls >= at), "a lost call is said, and nothing else is"
    return cut.calls >= at


def restore(store: PackStore, name: str) -> dict[str, bytes]:
    """Put the files of a state together from their chunks; everything is checked on the way."""
    ref = store.read_ref(name)
    assert ref is not None
    found = {}
    for entry in store.entries(ref.digest):
        if entry.kind == "file":
            found[entry.path.decode()] = b"".join(store.read_chunk(chunk.digest) for chunk in entry.refs())
    return found


def contents(root: Path) -> dict[str, bytes]:
    return {name: facts[1] for name, facts in photograph(root).items() if facts[0] == "file"}


def all_states_restore(inner: Remote, states: list[dict[str, bytes]]) -> None:
    """Every Ref leads to one of the states that the source has had, the head to the last one."""
    store = PackStore(inner)
    names = store.list_refs("routes/frames/")
    assert "routes/frames/head" in names
    for name in names:
        assert restore(store, name) in states, name
    assert restore(store, "routes/frames/head") == states[-1]
    assert verify_packs(store) == []


def live(root: Path, make: Callable[[], Remote], at: int, *, after: bool, error: type[BaseException]) -> bool:
    """Two states of a tree, each brought by a run that is cut at a call and run again; tell whether a cut came."""
    inner, source = make(), root / "edge/frames"
    task = task_of(root, Storage(tier="cold", url="file:///elsewhere", layout="packs"))
    make_tree(source, files=12)
    states = [contents(source)]
    cut = broken_run(task, inner, at, after=after, error=error)
    assert run_task(task, remotes=lambda _: inner).exit_code == 0
    all_states_restore(inner, states)
    edit_tree(source)
    states.append(contents(source))
    cut |= broken_run(task, inner, at, after=after, error=error)
    store = PackStore(inner)
    for name in store.list_refs("routes/frames/at/"):  # before anybody mends anything
        assert restore(store, name) in states
    assert run_task(task, remotes=lambda _: inner).exit_code == 0
    all_states_restore(inner, states)
    assert {frozenset(restore(store, name).items()) for name in store.list_refs("routes/frames/at/")} == {
        frozenset(state.items()) for state in states
    }
    return cut


@pytest.mark.parametrize(
    ("after", "error"),
    [
        pytest.param(True, Killed, id="after-kill"),
        pytest.param(False, Killed, id="before-kill", marks=pytest.mark.faults),
        pytest.param(True, RemoteUnavailableError, id="after-fail", marks=pytest.mark.faults),
        pytest.param(False, RemoteUnavailableError, id="before-fail", marks=pytest.mark.faults),
    ],
)
def test_a_run_that_is_cut_at_any_call_is_finished_by_the_next(tmp_path, after, error):
    for at in itertools.count(1):
        root = tmp_path / str(at)
        root.mkdir()
        if not live(root, MemoryRemote, at, after=after, error=error):
            break
    assert at > 8, "a run makes more calls than these"


@pytest.mark.parametrize("at", [5, *(pytest.param(each, marks=pytest.mark.faults) for each in (1, 2, 3, 8))])
def test_the_same_in_a_folder(tmp_path, at):
    live(tmp_path, lambda: DirectoryRemote(str(tmp_path / "cold"), create=True), at, after=True, error=Killed)


@pytest.mark.faults
@pytest.mark.parametrize("at", [2, 6])
def test_the_same_in_a_bucket(tmp_path, s3_server, at):
    name = f"every-call-{next(_counter)}"
    live(tmp_path, lambda: s3_server.remote(name), at, after=True, error=RemoteUnavailableError)


@pytest.mark.faults
@pytest.mark.parametrize("at", [3, 7])
def test_the_same_behind_ssh(tmp_path, ssh_server, at):
    (tmp_path / "cold").mkdir()
    place = ssh_server.storage(tmp_path / "cold")
    live(tmp_path, lambda: open_storage(place), at, after=False, error=Killed)
