"""Claims and classes of storages: one name for one folder for ever, data kept, and all who share one mount the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.render.objects import render
from toolkit.render.storage import NO_PROVISIONER, claim_name

SHARED = {
    "storage_classes": {
        "shared": {"provisioner": "nfs.csi.k8s.io", "parameters": {"server": "files"}, "binding": "at-once"},
        "ceph": {"installed": "ceph-filesystem"},
        "unused": {"local": True},
    },
    "tiers": {
        "hot": {
            "storage": {"url": "file:///mnt/scratch", "claim": {"class": "shared", "size": "2TiB"}},
            "agent": {"pool": "a100"},
        },
        "warm": {"storage": [{"url": "file:///mnt/Warm_1", "claim": {"class": "ceph", "size": "1GiB"}}]},
    },
    "routes": {"mirror": None},
}


def bodies(topology, changes=None):
    return [each.body for each in render(topology(SHARED | (changes or {})))]


def kinds(found, kind):
    return {each["metadata"]["name"]: each for each in found if each["kind"] == kind}


def volumes_of(pod):
    return {volume["name"]: volume for volume in pod["volumes"]}


def test_a_site_without_claims_gets_none(hospital):
    assert not [each for each in render(hospital) if each.kind in {"StorageClass", "PersistentVolumeClaim"}]


def test_each_storage_with_a_claim_gets_one_in_its_class(topology):
    claims = kinds(bodies(topology), "PersistentVolumeClaim")
    scratch = claims["tiers-hot-mnt-scratch"]["spec"]
    assert scratch["storageClassName"] == "medical-imaging-shared"
    assert scratch["accessModes"] == ["ReadWriteMany"]
    assert scratch["resources"] == {"requests": {"storage": "2Ti"}}
    (other,) = claims.keys() - {"tiers-hot-mnt-scratch"}
    assert claims[other]["spec"]["storageClassName"] == "ceph-filesystem", "the cluster's own name"


def test_only_used_classes_that_are_ours_are_rendered_and_data_outlives_its_claim(topology):
    classes = kinds(bodies(topology), "StorageClass")
    assert list(classes) == ["medical-imaging-shared"]
    shared = classes["medical-imaging-shared"]
    assert (shared["reclaimPolicy"], shared["volumeBindingMode"]) == ("Retain", "Immediate")
    assert shared["parameters"] == {"server": "files"}


def test_local_disks_wait_for_their_pod_and_have_no_driver(topology):
    claim = {"class": "nvme", "size": "1TiB", "access": "ReadWriteOnce"}
    tiers = {"cold": {"storage": {"url": "file:///disk", "claim": claim}}}
    changed = {"storage_classes": {"nvme": {"local": True}}, "tiers": tiers}
    (found,) = kinds([each.body for each in render(topology(changed))], "StorageClass").values()
    assert (found["provisioner"], found["volumeBindingMode"]) == (NO_PROVISIONER, "WaitForFirstConsumer")


def test_gang_agent_and_claim_mean_the_same_volume(topology):
    found = bodies(topology)
    agent = kinds(found, "Deployment")["tiers-sync-hot"]["spec"]["template"]["spec"]
    mounts = {mount["mountPath"]: mount["name"] for mount in agent["containers"][0]["volumeMounts"]}
    claim = {"claimName": "tiers-hot-mnt-scratch"}
    assert volumes_of(agent)[mounts["/mnt/scratch"]]["persistentVolumeClaim"] == claim
    gang = kinds(found, "Job")["seg3d"]["spec"]["tasks"][0]["template"]["spec"]
    assert volumes_of(gang)["storage"] == {"name": "storage", "persistentVolumeClaim": claim}
    assert "tiers-hot-mnt-scratch" in kinds(found, "PersistentVolumeClaim")


def test_without_a_claim_a_gang_works_in_the_folder_of_its_machine(hospital):
    (gang,) = [each.body for each in render(hospital) if each.name == "seg3d"]
    pod = gang["spec"]["tasks"][0]["template"]["spec"]
    assert volumes_of(pod)["storage"]["hostPath"] == {"path": "/mnt/scratch", "type": "Directory"}


FOLDERS = st.lists(st.text("abz09-_.AZ ", min_size=1, max_size=20), min_size=1, max_size=6).map(
    lambda parts: "/" + "/".join(parts)
)


@given(one=FOLDERS, other=FOLDERS)
def test_two_folders_never_share_a_claim(one, other):
    assert (claim_name("hot", one) == claim_name("hot", other)) == (one == other)


@pytest.mark.parametrize(
    ("path", "name"),
    [("/mnt/scratch", "tiers-hot-mnt-scratch"), ("/mnt/a-b", "tiers-hot-mnt-a-b-"), ("/", "tiers-hot-")],
)
def test_names_of_claims_stay_as_they_are(path, name):
    """A claim that is called otherwise in a later version would be a new, empty volume."""
    assert claim_name("hot", path).startswith(name)
