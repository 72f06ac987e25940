"""The rules of a mirror, one by one, without a disk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.sync.layouts.disk import Found, same_time
from toolkit.sync.layouts.plan import make_plan
from toolkit.wire.digest import digest_of
from toolkit.wire.index import ChunkRef, Entry, Index, file_entry


def file(path: bytes, content: bytes = b"x", mtime: int = 5, mode: int = 0o644) -> Entry:
    return file_entry(path, [ChunkRef(digest_of(content), len(content))], mode=mode, mtime_ns=mtime)


def folder(path: bytes) -> Entry:
    return Entry(path, "folder", 0, 0o755, 5)


def link(path: bytes, target: bytes = b"there") -> Entry:
    return Entry(path, "link", 0, 0o777, 0, b"", target)


def on_disk(entry: Entry) -> Found:
    return Found(entry.kind, entry.size, entry.mode, entry.mtime_ns, entry.target)


def plan(new: list[Entry], old: list[Entry], disk: dict[bytes, Found], **options: object):
    owned = {entry.path: (entry,) for entry in old}
    staying = {entry.path for entry in new}
    return make_plan(
        Index(entries=tuple(new)), owned, disk, staying=staying, **{"keep_all": False, **options}
    )


A = file(b"a")


@pytest.mark.parametrize(
    ("new", "old", "found", "does"),
    [
        (A, None, None, "drafts"),
        (A, A, on_disk(A), None),
        (file(b"a", b"y"), A, on_disk(A), "drafts"),
        (file(b"a", mtime=6), A, on_disk(A), "retouch"),
        (file(b"a", mode=0o600), A, on_disk(A), "retouch"),
        (A, A, Found("file", 1, 0o644, 99), "examine"),
        (A, None, on_disk(A), "examine"),
        (A, A, None, "drafts"),
        (link(b"a"), None, None, "links"),
        (link(b"a"), link(b"a"), on_disk(link(b"a")), None),
        (link(b"a"), None, on_disk(link(b"a")), None),
        (link(b"a"), link(b"a", b"old"), on_disk(link(b"a", b"old")), "links"),
        (link(b"a"), None, on_disk(link(b"a", b"foreign")), "blocked"),
        (folder(b"a"), None, None, "folders"),
        (folder(b"a"), None, on_disk(folder(b"a")), None),
        (folder(b"a"), None, on_disk(A), "blocked"),
        (folder(b"a"), A, on_disk(A), "clear folders"),
        (A, link(b"a"), on_disk(link(b"a")), "clear drafts"),
        (A, link(b"a"), on_disk(link(b"a", b"changed")), "blocked"),
        (A, folder(b"a"), on_disk(folder(b"a")), "clear drafts"),
        (A, None, Found("other", 0, 0o644, 0), "blocked"),
        (None, A, on_disk(A), "remove"),
        (None, A, None, None),
        (None, A, Found("file", 1, 0o644, 99), "kept"),
        (None, A, on_disk(link(b"a")), "kept"),
        (None, folder(b"a"), on_disk(folder(b"a")), "remove_folders"),
        (None, None, on_disk(A), None),
    ],
)
def test_what_is_done_with_one_path(new, old, found, does):
    made = plan([new] if new else [], [old] if old else [], {b"a": found} if found else {})
    done = [
        name
        for name in (
            "clear",
            "drafts",
            "examine",
            "folders",
            "links",
            "retouch",
            "remove",
            "remove_folders",
            "blocked",
        )
        if getattr(made, name)
    ]
    done += [problem.kind for problem in made.problems if problem.kind == "kept"]
    assert done == (does or "").split()
    assert made.is_idle == (does in {None, "blocked", "kept"})


def test_a_check_examines_what_looks_right():
    assert plan([A], [A], {b"a": on_disk(A)}, check=True).examine == [A]


def test_a_folder_makes_room_only_if_all_in_it_is_ours():
    inside, foreign = file(b"a/b"), on_disk(A)
    ours = {b"a": on_disk(folder(b"a")), b"a/b": on_disk(inside)}
    made = plan([A], [folder(b"a"), inside], ours)
    assert (made.clear, made.drafts, made.remove) == ([b"a/b", b"a"], [A], [])
    made = plan([A], [folder(b"a"), inside], {**ours, b"a/c": foreign})
    assert (made.clear, made.drafts, made.blocked) == ([], [], {b"a"})


def test_what_lies_below_an_obstacle_is_left_with_it():
    new = [folder(b"a"), file(b"a/b"), file(b"a/c/d"), file(b"e")]
    made = plan(new, [], {b"a": on_disk(link(b"a"))})
    assert made.blocked == {b"a", b"a/b", b"a/c/d"}
    assert [entry.path for entry in made.drafts] == [b"e"]
    assert "a: the target has a link there" in made.problems[1].reason


def test_nothing_makes_room_when_all_is_kept():
    made = plan([folder(b"a"), file(b"a/b")], [A], {b"a": on_disk(A)}, keep_all=True)
    assert made.blocked == {b"a", b"a/b"}
    assert made.clear == []


def test_folders_go_deepest_first():
    old = [folder(b"a"), folder(b"a/b"), folder(b"a/b/c"), folder(b"z")]
    made = plan([], old, {entry.path: on_disk(entry) for entry in old})
    assert (
        made.remove_folders.index(b"a/b/c")
        < made.remove_folders.index(b"a/b")
        < made.remove_folders.index(b"a")
    )


def test_what_a_run_died_over_is_ours_too():
    before, dying = file(b"a", b"1", mtime=1), file(b"a", b"2", mtime=2)
    new = file(b"a", b"3", mtime=3)
    for found in (before, dying):
        made = make_plan(
            Index(entries=(new,)),
            {b"a": (before, dying)},
            {b"a": on_disk(found)},
            staying={b"a"},
            keep_all=False,
        )
        assert (made.drafts, made.examine) == ([new], [])


@pytest.mark.parametrize(
    ("on_disk_ns", "same"),
    [(1_234_567_890, True), (1_234_567_000, True), (1_000_000_000, True), (1_234_567_891, False), (0, False)],
)
def test_times_are_compared_as_finely_as_the_file_system_keeps_them(on_disk_ns, same):
    assert same_time(on_disk_ns, 1_234_567_890) is same


@given(
    files=st.dictionaries(
        st.sampled_from([b"a", b"a-b", b"b/c", b"b/d", b"e"]), st.sampled_from([b"x", b"y"])
    ),
    keep_all=st.booleans(),
)
def test_a_mirror_that_holds_what_it_shall_needs_nothing(files, keep_all):
    entries = [file(path, content) for path, content in sorted(files.items())]
    disk = {entry.path: on_disk(entry) for entry in entries}
    disk.update({b"b": on_disk(folder(b"b"))} if any(path.startswith(b"b/") for path in files) else {})
    made = plan(entries, entries, disk, keep_all=keep_all)
    assert made.is_idle
    assert not made.problems
