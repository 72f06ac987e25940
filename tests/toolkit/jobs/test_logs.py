"""Logs are found by attempt and rank."""

import pytest

from toolkit.errors import UsageError
from toolkit.jobs.logs import last_lines, logs_of


@pytest.fixture
def root(tmp_path):
    for attempt in (1, 2, 10):
        folder = tmp_path / "work" / "logs" / f"attempt-{attempt}"
        folder.mkdir(parents=True)
        for rank in range(2):
            (folder / f"rank-{rank}.log").write_text(
                "".join(f"{attempt}.{rank}.{line}\n" for line in range(30))
            )
    (tmp_path / "work" / "logs" / "notes.txt").write_text("not ours")
    return tmp_path


def test_the_latest_attempt_is_the_default(root):
    found = logs_of(root, "work", lines=2)
    assert [(each.attempt, each.rank, each.lines) for each in found] == [
        (10, 0, ("10.0.28", "10.0.29")),
        (10, 1, ("10.1.28", "10.1.29")),
    ]


def test_one_rank_of_one_attempt(root):
    (found,) = logs_of(root, "work", rank=1, attempt=2, lines=1)
    assert found.lines == ("2.1.29",)


@pytest.mark.parametrize(
    ("asked", "message", "hint"),
    [
        ({"name": "other"}, "job other has no logs in", "tiers job submit other --local"),
        ({"name": "work", "attempt": 3}, "job work has no attempt 3", "attempts 1 to 10"),
        ({"name": "work", "rank": 2}, "no log of rank 2 in attempt 10", "attempts 1 to 10, ranks 0 to 1"),
    ],
)
def test_what_is_not_there_is_refused(root, asked, message, hint):
    with pytest.raises(UsageError, match=message) as caught:
        logs_of(root, **asked)
    assert caught.value.hint == hint


def test_only_the_end_of_a_large_log_is_read(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"x" * 10_000_000 + b"\nlast\n")
    assert last_lines(path, 1) == ("last",)
    assert last_lines(path, 0) == ()
    assert last_lines(tmp_path / "missing", 5) == ()
