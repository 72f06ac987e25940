"""The example of stages: pictures as PNG files, answered as rightly as the tensors they were made of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np

from edge_runtime.golden import _parser, check
from tests.toolkit.registry.making import make_site
from toolkit.registry.push import PushRequest, push
from toolkit.registry.stages_file import read_stages_file

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
DIGITS = EXAMPLES / "models" / "digits"


def test_the_example_fits_its_model_and_answers_rightly(tmp_path):
    golden, picture = tmp_path / "golden.npz", tmp_path / "7.png"
    script = [
        sys.executable,
        str(EXAMPLES / "stages" / "make_golden.py"),
        str(DIGITS / "v1.golden.npz"),
        str(golden),
    ]
    subprocess.run([*script, "--picture", str(picture), "--label", "7"], check=True, timeout=60)
    assert picture.read_bytes().startswith(b"\x89PNG")
    stages = read_stages_file(EXAMPLES / "stages" / "digits.json")
    site = make_site(tmp_path / "site")
    push(site.store, PushRequest(DIGITS / "v1.onnx", golden, "digits", "1", stages=stages), site.key)
    options = ["--golden", str(golden), "--stages", msgspec.json.encode(stages).decode()]
    finding = check(_parser().parse_args([str(DIGITS / "v1.onnx"), *options]))
    assert finding.code == "", finding
    assert finding.examples == len(np.load(DIGITS / "v1.golden.npz")["labels"])
