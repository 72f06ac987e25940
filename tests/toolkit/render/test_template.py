"""Templates hold no logic, let no text become structure, and say where they do not fit."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import nodes

from toolkit.errors import RenderError
from toolkit.render import template as room
from toolkit.render.cluster_objects import PriorityClassView
from toolkit.render.edge_agent import ConfigMapView
from toolkit.render.metadata import Metadata, owner_labels
from toolkit.render.template import fill

TEMPLATES = Path(__file__).parents[3] / "templates"
EVERY = sorted(path.relative_to(TEMPLATES).as_posix() for path in TEMPLATES.rglob("*.j2"))
FILES = [name for name in EVERY if name.endswith(".yaml.j2")]
TEXTS = [name for name in EVERY if name not in FILES]
"""Files of programs that read no YAML: their values are names and numbers that cannot hold a space or a line's end."""
ALLOWED = (nodes.If, nodes.For, nodes.Include, nodes.Output)
METADATA = Metadata("name", owner_labels("site", "job", "name"), "space", {"note": "x"})
NASTY = [
    "a: b\n- c",
    "{{ x }}",
    "{% if x %}",
    "yes",
    "1e3",
    "0o7",
    "~",
    "'",
    '"',
    "# no comment",
    "\\",
    "</b>&",
    "\u2028",
    "\x7f",
    "😀",
]


def parsed(name):
    return jinja2.Environment(autoescape=True).parse((TEMPLATES / name).read_text(encoding="utf-8"))


def is_indented_part(statement) -> bool:
    """Tell a part of YAML that is moved to the right, which changes no value."""
    return isinstance(statement, nodes.FilterBlock) and statement.filter.name == "indent"


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_has_only_for_if_and_values(name):
    for statement in parsed(name).find_all(nodes.Stmt):
        assert isinstance(statement, ALLOWED), f"{name}:{statement.lineno}: {type(statement).__name__}"
    for kind in (nodes.Call, nodes.BinExpr, nodes.Getitem, nodes.CondExpr, nodes.Filter):
        assert not list(parsed(name).find_all(kind)), f"{name} does more than name values"


@pytest.mark.parametrize("name", FILES)
def test_a_template_has_only_for_if_and_values_through_tojson(name):
    for statement in parsed(name).find_all(nodes.Stmt):
        allowed = isinstance(statement, ALLOWED) or is_indented_part(statement)
        assert allowed, f"{name}:{statement.lineno}: {type(statement).__name__}"
    for output in parsed(name).find_all(nodes.Output):
        for value in output.nodes:
            tojson = isinstance(value, nodes.Filter) and value.name == "tojson"
            assert tojson or isinstance(value, nodes.TemplateData), f"{name}:{value.lineno} goes past tojson"
    for kind in (nodes.Call, nodes.BinExpr, nodes.Getitem, nodes.CondExpr):
        assert not list(parsed(name).find_all(kind)), f"{name} does more than name values"


@pytest.mark.parametrize("name", EVERY)
def test_the_first_line_says_noun_kind_and_page(name):
    first = (TEMPLATES / name).read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("{# ")
    assert first.endswith(" #}")
    assert " → " in first
    assert "https://" in first


CONFIGURATIONS = {
    "kubeedge/cloudcore.yaml.j2",
    "kubeedge/edgecore.yaml.j2",
    "volcano/schedulerconfiguration.yaml.j2",
}
"""Files that a program reads from a disk; they have a kind and no metadata."""


@pytest.mark.parametrize("name", [name for name in FILES if not Path(name).name.startswith("_")])
def test_a_template_makes_the_one_kind_that_its_name_says(name):
    lines = (TEMPLATES / name).read_text(encoding="utf-8").splitlines()
    kinds = [line.removeprefix("kind: ") for line in lines if line.startswith("kind: ")]
    said = Path(name).name.removesuffix(".yaml.j2").rpartition("_")[2]
    assert [kind.lower() for kind in kinds] == [said], (
        "NAME_KIND.yaml.j2, where one kind has several templates"
    )
    if name not in CONFIGURATIONS:
        assert '{% include "_metadata.yaml.j2" %}' in lines


