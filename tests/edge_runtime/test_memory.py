"""How much memory there is, by the files of machines that are not here."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.memory import MIB, PER_BYTE, PER_MODEL, RESERVE, fits, free_bytes, needed_bytes

GROUP = "sys/fs/cgroup/system.slice/tiers-edge.service"
V1 = "sys/fs/cgroup/memory/docker/abc"


def machine(root: Path, **files: str) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    return root


AVAILABLE = {"proc/meminfo": f"MemAvailable: {4 * 1024 * 1024} kB"}
UNIT = {"proc/self/cgroup": "0::/system.slice/tiers-edge.service"}


@pytest.mark.parametrize(
    ("files", "mib"),
    [
        ({}, None),
        (AVAILABLE, 4096),
        ({**AVAILABLE, **UNIT, f"{GROUP}/memory.max": "max", f"{GROUP}/memory.current": "1"}, 4096),
        ({**UNIT, f"{GROUP}/memory.max": f"{300 * MIB}", f"{GROUP}/memory.current": f"{100 * MIB}"}, 200),
        (
            {
                **AVAILABLE,
                **UNIT,
                f"{GROUP}/memory.max": f"{300 * MIB}",
                f"{GROUP}/memory.current": f"{250 * MIB}",
                f"{GROUP}/memory.stat": f"anon 5\nfile 1\ninactive_file {40 * MIB}",
            },
            90,
        ),
        (
            {
                **AVAILABLE,
                **UNIT,
                f"{GROUP}/memory.max": "max",
                f"{GROUP}/memory.current": "1",
                "sys/fs/cgroup/system.slice/memory.max": f"{64 * MIB}",
                "sys/fs/cgroup/system.slice/memory.current": "0",
            },
            64,
        ),
        (  # a container of Kubernetes: the group's name is the host's, its files are at the root
            {
                **AVAILABLE,
                "proc/self/cgroup": "0::/../../kubepods/pod1",
                "sys/fs/cgroup/memory.max": f"{80 * MIB}",
                "sys/fs/cgroup/memory.current": f"{80 * MIB + 5}",
            },
            0,
        ),
        (  # JetPack 4 and 5
            {
                **AVAILABLE,
                "proc/self/cgroup": "5:cpu:/docker/abc\n4:memory:/docker/abc",
                f"{V1}/memory.limit_in_bytes": f"{512 * MIB}",
                f"{V1}/memory.usage_in_bytes": f"{112 * MIB}",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "1",
            },
            400,
        ),
    ],
)
def test_what_is_available_is_the_least_of_what_kernel_and_groups_leave(
    tmp_path: Path, files: dict[str, str], mib: int | None
) -> None:
    assert free_bytes(machine(tmp_path, **files)) == (None if mib is None else mib * MIB)


def test_this_machine_has_some() -> None:
    free = free_bytes()
    assert free is not None
    assert free > 0


def test_a_model_takes_what_its_files_say_or_its_manifest_if_that_is_more(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "model.onnx").write_bytes(b"x" * 1000)
    (tmp_path / "weights/one.bin").write_bytes(b"x" * 5000)
    by_files = PER_BYTE * 6000 + PER_MODEL
    assert needed_bytes(tmp_path / "model.onnx") == by_files
    assert needed_bytes(tmp_path / "model.onnx", told=5) == by_files
    assert needed_bytes(tmp_path / "model.onnx", told=10**10) == 10**10


def test_some_memory_is_left_to_others() -> None:
    assert fits(5, None)
    assert fits(5, RESERVE + 5)
    assert not fits(5, RESERVE + 4)
