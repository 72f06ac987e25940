"""Rules of Prometheus that read what nobody writes, or read it in a way that says nothing. One rule a function.

Sources: `monitoring_series`; dcgm-exporter issues 500 (the gauge of the last Xid never goes back) and 655 (Hostname
becomes hostname); prometheus.io/docs/prometheus/latest/querying/functions. Beside this file: `monitoring_rules` for the
form of rules, `monitoring_scrape` for intervals and monitors; `check` runs them.
"""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.errors import Severity
from toolkit.lint.document import Document, mapping
from toolkit.lint.monitoring_document import Part, alerts, recorded, rules
from toolkit.lint.monitoring_series import DCGM_ON, GAUGES, VOLCANO, VOLCANO_DEAD, dcgm_listed
from toolkit.lint.promql import Selector
from toolkit.lint.rule import Finding, rule, rule_around
from toolkit.lint.surroundings import Surroundings

_XID = "DCGM_FI_DEV_XID_ERRORS"
_COUNTS = frozenset({"rate", "irate", "increase"})
_MIG = ("GPU_I_ID", "GPU_I_PROFILE")


@rule_around(
    "L460",
    Severity.ERROR,
    why="dcgm-exporter gives what its list names and nothing else: the rule has no series and never fires",
    cure="add the metric to the list (NAME, gauge or counter, help)",
)
def listed(document: Document, around: Surroundings) -> Iterator[Finding]:
    """A rule reads metrics that dcgm-exporter's list, a ConfigMap of the run, turns on."""
    given = dcgm_listed(around.neighbours)
    for part, metric in _dcgm(document):
        if given and metric not in given:
            yield part.finding(("expr",), f"{metric} is not in the list of the exporter's metrics")


@rule_around(
    "L461",
    Severity.WARNING,
    why="it is off in dcgm-exporter's own list (ECC, *_VIOLATION, RETIRED_*, DCGM_EXP_*): the alert never fires",
    cure="give dcgm-exporter a list of your own (-f, a ConfigMap) and lint it together with the rules",
)
def off_by_default(document: Document, around: Surroundings) -> Iterator[Finding]:
    """A rule reads metrics that dcgm-exporter gives without being told to."""
    if dcgm_listed(around.neighbours):
        return  # L460 speaks of it
    for part, metric in _dcgm(document):
        if metric not in DCGM_ON:
            yield part.finding(("expr",), f"{metric} is off unless a list of metrics turns it on")


@rule(
    "L462",
    Severity.WARNING,
    why="the gauge holds the last Xid and never goes back: after one error the alert fires until the driver reloads",
    cure=f"add: and changes({_XID}[10m]) > 0",
)
def last_xid(document: Document) -> Iterator[Finding]:
    """An alert on Xid errors asks whether the last one has changed."""
    for part in alerts(document):
        read = part.expression
        if any(each.metric == _XID for each in read.selectors) and not {"changes", "resets"} & read.calls:
            yield part.finding(("expr",), f"alert {part.name} compares {_XID} without changes()")


@rule(
    "L463",
    Severity.WARNING,
    why="the next dcgm-exporter calls the label hostname, and every group falls together into one",
    cure="group by instance or node, which relabelling gives",
)
def host_label(document: Document) -> Iterator[Finding]:
    """A rule over GPUs does not group by the label Hostname."""
    for part in rules(document):
        if any(each.metric.startswith("DCGM_") for each in part.expression.selectors):
            said = any(
                "$labels.Hostname" in str(each) for each in mapping(part.body.get("annotations")).values()
            )
            if part.expression.names("Hostname"):
                yield part.finding(("expr",), "goes by the label Hostname")
            elif said:
                yield part.finding(("annotations",), "names the label Hostname")


