"""Traces are continued as the standard says, and a line of the log says what happened and never to whom."""

from __future__ import annotations

import json
import logging

import pytest

from edge_runtime.serving.http import Request, Response
from edge_runtime.serving.trace import AccessLog, child_of
from tests.contracts.engine import HeldEngine, feed
from tests.edge_runtime.serving.conftest import request_of
from toolkit.wire.device_config import ModelConfig, ServingConfig

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
INFER = "/v2/models/m/infer"


def test_a_child_has_the_trace_and_a_span_of_its_own():
    children = {child_of(PARENT) for _ in range(50)}
    assert len(children) == 50
    for child in children:
        version, trace, span, flags = child.split("-")
        assert (version, trace, flags, len(span)) == ("00", TRACE, "01", 16)
        assert span != SPAN
        assert child_of(child).split("-")[1] == TRACE


def test_only_the_flag_that_is_known_is_passed_on():
    assert child_of(f"00-{TRACE}-{SPAN}-fe").endswith("-00")
    assert child_of(f"00-{TRACE}-{SPAN}-ff").endswith("-01")
    assert child_of(f"42-{TRACE}-{SPAN}-01-what-comes").startswith("00-"), (
        "a later version begins like the first"
    )


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "00",
        PARENT.upper(),
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f" {PARENT}",
        f"{PARENT}\n",
        "é" * 55,
    ],
)
def test_what_is_no_traceparent_is_as_good_as_none(parent):
    assert child_of(parent) == ""


def lines(caplog):
    return [json.loads(record.message) for record in caplog.records if record.name == "tiers.access"]


def test_answers_become_lines_that_name_nobody(serve, caplog, wait_until):
    caplog.set_level(logging.INFO)
    serving = serve(ModelConfig(name="m"), config=ServingConfig(port=0, access_log=True))
    serving.swap("m", "1.4.0", HeldEngine())
    question = {**request_of(**feed(1)), "id": "patient-4711", "parameters": {"ward": "patient-4711"}}
    assert serving.ask("POST", INFER, question, traceparent=PARENT)[0] == 200
    assert serving.ask("POST", INFER, {"inputs": []}, traceparent="patient-4711")[0] == 400
    assert serving.ask("GET", "/v2/models/patient-4711")[0] == 404
    assert serving.ask("GET", "/patient-4711/ready?name=patient-4711")[0] == 404
    with serving.connect() as connection:
        connection.sendall(b"patient-4711\r\n\r\n")
        connection.recv(1000)
    wait_until(lambda: len(lines(caplog)) == 5, "all are written")
    answered, wrong, unknown, nothing, refused = lines(caplog)
    assert (answered["route"], answered["status"]) == ("infer", 200)
    assert (answered["model"], answered["version"]) == ("m", "1.4.0")
    assert (answered["trace"], answered["parent"]) == (TRACE, SPAN)
    assert answered["span"] not in ("", SPAN)
    assert 0 < answered["seconds"] < 20
    assert answered["bytes_in"] > answered["bytes_out"] > 0
    assert (wrong["status"], wrong["model"], "trace" in wrong) == (400, "m", False)
    assert (unknown["status"], unknown["route"], "model" in unknown) == (404, "other", False)
    assert (nothing["status"], nothing["route"]) == (404, "ready")
    assert (refused["status"], refused["route"]) == (400, "refused")
    assert "4711" not in caplog.text


def test_without_the_switch_lines_are_for_the_level_debug_alone(caplog):
    quiet, loud = AccessLog(["m"], always=False), AccessLog(["m"], always=True)
    request, response = Request("GET", "/metrics", {}), Response(200)
    for level, expected in ((logging.INFO, 1), (logging.DEBUG, 2), (logging.WARNING, 0)):
        caplog.clear()
        caplog.set_level(level)
        for each in (quiet, loud):
            assert each.on == logging.getLogger("tiers.access").isEnabledFor(each._level)
            each.write(request, response, 0.5)
        assert len(lines(caplog)) == expected


def test_the_model_gets_a_child_of_the_clients_trace(serve):
    seen = []

    class Watching:
        def __init__(self, inner):
            self.inner = inner

        async def answer(self, ask):
            seen.append(ask.trace)
            return await self.inner.answer(ask)

    serving = serve(ModelConfig(name="m"))
    serving.table._dress = Watching
    serving.swap("m", "1", HeldEngine())
    for parent in (PARENT, "nonsense", None):
        headers = {"traceparent": parent} if parent else {}
        assert serving.ask("POST", INFER, request_of(**feed(1)), **headers)[0] == 200
    assert seen[0].startswith(f"00-{TRACE}-")
    assert SPAN not in seen[0]
    assert seen[1:] == ["", ""]
