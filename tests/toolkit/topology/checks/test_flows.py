"""Flows that could not run are refused where they are wrong; one wrong thing is told once."""

from __future__ import annotations

import pytest

from toolkit.errors import TopologyError


@pytest.fixture
def told(topology):
    """Give `told(changes)`: codes and messages of the errors of the hospital with these changes."""

    def ask(**changes):
        try:
            topology(changes)
        except TopologyError as error:
            return [(each.code, each.message) for each in error.problems if each.code.startswith("E")]
        return []

    return ask


def flow(**after):
    return {"nightly": {"steps": {step: {"after": list(names)} for step, names in after.items()}}}


def test_a_flow_of_the_hospital_is_fine(told):
    assert told(flows=flow(seg3d=[], digits=["seg3d"])) == []


def test_a_step_does_not_wait_for_itself(told):
    assert told(flows=flow(seg3d=["seg3d"])) == [("E0841", "'seg3d' waits for itself")]


def test_a_circle_is_told_once_and_without_the_steps_that_only_wait_for_it(told):
    job = {"pool": "a100", "gang": {"workers": 1}, "run": "true"}
    found = told(jobs={"last": job}, flows=flow(seg3d=["digits"], digits=["seg3d"], last=["digits"]))
    assert found == [("E0842", "seg3d waits for digits waits for seg3d")]


def test_a_step_whose_job_is_unknown_is_no_circle(told):
    assert [code for code, _ in told(flows=flow(seg3d=[], nobody=["seg3d"]))] == ["E0840"]


def test_the_parts_of_a_job_with_data_count_for_its_names(told):
    name = "n" * (63 - len("medical-imaging."))
    assert told(flows={name: {"steps": {"seg3d": {}}}}) == [
        ("E0843", f"'{name}-seg3d-stage-stage-0' would have 67 characters, 63 are allowed")
    ]
    assert told(jobs={"seg3d": {"data": None}}, flows={name: {"steps": {"seg3d": {}}}}) == []


def test_the_namespace_counts_for_labels(told):
    clusters = {"main": {"namespace": "n" * 56}}
    assert told(clusters=clusters, flows={"nightly": {"steps": {"digits": {}}}}) == [
        ("E0843", f"'{'n' * 56}.nightly' would have 64 characters, 63 are allowed")
    ]


def test_two_jobs_of_one_name(told):
    job = {"pool": "a100", "gang": {"workers": 1}, "run": "true"}
    jobs = {"b-c": job, "c": job}
    flows = {"a": {"steps": {"b-c": {}}}, "a-b": {"steps": {"c": {}}}}
    assert told(jobs=jobs, flows=flows) == [
        ("E0844", "its job 'a-b-c' would have the name of a job of the flow 'a'")
    ]
    jobs = {"a-c": job, "c": job}
    assert [code for code, _ in told(jobs=jobs, flows={"a": {"steps": {"c": {}}}})] == ["E0844"]


def test_staged_data_has_a_place(told):
    tiers = {"cold": {"storage": None}}
    data = {"seg3d": {"data": {"from": "cold"}}}
    found = told(tiers=tiers, jobs=data, flows=flow(seg3d=[]), routes={"archive": None, "recall": None})
    assert ("E0512", "the data of 'seg3d' is staged from cold, and cold has no storage") in found
