"""The file system that the benchmark mounts goes with it, whatever ends it; where there can be none, it says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from benchmarks.syncing.image import UnusableError, check

PROGRAM = Path(__file__).parents[3] / "benchmarks/sync.py"
MOUNTS = "mkfs.xfs -q IMAGE && mkdir MOUNT && mount -o loop IMAGE MOUNT && umount MOUNT"


@pytest.fixture(scope="module")
def mountable(tmp_path_factory):
    """Skip where XFS in a file cannot be mounted."""
    folder = tmp_path_factory.mktemp("probe")
    with (folder / "IMAGE").open("wb") as file:
        file.truncate(320 << 20)
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    command = ["unshare", "-n", "-m", "sh", "-c", MOUNTS]
    probe = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, check=False
    )
    if probe.returncode:
        pytest.skip(
            "needs hardware: a kernel in which this user may mount an XFS that lies in a file (xfsprogs)"
        )


@pytest.mark.usefixtures("mountable")
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_whatever_ends_it_the_mount_and_the_device_go(tmp_path, stop):
    command = [sys.executable, str(PROGRAM), "--quick", "--place", "reflink", "--walk", "large"]
    with subprocess.Popen(
        [*command, "--folder", str(tmp_path)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as running:
        assert running.stderr is not None
        said = next((line for line in running.stderr if "first copy" in line), None)
        assert said is not None, "it ended before it measured anything"
        (image,) = tmp_path.glob("*/image")
        assert devices(image) != ""
        running.send_signal(stop)
        running.stderr.read()  # ends with the last process that holds it
    assert running.returncode == {signal.SIGTERM: 143, signal.SIGINT: -2, signal.SIGKILL: -9}[stop]
    until = time.monotonic() + 60  # the kernel takes a namespace away after its last process, not with it
    while devices(image) and time.monotonic() < until:
        threading.Event().wait(0.05)
    assert devices(image) == ""
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()
    if stop != signal.SIGKILL:
        assert list(tmp_path.iterdir()) == []


def devices(image: Path) -> str:
    return subprocess.run(
        ["/usr/sbin/losetup", "--associated", image], capture_output=True, text=True, check=True
    ).stdout


def test_who_is_not_root_is_told_so(tmp_path):
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(UnusableError, match="only root may: run it with sudo, or leave the place out"):
            check(tmp_path, 1)
    finally:
        os.seteuid(before)


@pytest.mark.usefixtures("mountable")
def test_a_disk_that_is_too_full_is_named_before_anything_is_measured(tmp_path):
    with pytest.raises(UnusableError, match=r"needs \d+ GB in .*: name another --folder"):
        check(tmp_path, 1 << 60)
