"""Write the test vector of a revision, format 1. A file that is there is never written again: old vectors stay.

Run by hand: `.venv/bin/python tests/toolkit/cluster/vectors/write.py`; the tests read what lies here.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

from toolkit.cluster.applyset import ApplySet
from toolkit.cluster.revision import compressed, document_of
from toolkit.render.rendered import RenderedObject
from toolkit.wire.digest import digest_of

FILE = Path(__file__).parent / "revision-1.json"
OWN = ApplySet("ward", "ward")


def objects() -> list[RenderedObject]:
    """Give two objects, not in apply order."""
    labels = {"tiers.dev/topology": "ward"}
    bodies = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "größe", "namespace": "ward", "labels": labels},
        },
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ward", "labels": labels}},
    ]
    return [OWN.member(RenderedObject("main", f"test.{number}", body)) for number, body in enumerate(bodies)]


if __name__ == "__main__":
    document = document_of("ward", objects())
    vector = {
        "topology": "ward",
        "document": document.decode(),
        "digest": digest_of(document),
        "parts": [base64.b64encode(part).decode() for part in compressed(document)],
    }
    with FILE.open("x") as file:
        file.write(json.dumps(vector, indent=1, ensure_ascii=False) + "\n")
