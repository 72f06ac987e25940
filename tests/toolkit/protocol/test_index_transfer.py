"""The index comes whole and right, however a depot cuts it and whatever the link does to it."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from toolkit.protocol import index_transfer
from toolkit.protocol.exchange import Disconnected, FrameArrived, GivenUp, Reconnected, Request, Tick
from toolkit.protocol.index_transfer import IndexArrived
from toolkit.protocol.pace import PaceSettings
from toolkit.wire.digest import digest_of
from toolkit.wire.frame import FrameKind, Piece, Refusal, encode_pieces, encode_refusal
from toolkit.wire.request import ChunkRequest

ARTIFACT = digest_of(b"artifact")
INDEX = random.Random(5).randbytes(10_000)
CUT = 1000


def pieces_from(request: ChunkRequest, data: bytes = INDEX, most: int = 1000) -> list[bytes]:
    offsets = range(request.index_from or 0, len(data), CUT)
    return [
        encode_pieces(
            FrameKind.INDEX, request.artifact, request.epoch, [Piece(0, at, len(data), data[at : at + CUT])]
        )
        for at in offsets
    ][:most]


class World:
    def __init__(self, answer: Callable[[ChunkRequest], list[bytes]], index: bytes = INDEX) -> None:
        self.held = index_transfer.begin(
            "d", ARTIFACT, digest_of(index), len(index), max_frame_bytes=CUT, settings=PaceSettings()
        )
        self.answer, self.now, self.asked, self.ended = answer, 0.0, list[int](), None
        self.coming: list[tuple[float, bytes]] = []
        self.tell(Reconnected())

    def tell(self, event: index_transfer.IndexEvent) -> None:
        self.held, actions = index_transfer.step(self.held, event, self.now)
        for action in actions:
            if isinstance(action, Request):
                assert action.request.index_from is not None
                self.asked.append(action.request.index_from)
                self.coming.extend((self.now + 0.02, frame) for frame in self.answer(action.request))
            else:
                self.ended = action

    def run(self, until: float = 120.0) -> World:
        while self.ended is None and self.now < until:
            self.now += 0.01
            due = [frame for at, frame in self.coming if at <= self.now]
            self.coming = [(at, frame) for at, frame in self.coming if at > self.now]
            for frame in due:
                self.tell(FrameArrived(frame))
            self.tell(Tick())
        return self


def test_a_depot_that_sends_all_pieces_is_asked_once() -> None:
    world = World(pieces_from).run()
    assert world.ended == IndexArrived(INDEX)
    assert world.asked == [0]
    assert world.held.resent == 0


def test_a_depot_that_sends_one_piece_a_request_is_asked_for_each_without_a_time_out() -> None:
    world = World(lambda request: pieces_from(request, most=1)).run()
    assert world.ended == IndexArrived(INDEX)
    assert world.asked == list(range(0, 10_000, CUT))
    assert world.now < 2.0


def test_lost_pieces_are_asked_for_from_where_we_stand() -> None:
    source = random.Random(1)
    world = World(lambda request: [each for each in pieces_from(request) if source.random() < 0.6]).run()
    assert world.ended == IndexArrived(INDEX)
    assert world.asked == sorted(world.asked)


def test_an_index_that_is_not_the_one_of_the_manifest_is_refused_after_three_tries() -> None:
    world = World(lambda request: pieces_from(request, bytes(10_000))).run()
    assert isinstance(world.ended, GivenUp)
    assert world.ended.code == "index-damaged"
    assert world.held.received == 30_000


def test_an_index_of_another_size_is_never_kept() -> None:
    world = World(lambda request: pieces_from(request, INDEX * 2)).run(until=10)
    assert world.ended is None
    assert world.held.have == 0


def test_a_wrong_index_once_is_cured_by_asking_again() -> None:
    first = [bytes(10_000)]
    world = World(lambda request: pieces_from(request, first.pop() if first else INDEX)).run()
    assert world.ended == IndexArrived(INDEX)


def test_nothing_is_asked_without_a_link_and_at_once_with_one() -> None:
    world = World(lambda request: pieces_from(request, most=3))
    world.coming.clear()
    world.tell(Disconnected())
    world.run(until=30)
    assert world.asked == [0]
    world.tell(Reconnected())
    world.run()
    assert world.ended == IndexArrived(INDEX)


@pytest.mark.parametrize(
    ("refusal", "code"),
    [(Refusal.UNKNOWN_ARTIFACT, "unknown-artifact"), (Refusal.BAD_REQUEST, "bad-request")],
)
def test_a_refusal_ends_it_in_the_end(refusal: Refusal, code: str) -> None:
    world = World(lambda request: [encode_refusal(ARTIFACT, request.epoch, refusal)]).run(until=600)
    assert isinstance(world.ended, GivenUp)
    assert world.ended.code == code
