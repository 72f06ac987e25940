"""What was applied to a cluster, for a backup: the ConfigMaps of its revisions, as `kubectl create -f` takes them.

`cluster.history` wrote them. A cluster that was lost gets its objects from tiers.yaml; its history comes back by
creating these again, so that `tiers rollback` can go to a revision of before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from toolkit.backup.part import Item, known
from toolkit.cluster.applyset import PART, REVISION, ApplySet
from toolkit.cluster.kinds import Kinds
from toolkit.cluster.live import key_of, list_all
from toolkit.cluster.request import Connection, Json
from toolkit.render.metadata import NOUN_LABEL, TOPOLOGY_LABEL

REVISIONS = "revisions"
_KEPT = ("name", "namespace", "labels", "annotations")


def revision_items(connection: Connection, applyset: ApplySet) -> list[Item]:
    """Give a file for each ConfigMap of a history.

    Raises:
        ClusterError: ConfigMaps may not be listed.
        UnreachableError: the server does not answer.
    """
    kinds = Kinds(connection)
    found: list[Item] = []
    for noun in (REVISION, PART):
        selector = f"{TOPOLOGY_LABEL}={applyset.topology},{NOUN_LABEL}={noun}"
        for body in list_all(kinds, kinds.resource("v1", "ConfigMap"), selector, applyset.namespace):
            data = json.dumps(_plain(body), sort_keys=True, separators=(",", ":")).encode()
            name = key_of(body)[-1]
            found.append(known(f"{connection.cluster}/{name}.json", data))
    return found


def _plain(body: Json) -> dict[str, object]:
    """Leave out what the server adds, so that another server takes it."""
    metadata = body.get("metadata")
    held = metadata if isinstance(metadata, Mapping) else {}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {key: held[key] for key in _KEPT if key in held},
        "binaryData": body.get("binaryData", {}),
        "immutable": body.get("immutable", False),
    }
