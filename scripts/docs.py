"""Write docs/reference from the code, or with --check say which page is stale (exit 1).

A page is a function from nothing to text; PAGES names them. Run by `make docs` and, with --check, by `make check`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import typer
from objects_page import objects_page
from typer.core import TyperGroup
from typer.main import get_command

from toolkit.cli.app import COMMANDS, build
from toolkit.cluster.doctor.examine import ailments
from toolkit.errors import INTERRUPTED_EXIT_CODE, TiersError
from toolkit.fleet.doctor import AILMENTS
from toolkit.lint.check import RULES
from toolkit.lint.gang_fit import STAYS_PENDING
from toolkit.lint.schema_words import CURES, WHAT, WHY
from toolkit.render.monitoring.pages import alerts_page, metrics_page
from toolkit.topology.problems import CATALOGUE
from toolkit.topology.schema import schema_text

REFERENCE: Final = Path(__file__).resolve().parent.parent / "docs" / "reference"
MADE_BY: Final = "<!-- Made by `make docs` from the code; do not edit. -->\n"
HELP_WIDTH: Final = 100
"""Columns of a help page in the reference; a terminal's own width must not reach a committed file."""


def errors_page() -> str:
    """Draw the tree of TiersError: exit code, whether trying again can help, and the meaning."""
    lines = [
        MADE_BY,
        "# Exit codes and errors\n",
        "An error names what is wrong and where; the line after it is the next command to type. The exit code sits on",
        "the class, so a script can tell a wrong file (3) from a network that is away (5).\n",
        "| exit code | class | try again | meaning |",
        "|---|---|---|---|",
        "| 0 | | | it worked |",
    ]
    for depth, error in _tree(TiersError, 0):
        meaning = (error.__doc__ or "").strip().splitlines()[0]
        name = "&nbsp;" * 4 * depth + f"`{error.__name__}`"
        lines.append(f"| {error.exit_code} | {name} | {'yes' if error.retryable else ''} | {meaning} |")
    lines.append(f"| {INTERRUPTED_EXIT_CODE} | | | interrupted (Ctrl-C) |")
    return "\n".join(lines) + "\n"


def _tree(error: type[TiersError], depth: int) -> Iterator[tuple[int, type[TiersError]]]:
    yield depth, error
    for child in error.__subclasses__():
        if child.__module__ == TiersError.__module__:
            yield from _tree(child, depth + 1)


def commands_page() -> str:
    """Write the help page of every command, in the order of `tiers --help`."""
    root = get_command(build())
    lines = [MADE_BY, "# The command `tiers`\n", *_fenced(_help(root, "tiers"))]
    for command in COMMANDS:
        found = root
        for word in command.words.split():
            assert isinstance(found, TyperGroup)  # noqa: S101  # `build` made it so
            found = found.commands[word]
        lines += [f"## tiers {command.words}\n", *_fenced(_help(found, f"tiers {command.words}"))]
    return "\n".join(lines)


def problems_page() -> str:
    """List every finding of `tiers validate` and `tiers lint`: what it is, why it bites, what cures it."""
    head = ["| code | | why | cure |", "|---|---|---|---|"]
    lines = [
        MADE_BY,
        "# Problems\n",
        "Codes with E are errors and stop a command; codes with W are warnings.\n",
        "## In tiers.yaml (`tiers validate`)\n",
        *head,
        *(_cells(f"`{row.code}`", row.title, row.why, row.cure) for row in CATALOGUE.values()),
        "\n## In objects, ours or anybody's (`tiers lint`)\n",
        f"{min(STAYS_PENDING)} to {max(STAYS_PENDING)}: the cluster takes the job, and it would stay Pending.\n",
        *head,
    ]
    lines += [_cells(f"`{code}` (error)", WHAT[code], WHY, CURES[code]) for code in sorted(WHAT)]
    for rule in sorted(RULES, key=lambda each: each.code):
        what = (rule.check.__doc__ or "").strip().splitlines()[0]
        lines.append(_cells(f"`{rule.code}` ({rule.severity.value})", what, rule.why, rule.cure))
    lines += ["\n## In a cluster (`tiers doctor`)\n", *head]
    for each in ailments():
        lines.append(_cells(f"`{each.code}` ({each.severity.value})", each.what, each.why, each.cure))
    lines += ["\n## At a broker (`tiers doctor --broker`)\n", *head]
    for each in AILMENTS:
        lines.append(_cells(f"`{each.code}` ({each.severity.value})", each.what, each.why, each.cure))
    return "\n".join(lines) + "\n"


def _cells(*cells: str) -> str:
    """Write one row of a table; a bar inside a cell would begin the next one, and < a tag."""
    return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |"


def _help(command: object, name: str) -> str:
    context = typer.Context(command, info_name=name, terminal_width=HELP_WIDTH)  # type: ignore[arg-type]
    return context.get_help()


def _fenced(text: str) -> list[str]:
    return ["```text", *(line.rstrip() for line in text.rstrip().splitlines()), "```\n"]


PAGES: Final[dict[str, Callable[[], str]]] = {
    "errors.md": errors_page,
    "cli.md": commands_page,
    "problems.md": problems_page,
    "objects.md": lambda: MADE_BY + "\n" + objects_page(),
    "alerts.md": lambda: MADE_BY + alerts_page(),
    "metrics.md": lambda: MADE_BY + metrics_page(),
    "tiers.schema.json": schema_text,
}
"""File under docs/reference -> what writes it."""


def main(arguments: list[str]) -> int:
    """Write every page; with --check, compare instead and return 1 when one differs."""
    stale = []
    for name, page in PAGES.items():
        path, text = REFERENCE / name, page()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote docs/reference/{name}")
    if stale and "--check" in arguments:
        print(
            f"stale: {', '.join('docs/reference/' + name for name in stale)}; run: make docs", file=sys.stderr
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
