"""Gates: what a manifest holds against what tiers.yaml asks, each shut one with its figure and a cure."""

from __future__ import annotations

import pytest

from tests.toolkit.registry.making import Site
from toolkit.errors import RegistryError
from toolkit.promotion.gates import Check, check_gates
from toolkit.registry.keys import make_key, make_keyring
from toolkit.registry.push import GOLDEN_FILE
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.ref import Ref
from toolkit.wire.index import Index
from toolkit.wire.keyring import Keyring
from toolkit.wire.manifest import Lineage, Range, Requires, decode_manifest, encode_manifest
from toolkit.wire.signature import seal, unseal


@pytest.fixture
def hospital_with_boxes(topology):
    """Digits on an Orin NX, a rack server without a GPU and an old Nano."""
    pools = {
        "boxes": {"hardware": "jetson-orin-nx", "nodes": {"names": ["box-1"]}},
        "racks": {"hardware": "cpu-node", "memory": "8GiB", "nodes": {"names": ["rack-1"]}},
        "nanos": {"hardware": "jetson-nano", "nodes": {"names": ["nano-1"]}},
    }

    def made(*names: str, **model: object):
        digits = {"source": "digits@1", "pools": list(names), "precision": "fp16", **model}
        return topology({"tiers": {"edge": {"pools": pools}}, "models": {"digits": digits}})

    return made


def shut(topology, site: Site, keyring: Keyring | None = None) -> dict[str, Check]:
    checked = check_gates(topology, site.store, keyring or site.keyring, "digits", "1")
    assert all(check.found for check in checked.checks)
    assert all(check.cure for check in checked.checks if not check.passed)
    return {check.gate: check for check in checked.checks if not check.passed}


def rewrite(site: Site, **changes: object) -> None:
    """Put another manifest under digits@1, signed by the registry's own key: what no push of ours would write."""
    store: PackStore = site.store
    held = store.read_ref("models/digits/1")
    _, manifest = decode_manifest(unseal(store.get_sealed(held.digest), "manifest", site.keyring, what="it"))
    fields = {name: getattr(manifest, name) for name in manifest.__struct_fields__ if name != "format"}
    digest, data = encode_manifest(type(manifest)(**{**fields, **changes}))
    store.put_sealed(digest, seal(data, "manifest", site.key))
    store.delete_ref("models/digits/1")
    store.write_ref("models/digits/1", Ref(kind="manifest", digest=digest))


def test_all_open(site: Site, hospital_with_boxes) -> None:
    site.push(width=100, min_accuracy=0.9)
    assert shut(hospital_with_boxes("boxes", accuracy={"metric": "accuracy", "at_least": 0.9}), site) == {}


@pytest.mark.parametrize(
    ("metrics", "min_accuracy", "found"),
    [
        ({"accuracy": 0.89}, 0.95, "accuracy 0.89, at least 0.9 is asked for"),
        ({"dice": 0.99}, 0.0, "the manifest has no accuracy, at least 0.9 is asked for"),
        ({"dice": 0.99}, 0.5, "the manifest has no accuracy, at least 0.9 is asked for"),
        ({"accuracy": 0.9}, 0.0, ""),
        ({}, 0.9, ""),
    ],
)
def test_accuracy_is_a_figure_of_the_manifest_or_what_devices_check(
    site: Site, hospital_with_boxes, metrics, min_accuracy, found
) -> None:
    site.push(width=100, min_accuracy=min_accuracy, lineage=Lineage(metrics=metrics))
    gates = shut(hospital_with_boxes("boxes", accuracy={"metric": "accuracy", "at_least": 0.9}), site)
    assert [check.found for check in gates.values()] == ([found] if found else [])


def test_a_signature_of_somebody_else_is_a_shut_gate(site: Site, hospital_with_boxes) -> None:
    site.push(width=100)
    stranger = make_keyring({"registry": [make_key(site.folder / "keys" / "stranger.pem")]})
    gates = shut(hospital_with_boxes("boxes"), site, stranger)
    assert list(gates) == ["signature"]
    assert "is not trusted as registry here" in gates["signature"].found


def test_golden_inputs_must_be_named_and_there(site: Site, hospital_with_boxes) -> None:
    site.push(width=100)
    hospital = hospital_with_boxes("boxes")
    empty = site.store.put_index(Index(entries=()))
    rewrite(site, index=empty)
    assert shut(hospital, site)["golden inputs"].found == f"{GOLDEN_FILE}, not in the artifact"
    rewrite(site, golden=None)
    assert shut(hospital, site)["golden inputs"].found == "the manifest names none"


@pytest.mark.parametrize(
    ("requires", "expected"),
    [
        ({"architectures": ("aarch64",)}, {"racks": "it is x86_64, and the version is for aarch64"}),
        ({"memory_bytes": 12 << 30}, {"racks": "it has 8GiB, and the version needs 12.0 GiB",
                                      "nanos": "it has 4GiB, and the version needs 12.0 GiB"}),
        ({"compute_capabilities": ("8.7",)}, {"racks": "it has no GPU that is known, and the version is for 8.7",
                                              "nanos": "it has 5.3, and the version is for 8.7"}),
        ({"tensorrt": Range(at_least="10")}, {"racks": "it runs onnxruntime, and the version needs TensorRT",
                                              "nanos": "it runs onnxruntime, and the version needs TensorRT"}),
        ({"l4t": Range(at_least="36.4")}, {"racks": "it is no Jetson, and the version needs L4T at least 36.4",
                                           "nanos": "JetPack 4 is L4T 32, and the version needs at least 36.4"}),
        ({"l4t": Range(below="36")}, {"racks": "it is no Jetson, and the version needs L4T below 36",
                                      "boxes": "JetPack 6 is L4T 36, and the version needs below 36"}),
        ({"l4t": Range(at_least="36.9", below="37")}, {
            "racks": "it is no Jetson, and the version needs L4T at least 36.9 and below 37",
            "nanos": "JetPack 4 is L4T 32, and the version needs at least 36.9 and below 37"}),
    ],
)  # fmt: skip
def test_what_a_version_requires_must_fit_every_pool(
    site: Site, hospital_with_boxes, requires, expected
) -> None:
    site.push(width=100, requires=Requires(**requires))
    gates = shut(hospital_with_boxes("boxes", "racks", "nanos"), site)
    assert {gate.removeprefix("pool "): check.found for gate, check in gates.items()} == expected


def test_a_version_that_is_not_there_is_no_gate(site: Site, hospital_with_boxes) -> None:
    with pytest.raises(RegistryError, match="has no model digits"):
        check_gates(hospital_with_boxes("boxes"), site.store, site.keyring, "digits", "1")
