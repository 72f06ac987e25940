from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.toolkit.registry.making import make_model
from toolkit.errors import IntegrityError, RegistryError
from toolkit.registry.golden import GoldenNames, check_against, read_golden_names

ONE = np.zeros((1, 1), dtype=np.float32)


def test_reads_the_names(tmp_path: Path) -> None:
    _, golden = make_model(tmp_path)
    assert read_golden_names(golden) == GoldenNames(("x",), ("y",), labels=True)


def test_a_name_may_hold_dots(tmp_path: Path) -> None:
    file = tmp_path / "g.npz"
    np.savez(file, **{"input.a.b": ONE, "output.c.0": ONE})
    assert read_golden_names(file) == GoldenNames(("a.b",), ("c.0",), labels=False)


@pytest.mark.parametrize(
    "names", [["x", "output.y"], ["input.x"], ["output.y"], ["input.", "output.y"], ["labels"]]
)
def test_other_names_are_refused(tmp_path: Path, names: list[str]) -> None:
    file = tmp_path / "g.npz"
    np.savez(file, **dict.fromkeys(names, ONE))
    with pytest.raises(IntegrityError, match=r"g\.npz") as caught:
        read_golden_names(file)
    assert "savez" in caught.value.hint


def test_a_zip_bomb_is_refused_by_its_table_of_contents(tmp_path: Path) -> None:
    file = tmp_path / "g.npz"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("input.x.npy", bytes(1_234_567))
    claimed = file.read_bytes().replace(struct.pack("<I", 1_234_567), struct.pack("<I", 0x7FFF_FFFF))
    file.write_bytes(claimed)
    with pytest.raises(IntegrityError, match="at most"):
        read_golden_names(file)


def test_what_is_no_zip_or_not_there(tmp_path: Path) -> None:
    file = tmp_path / "g.npz"
    file.write_bytes(b"no zip")
    with pytest.raises(IntegrityError, match=r"not a \.npz"):
        read_golden_names(file)
    with pytest.raises(RegistryError, match="cannot be read"):
        read_golden_names(tmp_path / "none.npz")


@pytest.mark.parametrize(
    ("golden", "message"),
    [
        (GoldenNames(("a",), ("y",), labels=False), "asks for x"),
        (GoldenNames(("x", "a"), ("y",), labels=False), "feeds a, x"),
        (GoldenNames(("x",), ("z",), labels=False), "gives other, y"),
    ],
)
def test_names_must_fit_the_model(golden: GoldenNames, message: str) -> None:
    model = (("x",), ("y", "other"))
    check_against(GoldenNames(("x",), ("y",), labels=False), *model, file=Path("g"))
    with pytest.raises(IntegrityError, match=message):
        check_against(golden, *model, file=Path("g"))
