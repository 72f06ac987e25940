"""Put settings of devices into a registry: check them, sign them, name them, in the order of `push`.

The artifact has kind config, the name SETTINGS_NAME and one small file; a rollout brings it to devices like a version
of a model, with waves and a way back. Next on the way: `tiers rollout start device-settings`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from toolkit.errors import RegistryError
from toolkit.registry.catalogue import ref_name, unchecked_manifest, versions_of
from toolkit.sync.layouts.pack import StoredChunk
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.promise import write_promised
from toolkit.sync.ref import Ref
from toolkit.wire.chunk import store_chunk
from toolkit.wire.device_settings import SETTINGS_FILE, SETTINGS_NAME, DeviceSettings, decode_settings
from toolkit.wire.digest import Digest, digest_of
from toolkit.wire.document import encode_json
from toolkit.wire.index import ChunkRef, Index, encode_index, file_entry
from toolkit.wire.manifest import Lineage, Manifest, encode_manifest
from toolkit.wire.signature import seal


@dataclass(frozen=True)
class PushedSettings:
    """What a push of settings did."""

    name: str
    version: str
    artifact: Digest
    counter: int
    repeated: bool
    """The registry held exactly these settings under this version already."""


def read_settings(file: Path) -> DeviceSettings:
    """Read settings from a file of the operator.

    Raises:
        RegistryError: it cannot be read.
        IntegrityError: a key is unknown, or a value cannot be used.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise RegistryError(f"{file} cannot be read: {error.strerror}") from error
    return decode_settings(data, what=str(file))


def push_settings(
    store: PackStore, settings: DeviceSettings, version: str, key: Ed25519PrivateKey
) -> PushedSettings:
    """Store settings under a version. Repeating it changes nothing.

    Raises:
        RegistryError: the version cannot be used, or other settings have it.
        RemoteUnavailableError: the registry is full or does not answer.
    """
    name, data = ref_name(SETTINGS_NAME, version), encode_json(settings)
    chunk = ChunkRef(digest_of(data), len(data))
    index = Index(entries=(file_entry(SETTINGS_FILE.encode(), [chunk]),))
    digest, index_bytes = encode_index(index)
    existing = unchecked_manifest(store, SETTINGS_NAME, version)
    if existing is not None and existing[1].index != digest:
        raise RegistryError(
            f"{SETTINGS_NAME}@{version} is in the registry already, with other settings",
            hint="a version never changes; push these with a new --version",
        )
    # Also when the version is there already: a pack that was lost is healed by pushing again.
    if store.missing([chunk.digest]):
        store.add([StoredChunk(chunk.digest, chunk.size, store_chunk(data))])
    store.put_whole_index(index)
    if existing is not None:
        return PushedSettings(SETTINGS_NAME, version, existing[0], existing[1].counter, repeated=True)
    manifest = Manifest(
        kind="config",
        name=SETTINGS_NAME,
        version=version,
        counter=_next_counter(store),
        index=digest,
        index_bytes=len(index_bytes),
        total_bytes=index.total_bytes,
        chunks=1,
        lineage=Lineage(made_by="tiers device configure"),
    )
    artifact, payload = encode_manifest(manifest)
    store.put_sealed(artifact, seal(payload, "manifest", key))
    if not write_promised(store, name, Ref(kind="manifest", digest=artifact)):
        raise RegistryError(
            f"somebody else has just pushed {SETTINGS_NAME}@{version}", hint="push again with a new --version"
        )
    return PushedSettings(SETTINGS_NAME, version, artifact, manifest.counter, repeated=False)


def _next_counter(store: PackStore) -> int:
    found = (unchecked_manifest(store, SETTINGS_NAME, each) for each in versions_of(store, SETTINGS_NAME))
    return max((each[1].counter for each in found if each is not None), default=0) + 1
