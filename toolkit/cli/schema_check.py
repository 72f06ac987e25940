"""Rendered objects against the schemas of their clusters, before anything is written. `tiers render --check` asks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.cli.present import describe, say
from toolkit.errors import RenderError

if TYPE_CHECKING:
    from toolkit.render.rendered import RenderedObject


def refuse_wrong(objects: Sequence[RenderedObject], beside: Path) -> None:
    """Say what does not fit and end the command; kinds without a schema are named and pass.

    Args:
        objects: what was rendered.
        beside: the folder of tiers.yaml, where pulled CRDs lie.

    Raises:
        RenderError: a field of an object does not fit the schema of its kind.
    """
    from toolkit.lint.document import from_objects
    from toolkit.lint.schema import schemas_from, validate
    from toolkit.lint.schema_files import cached_folders

    wrong = 0
    unchecked: set[str] = set()
    for cluster in sorted({each.cluster for each in objects}):
        documents = from_objects(each.body for each in objects if each.cluster == cluster)
        told = validate(documents, schemas_from(cached_folders(beside, cluster)))
        unchecked.update(told.unchecked)
        wrong += len(told.problems)
        for problem in told.problems:
            say(describe(problem))
    if unchecked:
        say(
            f"no schema of {', '.join(sorted(unchecked))}: their fields are not checked; next: tiers schema pull"
        )
    if wrong:
        noun = "field" if wrong == 1 else "fields"
        raise RenderError(f"{wrong} {noun} would be refused, nothing was written", hint="tiers lint")
