"""Messages become Rules over shared RuleEndpoints, only for pairs that the router knows, and switch it on."""

from __future__ import annotations

import pytest
import yaml

from toolkit.render.kubeedge_config import cloud_config, edge_config
from toolkit.render.objects import render

DOOR = {"from": {"topic": "site/door", "pools": ["endoscopy"]}, "to": {"url": "http://alarms.example/door"}}
HINT = {"from": {"path": "/hint"}, "to": {"topic": "site/hint"}}
LAMP = {"from": {"path": "/lamp"}, "to": {"path": "/on", "port": 8090}}
KNOWN = {("rest", "eventbus"), ("eventbus", "rest"), ("rest", "servicebus")}


@pytest.fixture
def with_messages(topology):
    """Give `with_messages(**messages)`: the hospital with these messages."""
    return lambda **messages: topology({"messages": messages})


def bodies(site, kind):
    return {each.name: each.body for each in render(site) if each.kind == kind}


def test_each_rule_goes_between_endpoints_that_are_there_and_a_pair_that_is_known(with_messages):
    site = with_messages(door=DOOR, hint=HINT, lamp=LAMP)
    endpoints = {name: body["spec"] for name, body in bodies(site, "RuleEndpoint").items()}
    rules = bodies(site, "Rule")
    assert set(rules) == {"door.endo-01", "door.endo-02", "hint", "lamp"}
    pairs = {
        tuple(endpoints[body["spec"][end]]["ruleEndpointType"] for end in ("source", "target"))
        for body in rules.values()
    }
    assert pairs == KNOWN
    assert endpoints["tiers-servicebus-8090"]["properties"] == {"service_port": "8090"}
    used = {body["spec"][end] for body in rules.values() for end in ("source", "target")}
    assert used == set(endpoints)
    namespaces = {
        body["metadata"]["namespace"]
        for kind in ("Rule", "RuleEndpoint")
        for body in bodies(site, kind).values()
    }
    assert namespaces == {"medical-imaging"}


def test_resources_are_of_their_endpoints_form(with_messages):
    rules = bodies(with_messages(door=DOOR, hint=HINT, lamp=LAMP), "Rule")
    heard = rules["door.endo-02"]["spec"]
    assert heard["sourceResource"] == {"topic": "site/door", "node_name": "endo-02"}
    assert heard["targetResource"] == {"resource": "http://alarms.example/door"}
    assert rules["hint"]["spec"]["sourceResource"] == {"path": "/hint"}
    assert rules["hint"]["spec"]["targetResource"] == {"topic": "site/hint"}
    assert rules["lamp"]["spec"]["targetResource"] == {"path": "/on"}


def test_a_message_is_not_taken_for_another_on_a_device(with_messages):
    hidden = {"door-endo-01": HINT, "door": DOOR}
    assert set(bodies(with_messages(**hidden), "Rule")) == {"door-endo-01", "door.endo-01", "door.endo-02"}


def test_the_router_is_on_with_messages_and_the_service_bus_with_services(with_messages, hospital, topology):
    def on(site):
        cloud = yaml.safe_load(cloud_config(site, "main"))["modules"]
        edge = yaml.safe_load(edge_config(site, "endoscopy"))["modules"]
        return cloud["router"]["enable"], edge["eventBus"]["enable"], edge["serviceBus"]["enable"]

    assert on(hospital) == (False, False, False)
    assert on(topology({"clusters": {"main": {"kubeedge": {"mqtt": "internal"}}}})) == (False, True, False)
    assert on(with_messages(hint=HINT)) == (True, True, False)
    assert on(with_messages(lamp=LAMP)) == (True, True, True)
    assert bodies(hospital, "RuleEndpoint") == {}
