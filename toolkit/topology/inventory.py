"""The CSV file of devices: its rows become names and labels of the pools, with their places in the CSV.

Comes after `variables` and before `shape`, so that every check of tiers.yaml also holds for the inventory.

    name,pool,download,labels.room
    endo-01,endoscopy,2MiB/s,or-3

Further columns are settings of the device; those that begin with `labels.` are labels, which `overrides` go by.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from toolkit.errors import Place
from toolkit.topology.findings import Findings, did_you_mean
from toolkit.topology.merge import merge
from toolkit.topology.nodes import Entry, Fields, Items, Node, Scalar, find, matches
from toolkit.topology.scalars import resolve

_NEEDED = ("name", "pool")
_LABEL = "labels."


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
    devices: dict[str, list[dict[str, _Cell]]] = {}
    for row in rows[1:]:
        if len(row) != len(header):
            findings.add(
                "E0118", row[0].place, f"this line has {len(row)} fields, the first line has {len(header)}"
            )
            continue
        cells = dict(zip(header, row, strict=True))
        pool = cells["pool"]
        if pool.text in pools:
            devices.setdefault(pool.text, []).append(cells)
        else:
            findings.add(
                "E0401", pool.place, f"there is no pool '{pool.text}'{did_you_mean(pool.text, pools)}"
            )
    columns = {cell.text: cell.place for cell in rows[0]}
    for pool_name, added in devices.items():
        root = merge(root, _overlay(root, tuple(map(str, pools[pool_name])), added, columns))
    return root


def _overlay(
    root: Fields, pool: tuple[str, ...], devices: list[dict[str, _Cell]], columns: dict[str, Place]
) -> Fields:
    """Give what the rows of one pool say, as a document to merge: names after those that are written, and settings."""
    here = devices[0]["name"].place
    written = find(root, (*pool, "nodes", "names"))
    names = [_scalar(cells["name"], as_text=True) for cells in devices]
    before = written.children if isinstance(written, Items) else ()
    nodes: dict[str, Entry] = {"names": Entry(here, Items((*before, *names), here))}
    labels = {
        cells["name"].text: Entry(cells["name"].place, own)
        for cells in devices
        if (own := _labels(cells, columns)).entries
    }
    if labels:
        nodes["own_labels"] = Entry(here, Fields(labels, here))
    parts: dict[str, Node] = {"nodes": Fields(nodes, here)}
    settings = {
        cells["name"].text: Entry(cells["name"].place, own)
        for cells in devices
        if (own := _settings(cells, columns)).entries
    }
    if settings:
        parts["devices"] = Fields(settings, here)
    document = Fields({key: Entry(here, node) for key, node in parts.items()}, here)
    for key in reversed(pool):
        document = Fields({key: Entry(here, document)}, here)
    return document


def _settings(cells: dict[str, _Cell], columns: dict[str, Place]) -> Fields:
    """Give the settings of one row; an empty field sets nothing."""
    set_here = {
        column: cell
        for column, cell in cells.items()
        if column not in _NEEDED and not column.startswith(_LABEL) and cell.text
    }
    entries = {column: Entry(columns[column], _scalar(cell)) for column, cell in set_here.items()}
    return Fields(entries, cells["name"].place)


def _labels(cells: dict[str, _Cell], columns: dict[str, Place]) -> Fields:
    """Give the labels of one row; an empty field means that the device does not carry it."""
    entries = {
        column.removeprefix(_LABEL): Entry(columns[column], _scalar(cell, as_text=True))
        for column, cell in cells.items()
        if column.startswith(_LABEL) and cell.text
    }
    return Fields(entries, cells["name"].place)


def _scalar(cell: _Cell, *, as_text: bool = False) -> Scalar:
    """Give a field as a value of the document."""
    return Scalar(cell.text if as_text else resolve(cell.text), cell.place, cell.text, plain=not as_text)
