"""A flow: jobs of tiers.yaml that run one after the other, such as train, quantize, evaluate, promote.

Stands under topology; render makes JobTemplates and a Volcano JobFlow of it, `tiers job submit NAME` runs it.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import Field

from toolkit.topology.job import Job
from toolkit.topology.names import Name
from toolkit.topology.noun import Noun

STAGE, UNPIN = "stage", "unpin"
"""Parts that a job with `data` gets in a flow: before it, its data comes to its tier; after it, they may go again."""


class Step(Noun):
    """One job of a flow."""

    after: tuple[Name, ...] = ()
    """Steps of the same flow that have to complete before this one starts."""


class Flow(Noun):
    """Jobs that run one after the other. Data that a job wants whole is staged first, without holding a GPU."""

    steps: Annotated[Mapping[Name, Step], Field(min_length=1)]
    """Which jobs, by their names in `jobs`."""


def part_of(job: str, part: str) -> str:
    """Name a part of a job: `seg3d-stage`."""
    return f"{job}-{part}"


def parts(name: str, job: Job, *, staged: bool) -> Iterator[tuple[str, str, int]]:
    """Give what a step becomes: name of the template, name of its task, number of pods.

    Args:
        name: the job's name, which is the step's.
        job: the job.
        staged: whether its data has to come from another tier first.
    """
    yield name, "worker", job.gang.workers
    if staged:
        yield part_of(name, STAGE), STAGE, 1
        yield part_of(name, UNPIN), UNPIN, 1
