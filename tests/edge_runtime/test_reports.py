"""When a report goes out, and what stands in it: with a real store, and a clock that the test sets."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from edge_runtime.permit import Wait
from edge_runtime.reports import Reports, Sources
from edge_runtime.store import Store, Tally
from toolkit.errors import IntegrityError
from toolkit.protocol.installation import Installation, Offer, Proven
from toolkit.wire.fingerprint import Fingerprint
from toolkit.wire.manifest import Manifest
from toolkit.wire.report import Report, Served, decode_report
from toolkit.wire.states import InstallState

ARTIFACT = "a" * 64
GOOD = Proven(version="v1", artifact=ARTIFACT, rollout="r1")
HELD = Installation(
    model="linear",
    state=InstallState.PROBATION,
    offer=Offer(version="v1", artifact=ARTIFACT, rollout="r1"),
    good=(GOOD,),
    serving=ARTIFACT,
)


class Desk:
    """Reports with their store, what they sent, and what the versions have done."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "edge.sqlite")
        self.sent: list[Report] = []
        self.wait: Wait | None = None
        self.doubt = False
        self.problem = ""
        self.plan_problem = ""
        self.counts: dict[tuple[str, str], Served] = {}
        self.reports = Reports(
            device="us-001",
            store=self.store,
            starts=1,
            fingerprint=Fingerprint(),
            sources=Sources(
                manifest=self._manifest,
                served=lambda model, version: self.counts.get((model, version), Served()),
                wait=lambda _: self.wait,
                patch_problem=lambda _: self.problem,
                plan_problem=lambda _: self.plan_problem,
                doubts_clock=lambda: self.doubt,
            ),
            report_seconds=30.0,
            send=lambda payload: self.sent.append(decode_report(payload, "us-001")),
        )

    @staticmethod
    def _manifest(artifact: str) -> Manifest:
        raise IntegrityError(f"{artifact} has none here")

    def look(self, now: float, held: Installation = HELD) -> None:
        self.reports.progress(now, {"linear": held}, {})


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    desk.reports.changed(desk.store.next("report_seq"), {"linear": HELD}, {})
    yield desk
    desk.store.close()


def test_an_arrow_tells_at_once_how_the_serving_version_has_done(desk) -> None:
    desk.counts["linear", "v1"] = Served(requests=5, failures=1, p99_seconds=0.25)
    desk.reports.changed(desk.store.next("report_seq"), {"linear": HELD}, {})
    assert desk.sent[-1].models[0].served == Served(requests=5, failures=1, p99_seconds=0.25)
    assert desk.sent[-1].models[0].state is InstallState.PROBATION
    assert (desk.sent[0].format, desk.sent[-1].format) == (1, 2)


def test_requests_alone_are_told_once_in_each_interval_and_nothing_is_told_twice(desk) -> None:
    before = len(desk.sent)
    for second in range(100, 200):
        if second < 160:
            desk.counts["linear", "v1"] = Served(requests=second)
        desk.look(float(second))
    told = [each.models[0].served.requests for each in desk.sent[before:]]
    assert told == [100, 130, 159]
    assert [each.seq for each in desk.sent] == list(range(1, len(desk.sent) + 1))


def test_what_comes_over_the_link_is_told_before_the_interval_is_over_and_takes_the_counts_along(
    desk,
) -> None:
    desk.look(100.0)
    before = len(desk.sent)
    desk.counts["linear", "v1"] = Served(requests=9)
    desk.look(103.0)
    assert len(desk.sent) == before
    fetching = Installation(
        model="linear",
        state=InstallState.DOWNLOADING,
        offer=Offer(version="v2", artifact="b" * 64, rollout="r2"),
        good=(GOOD,),
        serving=ARTIFACT,
    )
    desk.look(106.0, fetching)
    assert desk.sent[-1].models[0].served.requests == 9
    assert desk.sent[-1].models[0].serving_version == "v1"


def test_nothing_is_said_of_a_model_that_nothing_serves(desk) -> None:
    desk.counts["linear", ""] = Served(requests=4)
    idle = Installation(model="linear", state=InstallState.FAILED)
    desk.reports.changed(desk.store.next("report_seq"), {"linear": idle}, {})
    assert desk.sent[-1].models[0].served == Served()


def test_what_it_waits_for_stands_where_a_failure_would(desk) -> None:
    waiting = Installation(
        model="linear",
        state=InstallState.WAITING_WINDOW,
        offer=Offer(version="v2", artifact="b" * 64, rollout="r2"),
    )
    desk.wait = Wait("untrusted-clock", "the clock says 1970")
    desk.doubt = True
    desk.look(100.0, waiting)
    told = desk.sent[-1]
    assert (told.models[0].code, told.models[0].reason) == ("untrusted-clock", "the clock says 1970")
    assert (told.untrusted_clock, told.format) == (True, 2)
    desk.wait, desk.doubt = None, False
    desk.look(103.0, waiting)
    told = desk.sent[-1]
    assert (told.models[0].code, told.untrusted_clock, told.format) == ("", False, 1)


class Fetching:
    """A fetch that runs."""

    def __init__(self, artifact: str, tally: Tally, have: int) -> None:
        self.artifact, self.tally, self.have = artifact, tally, have


def test_what_comes_of_a_patch_counts_for_what_it_makes_and_is_none_of_its_chunks(desk) -> None:
    held = replace(HELD, state=InstallState.SEEDING)
    desk.store.save_manifest(ARTIFACT, "linear", b"sealed")
    desk.store.save_tally(ARTIFACT, Tally(seeded=3, received=100))
    progress = Fetching("f" * 64, Tally(received=50, resent=7), have=9)
    desk.reports.progress(100.0, {"linear": held}, {"linear": progress})
    report = desk.sent[-1].models[0]
    assert (report.chunks_seeded, report.bytes_received, report.bytes_resent) == (3, 150, 7)
    assert report.chunks_have == 0
    own = Fetching(ARTIFACT, Tally(received=60, patched=4), have=9)
    desk.problem = "it was damaged"
    desk.reports.progress(200.0, {"linear": held}, {"linear": own})
    report = desk.sent[-1].models[0]
    assert (report.bytes_received, report.chunks_have, report.chunks_patched) == (60, 9, 4)
    assert report.patch_problem == "it was damaged"
    assert desk.sent[-1].format == 2


def test_why_a_plan_is_not_used_stands_in_the_report_and_only_then_it_takes_the_newest_number(desk) -> None:
    held = replace(HELD, state=InstallState.STAGED)
    desk.reports.changed(1, {"linear": held}, {})
    desk.plan_problem = "it did not pass the golden check: golden-mismatch"
    desk.reports.changed(2, {"linear": held}, {})
    assert [report.format for report in desk.sent[-2:]] == [1, 4]
    assert desk.sent[-1].models[0].plan_problem == desk.plan_problem
