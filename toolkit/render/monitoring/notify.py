"""Who is told: Alertmanager's file with a route and a webhook for each of `monitoring.receivers`.

Beside `plain`, which writes it; for the operator it is the content of the Secret that its Alertmanager reads. An alert
goes to every receiver that takes its severity. While a device is offline, its other alerts stay quiet.
https://prometheus.io/docs/alerting/0.25/configuration/
"""

from __future__ import annotations

from typing import Final

from toolkit.render.monitoring.labels import CLUSTER, NODE, POOL, SERVICE, TOPOLOGY, ours
from toolkit.topology.monitoring import Monitoring, Receiver
from toolkit.topology.secret import SecretReference
from toolkit.topology.topology import Topology

NOBODY: Final = "_nobody"
"""Gets what no receiver takes; no name of tiers.yaml can begin like this."""
SECRETS: Final = "/etc/alertmanager/secrets"
"""Where the Prometheus operator mounts the Secrets that spec.secrets of an Alertmanager names."""


def alertmanager_config(topology: Topology, monitoring: Monitoring) -> dict[str, object]:
    """Give the content of alertmanager.yml."""
    receivers = sorted(monitoring.receivers.items())
    return {
        "route": {
            "receiver": NOBODY,
            "group_by": ["alertname", TOPOLOGY, CLUSTER, POOL, SERVICE],
            "group_wait": str(monitoring.notify.wait),
            "group_interval": str(monitoring.notify.interval),
            "repeat_interval": str(monitoring.notify.repeat),
            "routes": [_route(topology, name, receiver) for name, receiver in receivers],
        },
        "inhibit_rules": [
            {
                "source_matchers": ["alertname=TiersNodeOffline", ours(topology.name)],
                "target_matchers": ["alertname!=TiersNodeOffline", ours(topology.name)],
                "equal": [NODE],
            }
        ],
        "receivers": [{"name": NOBODY}, *(_receiver(name, receiver) for name, receiver in receivers)],
    }


def secret_file(reference: SecretReference, folder: str, key: str) -> str:
    """Give the file in which a program finds a secret: its own path, or where a Kubernetes Secret is mounted.

    Args:
        reference: where the secret is kept; loading has refused {env: …}, which neither program reads.
        folder: below which Secrets are mounted.
        key: the key inside the Secret, when the reference names none.
    """
    if reference.file:
        return reference.file
    return f"{folder}/{reference.name}/{reference.key or key}"


def _route(topology: Topology, name: str, receiver: Receiver) -> dict[str, object]:
    severities = "|".join(receiver.severities)
    return {
        "receiver": name,
        "matchers": [ours(topology.name), f'severity=~"{severities}"'],
        "continue": True,
    }


def _receiver(name: str, receiver: Receiver) -> dict[str, object]:
    webhook: dict[str, object] = {"send_resolved": True}
    if receiver.url is not None:
        webhook["url"] = receiver.url
    elif receiver.url_from is not None:
        webhook["url_file"] = secret_file(receiver.url_from, SECRETS, "url")
    if receiver.token is not None:
        webhook["http_config"] = {
            "authorization": {"credentials_file": secret_file(receiver.token, SECRETS, "token")}
        }
    return {"name": name, "webhook_configs": [webhook]}
