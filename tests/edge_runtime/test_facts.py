"""What a machine says of itself, also a machine that is not this one."""

from __future__ import annotations

from pathlib import Path

from edge_runtime.facts import (
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
    import pytest

    newest = newest_onnx_ir()
    assert newest >= 10, "JetPack 6 loads IR 10"
    for ir in (8, newest, newest + 1):
        onnx.checker.check_model(onnx.load_from_string(smallest_model(min(ir, onnx.IR_VERSION))))
    onnxruntime.InferenceSession(smallest_model(newest), providers=["CPUExecutionProvider"])
    with pytest.raises(Exception, match="IR version"):
        onnxruntime.InferenceSession(smallest_model(newest + 1), providers=["CPUExecutionProvider"])
