"""The tests and scripts/bring-cluster look for the same programs in the same places."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.cluster.programs import HERE, PROGRAMS, all_here, find, pins

SCRIPT = HERE.parents[1] / "scripts/bring-cluster"
NO_BUILD = 7


def place(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def bring(tmp_path):
    """Run the script with a compiler that only tells that it was asked."""
    compiler = place(tmp_path / "bin") / "go"
    compiler.write_text(f"#!/bin/sh\nexit {NO_BUILD}\n")
    compiler.chmod(0o755)

    def run(**environment: str) -> int:
        settings = {"PATH": f"{compiler.parent}:/usr/bin:/bin", "TIERS_CACHE": str(tmp_path), **environment}
        return subprocess.run([SCRIPT], env=settings, check=False, timeout=60, capture_output=True).returncode

    return run


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TIERS_CACHE", str(tmp_path))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    return tmp_path / "cluster" / f"{pins()}-go9.9"


def test_what_is_in_the_cache_is_found_and_not_built_again(cache, bring):
    place(cache, *PROGRAMS)
    assert all_here()
    assert find("kwok") == cache / "kwok"
    assert bring() == 0


def test_one_that_is_missing_is_built(cache, bring):
    place(cache, *PROGRAMS[1:])
    assert not all_here()
    assert bring() == NO_BUILD


def test_the_cache_of_other_pins_does_not_count(cache, bring):
    place(cache.parent / "0123456789abcdef-go9.9", *PROGRAMS)
    assert not all_here()
    assert bring() == NO_BUILD


def test_assets_come_first(cache, bring, tmp_path, monkeypatch):
    assets = place(tmp_path / "assets", "etcd")
    place(cache, *PROGRAMS[1:])
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    assert find("etcd") == assets / "etcd"
    assert os.access(cache / "kwok", os.X_OK)
    assert all_here()
    assert bring(KUBEBUILDER_ASSETS=str(assets)) == 0
