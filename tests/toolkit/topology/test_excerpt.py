from __future__ import annotations

import pytest

from toolkit.errors import Place, TopologyError
from toolkit.topology.excerpt import excerpt, masked


def test_the_caret_stands_under_the_word():
    lines = ["a:", "  hardware: jetson-orin-nxx,   nodes: 3"]
    assert excerpt(lines, Place("f", 2, 13)) == (
        "2 |   hardware: jetson-orin-nxx,   nodes: 3\n  |             ^^^^^^^^^^^^^^^"
    )
    assert excerpt(lines, Place("f", 2, 3)).endswith("  |   ^^^^^^^^")


@pytest.mark.parametrize("place", [Place("f"), Place("f", 9, 1)])
def test_a_place_without_a_line_has_no_excerpt(place):
    assert excerpt(["a: 1"], place) == ""


@pytest.mark.parametrize(
    "line",
    [
        "url: mqtts://tiers:hunter2@broker.example:8883",
        "broker: {url: 'mqtts://tiers:hunter2@broker', x: 1}",
        "credentials: hunter2",
        'credentials: "hunter2 with spaces"',
        "password: hunter2",
        "  DB_PASSWORD: hunter2 # note",
        "env: {API_KEY: hunter2, OTHER: 1}",
        "--set token=hunter2",
    ],
)
def test_secrets_are_masked(line):
    assert "hunter2" not in masked(line)
    assert "hunter2" not in excerpt([line], Place("f", 1, line.index("hunter2") + 1))
    assert "****" in masked(line)


@pytest.mark.parametrize(
    "line",
    [
        "credentials: {secret: broker-login}",
        "source: a@1.0",
        "url: mqtts://broker.example:8883",
        "key: image",
    ],
)
def test_all_else_stays_readable(line):
    assert masked(line) == line


@pytest.mark.parametrize(
    "text",
    [
        "broker: {url: 'mqtts://tiers:hunter2@broker.example:8883'}\n",
        "broker: {url: 'mqtts://tiers:hunter2@broker.example:99999'}\n",
        "broker: {url: 'ftp://tiers:hunter2@broker.example'}\n",
        "broker: {credentials: hunter2}\n",
        "broker: {credentials: [hunter2]}\n",
        "broker: {credentials: {secret: 'hunter2!'}}\n",
        "broker:\n  credentials:\n    secret: Hunter2-hunter2\n",
        "broker: {pasword: 1, password: hunter2}\n",
        "registry: 's3://key:hunter2@bucket'\n",
        "jobs:\n  a: {pool: nope, gang: {workers: 1}, run: x, env: {DB_PASSWORD: hunter2}}\n",
        "jobs:\n  a: {pool: nope, gang: {workers: 1}, run: x, env: {DB_PASSWORD: 'hunter2\n    hunter2'}}\n",
        "broker:\n  credentials: |\n    hunter2\n",
        "broker:\n  credentials:\n    hunter2\n",
    ],
)
def test_no_problem_shows_a_secret(over_site, text):
    with pytest.raises(TopologyError) as caught:
        over_site(text)
    assert "hunter2" not in repr(caught.value.problems)
    assert "hunter2" not in str(caught.value)
