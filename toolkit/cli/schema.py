"""`tiers schema`: tiers.yaml as JSON Schema, for editors and other tools."""

from __future__ import annotations


def schema() -> None:
    """Print the JSON Schema of tiers.yaml."""
    from toolkit.topology.schema import schema_text

    print(schema_text(), end="")
