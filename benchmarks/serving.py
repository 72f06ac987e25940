"""Inference over HTTP on one machine, against aiohttp and the standard library's server in the same run.

    python benchmarks/serving.py [--quick] [--json] [--repeat N]

All three serve the digits model of this repository in ONNX Runtime with one thread, in a process of their own, and
answer the same bytes. `aiohttp` is what one would write with it: read the body, NumPy, the session in a thread pool of
one, uvloop underneath. `http.server` is ThreadingHTTPServer with the session behind a lock. A closed loop of C clients
on the same machine asks in turn; each case is measured for all three by turns and the table has medians.

Look at the processor time first: clients and server share the cores, so wall figures say as much about the client.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import uvloop

MODEL = Path(__file__).resolve().parents[1] / "examples" / "models" / "digits" / "v1.onnx"
PATH = "/v2/models/digits/infer"
OURS, AIOHTTP, STDLIB = "tiers-edge", "aiohttp", "http.server"
HEADER_LENGTH = "Inference-Header-Content-Length"

# Clients -> ours as a multiple of aiohttp's: processor time of the server a request, and requests a second. From the
# figures of a prototype (47 to 83 µs and 11.4 to 5.6 thousand at 64 clients), frozen before the first run.
TARGETS = {1: (0.7, 1.3), 8: (0.7, 1.5), 32: (0.7, 1.5)}


# ---------------------------------------------------------------- the three servers
def serve_ours(announce: Callable[[int], None]) -> None:
    """Serve the way the daemon does."""
    from edge_runtime.engine.choose import open_engine
    from edge_runtime.serving.loop import run
    from edge_runtime.serving.models import ModelTable
    from edge_runtime.serving.server import Server
    from toolkit.wire.device_config import ModelConfig, ServingConfig

    async def main() -> None:
        table = ModelTable([ModelConfig(name="digits", max_batch=32)])
        await table.swap("digits", "1", open_engine(MODEL))
        server = Server(ServingConfig(port=0), table)
        await server.start()
        announce(server.port)
        await asyncio.Event().wait()

    run(main())


class Plain:
    """What both peers do with a request's bytes; the least that the protocol asks for."""

    def __init__(self) -> None:
        """Load the model with the same settings as ours."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])

    def answer(self, body: bytes, header_length: str) -> tuple[bytes, int]:
        """Give the body of the answer and the length of its JSON."""
        size = int(header_length)
        [tensor] = json.loads(body[:size])["inputs"]
        array = np.frombuffer(body, np.float32, offset=size).reshape(tensor["shape"])
        logits = self.session.run(["logits"], {tensor["name"]: array})[0]
        output = {
            "name": "logits",
            "datatype": "FP32",
            "shape": logits.shape,
            "parameters": {"binary_data_size": logits.nbytes},
        }
        head = json.dumps({"model_name": "digits", "model_version": "1", "outputs": [output]}).encode()
        return head + logits.tobytes(), len(head)


def serve_aiohttp(announce: Callable[[int], None]) -> None:
    """Serve with aiohttp."""
    from concurrent.futures import ThreadPoolExecutor

    from aiohttp import web

    plain, pool = Plain(), ThreadPoolExecutor(1)

    async def infer(request: web.Request) -> web.Response:
        body = await request.read()
        loop = asyncio.get_running_loop()
        answer, size = await loop.run_in_executor(pool, plain.answer, body, request.headers[HEADER_LENGTH])
        return web.Response(
            body=answer, content_type="application/octet-stream", headers={HEADER_LENGTH: str(size)}
        )

    async def main() -> None:
        app = web.Application()
        app.router.add_post(PATH, infer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        announce(int(runner.addresses[0][1]))
        await asyncio.Event().wait()

    uvloop.run(main())


def serve_stdlib(announce: Callable[[int], None]) -> None:
    """Serve with the standard library."""
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    plain, lock = Plain(), threading.Lock()

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                answer, size = plain.answer(body, self.headers[HEADER_LENGTH])
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(len(answer)))
            self.send_header(HEADER_LENGTH, str(size))
            self.end_headers()
            self.wfile.write(answer)
            self.wfile.flush()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the method it replaces
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    announce(server.server_port)
    server.serve_forever()


SERVERS = {OURS: serve_ours, AIOHTTP: serve_aiohttp, STDLIB: serve_stdlib}


# ---------------------------------------------------------------- measuring
@dataclass
class Measured:
    """Figures of one server in one case, one entry a repetition."""

    cpu_us: list[float] = field(default_factory=list)
    """Processor time of the server, microseconds a request."""
    rate: list[float] = field(default_factory=list)
    """Requests a second."""
    p99_ms: list[float] = field(default_factory=list)


class Running:
    """One server in a process of its own."""

    def __init__(self, name: str) -> None:
        """Start it and wait for its port."""
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve", name], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def cpu_seconds(self) -> float:
        """Read the processor time of all its threads, those that ended too, from the process's own Linux clock.

        clock_getcpuclockid(3) computes its number this way; /proc/PID/stat knows only whole ticks of 10 ms.
        """
        return time.clock_gettime((~self.process.pid << 3) | 2)

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


def request_bytes() -> bytes:
    """One image in the binary extension."""
    image = np.linspace(0, 1, 64, dtype=np.float32)
    tensor = {
        "name": "image",
        "shape": [1, 1, 8, 8],
        "datatype": "FP32",
        "parameters": {"binary_data_size": image.nbytes},
    }
    document = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    head = json.dumps(document).encode()
    lines = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\n{HEADER_LENGTH}: {len(head)}\r\n"
    return f"{lines}Content-Length: {len(head) + image.nbytes}\r\n\r\n".encode() + head + image.tobytes()


class Client(asyncio.Protocol):
    """Asks again as soon as it has its answer; lean, because it shares the cores with the server."""

    def __init__(self, request: bytes, turns: int, times: list[float], answers: set[bytes]) -> None:
        """Ask this many times; add the seconds of each answer to `times`, and the logits that came to `answers`."""
        self.request, self.turns, self.times, self.answers = request, turns, times, answers
        self.length = 0  # of a whole answer; all answers of a server are equally long
        self.got = b""
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first time."""
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        """Send the request."""
        self.began = time.perf_counter()
        self.transport.write(self.request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        """Take in an answer, or a part of one."""
        self.got += data
        if not self.length and b"\r\n\r\n" in self.got:
            head = self.got.partition(b"\r\n\r\n")[0]
            lines = head.lower().split(b"\r\n")
            body = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
            self.length = len(head) + 4 + body
        if not self.length or len(self.got) < self.length:
            return
        self.times.append(time.perf_counter() - self.began)
        assert len(self.got) == self.length
        assert self.got.startswith(b"HTTP/1.1 200"), self.got
        self.answers.add(self.got[-40:])
        self.got = b""
        self.turns -= 1
        if self.turns:
            self.ask()
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that it is over; before the last answer that is an error."""
        if self.turns:
            self.done.set_exception(exc or AssertionError("the server closed the connection"))
        else:
            self.done.set_result(None)


def load(port: int, clients: int, requests: int) -> tuple[float, list[float], set[bytes]]:
    """Run a closed loop; give wall seconds, the seconds of each request, and the different logits seen."""
    request, times, answers = request_bytes(), list[float](), set[bytes]()

    async def main() -> float:
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        asking = []
        for _ in range(clients):
            _, client = await loop.create_connection(
                lambda: Client(request, requests // clients, times, answers), "127.0.0.1", port
            )
            asking.append(client.done)
        await asyncio.gather(*asking)
        return time.perf_counter() - began

    return uvloop.run(main()), times, answers


def measure(requests: int, repeat: int) -> dict[int, dict[str, Measured]]:
    """Measure every case for every server, by turns."""
    found = {clients: {name: Measured() for name in SERVERS} for clients in TARGETS}
    running = {name: Running(name) for name in SERVERS}
    logits: list[np.ndarray] = []
    try:
        for name in SERVERS:
            load(running[name].port, 8, 200)
        for _ in range(repeat):
            for clients, by_name in found.items():
                for name, measured in by_name.items():
                    before = running[name].cpu_seconds()
                    wall, times, answers = load(running[name].port, clients, requests)
                    measured.cpu_us.append((running[name].cpu_seconds() - before) / len(times) * 1e6)
                    measured.rate.append(len(times) / wall)
                    measured.p99_ms.append(statistics.quantiles(times, n=100)[-1] * 1e3)
                    logits += [np.frombuffer(each, np.float32) for each in answers]
    finally:
        for each in running.values():
            each.stop()
    assert all(np.allclose(each, logits[0], atol=1e-4) for each in logits), "the servers do not agree"
    return found


def rows_of(found: dict[int, dict[str, Measured]]) -> list[dict[str, object]]:
    """Make the rows of the report; a ratio is ours divided by the peer's."""
    rows: list[dict[str, object]] = []
    for clients, by_name in found.items():
        cpu_target, rate_target = TARGETS[clients]
        for peer in (AIOHTTP, STDLIB):
            for what, unit in (("cpu_us", "µs CPU/request"), ("rate", "requests/s"), ("p99_ms", "ms p99")):
                ours, theirs = (statistics.median(getattr(by_name[name], what)) for name in (OURS, peer))
                ratio = ours / theirs
                target, met = None, None
                if peer == AIOHTTP and what == "cpu_us":
                    target, met = cpu_target, ratio <= cpu_target
                elif peer == AIOHTTP and what == "rate":
                    target, met = rate_target, ratio >= rate_target
                rows.append(
                    {
                        "case": f"{clients} clients, {peer}",
                        "ours": round(ours, 2),
                        "peer": round(theirs, 2),
                        "unit": unit,
                        "ratio": round(ratio, 3),
                        "target": target,
                        "met": met,
                    }
                )
    return rows


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few requests, one repetition: for CI")
    parser.add_argument("--json", action="store_true", help="print rows as JSON")
    parser.add_argument("--repeat", type=int, default=0, help="repetitions (default 5, quick 1)")
    parser.add_argument("--serve", choices=list(SERVERS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        SERVERS[given.serve](lambda port: print(port, flush=True))
        return 0
    rows = rows_of(measure(640 if given.quick else 6400, given.repeat or (1 if given.quick else 5)))
    if given.json:
        print(json.dumps({"benchmark": "serving", "rows": rows}, indent=2))
        return 0
    print(f"{'case':<24} {'ours':>9} {'peer':>9} {'unit':<15} {'ratio':>6}  target")
    for row in rows:
        target = "" if row["target"] is None else f"{row['target']} {'met' if row['met'] else 'MISSED'}"
        print(
            f"{row['case']:<24} {row['ours']:>9} {row['peer']:>9} {row['unit']:<15} {row['ratio']:>6}  {target}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
