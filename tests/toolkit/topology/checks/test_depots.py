"""Depot, driver and agents are let in: with certificates for a broker of ours, and Secrets that are in the cluster."""

from __future__ import annotations

import json

import pytest

DEPLOY = {
    "pool": "disks",
    "certificate": {"secret": "broker-tls"},
    "clients": {"secret": "clients-ca"},
    "storage": {"class": "block", "size": "1GiB"},
}
CLASSES = {"block": {"installed": "standard"}}
DEPOT = {"pool": "disks", "keyring": {"secret": "keys"}}
DRIVER = {**DEPOT, "key": {"secret": "operator"}}
FILE = {"file": "there"}


def codes(problems_of, changes) -> list[str]:
    lines = problems_of(json.dumps({"storage_classes": CLASSES, **changes}, indent=1))
    return sorted(line.split()[1] for line in lines)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"broker": {"deploy": DEPLOY}, "depot": DEPOT, "driver": DRIVER}, ["E0908", "E0908"]),
        ({"driver": {**DRIVER, "key": FILE}}, ["E0907"]),
        ({"depot": {**DEPOT, "keyring": FILE}}, ["E0907"]),
        ({"depot": {**DEPOT, "identity": FILE}}, ["E0907"]),
        ({"depot": DEPOT, "broker": {"ca": FILE}}, ["E0907"]),
        ({"depot": DEPOT, "broker": {"credentials": {"env": "LOGIN"}}}, ["E0907"]),
        ({"depot": {**DEPOT, "pool": "boxes"}, "driver": {**DRIVER, "pool": "boxes"}}, ["E0908", "E0908"]),
        ({"tiers": {"hot": {"agent": {"pool": "gpu", "certificate": FILE}}}}, ["E0907"]),
        ({"broker": {"deploy": {**DEPLOY, "node_port": 30000}}}, ["E0206"]),
        ({"broker": {"deploy": DEPLOY, "preset": "aws"}}, ["E0906"]),
        ({"broker": {"deploy": {**DEPLOY, "clients": {"env": "CA"}}}}, ["E0907"]),
    ],
)
def test_what_could_not_work_is_refused(problems_of, changes, expected):
    assert codes(problems_of, changes) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"depot": DEPOT, "driver": DRIVER},
        {"depot": DEPOT, "broker": {"credentials": {"secret": "login"}}},
        {
            "broker": {"deploy": {**DEPLOY, "expose": "node-port", "node_port": 30000}},
            "depot": {**DEPOT, "identity": {"secret": "depot-identity"}},
        },
    ],
)
def test_what_works_is_taken(over_site, changes):
    assert over_site(json.dumps({"storage_classes": CLASSES, **changes}, indent=1)).warnings == ()


def test_a_login_of_a_storage_is_a_secret_where_an_agent_needs_it(problems_of, over_site):
    warm = {"storage": [{"url": "s3://warm", "credentials": FILE}]}
    routes = {"out": {"from": "hot", "to": "warm", "path": "x"}}
    by_hand = json.dumps({"tiers": {"warm": warm}, "routes": routes}, indent=1)
    assert over_site(by_hand).warnings == (), "whoever runs it by hand has the file"
    hot = {"agent": {"pool": "gpu"}}
    assert codes(problems_of, {"tiers": {"warm": warm, "hot": hot}, "routes": routes}) == ["E0907"]
