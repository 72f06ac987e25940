"""Who owns what, by labels alone."""

from __future__ import annotations

import pytest

from toolkit.cluster.applyset import (
    ID_LABEL,
    KINDS_ANNOTATION,
    NAMESPACES_ANNOTATION,
    PART_OF_LABEL,
    TOOLING_ANNOTATION,
    ApplySet,
    Contents,
    applyset_of,
    id_of,
)
from toolkit.errors import ClusterError
from toolkit.render.metadata import TOPOLOGY_LABEL
from toolkit.render.objects import render

OURS = ApplySet("hospital", "ward")


def named(labels: dict[str, str]) -> dict[str, object]:
    return {"metadata": {"name": "a", "labels": labels}}


def test_the_id_is_that_of_kubectl():
    """The id that kubectl's own tests expect for the Secret my-set in the namespace test."""
    expected = "applyset-0eFHV8ySqp7XoShsGvyWFQD3s96yqwHmzc4e0HR1dsY-v1"
    assert id_of("my-set", "test", "Secret", "") == expected
    assert len(OURS.id) <= 63, "it is the value of a label"


def test_a_set_is_another_one_in_another_namespace_or_under_another_name():
    assert len({OURS.id, ApplySet("hospital", "other").id, ApplySet("other", "ward").id}) == 3


def test_members_get_the_label_and_submitted_objects_do_not(hospital):
    objects = render(hospital)
    applyset = applyset_of(hospital.name, "main", objects)
    assert applyset is not None
    assert any(each.submitted for each in objects)
    for each in objects:
        labels = applyset.member(each).body["metadata"]["labels"]
        assert (labels.get(PART_OF_LABEL) == applyset.id) is not each.submitted
        assert PART_OF_LABEL not in each.body["metadata"]["labels"], "what was rendered stays as it is"


def test_a_job_alone_is_no_set(hospital):
    jobs = [each for each in render(hospital) if each.submitted]
    assert applyset_of(hospital.name, "main", jobs) is None
    assert applyset_of(hospital.name, "elsewhere", render(hospital)) is None


def test_the_parent_gives_back_what_was_written():
    contents = OURS.contents(
        [
            ("v1", "ConfigMap", "ward"),
            ("apps/v1", "DaemonSet", "other"),
            ("apps.kubeedge.io/v1alpha1", "NodeGroup", ""),
        ]
    )
    assert contents == Contents(
        frozenset({"ConfigMap", "DaemonSet.apps", "NodeGroup.apps.kubeedge.io"}), frozenset({"other"})
    )
    body = OURS.parent(contents, "1.0")
    annotations = body["metadata"]["annotations"]
    assert annotations[KINDS_ANNOTATION] == "ConfigMap,DaemonSet.apps,NodeGroup.apps.kubeedge.io"
    assert annotations[NAMESPACES_ANNOTATION] == "other"
    assert OURS.read_parent(body) == contents
    assert OURS.read_parent(OURS.parent(Contents(), "1.0")) == Contents()


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("annotations", TOOLING_ANNOTATION, "kubectl/v1.35.3"),
        ("annotations", TOOLING_ANNOTATION, "tiersx/1"),
        ("labels", ID_LABEL, ApplySet("other", "ward").id),
    ],
)
def test_the_parent_of_somebody_else_is_refused(part, name, value):
    body = OURS.parent(Contents(), "1.0")
    body["metadata"][part][name] = value
    with pytest.raises(ClusterError, match=r"ward/tiers\.hospital") as caught:
        OURS.read_parent(body)
    assert "kubectl get configmap -n ward" in caught.value.hint


@pytest.mark.parametrize(
    ("labels", "whose", "adoptable"),
    [
        ({PART_OF_LABEL: OURS.id}, "", None),
        ({PART_OF_LABEL: OURS.id, TOPOLOGY_LABEL: "hospital"}, "", None),
        ({TOPOLOGY_LABEL: "hospital"}, "", None),
        ({}, "none of our labels", True),
        ({"app": "other"}, "none of our labels", True),
        ({TOPOLOGY_LABEL: "clinic"}, "topology clinic", False),
        ({PART_OF_LABEL: "applyset-x-v1"}, "another set", False),
        (
            {PART_OF_LABEL: "applyset-x-v1", TOPOLOGY_LABEL: "hospital"},
            "another set of the topology hospital",
            False,
        ),
    ],
)
def test_whose_an_object_is(labels, whose, adoptable):
    found = OURS.foreign(named(labels))
    assert (found.adoptable if found else None) is adoptable
    assert whose in (found.whose if found else "")
