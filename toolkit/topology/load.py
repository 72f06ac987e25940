"""tiers.yaml -> Topology, or every problem at once. The way into this room.

    read each file -> merge -> fill in ${NAME} -> add the inventory -> references, shape -> checks -> Topology

Called by every command that reads tiers.yaml; `explain` looks at the document that it returns too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from toolkit.errors import Place, Problem, TopologyError
from toolkit.topology.checks.every import check_everything
from toolkit.topology.checks.site import Site
from toolkit.topology.excerpt import excerpt, hide
from toolkit.topology.findings import Findings
from toolkit.topology.inventory import add_inventory
from toolkit.topology.merge import merge
from toolkit.topology.nodes import Fields, Node
from toolkit.topology.read import read
from toolkit.topology.references import check_references
from toolkit.topology.shape import shape
from toolkit.topology.topology import Topology
from toolkit.topology.variables import fill_in


@dataclass(frozen=True)
class Loaded:
    """A valid site: its nouns, the document they came from, and warnings."""

    topology: Topology
    document: Fields
    warnings: tuple[Problem, ...]


@dataclass(frozen=True)
class Examined:
    """What `tiers validate` found out."""

    valid: bool
    problems: tuple[Problem, ...]
    """Errors and warnings, in the order of the files."""
    counts: Mapping[str, int]
    """How many tiers, pools, machines and so on there are; empty when the site is not valid."""


def load(files: Sequence[Path], variables: Mapping[str, str] | None = None) -> Loaded:
    """Read, merge and check files.

    Args:
        files: tiers.yaml and what is merged over it, in this order.
        variables: values of --set.

    Raises:
        TopologyError: with every problem and warning, when at least one is an error.
    """
    findings = Findings()
    texts: dict[str, str] = {}
    for file in files:
        text = _text_of(file, findings)
        if text is not None:
            texts[str(file)] = text
    return _load(texts, variables or {}, findings)


def examine(files: Sequence[Path], variables: Mapping[str, str] | None = None) -> Examined:
    """Do what `load` does, and give the problems as a result instead of an error."""
    try:
        loaded = load(files, variables)
    except TopologyError as error:
        return Examined(valid=False, problems=error.problems, counts={})
    topology = loaded.topology
    pools = list(topology.pools())
    counts = {
        "tiers": len(topology.tiers),
        "pools": len(pools),
        "machines": sum(placed.pool.nodes.total for placed in pools),
        "gpus": sum(placed.gpus for placed in pools),
        "models": len(topology.models),
        "jobs": len(topology.jobs),
        "routes": len(topology.routes),
        "services": len(topology.services),
    }
    return Examined(valid=True, problems=loaded.warnings, counts=counts)


def load_texts(texts: Mapping[str, str], variables: Mapping[str, str] | None = None) -> Loaded:
    """Do the same for texts by the name of their file; an inventory is looked for beside that name.

    Raises:
        TopologyError: with every problem and warning, when at least one is an error.
    """
    return _load(dict(texts), variables or {}, Findings())


def _text_of(file: Path, findings: Findings) -> str | None:
    """Read a file; None, with a finding, when it cannot be read."""
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        before = exc.object[: exc.start]
        place = Place(str(file), before.count(b"\n") + 1, exc.start - before.rfind(b"\n"))
        findings.add("E0112", place, "the file is not UTF-8")
    except OSError as exc:
        findings.add("E0112", Place(str(file)), f"the file cannot be read: {exc.strerror}")
    return None


def _load(texts: dict[str, str], given: Mapping[str, str], findings: Findings) -> Loaded:
    """Do everything after the files are in memory."""
    files = list(texts)
    roots = [_top(read(text, file, findings), findings) for file, text in texts.items()]
    sound = [root for root in roots if root is not None]
    result: tuple[Topology, Fields] | None = None
    if len(sound) == len(roots) and not any(finding.code == "E0112" for finding in findings.found):
        result = _build(reduce(merge, sound), given, findings, texts)
    lines = {file: text.splitlines() for file, text in texts.items()}
    for place in findings.secrets:
        hide(lines.get(place.where, []), place)
    problems = findings.problems(lambda place: excerpt(lines.get(place.where, []), place), [*files, *texts])
    if result is None or findings.errors:
        raise TopologyError(problems, hint=_next_command(files, problems))
    return Loaded(*result, problems)


def _top(node: Node | None, findings: Findings) -> Fields | None:
    """Give the keys of a file; None, with a finding, when it holds something else."""
    if node is None or isinstance(node, Fields):
        return node
    findings.add("E0204", node.place, "tiers.yaml holds keys and values, not a list or a single value")
    return None


def _build(
    merged: Fields, given: Mapping[str, str], findings: Findings, texts: dict[str, str]
) -> tuple[Topology, Fields] | None:
    """Go from one document to nouns that fit together; the inventory's text joins `texts` for excerpts."""
    if not merged.entries:
        findings.add("E0113", merged.place, "the file holds no keys")
        return None
    filled = fill_in(merged, given, findings)
    document, inventory = add_inventory(filled, findings)
    texts.update(inventory)
    check_references(document, findings)
    shaped = shape(document, findings)
    check_everything(Site(document, shaped, findings))
    return shaped.topology, document


def _next_command(files: Sequence[str], problems: Sequence[Problem]) -> str:
    """Say what to type next."""
    if any(problem.code in {"E0112", "E0113"} for problem in problems):
        return "tiers init"
    arguments = " ".join(f"-f {file}" for file in files) if list(files) != ["tiers.yaml"] else ""
    return f"tiers validate {arguments}".strip()
