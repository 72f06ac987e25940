"""Routes leave alone what is held and what left a mirror on purpose; some files can be brought by name."""

from __future__ import annotations

import pytest

from tests.toolkit.sync.trees import photograph
from toolkit.errors import IntegrityError
from toolkit.sync.pins import documents_of
from toolkit.sync.policies.holds import hold, holds_in, release_hold
from toolkit.sync.policies.released import released_in
from toolkit.sync.policies.shelf import open_shelf
from toolkit.sync.policies.taking import take_away
from toolkit.sync.run import run_task
from toolkit.sync.task import Storage, SyncTask

NOW = 1_900_000_000_000


@pytest.fixture
def hot(tmp_path):
    for number in range(4):
        file = tmp_path / f"hot/frames/f{number}.dcm"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes([number]) * 1000)
    return Storage(tier="hot", url=(tmp_path / "hot").as_uri())


@pytest.fixture
def warm(tmp_path):
    (tmp_path / "warm").mkdir()
    return Storage(tier="warm", url=(tmp_path / "warm").as_uri())


@pytest.fixture
def cold(tmp_path):
    (tmp_path / "cold").mkdir()
    return Storage(tier="cold", url=(tmp_path / "cold").as_uri(), layout="packs")


def task(source, *targets, **other):
    return SyncTask(route="frames", source=source, targets=targets, path="frames", **other)


def names(folder):
    return sorted(path.name for path in folder.rglob("*.dcm") if ".tiers" not in path.parts)


def leave(place, *paths, to_trash=True):
    shelf = open_shelf(place)
    result = take_away(shelf, shelf.entries([path.encode() for path in paths]), NOW, to_trash=to_trash)
    shelf.close()
    return result


def test_what_left_the_source_on_purpose_stays_in_the_target(tmp_path, hot, warm):
    run_task(task(hot, warm))
    assert leave(hot, "frames/f1.dcm") == {b"frames/f1.dcm": ""}
    assert names(tmp_path / "hot") == ["f0.dcm", "f2.dcm", "f3.dcm"]
    assert run_task(task(hot, warm)).exit_code == 0
    assert names(tmp_path / "warm") == ["f0.dcm", "f1.dcm", "f2.dcm", "f3.dcm"]
    (tmp_path / "hot/frames/f2.dcm").unlink()
    run_task(task(hot, warm))
    assert names(tmp_path / "warm") == ["f0.dcm", "f1.dcm", "f3.dcm"]


def test_what_left_the_target_does_not_come_back_by_the_clock_but_when_asked_for(tmp_path, hot, warm):
    run_task(task(hot, warm))
    leave(warm, "frames/f1.dcm")
    assert run_task(task(hot, warm)).exit_code == 0
    assert names(tmp_path / "warm") == ["f0.dcm", "f2.dcm", "f3.dcm"]
    (tmp_path / "hot/frames/f1.dcm").write_bytes(b"changed since")
    run_task(task(hot, warm))
    assert (tmp_path / "warm/frames/f1.dcm").read_bytes() == b"changed since"
    leave(warm, "frames/f1.dcm")
    run_task(task(hot, warm, trigger="demand"))
    assert names(tmp_path / "warm") == ["f0.dcm", "f1.dcm", "f2.dcm", "f3.dcm"]


def test_the_routes_state_holds_no_more_what_has_left(tmp_path, hot, warm):
    run_task(task(hot, warm))
    before = photograph(tmp_path / "warm")
    leave(warm, "frames/f1.dcm")
    documents = documents_of(warm)
    (entry,) = released_in(documents).values()
    assert (entry.path, entry.size) == (b"frames/f1.dcm", 1000)
    head = documents.read_ref("routes/frames/head")
    assert [each.path for each in documents.entries(head.digest)] == [b"f0.dcm", b"f2.dcm", b"f3.dcm"]
    assert (tmp_path / "warm/.tiers/trash/2030-03-17/frames/f1.dcm").read_bytes() == b"\1" * 1000
    assert before.keys() - photograph(tmp_path / "warm").keys() == {"frames/f1.dcm"}