@rule(
    "L464",
    Severity.WARNING,
    why="a MIG instance has no utilisation: DCGM gives it for whole GPUs only",
    cure="use DCGM_FI_PROF_GR_ENGINE_ACTIVE",
)
def utilisation_of_mig(document: Document) -> Iterator[Finding]:
    """A rule over MIG instances reads what they have."""
    for part in rules(document):
        named = [label for label in _MIG if part.expression.names(label)]
        if named and any(each.metric == "DCGM_FI_DEV_GPU_UTIL" for each in part.expression.selectors):
            yield part.finding(("expr",), f"DCGM_FI_DEV_GPU_UTIL by {named[0]}")


@rule(
    "L468",
    Severity.WARNING,
    why="each fall of a gauge is taken for the restart of a counter, so the result is a number without a meaning",
    cure="use delta() or deriv() of a gauge, or avg_over_time()",
)
def rate_of_a_gauge(document: Document) -> Iterator[Finding]:
    """rate() and increase() are taken of counters."""
    for part in rules(document):
        for each in part.expression.selectors:
            used = sorted(_COUNTS & set(each.calls[-1:]))
            if used and each.metric in GAUGES:
                yield part.finding(("expr",), f"{used[0]}() of {each.metric}, which is a gauge")


@rule_around(
    "L470",
    Severity.ERROR,
    why="no part of Volcano 1.15 gives such a series, so the rule is silent for ever",
    cure="use a name of docs/reference/metrics.md, such as volcano_task_scheduling_latency_milliseconds_count",
)
def names_of_volcano(document: Document, around: Surroundings) -> Iterator[Finding]:
    """A rule reads series that Volcano has."""
    for part in rules(document):
        for metric in sorted({each.metric for each in part.expression.selectors}):
            if not metric.startswith("volcano_") or ":" in metric or metric in VOLCANO:
                continue
            if metric == VOLCANO_DEAD:
                yield part.finding(("expr",), f"{metric} is registered and never counted up")
            elif metric not in recorded(around.neighbours):
                yield part.finding(("expr",), f"there is no {metric}")


@rule(
    "L476",
    Severity.ERROR,
    why="without the label le the buckets are one number, and the quantile is NaN or nothing",
    cure="group by le too: sum by (le, …) (rate(…_bucket[5m]))",
)
def buckets_keep_le(document: Document) -> Iterator[Finding]:
    """A quantile is taken of buckets that still have their bounds."""
    for part in rules(document):
        read = part.expression
        if not any(_bucket(each) for each in read.selectors):
            continue
        for group in read.groupings:
            if "histogram_quantile" not in group.calls:
                continue
            lost = (group.word == "by" and "le" not in group.labels) or (
                group.word == "without" and "le" in group.labels
            )
            if lost:
                labels = ", ".join(group.labels)
                yield part.finding(("expr",), f"histogram_quantile over {group.word} ({labels}) has lost le")


@rule(
    "L477",
    Severity.WARNING,
    why="it is the quantile of all requests since the start, which hardly moves any more",
    cure="take rate(…_bucket[5m]) of the buckets",
)
def recent_buckets(document: Document) -> Iterator[Finding]:
    """A quantile is taken of what happened lately."""
    for part in rules(document):
        for each in part.expression.selectors:
            if _bucket(each) and not each.window:
                yield part.finding(("expr",), f"histogram_quantile of {each.metric} without rate()")


def _bucket(selector: Selector) -> bool:
    """Whether a selector reads buckets for a quantile; a recorded series (with a colon) may have its rate inside."""
    return (
        "histogram_quantile" in selector.calls
        and selector.metric.endswith("_bucket")
        and ":" not in selector.metric
    )


def _dcgm(document: Document) -> Iterator[tuple[Part, str]]:
    for part in rules(document):
        for metric in sorted({each.metric for each in part.expression.selectors}):
            if metric.startswith("DCGM_"):
                yield part, metric


RULES = (
    listed,
    off_by_default,
    last_xid,
    host_label,
    utilisation_of_mig,
    rate_of_a_gauge,
    names_of_volcano,
    buckets_keep_le,
    recent_buckets,
)
"""What reads nothing or nonsense in rules of Prometheus, in order of code."""
