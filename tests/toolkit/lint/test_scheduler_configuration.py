"""Every contradiction in a scheduler's configuration is found, in a file and in a ConfigMap; our profiles have none."""

from __future__ import annotations

import copy

import pytest
import yaml

from toolkit.errors import Place, Severity
from toolkit.lint.check import lint
from toolkit.lint.document import from_text
from toolkit.lint.scheduler_configuration import check_configuration
from toolkit.render.scheduler import ACTIONS, scheduler_config

PLACE = Place("ConfigMap volcano-system/volcano-scheduler-configmap")


@pytest.fixture(scope="module")
def ours(hospital):
    return yaml.safe_load(scheduler_config(hospital))


def codes(body) -> list[str]:
    return [each.code for each in check_configuration(yaml.safe_dump(body), PLACE)]


@pytest.mark.parametrize("profile", ACTIONS)
def test_our_profiles_are_clean(topology, profile):
    assert check_configuration(scheduler_config(topology({"scheduler": {"profile": profile}})), PLACE) == ()


def plugin(body, name):
    return next(each for tier in body["tiers"] for each in tier["plugins"] if each["name"] == name)


def actions(text):
    return lambda body: body.update(actions=text)


def extra(tier, **entry):
    return lambda body: body["tiers"][tier]["plugins"].append(entry)


def drf(**switches):
    return extra(1, name="drf", **switches)


def entry(name, **changes):
    return lambda body: plugin(body, name).update(changes)


def without(name):
    def change(body):
        for tier in body["tiers"]:
            tier["plugins"] = [each for each in tier["plugins"] if each["name"] != name]

    return change


def moved(name):
    """Move a plugin to the second tier."""

    def change(body):
        found = plugin(body, name)
        without(name)(body)
        body["tiers"][1]["plugins"].append(found)

    return change


def both(*changes):
    return lambda body: [change(body) for change in changes]