def test_a_held_file_is_neither_deleted_nor_replaced_by_a_route(tmp_path, hot, warm):
    run_task(task(hot, warm))
    hold([hot, warm], b"frames/f1.dcm", note="case 7", now_ms=NOW)
    (tmp_path / "hot/frames/f1.dcm").write_bytes(b"doctored")
    run_task(task(hot, warm))
    assert (tmp_path / "warm/frames/f1.dcm").read_bytes() == b"\1" * 1000
    (tmp_path / "hot/frames/f1.dcm").unlink()
    (tmp_path / "hot/frames/f2.dcm").unlink()
    run_task(task(hot, warm))
    assert names(tmp_path / "warm") == ["f0.dcm", "f1.dcm", "f3.dcm"]
    release_hold([hot, warm], b"frames/f1.dcm")
    run_task(task(hot, warm))
    assert names(tmp_path / "warm") == ["f0.dcm", "f3.dcm"]


def test_a_held_folder_keeps_all_below_it_and_lets_new_files_come(tmp_path, hot, warm):
    run_task(task(hot, warm))
    hold([warm], b"frames", note="case 7", now_ms=NOW)
    (tmp_path / "hot/frames/f1.dcm").unlink()
    (tmp_path / "hot/frames/new.dcm").write_bytes(b"new")
    run_task(task(hot, warm))
    assert names(tmp_path / "warm") == ["f0.dcm", "f1.dcm", "f2.dcm", "f3.dcm", "new.dcm"]


@pytest.mark.parametrize("layout", ["mirror", "packs"])
def test_a_held_file_stays_in_a_source_that_is_emptied(tmp_path, hot, cold, layout):
    source = hot
    if layout == "packs":
        source = Storage(tier="warm", url=(tmp_path / "store").as_uri(), layout="packs")
        (tmp_path / "store").mkdir()
        run_task(task(hot, source))
    hold([source], b"frames/f1.dcm", note="case 7", now_ms=NOW)
    result = run_task(task(source, cold, then="remove_source"))
    assert (result.exit_code, result.removed) == (0, 3)
    shelf = open_shelf(source)
    assert [item.path for item in shelf.items()] == [b"frames/f1.dcm"]


def test_files_can_be_brought_by_name_and_nothing_else_changes(tmp_path, hot, warm, cold):
    for target in (warm, cold):
        run_task(task(hot, target), only={b"f1.dcm", b"gone.dcm"})
        run_task(task(hot, target), only={b"f3.dcm"})
        assert sorted(item.path for item in open_shelf(target).items()) == [
            b"frames/f1.dcm",
            b"frames/f3.dcm",
        ]
    everywhere = SyncTask(route="back", source=cold, targets=(warm,))
    (tmp_path / "warm/frames/f3.dcm").unlink()
    run_task(everywhere, only={b"frames/f3.dcm"})
    assert names(tmp_path / "warm") == ["f1.dcm", "f3.dcm"]


def test_a_part_of_what_a_route_without_a_path_brought_can_be_asked_back(tmp_path, hot, warm, cold):
    run_task(SyncTask(route="all", source=hot, targets=(cold,)))
    run_task(task(cold, warm, trigger="demand"))
    assert photograph(tmp_path / "warm/frames") == photograph(tmp_path / "hot/frames")


def test_a_name_of_a_hold_is_of_one_path(hot):
    hold([hot], b"frames/f1.dcm", note="a", now_ms=NOW, name="case-7")
    (result,) = hold([hot], b"frames/f2.dcm", note="a", now_ms=NOW, name="case-7")
    assert "another name" not in result.error
    assert result.exit_code == 6
    with pytest.raises(IntegrityError, match="no name"):
        hold([hot], b"frames", note="a", now_ms=NOW, name="../x")
    with pytest.raises(IntegrityError, match="no text"):
        hold([hot], b"frames/\xff", note="a", now_ms=NOW)
    (held,) = holds_in(documents_of(hot))
    assert (held.name, held.path, held.note) == ("case-7", b"frames/f1.dcm", "a")


def test_a_storage_that_does_not_answer_is_said_and_the_others_are_held(tmp_path, hot):
    away = Storage(tier="cold", url=(tmp_path / "nowhere").as_uri(), layout="packs")
    results = hold([away, hot], b"frames", note="case 7", now_ms=NOW)
    assert [(each.exit_code, each.changed, each.files) for each in results] == [(5, False, 0), (0, True, 4)]
    again = hold([hot], b"frames", note="case 7", now_ms=NOW)
    assert [each.changed for each in again] == [False]
