"""The agents of a tier: frequent routes in one Deployment, rare ones as CronJobs, and what they mount really runs."""

from __future__ import annotations

import contextlib
import json
import ssl
import subprocess
import sys
import urllib.request

import pytest

from tests.cluster.certificates import Authority
from toolkit.errors import TopologyError
from toolkit.render.lock import Lock
from toolkit.render.objects import render
from toolkit.render.sync_agents import LONGEST_CRON_JOB_NAME, cron_schedule

AGENTS = {
    "tiers": {"hot": {"agent": {"pool": "a100"}}, "warm": {"agent": {"pool": "nvme", "memory": "4GiB"}}}
}


def agents(topology, changes=None, lock=None):
    """Give what agents become: the hospital's with AGENTS, and changes laid over them."""
    merged = dict(AGENTS) if changes is None else changes
    rendered = render(topology(merged), lock or Lock())
    return [each for each in rendered if each.source.endswith(".agent")]


def one(objects, kind, name):
    (found,) = [each.body for each in objects if (each.kind, each.name) == (kind, name)]
    return found


def pod_of(body):
    if body["kind"] == "CronJob":
        return body["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return body["spec"]["template"]["spec"]


def test_a_site_without_agents_gets_none(hospital):
    assert not [each for each in render(hospital) if each.kind == "CronJob" or each.source.endswith(".agent")]


def test_frequent_routes_share_a_deployment_and_rare_ones_are_cron_jobs(topology):
    objects = agents(topology)
    kinds = sorted((each.kind, each.name) for each in objects if each.kind in {"Deployment", "CronJob"})
    assert kinds == [
        ("CronJob", "tiers-sync-warm-archive"),
        ("CronJob", "tiers-sync-warm-mirror"),
        ("Deployment", "tiers-sync-hot"),
    ]
    deployment = one(objects, "Deployment", "tiers-sync-hot")["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    assert one(objects, "CronJob", "tiers-sync-warm-archive")["spec"]["concurrencyPolicy"] == "Forbid"


def test_what_waits_for_a_demand_stands_in_no_agent(topology):
    cold = {"tiers": {"cold": {"agent": {"pool": "archive"}}}}
    assert agents(topology, cold) == [], "recall is the only route of cold, and somebody has to ask for it"


@pytest.mark.parametrize(
    ("seconds", "fields"),
    [
        (60, 0),
        (3599, 0),
        (5400, 0),
        (3600, 5),
        (6 * 3600, 5),
        (5 * 3600, 0),
        (86400, 5),
        (604800, 5),
        (172800, 0),
    ],
)
def test_only_periods_that_cron_can_say_become_cron(seconds, fields):
    assert len(cron_schedule("archive", seconds).split()) == fields


def test_routes_do_not_start_in_the_same_minute():
    minutes = {cron_schedule(f"route-{number}", 3600).split()[0] for number in range(100)}
    assert len(minutes) > 30


def test_a_long_name_leaves_room_for_the_names_of_jobs(topology):
    route = "studies-of-the-northern-building-nobody-opened"
    changed = AGENTS | {"routes": {route: {"from": "warm", "to": "cold", "path": "x", "every": "1d"}}}
    names = [each.name for each in agents(topology, changed) if each.kind == "CronJob"]
    assert all(len(name) <= LONGEST_CRON_JOB_NAME for name in names)
    assert len(set(names)) == 3


def test_it_is_placed_with_its_tier_last_in_line_and_pinned(topology):
    lock = Lock(images={"registry.example/tiers-jobs:1.0": "sha256:" + "a" * 64})
    objects = agents(topology, lock=lock)
    pod = pod_of(one(objects, "CronJob", "tiers-sync-warm-archive"))
    assert pod["nodeSelector"]["tiers.dev/pool"] == "nvme"
    assert pod["priorityClassName"] == "medical-imaging-batch"
    assert pod["serviceAccountName"] == one(objects, "ServiceAccount", "tiers-sync-warm")["metadata"]["name"]
    (container,) = pod["containers"]
    assert container["image"].endswith("@sha256:" + "a" * 64)
    assert container["resources"]["limits"] == {"memory": "4Gi"}
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}


def test_a_folder_is_mounted_where_its_address_says_and_a_login_only_as_files(topology):
    more = {
        "ca": {"secret": "site-ca"},
        "endpoint": "https://s3.example",
        "region": "x",
        "class": "GLACIER_IR",
    }
    storage = [
        {"url": "file:///mnt/warm"},
        {"url": "s3://warm-b", "credentials": {"secret": "warm-b"}, **more},
        {"url": "sftp://h/d", "credentials": {"secret": "ssh/id"}, "known_hosts": {"secret": "ssh/hosts"}},
    ]
    changed = {
        "tiers": {"warm": {"storage": storage, "agent": {"pool": "nvme"}}},
        "routes": {"mirror": {"copies": 3}},
    }
    objects = agents(topology, changed)
    pod = pod_of(one(objects, "CronJob", "tiers-sync-warm-mirror"))
    mounts = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes[mounts["/mnt/warm"]]["hostPath"] == {"path": "/mnt/warm", "type": "Directory"}
    login = volumes[mounts["/etc/tiers/credentials/warm-b"]]["secret"]
    assert login["secretName"] == "warm-b"
    texts = json.dumps([each.body for each in objects if each.kind == "ConfigMap"])
    assert "secret" not in texts
    (mirror,) = json.loads(one(objects, "ConfigMap", "tiers-sync-warm")["data"]["route-mirror.json"])
    bucket, server = mirror["targets"]
    assert bucket == {
        "tier": "warm",
        "url": "s3://warm-b",
        "layout": "packs",
        "endpoint": "https://s3.example",
        "region": "x",
        "object_class": "GLACIER_IR",
        "credentials_file": "/etc/tiers/credentials/warm-b/credentials",
        "ca_file": "/etc/tiers/credentials/site-ca/ca.crt",
    }
    assert server["credentials_file"] == "/etc/tiers/credentials/ssh/id"
    assert server["known_hosts_file"] == "/etc/tiers/credentials/ssh/hosts"
    assert volumes[mounts["/etc/tiers/credentials/ssh"]]["secret"]["items"] == [
        {"key": "hosts", "path": "hosts"},
        {"key": "id", "path": "id"},
    ]
    assert "/etc/tiers/credentials/site-ca" in mounts


@pytest.mark.parametrize(
    ("credentials", "items"),
    [
        (["login"], None),
        (["login/a"], ["a"]),
        (["login/b", "login/a"], ["a", "b"]),
        (["login/a", "login"], None),
    ],
)
def test_of_a_secret_only_what_storages_name_is_mounted(topology, credentials, items):
    storage = [{"url": "file:///mnt/warm"}]
    storage += [
        {"url": f"s3://warm-{n}", "credentials": {"secret": each}} for n, each in enumerate(credentials)
    ]
    routes = {"mirror": {"copies": len(storage)}}
    objects = agents(
        topology, {"tiers": {"warm": {"storage": storage, "agent": {"pool": "nvme"}}}, "routes": routes}
    )
    pod = pod_of(one(objects, "CronJob", "tiers-sync-warm-mirror"))
    (secret,) = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
    assert secret["secretName"] == "login"
    assert secret.get("items") == (items and [{"key": key, "path": key} for key in items])


def test_new_tasks_start_the_agent_anew(topology):
    def digest(every):
        changed = AGENTS | {"routes": {"checkpoints": {"every": every}}}
        body = one(agents(topology, changed), "Deployment", "tiers-sync-hot")
        return body["spec"]["template"]["metadata"]["annotations"]["tiers.dev/config"]

    assert digest("10m") == digest("10m") != digest("11m")


def test_the_agents_command_runs_over_what_is_mounted(topology, tmp_path):
    """Run the pod's own command; only the folder of its ConfigMap is another."""
    hot, warm = tmp_path / "hot", tmp_path / "warm"
    for number in range(3):
        (hot / "checkpoints" / f"step-{number}").mkdir(parents=True)
        (hot / "checkpoints" / f"step-{number}" / "model.pt").write_bytes(bytes([number]) * 1000)
    warm.mkdir()
    tiers = {
        "hot": {"storage": {"url": hot.as_uri()}, "agent": {"pool": "a100"}},
        "warm": {"storage": [{"url": warm.as_uri()}]},
    }
    routes = {"checkpoints": {"every": "6h", "limit": "50MiB/s"}, "mirror": None}
    objects = agents(topology, {"tiers": tiers, "routes": routes})
    container = pod_of(one(objects, "CronJob", "tiers-sync-hot-checkpoints"))["containers"][0]
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {str(hot), str(warm)} <= mounted
    folder = tmp_path / "tasks"
    folder.mkdir()
    for name, text in one(objects, "ConfigMap", "tiers-sync-hot")["data"].items():
        (folder / name).write_text(text)
    python, *words = container["command"]
    assert python == "python"
    words = [word.replace("/etc/tiers/tasks", str(folder)) for word in words]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    (line,) = map(json.loads, done.stdout.splitlines())
    assert (line["route"], line["files"]) == ("checkpoints", 3)
    for number in range(3):
        copied = warm / "checkpoints" / f"step-{number}" / "model.pt"
        assert copied.read_bytes() == bytes([number]) * 1000


def test_the_one_that_stays_answers_prometheus_over_tls(topology, tmp_path, free_port, wait_until):
    tiers = {"hot": {"agent": {"pool": "a100", "certificate": {"secret": "agent-tls"}}}}
    objects = agents(topology, {"tiers": tiers})
    pod = pod_of(one(objects, "Deployment", "tiers-sync-hot"))
    (container,) = pod["containers"]
    assert container["ports"] == [{"name": "metrics", "containerPort": 9108}]
    port, authority = free_port(), Authority(tmp_path)
    for there, here in zip(("tls.crt", "tls.key"), authority.server("agent"), strict=True):
        here.rename(tmp_path / there)
    (tmp_path / "tasks.json").write_text(one(objects, "ConfigMap", "tiers-sync-hot")["data"]["tasks.json"])
    places = {
        "0.0.0.0:9108": f"127.0.0.1:{port}",
        "/etc/tiers/certificate": str(tmp_path),
        "/etc/tiers/tasks": str(tmp_path),
    }
    words = container["command"][1:]
    for there, here in places.items():
        words = [word.replace(there, here) for word in words]
    context = ssl.create_default_context(cafile=str(authority.ca))
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def figures() -> str:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(
                f"https://127.0.0.1:{port}/metrics", context=context, timeout=20
            ) as answer,
        ):
            return answer.read().decode()
        return ""

    try:
        wait_until(lambda: 'tiers_sync_period_seconds{route="checkpoints"} 600.0' in figures(), "figures")
    finally:
        process.terminate()
        assert process.wait(timeout=60) == 0


def test_an_agent_of_another_tiers_pool_is_refused(topology):
    for tier, pool in (("hot", "nvme"), ("edge", "ultrasound")):
        with pytest.raises(TopologyError) as caught:
            topology({"tiers": {tier: {"agent": {"pool": pool}}}})
        assert [problem.code for problem in caught.value.problems] == ["E0900"]
