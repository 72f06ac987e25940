"""Shared subscriptions, `$share/GROUP/FILTER` (MQTT 5, section 4.8.2): each message goes to one member of the group.

Several depots share the requests of all devices this way. A broker that speaks only MQTT 3.1.1 gets the plain filter
instead: then every depot answers, which costs bytes and breaks nothing, because requests are idempotent.
"""

from __future__ import annotations

_PREFIX = "$share/"


def share_group(topic_filter: str) -> str:
    """Give the group of a shared subscription, or nothing when it is a plain one."""
    return topic_filter[len(_PREFIX) :].partition("/")[0] if topic_filter.startswith(_PREFIX) else ""


def plain_filter(topic_filter: str) -> str:
    """Give the filter without the group."""
    return (
        topic_filter[len(_PREFIX) :].partition("/")[2] if topic_filter.startswith(_PREFIX) else topic_filter
    )
