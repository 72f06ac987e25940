"""Topics: names that cannot change their shape."""

from __future__ import annotations

import pytest

from toolkit.errors import IntegrityError
from toolkit.wire.digest import digest_of
from toolkit.wire.topics import Topics, check_label

TOPICS = Topics("north")


def test_each_document_has_its_place_and_seven_slashes_are_enough():
    artifact = digest_of(b"")
    topics = [
        TOPICS.manifest(artifact), TOPICS.desired("us-01"), TOPICS.request("us-01"), TOPICS.data("us-01"),
        TOPICS.state("us-01"), TOPICS.presence("us-01"), TOPICS.rollout("r-1"),
    ]  # fmt: skip
    assert topics == [
        f"tiers/1/north/a/{artifact}/m", "tiers/1/north/d/us-01/desired", "tiers/1/north/d/us-01/req",
        "tiers/1/north/d/us-01/dat", "tiers/1/north/d/us-01/st", "tiers/1/north/d/us-01/up", "tiers/1/north/r/r-1",
    ]  # fmt: skip
    assert max(topic.count("/") for topic in topics) <= 7


def test_all_devices_are_a_plus():
    assert TOPICS.state("+") == "tiers/1/north/d/+/st"
    assert TOPICS.rollout("+") == "tiers/1/north/r/+"


@pytest.mark.parametrize(
    "label", ["", "a/b", "+", "#", "a+", "A", "-a", "a-", "a b", "a\0", "a\n", "ä", "x" * 64, "$SYS"]
)
def test_a_name_that_would_change_the_shape_is_refused(label):
    with pytest.raises(IntegrityError, match="1 to 63 lower-case"):
        check_label(label, what="device")
    with pytest.raises(IntegrityError):
        Topics(label)
    if label != "+":
        with pytest.raises(IntegrityError):
            TOPICS.desired(label)


def test_the_device_is_read_out_of_its_topics():
    assert TOPICS.device_of(TOPICS.state("us-01")) == "us-01"


@pytest.mark.parametrize(
    "topic",
    ["", "tiers/1/north/d/us-01", "tiers/1/south/d/us-01/st", "tiers/1/north/d/us-01/st/x", "tiers/1/north/d/+/st",
     "tiers/1/north/r/x"],
)  # fmt: skip
def test_and_of_no_others(topic):
    with pytest.raises(IntegrityError):
        TOPICS.device_of(topic)
