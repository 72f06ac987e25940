"""What a real broker retains is taken as it came, and put back where its rules let us."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Mosquitto
from toolkit.backup.gather_broker import put_back, record
from toolkit.errors import UnreachableError
from toolkit.link.paho_link import PahoLink
from toolkit.link.settings import settings_from_url
from toolkit.wire.topics import Topics

pytestmark = pytest.mark.broker
TOPICS = Topics("north")
RULES = """\
topic read #
topic readwrite tiers/1/north/r/#
topic readwrite tiers/1/north/e/#
"""


def test_a_broker_that_refuses_some_topics_is_told_apart(tmp_path: Path, require) -> None:
    require("mosquitto")
    (tmp_path / "rules").write_text(RULES)
    (tmp_path / "rules").chmod(0o600)
    settings = ("allow_anonymous true", "persistence false", f"acl_file {tmp_path / 'rules'}")
    broker = Mosquitto(tmp_path / "broker", settings=settings)
    broker.start()
    documents = {TOPICS.rollout("wave"): b"a rollout", TOPICS.state("box-1"): b"a report"}
    url = f"mqtt://127.0.0.1:{broker.port}"
    recorders = []
    try:
        first = record(PahoLink(settings_from_url(url, "one")), TOPICS, name="one", address=url)
        recorders.append(first)
        assert first.documents == {}
        assert put_back(first, documents, seconds=60) == [TOPICS.state("box-1")]
        second = record(PahoLink(settings_from_url(url, "two")), TOPICS, name="two", address=url)
        recorders.append(second)
        assert second.documents == {TOPICS.rollout("wave"): b"a rollout"}
    finally:
        for recorder in recorders:
            recorder.close()
        broker.stop()


@pytest.mark.slow  # it waits five seconds for one
def test_a_broker_that_is_not_there_is_named(free_port) -> None:
    url = f"mqtt://127.0.0.1:{free_port()}"
    with pytest.raises(UnreachableError, match="cannot be reached"):
        record(PahoLink(settings_from_url(url, "one")), TOPICS, name="one", address=url)
