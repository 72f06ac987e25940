"""Jobs that are taken and whose pods are never made: names, priority classes, dependsOn, mounts."""

from __future__ import annotations

import pytest

from tests.toolkit.lint.wrong_jobs import right_job
from toolkit.lint.check import lint
from toolkit.lint.document import from_objects
from toolkit.lint.gang_document import plugin_flags
from toolkit.lint.gang_fit import STAYS_PENDING
from toolkit.lint.gang_starts import KEYS


def found(job):
    return {
        each.code for each in lint(from_objects([job])) if each.code in STAYS_PENDING or each.code == "L104"
    }


def named(name, *, plugins=None, replicas=1, task="w", **spec):
    job = right_job(1, 0)
    job["metadata"]["name"] = name
    job["spec"].update({"plugins": {"svc": []} if plugins is None else plugins, **spec})
    job["spec"]["tasks"][0].update({"replicas": replicas, "name": task})
    return job


@pytest.mark.parametrize(
    ("name", "plugins", "codes"),
    [
        ("train-3d", {"svc": []}, set()),
        ("3d-train", {"svc": []}, {"L151"}),
        ("3d-train", {"pytorch": []}, {"L151"}),
        ("3d-train", {"env": []}, set()),
        ("train.v2", {"svc": []}, {"L151"}),
        ("train.v2", {}, set()),
        ("Train", {"svc": []}, {"L104"}),
        ("t" * 59, {"svc": []}, set()),
        ("t" * 60, {"svc": []}, {"L104"}),
        ("t" * 59, {"ssh": []}, set()),
    ],
)
def test_names_of_services(name, plugins, codes):
    assert found(named(name, plugins=plugins)) == codes


@pytest.mark.parametrize(("replicas", "codes"), [(10, set()), (11, {"L152"})])
def test_the_longest_host_name_counts(replicas, codes):
    assert found(named("t" * 50, replicas=replicas, task="w" * 10)) == codes
    assert found(named("t" * 50, replicas=replicas, task="w" * 10, plugins={})) == set()


@pytest.mark.parametrize(("length", "codes"), [(50, set()), (51, {"L152"})])
def test_volumes_are_called_after_the_job(length, codes):
    volumes = [{"mountPath": "/data", "volumeClaimName": "one"}]
    assert found(named("t" * length, plugins={}, volumes=volumes)) == codes
    assert found(named("t" * length, plugins={})) == set()


def chain(job_minimum, *tasks):
    """Give a job of (name, replicas, minimum, parents, iteration)."""
    job = right_job(1, 0)
    template = job["spec"]["tasks"][0]["template"]
    job["spec"]["tasks"] = [
        {"name": name, "replicas": replicas, "template": template}
        | ({} if minimum is None else {"minAvailable": minimum})
        | ({"dependsOn": {"name": parents, "iteration": iteration}} if parents else {})
        for name, replicas, minimum, parents, iteration in tasks
    ]
    if job_minimum is not None:
        job["spec"]["minAvailable"] = job_minimum
    return job


@pytest.mark.parametrize(
    ("job", "codes"),
    [
        (chain(None, ("a", 1, None, [], "all"), ("b", 2, None, ["a"], "all")), {"L159"}),
        (chain(1, ("a", 1, None, [], "all"), ("b", 2, None, ["a"], "all")), set()),
        (chain(2, ("a", 1, None, [], "all"), ("b", 2, None, ["a"], "all")), {"L159"}),
        (chain(None, ("a", 1, 1, [], "all"), ("b", 2, 0, ["a"], "all")), set()),
        (chain(3, ("a", 4, 1, [], "all"), ("b", 2, 2, ["a"], "all")), {"L159"}),
        (chain(2, ("a", 4, 1, [], "all"), ("b", 2, 2, ["a"], "all")), set()),
        # a parent that needs no pod to run holds nobody up
        (chain(None, ("a", 2, 0, [], "all"), ("b", 2, None, ["a"], "all")), set()),
        (
            chain(None, ("a", 2, 0, [], "all"), ("c", 1, 1, [], "all"), ("b", 2, None, ["a", "c"], "any")),
            set(),
        ),
        (
            chain(None, ("a", 2, 0, [], "all"), ("c", 1, 1, [], "all"), ("b", 2, None, ["a", "c"], "all")),
            {"L159"},
        ),
    ],
)
def test_a_gang_does_not_wait_for_pods_that_wait_for_it(job, codes):
    assert found(job) == codes


@pytest.mark.parametrize(
    ("plugins", "where", "codes"),
    [
        ({"svc": []}, "/etc/volcano", {"L162"}),
        ({"env": []}, "/etc/volcano", set()),
        ({"ssh": []}, KEYS, {"L162"}),
        ({"ssh": ["--ssh-key-file-path=/keys"]}, KEYS, set()),
        ({}, "/data", {"L162"}),
        ({}, "/other", set()),
    ],
)
def test_two_mounts_do_not_share_a_path(plugins, where, codes):
    job = named("train", plugins=plugins, volumes=[{"mountPath": "/data", "volumeClaimName": "one"}])
    container = job["spec"]["tasks"][0]["template"]["spec"]["containers"][0]
    container["volumeMounts"] = [{"name": "scratch", "mountPath": where}]
    assert found(job) == codes


@pytest.mark.parametrize(
    ("arguments", "master"),
    [
        (["--master=a"], "a"),
        (["-master=a"], "a"),
        (["--master", "a"], "a"),
        (["--port=1", "--master=a"], "a"),
        (["--other=1", "--master=a"], None),
        (["a", "--master=b"], None),
        (["--master"], ""),
        (None, None),
    ],
)
def test_arguments_of_plugins_are_read_as_volcano_reads_them(arguments, master):
    assert plugin_flags(arguments, frozenset({"master", "port"})).get("master") == master
