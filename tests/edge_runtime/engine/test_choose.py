from __future__ import annotations

import subprocess
import sys

import pytest

from edge_runtime.engine.choose import open_engine
from edge_runtime.engine.onnxruntime_engine import OnnxRuntimeEngine
from tests.contracts.engine import contract_model
from toolkit.errors import EngineError


@pytest.mark.parametrize("name", ["auto", "onnxruntime"])
def test_onnx_runtime_is_taken(tmp_path, name):
    assert isinstance(open_engine(contract_model(tmp_path / "m.onnx"), engine=name), OnnxRuntimeEngine)


def test_tensorrt_is_refused_with_the_cure(tmp_path):
    with pytest.raises(EngineError, match=r"tensorrt.*this version of tiers-edge has none") as caught:
        open_engine(contract_model(tmp_path / "m.onnx"), engine="tensorrt")
    assert "engine: auto" in caught.value.hint


def test_without_onnx_runtime_the_install_line_is_printed(tmp_path):
    """Hide the package from a fresh interpreter, as on a machine that never had it."""
    code = f"""
import sys
from importlib.machinery import PathFinder

class WithoutIt:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name == "onnxruntime" else PathFinder.find_spec(name, path, target)

sys.meta_path = [WithoutIt if each is PathFinder else each for each in sys.meta_path]
from pathlib import Path
from edge_runtime.engine.choose import open_engine
from toolkit.errors import MissingExtraError
try:
    open_engine(Path({str(tmp_path / "m.onnx")!r}))
except MissingExtraError as exc:
    print(exc.hint)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "pip install 'tiers[edge]'"
