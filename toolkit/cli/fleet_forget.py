"""`tiers fleet forget MODEL`: devices shall no longer give answers that they have kept."""

from __future__ import annotations

import secrets
from typing import Annotated

import typer

from toolkit.cli.broker import BrokerOption, link_settings
from toolkit.cli.present import JsonOption, Output, OutputOption, Table, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of

LabelOption = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="ID", help="cache_id of the answers that are meant.", show_default=False),
]
PatternOption = Annotated[
    str, typer.Option("--pattern", help="Of such ids; * stands for any characters.", show_default=False)
]


def forget(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model of tiers.yaml.")],
    label: LabelOption = None,
    pattern: PatternOption = "",
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    broker: BrokerOption = "",
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Let devices forget answers of a model: those of some ids, of a pattern, or all of them."""
    from toolkit.errors import UsageError
    from toolkit.fleet.forget import forget_answers
    from toolkit.link.paho_link import PahoLink
    from toolkit.topology.load import load
    from toolkit.wire.topics import Topics

    topology = load(files, variables_of(assignments)).topology
    if model not in topology.models:
        raise UsageError(
            f"{model!r} is no model of tiers.yaml: {', '.join(topology.models) or 'there is none'}"
        )
    name = f"cli-{secrets.token_hex(6)}"
    settings = link_settings(topology, broker, name)
    link = PahoLink(settings)
    try:
        topics, where = Topics(topology.name), f"the broker at {settings.address}"
        ids = label or ()
        said = forget_answers(link, topics, model, name=name, labels=ids, pattern=pattern, address=where)
    finally:
        link.close()
    what = [*said.labels, *([said.pattern] if said.pattern else [])]
    show(
        said,
        Table(("model", "forgets"), [(said.model, ", ".join(what) or "everything")]),
        output,
        as_json=as_json,
    )
