"""The list of commands, and the typer app made from it.

A command is one line in COMMANDS; the line names the function, its file is imported only when that command (or a
help page that shows it) is asked for. So `tiers --help` reads many small files that import nothing but typer, and
`tiers validate` reads one. Called by `toolkit.cli.main`; the reference page docs/reference/cli.md is made from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Annotated, Final, NamedTuple, Protocol, cast

import typer
from typer.core import TyperCommand, TyperGroup


class Command(NamedTuple):
    """One command: the heading it stands under, the words to type, and `module:function` inside toolkit.cli."""

    heading: str
    words: str
    target: str


HEADINGS: Final = ("Describe", "Apply", "Models", "Jobs", "Data", "Fleet", "More")
"""The help page, top to bottom."""

# One line per command, under its heading, e.g. Command("Data", "sync run", "sync_run:run").
COMMANDS: Final[tuple[Command, ...]] = (
    Command("Describe", "init", "init:init"),
    Command("Describe", "validate", "validate:validate"),
    Command("Describe", "explain", "explain:explain"),
    Command("Describe", "schema", "schema:schema"),
    Command("Describe", "schema pull", "schema_pull:pull"),
    Command("Describe", "render", "render:render"),
    Command("Describe", "lint", "lint:lint"),
    Command("Describe", "graph", "graph:graph"),
    Command("Describe", "images list", "images_list:list_"),
    Command("Describe", "images lock", "images_lock:lock"),
    Command("Apply", "diff", "diff:diff"),
    Command("Apply", "plan", "plan:plan"),
    Command("Apply", "apply", "apply:apply"),
    Command("Apply", "delete", "delete:delete"),
    Command("Apply", "status", "status:status"),
    Command("Apply", "history", "history:history"),
    Command("Apply", "rollback", "rollback:rollback"),
    Command("Apply", "doctor", "doctor:doctor"),
    Command("Models", "model keygen", "model_keygen:keygen"),
    Command("Models", "keyring show", "keyring_show:show"),
    Command("Models", "keyring add", "keyring_add:add"),
    Command("Models", "keyring retire", "keyring_retire:retire"),
    Command("Models", "model push", "model_push:push"),
    Command("Models", "model list", "model_list:list_"),
    Command("Models", "model show", "model_show:show_"),
    Command("Models", "model countersign", "model_countersign:countersign"),
    Command("Models", "model withdraw-plan", "model_withdraw_plan:withdraw_plan"),
    Command("Models", "model export", "model_export:export"),
    Command("Models", "depot", "depot:depot"),
    Command("Models", "model promote", "model_promote:promote"),
    Command("Models", "rollout start", "rollout_start:start"),
    Command("Models", "rollout run", "rollout_run:run"),
    Command("Models", "rollout status", "rollout_status:status"),
    Command("Models", "rollout approve", "rollout_approve:approve"),
    Command("Models", "rollout pause", "rollout_pause:pause"),
    Command("Models", "rollout resume", "rollout_resume:resume"),
    Command("Models", "rollout abort", "rollout_abort:abort"),
    Command("Models", "rollout rollback", "rollout_rollback:rollback"),
    Command("Jobs", "job plan", "job_plan:plan"),
    Command("Jobs", "job submit", "job_submit:submit"),
    Command("Jobs", "job list", "job_list:list_"),
    Command("Jobs", "job status", "job_status:status"),
    Command("Jobs", "job logs", "job_logs:logs"),
    Command("Jobs", "job scale", "job_scale:scale"),
    Command("Jobs", "job suspend", "job_suspend:suspend"),
    Command("Jobs", "job resume", "job_resume:resume"),
    Command("Jobs", "job cancel", "job_cancel:cancel"),
    Command("Data", "sync plan", "sync_plan:plan"),
    Command("Data", "sync run", "sync_run:run"),
    Command("Data", "sync watch", "sync_watch:watch"),
    Command("Data", "sync recall", "sync_recall:recall"),
    Command("Data", "sync prefetch", "sync_prefetch:prefetch"),
    Command("Data", "sync status", "sync_status:status"),
    Command("Data", "sync verify", "sync_verify:verify"),
    Command("Data", "sync gc", "sync_gc:gc"),
    Command("Data", "sync lifecycle", "sync_lifecycle:lifecycle"),
    Command("Data", "sync where", "sync_where:where"),
    Command("Data", "sync hold", "sync_hold:hold"),
    Command("Data", "sync tag", "sync_tag:tag"),
    Command("Data", "sync keygen", "sync_keygen:keygen"),
    Command("Data", "trash list", "trash_list:list_"),
    Command("Data", "trash restore", "trash_restore:restore"),
    Command("Data", "trash empty", "trash_empty:empty"),
    Command("Data", "backup", "backup:backup"),
    Command("Data", "restore", "restore:restore"),
    Command("Data", "inbox run", "inbox_run:run"),
    Command("Data", "inbox list", "inbox_list:list_"),
    Command("Data", "inbox get", "inbox_get:get"),
    Command("Data", "records run", "records_run:run"),
    Command("Data", "records list", "records_list:list_"),
    Command("Fleet", "device authority", "device_authority:authority"),
    Command("Fleet", "device request", "device_request:request"),
    Command("Fleet", "device enroll", "device_enroll:enroll"),
    Command("Fleet", "device revoke", "device_revoke:revoke"),
    Command("Fleet", "device list", "device_list:list_"),
    Command("Fleet", "device configure", "device_configure:configure"),
    Command("Fleet", "fleet status", "fleet_status:status"),
    Command("Fleet", "fleet forget", "fleet_forget:forget"),
    Command("Fleet", "fleet simulate", "fleet_simulate:simulate"),
    Command("More", "demo", "demo:demo"),
    Command("More", "version", "version:version"),
)  # fmt: skip

GROUPS: Final[dict[str, str]] = {
    "model": "Models in the registry: push, list, compare, promote.",
    "rollout": "Move a model to devices in waves, and back.",
    "job": "Gangs on the hot tier, or on this machine.",
    "images": "Which images rendering names, and their digests.",
    "schema": "Print the JSON Schema of tiers.yaml, or pull the kinds of a cluster.",
    "sync": "Move changed data between tiers.",
    "trash": "What rules have taken away, for as long as it can be taken back.",
    "inbox": "What devices bring over the broker.",
    "records": "What devices have put down: results, events, telemetry.",
    "keyring": "Whose seals devices and depots obey.",
    "device": "Which devices may talk to us.",
    "fleet": "What the devices report.",
}
"""Help line of each word that has commands under it."""


class _Formatter(Protocol):
    """What the help page asks of click's formatter."""

    width: int

    def section(self, name: str) -> AbstractContextManager[None]: ...

    def write_dl(self, rows: Sequence[tuple[str, str]]) -> None: ...


