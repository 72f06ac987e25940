"""A promotion as Markdown, for the page of a CI job. Pure; comes after `promote`.

What devices and manifests say is shown as text: no markup of theirs counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from toolkit.fleet.text import clean
from toolkit.promotion.promote import Promotion

_MOST_ROWS = 50
_TITLE = {
    "promoted": "is in",
    "refused": "may not go to",
    "failed": "failed on its way to",
    "open": "is on its way to",
    "left": "is on its way to",
}


def summary_of(promotion: Promotion) -> str:
    """Give a page: the outcome, the gates, the waves, and the devices that said no or have not answered."""
    label = f"{promotion.model}@{promotion.version}"
    lines = [f"## {_text(label)} {_TITLE[promotion.outcome]} {_text(promotion.to)}", ""]
    lines += _table(
        ("gate", "", "found"),
        (
            (check.gate, "passed" if check.passed else "**shut**", _text(check.found))
            for check in promotion.checks
        ),
    )
    row = promotion.status
    if row is None:
        return "\n".join(lines) + "\n"
    lines += [
        "",
        f"Rollout `{row.name}` of site `{promotion.site}`: **{row.state}**, wave {row.wave} of {row.waves}."
        + (f" {_text(row.why)}." if row.why else ""),
        "",
    ]
    lines += _table(
        ("wave", "for", "devices", "have it", "refused", "waiting"),
        (
            (each.wave, _text(each.label or "all"), each.devices, each.active, each.refused, each.waiting)
            for each in row.wave_rows
        ),
    )
    if row.gates:
        lines += ["", *(f"- {_text(gate.text)}{': **broken**' if gate.broken else ''}" for gate in row.gates)]
    others = [each for each in row.answers if each.state != "ACTIVE" and each.wave <= row.wave]
    if others:
        lines += ["", *_table(
            ("device", "wave", "state", "code", "reason"),
            ((each.device, each.wave, each.state or "not told", _text(each.code), _text(each.reason))
             for each in others[:_MOST_ROWS]),
        )]  # fmt: skip
        if len(others) > _MOST_ROWS:
            lines += ["", f"And {len(others) - _MOST_ROWS} more: `tiers rollout status {row.name}`"]
    return "\n".join(lines) + "\n"


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    head = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return head + [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]


def _text(text: str) -> str:
    """Take the meaning out of everything that Markdown or HTML would read."""
    return (
        re.sub(r"([\\`*_{}\[\]()#|<>!&~])", r"\\\1", clean(text))
        .replace("\\<", "&lt;")
        .replace("\\>", "&gt;")
    )
