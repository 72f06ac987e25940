"""Patterns of paths and kinds of files."""

from __future__ import annotations

import pytest

from toolkit.errors import IntegrityError
from toolkit.sync.policies.kinds import kind_of
from toolkit.sync.policies.patterns import fits, fits_one


@pytest.mark.parametrize(
    ("pattern", "fit", "unfit"),
    [
        ("*.dcm", ["a.dcm", "x/y/a.dcm", ".dcm"], ["a.dcm/b", "a.DCM"]),
        ("studies/**", ["studies/a", "studies/x/y/a"], ["studies", "old/studies/a", "studiesx/a"]),
        ("**/series/*", ["series/a", "x/y/series/a"], ["series/a/b", "xseries/a"]),
        ("studies/*/a", ["studies/7/a"], ["studies/7/8/a", "studies/a"]),
        ("step-?", ["step-1", "x/step-9"], ["step-10", "step-/"]),
        ("step-[0-4]", ["step-3"], ["step-5"]),
        ("step-[!0-4]", ["step-5"], ["step-3", "step-/"]),
        ("a.b", ["a.b"], ["axb"]),
        ("**", ["a", "x/y"], []),
    ],
)
def test_what_fits(pattern, fit, unfit):
    assert [path for path in fit if not fits(pattern, path.encode())] == []
    assert [path for path in unfit if fits(pattern, path.encode())] == []


def test_names_that_are_no_text_fit_too():
    assert fits("studies/*.dcm", b"studies/\xff\n.dcm")


def test_one_of_several_patterns():
    assert fits_one(("*.dcm", "studies/**"), b"studies/x")
    assert fits_one(("*.dcm", "studies/**"), b"x/a.dcm")
    assert not fits_one(("*.dcm", "studies/**"), b"x/a.txt")
    assert not fits_one((), b"x")


@pytest.mark.parametrize("pattern", ["", "/a", "a/", "step-[0-9", "[é]"])
def test_what_is_no_pattern(pattern):
    with pytest.raises(IntegrityError):
        fits(pattern, b"a")


def test_kinds():
    paths = [
        b"checkpoints/x/metrics.json",
        b"a/b.onnx",
        b"a.nii.gz",
        b"a.tar.gz",
        b"a/datasets/x",
        b"notes.txt",
    ]
    assert [kind_of(path, {}) for path in paths] == [
        "checkpoint",
        "model",
        "image",
        "archive",
        "dataset",
        None,
    ]
    own = {"image": ("scans/**",)}
    assert kind_of(b"scans/7", own) == "image"
    assert kind_of(b"a.dcm", own) is None
