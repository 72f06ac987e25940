"""Dashboards as files: written whole, left alone when equal, and never over anybody else's."""

from __future__ import annotations

import json

import pytest

from toolkit.errors import RenderError
from toolkit.render.dashboards.files import write_dashboards
from toolkit.render.dashboards.provision import DASHBOARDS, dashboards
from toolkit.render.lock import Lock

NAMES = tuple(f"{each.name}.json" for each in DASHBOARDS)


def test_they_are_written_and_the_second_time_left_alone(hospital, tmp_path):
    first = write_dashboards(hospital, tmp_path / "new" / "folder")
    assert first.written == NAMES
    second = write_dashboards(hospital, tmp_path / "new" / "folder")
    assert (second.written, second.unchanged) == ((), NAMES)
    known = json.loads((first.folder / "fleet.json").read_text())["uid"]
    (first.folder / "fleet.json").write_text(json.dumps({"uid": known}))
    assert write_dashboards(hospital, tmp_path / "new" / "folder").written == ("fleet.json",)


@pytest.mark.parametrize("text", ["notes", '{"uid": "mine"}', "[]"])
def test_what_is_no_dashboard_of_ours_stays_and_nothing_is_written(hospital, tmp_path, text):
    (tmp_path / "tier.json").write_text(text)
    with pytest.raises(RenderError, match=r"tier\.json is in the way"):
        write_dashboards(hospital, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["tier.json"]
    assert (tmp_path / "tier.json").read_text() == text


def test_a_folder_and_a_link_are_in_the_way(hospital, tmp_path):
    (tmp_path / "jobs.json").mkdir()
    with pytest.raises(RenderError, match=r"jobs\.json is in the way"):
        write_dashboards(hospital, tmp_path)
    (tmp_path / "jobs.json").rmdir()
    (tmp_path / "jobs.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RenderError, match=r"jobs\.json is in the way"):
        write_dashboards(hospital, tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_cannot_be_made_is_named(hospital, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RenderError, match="file"):
        write_dashboards(hospital, tmp_path / "file" / "below")


def test_config_maps_come_only_when_they_are_wanted(topology, hospital):
    assert list(dashboards(hospital, Lock(), "main")) == []
    watched = {"kind": "prometheus", "dashboards": True, "alertmanager": "http://alerts.example:9093"}
    plain = topology({"monitoring": watched, "services": None, "models": None})
    assert list(dashboards(plain, Lock(), "main")) == []
    wanted = topology({"monitoring": {"dashboards": True, "namespace": "watch"}})
    made = list(dashboards(wanted, Lock(), "main"))
    assert [next(iter(each.body["data"])) for each in made] == [f"{wanted.name}-{name}" for name in NAMES]
    assert {each.namespace for each in made} == {"watch"}
    assert {each.body["metadata"]["labels"]["grafana_dashboard"] for each in made} == {"1"}
