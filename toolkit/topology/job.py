"""A job: a gang of workers that starts together or not at all.

Stands under topology; jobs.plan and render make a Volcano Job of it, `tiers job submit --local` runs it here.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from toolkit.topology.names import Image, Name, RelativePath, TierName, VariableName
from toolkit.topology.noun import Noun
from toolkit.topology.schedule import Schedule
from toolkit.topology.secret import Secret, SecretReference
from toolkit.topology.unit import Unit
from toolkit.topology.units import Bytes, Duration

_HIGHEST_EXIT_CODE = 255


@dataclass(frozen=True)
class RetryCause(Unit):
    """What a job is started again after: `evicted`, `failed`, or one exit code as `exit:143`."""

    kind: str
    """evicted, failed or exit."""
    exit_code: int | None = None
    """Exit code of the worker, with kind exit."""

    code: ClassVar[str] = "E0315"
    example: ClassVar[str] = "exit:143"
    pattern: ClassVar[str] = r"^(evicted|failed|exit:[1-9][0-9]{0,2})$"

    @classmethod
    def parse(cls, text: str) -> "RetryCause":
        """Read a cause. Raises ValueError for another word and for an exit code outside 1 to 255."""
        if re.fullmatch(cls.pattern, text, re.ASCII) is None:
            raise ValueError(
                f"'{text}' is not a cause: use evicted, failed or an exit code such as {cls.example}"
            )
        kind, _, number = text.partition(":")
        if number and int(number) > _HIGHEST_EXIT_CODE:
            raise ValueError(f"'{number}' is not an exit code: they end at {_HIGHEST_EXIT_CODE}")
        return cls(kind, int(number) if number else None)

    def __str__(self) -> str:
        """Write the word, with its exit code."""
        return self.kind if self.exit_code is None else f"{self.kind}:{self.exit_code}"


def _split_command(value: object) -> object:
    """Take a command line apart the way a shell does; a list is already apart."""
    if not isinstance(value, str):
        return value
    try:
        words = shlex.split(value)
    except ValueError as exc:
        raise PydanticCustomError(
            "E0319", "{reason}", {"reason": f"the command cannot be split: {exc}"}
        ) from exc
    return tuple(words)


Command = Annotated[
    tuple[str, ...],
    BeforeValidator(_split_command, json_schema_input_type=str | tuple[str, ...]),
    Field(min_length=1),
]
"""A command line, or a list of its words."""


def _kind_of_value(value: object) -> str:
    """Tell a text from a reference to a secret."""
    return "reference" if isinstance(value, dict | SecretReference) else "literal"


EnvironmentValue = Annotated[
    Annotated[str, Tag("literal")] | Annotated[Secret, Tag("reference")], Discriminator(_kind_of_value)
]
"""A text, or a reference to a secret."""


class GangNetwork(Noun):
    """How near to each other the workers of a gang stand, by the racks of their pool."""

    mode: Literal["hard", "soft"] = "hard"
    """`hard`: so near or not at all. `soft`: as near as there is room."""
    highest_tier: Annotated[int, Field(ge=1, le=2)] = 1
    """1 keeps them in one rack, 2 in one pool."""


class Gang(Noun):
    """Workers that start together or not at all."""

    workers: Annotated[int, Field(ge=1)]
    """How many there are."""
    gpus_per_worker: Annotated[int, Field(ge=0)] = 0
    """GPUs of one worker; a worker is one pod, so they are in one machine."""
    cpus_per_worker: Annotated[int, Field(ge=1)] | None = None
    """Processor cores of one worker; default: its part of the machine."""
    memory_per_worker: Bytes | None = None
    """Main memory of one worker; default: its part of the machine."""
    min: Annotated[int, Field(ge=1)] | None = None
    """Fewest workers that may run; default: all of them, which is what makes it a gang."""

    network: GangNetwork | None = None
    """How near to each other they stand; nothing means anywhere in the pool."""

    @property
    def minimum(self) -> int:
        """Fewest workers that may run."""
        return self.workers if self.min is None else self.min


class JobData(Noun):
    """Data that come to the job's tier: all of them before the gang is admitted, or ahead of need while it reads."""

    source: TierName = Field(alias="from")
    """Tier that holds the data."""
    path: RelativePath
    """Path below that tier's storage."""
    bring: Literal["whole", "ahead"] = "whole"
    """`whole`: a flow stages all of it before the gang is admitted. `ahead`: a container beside each worker brings what
    is read next, for data larger than the tier; it takes a core (a quarter where a worker has fewer than four) and at
    most 1GiB of memory out of what the worker asks for."""
    budget: Bytes | None = None
    """With `bring: ahead`: most bytes there that no worker has asked for yet; each worker gets an equal part of it."""
    ahead: Annotated[int, Field(ge=1, le=1000)] | None = None
    """With `bring: ahead`: how many files each worker looks ahead; default: 4."""


class Checkpoints(Noun):
    """Where a job saves its state, so that a new start goes on."""

    target: TierName = Field(alias="to")
    """Tier that keeps the checkpoints."""
    path: RelativePath
    """Path below that tier's storage."""
    every: Duration = Duration.parse("10m")
    """Time between two checkpoints."""


class Retry(Noun):
    """When and how often a job is started again."""

    attempts: Annotated[int, Field(ge=0, le=10_000)] = 100
    """How often; each eviction counts, so a job that may be evicted needs many."""
    after: tuple[RetryCause, ...] = (RetryCause("evicted"),)
    """What it is started again after. A machine that is short of memory ends a worker with `exit:137`."""


class Job(Noun):
    """Work for a gang on one pool."""

    pool: Name
    """Pool whose machines run it."""
    queue: Name | None = None
    """Queue that it waits in; nothing means Volcano's queue `default`."""
    priority: Name | None = None
    """One of `priorities`; nothing means the lowest."""
    gang: Gang
    """Workers that start together."""
    image: Image | None = None
    """Image of the workers; default: images.jobs."""
    run: Command
    """What each worker runs."""
    env: Mapping[VariableName, EnvironmentValue] = {}
    """Environment of the workers: texts, or references to secrets."""
    data: JobData | None = None
    """Data that come to the job's tier: staged before the gang is admitted, or ahead of need while it reads."""
    checkpoints: Checkpoints | None = None
    """Where it saves its state."""
    retry: Retry = Retry()
    """When and how often it is started again."""
    grace: Duration = Duration.parse("2m")
    """Time between the signal to stop and the end, for a last checkpoint."""
    schedule: Schedule | None = None
    """When it runs by itself; nothing means only when somebody submits it."""
    keep: Duration = Duration.parse("7d")
    """How long a finished job stays in the cluster."""
