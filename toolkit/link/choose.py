"""From settings to a link: the client library that the configuration names. Used by the daemon, the depot and the CLI.

paho is always there and speaks to every broker. awscrt takes less than half of the processor for the same bytes, comes
as an extra and speaks MQTT 5 only; so it is named (`broker.client`), never guessed.
"""

from __future__ import annotations

from importlib.util import find_spec

from toolkit.errors import MissingExtraError
from toolkit.link.link import LastWill, Link
from toolkit.link.paho_link import PahoLink
from toolkit.link.settings import LinkSettings


def make_link(settings: LinkSettings, *, will: LastWill | None = None) -> Link:
    """Make the link that `settings.client` names; nothing happens before its `connect`.

    Raises:
        MissingExtraError: it is awscrt, and that is not installed.
    """
    if settings.client == "paho":
        return PahoLink(settings, will=will)
    if find_spec("awscrt") is None:
        raise MissingExtraError("broker.client awscrt", extra="awscrt")
    from toolkit.link.awscrt_link import AwscrtLink  # an extra

    return AwscrtLink(settings, will=will)