class HeadedGroup(TyperGroup):
    """A group whose help lists its commands under headings, in the order of HEADINGS."""

    def format_commands(self, ctx: object, formatter: _Formatter) -> None:  # noqa: ARG002  # typer's signature
        """Write one section per heading; plain text, so that rich is not imported for a help page."""
        sections: dict[str, list[tuple[str, str]]] = {heading: [] for heading in HEADINGS}
        widest = max((len(name) for name in self.commands), default=0)
        for name, command in self.commands.items():
            heading = command.rich_help_panel if isinstance(command, TyperCommand | TyperGroup) else None
            line = (name.ljust(widest), command.get_short_help_str(formatter.width - widest - 6))
            sections[heading or HEADINGS[-1]].append(line)
        for heading, rows in sections.items():
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)


def build(arguments: Sequence[str] = ()) -> typer.Typer:
    """Return the app with the commands that these arguments can mean; without arguments, with all of them."""
    app = typer.Typer(
        name="tiers",
        cls=HeadedGroup,
        help="One tiers.yaml for edge, hot, warm and cold: objects, models, jobs and data follow it.",
        no_args_is_help=True,
        rich_markup_mode=None,  # rich would double the time of a help page
        context_settings={"max_content_width": 100},
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    groups: dict[str, typer.Typer] = {}
    for command in _wanted(COMMANDS, arguments):
        first, _, rest = command.words.partition(" ")
        if not rest and first in GROUPS:  # a command that has others below it: `schema` and `schema pull`
            groups[first] = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
            groups[first].callback()(load(command))
            app.add_typer(groups[first], name=first, rich_help_panel=command.heading)
            continue
        if rest and first not in groups:
            groups[first] = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
            app.add_typer(groups[first], name=first, help=GROUPS[first], rich_help_panel=command.heading)
        parent = groups[first] if rest else app
        parent.command(rest or first, rich_help_panel=None if rest else command.heading)(load(command))
    return app


def load(command: Command) -> Callable[..., object]:
    """Import the file of a command and return its function."""
    module, _, function = command.target.partition(":")
    return cast("Callable[..., object]", getattr(import_module(f"toolkit.cli.{module}"), function))


def _wanted(commands: Iterable[Command], arguments: Sequence[str]) -> list[Command]:
    """Keep the commands under the first word that was typed; all of them when it is an option or unknown."""
    chosen = [each for each in commands if arguments and each.words.split()[0] == arguments[0]]
    return chosen or list(commands)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"tiers {version('tiers')}")
        raise typer.Exit


def _root(
    *,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say on stderr what happens.")] = False,
    version: Annotated[  # noqa: ARG001  # its callback does the work
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    import logging

    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
