"""What was measured as tables of Markdown, to be put into a page as they are: `benchmarks/sync.py --report`.

A place has a table for each unit, medians of all repetitions, steps down and tools across; then all targets of all
places that were measured, judged by the ratio of the medians, with the ratios of single repetitions beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from benchmarks.syncing.targets import Figures, Row

_TABLES = (
    ("s", "seconds", 2),
    ("cpu s", "seconds of processor", 2),
    ("MB", "MB moved", 2),
    ("MB resident", "MB resident", 0),
)
_NOTHING = "-"


def as_markdown(figures: Figures, *, with_targets: bool) -> str:
    """Give the tables of every place, and the targets."""
    lines: list[str] = []
    for place in dict.fromkeys(place for place, _ in figures.runs):
        lines += _place(figures, place, [case for there, case in figures.runs if there == place])
    if with_targets:
        lines += _targets(figures)
    return "\n".join(lines)


def _place(figures: Figures, place: str, cases: list[str]) -> Iterator[str]:
    tools = list(dict.fromkeys(tool for case in cases for tool in figures.runs[place, case]))
    yield f"### {place}\n"
    yield from (f"{line}\n" for line in _repetitions(figures, place, cases, tools))
    for unit, title, digits in _TABLES:
        medians = {tool: [figures.median(place, case, tool, unit) for case in cases] for tool in tools}
        columns = [
            tool for tool in tools if any(medians[tool])
        ]  # rclone does not say what it moved in folders
        rows = [
            [case, *(_cell(medians[tool][number], digits) for tool in columns)]
            for number, case in enumerate(cases)
        ]
        if columns:
            yield from _table([f"{title}, {place}", *columns], rows)


def _repetitions(figures: Figures, place: str, cases: list[str], tools: list[str]) -> Iterator[str]:
    """Say how many runs are behind the medians, the many of a tool together when all of its steps had as many."""
    told: dict[str, list[str]] = {}
    for tool in tools:
        counts = {len(runs[tool]) for case in cases if tool in (runs := figures.runs[place, case])}
        many = str(min(counts)) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
        told.setdefault(many, []).append(f"`{tool}`")
    yield "Repetitions: " + "; ".join(f"{many} of {', '.join(names)}" for many, names in told.items()) + "."


def _targets(figures: Figures) -> Iterator[str]:
    rows = list(figures.targets())
    head = [
        "target",
        "unit",
        "ours",
        "beside",
        "ratio",
        "at most",
        "repetitions",
        "least",
        "median",
        "most",
        "",
    ]
    yield "### targets\n"
    yield from _table(head, (_verdict(row) for row in rows))
    yield f"{sum(row.met for row in rows)} of {len(rows)} met.\n"
    if unmeasured := figures.unmeasured():
        yield f"Not measured here, {len(unmeasured)}: " + "; ".join(unmeasured) + "."


def _verdict(row: Row) -> list[str]:
    single = row.as_json()
    spread = [f"{single[name]:.3g}" if row.single else _NOTHING for name in ("least", "middle", "most")]
    figures = [f"{row.ours:.2f}", f"{row.peer:.2f}", f"{row.ratio:.3g}", str(row.target)]
    return [row.case, row.unit, *figures, str(len(row.single)), *spread, "met" if row.met else "**missed**"]


def _table(head: list[str], rows: Iterable[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def _cell(figure: float | None, digits: int) -> str:
    return _NOTHING if figure is None else f"{figure:.{digits}f}"
