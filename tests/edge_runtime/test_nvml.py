# ruff: noqa: N802 -- names of NVIDIA's library
"""NVML by a library that is not there: what it does not support is missing."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from edge_runtime.jetson import GpuFigures
from edge_runtime.nvml import Card, load_pynvml


class NotSupportedError(Exception):
    """As pynvml.NVMLError."""


class Library:
    """A driver of which some questions are not supported."""

    NVMLError = NotSupportedError

    def __init__(self, *refused: str) -> None:
        self.refused, self.begun = refused, 0

    def _say(self, name: str, value: object) -> object:
        if name in self.refused:
            raise NotSupportedError(f"{name}: Not Supported")
        return value

    def nvmlInit(self):
        self.begun += 1
        self._say("init", None)

    def nvmlDeviceGetHandleByIndex(self, index):
        return self._say("handle", f"gpu {index}")

    def nvmlDeviceGetUtilizationRates(self, handle):
        assert handle == "gpu 0"
        return self._say("busy", SimpleNamespace(gpu=37, memory=3))

    def nvmlDeviceGetTemperature(self, handle, sensor):
        assert (handle, sensor) == ("gpu 0", 0)
        return self._say("heat", 61)

    def nvmlDeviceGetClockInfo(self, handle, kind):
        assert (handle, kind) == ("gpu 0", 0)
        return self._say("clock", 1575)

    def nvmlDeviceGetMemoryInfo(self, handle):
        assert handle == "gpu 0"
        return self._say("memory", SimpleNamespace(used=10, total=100))


def test_it_tells_what_it_can_and_begins_once() -> None:
    library = Library()
    card = Card(lambda: library)
    assert card() == card() == GpuFigures(0.37, 61.0, 10, 100, 1575e6)
    assert library.begun == 1


@pytest.mark.parametrize(
    ("refused", "missing"),
    [
        (("busy",), {"utilization"}),
        (("heat",), {"temperature"}),
        (("clock",), {"hertz"}),
        (("memory",), {"memory_used", "memory_total"}),
        (("busy", "clock", "memory"), {"utilization", "hertz", "memory_used", "memory_total"}),
    ],
)
def test_what_is_not_supported_is_missing_and_not_zero(refused: tuple[str, ...], missing: set[str]) -> None:
    figures = Card(lambda: Library(*refused))()
    assert figures is not None
    assert {name for name, value in vars(figures).items() if value is None} == missing


@pytest.mark.parametrize("refused", ["init", "handle"])
def test_without_driver_or_gpu_there_is_nothing_and_no_second_try(refused: str, caplog) -> None:
    library = Library(refused)
    card = Card(lambda: library)
    with caplog.at_level(logging.INFO):
        assert card() is None
        assert card() is None
    assert library.begun == 1
    assert len(caplog.records) == 1


def test_without_the_package_there_is_nothing_and_a_line_says_what_to_install(caplog) -> None:
    with caplog.at_level(logging.INFO):
        if load_pynvml() is None:
            assert "pip install 'tiers[jetson]'" in caplog.text
    assert Card(lambda: None)() is None
