"""What the benchmark of sync measured survives a kill, goes together with other runs, and is judged by medians."""

from __future__ import annotations

import json

import msgspec
import pytest

from benchmarks.syncing.markdown import as_markdown
from benchmarks.syncing.record import Measured, UnreadableRecordError, Walked, append, read
from benchmarks.syncing.report import as_json, as_table
from benchmarks.syncing.targets import Figures


def measured(seconds, tool="ours, mirror", case="small, nothing changed", **changed):
    line = Measured(
        place="local",
        case=case,
        tool=tool,
        turn=0,
        seconds=seconds,
        processor=1.0,
        memory=50_000_000,
        moved=2_000_000,
        wire=0,
        new=1_000_000,
        size=1 << 30,
        files=20_000,
        run="2030-01-01T00:00:00Z",
    )
    return msgspec.structs.replace(line, **changed)


def test_what_a_killed_run_left_of_its_last_line_costs_only_that_line(tmp_path):
    file = tmp_path / "record"
    append(file, measured(1.0))
    append(file, measured(2.0))
    file.write_bytes(file.read_bytes()[:-20])
    assert [line.seconds for line in read([file])] == [1.0]
    append(file, measured(3.0))
    assert [line.seconds for line in read([file])] == [1.0, 3.0]


def test_records_of_several_runs_are_judged_by_the_median_of_all(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for seconds in (1.0, 9.0):
        append(first, measured(seconds))
        append(first, measured(4.0, tool="rsync"))
    append(
        first, Walked(place="local", walk="small", turn=0, seconds=60.0, size=1 << 30, files=20_000, run="x")
    )
    append(second, measured(3.0))
    figures = Figures(read([first, second]))
    (row,) = figures.targets()
    assert (row.ours, row.peer, row.ratio, row.target, row.met) == (3.0, 4.0, 0.75, 1.0, True)
    table = as_table(figures, with_targets=True)
    assert "1 of 1 met" in table
    assert ["ours,", "mirror", "3.00", "1.00", "2.00", "50", "0.0", "3", "1.00", "9.00"] in [
        line.split() for line in table.splitlines()
    ]
    assert (
        "local: text, first copy: ours, packs / borg, MB" in table
    )  # a target that nobody measured is named
    rows = json.loads(as_json(figures, with_targets=True))["rows"]
    assert [each["unit"] for each in rows] == ["s", "s", "cpu s", "MB", "MB resident"]


def test_a_missed_target_says_so():
    lines = [measured(8.1), measured(4.0, tool="rsync"), measured(4.0, tool="rsync --fsync")]
    (row,) = Figures(lines).targets()
    assert not row.met
    assert "MISSED local: small, nothing changed: ours, mirror / rsync, s: 8.100 / 4.000 = 2.025" in as_table(
        Figures(lines), with_targets=True
    )


@pytest.mark.parametrize(
    ("seconds", "disk", "allowed"), [(1.9, 1.0, 2.0), (2.1, 1.0, 2.0), (4.9, 4.0, 5.0), (5.1, 4.0, 5.0)]
)
def test_a_restore_may_take_as_long_as_500_mb_a_second_or_a_little_longer_than_the_disk(
    seconds, disk, allowed
):
    case = {"case": "small, restored", "new": 1_000_000_000}
    lines = [measured(seconds, **case), measured(disk, tool="cp -a, flushed", **case)]
    (row,) = (row for row in Figures(lines).targets() if row.unit == "s")
    assert (row.peer, row.met) == (allowed, seconds < allowed)


def test_single_ratios_are_of_the_same_repetition():
    lines = [
        measured(seconds, tool=tool, turn=turn)
        for turn, pair in enumerate([(1.0, 2.0), (6.0, 4.0), (3.0, 10.0)])
        for tool, seconds in zip(("ours, mirror", "rsync"), pair, strict=True)
    ]
    (row,) = Figures([*lines, measured(5.0, turn=3)]).targets()
    assert (row.ours, row.peer, row.single) == (4.0, 4.0, (0.3, 0.5, 1.5))


def test_a_page_gets_a_table_for_each_unit_of_each_place_and_the_targets():
    lines = [measured(2.0), measured(4.0, tool="rsync"), measured(3.0, tool="rsync", case="small, restored")]
    lines.append(measured(5.0, tool="rclone", moved=0))
    page = as_markdown(Figures([*lines, measured(1.0, place="s3", tool="ours, packs")]), with_targets=True)
    rows = page.splitlines()
    assert [row for row in rows if row.startswith("###")] == ["### local", "### s3", "### targets"]
    assert "| seconds, local | ours, mirror | rsync | rclone |" in rows
    assert "| MB moved, local | ours, mirror | rsync |" in rows
    assert "| small, restored | - | 3.00 | - |" in rows
    assert "| MB resident, s3 | ours, packs |" in rows
    assert "Repetitions: 1 of `ours, mirror`, `rsync`, `rclone`." in rows
    assert sum("| 0.5 | 1.0 | 1 | 0.5 | 0.5 | 0.5 | met |" in row for row in rows) == 1
    (left,) = (row for row in rows if row.startswith("Not measured here"))
    assert "local: text, first copy: ours, packs / borg, MB" in left
    assert "reflink" not in left, "nothing was measured there"


def test_bytes_are_held_against_what_was_new():
    (row,) = (
        row for row in Figures([measured(1.0, case="large, 2 % in 64 KiB")]).targets() if row.unit == "MB"
    )
    assert (row.ours, row.peer, row.met) == (2.0, 1.0, False)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            [msgspec.json.encode(measured(1.0)), msgspec.json.encode(measured(1.0, files=500))],
            ":2: .* another size",
        ),
        ([b'{"type":"measured"}'], ":1: .*missing required field"),
        ([b"{}"], ":1: "),
    ],
)
def test_a_record_that_does_not_go_with_the_others_is_refused_with_its_line(tmp_path, rows, said):
    file = tmp_path / "record"
    file.write_bytes(b"\n".join(rows) + b"\n")
    with pytest.raises(UnreadableRecordError, match=f"record{said}"):
        list(read([file]))


def test_a_record_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UnreadableRecordError, match="No such file"):
        list(read([tmp_path / "none"]))