@pytest.mark.parametrize("text", NASTY)
def test_text_stays_text_wherever_it_stands(text):
    labels = {**METADATA.labels, text: text}
    body = fill(
        "kubernetes/configmap.yaml.j2",
        replace(METADATA, name=text, labels=labels),
        config_map=ConfigMapView({text: text}),
    )
    assert body["metadata"]["name"] == text
    assert body["metadata"]["labels"] == labels
    assert body["data"] == {text: text}


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_survives(text):
    body = fill("kubernetes/priorityclass.yaml.j2", METADATA, priority=PriorityClassView(1, "Never", text))
    assert body["description"] == text
    keys = {"apiVersion", "kind", "metadata", "value", "preemptionPolicy", "globalDefault", "description"}
    assert set(body) == keys


def test_a_value_that_is_not_there_names_template_and_line():
    source = (TEMPLATES / "kubernetes/priorityclass.yaml.j2").read_text(encoding="utf-8").splitlines()
    line = next(number for number, text in enumerate(source, 1) if "priority.value" in text)
    with pytest.raises(RenderError, match=rf"templates/kubernetes/priorityclass\.yaml\.j2:{line}: .*value"):
        fill("kubernetes/priorityclass.yaml.j2", METADATA, priority=object())


def test_an_error_inside_a_partial_names_the_partial():
    with pytest.raises(RenderError, match=r"templates/_metadata\.yaml\.j2:\d+: "):
        fill("kubernetes/namespace.yaml.j2", replace(METADATA, name={1, 2}))


def test_a_template_that_is_missing_is_named():
    with pytest.raises(RenderError, match=r"templates/kubernetes/pod\.yaml\.j2"):
        fill("kubernetes/pod.yaml.j2", METADATA)


@pytest.mark.parametrize("text", ["kind: [", "- 1", "", "a: 1"])
def test_output_that_is_no_object_is_refused(text):
    with pytest.raises(RenderError, match=r"templates/x\.yaml\.j2"):
        room._parsed(text, "x.yaml.j2")


def test_numbers_that_yaml_has_not_are_refused():
    with pytest.raises(RenderError, match=r"priorityclass\.yaml\.j2:\d+"):
        fill(
            "kubernetes/priorityclass.yaml.j2",
            METADATA,
            priority=PriorityClassView(float("inf"), "Never", ""),
        )


@pytest.mark.parametrize("name", FILES)
def test_no_template_has_the_text_of_a_mark(name):
    assert room._MARK[:2] not in (TEMPLATES / name).read_text(encoding="utf-8")


def test_a_text_like_a_mark_is_a_text():
    mark = room._MARK.format(0)
    body = fill(
        "kubernetes/configmap.yaml.j2",
        replace(METADATA, name="first", labels={mark: mark}),
        config_map=ConfigMapView({mark: mark}),
    )
    assert body["metadata"]["name"] == "first"
    assert body["metadata"]["labels"] == body["data"] == {mark: mark}


def test_objects_of_one_form_share_nothing():
    first, second = (fill("kubernetes/namespace.yaml.j2", METADATA) for _ in range(2))
    first["metadata"]["labels"]["x"] = "changed"
    first["metadata"]["name"] = "changed"
    assert second == fill("kubernetes/namespace.yaml.j2", METADATA)


def test_the_room_has_no_clock_no_network_and_no_chance():
    folder = Path(room.__file__).parent
    banned = {
        "time",
        "datetime",
        "random",
        "secrets",
        "uuid",
        "socket",
        "urllib.request",
        "http",
        "kubernetes",
        "subprocess",
    }
    for file in [*folder.glob("*.py"), folder.parent / "placement.py", folder.parent / "routes.py"]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not banned & set(names), f"{file.name} imports {names}"
