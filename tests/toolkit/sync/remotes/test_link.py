"""A Remote over a real broker: the contract, and what only a link does: losing, repeating, reordering, going away."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace as changed

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from tests.conftest import Mosquitto
from tests.contracts.remote import RemoteContract
from toolkit.errors import IntegrityError, RemoteUnavailableError, SyncError
from toolkit.fleet.inbox import Inbox, InboxLimits
from toolkit.fleet.inbox_rules import only_add
from toolkit.link.paho_link import PahoLink
from toolkit.link.settings import settings_from_url
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.sync.remotes.link import NOBODY, LinkRemote, Patience
from toolkit.sync.run import run_task
from toolkit.sync.task import Storage, SyncTask
from toolkit.wire.digest import digest_of
from toolkit.wire.keyring import Keyring, TrustedKey
from toolkit.wire.store_call import StoreCall, decode_call, encode_call
from toolkit.wire.topics import Topics

pytestmark = pytest.mark.broker
TOPICS = Topics("north")
KIB = 1024
QUICK = Patience(connect=60.0, answer=0.3, longest_answer=1.0, give_up=200.0)


def says_at_last(why: str, try_for: Callable[[float], object]) -> RemoteUnavailableError:
    """Give what is raised by who had so many seconds that he was told why; a busy machine tells late."""
    for seconds in (1.0, 10.0, 60.0):
        with pytest.raises(RemoteUnavailableError) as caught:
            try_for(seconds)
        if why in caught.value.message:
            return caught.value
    pytest.fail(f"it says nothing of {why!r} but: {caught.value.message}")


class Post:
    """A broker, an inbox that can be killed and started again, and remotes of devices."""

    def __init__(self, mosquitto, folder, stack: ExitStack) -> None:
        self.mosquitto, self.folder, self._stack = mosquitto, folder, stack
        self.inboxes: list[tuple[Inbox, threading.Event, threading.Thread]] = []
        self._number = 0

    def link(self) -> PahoLink:
        self._number += 1
        url = f"mqtt://127.0.0.1:{self.mosquitto.port}"
        return PahoLink(settings_from_url(url, f"client-{self._number}"))

    def start(
        self, *, rule=lambda *_: None, limits: InboxLimits | None = None, storage_of=None, key=None
    ) -> Inbox:
        opened = storage_of or (lambda device: DirectoryRemote(str(self.folder / device), create=True))
        inbox = Inbox(self.link(), TOPICS, opened, rule=rule, key=key, limits=limits)
        stop = threading.Event()
        thread = threading.Thread(target=inbox.run, args=(stop,))
        thread.start()
        self.inboxes.append((inbox, stop, thread))
        return inbox

    def stop(self) -> None:
        for _, stop, thread in self.inboxes:
            stop.set()
            thread.join(60)
        self.inboxes.clear()

    def remote(
        self, device: str = "us-001", link=None, patience: Patience = QUICK, keyring: Keyring = NOBODY
    ) -> LinkRemote:
        made = LinkRemote(
            link or self.link(),
            TOPICS,
            device,
            address="127.0.0.1",
            frame_bytes=64 * KIB,
            keyring=keyring,
            patience=patience,
        )
        self._stack.callback(made.close)
        return made


@contextmanager
def opened(mosquitto, folder) -> Iterator[Post]:
    with ExitStack() as stack:
        made = Post(mosquitto, folder, stack)
        try:
            yield made
        finally:
            stack.close()
            made.stop()


@pytest.fixture
def post(mosquitto, tmp_path) -> Iterator[Post]:
    with opened(mosquitto, tmp_path / "inbox") as made:
        yield made


@pytest.fixture(scope="module")
def office(tmp_path_factory, require):
    """One broker and one inbox for all tests of the contract; each is a device of its own."""
    require("mosquitto")
    broker = Mosquitto(tmp_path_factory.mktemp("broker"))
    broker.start()
    with opened(broker, tmp_path_factory.mktemp("inbox")) as made:
        made.start()
        yield made
    broker.stop()


class TestLinkRemote(RemoteContract):
    numbers = itertools.count(1)

    @pytest.fixture
    def remote(self, office):
        remote = office.remote(f"contract-{next(self.numbers)}")
        yield remote
        remote.close()


class Trouble:
    """A link whose messages get lost, doubled and out of order, by a seed."""

    def __init__(self, inner: PahoLink, seed: int, share: float = 0.15) -> None:
        self._inner, self._dice, self._share = inner, random.Random(seed), share
        self._held: list[tuple[str, bytes]] = []
        self.lost = 0

    def __getattr__(self, name: str):
        return getattr(self._inner, name)

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        fate = self._dice.random()
        if fate < self._share:
            self.lost += 1
            return
        if fate < 2 * self._share:
            self._held.append((topic, payload))
            return
        if fate < 3 * self._share:
            self._inner.publish(topic, payload)
        self._inner.publish(topic, payload, qos=qos, retain=retain)
        while self._held:
            self._inner.publish(*self._held.pop())


@pytest.mark.parametrize("seed", [1, *(pytest.param(n, marks=pytest.mark.faults) for n in range(2, 6))])
def test_what_gets_lost_doubled_and_mixed_up_arrives(post, seed):
    inbox = post.start()
    link = Trouble(post.link(), seed)
    remote = post.remote(link=link)
    data = random.Random(seed).randbytes(3_000_000)
    remote.write("packs/large", data)
    assert remote.read("packs/large") == data
    assert link.lost > 3, "the test did nothing"
    assert inbox.counters.objects == 1, "repetitions were told apart"


class Halting:
    """A link that sends so many messages, and no more before it may."""

    def __init__(self, inner: PahoLink, most: int) -> None:
        self._inner, self._left, self.go_on = inner, most, threading.Event()

    def __getattr__(self, name: str):
        return getattr(self._inner, name)

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        self._left -= 1
        assert self._left >= 0 or self.go_on.wait(250), "it may not go on"
        self._inner.publish(topic, payload, qos=qos, retain=retain)


def test_an_inbox_that_dies_in_the_middle_gets_all_of_it_again(post, wait_until):
    first = post.start()
    link = Halting(post.link(), 60)  # of more than 600
    remote = post.remote(link=link)
    data = random.Random(3).randbytes(40_000_000)
    written = threading.Thread(target=remote.write, args=("packs/large", data))
    written.start()
    wait_until(lambda: first.counters.calls > 30, "some of it has come")
    post.stop()
    assert first.counters.objects == 0, "it died before it had all of it"
    post.start()
    link.go_on.set()
    written.join(200)
    assert not written.is_alive()
    assert DirectoryRemote(str(post.folder / "us-001")).read("packs/large") == data


def test_without_an_inbox_the_error_says_how_to_start_one(post):
    with pytest.raises(RemoteUnavailableError, match="hello") as caught:
        post.remote(patience=changed(QUICK, give_up=1.0))
    assert "tiers inbox" in caught.value.hint


def test_without_a_broker_it_is_said_soon(post):
    post.mosquitto.stop()
    error = says_at_last("refused", lambda seconds: post.remote(patience=changed(QUICK, connect=seconds)))
    assert "cannot be reached: " in error.message


# ---------------------------------------------------------------- answers that are sealed, or not
KEY = Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
TRUSTED = Keyring(keys=(TrustedKey(public=KEY.public_key().public_bytes_raw(), roles=("receiver",)),))


def test_data_goes_to_an_inbox_that_seals_and_whom_the_device_trusts(post):
    post.start(key=KEY)
    remote, data = post.remote(keyring=TRUSTED), random.Random(5).randbytes(300_000)
    remote.write("packs/a", data)
    assert remote.read("packs/a") == data
    assert not remote.write_new("refs/a", b"1") or remote.read("refs/a") == b"1"
    assert [found.key for found in remote.list()] == ["packs/a", "refs/a"]
    assert remote.delete("refs/a")
    assert not remote.exists("refs/a")
    untold = post.remote("us-002")  # its keyring names no receiver yet
    untold.write("packs/a", b"x")


def test_an_inbox_that_does_not_seal_is_told_from_none(post):
    post.start()
    says_at_last(
        "the answer is not sealed",
        lambda seconds: post.remote(patience=changed(QUICK, give_up=seconds), keyring=TRUSTED),
    )


class Liar(Trouble):
    """A broker that hands over another object than the one that was sent, once it is told to."""

    lies = False

    def publish(self, topic, payload, *, qos=0, retain=False):
        call = decode_call(payload)
        if self.lies and call.operation in {"new", "write"}:
            junk = b"junk"
            changes = {"total": len(junk), "digest": digest_of(junk), "piece_bytes": len(junk), "piece": 0}
            payload = encode_call(replace(call, data=junk, **changes))
        self._inner.publish(topic, payload, qos=qos, retain=retain)


def test_what_a_broker_changed_on_its_way_does_not_count_as_stored(post):
    inbox = post.start(key=KEY)
    link = Liar(post.link(), 0)
    remote = post.remote(link=link, keyring=TRUSTED)
    link.lies = True

    def write(seconds: float) -> None:
        remote._patience = changed(QUICK, give_up=seconds)
        remote.write_new("packs/a", b"what was sent")

    says_at_last("does not hold for this answer", write)
    assert inbox.counters.objects == 1, "it took something else"


# ---------------------------------------------------------------- what an inbox does not take
def test_a_device_adds_and_does_nothing_else(post):
    post.start(rule=only_add)
    remote, data = post.remote(), b"some stored chunks"
    key = f"packs/{digest_of(data)}"
    assert remote.write_new(key, data)
    remote.write(key, data)
    remote.write("refs/routes/frames/head", b"1")
    remote.write("refs/routes/frames/head", b"2")
    with pytest.raises(IntegrityError, match="does not have the digest"):
        remote.write(key, b"something else")
    with pytest.raises(SyncError, match="may not delete"):
        remote.delete(key)
    with pytest.raises(SyncError, match="no place in an inbox"):
        remote.write("somewhere/else", b"x")
    remote.write("manifests/abc", b"sealed")
    with pytest.raises(SyncError, match="stays as it is"):
        remote.write("manifests/abc", b"other")
    assert remote.read(key) == data


def test_what_is_larger_than_an_inbox_takes_is_refused_at_once(post):
    inbox = post.start(limits=InboxLimits(per_device=100_000, in_all=100_000))
    remote = post.remote()
    with pytest.raises(SyncError, match="an object of 100001 bytes; at most 100000"):
        remote.write("packs/a", bytes(100_001))
    assert set(inbox.counters.refused) == {"refused"}
    remote.write("packs/a", bytes(100_000))


class Metered(DirectoryRemote):
    """Counts the bytes that are read from it."""

    read_bytes = 0

    def read(self, key, **how):
        data = super().read(key, **how)
        self.read_bytes += len(data)
        return data


def test_a_large_object_is_read_from_the_storage_once(post):
    stored = Metered(str(post.folder / "metered"), create=True)
    post.start(storage_of=lambda _: stored, limits=InboxLimits(frame_bytes=64 * KIB))
    data = random.Random(5).randbytes(1_000_000)
    stored.write("packs/a", data)
    remote = post.remote()
    assert remote.read("packs/a") == data
    assert remote.read("packs/a", start=10, length=300_000) == data[10:300_010]
    assert stored.read_bytes == 1_300_000
    with pytest.raises(IntegrityError, match="and more bytes to read; at most 70000"):
        remote.read("packs/a", limit=70_000)


def test_devices_are_apart(post):
    post.start(rule=only_add)
    one, other = post.remote("us-001"), post.remote("us-002")
    one.write("refs/a", b"mine")
    assert not other.exists("refs/a")
    assert (post.folder / "us-001/refs/a").read_bytes() == b"mine"


def test_what_finds_no_room_waits_and_arrives(post, wait_until):
    inbox = post.start(limits=InboxLimits(per_device=300_000, in_all=300_000))
    link, data = post.link(), random.Random(1).randbytes(200_000)
    link.connect()
    half = StoreCall(
        device="us-009",
        call="0123456789abcdef-1",
        operation="write",
        key="packs/half",
        total=len(data),
        digest=digest_of(data),
        piece_bytes=100_000,
        piece=0,
        data=data[:100_000],
    )
    remote = post.remote("us-001")
    link.publish(TOPICS.put("us-009"), encode_call(half), qos=1)
    # Not by the number of calls: a greeting that is not answered at once comes again.
    wait_until(lambda: half.call in inbox._calls.get("us-009", ()), "half an object has come")
    writer = threading.Thread(target=remote.write, args=("packs/a", data))
    writer.start()
    wait_until(lambda: inbox.counters.refused["busy"], "there is no room beside what is half there")
    assert inbox.counters.objects == 0
    other_half = replace(half, piece=1, data=data[100_000:])
    link.publish(TOPICS.put("us-009"), encode_call(other_half), qos=1)
    writer.join(200)
    assert not writer.is_alive()
    assert remote.read("packs/a") == data
    assert inbox.counters.objects == 2
    link.close()


def test_noise_lies_and_giants_cost_nothing(post, wait_until):
    inbox = post.start()
    remote, link = post.remote(), post.link()
    link.connect()
    call = remote._call(
        "write", "packs/a", total=10, digest="0" * 64, piece_bytes=10, piece=0, data=b"x" * 10
    )
    noise = [
        b"",
        b"\xff" * 100,
        encode_call(replace(call, device="us-002")),
        encode_call(replace(call, total=1 << 40, piece_bytes=1 << 20)),
        encode_call(replace(call, piece_bytes=0)),
        encode_call(replace(call, piece=1)),
        encode_call(replace(call, data=b"x" * 9)),
        encode_call(replace(call, call="../x")),
        encode_call(replace(call, start=-1)),
    ]
    for payload in noise:
        link.publish(TOPICS.put("us-001"), payload, qos=1)
    wait_until(lambda: inbox.counters.refused["unreadable"] == len(noise), "each is counted")
    impatient = post.remote()
    impatient._patience = changed(QUICK, give_up=1.0)
    lie = replace(call, call=impatient._call("write").call)
    with pytest.raises(RemoteUnavailableError):
        impatient._ask(lie)  # its digest is not that of its only piece
    assert not remote.exists("packs/a")
    assert decode_call(encode_call(call)) == call
    link.close()


# ---------------------------------------------------------------- a route over it
def test_a_folder_of_a_device_arrives_and_the_second_time_only_what_changed(post, tmp_path):
    inbox = post.start(rule=only_add)
    source = tmp_path / "frames"
    (source / "day-1").mkdir(parents=True)
    for number in range(5):
        (source / f"day-1/{number}.raw").write_bytes(random.Random(number).randbytes(300_000))
    task = SyncTask(
        route="frames",
        source=Storage(tier="edge", url=source.as_uri()),
        targets=(Storage(tier="hot", url="link:", layout="packs"),),
        origin="us-001",
    )
    remote = post.remote()
    first = run_task(task, remotes=lambda _: remote)
    assert first.targets[0].error == ""
    assert first.targets[0].bytes_moved >= 1_500_000
    stored = inbox.counters.bytes_stored
    with (source / "day-1/3.raw").open("r+b") as file:
        file.write(b"changed")
    second = run_task(task, remotes=lambda _: remote)
    assert second.targets[0].error == ""
    assert second.targets[0].changed
    assert inbox.counters.bytes_stored - stored < 0.2 * stored

    back = tmp_path / "back"
    back.mkdir()
    home = SyncTask(
        route="frames",
        source=Storage(tier="hot", url=(post.folder / "us-001").as_uri(), layout="packs"),
        targets=(Storage(tier="warm", url=back.as_uri()),),
        origin="us-001",
    )
    assert run_task(home).targets[0].error == ""
    found = {path.relative_to(back).name: path.read_bytes() for path in back.rglob("*.raw")}
    assert found == {path.name: path.read_bytes() for path in source.rglob("*.raw")}
    assert PackStore(DirectoryRemote(str(post.folder / "us-001"))).read_ref("routes/frames/from/us-001/head")
