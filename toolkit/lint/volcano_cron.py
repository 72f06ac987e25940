"""Volcano CronJobs whose schedule or name is refused. One rule a function; `check` runs them.

Source: volcano-sh/volcano v1.15.1, pkg/webhooks/admission/cronjobs/validate. The expression is judged by
`topology.schedule`, which tests hold against the webhook itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from zoneinfo import available_timezones

from toolkit.errors import Severity
from toolkit.lint.document import Document, text
from toolkit.lint.pod_templates import VOLCANO_BATCH
from toolkit.lint.rule import Finding, rule
from toolkit.topology.schedule import Cron

_REFUSED = "Volcano's webhook refuses the schedule, or it never runs"
LONGEST_CRON_NAME = 52
"""Eleven characters of a job's name are for the minutes since 1970."""


def is_volcano_cron_job(document: Document) -> bool:
    """Whether an object is a CronJob of Volcano, not of Kubernetes."""
    return document.kind == "CronJob" and document.group == VOLCANO_BATCH


@rule(
    "L140",
    Severity.ERROR,
    why=_REFUSED,
    cure='write five fields such as "0 2 * * *", and the zone in timeZone, such as Europe/Berlin',
)
def schedule_is_one(document: Document) -> Iterator[Finding]:
    """The schedule is five fields or a word such as @daily, and its zone is one of the IANA database."""
    if not is_volcano_cron_job(document):
        return
    schedule = text(document.spec.get("schedule"))
    if "TZ" in schedule:
        yield Finding(("spec", "schedule"), "the time zone does not stand in the schedule")
    else:
        try:
            Cron.parse(schedule)
        except ValueError as error:
            yield Finding(("spec", "schedule"), str(error))
    zone, known = document.spec.get("timeZone"), available_timezones()
    if zone is not None and known and text(zone) not in known:
        yield Finding(("spec", "timeZone"), f"{zone!r} is not a time zone")


@rule(
    "L141",
    Severity.ERROR,
    why="Volcano's webhook refuses the object",
    cure=f"choose a name of at most {LONGEST_CRON_NAME} characters",
)
def name_leaves_room(document: Document) -> Iterator[Finding]:
    """Its jobs are called NAME-MINUTES."""
    if is_volcano_cron_job(document) and len(document.name) > LONGEST_CRON_NAME:
        yield Finding(("metadata", "name"), f"has {len(document.name)} characters")


RULES = (schedule_is_one, name_leaves_room)
"""What is wrong with Volcano's CronJobs, in order of code."""
