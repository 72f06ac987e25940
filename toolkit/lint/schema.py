"""Does an object fit its schema? Kubernetes' own kinds and those of CRDs, without a cluster. Beside `check`'s rules.

    files of CRDs → `schema_files` → `schema_crd` ┐
    kubernetes-validate → `schema_core`           ┴→ compiled once a kind → errors → `schema_words` → Problems

What the server refuses with fieldValidation=Strict shall be refused here, before anybody has a connection to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import Problem, Severity
from toolkit.lint.document import OWN_KINDS, Document, text
from toolkit.lint.rule import Finding
from toolkit.lint.schema_core import KUBERNETES, core_kinds, core_schema
from toolkit.lint.schema_crd import crd_schema
from toolkit.lint.schema_files import read_crds
from toolkit.lint.schema_lists import twice
from toolkit.lint.schema_values import Schema
from toolkit.lint.schema_words import CURES, TWICE, UNKNOWN_KIND, WHY, describe, perhaps

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator


_FILES_OF_KUBEEDGE = ".config.kubeedge.io"


@dataclass(frozen=True)
class Compiled:
    """A schema and what checks objects by it."""

    schema: Schema
    validator: Draft202012Validator


@dataclass
class Schemas:
    """The schemas of one cluster or one site; each is compiled when the first object of its kind comes."""

    crds: Mapping[tuple[str, str], Mapping[str, object]] = field(default_factory=dict)
    """apiVersion and kind → openAPIV3Schema."""
    kubernetes: str = KUBERNETES
    _compiled: dict[tuple[str, str], Compiled | None] = field(default_factory=dict, repr=False)

    def of(self, api_version: str, kind: str) -> Compiled | None:
        """Give the schema of a kind; None when it is not known.

        Raises:
            UsageError: there are no schemas of this Kubernetes.
            MissingExtraError: kubernetes-validate or jsonschema-rs is not installed.
        """
        key = (api_version, kind)
        if key not in self._compiled:
            schema = self._schema(api_version, kind)
            self._compiled[key] = _compile(schema) if schema is not None else None
        return self._compiled[key]

    def has(self, api_version: str, kind: str) -> bool:
        """Whether there is a schema of a kind, usable or not."""
        return (api_version, kind) in self.crds or (api_version, kind) in core_kinds(self.kubernetes)

    def surely_unknown(self, api_version: str, kind: str) -> str:
        """Say why a kind cannot exist, with what was perhaps meant; empty when it may exist all the same.

        A kind is surely unknown when other kinds of its group are known and it is not: a version that is not served,
        or a typing error. Of a group that nobody has shown us nothing can be said.
        """
        group, _, _ = api_version.rpartition("/")
        known = {*core_kinds(self.kubernetes), *self.crds}
        same_version = {name for version, name in known if version == api_version}
        versions = {
            version for version, name in known if name == kind and version.rpartition("/")[0] == group
        }
        whole = "." not in group or any(version.rpartition("/")[0] == group for version, _ in self.crds)
        if versions:
            return f"no {kind} in {api_version}; it is served as {', '.join(sorted(versions))}"
        if whole:
            return f"no kind {kind} in {api_version}{perhaps(kind, sorted(same_version))}"
        return ""

    def _schema(self, api_version: str, kind: str) -> Schema | None:
        found = self.crds.get((api_version, kind))
        if found is not None:
            return crd_schema(self.kubernetes, api_version, kind, found)
        return core_schema(self.kubernetes, api_version, kind)


@dataclass(frozen=True)
class Validated:
    """What came out of checking objects by their schemas."""

    problems: tuple[Problem, ...]
    unchecked: tuple[str, ...]
    """Kinds without a usable schema here, such as `batch.volcano.sh/v1alpha1 Job`: nothing is said of their objects."""


def schemas_from(folders: Iterable[Path], kubernetes: str = "") -> Schemas:
    """Take the schemas of folders of CRDs beside Kubernetes' own.

    Args:
        folders: where CRDs lie; the first one that has a kind counts.
        kubernetes: version such as 1.35; empty means that of the first pulled folder, else KUBERNETES.

    Raises:
        TiersError: a file of a folder cannot be read.
    """
    found = read_crds(folders)
    return Schemas(found.schemas, kubernetes or found.kubernetes or KUBERNETES)


def validate(documents: Iterable[Document], schemas: Schemas) -> Validated:
    """Check objects by the schemas of their kinds.

    Raises:
        UsageError, MissingExtraError: as `Schemas.of` does.
    """
    problems: list[Problem] = []
    unchecked: dict[str, None] = {}
    for document in documents:
        if document.kind in OWN_KINDS or document.group.endswith(_FILES_OF_KUBEEDGE):
            continue  # a file that a program reads; its own rules know every key
        api_version, kind = text(document.body.get("apiVersion")), document.kind
        compiled = schemas.of(api_version, kind)
        if compiled is not None:
            found = list(_findings(compiled, document.body))
        elif not api_version:
            found = [(UNKNOWN_KIND, Finding((), "has no apiVersion"))]
        elif not schemas.has(api_version, kind) and (why := schemas.surely_unknown(api_version, kind)):
            found = [(UNKNOWN_KIND, Finding(("kind",), why))]
        else:
            found = []
            unchecked[f"{api_version} {kind}"] = None
        made = [_problem(document, code, finding) for code, finding in found]
        problems += sorted(made, key=lambda each: (each.place.line, each.place.column, each.code))
    return Validated(tuple(dict.fromkeys(problems)), tuple(unchecked))


def _compile(schema: Schema) -> Compiled | None:
    """Compile a schema; one that is none, or has a pattern that only Go understands, checks nothing."""
    from jsonschema_rs import Draft202012Validator, ReferencingError, ValidationError

    try:
        return Compiled(schema, Draft202012Validator(schema, validate_formats=False))
    except (ValidationError, ReferencingError, ValueError):
        return None


def _findings(compiled: Compiled, body: Mapping[str, object]) -> Iterator[tuple[str, Finding]]:
    plain: object = body
    try:
        errors = list(compiled.validator.iter_errors(plain))
    except ValueError:  # a date or a number as a key, which YAML has and JSON has not
        plain = json.loads(json.dumps(body, default=str))
        errors = list(compiled.validator.iter_errors(plain))
    for error in errors:
        yield from describe(compiled.schema, plain, error)
    for finding in twice(compiled.schema, plain):
        yield TWICE, finding


def _problem(document: Document, code: str, finding: Finding) -> Problem:
    message = finding.message if document.node is None else f"{document.title}: {finding.message}"
    return Problem(code, Severity.ERROR, document.place(finding.path), message, WHY, CURES[code])
