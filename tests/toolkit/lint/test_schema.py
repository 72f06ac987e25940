"""Objects against the schemas of their kinds: the hospital fits, wrong objects do not, and each is told why."""

from __future__ import annotations

import copy
import datetime as dt
import json
from pathlib import Path

import pytest

from tests.cluster.crds import find_crds
from tests.toolkit.lint.wrong_objects import WRONG, good
from toolkit.errors import MissingExtraError, Severity, TiersError, UsageError
from toolkit.lint.document import from_objects, from_text
from toolkit.lint.schema import Schemas, schemas_from, validate
from toolkit.lint.schema_core import closest_version, core_schema
from toolkit.lint.schema_crd import crd_schema
from toolkit.render.objects import render


@pytest.fixture(scope="module")
def schemas(require) -> Schemas:
    require("crds")
    return schemas_from([find_crds()])


def found(schemas, *bodies):
    return validate(from_objects(bodies), schemas).problems


def test_every_object_of_the_hospital_fits(schemas, hospital):
    objects = render(hospital)
    told = validate(from_objects(each.body for each in objects), schemas)
    assert told.problems == ()
    assert told.unchecked == ()
    assert len({each.kind for each in objects}) >= 7


def test_every_good_object_of_the_corpus_fits(schemas):
    assert found(schemas, *good().values()) == ()


@pytest.mark.parametrize("wrong", [each for each in WRONG if each.code], ids=lambda each: each.name)
def test_one_wrong_value_is_one_finding(schemas, wrong):
    body = wrong.body()
    problems = found(schemas, body)
    assert [each.code for each in problems] == [wrong.code], [str(each) for each in problems]
    (problem,) = problems
    assert problem.severity is Severity.ERROR
    assert problem.why
    assert problem.cure
    last = [part for part in wrong.path.split("/") if not part.isdigit()][-1].replace("|", "/")
    assert wrong.code == "L001" or last in f"{problem.place} {problem.message}"


def test_a_finding_stands_at_its_line_and_says_what_was_meant(schemas):
    text = (
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\nspec:\n  slector: x\n  ports:\n  - prot: 80\n"
    )
    told = [str(each) for each in validate(from_text(text, "a.yaml"), schemas).problems]
    assert told == [
        "a.yaml:6:3 L002 Service a: no field 'slector'; did you mean 'selector'?",
        "a.yaml:8:5 L002 Service a: no field 'prot'; did you mean 'port'?",
        "a.yaml:8:5 L004 Service a: in ports port is missing",
    ]


def test_a_kind_that_no_schema_knows_is_said_and_no_finding(schemas):
    body = {"apiVersion": "example.org/v1", "kind": "Machine", "metadata": {"name": "a"}}
    told = validate(from_objects([body]), schemas)
    assert told.problems == ()
    assert told.unchecked == ("example.org/v1 Machine",)
    without = validate(from_objects([good()["Queue"]]), Schemas())
    assert without.unchecked == ("scheduling.volcano.sh/v1beta1 Queue",)


def test_a_version_that_is_not_served_is_named(schemas):
    body = {"apiVersion": "scheduling.volcano.sh/v1", "kind": "Queue", "metadata": {"name": "a"}}
    (problem,) = found(schemas, body)
    assert "served as scheduling.volcano.sh/v1beta1" in problem.message


def test_what_json_does_not_have_is_no_crash(schemas):
    body = copy.deepcopy(good()["ConfigMap"])
    body["data"] = {"since": dt.date(2026, 1, 1), 7: "x"}
    assert found(schemas, body) == ()


@pytest.mark.parametrize(
    ("wanted", "closest"), [("1.35", "1.35"), ("v1.32.4+k3s1", "1.32"), ("1.999", closest_version("1.99"))]
)
def test_the_closest_schemas_are_taken(wanted, closest):
    assert closest_version(wanted) == closest


@pytest.mark.parametrize("wanted", ["1.2", "latest", ""])
def test_a_version_without_schemas_is_refused(wanted):
    with pytest.raises(UsageError) as caught:
        closest_version(wanted)
    assert caught.value.hint


def test_versions_differ():
    """ResourceClaim became v1 in 1.34; the older schemas do not know it."""
    assert core_schema("1.32", "apps/v1", "Deployment") is not None
    assert core_schema("1.32", "resource.k8s.io/v1", "ResourceClaim") is None
    assert core_schema("1.35", "resource.k8s.io/v1", "ResourceClaim") is not None


