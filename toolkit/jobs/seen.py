"""What a cluster shows of one job, as plain documents: filled by `observe`, read by `waiting` and `reason`.

Everything but the job itself may be missing: what the user may not read is named in `unread`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from toolkit.cluster.request import Json
from toolkit.jobs.room import ask_of
from toolkit.jobs.values import Amounts, mapping, mappings, name_of, number, text


@dataclass(frozen=True)
class Seen:
    """A job and all that decides about it. Documents are as the API gives them."""

    name: str
    namespace: str
    pool: str = ""
    """Its pool in tiers.yaml; empty when tiers.yaml does not have the job."""
    job: Json | None = None
    pod_group: Json | None = None
    pods: tuple[Json, ...] = ()
    """Those of the job."""
    queues: tuple[Json, ...] = ()
    """Every queue: what is guaranteed to others is not there for this one."""
    priority_class: bool = True
    """Whether the job's priority class exists, or it names none."""
    quotas: tuple[Json, ...] = ()
    """ResourceQuotas of its namespace."""
    nodes: tuple[Json, ...] = ()
    others: tuple[Json, ...] = ()
    """Every other pod that has a node or waits."""
    events: tuple[Json, ...] = ()
    """About the job, its PodGroup and its pods; oldest first."""
    last_words: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """Rank → last lines of its log, for ranks that failed."""
    unread: tuple[str, ...] = ()
    """Kinds that this user may not read; what hangs on them is not judged."""

    @property
    def phase(self) -> str:
        """Volcano's phase; empty when its controller has not seen the job."""
        return text(self.job, "status", "state", "phase")

    @property
    def since(self) -> str:
        """When it came into its phase, by the cluster's clock (RFC 3339)."""
        return text(self.job, "status", "state", "lastTransitionTime")

    @property
    def task(self) -> Mapping[str, object]:
        """The only task of a job of ours; the first of a foreign one."""
        tasks = mappings(self.job, "spec", "tasks")
        return tasks[0] if tasks else {}

    @property
    def template(self) -> Mapping[str, object]:
        """The workers' pod template."""
        return mapping(self.task, "template")

    @property
    def workers(self) -> int:
        """How many workers it wants."""
        return sum(number(each, "replicas") for each in mappings(self.job, "spec", "tasks"))

    @property
    def minimum(self) -> int:
        """How many it needs to start."""
        return number(self.job, "spec", "minAvailable") or self.workers

    @property
    def ask(self) -> Amounts:
        """What one worker asks for."""
        return ask_of(self.template)

    @property
    def queue_name(self) -> str:
        """The queue that it waits in."""
        return text(self.job, "spec", "queue") or "default"

    @property
    def queue(self) -> Json | None:
        """That queue's object."""
        return next((each for each in self.queues if name_of(each) == self.queue_name), None)

    @property
    def retries(self) -> int:
        """How often it was started again."""
        return number(self.job, "status", "retryCount")

    @property
    def most_retries(self) -> int:
        """How often it may be; Volcano fails it when it has been as often."""
        return number(self.job, "spec", "maxRetry")

    @property
    def running(self) -> int:
        """Workers that run."""
        return number(self.job, "status", "running")

    @property
    def machines_word(self) -> str:
        """What to call its machines."""
        return f"of pool {self.pool}" if self.pool else "that its selector names"
