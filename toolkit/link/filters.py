"""Topic filters: which topics they take, and shared subscriptions. Used by the links.

`$share/GROUP/FILTER` (MQTT 5, section 4.8.2) gives each message to one member of the group; several depots share the
requests of all devices this way. A broker that speaks only MQTT 3.1.1 gets the plain filter instead: then every depot
answers, which costs bytes and breaks nothing, because requests are idempotent.
"""

from __future__ import annotations

from functools import lru_cache

_PREFIX = "$share/"


def share_group(topic_filter: str) -> str:
    """Give the group of a shared subscription, or nothing when it is a plain one."""
    return topic_filter[len(_PREFIX) :].partition("/")[0] if topic_filter.startswith(_PREFIX) else ""


def plain_filter(topic_filter: str) -> str:
    """Give the filter without the group."""
    return (
        topic_filter[len(_PREFIX) :].partition("/")[2] if topic_filter.startswith(_PREFIX) else topic_filter
    )


@lru_cache(maxsize=4096)
def takes(topic_filter: str, topic: str) -> bool:
    """Tell whether a subscription, shared or plain, takes a topic; quick for topics that come again and again."""
    return matches(plain_filter(topic_filter), topic)


def matches(topic_filter: str, topic: str) -> bool:
    """Tell whether a topic falls under a filter: `+` is one level, `#` all that follow (MQTT 3.1.1, section 4.7)."""
    wanted, given = topic_filter.split("/"), topic.split("/")
    if given[0].startswith("$") and wanted[0] in {"+", "#"}:
        return False
    for position, part in enumerate(wanted):
        if part == "#":
            return True
        if position >= len(given) or part not in {"+", given[position]}:
            return False
    return len(wanted) == len(given)
