"""A folder holds exactly the objects of a topology; nothing of anybody else is touched."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from toolkit.errors import RenderError
from toolkit.render.objects import render
from toolkit.render.write import write_folder


@pytest.fixture
def objects(hospital):
    return render(hospital)


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_one_file_an_object_in_apply_order(objects, tmp_path):
    written = write_folder(objects, tmp_path / "out", "medical-imaging")
    files = sorted((tmp_path / "out" / "main").iterdir())
    assert [yaml.safe_load(file.read_text()) for file in files] == [each.body for each in objects]
    assert written.written == tuple(f"main/{file.name}" for file in files)
    assert (written.unchanged, written.removed) == ((), ())


def test_a_second_time_writes_nothing(objects, tmp_path):
    write_folder(objects, tmp_path, "medical-imaging")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "main").iterdir()}
    again = write_folder(objects, tmp_path, "medical-imaging")
    assert (again.written, again.removed, len(again.unchanged)) == ((), (), len(objects))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "main").iterdir()} == before


def test_what_no_object_stands_for_any_more_is_removed(objects, tmp_path):
    write_folder(objects, tmp_path, "medical-imaging")
    gone = write_folder(objects[:-1], tmp_path, "medical-imaging")
    assert gone.removed == (f"main/{objects[-1].file_name}",)
    assert len(contents(tmp_path)) == len(objects) - 1


def test_files_of_others_stay(objects, hospital, tmp_path):
    other = render(hospital.model_copy(update={"name": "other-site"}))
    write_folder(other, tmp_path, "other-site")
    (tmp_path / "main" / "own.yaml").write_text("kind: Own\n")
    (tmp_path / "elsewhere").symlink_to(tmp_path / "main")
    before = contents(tmp_path)
    removed = write_folder(objects[:1], tmp_path, "medical-imaging").removed
    assert removed == ()
    assert before.items() <= contents(tmp_path).items()


@pytest.mark.parametrize("kind", ["file", "link", "other topology"])
def test_a_place_that_is_taken_stops_everything(objects, tmp_path, kind):
    place = tmp_path / "main" / objects[-1].file_name
    place.parent.mkdir()
    if kind == "file":
        place.write_text("kind: Mine\n")
    elif kind == "link":
        (tmp_path / "target").write_text("kind: Mine\n")
        place.symlink_to(tmp_path / "target")
    else:
        place.write_text("# Made by `tiers render` from the topology other. ...\n")
    before = contents(tmp_path)
    with pytest.raises(RenderError, match="in the way"):
        write_folder(objects, tmp_path, "medical-imaging")
    assert contents(tmp_path) == before


def test_a_changed_object_replaces_its_file_whole(objects, tmp_path):
    write_folder(objects, tmp_path, "medical-imaging")
    place = tmp_path / "main" / objects[0].file_name
    with place.open("rb") as reader:
        body = {**objects[0].body, "spec": {"finalizers": []}}
        changed = write_folder([replace(objects[0], body=body), *objects[1:]], tmp_path, "medical-imaging")
        assert b"spec" not in reader.read()  # who reads the old file goes on reading the old file
    assert changed.written == (f"main/{objects[0].file_name}",)
    assert b"spec" in place.read_bytes()
    assert not [path for path in contents(tmp_path) if path.endswith(".part")]


def test_a_folder_that_is_a_file_is_named(objects, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(RenderError, match="cannot write") as refused:
        write_folder(objects, tmp_path / "out", "medical-imaging")
    assert "tiers render -o" in refused.value.hint
