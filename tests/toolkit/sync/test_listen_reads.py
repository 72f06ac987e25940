"""Several readers of one pod ask on a socket: each gets its answer, nobody else gets in, no line is too large."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
from contextlib import ExitStack

import pytest

from tests.toolkit.sync.policies.site import Site
from toolkit.errors import RemoteUnavailableError, UsageError
from toolkit.sync import listen_reads
from toolkit.sync.listen_reads import LONGEST_LINE, MOST_READERS, listening
from toolkit.sync.prefetch import KeptOrder, Prefetcher
from toolkit.sync.task import SyncTask
from toolkit.wire.document import decode_json


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    for number in range(1, 9):
        site.write(f"data/shard-{number}.tar", tier="warm")
    return site


@pytest.fixture
def address(site, tmp_path):
    """Give a socket that answers for the site's data, looking no file ahead."""
    task = SyncTask(
        route="shards", source=site.storages["warm"], targets=(site.storages["hot"],), path="data"
    )
    prefetcher = Prefetcher(task, ahead=0, budget_bytes=0)
    with listening(prefetcher, tmp_path / "reads.sock", below=b"data"):
        yield tmp_path / "reads.sock"
    prefetcher.close()


def connect(address):
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(60)
    connection.connect(str(address))
    return connection


def ask(address, sent):
    """Send bytes and no more; give every answer until the end."""
    with connect(address) as connection, connection.makefile("rb") as lines:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        return [json.loads(line) for line in lines]


def test_a_line_is_answered_when_the_file_is_there(site, address):
    answers = ask(address, b"shard-1.tar\n\n/shard-2.tar\r\nshard-1.tar\nshard-77.tar\n../x\nshard-3.tar")
    assert [(each["path"], each["state"]) for each in answers] == [
        ("data/shard-1.tar", "brought"),
        ("data/shard-2.tar", "brought"),
        ("data/shard-1.tar", "there"),
        ("data/shard-77.tar", "failed"),
        ("data/../x", "failed"),
        ("data/shard-3.tar", "brought"),
    ]
    assert "tiers sync where" in answers[3]["hint"]
    assert sorted(site.has("hot")) == [f"data/shard-{number}.tar" for number in (1, 2, 3)]


def test_several_ask_at_once(site, address):
    answers = []
    readers = [
        threading.Thread(target=lambda: answers.extend(ask(address, b"shard-4.tar\nshard-5.tar\n")))
        for _ in range(6)
    ]
    for each in readers:
        each.start()
    for each in readers:
        each.join(60)
    assert len(answers) == 12
    assert {each["state"] for each in answers} <= {"there", "brought"}
    assert sorted(site.has("hot")) == ["data/shard-4.tar", "data/shard-5.tar"]


def test_only_this_user_can_connect(address):
    facts = address.stat()
    assert (stat.S_IMODE(facts.st_mode), facts.st_uid) == (0o600, os.getuid())


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_that_does_not_end_is_not_kept(address, end):
    answers = ask(address, b"x" * (LONGEST_LINE + 1) + end)
    assert [(each["state"], each["error"]) for each in answers] == [("failed", "the line is too long")]
    assert ask(address, b"shard-1.tar\n")[0]["state"] == "brought"


def test_one_reader_too_many_waits_until_another_has_gone(site, address):
    with ExitStack() as stack:
        there = [stack.enter_context(connect(address)) for _ in range(MOST_READERS)]
        one_more = stack.enter_context(connect(address))
        one_more.sendall(b"shard-2.tar\n")
        there[-1].sendall(b"shard-1.tar\n")
        assert json.loads(there[-1].recv(10_000))["state"] == "brought"
        assert site.has("hot") == ["data/shard-1.tar"], "the one who waits has not been heard"
        there[0].close()
        assert json.loads(one_more.recv(10_000))["state"] == "brought"


def test_what_a_killed_one_left_is_taken_away_and_nothing_else(site, address, tmp_path):
    task = SyncTask(route="other", source=site.storages["warm"], targets=(site.storages["hot"],), path="data")
    prefetcher = Prefetcher(task, ahead=0, budget_bytes=0)
    left = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as killed:
        killed.bind(str(left))
    with listening(prefetcher, left):
        assert ask(left, b"data/shard-1.tar\n")[0]["state"] == "brought"
    assert not left.exists()
    with pytest.raises(UsageError, match="already"), listening(prefetcher, address):
        pass
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="is there and no socket"), listening(prefetcher, tmp_path / "file"):
        pass
    with pytest.raises(UsageError, match="too long"), listening(prefetcher, tmp_path / ("x" * 108)):
        pass
    with (
        pytest.raises(RemoteUnavailableError, match="cannot listen"),
        listening(prefetcher, tmp_path / "no" / "a.sock"),
    ):
        pass
    assert (tmp_path / "file").read_text() == "mine"
    assert address.exists()
    prefetcher.close()


def test_between_requests_the_next_are_brought(site, tmp_path):
    is_ahead = threading.Event()

    class Watched(Prefetcher):
        def look_ahead(self) -> bool:
            did = super().look_ahead()
            if not did and self.tally.ahead >= 2:
                is_ahead.set()
            return did

    task = SyncTask(
        route="shards", source=site.storages["warm"], targets=(site.storages["hot"],), path="data"
    )
    prefetcher = Watched(task, ahead=2, budget_bytes=10**9, free=lambda _: (10**12, 10**12))
    with listening(prefetcher, tmp_path / "reads.sock", below=b"data"):
        assert is_ahead.wait(60)
        states = [each["state"] for each in ask(tmp_path / "reads.sock", b"shard-1.tar\nshard-2.tar\n")]
    assert states == ["there", "there"]
    assert prefetcher.close().used == 2


def test_the_order_is_kept_before_the_end(site, tmp_path):
    task = SyncTask(
        route="shards", source=site.storages["warm"], targets=(site.storages["hot"],), path="data"
    )
    prefetcher = Prefetcher(task, ahead=0, budget_bytes=0)
    kept, pause = site.root / "hot/.tiers/order/shards", threading.Event()
    with listening(prefetcher, tmp_path / "reads.sock", below=b"data", remember_seconds=0):
        ask(tmp_path / "reads.sock", b"shard-3.tar\n")
        for _ in range(6000):
            if kept.is_file():
                break
            pause.wait(0.01)
        assert decode_json(kept.read_bytes(), KeptOrder, what="order").paths[0] == b"shard-3.tar"
    prefetcher.close()


def test_the_address_is_as_long_as_linux_takes_it(tmp_path):
    (tmp_path / "a").mkdir()
    room = listen_reads.LONGEST_ADDRESS - len(str(tmp_path / "a")) - 1
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as fits:
        fits.bind(str(tmp_path / "a" / ("x" * room)))
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as large,
        pytest.raises(OSError, match="too long"),
    ):
        large.bind(str(tmp_path / "a" / ("x" * (room + 2))))
