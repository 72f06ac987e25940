"""The tools that people use instead, run as their pages say: rsync, rclone, restic, borg."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from benchmarks.syncing.places import Place
from benchmarks.syncing.process import Ran, bytes_below, run

PROGRAMS = ("rsync", "rclone", "restic", "borg")


def missing() -> list[str]:
    """Name the peers that are not on this machine."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


class Rsync:
    """`rsync -a --delete`; over SSH with the same cipher as ours."""

    def __init__(self, place: Place, *options: str) -> None:
        """Begin with an empty place."""
        self.name = " ".join(("rsync", *options))
        self._place = place
        self._options = options

    def sync(self, source: Path) -> Ran:
        """Make the place equal to the source."""
        return self._copy(f"{source}/", self._there(source.name))

    def restore(self, source: Path, target: Path) -> Ran:
        """Copy everything back."""
        return self._copy(self._there(source.name), f"{target}/{source.name}/")

    def moved(self, ran: Ran) -> int:
        """Give the bytes of files that it sent."""
        literal = re.search(r"Literal data: ([\d,]+)", ran.output)
        assert literal
        return int(literal[1].replace(",", ""))

    def _there(self, name: str) -> str:
        server = self._place.ssh
        host = f"{server.user}@{server.host}:" if server else ""
        return f"{host}{self._place.folder}/{name}/"

    def _copy(self, here: str, there: str) -> Ran:
        shell = ["-e", " ".join(_ssh(self._place))] if self._place.ssh else []
        return run(["rsync", "-a", "--delete", "--stats", *self._options, *shell, here, there])


class Rclone:
    """`rclone sync` with its defaults."""

    def __init__(self, place: Place) -> None:
        """Begin with an empty place."""
        self.name = "rclone"
        self._place = place

    def sync(self, source: Path) -> Ran:
        """Make the place equal to the source."""
        return self._run(str(source), f"{self._there()}/{source.name}")

    def restore(self, source: Path, target: Path) -> Ran:
        """Copy everything back."""
        return self._run(f"{self._there()}/{source.name}", f"{target}/{source.name}")

    def moved(self, ran: Ran) -> int:
        """It does not say to the byte; what crossed the wire is the nearest."""
        return ran.wire

    def _there(self) -> str:
        service = self._place.s3
        if service is None:
            return str(self._place.folder)
        options = f"provider=Other,env_auth=true,endpoint='{service.endpoint}',region={service.region}"
        return f":s3,{options}:{self._place.bucket}"

    def _run(self, here: str, there: str) -> Ran:
        return run(
            ["rclone", "sync", "--config", "/dev/null", "--quiet", here, there],
            env={**_login(self._place), "AWS_CA_BUNDLE": ""},
        )  # 1.60 cannot take one


class Restic:
    """`restic backup`; it always encrypts."""

    def __init__(self, place: Place) -> None:
        """Make the repository."""
        self.name = "restic"
        self._place = place
        self._last = 0
        self._run("init")

    def sync(self, source: Path) -> Ran:
        """Take a snapshot."""
        return self._run("backup", source.name, cwd=source.parent)

    def restore(self, source: Path, target: Path) -> Ran:
        """Restore the newest snapshot."""
        del source
        return self._run("restore", "latest", "--target", str(target))

    def moved(self, ran: Ran) -> int:
        """Give how much the repository grew."""
        before, self._last = self._last, bytes_below(self._place.folder)
        return self._last - before if self._place.kind != "moto" else ran.wire

    def _run(self, *arguments: str, cwd: Path | None = None) -> Ran:
        where, options = str(self._place.folder), []
        if self._place.ssh is not None:
            server = self._place.ssh
            options = [
                "-o",
                f"sftp.command={' '.join(_ssh(self._place))} {server.user}@{server.host} -s sftp",
            ]
            where = f"sftp:{server.user}@{server.host}:{self._place.folder}/repository"
        if self._place.s3 is not None:
            where = f"s3:{self._place.s3.endpoint}/{self._place.bucket}"
        command = ["restic", *options, "--no-cache", "--quiet", "-r", where, *arguments]
        if arguments[0] == "backup":
            command.remove("--no-cache")  # what it knows of its repository is what makes a second run quick
        cache = str(self._place.folder.parent / f".restic-{self._place.folder.name}")
        return run(
            command,
            cwd=cwd,
            env={"RESTIC_PASSWORD": "benchmark", "RESTIC_CACHE_DIR": cache, **_login(self._place)},
        )


class Borg:
    """`borg create --compression zstd,1`, without encryption or with."""

    def __init__(self, place: Place, *, encrypted: bool = False) -> None:
        """Make the repository."""
        self.name = "borg" + (", encrypted" if encrypted else "")
        self._place = place
        self._last = self._archives = 0
        self._run("init", "--encryption", "repokey-blake2" if encrypted else "none", self._where())

    def sync(self, source: Path) -> Ran:
        """Make an archive."""
        self._archives += 1
        name = f"{self._where()}::{self._archives}"
        return self._run("create", "--compression", "zstd,1", name, source.name, cwd=source.parent)

    def restore(self, source: Path, target: Path) -> Ran:
        """Extract the newest archive."""
        del source
        return self._run("extract", f"{self._where()}::{self._archives}", cwd=target)

    def moved(self, ran: Ran) -> int:
        """Give how much the repository grew."""
        before, self._last = self._last, bytes_below(self._place.folder)
        return self._last - before if self._place.kind != "moto" else ran.wire

    def _where(self) -> str:
        server = self._place.ssh
        folder = f"{self._place.folder}/repository"
        return f"ssh://{server.user}@{server.host}:{server.port}{folder}" if server else folder

    def _run(self, *arguments: str, cwd: Path | None = None) -> Ran:
        base = str(self._place.folder.parent / f".borg-{self._place.folder.name}")
        env = {
            "BORG_PASSPHRASE": "benchmark",
            "BORG_BASE_DIR": base,
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        }
        if self._place.ssh is not None:
            env["BORG_RSH"] = " ".join(_ssh(self._place))
        return run(["borg", *arguments], cwd=cwd, env=env)


def _ssh(place: Place) -> Iterable[str]:
    """Give the command of SSH with the login, the believed host key and the fast cipher."""
    server = place.ssh
    assert server is not None
    options = {
        "Port": server.port,
        "IdentityFile": server.key_file,
        "UserKnownHostsFile": server.known_hosts_file,
        "IdentitiesOnly": "yes",
        "Ciphers": "aes128-gcm@openssh.com",
        "BatchMode": "yes",
    }
    return [
        "ssh",
        "-F",
        "none",
        *(word for name, value in options.items() for word in ("-o", f"{name}={value}")),
    ]


def _login(place: Place) -> dict[str, str]:
    if place.s3 is None:
        return {}
    words = dict(line.split(" = ") for line in place.s3.credentials_file.read_text().splitlines()[1:])
    return {name.upper(): value for name, value in words.items()} | {"AWS_REGION": place.s3.region}
