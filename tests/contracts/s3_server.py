"""Two S3 services of a test's own, on free ports of loopback: versitygw, a real one, and moto's double."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

from tests.ports import free_ports
from toolkit.sync.remotes.s3 import Bucket, Login, S3Remote
from toolkit.sync.task import Storage

_SECONDS = 120.0
_ACCESS, _SECRET = "test-access", "test-secret-key"


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("TIERS_CACHE") or Path(base) / "tiers") / "s3"


def gateway_program() -> Path | None:
    """Find versitygw where scripts/bring-s3 puts it, whichever Go has made it."""
    return next(iter(sorted(_cache().glob("versitygw-v1.8.0-*/versitygw"))), None)


def moto_program() -> Path | None:
    """Find moto's server of this Python where scripts/bring-s3 puts it."""
    abi = f"cp{sys.version_info.major}{sys.version_info.minor}"
    return next(iter(_cache().glob(f"moto-5.2.5-{abi}/bin/moto_server")), None)


@dataclass
class S3Server:
    """A service with as many buckets as a test makes. `stop` and `start` keep port and folder."""

    folder: Path
    kind: str = "versitygw"
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    region: str = "us-east-1"
    buckets: set[str] = field(default_factory=set)
    certificate: tuple[Path, Path] | None = None
    """Certificate and key of a versitygw that speaks TLS."""

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self.port}"

    @property
    def credentials_file(self) -> Path:
        """File with the access key, as `credentials_file` of a storage wants it."""
        return self.folder / "credentials"

    def bucket(self, name: str, prefix: str = "", *, object_class: str = "") -> Bucket:
        """Give a bucket, made when it is missing, with the login."""
        self._make(name)
        return Bucket(
            name=name,
            prefix=prefix,
            endpoint=self.endpoint,
            region=self.region,
            login=lambda: Login(_ACCESS, _SECRET),
            object_class=object_class,
        )

    def remote(self, name: str, prefix: str = "") -> S3Remote:
        """Give a Remote in a bucket."""
        return S3Remote(self.bucket(name, prefix), patience=20.0)

    def storage(self, name: str, prefix: str = "", tier: str = "cold") -> Storage:
        """Give a bucket as the storage of a task."""
        self._make(name)
        return Storage(
            tier=tier,
            url=f"s3://{name}{'/' + prefix if prefix else ''}",
            layout="packs",
            endpoint=self.endpoint,
            region=self.region,
            credentials_file=str(self.credentials_file),
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = ["[default]", f"aws_access_key_id = {_ACCESS}", f"aws_secret_access_key = {_SECRET}"]
        self.credentials_file.write_text("\n".join(lines) + "\n")
        self.credentials_file.chmod(0o600)
        if not self.port:
            (self.port,) = free_ports(1)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder
            )
        deadline, pause = time.monotonic() + _SECONDS, threading.Event()
        while not self._answers():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            pause.wait(0.05)

    def stop(self) -> None:
        """End it and wait until it is gone."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(timeout=_SECONDS)
            self.process = None

    def _command(self) -> list[str]:
        if self.kind == "moto":
            return [str(moto_program()), "-H", "127.0.0.1", "-p", str(self.port)]
        data, sidecar = self.folder / "data", self.folder / "sidecar"
        data.mkdir(exist_ok=True)
        sidecar.mkdir(exist_ok=True)
        own = ["--port", f"127.0.0.1:{self.port}", "--access", _ACCESS, "--secret", _SECRET, "--quiet"]
        if self.certificate:
            own += ["--cert", str(self.certificate[0]), "--key", str(self.certificate[1])]
        return [str(gateway_program()), *own, "posix", "--sidecar", str(sidecar), str(data)]

    def request(self, method: str, path: str) -> bytes:
        """Ask without a login, which only moto allows; an answer that is an error is given as it is."""
        line = HTTPConnection("127.0.0.1", self.port, timeout=_SECONDS)
        try:
            line.request(method, path)
            return line.getresponse().read()
        finally:
            line.close()

    def _answers(self) -> bool:
        try:
            if self.certificate:
                socket.create_connection(("127.0.0.1", self.port), timeout=60).close()
            else:
                self.request("GET", "/")
        except OSError:
            return False
        return True

    def _make(self, name: str) -> None:
        if name not in self.buckets and self.kind == "moto":
            self.request("PUT", f"/{name}")
        elif name not in self.buckets:
            (self.folder / "data" / name).mkdir(exist_ok=True)
        self.buckets.add(name)
