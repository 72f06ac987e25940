"""Retained: what can be believed is kept, what cannot is counted and left out, and nothing grows without end."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.toolkit.fleet.pretend import KEY, KEYRING, STRANGER, TOPICS, entry, intent
from toolkit.fleet.retained import MAX_NUMBER, Retained
from toolkit.wire.desired import Desired
from toolkit.wire.document import MAX_DOCUMENT_BYTES, encode_json
from toolkit.wire.report import Presence, Report
from toolkit.wire.signature import seal
from toolkit.wire.topics import Topics


@pytest.fixture
def retained() -> Retained:
    return Retained(TOPICS, KEYRING)


def sealed_desired(device: str = "a", seq: int = 1, fence: int = 1, key=KEY) -> bytes:
    return seal(encode_json(Desired(device=device, seq=seq, fence=fence, models=(entry(),))), "desired", key)


def sealed_rollout(key=KEY, **changes) -> bytes:
    return seal(encode_json(intent(**changes)), "rollout", key)


def report(device: str = "a", **changes) -> bytes:
    return encode_json(Report(device=device, **{"seq": 1, **changes}))


def presence(device: str, state: str) -> bytes:
    return encode_json(Presence(device=device, state=state))


def test_keeps_one_of_each_kind(retained: Retained) -> None:
    assert retained.take(TOPICS.state("a"), report()) == "report"
    assert retained.take(TOPICS.presence("a"), presence("a", "online")) == "presence"
    assert retained.take(TOPICS.desired("a"), sealed_desired()) == "desired"
    assert retained.take(TOPICS.rollout("digits-2"), sealed_rollout()) == "rollout"
    assert (list(retained.reports), retained.online) == (["a"], {"a": True})
    assert (list(retained.desired), list(retained.rollouts)) == (["a"], ["digits-2"])
    assert retained.ignored_count == 0


def test_forgets_what_is_cleared(retained: Retained) -> None:
    test_keeps_one_of_each_kind(retained)
    for topic in (TOPICS.state("a"), TOPICS.presence("a"), TOPICS.desired("a"), TOPICS.rollout("digits-2")):
        retained.take(topic, b"")
    assert not any((retained.reports, retained.online, retained.desired, retained.rollouts))
    assert retained.highest_seq("a") == 1, "a number that was used is not used again"


UNBELIEVABLE = {
    "no json": (TOPICS.state("a"), b"{", "is not a Report"),
    "too large": (TOPICS.state("a"), b" " * (MAX_DOCUMENT_BYTES + 1), "at most 65536 are read"),
    "report of another": (TOPICS.state("a"), report("b"), "speaks for 'b'"),
    "number without end": (TOPICS.state("a"), report(desired_seq=MAX_NUMBER + 1), "counts with a number"),
    "negative number": (TOPICS.state("a"), report(seq=-1), "counts with a number"),
    "no name": (f"{TOPICS.root}/d/A/st", report("A"), "must be 1 to 63"),
    "presence of another": (TOPICS.presence("a"), presence("b", "online"), "speaks for 'b'"),
    "no presence": (TOPICS.presence("a"), b'{"device":"a","format":1,"state":"maybe"}', "not a Presence"),
    "stranger's desired": (TOPICS.desired("a"), sealed_desired(key=STRANGER), "not trusted as operator"),
    "desired of another": (TOPICS.desired("a"), sealed_desired("b"), "addressed to 'b'"),
    "last number": (TOPICS.desired("a"), sealed_desired(seq=MAX_NUMBER + 1), "counts with a number"),
    "another type": (TOPICS.desired("a"), sealed_rollout(), "is sealed as a rollout"),
    "stranger's rollout": (TOPICS.rollout("digits-2"), sealed_rollout(STRANGER), "not trusted as operator"),
    "another topic": (TOPICS.rollout("other"), sealed_rollout(), "stands on the topic of 'other'"),
    "not sealed": (TOPICS.rollout("digits-2"), encode_json(intent()), "is not a Sealed"),
}


@pytest.mark.parametrize("case", UNBELIEVABLE)
def test_what_cannot_be_believed_is_left_out(retained: Retained, case: str) -> None:
    topic, payload, why = UNBELIEVABLE[case]
    assert retained.take(topic, payload) is not None
    assert not any((retained.reports, retained.online, retained.desired, retained.rollouts))
    assert retained.ignored_count == 1
    assert why in retained.ignored[topic]


def test_a_good_document_takes_the_blame_away(retained: Retained) -> None:
    retained.take(TOPICS.state("a"), b"{")
    retained.take(TOPICS.state("a"), report())
    assert (retained.ignored, retained.ignored_count) == ({}, 1)


def test_a_forged_desired_state_takes_the_place_of_the_good_one(retained: Retained) -> None:
    retained.take(TOPICS.desired("a"), sealed_desired(seq=4))
    retained.take(TOPICS.desired("a"), sealed_desired(seq=99, key=STRANGER))
    assert "a" not in retained.desired, "the broker no longer has the good one"
    assert retained.highest_seq("a") == 4


def test_a_rollout_that_was_stopped_is_not_started_again_by_its_old_document(retained: Retained) -> None:
    running, stopped = sealed_rollout(), sealed_rollout(action="abort", seq=2)
    retained.take(TOPICS.rollout("digits-2"), running)
    retained.take(TOPICS.rollout("digits-2"), stopped)
    retained.take(TOPICS.rollout("digits-2"), running)
    assert retained.rollouts["digits-2"].action == "abort"
    assert "change 1 came after change 2" in retained.ignored[TOPICS.rollout("digits-2")]


def test_other_topics_are_nothing_of_ours(retained: Retained) -> None:
    south = Topics("south")
    for topic in (
        TOPICS.request("a"),
        TOPICS.data("a"),
        south.state("a"),
        f"{TOPICS.root}/r/x/y",
        TOPICS.root,
    ):
        assert retained.take(topic, b"anything") is None
    assert retained.ignored_count == 0


def test_without_a_keyring_it_only_looks() -> None:
    looking = Retained(TOPICS, None)
    looking.take(TOPICS.rollout("digits-2"), sealed_rollout(key=STRANGER))
    assert "digits-2" in looking.rollouts
    looking.take(TOPICS.rollout("digits-2"), b"junk")
    assert looking.ignored_count == 1


def test_the_list_of_reasons_ends_and_the_count_goes_on(retained: Retained) -> None:
    for number in range(300):
        retained.take(TOPICS.state(f"box-{number}"), b"junk")
    assert (len(retained.ignored), retained.ignored_count) == (100, 300)


@given(
    st.sampled_from(["d/a/st", "d/a/up", "d/a/desired", "r/digits-2", "d/\x00/st", "r/", "d/a/st/x"]),
    st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
            ),
        ).map(msgspec.json.encode),
    ),
)
def test_no_bytes_can_make_it_fail(relative: str, payload: bytes) -> None:
    retained = Retained(TOPICS, KEYRING)
    retained.take(f"{TOPICS.root}/{relative}", payload)
    assert retained.reports == {}
    assert retained.desired == {}
