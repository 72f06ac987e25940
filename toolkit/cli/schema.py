"""`tiers schema`: tiers.yaml as JSON Schema, for editors and other tools. Below it stands `tiers schema pull`."""

from __future__ import annotations

import typer


def schema(context: typer.Context) -> None:
    """Print the JSON Schema of tiers.yaml, or pull the kinds of a cluster."""
    from toolkit.topology.schema import schema_text

    if context.invoked_subcommand is None:
        print(schema_text(), end="")
