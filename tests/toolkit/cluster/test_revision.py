"""What a revision holds: frozen bytes, bounded reading, and nothing of somebody else."""

from __future__ import annotations

import base64
import gzip
import importlib.util
import json
from pathlib import Path

import pytest

from toolkit.cluster.revision import MOST_BYTES, MOST_PARTS, PART_BYTES, compressed, document_of, unpack
from toolkit.errors import IntegrityError
from toolkit.render.rendered import RenderedObject
from toolkit.wire.digest import digest_of

VECTORS = Path(__file__).parent / "vectors"
FROZEN = json.loads((VECTORS / "revision-1.json").read_text())


def writer():
    spec = importlib.util.spec_from_file_location("revision_vector", VECTORS / "write.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


OWN, OBJECTS = writer().OWN, writer().objects()


def read(document: bytes, digest: str = ""):
    return unpack(OWN, "main", compressed(document), digest or digest_of(document), "revision 1")


def changed(**fields: object) -> bytes:
    document = json.loads(FROZEN["document"])
    return json.dumps({**document, **fields}).encode()


def test_the_document_is_the_frozen_one():
    document = document_of("ward", OBJECTS)
    assert document.decode() == FROZEN["document"]
    assert digest_of(document) == FROZEN["digest"]
    assert base64.b64decode(FROZEN["parts"][0])[:3] == b"\x1f\x8b\x08", "gzip"


def test_the_frozen_bytes_are_read():
    parts = [base64.b64decode(each) for each in FROZEN["parts"]]
    back = unpack(OWN, "main", parts, FROZEN["digest"], "revision 1")
    assert [(each.source, each.body) for each in back] == [
        ("test.1", OBJECTS[1].body), ("test.0", OBJECTS[0].body),
    ]  # fmt: skip


def test_a_digest_that_does_not_fit_is_refused_before_anything_is_read():
    with pytest.raises(IntegrityError, match="digest does not fit"):
        read(b"this is not JSON", "0" * 64)


def test_another_format_is_refused():
    with pytest.raises(IntegrityError, match="format"):
        read(changed(format=2))


def test_another_topology_is_refused():
    with pytest.raises(IntegrityError, match="topology clinic"):
        read(changed(topology="clinic"))


OURS = {"tiers.dev/topology": "ward"}


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (
            {"name": "a", "namespace": "ward", "labels": {"tiers.dev/topology": "clinic"}},
            "not of this topology",
        ),
        ({"name": "a", "namespace": "ward"}, "not of this topology"),
        ({"name": "a", "namespace": "kube-system", "labels": OURS}, "in the namespace kube-system"),
        ({"labels": OURS}, "without apiVersion, kind or name"),
        ("text", "without apiVersion, kind or name"),
    ],
)
def test_an_object_that_we_would_not_have_rendered_is_refused(metadata, said):
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    with pytest.raises(IntegrityError, match=said):
        read(changed(objects=[{"source": "", "body": body}]))


def test_a_bomb_is_not_unpacked():
    bomb = gzip.compress(bytes(MOST_BYTES + 1), compresslevel=9)
    assert len(bomb) < PART_BYTES
    with pytest.raises(IntegrityError, match="larger than 64 MiB"):
        unpack(OWN, "main", [bomb], "0" * 64, "revision 1")


def test_what_follows_the_document_is_refused():
    parts = [*compressed(document_of("ward", OBJECTS)), b"more"]
    with pytest.raises(IntegrityError, match="cut off, or larger"):
        unpack(OWN, "main", parts, FROZEN["digest"], "revision 1")


def test_too_large_a_revision_is_not_written():
    import random

    noise = base64.b85encode(random.Random(7).randbytes((MOST_PARTS + 2) * PART_BYTES))
    for document in (noise, bytes(MOST_BYTES + 1)):
        with pytest.raises(IntegrityError, match=f"it would have {len(document)} bytes") as caught:
            compressed(document)
        assert "git" in caught.value.hint


def test_order_does_not_matter():
    assert document_of("ward", OBJECTS) == document_of("ward", OBJECTS[::-1])
    other = [RenderedObject("main", "test.1", {**OBJECTS[1].body, "data": {}}), OBJECTS[0]]
    assert document_of("ward", OBJECTS) != document_of("ward", other)
