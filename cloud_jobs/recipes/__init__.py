"""The recipes by name. A recipe is a function that returns a Config: full runs in a few lines, no flags.

Flow: `python -m cloud_jobs.train --recipe NAME` -> `recipe_named` -> Config -> trainer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches

from cloud_jobs.recipes.config import Config
from cloud_jobs.recipes.digits import digits, digits_head
from cloud_jobs.recipes.seg3d import seg3d
from toolkit.errors import UsageError

RECIPES: dict[str, Callable[[], Config]] = {
    "digits": digits,
    "digits_head": digits_head,
    "seg3d": seg3d,
}


def recipe_named(name: str, *, epochs: int = 0) -> Config:
    """Return the Config of a recipe; `epochs` above 0 replaces its own, to try it out.

    Raises:
        UsageError: no recipe has that name.

    """
    if name not in RECIPES:
        near = get_close_matches(name, RECIPES, n=1)
        raise UsageError(
            f"there is no recipe {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
            hint="recipes: " + ", ".join(sorted(RECIPES)),
        )
    config = RECIPES[name]()
    return replace(config, epochs=epochs) if epochs > 0 else config
