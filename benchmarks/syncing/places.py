"""Where things are moved to: a folder, a host of SSH, a bucket of S3; the servers are real ones on loopback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))  # the servers are the tests'

from tests.contracts.s3_server import S3Server, gateway_program, moto_program  # noqa: E402 -- after the path
from tests.contracts.ssh_server import SshServer, sshd_program  # noqa: E402 -- the same


@dataclass(frozen=True)
class Place:
    """A folder on this disk and how it is reached. The folder is looked into to count what was stored.

    moto has none, it keeps everything in memory; there the bytes on the wire are counted.
    """

    kind: str
    folder: Path
    ssh: SshServer | None = None
    s3: S3Server | None = None
    bucket: str = ""

    def fresh(self, name: str) -> Place:
        """Give an empty place of the same kind."""
        if self.s3 is not None:
            bucket = f"bench-{name}"
            self.s3.storage(bucket)
            return Place(self.kind, self.s3.folder / "data" / bucket, s3=self.s3, bucket=bucket)
        folder = self.folder / name
        folder.mkdir()
        return Place(self.kind, folder, self.ssh)


@contextmanager
def place_of(kind: str, folder: Path) -> Iterator[Place]:
    """Open a place: `local`, `reflink`, `ssh`, `s3` or `moto`; its server ends with it."""
    folder.mkdir()
    if kind in {"local", "reflink"}:
        yield Place(kind, folder)
    elif kind == "ssh":
        assert sshd_program(), "sshd is missing; to bring it: scripts/bring-openssh"
        server = SshServer(folder / "server")
        server.start()
        try:
            yield Place(kind, folder, ssh=server)
        finally:
            server.stop()
    else:
        server = "moto" if kind == "moto" else "versitygw"
        assert moto_program() if kind == "moto" else gateway_program(), (
            f"{server} is missing: scripts/bring-s3"
        )
        service = S3Server(folder / "service", server)
        service.start()
        try:
            yield Place(kind, folder, s3=service)
        finally:
            service.stop()
