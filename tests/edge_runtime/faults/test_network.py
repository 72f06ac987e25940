"""Faults between a device and its broker: a stall, a cut, a queue that overflows, 3.1.1 alone, frames that are not what
was sent, and loss on the wire.

One stall takes a minute, in `make test-all`. The others are shorter, and longer than every time-out that their daemons
have (5 s, see `ledger.SOME`); a connection that both ends give up after the keepalive of 30 s is done by cutting it.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Mosquitto
from tests.edge_runtime.conftest import Depot, Device, Keys, golden_file, linear_model
from tests.edge_runtime.faults.ledger import BOUND, MUCH, SOME, assert_whole, make, paced, sent_again
from tests.edge_runtime.faults.proxy import Proxy
from toolkit.errors import IntegrityError
from toolkit.fleet.broker import start_broker
from toolkit.protocol.transfer import COMMIT_BYTES, MAX_BAD
from toolkit.wire.frame import FRAME_OVERHEAD, PIECE_OVERHEAD, decode_frame

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]
MIB = 1024 * 1024
SEEDS = [1, pytest.param(2, marks=pytest.mark.faults), pytest.param(3, marks=pytest.mark.faults)]
LONGER_THAN_ANY_TIMEOUT = 6.0


@pytest.fixture
def proxy(mosquitto: Mosquitto) -> Iterator[Proxy]:
    proxy = Proxy(mosquitto.port)
    yield proxy
    proxy.close()


@pytest.fixture
def behind(proxy: Proxy, keys: Keys, tmp_path: Path) -> Iterator[Device]:
    """A device that reaches its broker through the proxy."""
    device = Device(tmp_path / "device", proxy.port, keys)
    yield device
    if device.process is not None:
        device.kill()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "answers_only", [True, pytest.param(False, marks=pytest.mark.faults)], ids=["answers", "both-ways"]
)
def test_a_stall_of_the_connection_costs_at_most_the_window_and_a_batch(
    depot, proxy, behind, keys, seed: int, answers_only: bool
) -> None:
    made, files = make(keys, seed)
    depot.pause_after(random.Random(seed).randrange(20, 150))
    behind.start(*paced(SOME))
    depot.offer(made)
    assert depot.reached_limit.wait(120)
    proxy.stall(answers_only=answers_only)
    depot.resume()
    threading.Event().wait(LONGER_THAN_ANY_TIMEOUT)
    proxy.go_on()
    report = depot.wait_for_state("ACTIVE", "v1")
    assert_whole(behind, made, files)
    print(f"seed {seed}: {sent_again(depot, made)} bytes came again; allowed: {BOUND}")
    assert sent_again(depot, made) <= BOUND
    assert report.bytes_resent <= BOUND


@pytest.mark.faults
@pytest.mark.timeout(240)
def test_a_stall_of_a_minute_costs_at_most_the_window_and_a_batch(depot, proxy, behind, keys) -> None:
    made, files = make(keys, 4)
    depot.pause_after(60)
    behind.start(*paced(SOME))
    depot.offer(made)
    assert depot.reached_limit.wait(120)
    proxy.stall()
    depot.resume()
    threading.Event().wait(60)
    proxy.go_on()
    depot.wait_for_state("ACTIVE", "v1")
    assert_whole(behind, made, files)
    print(f"{sent_again(depot, made)} bytes came again; allowed: {BOUND}")
    assert sent_again(depot, made) <= BOUND


@pytest.mark.parametrize("seed", SEEDS)
def test_a_connection_that_is_given_up_in_a_stall_costs_at_most_the_window_and_a_batch(
    depot, proxy, behind, keys, seed: int
) -> None:
    made, files = make(keys, seed)
    depot.pause_after(random.Random(seed).randrange(20, 150))
    behind.start(*paced(MUCH))  # a new connection is reason enough to ask again
    depot.offer(made)
    assert depot.reached_limit.wait(120)
    proxy.stall()
    depot.resume()
    proxy.cut()
    depot.wait_for_state("ACTIVE", "v1")
    assert_whole(behind, made, files)
    print(f"seed {seed}: {sent_again(depot, made)} bytes came again; allowed: {BOUND}")
    assert sent_again(depot, made) <= BOUND


# ---------------------------------------------------------------- a small queue
@pytest.fixture
def narrow(tmp_path: Path, require: Callable[[str], None]) -> Iterator[Mosquitto]:
    """A broker that drops what does not fit into a queue of 50 messages."""
    require("mosquitto")
    settings = ("allow_anonymous true", "persistence false", "max_queued_messages 50")
    broker = Mosquitto(tmp_path / "narrow", settings=settings)
    broker.start()
    yield broker
    broker.stop()


def test_a_broker_that_queues_50_messages_drops_and_still_all_arrives(
    narrow: Mosquitto, keys: Keys, tmp_path: Path, wait_until
) -> None:
    depot, proxy = Depot(f"mqtt://127.0.0.1:{narrow.port}", keys), Proxy(narrow.port)
    device = Device(tmp_path / "device", proxy.port, keys)
    try:
        # Every chunk is a frame here, so 8 MiB are 400 messages; the kernel takes some of them. The device hears
        # nothing until the queue has overflowed: a broker that is fast beside its depot would drop nothing.
        made, files = make(keys, 1, 8 * MIB)
        patience = ("first_timeout=0.5", "min_timeout=0.3", "max_timeout=1", "start_window=8388608")
        device.start(*(option for limit in patience for option in ("--pace", limit)))
        depot.pause_after(20)
        depot.offer(made)
        assert depot.reached_limit.wait(120)
        proxy.stall(answers_only=True)
        depot.resume()
        log = narrow.folder / "mosquitto.log"
        wait_until(lambda: "Outgoing messages are being dropped" in log.read_text(), "the queue overflows")
        proxy.pause_seconds = 0.005
        proxy.go_on()
        depot.wait_for_state("ACTIVE", "v1")
        assert_whole(device, made, files)
        print(f"{sent_again(depot, made)} bytes were sent again, because the broker dropped them")
        assert sent_again(depot, made) > 0
    finally:
        device.kill()
        proxy.close()
        depot.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_an_overflow_of_a_queue_of_50_costs_at_most_the_window_and_a_batch_each_time(
    narrow: Mosquitto, keys: Keys, tmp_path: Path, wait_until, seed: int
) -> None:
    depot, proxy = Depot(f"mqtt://127.0.0.1:{narrow.port}", keys), Proxy(narrow.port)
    device = Device(tmp_path / "device", proxy.port, keys)
    log = narrow.folder / "mosquitto.log"
    window = 4 * MIB
    try:
        made, files = make(keys, seed, 12 * MIB)
        pace = (f"max_window={window}", f"start_window={window}", "first_timeout=10", "min_timeout=10")
        device.start(*(option for limit in pace for option in ("--pace", limit)))
        depot.pause_after(random.Random(seed).randrange(20, 150))
        depot.offer(made)
        assert depot.reached_limit.wait(120)
        proxy.stall(answers_only=True)
        depot.resume()
        wait_until(lambda: "Outgoing messages are being dropped" in log.read_text(), "the queue overflows")
        proxy.go_on()
        depot.wait_for_state("ACTIVE", "v1")
        assert_whole(device, made, files)
        again = sent_again(depot, made)
        # On a machine that is busy the queue may overflow again while the device catches up: 6,080,021 bytes were seen
        # once, where 4.3 million are usual. That is another fault, which the test cannot keep away; the broker says so
        # each time, but for one that follows at once.
        overflows = log.read_text().count("Outgoing messages are being dropped")
        allowed = (overflows + 1) * (window + COMMIT_BYTES)
        print(f"seed {seed}: {again} bytes came again after {overflows} overflows; allowed: {allowed}")
        assert 0 < again <= allowed
    finally:
        device.kill()
        proxy.close()
        depot.close()


# ---------------------------------------------------------------- MQTT 3.1.1 alone
def test_a_broker_that_knows_nothing_but_3_1_1_is_enough(keys: Keys, tmp_path: Path, require) -> None:
    require("amqtt")
    broker = start_broker(tmp_path / "amqtt", kind="amqtt")
    depot = Depot(broker.url, keys)
    device = Device(tmp_path / "device", broker.port, keys)
    try:
        made, files = make(keys, 1, MIB)
        device.start()
        depot.offer(made)
        depot.wait_for_state("ACTIVE", "v1")
        assert_whole(device, made, files)
        assert device.infer([1, 0, 0, 0]) == ("v1", [0.0, 1.0, 2.0])
    finally:
        device.kill()
        depot.close()
        broker.stop()


# ---------------------------------------------------------------- frames
class Chance(random.Random):
    """Also hits one frame of each ten, in each ten at another place: so every version has some that are hit."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._left, self._victim = 0, 0
        self.hits = 0

    def one_of_ten(self) -> bool:
        if not self._left:
            self._left, self._victim = 10, self.randrange(1, 11)
        self._left -= 1
        is_hit = self._left == self._victim - 1
        self.hits += is_hit
        return is_hit


