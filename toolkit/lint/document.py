"""A Kubernetes object together with where each of its values stands. First step of linting: text or dict → Document.

After it come the rules (`volcano`, `kubeedge`, …), which name a value by its path and get a file position for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

from toolkit.errors import Place, TiersError

ValuePath = tuple[str | int, ...]
"""How to reach a value inside an object: ("spec", "tasks", 0, "name")."""

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SUFFIXES = (".yaml", ".yml", ".json")
SCHEDULER_KIND = "SchedulerConfiguration"
"""Our kind for volcano-scheduler.conf, which has none of its own; Volcano's name for what the file holds."""
RULES_KIND = "PrometheusRules"
"""Our kind for a file of Prometheus rules (groups, each with rules), which has none of its own."""
PROMETHEUS_KIND = "PrometheusConfiguration"
"""Our kind for prometheus.yml, known by its scrape_configs."""
OWN_KINDS = frozenset({SCHEDULER_KIND, RULES_KIND, PROMETHEUS_KIND})
"""Kinds that we gave to files that are no objects: no API server knows them."""
LARGEST_FILE = 16 * 1024 * 1024
"""Bytes of YAML we are willing to parse; etcd refuses single objects above 1.5 MiB, so this is ten of the largest."""


def mapping(value: object) -> Mapping[str, object]:
    """Take `value` as a mapping; whatever else it is reads as an empty one (schema errors are not lint's work)."""
    return value if isinstance(value, Mapping) else {}


def sequence(value: object) -> Sequence[object]:
    """Take `value` as a list; whatever else it is reads as an empty one."""
    return value if isinstance(value, list | tuple) else ()


def text(value: object) -> str:
    """Take `value` as a string; whatever else it is reads as an empty one."""
    return value if isinstance(value, str) else ""


@dataclass(frozen=True)
class Document:
    """One object: its body as parsed, the file it came from, and the YAML node that knows the positions."""

    body: Mapping[str, object]
    where: str = ""
    node: yaml.Node | None = None

    @cached_property
    def kind(self) -> str:
        """The object's kind, such as `DaemonSet`; empty when it has none."""
        return text(self.body.get("kind"))

    @cached_property
    def group(self) -> str:
        """The API group without its version: `batch.volcano.sh`, `apps`, or empty for the core group."""
        group, _, version = text(self.body.get("apiVersion")).partition("/")
        return group if version else ""

    @cached_property
    def name(self) -> str:
        """metadata.name."""
        return text(mapping(self.body.get("metadata")).get("name"))

    @property
    def title(self) -> str:
        """How people call the object: `Job research/seg3d`."""
        namespace = text(mapping(self.body.get("metadata")).get("namespace"))
        return f"{self.kind} {namespace}/{self.name}" if namespace else f"{self.kind} {self.name}".rstrip()

    @cached_property
    def spec(self) -> Mapping[str, object]:
        """The object's spec."""
        return mapping(self.body.get("spec"))

    def place(self, path: ValuePath = ()) -> Place:
        """Find the file position of the deepest part of `path` that exists; without a file, name object and path."""
        if self.node is None:
            return Place(f"{self.title} {written(path)}".rstrip())
        mark = _deepest(self.node, path).start_mark
        return Place(self.where, mark.line + 1, mark.column + 1)


def written(path: ValuePath) -> str:
    """Write a path the way people type it: `spec.tasks[0].name`."""
    out = ""
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else part
    return out


def from_objects(bodies: Iterable[Mapping[str, object]]) -> tuple[Document, ...]:
    """Wrap objects that never were a file, such as freshly rendered ones."""
    return tuple(Document(body) for body in bodies)


def from_text(content: str, where: str) -> tuple[Document, ...]:
    """Parse a YAML stream; a `List` counts as its items; documents that are no objects are skipped.

    Raises:
        TiersError: the text is not YAML; the message has file, line and column.
    """
    documents: list[Document] = []
    try:
        for node in yaml.compose_all(content, Loader=_Loader):
            documents.extend(_objects(node, where))
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        place = Place(where, mark.line + 1, mark.column + 1) if mark else Place(where)
        raise TiersError(
            f"{place} is not YAML: {exc.problem}", hint="correct the file and lint again"
        ) from exc
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        raise TiersError(f"{where} is not YAML: {exc}", hint="correct the file and lint again") from exc
    return tuple(documents)


def from_files(paths: Iterable[Path]) -> tuple[Document, ...]:
    """Read files and, of folders, every .yaml, .yml and .json below them, in order of name.

    Raises:
        TiersError: a path is missing, unreadable, too large or not YAML.
    """
    documents: list[Document] = []
    for path in paths:
        for file in _files(path):
            try:
                if file.stat().st_size > LARGEST_FILE:
                    raise TiersError(
                        f"{file} is larger than {LARGEST_FILE} bytes", hint="lint its parts one by one"
                    )
                content = file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as exc:
                raise TiersError(f"cannot read {file}: {exc}", hint="tiers lint FILE…") from exc
            documents.extend(from_text(content, str(file)))
    return tuple(documents)


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    yield from sorted(file for file in path.rglob("*") if file.suffix in _SUFFIXES and file.is_file())


def _objects(node: yaml.Node | None, where: str) -> Iterator[Document]:
    if not isinstance(node, yaml.MappingNode):
        return
    body = _construct(node)
    if text(body.get("kind")).endswith("List") and isinstance(body.get("items"), list):
        items = _deepest(node, ("items",))
        if isinstance(items, yaml.SequenceNode):
            for item in items.value:
                yield from _objects(item, where)
        return
    if not body.get("kind"):
        body = {"kind": _own_kind(body), **body}
    if body.get("kind"):
        yield Document(body, where, node)


def _own_kind(body: Mapping[str, object]) -> str:
    """Name a file that is no object by what it holds; empty when we do not know such files."""
    if {"actions", "tiers"} <= set(body):
        return SCHEDULER_KIND
    groups = [mapping(each) for each in sequence(body.get("groups"))]
    if groups and all("rules" in each for each in groups):
        return RULES_KIND
    return PROMETHEUS_KIND if "scrape_configs" in body else ""


def _construct(node: yaml.MappingNode) -> Mapping[str, object]:
    loader = yaml.SafeLoader("")
    try:
        return mapping(_keys_as_texts(loader.construct_document(node)))
    finally:
        loader.dispose()


def _keys_as_texts(value: object) -> object:
    """Turn keys that YAML reads as numbers, yes or nothing into texts, as the API server's own reader does."""
    if isinstance(value, dict):
        return {_key(key): _keys_as_texts(each) for key, each in value.items()}
    return [_keys_as_texts(each) for each in value] if isinstance(value, list) else value


def _key(key: object) -> str:
    if isinstance(key, bool) or key is None:
        return "null" if key is None else str(key).lower()
    return key if isinstance(key, str) else str(key)


def _deepest(node: yaml.Node, path: ValuePath) -> yaml.Node:
    for part in path:
        found = _child(node, part)
        if found is None:
            break
        node = found
    return node


def _child(node: yaml.Node, part: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int):
        return node.value[part] if part < len(node.value) else None
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                # A scalar is pointed at by its key, so that the caret stands under the word that people wrote.
                return value if isinstance(value, yaml.CollectionNode) else _at(value, key)
    return None


def _at(value: yaml.Node, key: yaml.Node) -> yaml.Node:
    return yaml.ScalarNode(value.tag, value.value, key.start_mark, value.end_mark)
