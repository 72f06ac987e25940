"""A real OpenSSH server of a test's own: any user may run it, on a free port of loopback, with its own keys."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.ports import free_ports
from toolkit.sync.remotes.ssh_command import Login
from toolkit.sync.task import Storage

_SECONDS = 120.0


def sshd_program() -> str | None:
    """Find sshd, which insists on being called by its full path."""
    return shutil.which(
        "sshd", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    )


@dataclass
class SshServer:
    """The server. `stop` and `start` keep port and keys: one that goes and comes."""

    folder: Path
    settings: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    user: str = field(default_factory=lambda: pwd.getpwuid(os.geteuid()).pw_name)

    @property
    def key_file(self) -> Path:
        """The private key that it lets in."""
        return self.folder / "user_key"

    @property
    def known_hosts_file(self) -> Path:
        """The file with its host key."""
        return self.folder / "known_hosts"

    @property
    def login(self) -> Login:
        """What lets a client in."""
        return Login(self.host, self.port, self.user, str(self.key_file), str(self.known_hosts_file))

    def storage(self, path: Path, tier: str = "cold") -> Storage:
        """Give a folder behind the server as the storage of a task; the folder must be there."""
        return Storage(
            tier=tier,
            url=f"sftp://{self.user}@{self.host}:{self.port}{path}",
            layout="packs",
            credentials_file=str(self.key_file),
            known_hosts_file=str(self.known_hosts_file),
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("host_key", "user_key"):
            if not (self.folder / name).exists():
                make = [
                    "ssh-keygen",
                    "-q",
                    "-t",
                    "ed25519",
                    "-N",
                    "",
                    "-C",
                    name,
                    "-f",
                    str(self.folder / name),
                ]
                subprocess.run(make, check=True, timeout=_SECONDS)
        if not self.port:
            (self.port,) = free_ports(1)
        public = (self.folder / "host_key.pub").read_text().split()[:2]
        self.known_hosts_file.write_text(f"[{self.host}]:{self.port} {' '.join(public)}\n")
        config = self.folder / "sshd_config"
        lines = [
            f"ListenAddress {self.host}:{self.port}",
            f"HostKey {self.folder / 'host_key'}",
            f"AuthorizedKeysFile {self.folder / 'user_key.pub'}",
            f"PidFile {self.folder / 'pid'}",
            "StrictModes no",  # the folders of tests lie below /tmp
            "UsePAM no",
            "PermitRootLogin prohibit-password",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "MaxStartups 200",
            *(self.settings or ("Subsystem sftp internal-sftp",)),
        ]
        config.write_text("\n".join(lines) + "\n")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where root's sshd locks itself in
        program = sshd_program()
        assert program is not None
        with (self.folder / "log").open("ab") as log:
            command = [program, "-D", "-e", "-f", str(config)]
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline, pause = time.monotonic() + _SECONDS, threading.Event()
        while True:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            try:
                with socket.create_connection((self.host, self.port), timeout=5) as line:
                    assert line.recv(4) == b"SSH-"
                    return
            except OSError:
                assert time.monotonic() < deadline, (self.folder / "log").read_text()
                pause.wait(0.02)

    def stop(self) -> None:
        """End it, its connections too, and wait until it is gone."""
        if self.process is not None:
            os.kill(self.process.pid, signal.SIGSTOP)  # from here on it takes no new connection
            for child in (*self.connections(), self.process.pid):
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            self.process.wait(timeout=_SECONDS)
            self.process = None

    def cut(self) -> int:
        """Kill every connection, as a line that breaks; the server goes on. Give how many there were."""
        children = self.connections()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        return len(children)

    def connections(self) -> list[int]:
        """Processes below the server, each in a session of its own."""
        assert self.process is not None
        found: list[int] = []
        parents = [self.process.pid]
        while parents:
            below = Path(f"/proc/{parents[0]}/task/{parents[0]}/children")
            del parents[0]
            try:
                children = [int(each) for each in below.read_text().split()]
            except (FileNotFoundError, ProcessLookupError):
                continue
            found += children
            parents += children
        return found
