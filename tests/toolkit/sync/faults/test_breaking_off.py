"""Operations that fail or are the last ones, short answers and refusals, in pushes and in collections.

At every k-th operation: what comes after goes on from there, the source is restored as it is, and so is every older
state that a Ref names. A short or a damaged answer is never taken for data.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.contracts.remote import BreakingRemote
from tests.toolkit.sync.faults.stepping import HOUR_MS, ClockedRemote
from tests.toolkit.sync.trees import make_tree, photograph, storage, task_of
from toolkit.errors import MissingObjectError, RemoteUnavailableError, TiersError
from toolkit.sync.gc import Rules, collect
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.choose import open_storage
from toolkit.sync.remotes.remote import MAX_OBJECT_BYTES, Found, Remote
from toolkit.sync.retention import Keep
from toolkit.sync.run import run_task
from toolkit.sync.task import Storage, SyncTask
from toolkit.sync.verify import verify_packs

PACKS = Storage(tier="cold", url="memory://test", layout="packs")
STATES = 3
LAST = Rules(grace_seconds=0, keep=Keep(last=1), repack_below=1.0)


class History:
    """A store with three states of a route, and what each of them holds."""

    def __init__(self, root) -> None:
        self.root = root
        self.task = task_of(root, PACKS)
        self.store = ClockedRemote()
        self.states: dict[str, dict[str, bytes]] = {}
        for number in range(1, STATES + 1):
            self.edit(number)
            assert run_task(self.task, remotes=lambda _: self.store).exit_code == 0
            self.states[f"{number:010d}"] = self.source()
        self.edit(STATES + 1)
        self._objects = dict(self.store.objects)

    def edit(self, number: int) -> None:
        folder = self.root / "edge/frames"
        for path in folder.iterdir():
            if path.name.startswith("of-"):
                path.unlink()
        (folder / "stays").write_bytes(b"stays" * 700)
        (folder / f"of-{number}").write_bytes(bytes([number]) * 3000)

    def source(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.root / "edge/frames").iterdir()}

    def again(self) -> None:
        self.store.objects = dict(self._objects)

    def held(self, name: str) -> dict[str, bytes]:
        store = PackStore(self.store)
        ref = store.read_ref(f"routes/frames/{name}")
        return {
            entry.path.decode(): b"".join(store.read_chunk(each.digest) for each in entry.refs())
            for entry in store.entries(ref.digest)
        }

    def check_old(self) -> None:
        for name, content in self.states.items():
            assert self.held(f"at/{name}") == content

    def push(self, remote: Remote):
        return run_task(self.task, remotes=lambda _: remote)


@pytest.fixture
def history(tmp_path):
    return History(tmp_path)


def changes(work, store) -> int:
    counting = BreakingRemote(store, breaks_at=10**9)
    work(counting)
    return counting.changes


@pytest.mark.parametrize("after", [False, True], ids=["request-lost", "answer-lost"])
def test_a_push_that_breaks_off_at_any_operation(history, after):
    for k in range(1, changes(history.push, history.store) + 1):
        history.again()
        assert history.push(BreakingRemote(history.store, breaks_at=k, after=after)).exit_code == 5
        history.check_old()
        collect(PackStore(history.store), Rules(grace_seconds=0))  # nor does a collection between do harm
        collect(PackStore(history.store), Rules(grace_seconds=0))
        history.check_old()
        assert history.push(history.store).exit_code == 0
        assert history.held("head") == history.source()
        history.check_old()
        assert verify_packs(PackStore(history.store)) == []


@pytest.mark.parametrize("after", [False, True], ids=["request-lost", "answer-lost"])
def test_a_collection_that_breaks_off_at_any_operation(history, after):
    history.push(history.store)
    newest = history.source()
    collect(PackStore(history.store), LAST)
    history._objects = dict(history.store.objects)
    history.store.now_ms += HOUR_MS
    whole = changes(lambda remote: collect(PackStore(remote), LAST), history.store)
    assert whole > 6
    for k in range(1, whole + 1):
        history.again()
        with pytest.raises(RemoteUnavailableError):
            collect(PackStore(BreakingRemote(history.store, breaks_at=k, after=after)), LAST)
        assert verify_packs(PackStore(history.store)) == []
        history.store.now_ms += 2 * HOUR_MS  # the list of the one that died is closed by the next one
        collect(PackStore(history.store), LAST)
        history.store.now_ms += HOUR_MS
        done = collect(PackStore(history.store), LAST)
        assert (done.waiting, done.problems) == (0, ())
        assert history.held("head") == newest
        assert verify_packs(PackStore(history.store)) == []
        history.edit(9)
        assert history.push(history.store).exit_code == 0
        history.edit(STATES + 1)


class OddRemote:
    """Answers one reading, the k-th, in an odd way: cut short, empty, or not at all."""

    def __init__(self, inner: Remote, k: int, how: str) -> None:
        self._inner, self._left, self._how = inner, k, how
        self.was_odd = False

    @property
    def url(self) -> str:
        return self._inner.url

    def read(
        self, key: str, *, start: int = 0, length: int | None = None, limit: int = MAX_OBJECT_BYTES
    ) -> bytes:
        data = self._inner.read(key, start=start, length=length, limit=limit)
        return self._odd(data, key)

    def write(self, key: str, data: bytes) -> None:
        self._inner.write(key, data)

    def write_new(self, key: str, data: bytes) -> bool:
        return self._inner.write_new(key, data)

    def exists(self, key: str) -> bool:
        return self._inner.exists(key)

    def list(self, prefix: str = "") -> Iterator[Found]:
        return self._inner.list(prefix)

    def delete(self, key: str) -> bool:
        return self._inner.delete(key)

    def _odd(self, data: bytes, key: str) -> bytes:
        self._left -= 1
        if self._left != 0:
            return data
        self.was_odd = True
        if self._how == "refused":
            raise RemoteUnavailableError(f"{key}: 503 Slow Down")
        if self._how == "gone":
            raise MissingObjectError(f"{key}: 404")
        return data[: len(data) // 2] if self._how == "short" else b""


STRIDE = 6
HOW = [
    pytest.param(how, begin, marks=pytest.mark.faults if begin or how != "short" else ())
    for how in ("short", "empty", "refused", "gone")
    for begin in range(STRIDE)
]


@pytest.mark.parametrize(("how", "begin"), HOW)
def test_an_odd_answer_at_any_reading_is_no_data_and_no_harm(history, how, begin, tmp_path):
    wanted, k = history.source(), begin - STRIDE + 1
    history.push(history.store)
    history._objects = dict(history.store.objects)
    while True:
        k += STRIDE
        history.again()
        odd = OddRemote(history.store, k, how)
        back = storage(tmp_path / f"back-{how}-{k}")
        restore = SyncTask(route="back", source=PACKS, targets=(back,), path="frames")
        for work in (
            lambda odd=odd, restore=restore: run_task(restore, remotes=lambda _: odd),
            lambda odd=odd: history.push(odd),
            lambda odd=odd: collect(PackStore(odd), LAST),
        ):
            with suppress(TiersError):  # said in our words; anything else is a bug
                work()
        assert verify_packs(PackStore(history.store)) == []
        assert run_task(restore, remotes=lambda _: history.store).exit_code == 0
        found = tmp_path / f"back-{how}-{k}/frames"
        assert {path.name: path.read_bytes() for path in found.iterdir()} == wanted
        assert history.push(history.store).exit_code == 0
        if not odd.was_odd:
            break
    assert k > 10


def test_a_directory_that_is_cut_off_at_every_operation_holds_every_state(tmp_path):
    """The same over real files, with a real restore by a mirror."""
    make_tree(tmp_path / "edge/frames", files=12)
    cold = storage(tmp_path / "cold", "packs")
    task = task_of(tmp_path, cold)
    for k in range(1, 40):
        line = BreakingRemote(open_storage(cold), breaks_at=k, after=bool(k % 2))
        if run_task(task, remotes=lambda _, line=line: line).exit_code == 0:
            break
        assert verify_packs(PackStore(open_storage(cold))) == []
    assert k > 3
    assert run_task(task).exit_code == 0
    back = SyncTask(route="back", source=cold, targets=(storage(tmp_path / "back"),), path="frames")
    assert run_task(back).exit_code == 0
    assert photograph(tmp_path / "back/frames") == photograph(tmp_path / "edge/frames")
