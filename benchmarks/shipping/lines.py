"""What `ship.py` shows beside speed: the operator's word meanwhile, lost packets, and what is durable when."""

from __future__ import annotations

import filecmp
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty

from benchmarks.shipping.place import FRAME_BYTES, MIB, TOPICS, cut_file, stored_pieces, write_noise
from benchmarks.shipping.runs import Used, ours
from benchmarks.shipping.site import Site
from edge_runtime.folders import Folders
from edge_runtime.line import Inbox
from edge_runtime.part import Part
from edge_runtime.store import Store, Tally
from edge_runtime.transfer import Fetches, Surroundings
from edge_runtime.worker import Worker
from toolkit.link.link import Arrived, Connected
from toolkit.link.paho_link import PahoLink
from toolkit.link.settings import settings_from_url
from toolkit.protocol.bitmap import Bitmap
from toolkit.protocol.exchange import Finished, FrameArrived, GivenUp, Reconnected
from toolkit.protocol.framing import chunk_frames
from toolkit.protocol.pace import PaceSettings
from toolkit.wire.index import ChunkRef
from toolkit.wire.request import decode_request

WORDS = 9


def control_round_trip(site: Site, scratch: Path, client: str, delay: float) -> tuple[Used, float]:
    """Ship over a long way, and meanwhile ask the device something; give what it took, and the median seconds."""
    found: list[float] = []

    def ask(port: int) -> None:
        link = PahoLink(settings_from_url(f"mqtt://127.0.0.1:{port}", "operator"))
        link.subscribe(TOPICS.state("box-0"), qos=1)
        link.connect()
        try:
            while not isinstance(link.events.get(timeout=30), Connected):
                continue
            for word in range(WORDS):
                time.sleep(0.15)
                said, begun = b"%d" % word, time.perf_counter()
                link.publish(TOPICS.desired("box-0"), said, qos=1)
                answer = link.events.get(timeout=30)
                if isinstance(answer, Arrived) and answer.payload == said:
                    found.append(time.perf_counter() - begun)
        except Empty:
            return
        finally:
            link.close()

    used = ours(site, scratch, client, delay=delay, during=ask)
    return used, statistics.median(found) if found else float("inf")


# ---------------------------------------------------------------- loss
def lossy(site: Site, scratch: Path, probability: float) -> tuple[Used, float] | str:
    """Ship to a device that loses packets on their way in; give bytes that came by those of the file, or why not.

    The device lives in a network namespace of its own; iptables drops there. What it wrote is compared with the file.
    """
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("iptables"):
        return "it takes root, ip and iptables"
    try:
        with _room(probability) as (room, host), tempfile.TemporaryDirectory(dir=scratch) as state:
            used = ours(site, scratch, "paho", durable=True, room=room, host=host, keep=state)
            (part,) = Path(state, "parts").iterdir()
            if not filecmp.cmp(part, Path(site.plan.folder, "model"), shallow=False):
                raise SystemExit("with loss the device's bytes are not those of the file")
    except subprocess.CalledProcessError as error:
        return f"{' '.join(error.cmd)} is not permitted here: {error.stderr.decode(errors='replace').strip()[:200]}"
    return used, used.received / used.size


@contextmanager
def _room(probability: float) -> Iterator[tuple[str, str]]:
    """Make a network namespace whose way in loses packets; give its name and the address of this side."""
    name, mark = f"tiers-ship-{os.getpid()}", os.getpid() % 200
    near, far, host, guest = f"ts{os.getpid()}a", f"ts{os.getpid()}b", f"10.213.{mark}.1", f"10.213.{mark}.2"

    def run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True)

    try:
        run("ip", "netns", "add", name)
        run("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", name)
        run("ip", "addr", "add", f"{host}/30", "dev", near)
        run("ip", "link", "set", near, "up")
        run("ip", "-n", name, "addr", "add", f"{guest}/30", "dev", far)
        run("ip", "-n", name, "link", "set", far, "up")
        run(
            "ip", "netns", "exec", name, "iptables", "-A", "INPUT", "-m", "statistic", "--mode", "random",
            "--probability", str(probability), "-j", "DROP",
        )  # fmt: skip
        yield name, host
    finally:
        subprocess.run(["ip", "link", "del", near], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


# ---------------------------------------------------------------- the order on disk
@dataclass
class Order:
    """Commits of a bitmap, and how many spoke of data that no fdatasync had followed."""

    commits: int = 0
    early: int = 0


def order_on_disk(scratch: Path) -> Order:
    """Fetch with the device's own parts, a hook at each write and flush, and see what each bitmap speaks of."""
    order, written, durable = Order(), set[int](), set[int]()

    class Watched(Part):
        def write(self, number: int, data: bytes | memoryview) -> None:
            super().write(number, data)
            written.add(number)

        def sync(self) -> None:
            before = set(written)
            super().sync()
            durable.update(before)

    class Bitmaps(Store):
        def save_progress(self, artifact: str, bitmap: Bitmap, tally: Tally) -> None:
            order.commits += 1
            order.early += any(number in bitmap and number not in durable for number in range(bitmap.size))
            super().save_progress(artifact, bitmap, tally)

    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        file = Path(folder, "model")
        write_noise(file, 16 * MIB)
        cut = cut_file(file)
        _fetch(Path(folder), cut.digest, cut.chunks, stored_pieces(file, cut.chunks), Watched, Bitmaps)
    return order


def _fetch(
    folder: Path,
    artifact: str,
    chunks: tuple[ChunkRef, ...],
    stored: list[bytes],
    part: type[Part],
    store_class: type[Store],
) -> None:
    folders = Folders(folder / "state")
    folders.prepare()
    store, inbox = store_class(folders.database), Inbox()
    store.save_manifest(artifact, "model", b"")

    def answer(payload: bytes) -> None:
        request = decode_request(payload)
        numbers = [number for run in request.runs for number in range(run.first, run.first + run.length)]
        pieces = ((number, stored[number]) for number in numbers)
        for frame in chunk_frames(artifact, request.epoch, pieces, FRAME_BYTES):
            inbox.post(lambda frame=frame: fetches.tell(FrameArrived(frame)))

    around = Surroundings(
        device="box",
        store=store,
        folders=folders,
        disk=Worker("disk", inbox.post),
        send=answer,
        now=time.monotonic,
        max_frame_bytes=FRAME_BYTES,
        settings=PaceSettings(),
        open_part=part,
    )
    fetches = Fetches(around, 1)
    ended: list[Finished | GivenUp] = []
    fetches.tell(Reconnected())
    fetches.start_chunks("model", artifact, chunks, ended.append)
    until = time.monotonic() + 60
    while not ended and time.monotonic() < until:
        call = inbox.take(0.05)
        if call is not None:
            call()
    around.disk.close()
    store.close()
    assert ended, "the fetch did not end"
    assert isinstance(ended[0], Finished), ended[0]
