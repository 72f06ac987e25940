"""A rule that sets something for the devices which it matches, whatever pool they are in.

Stands under topology; `effective` lays rules between what a pool sets and what a device sets itself. Rules go from top
to bottom: a later one beats an earlier one, key by key.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from toolkit.topology.names import LabelKey, LabelValue
from toolkit.topology.noun import Noun
from toolkit.topology.settings import Settings

_GLOB = re.compile(r"[a-z0-9*?]([-.a-z0-9*?]{0,251}[a-z0-9*?])?")


def _check_glob(text: str) -> str:
    """Take a device's name in which * stands for any characters and ? for one."""
    if _GLOB.fullmatch(text) is None:
        reason = f"'{text}' is not a name of devices: use a-z, 0-9, -, ., * for any characters and ? for one"
        raise PydanticCustomError("E0316", "{reason}", {"reason": reason})
    return text


NameGlob = Annotated[
    str, AfterValidator(_check_glob), Field(json_schema_extra={"pattern": f"^{_GLOB.pattern}$"})
]


class Match(Noun):
    """Which devices a rule is for; what stands here must all hold."""

    names: tuple[NameGlob, ...] = ()
    """Names, one of which must fit; * stands for any characters, ? for one."""
    labels: Mapping[LabelKey, LabelValue] = {}
    """Labels that a device must carry: those of its pool's nodes and its own."""

    def fits(self, name: str, labels: Mapping[str, str]) -> bool:
        """Tell whether a device with this name and these labels is meant."""
        if any(labels.get(key) != value for key, value in self.labels.items()):
            return False
        return not self.names or _one_of(self.names).fullmatch(name) is not None


class Override(Noun):
    """Settings for the devices that a rule matches; beats pool and tier, and a device's own settings beat it."""

    match: Match
    """Which devices are meant."""
    set: Settings
    """What is set for them."""


@cache
def _one_of(globs: tuple[str, ...]) -> re.Pattern[str]:
    """Compile names into one pattern."""
    words = (re.escape(glob).replace(r"\*", ".*").replace(r"\?", ".") for glob in globs)
    return re.compile("|".join(words), re.ASCII)
