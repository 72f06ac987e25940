"""The CSV file of devices: its rows become names and labels of the pools, with their places in the CSV.

Comes after `variables` and before `shape`, so that every check of tiers.yaml also holds for the inventory.

    name,pool,download
    endo-01,endoscopy,2MiB/s
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from toolkit.errors import Place
from toolkit.topology.findings import Findings, did_you_mean
from toolkit.topology.nodes import Entry, Fields, Items, Node, Scalar, find, matches, with_entry
from toolkit.topology.scalars import resolve

_NEEDED = ("name", "pool")


@dataclass(frozen=True)
class _Cell:
    """One field of the CSV with its place."""

    text: str
    place: Place


def add_inventory(root: Fields, findings: Findings) -> tuple[Fields, dict[str, str]]:
    """Give the document with the devices of the inventory, and the text of the file for excerpts.

    Args:
        root: the document; its key `inventory` names the file, beside the file that the key stands in.
        findings: takes what is wrong with the CSV.
    """
    named = find(root, ("inventory",))
    if not isinstance(named, Scalar) or not isinstance(named.value, str):
        return root, {}
    file = Path(named.place.where).parent / named.value
    try:
        text = file.read_bytes().decode("utf-8-sig")
        rows = list(_rows(text, str(file)))
    except (OSError, ValueError, csv.Error) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not CSV in UTF-8"
        findings.add("E0118", named.place, f"the inventory '{named.value}' cannot be read: {reason}")
        return root, {}
    return _with_rows(root, rows, named.place, findings), {str(file): text}


def _rows(text: str, file: str) -> Iterator[list[_Cell]]:
    """Give the rows of a CSV text with the place of each field; empty lines are left out."""
    lines = text.splitlines()
    reader = csv.reader(StringIO(text), strict=True)
    for row in reader:
        line = lines[reader.line_num - 1] if reader.line_num <= len(lines) else ""
        offset, cells = 0, []
        for cell in row:
            column = max(line.find(cell, offset), offset)
            cells.append(_Cell(cell.strip(), Place(file, reader.line_num, column + 1)))
            offset = column + len(cell)
        if any(cell.text for cell in cells):
            yield cells


def _with_rows(root: Fields, rows: list[list[_Cell]], named: Place, findings: Findings) -> Fields:
    """Put every row into its pool."""
    header = [cell.text for cell in rows[0]] if rows else []
    missing = [column for column in _NEEDED if column not in header]
    if missing:
        place = rows[0][0].place if rows else named
        findings.add(
            "E0118", place, f"the inventory has no column '{missing[0]}'{did_you_mean(missing[0], header)}"
        )
        return root
    pools = {str(path[-1]): path for path, _ in matches(root, ("tiers", "*", "pools", "*"))}
    names: dict[str, list[Node]] = {}
    document: Node = root
    for row in rows[1:]:
        if len(row) != len(header):
            findings.add(
                "E0118", row[0].place, f"this line has {len(row)} fields, the first line has {len(header)}"
            )
            continue
        cells = dict(zip(header, row, strict=True))
        pool = cells["pool"]
        if pool.text not in pools:
            findings.add(
                "E0401", pool.place, f"there is no pool '{pool.text}'{did_you_mean(pool.text, pools)}"
            )
            continue
        names.setdefault(pool.text, []).append(_scalar(cells["name"], as_text=True))
        document = _with_settings(document, tuple(map(str, pools[pool.text])), cells, rows[0])
    for pool_name, added in names.items():
        path = tuple(map(str, pools[pool_name]))
        written = find(document, (*path, "nodes", "names"))
        before = written.children if isinstance(written, Items) else ()
        place = added[0].place
        entry = Entry(place, Items((*before, *added), place))
        document = with_entry(document, (*path, "nodes", "names"), entry)
    return document if isinstance(document, Fields) else root


def _with_settings(
    document: Node, pool: tuple[str, ...], cells: dict[str, _Cell], header: list[_Cell]
) -> Node:
    """Put the further columns of one row into the settings of its device; an empty field sets nothing."""
    for column in header:
        cell = cells[column.text]
        if column.text not in _NEEDED and cell.text:
            path = (*pool, "devices", cells["name"].text, column.text)
            document = with_entry(document, path, Entry(column.place, _scalar(cell)))
    return document


def _scalar(cell: _Cell, *, as_text: bool = False) -> Scalar:
    """Give a field as a value of the document."""
    return Scalar(cell.text if as_text else resolve(cell.text), cell.place, cell.text, plain=not as_text)
