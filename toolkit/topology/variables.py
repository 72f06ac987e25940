"""`${NAME}` in values: only declared variables, filled in after all files are merged.

Comes after `merge` and before `shape`. A variable is declared under `variables:` with its default; `--set NAME=VALUE`
beats the default. `$${` stands for a literal `${`.
"""

import re
from collections.abc import Mapping

from toolkit.errors import Place
from toolkit.topology.findings import Findings, did_you_mean
from toolkit.topology.nodes import Entry, Fields, Items, Node, Scalar
from toolkit.topology.scalars import resolve, surprise

_REFERENCE = re.compile(r"\$(?P<escape>\$)?\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)\})?")


def fill_in(root: Fields, given: Mapping[str, str], findings: Findings) -> Fields:
    """Give the document with every `${NAME}` replaced and `variables:` holding what was used.

    Args:
        root: all files merged.
        given: what --set says.
        findings: takes undeclared names, missing values and broken references.
    """
    declared = root.entries.get("variables")
    variables = (
        declared.node
        if declared is not None and isinstance(declared.node, Fields)
        else Fields({}, root.place)
    )
    for name in given:
        if name not in variables.entries:
            message = f"'{name}' is not a declared variable{did_you_mean(name, variables.entries)}"
            findings.add("E0116", Place(f"--set {name}"), message)
    settled = _settle(variables, given, findings)
    entries = {key: entry for key, entry in root.entries.items() if key != "variables"}
    filled = _fill_fields(Fields(entries, root.place), settled, findings)
    if declared is None:
        return filled
    written = Entry(
        declared.key_place, settled if declared.node is variables else declared.node, declared.replaced
    )
    return Fields({"variables": written, **filled.entries}, root.place)


def _settle(variables: Fields, given: Mapping[str, str], findings: Findings) -> Fields:
    """Give the variables with the values of --set; a default cannot use another variable."""
    entries: dict[str, Entry] = {}
    for name, entry in variables.entries.items():
        node = entry.node
        if isinstance(node, Scalar) and isinstance(node.value, str) and _REFERENCE.search(node.value):
            findings.add("E0117", node.place, f"the default of '{name}' uses another variable")
        if name in given:
            node = Scalar(resolve(given[name]), Place(f"--set {name}"), given[name], plain=True)
            entry = Entry(entry.key_place, node, entry)  # noqa: PLW2901  # explain shows what --set replaced
        entries[name] = entry
    return Fields(entries, variables.place)


def _fill(node: Node, variables: Fields, findings: Findings) -> Node:
    """Give a node with its references replaced."""
    if isinstance(node, Items):
        return Items(tuple(_fill(child, variables, findings) for child in node.children), node.place)
    if isinstance(node, Fields):
        return _fill_fields(node, variables, findings)
    if not isinstance(node.value, str) or "${" not in node.value:
        return node
    return _fill_scalar(node, variables, findings)


def _fill_fields(node: Fields, variables: Fields, findings: Findings) -> Fields:
    """Give a mapping with the references in its values replaced; keys stay as they are."""
    entries = {
        key: Entry(entry.key_place, _fill(entry.node, variables, findings), entry.replaced)
        for key, entry in node.entries.items()
    }
    return Fields(entries, node.place)


def _fill_scalar(node: Scalar, variables: Fields, findings: Findings) -> Scalar:
    """Replace references in one value. A plain word is read again, so that `gpus: ${GPUS}` gives a number."""
    sound = True

    def replace(match: re.Match[str]) -> str:
        nonlocal sound
        if match["escape"]:
            return match[0][1:]
        text = _value_of(match["name"], node.place, variables, findings)
        sound = sound and text is not None
        return text or ""

    text = _REFERENCE.sub(replace, node.text)
    if not sound:
        return node
    found = surprise(text) if node.plain else None
    if found is not None:
        findings.add(found[0], node.place, f"{found[1]} (after '{node.text}' was filled in)")
    return Scalar(resolve(text) if node.plain and found is None else text, node.place, text, node.plain)


def _value_of(name: str | None, place: Place, variables: Fields, findings: Findings) -> str | None:
    """Give the text of a variable; None, with a finding, when there is none."""
    if name is None:
        findings.add("E0117", place, "'${' is not followed by NAME}")
        return None
    entry = variables.entries.get(name)
    if entry is None:
        message = f"the variable '{name}' is not declared{did_you_mean(name, variables.entries)}"
        findings.add("E0114", place, message)
        return None
    if not isinstance(entry.node, Scalar) or entry.node.value is None:
        findings.add("E0115", place, f"the variable '{name}' has no value", cure=f"add --set {name}=VALUE")
        return None
    return entry.node.text
