"""What this machine is: the `Fingerprint` in its reports, and what it can do now for `protocol.offer`.

Everything is read from files and package metadata, so nothing heavy is imported; a card of a server is asked through
NVIDIA's own program. Each fact may be missing.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from toolkit.errors import EngineError, MissingExtraError
from toolkit.wire.fingerprint import Fingerprint

_RELEASE = re.compile(r"# R(\d+) \(release\), REVISION: ([\d.]+)")
_ROOT: Final = Path("/")
_CAPABILITIES: Final = {
    "tegra210": "5.3",
    "tegra186": "6.2",
    "tegra194": "7.2",
    "tegra234": "8.7",
    "tegra264": "11.0",
}
"""Compute capability of a Jetson's GPU by the chip (NVIDIA, CUDA GPU list): Nano, TX2, Xavier, Orin, Thor."""
_CHIPS: Final = {"33": "tegra210", "24": "tegra186", "25": "tegra194", "35": "tegra234", "38": "tegra264"}
"""The same chips as the kernel numbers them in soc_id (Linux, include/soc/tegra/fuse.h, decimal there)."""
_JETPACKS: Final = (
    ("32.7", "4.6"),
    ("35.1", "5.0"),
    ("35.", "5.1"),
    ("36.2", "6.0"),
    ("36.3", "6.0"),
    ("36.4.0", "6.1"),
    ("36.4.3", "6.2"),
    ("36.4.4", "6.2.1"),
    ("36.4", "6.2"),
    ("38.2", "7.0"),
    ("38.4", "7.1"),
    ("39.2", "7.2"),
)
"""Beginning of the release of Linux for Tegra -> JetPack (NVIDIA, JetPack archive); the first that fits."""
SMI_SECONDS: Final = 10.0
"""Longest time for the program that knows a server's card."""
OLDEST_IR: Final = 8
NEWEST_IR: Final = 40


def read_fingerprint(root: Path = _ROOT) -> Fingerprint:
    """Say what this machine is. `root` is where its /proc and /etc lie; tests give another one."""
    return Fingerprint(
        architecture=platform.machine(),
        device_model=_text(root / "proc/device-tree/model").rstrip("\0"),
        l4t=_l4t(root),
        tensorrt=package_version("tensorrt"),
        compute_capability=compute_capability(root),
        onnxruntime=package_version("onnxruntime") or package_version("onnxruntime-gpu"),
        python=platform.python_version(),
        tiers=package_version("tiers"),
        memory_bytes=memory_bytes(root, "MemTotal"),
    )


def compute_capability(root: Path = _ROOT, program: str = "nvidia-smi") -> str:
    """Give the CUDA compute capability of the first GPU, such as 8.7; empty when there is none that is known.

    A Jetson is known by its chip: from the device tree, or inside a container, which has none, from the kernel's soc0.
    """
    chips = _text(root / "proc/device-tree/compatible").split("\0")
    if _text(root / "sys/devices/soc0/family").strip() == "Tegra":
        chips.append(_CHIPS.get(_text(root / "sys/devices/soc0/soc_id").strip(), ""))
    for chip in chips:
        if found := _CAPABILITIES.get(chip.removeprefix("nvidia,")):
            return found
    return _card_capability(program)


def _card_capability(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        return ""
    try:
        asked = subprocess.run(
            [path, "--query-gpu=compute_cap", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=SMI_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    first = asked.stdout.partition("\n")[0].strip()
    return first if not asked.returncode and re.fullmatch(r"\d+\.\d+", first) else ""


def jetpack_of(l4t: str) -> str:
    """Give the JetPack that brings this Linux for Tegra, such as 6.2 for 36.4.3; empty where it is not known."""
    return next((jetpack for beginning, jetpack in _JETPACKS if l4t.startswith(beginning)), "")


def free_memory(root: Path = _ROOT) -> int:
    """Give the bytes of memory that a new program could have."""
    return memory_bytes(root, "MemAvailable")


def free_disk(folder: Path) -> int:
    """Give the bytes that this user may still write below a folder."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def package_version(name: str) -> str:
    """Give the version of an installed package; empty when it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def newest_onnx_ir() -> int:
    """Give the newest ONNX IR version that this machine's engine loads, by trying; 0 when there is no engine."""
    from edge_runtime.engine.choose import open_engine

    newest = 0
    with tempfile.TemporaryDirectory(prefix="tiers-edge-") as folder:
        file = Path(folder) / "probe.onnx"
        for ir in range(OLDEST_IR, NEWEST_IR):
            file.write_bytes(smallest_model(ir))
            try:
                open_engine(file).close()
            except (EngineError, MissingExtraError):
                break
            newest = ir
    return newest


def smallest_model(ir: int) -> bytes:
    """Write the smallest ONNX model, y = Identity(x), of an IR version (field numbers: onnx.proto, ModelProto)."""
    one_float = _field(1, _number(1, 1) + _field(2, _field(1, _number(1, 1))))
    node = _field(1, b"x") + _field(2, b"y") + _field(4, b"Identity")
    names = [_field(1, name) + _field(2, one_float) for name in (b"x", b"y")]
    graph = _field(1, node) + _field(2, b"g") + _field(11, names[0]) + _field(12, names[1])
    return _number(1, ir) + _field(7, graph) + _field(8, _field(1, b"") + _number(2, 13))


def _field(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | 2, len(data)]) + data


def _number(number: int, value: int) -> bytes:
    return bytes([number << 3, value])


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _l4t(root: Path) -> str:
    found = _RELEASE.match(_text(root / "etc/nv_tegra_release"))
    return f"{found[1]}.{found[2]}" if found else ""


def memory_bytes(root: Path, name: str) -> int:
    """Give a line of /proc/meminfo in bytes, such as MemTotal; 0 when it is not there."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", _text(root / "proc/meminfo"), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
