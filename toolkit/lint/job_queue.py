"""Volcano Jobs whose queue takes no jobs: not there, closed, the root, or one that has queues below it.

Source: volcano-sh/volcano v1.15.1, pkg/webhooks/admission/jobs/validate (validateJobCreate). Which queues there are is
known from the objects of the run and from tiers.yaml (`surroundings`); what is not known is not held against the job.
"""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.errors import Severity
from toolkit.lint.document import Document, text
from toolkit.lint.gang_document import is_gang
from toolkit.lint.rule import Finding, rule_around
from toolkit.lint.surroundings import BUILT_IN_QUEUES, Surroundings
from toolkit.lint.volcano_admission import REFUSED

PATH = ("spec", "queue")


def queue_of(document: Document) -> str:
    """Name the queue of a job; without one it is `default`."""
    return text(document.spec.get("queue")) or "default"


@rule_around(
    "L132",
    Severity.ERROR,
    why=REFUSED,
    cure="name an open queue that has no queues below it; tiers.yaml lists yours under queues:",
)
def queue_takes_jobs(document: Document, around: Surroundings) -> Iterator[Finding]:
    """A job stands in a queue that is there, is open, is not the root and has no queues below it."""
    if not is_gang(document):
        return
    name = queue_of(document)
    queue = around.queues.get(name)
    if name == "root":
        yield Finding(PATH, "the queue root takes no jobs, only the queues below it do")
        return
    if queue is None and name not in BUILT_IN_QUEUES and around.all_queues:
        known = ", ".join(sorted({*around.queues, "default"} - {"root"}))
        yield Finding(PATH, f"there is no queue {name!r} (there are {known})")
    if queue is not None and queue.state not in {"", "Open"}:
        yield Finding(PATH, f"queue {name!r} is {queue.state}, not Open")
    children = around.children(name)
    if children:
        yield Finding(PATH, f"queue {name!r} has queues below it ({', '.join(children)})")


RULES = (queue_takes_jobs,)
"""What is wrong with the queue of a job."""
