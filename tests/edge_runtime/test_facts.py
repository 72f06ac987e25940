"""What a machine says of itself, also a machine that is not this one."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.facts import (
    compute_capability,
    free_disk,
    free_memory,
    newest_onnx_ir,
    package_version,
    read_fingerprint,
    smallest_model,
)


def test_a_jetson_is_recognised_by_its_files(tmp_path: Path) -> None:
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_bytes(b"NVIDIA Jetson Orin NX\0")
    (tmp_path / "etc").mkdir()
    release = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n"
    (tmp_path / "etc/nv_tegra_release").write_text(release)
    (tmp_path / "proc/meminfo").write_text("MemTotal:       16000000 kB\nMemAvailable:    9000000 kB\n")
    facts = read_fingerprint(tmp_path)
    assert (facts.device_model, facts.l4t) == ("NVIDIA Jetson Orin NX", "36.4.3")
    assert facts.memory_bytes == 16_000_000 * 1024
    assert free_memory(tmp_path) == 9_000_000 * 1024


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"proc/device-tree/compatible": b"nvidia,p3768-0000+p3767-0005\0nvidia,tegra234\0"}, "8.7"),
        ({"proc/device-tree/compatible": b"nvidia,tegra194\0"}, "7.2"),
        ({"sys/devices/soc0/family": b"Tegra\n", "sys/devices/soc0/soc_id": b"35\n"}, "8.7"),
        ({"sys/devices/soc0/family": b"i.MX\n", "sys/devices/soc0/soc_id": b"35\n"}, ""),
        ({"proc/device-tree/compatible": b"raspberrypi,4-model-b\0brcm,bcm2711\0"}, ""),
    ],
)
def test_a_jetson_knows_its_gpu_by_its_chip(tmp_path: Path, files: dict[str, bytes], found: str) -> None:
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    assert compute_capability(tmp_path, program="no-such-program") == found


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ('[ "$1" = --query-gpu=compute_cap ] && printf "9.0\n8.0\n"', "9.0"),
        ('printf "[N/A]\n"', ""),
        ('printf "9.0\n"; exit 6', ""),
        ("kill -9 $$", ""),
    ],
)
def test_a_server_asks_the_program_of_its_card(tmp_path: Path, script: str, found: str) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    assert compute_capability(tmp_path, program=str(program)) == found


def test_a_machine_without_any_of_that_has_empty_facts(tmp_path: Path) -> None:
    facts = read_fingerprint(tmp_path)
    assert (facts.device_model, facts.l4t, facts.memory_bytes) == ("", "", 0)
    assert facts.architecture
    assert facts.python.startswith("3.")


def test_this_machine_has_memory_and_disk(tmp_path: Path) -> None:
    assert 0 < free_memory() <= read_fingerprint().memory_bytes
    assert free_disk(tmp_path) > 0
    assert package_version("no-such-package") == ""


def test_the_newest_onnx_version_is_found_by_trying() -> None:
    import onnx
    import onnxruntime

    newest = newest_onnx_ir()
    assert newest >= 10, "JetPack 6 loads IR 10"
    for ir in (8, newest, newest + 1):
        onnx.checker.check_model(onnx.load_from_string(smallest_model(min(ir, onnx.IR_VERSION))))
    onnxruntime.InferenceSession(smallest_model(newest), providers=["CPUExecutionProvider"])
    with pytest.raises(Exception, match="IR version"):
        onnxruntime.InferenceSession(smallest_model(newest + 1), providers=["CPUExecutionProvider"])
