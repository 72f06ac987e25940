"""Versions as images, kubelets and servers write them."""

from __future__ import annotations

import pytest

from toolkit.cluster.doctor.patient import tag_of, version_of
from toolkit.cluster.doctor.rights import Right, roles
from toolkit.cluster.doctor.versions import KUBEEDGE_KUBELET, VOLCANO_UP_TO, edge_version


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("volcanosh/vc-scheduler:v1.15.1", (1, 15, 1)),
        ("registry.example:5000/volcanosh/vc-scheduler:1.15", (1, 15, 0)),
        ("ghcr.io/kedacore/keda:2.20.0@sha256:" + "a" * 64, (2, 20, 0)),
        ("kubeedge/cloudcore:v1.23.1-arm64", (1, 23, 1)),
        ("registry.example:5000/cloudcore", None),
        ("kubeedge/cloudcore:latest", None),
        ("kubeedge/cloudcore@sha256:" + "1.2" * 20, None),
        ("", None),
    ],
)
def test_the_tag_of_an_image(image, version):
    assert tag_of(image) == version


@pytest.mark.parametrize(
    ("kubelet", "kubernetes", "kubeedge"),
    [
        ("v1.32.10-kubeedge-v1.23.1", (1, 32, 10), (1, 23, 1)),
        ("v1.35.3+k3s1", (1, 35, 3), None),
        ("", None, None),
    ],
)
def test_the_version_of_a_kubelet(kubelet, kubernetes, kubeedge):
    assert version_of(kubelet) == kubernetes
    assert edge_version(kubelet) == kubeedge


def test_newer_versions_never_know_less():
    for table in (VOLCANO_UP_TO, KUBEEDGE_KUBELET):
        newest = [table[each] for each in sorted(table)]
        assert newest == sorted(newest)


def test_roles_hold_each_right_once_and_nothing_else():
    rights = [
        Right("edge", "apps", "daemonsets", "patch"),
        Right("edge", "apps", "daemonsets", "get"),
        Right("edge", "apps", "deployments", "get"),
        Right("edge", "apps", "deployments", "patch"),
        Right("", "", "nodes", "list"),
    ]
    assert roles("hospital", rights).splitlines() == [
        "apiVersion: rbac.authorization.k8s.io/v1",
        "kind: ClusterRole",
        "metadata: {name: tiers-hospital}",
        "rules:",
        '- {apiGroups: [""], resources: [nodes], verbs: [list]}',
        "---",
        "apiVersion: rbac.authorization.k8s.io/v1",
        "kind: Role",
        "metadata: {name: tiers-hospital, namespace: edge}",
        "rules:",
        '- {apiGroups: ["apps"], resources: [daemonsets, deployments], verbs: [get, patch]}',
    ]
