"""Images come ahead of pods: another digest is another job, the same one is the same, no key is no job."""

from __future__ import annotations

import pytest
import yaml

from toolkit.render.kubeedge_config import cloud_config, edge_config
from toolkit.render.kubeedge_switches import CLOUD_MODULES, EDGE_MODULES, switches_for
from toolkit.render.lock import Lock
from toolkit.render.objects import render

EDGE = "node-role.kubernetes.io/edge"
IMAGE = "registry.example/tiers-edge:1.0"
ONE, OTHER = (Lock(images={IMAGE: f"sha256:{digit * 64}"}) for digit in "ab")


@pytest.fixture
def asked(topology):
    """Give `asked(**keys)`: the hospital with these keys under kubeedge.prepull."""
    return lambda **keys: topology({"clusters": {"main": {"kubeedge": {"prepull": keys or True}}}})


def jobs(site, lock=ONE):
    return {
        each.name: each.body["spec"]["imagePrePullTemplate"]
        for each in render(site, lock)
        if each.kind == "ImagePrePullJob"
    }


def test_one_job_a_pool_with_the_image_that_its_daemon_runs(asked):
    site = asked()
    found = jobs(site)
    assert [name.rpartition("-")[0] for name in found] == [
        "medical-imaging-endoscopy",
        "medical-imaging-ultrasound",
    ]
    run = {
        container["image"]
        for each in render(site, ONE)
        if each.kind == "DaemonSet" and EDGE in each.body["spec"]["template"]["spec"]["nodeSelector"]
        for container in each.body["spec"]["template"]["spec"]["containers"]
    }
    assert {image for spec in found.values() for image in spec["images"]} == run
    by_name, by_label = found.values()
    assert by_name["nodeNames"] == ["endo-01", "endo-02"]
    assert by_label["labelSelector"]["matchLabels"] == {
        EDGE: "",
        "tiers.dev/tier": "edge",
        "tiers.dev/pool": "ultrasound",
    }
    assert all(("nodeNames" in spec) != ("labelSelector" in spec) for spec in found.values())


def test_another_digest_is_another_job_and_the_same_is_the_same(asked):
    site = asked()
    assert set(jobs(site, ONE)) == set(jobs(site, ONE))
    assert not set(jobs(site, ONE)) & set(jobs(site, OTHER))
    assert not set(jobs(site)) & set(jobs(asked(retries=7))), "a job that has run reads its spec no more"


def test_the_login_is_one_text_with_its_namespace(asked):
    (spec, _) = jobs(
        asked(credentials={"secret": "registry-login"}, failures="12.5%", timeout="90s")
    ).values()
    assert spec["imageSecrets"] == "medical-imaging/registry-login"
    assert (spec["failureTolerate"], spec["timeoutSeconds"]) == ("0.125", 90)
    assert all("imageSecrets" not in spec for spec in jobs(asked()).values())


def test_nothing_without_the_key_and_false_is_nothing(hospital, topology):
    assert jobs(hospital) == {}
    assert jobs(topology({"clusters": {"main": {"kubeedge": {"prepull": False}}}})) == {}


def modules(text: str):
    return yaml.safe_load(text)["modules"]


def test_the_switches_that_jobs_need_are_on_and_off_without_them(asked, hospital):
    for site, on in ((hospital, False), (asked(), True)):
        assert modules(cloud_config(site, "main"))["taskManager"]["enable"] is on
        assert modules(edge_config(site, "ultrasound"))["taskManager"]["enable"] is on
        assert modules(cloud_config(site, "main"))["dynamicController"]["enable"] is False
        assert modules(cloud_config(site, "main"))["router"]["enable"] is False


def test_what_is_rendered_says_what_it_needs(asked):
    found = switches_for(render(asked()))
    assert (found.cloud, found.edge, found.controller_manager) == ({"taskManager"}, {"taskManager"}, True)
    assert set(CLOUD_MODULES) == set(EDGE_MODULES)


def test_the_image_of_yesterday_is_safe_from_the_garbage_collection(hospital):
    kubelet = modules(edge_config(hospital, "ultrasound"))["edged"]["tailoredKubeletConfig"]
    assert kubelet["imageGCHighThresholdPercent"] > kubelet["imageGCLowThresholdPercent"] > 85