WRONG = {
    "gangPreempt": ("L172", actions("allocate, gangPreempt"), "did you mean 'gangpreempt'?"),
    "elect": ("L172", actions("elect, allocate, backfill"), "'elect' is no action"),
    "no actions at all": ("L172", actions(""), "'' is no action"),
    "numaaware": ("L173", extra(1, name="numaaware"), "did you mean 'numa-aware'?"),
    "enabledPreemptable": ("L174", entry("priority", enabledPreemptable=False), "did you mean 'enablePreemptable'?"),
    "top key": ("L174", lambda body: body.update(configuration=[]), "did you mean 'configurations'?"),
    "argument": ("L174", entry("binpack", arguments={
        "binpack.weight": 10, "binpack.resource": "x", "binpack.resources": "nvidia.com/gpu"}), "binpack.resource"),
    "twice": (
        "L175",
        extra(1, name="gang", enablePreemptable=False, enableReclaimable=False),
        "gang stands there twice",
    ),
    "proportion": ("L176", extra(0, name="proportion"), "exclude each other"),
    "drf hierarchy": (
        "L176",
        both(without("capacity"), extra(0, name="proportion"), drf(enableHierarchy=True, enableJobOrder=False)),
        "drf with a hierarchy",
    ),
    "preempt and gangpreempt": ("L177", actions("allocate, preempt, gangpreempt"), "preempt and gangpreempt"),
    "reclaim and gangreclaim": ("L177", actions("allocate, preempt, reclaim, gangreclaim"), "exclude each other"),
    "gangreclaim alone": ("L178", both(actions("allocate, gangreclaim"), without("capacity")), "gangreclaim without"),
    "gangreclaim with proportion": (
        "L178",
        both(actions("allocate, gangreclaim"), without("capacity"), extra(0, name="proportion")),
        "without the plugin capacity",
    ),
    "reclaim alone": ("L178", without("capacity"), "capacity or proportion"),
    "enqueue and overcommit": (
        "L179",
        both(actions("enqueue, allocate, backfill, preempt, reclaim"), extra(1, name="overcommit")),
        "beside enqueue and overcommit",
    ),
    "capacity in the second tier": ("L180", moved("capacity"), "later tier than conformance"),
    "gangs cannot be preempted": ("L181", entry("gang", enablePreemptable=True), "preempt with a gang"),
    "gangs cannot be reclaimed": ("L181", entry("gang", enableReclaimable=None), "enableReclaimable"),
    "reclaim without preempt": ("L182", actions("enqueue, allocate, backfill, reclaim"), "no free machine"),
    "reclaim before preempt": ("L182", actions("allocate, reclaim, preempt"), "without preempt before it"),
    "binpack without GPUs": ("L183", entry("binpack", arguments={"binpack.weight": 10}), "nvidia.com/gpu no weight"),
    "leastrequested": (
        "L184",
        entry("nodeorder", arguments={"leastrequested.weight": 2, "podtopologyspread.weight": 0}),
        "leastrequested.weight outweigh",
    ),
    "podtopologyspread": (
        "L184",
        entry("nodeorder", arguments={"leastrequested.weight": "0"}),
        "podtopologyspread.weight",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_configuration_is_told_what_is_wrong(ours, name):
    code, change, words = WRONG[name]
    body = copy.deepcopy(ours)
    change(body)
    problems = check_configuration(yaml.safe_dump(body), PLACE)
    assert [each.code for each in problems] == [code], [str(each) for each in problems]
    assert words in problems[0].message
    assert problems[0].place == PLACE
    assert problems[0].cure
    assert problems[0].why


@pytest.mark.parametrize(
    "content", ["", "[]", "actions: allocate", "a: [", "actions: x\ntiers: []\n---\n{}\n---\nkind: x\n"]
)
def test_what_is_no_configuration_is_told_so(content):
    (problem,) = check_configuration(content, PLACE)
    assert (problem.code, problem.severity) == ("L171", Severity.ERROR)


def test_volcanos_own_default_has_but_warnings():
    """What its chart brings: no eviction at all, and drf, which starves gangs that have lost a machine."""
    default = """
actions: "enqueue, allocate, backfill"
tiers:
- plugins:
  - name: priority
  - name: gang
    enablePreemptable: false
  - name: conformance
- plugins:
  - name: overcommit
  - name: drf
    enablePreemptable: false
  - name: predicates
  - name: proportion
  - name: nodeorder
  - name: binpack
"""
    assert [each.code for each in check_configuration(default, PLACE)] == [
        "L183",
        "L184",
        "L191",
        "L193",
    ]


def test_a_bare_file_gets_positions(ours):
    content = yaml.safe_dump(ours | {"actions": "allocate, premept"}, sort_keys=False)
    (problem,) = lint(from_text(content, "volcano-scheduler.conf"))
    assert str(problem.place) == "volcano-scheduler.conf:1:1"
    assert "premept" in problem.message


def test_a_config_map_is_looked_into(ours):
    inner = yaml.safe_dump(ours | {"actions": "allocate, premept"})
    outer = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "conf"},
        "data": {"volcano-scheduler.conf": inner},
    }
    assert [each.code for each in lint(from_text(yaml.safe_dump(outer), "conf.yaml"))] == ["L172"]


QUEUE = {"apiVersion": "scheduling.volcano.sh/v1beta1", "kind": "Queue", "metadata": {"name": "below"}}
JOB = {"apiVersion": "batch.volcano.sh/v1alpha1", "kind": "Job", "metadata": {"name": "far"}}
NEAR = {"nodeGroupAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": ["a"]}}
ASKED = {
    "parent": (QUEUE | {"spec": {"parent": "above"}}, {"L185"}),
    "affinity": (QUEUE | {"spec": {"affinity": NEAR}}, {"L186"}),
    "topology": (JOB | {"spec": {"networkTopology": {"mode": "hard"}}}, {"L187", "L188"}),
}  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
def test_what_an_object_asks_for_has_to_be_there(ours, name):
    body, expected = ASKED[name]

    def found(config):
        texts = [yaml.safe_dump(body), *([yaml.safe_dump(config)] if config else [])]
        problems = lint(from_text("\n---\n".join(texts), "site.yaml"))
        return {each.code for each in problems} & {"L185", "L186", "L187", "L188"}

    assert found(None) == set(), "nothing is known of the scheduler"
    assert found(ours) == expected
    able = copy.deepcopy(ours) | {"actions": ACTIONS["whole-gang"]}
    plugin(able, "capacity")["enableHierarchy"] = True
    able["tiers"][1]["plugins"] += [{"name": "nodegroup"}, {"name": "network-topology-aware"}]
    assert found(able) == set()


def test_every_rule_has_a_bad_example():
    shown = {code for code, _, _ in WRONG.values()}.union({"L171"}, *(found for _, found in ASKED.values()))
    assert shown == {f"L{number}" for number in range(171, 189)}
