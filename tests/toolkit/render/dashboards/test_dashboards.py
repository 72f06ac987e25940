"""The dashboards as Grafana's own types read them, and as they lie on the page."""

from __future__ import annotations

import copy
import itertools
import json
import re

import pytest

from toolkit.render.dashboards.provision import DASHBOARDS, dashboard_files, for_topology
from toolkit.render.monitoring.recordings import RECORDINGS
from toolkit.render.monitoring.series import BY_NAME

NAMES = [each.name for each in DASHBOARDS]
METRIC = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?=\{|\[)")


@pytest.fixture(scope="module")
def models(hospital):
    """Give each dashboard's JSON by name."""
    return {name.partition(".")[0]: json.loads(text) for name, text in dashboard_files(hospital)}


@pytest.fixture
def lost(require):
    """Give a function that names what of a dashboard Grafana's types do not know or read otherwise."""
    require("grafana")
    from grafana_foundation_sdk.cog import plugins
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.dashboard import Dashboard

    plugins.register_default_plugins()

    def find(model):
        try:
            read = Dashboard.from_json(copy.deepcopy(model))
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            return [f"refused: {error!r}"]
        return list(differences(model, json.loads(json.dumps(read, cls=JSONEncoder))))

    return find


def differences(ours, theirs, path=""):
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            yield from differences(value, theirs.get(key, "nothing"), f"{path}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(one, other, f"{path}[{number}]")
    elif ours != theirs:
        yield f"{path}: {ours!r} was read as {theirs!r}"


@pytest.mark.parametrize("name", NAMES)
def test_grafanas_types_know_every_key(models, lost, name):
    assert lost(models[name]) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schemaVersoin",), 39),
        (("panels", 1, "gridPos", "width"), 4),
        (("panels", 1, "options", "colourMode"), "value"),
        (("panels", 8, "fieldConfig", "defaults", "custom", "drawStile"), "line"),
        (("panels", 1, "targets", 0, "expresion"), "up"),
        (("templating", "list", 1, "allVal"), ".*"),
    ],
)
def test_grafanas_types_notice_what_is_wrong(models, lost, path, value):
    model = copy.deepcopy(models["fleet"])
    place = model
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    assert len(lost(model)) == 1


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=NAMES)
def test_every_metric_is_one_that_somebody_exports_or_records(hospital, dashboard):
    known = set(BY_NAME) | {each.record for each in RECORDINGS}
    histograms = [name for name, each in BY_NAME.items() if each.kind == "histogram"]
    known |= {f"{name}_{part}" for name in histograms for part in ("bucket", "sum", "count")}
    for panel in for_topology(dashboard, hospital).panels:
        for query in panel.queries:
            named = set(METRIC.findall(query.expr))
            assert named, query.expr
            assert named - known == set(), panel.title
            assert "$ours" not in query.expr
            assert "$queues" not in query.expr


@pytest.mark.parametrize("name", NAMES)
def test_panels_lie_side_by_side_on_24_columns(models, name):
    places = [panel["gridPos"] for panel in models[name]["panels"]]
    for place in places:
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
    for one, other in itertools.combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)
    ids = [panel["id"] for panel in models[name]["panels"]]
    assert len(set(ids)) == len(ids)


def test_ids_are_apart_short_and_stay(models, topology):
    uids = {model["uid"] for model in models.values()}
    assert len(uids) == len(NAMES)
    assert all(len(uid) <= 40 for uid in uids)
    other = {json.loads(text)["uid"] for _, text in dashboard_files(topology({"name": "other-hospital"}))}
    assert not uids & other


def test_every_panel_says_its_unit_and_asks_the_chosen_prometheus(models):
    for model in models.values():
        for panel in model["panels"]:
            if panel["type"] == "row":
                continue
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert panel["targets"]