# ---------------------------------------------------------------- CRDs
def spoken(schema: dict, spec: object) -> list[str]:
    """Give the codes for one object of a made-up kind with this schema of its spec."""
    crd = {"type": "object", "properties": {"spec": schema}}
    one = Schemas({("example.org/v1", "Thing"): crd})
    body = {"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": spec}
    return [each.code for each in validate(from_objects([body]), one).problems]


CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}}
TEXT = {"type": "string"}
PAIR = {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "string"}}}


@pytest.mark.parametrize(
    ("schema", "fits", "does_not", "code"),
    [
        (CLOSED, {"a": "x"}, {"b": "x"}, "L002"),
        (CLOSED, {"a": "x"}, {"a": None}, "L003"),
        ({**CLOSED, "x-kubernetes-preserve-unknown-fields": True}, {"b": 1}, {"a": 1}, "L003"),
        ({"type": "object"}, {}, {"b": 1}, "L002"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, {"b": 1}, {"b": "1"}, "L003"),
        ({"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}, "1", 1.5, "L003"),
        ({"x-kubernetes-int-or-string": True, "pattern": "^[0-9]+(KMGTPE)?$"}, 7, "x", "L007"),
        ({"type": "string", "nullable": True, "enum": ["a"]}, None, "b", "L005"),
        ({"type": "integer", "minimum": 0, "exclusiveMinimum": True}, 1, 0, "L006"),
        ({"type": "integer", "format": "int32"}, 1, 2**40, "L006"),
        ({"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"}, ["a", "b"], ["a", "a"], "L008"),
        (
            {"type": "array", "items": PAIR, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]},
            [{"k": "1", "v": "x"}, {"k": "2", "v": "x"}],
            [{"k": "1"}, {"k": "1", "v": "x"}],
            "L008",
        ),
        (
            {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {}},
            {"apiVersion": "v1", "kind": "Pod"},
            "L004",
        ),
        (
            {**PAIR, "anyOf": [{"required": ["z"]}, {"properties": {"v": {"enum": ["x"]}}, "required": ["v"]}]},
            {"k": "1", "v": "x"},
            {"v": "y"},
            "L006",
        ),
        ({**PAIR, "not": {"required": ["k", "v"]}}, {"k": "1"}, {"k": "1", "v": "2"}, "L006"),
    ],
)  # fmt: skip
def test_the_words_of_crds_mean_what_they_mean_to_the_server(schema, fits, does_not, code):
    assert spoken(schema, fits) == []
    assert spoken(schema, does_not) == [code]


def test_only_served_versions_count(tmp_path):
    version = {"schema": {"openAPIV3Schema": {"type": "object"}}, "storage": True}
    crd = {
        "kind": "CustomResourceDefinition",
        "spec": {
            "group": "example.org",
            "names": {"kind": "Thing"},
            "versions": [
                {"name": "v1", "served": True, **version},
                {"name": "v0", "served": False, **version},
            ],
        },
    }
    (tmp_path / "list.json").write_text(json.dumps({"kind": "CustomResourceDefinitionList", "items": [crd]}))
    (tmp_path / "other.yaml").write_text("kind: Namespace\n---\nkind: Secret\n")
    assert list(schemas_from([tmp_path, Path("/nowhere")]).crds) == [("example.org/v1", "Thing")]


@pytest.mark.parametrize(("name", "content"), [("a.json", "{"), ("a.yaml", "CustomResourceDefinition: [")])
def test_a_broken_file_is_named(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(TiersError, match=name) as caught:
        schemas_from([tmp_path])
    assert caught.value.hint


def test_metadata_of_a_custom_resource_is_that_of_every_object():
    schema = crd_schema("1.35", "example.org/v1", "Thing", {"type": "object"})
    assert "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta" in schema["$defs"]
    assert MissingExtraError.exit_code == UsageError.exit_code


def test_a_part_of_a_name_may_be_longer_than_a_label_of_dns():
    """As Volcano's claims and the events about them are; a real server takes them."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x" * 64 + ".y"}}
    assert validate(from_objects([body]), Schemas()).problems == ()
    body["metadata"]["name"] = "x" * 254
    assert [each.code for each in validate(from_objects([body]), Schemas()).problems] == ["L006"]
