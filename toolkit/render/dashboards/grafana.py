"""A description → Grafana's JSON model, laid out in 24 columns.

Between `description` and `provision`. https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.render.dashboards.description import Choice, Dashboard, Panel, Query, Row

SCHEMA_VERSION = 39
"""Of Grafana 11; later ones read it."""
COLUMNS = 24
_HEIGHTS = {"timeseries": 8, "stat": 4, "table": 8}
_DATA_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_REF_IDS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Json = dict[str, object]


def to_grafana(dashboard: Dashboard, uid: str, tag: str) -> Json:
    """Give the JSON model of a dashboard.

    Args:
        dashboard: what it says.
        uid: what it is known by in Grafana, at most 40 characters; stable, so that links stay right.
        tag: what all dashboards of one topology carry; each links to the others by it.
    """
    return {
        "uid": uid,
        "title": dashboard.title,
        "description": dashboard.explains,
        "tags": ["tiers", tag],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_data_source(), *(_choice(each) for each in dashboard.choices)]},
        "annotations": {"list": []},
        "links": [_others(tag)],
        "panels": list(_laid_out(dashboard.rows)),
    }


def _data_source() -> Json:
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "multi": False,
        "includeAll": False,
    }


def _choice(choice: Choice) -> Json:
    question = f"label_values({choice.metric}, {choice.label})"
    return {
        "name": choice.name,
        "type": "query",
        "datasource": _DATA_SOURCE,
        "query": {"query": question, "refId": choice.name},
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "refresh": 2,
        "sort": 1,
    }


def _others(tag: str) -> Json:
    return {
        "type": "dashboards",
        "title": "tiers",
        "tags": [tag],
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "icon": "external link",
        "tooltip": "",
        "url": "",
    }


def _laid_out(rows: tuple[Row, ...]) -> Iterator[Json]:
    """Place panels from left to right; what does not fit beside the last one begins the next line."""
    number, top = 0, 0
    for row in rows:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
        }
        top, left, lowest = top + 1, 0, top + 1
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                top, left = lowest, 0
            number += 1
            height = _HEIGHTS[panel.kind]
            yield _panel(panel, number, {"x": left, "y": top, "w": panel.width, "h": height})
            left, lowest = left + panel.width, max(lowest, top + height)
        top = lowest


def _panel(panel: Panel, number: int, place: dict[str, int]) -> Json:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.explains,
        "datasource": _DATA_SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
        "targets": [_target(query, panel, _REF_IDS[index]) for index, query in enumerate(panel.queries)],
    }


def _target(query: Query, panel: Panel, ref_id: str) -> Json:
    instant = panel.kind == "table"
    return {
        "refId": ref_id,
        "datasource": _DATA_SOURCE,
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "range": not instant,
        "instant": instant,
        "format": "table" if instant else "time_series",
    }


def _defaults(panel: Panel) -> Json:
    steps: list[Json] = [{"color": "green", "value": None}]
    steps += [{"color": limit.colour, "value": limit.value} for limit in panel.limits]
    defaults: Json = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.unit == "percentunit":
        defaults |= {"min": 0, "max": 1}
    if panel.kind == "timeseries":
        defaults["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 20 if panel.stacked else 5,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "line" if panel.limits else "off"},
        }
    return defaults


def _options(panel: Panel) -> Json:
    if panel.kind == "timeseries":
        return {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    if panel.kind == "stat":
        return {
            "reduceOptions": {"values": False, "calcs": ["lastNotNull"], "fields": ""},
            "colorMode": "value",
            "graphMode": "area",
            "justifyMode": "auto",
            "orientation": "auto",
            "textMode": "auto",
        }
    return {"showHeader": True, "cellHeight": "sm"}
