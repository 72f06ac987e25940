"""How differences are shown to people, and what became of them: a block for each object, coloured on a terminal.

Used by `diff` on stdout and by the commands that ask before they write on stderr. NO_COLOR is rich's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from toolkit.cli.present import Output, Table, say, show

if TYPE_CHECKING:
    from toolkit.cluster.outcome import Applied

_COLOURS = {"+": "green", "-": "red", "~": "yellow", "@": "cyan"}
_ACTIONS = {"create": "green", "change": "yellow", "prune": "red", "delete": "red", "left over": "dim"}
_TROUBLE = "bold red"

Step = tuple[str, str, Sequence[str]]
"""Action, object, and what differs."""


def prefixed(steps: Iterable[Step], cluster: str) -> Iterator[Step]:
    """Put the cluster before each object; nothing when it is the only one."""
    return ((action, f"{cluster}: {label}" if cluster else label, lines) for action, label, lines in steps)


def show_differences(steps: Iterable[Step], *, on_stderr: bool = False) -> None:
    """Write a block for each object."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=on_stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)
    for action, label, lines in steps:
        console.print(Text.assemble((action, _ACTIONS.get(action, _TROUBLE)), f" {label}"))
        for line in lines:
            if line:
                console.print(Text(f"    {line}", style=_COLOURS.get(line[:1], "")))


def show_applied(applied: Sequence[Applied], output: Output, *, as_json: bool) -> None:
    """Write what became of every object, and which revision it is now; end as `raise_for` does.

    Raises:
        PartlyAppliedError: some objects are not as wanted.
    """
    from toolkit.cluster.outcome import raise_for

    several = len(applied) > 1
    rows = [
        (each.outcome.value, f"{one.cluster}: {each.label}" if several else each.label, each.message)
        for one in applied
        for each in one.objects
    ]
    show(applied, Table(("", "object", ""), rows), output, as_json=as_json)
    for one in applied:
        if one.note or one.revision:
            say(one.note or f"this is revision {one.revision} in the cluster {one.cluster}: tiers history")
    raise_for(applied)