def twice(frames: list[bytes], _source: Chance) -> list[bytes]:
    return [copy for frame in frames for copy in (frame, frame)]


def shuffled(frames: list[bytes], source: random.Random) -> list[bytes]:
    return source.sample(frames, len(frames))


def truncated(frames: list[bytes], source: Chance) -> list[bytes]:
    return [frame[: source.randrange(len(frame))] if source.one_of_ten() else frame for frame in frames]


def flipped(frames: list[bytes], source: Chance) -> list[bytes]:
    """Turn one bit, in the header of every other frame that is hit, else anywhere.

    Half of the bits in a header are such that nobody can tell: then the frame is another artifact's, say.
    """
    result = []
    for frame in frames:
        if frame and source.one_of_ten():  # `truncated` may have left nothing, or less than a header
            end = FRAME_OVERHEAD + PIECE_OVERHEAD if source.hits % 2 else len(frame)
            bit = source.randrange(8 * min(end, len(frame)))
            turned = bytearray(frame)
            turned[bit // 8] ^= 1 << bit % 8
            frame = bytes(turned)  # noqa: PLW2901
        result.append(frame)
    return result


def all_of_it(frames: list[bytes], source: Chance) -> list[bytes]:
    for what in (twice, shuffled, truncated, flipped):
        frames = what(frames, source)
    return frames


def named(frame: bytes) -> set[int]:
    """The chunks that a frame says it brings, which is to whom a device lays its damage; none if it says nothing."""
    try:
        return {piece.number for piece in decode_frame(frame).pieces}
    except IntegrityError:
        return set()


def short_of_giving_up(
    what: Callable[[list[bytes], Chance], list[bytes]], source: Chance
) -> Callable[[list[bytes]], list[bytes]]:
    """Let `what` befall all answers, but lose a frame that would damage a chunk as often as a device gives up after.

    Three bad copies of one chunk in a row end a transfer, as `test_documents` shows; chance brings them too, once in
    some ten runs of all seeds.
    """
    bad: Counter[int] = Counter()

    def all_answers(frames: list[bytes]) -> list[bytes]:
        whole, kept = set(frames), []
        for frame in what(frames, source):
            chunks = named(frame) if frame not in whole else set()
            if all(bad[number] < MAX_BAD - 1 for number in chunks):
                bad.update(chunks)
                kept.append(frame)
        return kept

    return all_answers


@pytest.mark.parametrize("seed", SEEDS)
def test_frames_that_are_not_what_was_sent_cost_time_only(depot, device, keys, seed: int) -> None:
    source = Chance(seed)
    print(f"seed {seed}")
    device.start(*paced())
    for number, what in enumerate((twice, shuffled, truncated, flipped, all_of_it), start=1):
        ballast = source.randbytes(2 * MIB)
        files = {"model.onnx": linear_model(number, ballast=ballast), "golden.npz": golden_file(number)}
        made = keys.make(f"v{number}", files)
        depot.tamper = short_of_giving_up(what, source)
        depot.offer(made)
        report = depot.wait_for_state("ACTIVE", f"v{number}")
        assert_whole(device, made, files)
        print(f"{what.__name__}: {report.chunks_bad} bad, {report.bytes_resent} bytes came in vain")
        assert report.chunks_bad or what in (twice, shuffled)
        assert report.bytes_resent or what not in (twice, all_of_it)


def hit_once(
    what: Callable[[list[bytes], Chance], list[bytes]], after: int, hits: list[int]
) -> Callable[[list[bytes], Chance], list[bytes]]:
    """Let `what` befall one answer of the depot, the first of more than one frame after this many."""
    answers = 0

    def one(frames: list[bytes], source: Chance) -> list[bytes]:
        nonlocal answers
        answers += 1
        if hits or answers <= after or len(frames) < 2:
            return frames
        changed = what(frames, source)
        if changed != frames:
            hits.append(answers)
        return changed

    return one


def one_cut_short(frames: list[bytes], source: random.Random) -> list[bytes]:
    victim = source.randrange(len(frames))
    return [frame[: len(frame) // 2] if number == victim else frame for number, frame in enumerate(frames)]


def one_bit_turned(frames: list[bytes], source: random.Random) -> list[bytes]:
    victim, turned = source.randrange(len(frames)), []
    for number, frame in enumerate(frames):
        data = bytearray(frame)
        # Behind the header: a frame with another epoch is as good as before, and nothing of it comes again.
        data[source.randrange(FRAME_OVERHEAD, len(data))] ^= (number == victim) << source.randrange(8)
        turned.append(bytes(data))
    return turned


@pytest.mark.parametrize("seed", SEEDS)
def test_one_answer_of_bad_frames_costs_at_most_the_window_and_a_batch(
    depot, device, keys, seed: int
) -> None:
    source = Chance(seed)
    device.start(*paced(SOME))
    for number, what in enumerate((twice, shuffled, one_cut_short, one_bit_turned), start=1):
        ballast = source.randbytes(2 * MIB)
        files = {"model.onnx": linear_model(number, ballast=ballast), "golden.npz": golden_file(number)}
        made = keys.make(f"v{number}", files)
        hits: list[int] = []
        tamper = hit_once(what, source.randrange(1, 4), hits)
        depot.tamper = lambda frames, tamper=tamper: tamper(frames, source)
        depot.offer(made)
        report = depot.wait_for_state("ACTIVE", f"v{number}")
        assert_whole(device, made, files)
        again = max(sent_again(depot, made), report.bytes_resent)
        print(f"seed {seed}: {what.__name__}: {again} bytes came again; allowed: {BOUND}")
        assert hits
        assert again or what is shuffled  # a busy machine may be late, and then asks twice for nothing
        assert again <= BOUND


# ---------------------------------------------------------------- loss on the wire
LOSSY = """
set -eu
ip link set lo up
for side in dport sport; do
    iptables -A INPUT -i lo -p tcp --$side "$1" -m statistic --mode random --probability 0.1 -j DROP
done
shift
exec "$@"
"""
"""Inside a network namespace of its own: one packet of ten to and from the broker is lost, then the command runs."""


def _can_lose_packets() -> bool:
    probe = ["unshare", "--net", "sh", "-c", LOSSY, "sh", "1", "true"]
    here = all(shutil.which(each) for each in ("unshare", "ip", "iptables"))
    return here and subprocess.run(probe, capture_output=True, check=False, timeout=60).returncode == 0


def test_one_packet_of_ten_lost_on_the_wire(free_port: Callable[[], int], tmp_path: Path) -> None:
    if not _can_lose_packets():
        pytest.skip("needs hardware: a kernel in which this user may lose packets (unshare --net, iptables)")
    port = free_port()
    inner = [sys.executable, "-m", "tests.edge_runtime.faults.lossy", str(port), str(tmp_path)]
    command = ["unshare", "--net", "sh", "-c", LOSSY, "sh", str(port), *inner]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=250)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout) <= 0.05 * 4 * MIB, "TCP repairs it; asking again would be waste"
