"""`tiers sync keygen` as it is typed: what is printed is no secret, and what a second time says."""

from __future__ import annotations

import json
from pathlib import Path

from toolkit.cli import main
from toolkit.sync.key_file import read_key_file


def test_a_key_is_made_and_rotated(tmp_path: Path, capsys) -> None:
    file = tmp_path / "archive.key"
    assert main(["sync", "keygen", str(file)]) == 0
    said = capsys.readouterr().out
    first = read_key_file(file)
    assert first.newest.key_id in said
    assert main(["sync", "keygen", "--add", str(file), "--json"]) == 0
    printed = capsys.readouterr().out
    keys = read_key_file(file)
    assert [row["key"] for row in json.loads(printed)] == [first.newest.key_id, keys.newest.key_id]
    for key in keys.keys:
        line = next(line for line in file.read_text().splitlines() if key.key_id in line)
        assert line.split()[2] not in said + printed


def test_a_key_is_not_overwritten(tmp_path: Path, capsys) -> None:
    file = tmp_path / "archive.key"
    assert main(["sync", "keygen", str(file)]) == 0
    before = file.read_text()
    assert main(["sync", "keygen", str(file)]) == 2
    assert "--add" in capsys.readouterr().err
    assert file.read_text() == before
