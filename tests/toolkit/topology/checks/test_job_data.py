"""Data ahead of need: what fits is let through, and what only nearly fits is told."""

from __future__ import annotations

import json

import pytest

AHEAD = {"from": "warm", "path": "data/seg3d", "bring": "ahead", "budget": "200GiB"}
JOB = {"pool": "gpu", "gang": {"workers": 1}, "run": "train"}
COLD = {
    "clusters": {"main": {"context": "here", "tiers": ["edge", "hot", "warm", "cold"]}},
    "tiers": {
        "cold": {"storage": "file:///cold", "pools": {"old": {"hardware": "hdd-node", "nodes": {"count": 1}}}}
    },
}


def site(data=AHEAD, **changes) -> str:
    return json.dumps({"jobs": {"train": {**JOB, "data": data}}, **changes}, indent=1)


def emptying(path: str, **route: str) -> dict:
    archive = {"from": "warm", "to": "cold", "path": path, "then": "remove_source", **route}
    return {**COLD, "routes": {"archive": archive}}


@pytest.mark.parametrize(
    "text",
    [
        site(),
        site({**AHEAD, "ahead": 1000}),
        site(tiers={"hot": {"storage": {"url": "file:///hot", "capacity": "200GiB"}}}),
        site(tiers={"warm": {"storage": [{"url": "s3://warm"}, {"url": "file:///warm-b"}]}}),
        site(**emptying("data/seg")),
        site(**emptying("data/seg3d-2")),
        site(**emptying("data", then="keep_source")),
        site({**AHEAD, "from": "cold"}, **emptying("data")),
    ],
)
def test_what_can_be_brought_is_let_through(over_site, text):
    assert over_site(text).warnings == ()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (site({**AHEAD, "ahead": 0}), "E0309"),
        (site({**AHEAD, "bring": "whole"}), "E0530"),
        (site({"from": "warm", "path": "data", "ahead": 4}), "E0530"),
        (
            site(
                storage_classes={"disk": {"installed": "disk"}},
                tiers={
                    "hot": {
                        "storage": {
                            "url": "file:///hot",
                            "capacity": "1TiB",
                            "claim": {"class": "disk", "size": "199GiB"},
                        }
                    }
                },
            ),
            "E0531",
        ),
        (site(tiers={"hot": {"storage": "s3://hot"}}), "E0532"),
        (site(tiers={"hot": {"storage": []}}), "E0512"),
        (site(**emptying("data/seg3d")), "E0533"),
        (site(**emptying("data/seg3d/part")), "E0533"),
    ],
)
def test_what_cannot_be_is_told(problems_of, text, code):
    assert [line.split()[1] for line in problems_of(text)] == [code]


def test_a_claim_of_one_machine_is_not_for_workers_that_read_from_it(problems_of):
    claim = {"class": "disk", "size": "1TiB", "access": "ReadWriteOnce"}
    text = site(
        storage_classes={"disk": {"installed": "disk"}},
        tiers={"warm": {"storage": [{"url": "file:///w", "claim": claim}, {"url": "file:///warm-b"}]}},
        jobs={"train": {**JOB, "gang": {"workers": 2}, "data": AHEAD}},
    )
    (line,) = problems_of(text)
    assert "E0902" in line
    assert "the job train (2 pods)" in line
