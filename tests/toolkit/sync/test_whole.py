"""A file is there whole or not at all, with the folder it needs and nothing beside it."""

from __future__ import annotations

import stat

import pytest

from toolkit.sync.whole import write_whole


def test_it_is_written_and_replaced_and_nothing_lies_beside_it(tmp_path):
    path = tmp_path / "file"
    write_whole(path, b"first")
    write_whole(path, b"second")
    assert path.read_bytes() == b"second"
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_a_folder_is_not_made_by_surprise(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "none" / "file", b"bytes")
    assert not list(tmp_path.iterdir())


def test_the_mode_is_the_one_asked_for(tmp_path):
    write_whole(tmp_path / "open", b"", mode=0o644)
    write_whole(tmp_path / "closed", b"", mode=0o600)
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()}
    assert modes == {"open": 0o644, "closed": 0o600}


def test_what_cannot_be_put_in_place_leaves_nothing(tmp_path):
    (tmp_path / "file").mkdir()  # a rename cannot replace a folder
    with pytest.raises(OSError, match="directory"):
        write_whole(tmp_path / "file", b"bytes")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_reader_never_sees_a_half(tmp_path):
    """The old file goes on as it was for whoever has it open: the new one is another file, not the same one changed."""
    path = tmp_path / "file"
    write_whole(path, b"old")
    with path.open("rb") as reader:
        write_whole(path, b"a new and longer one")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"a new and longer one"
