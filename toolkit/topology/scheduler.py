"""How Volcano's scheduler is set up: who may take whose place, and where its configuration is kept.

Stands under topology; render writes volcano-scheduler.conf from it.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from toolkit.topology.noun import Noun

_OBJECT = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"

Profile = Literal["queued", "priority", "whole-gang"]


def _check_object(text: str) -> str:
    """Take the namespace and the name of an object."""
    if re.fullmatch(_OBJECT, text, re.ASCII) is None:
        reason = f"'{text}' is not NAMESPACE/NAME, such as volcano-system/volcano-scheduler-configmap"
        raise PydanticCustomError("E0316", "{reason}", {"reason": reason})
    return text


@dataclass(frozen=True)
class ObjectName:
    """Namespace and name of an object."""

    namespace: str
    name: str


class Scheduler(Noun):
    """Volcano's scheduler."""

    profile: Profile = "priority"
    """`priority`: an urgent job takes the place of others in its queue, a queue takes back what it deserves; jobs that
    wait have pods. `queued`: the same within a queue's capability, beyond which jobs wait without pods. `whole-gang`:
    Volcano's newer actions that end a gang whole or not at all; beta."""
    config_map: (
        Annotated[str, AfterValidator(_check_object), Field(json_schema_extra={"pattern": _OBJECT})] | None
    ) = None
    """ConfigMap of the scheduler, as NAMESPACE/NAME, which apply then writes; nothing leaves it to Volcano's chart."""

    @property
    def target(self) -> ObjectName | None:
        """The ConfigMap to write; None when somebody else keeps it."""
        if self.config_map is None:
            return None
        namespace, _, name = self.config_map.partition("/")
        return ObjectName(namespace, name)
