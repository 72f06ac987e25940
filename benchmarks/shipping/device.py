"""A device of `ship.py`: the daemon's own machinery (`Fetches`, `Part`, `Store`), or the protocol into nothing."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from queue import Empty

from benchmarks.shipping.place import FRAME_BYTES, TOPICS, Meter, Plan, plan_of_arguments, wait_for_go
from edge_runtime.folders import Folders
from edge_runtime.line import Inbox
from edge_runtime.store import Store
from edge_runtime.transfer import Fetches, Surroundings
from edge_runtime.worker import Worker
from toolkit.link.buffers import keep_buffers
from toolkit.link.choose import make_link
from toolkit.link.link import Arrived, Connected, Link
from toolkit.link.settings import settings_from_url
from toolkit.protocol import transfer
from toolkit.protocol.bitmap import Bitmap
from toolkit.protocol.exchange import (
    ChunksStored,
    Commit,
    Finished,
    FrameArrived,
    GivenUp,
    Reconnected,
    Request,
    Tick,
)
from toolkit.protocol.exchange import Store as StoreChunk
from toolkit.protocol.pace import PaceSettings
from toolkit.wire.index import ChunkRef, decode_index, distinct_chunks
from toolkit.wire.request import encode_request

TICK_SECONDS = 0.05


def main() -> None:
    """Connect, wait for the word, fetch, and say what it took."""
    keep_buffers()  # as the daemon does
    plan = plan_of_arguments()
    raw = Path(plan.folder, "index").read_bytes()
    chunks = distinct_chunks(decode_index(raw, Path(plan.folder, "index.digest").read_text()))
    del raw
    url = f"mqtt://{plan.host}:{plan.port}"
    link = make_link(replace(settings_from_url(url, plan.device), client=plan.client))
    link.subscribe(TOPICS.data(plan.device))
    link.subscribe(TOPICS.desired(plan.device), qos=1)
    link.connect()
    while not isinstance(link.events.get(timeout=60), Connected):
        continue
    run = _durable if plan.state else _dropped
    run(plan, link, chunks)
    link.flush(5)
    link.close()


def _answer(plan: Plan, link: Link, payload: bytes) -> None:
    """Say that a word of the operator has come: the control round trip."""
    link.publish(TOPICS.state(plan.device), payload, qos=1)


# ---------------------------------------------------------------- the transport alone
def _dropped(plan: Plan, link: Link, chunks: tuple[ChunkRef, ...]) -> None:  # noqa: C901  # one loop
    wait_for_go()
    meter = Meter()
    pace = PaceSettings(max_window=plan.window_bytes)
    held, actions = transfer.begin(
        plan.device,
        plan.artifact,
        chunks,
        Bitmap.empty(len(chunks)),
        max_frame_bytes=FRAME_BYTES,
        settings=pace,
    )
    ticked, data = time.monotonic(), TOPICS.data(plan.device)
    waiting: list[transfer.TransferEvent] = [Reconnected()]
    while not held.finished:
        if not waiting:
            try:
                event = link.events.get(timeout=TICK_SECONDS)
            except Empty:
                waiting.append(Tick())
                continue
            if isinstance(event, Arrived) and event.topic == data:
                waiting.append(FrameArrived(event.payload))
            elif isinstance(event, Arrived):
                _answer(plan, link, event.payload)
            continue
        now = time.monotonic()
        if now - ticked > TICK_SECONDS:
            ticked = now
            waiting.append(Tick())
        held, actions = transfer.step(held, waiting.pop(), now)
        stored: list[int] = []
        for action in actions:
            if isinstance(action, Request):
                link.publish(TOPICS.request(plan.device), encode_request(action.request))
            elif isinstance(action, StoreChunk):
                stored.append(action.number)
            elif isinstance(action, Commit):
                waiting.append(transfer.Committed(action.numbers))
            elif isinstance(action, GivenUp):
                raise SystemExit(action.reason)
        if stored:
            waiting.append(ChunksStored(tuple(stored)))
    print(meter.told(received=held.counters.received, resent=held.counters.resent), flush=True)


# ---------------------------------------------------------------- verified and durable
def _durable(plan: Plan, link: Link, chunks: tuple[ChunkRef, ...]) -> None:
    folders = Folders(Path(plan.state))
    folders.prepare()
    store = Store(folders.database)
    store.save_manifest(plan.artifact, "model", b"")
    inbox = Inbox()
    disk = Worker("disk", inbox.post)
    around = Surroundings(
        device=plan.device,
        store=store,
        folders=folders,
        disk=disk,
        send=partial(link.publish, TOPICS.request(plan.device)),
        now=time.monotonic,
        max_frame_bytes=FRAME_BYTES,
        settings=PaceSettings(max_window=plan.window_bytes),
    )
    fetches = Fetches(around, 1)
    ended: list[Finished | GivenUp] = []
    gate = threading.Semaphore(64)
    threading.Thread(target=_pump, args=(plan, link, inbox, fetches, gate), daemon=True).start()
    wait_for_go()
    meter = Meter()
    fetches.tell(Reconnected())
    fetches.start_chunks("model", plan.artifact, chunks, ended.append)
    ticked = time.monotonic()
    while not ended:
        call = inbox.take(TICK_SECONDS)
        if call is not None:
            call()
        if time.monotonic() - ticked > TICK_SECONDS:
            ticked = time.monotonic()
            fetches.tell(Tick())
    if isinstance(ended[0], GivenUp):
        raise SystemExit(ended[0].reason)
    tally = store.tally(plan.artifact)
    print(meter.told(received=tally.received, resent=tally.resent), flush=True)
    disk.close()
    store.close()


def _pump(plan: Plan, link: Link, inbox: Inbox, fetches: Fetches, gate: threading.Semaphore) -> None:
    """Carry events to the control thread as the daemon does, a bounded number at a time."""

    def happened(event: Arrived) -> None:
        gate.release()
        if event.topic == TOPICS.data(plan.device):
            fetches.tell(FrameArrived(event.payload))
        else:
            _answer(plan, link, event.payload)

    while True:
        event = link.events.get()
        if isinstance(event, Arrived):
            gate.acquire()
            inbox.post(partial(happened, event))


if __name__ == "__main__":
    main()
