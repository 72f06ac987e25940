"""Vouch for a plan that this machine has built, so that machines like it need not build it: `tiers-edge vouch`.

    the version that serves -> engine.build (its plan) -> the golden check on that plan -> FOLDER

`tiers-edge send FOLDER --as plans` brings the folder out; `tiers model countersign` looks at it; `plan_fetch` of
another device takes it. The key is one whose public half has the role `builder` in the keyring of whoever countersigns.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from blake3 import blake3
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from edge_runtime.engine.build import BuildSettings, Tools, ensure_plan
from edge_runtime.engine.plan import PlanKey, Plans
from edge_runtime.folders import Folders
from edge_runtime.golden import Finding
from edge_runtime.shelf import Shelf
from edge_runtime.store import Store
from edge_runtime.trial import Trial, watch
from toolkit.errors import GateRefusedError, SignatureError, StoreError, UsageError
from toolkit.sync.whole import write_whole
from toolkit.wire.device_config import DeviceConfig, ModelConfig
from toolkit.wire.digest import Digest
from toolkit.wire.document import encode_json
from toolkit.wire.manifest import Manifest
from toolkit.wire.plan import PLAN_FILE, BuiltPlan, GoldenResult, PlanFor, PlanMachine
from toolkit.wire.signature import seal

STATEMENT_FILE: Final = "built.json"
_MOST_KEY_BYTES: Final = 16 * 1024
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class Subject:
    """A version that this device has, and the plan that was made of it here."""

    artifact: str
    manifest: Manifest
    plan: Path
    key: PlanKey
    """All that the plan depends on."""


def subject_of(config: DeviceConfig, name: str, tools: Tools, *, seconds: float) -> Subject:
    """Give the version of a model that serves on this device, with its plan, which is built where there is none.

    Raises:
        UsageError: nothing of this model is installed here, or another device has built its plan.
        EngineError: the plan cannot be built.
        StoreError: the state folder cannot be read.
    """
    folders = Folders(Path(config.state))
    held, manifest = None, None
    if folders.database.exists():
        store = Store(folders.database)
        try:
            held = store.installations().get(name)
            if held is not None and held.good:
                manifest = Shelf(store, folders).manifest(held.good[0].artifact)
        finally:
            store.close()
    if held is None or manifest is None:
        raise UsageError(f"nothing of {name!r} is installed on this device", hint="tiers-edge status")
    artifact = held.good[0].artifact
    file = folders.version(artifact) / manifest.model_file
    most = next((each.max_batch for each in config.models if each.name == name), 1)
    built = ensure_plan(tools, file, BuildSettings(max_batch=most), Plans(folders.plans), seconds=seconds)
    if built.header.origin:
        raise UsageError(
            f"the plan of {name!r} was not built on this device but fetched, as artifact {built.header.origin[:12]}",
            hint="the device that built it has vouched for it already",
        )
    return Subject(artifact, manifest, built.file, built.header.key)


def vouch_for(config: DeviceConfig, subject: Subject, key_file: Path, folder: Path) -> BuiltPlan:
    """Run the golden check on the plan, in a child process, and write down that it passed.

    Raises:
        GateRefusedError: it did not pass, or there is nothing to check it with.
        SignatureError: the key cannot be used.
        StoreError: the folder cannot be written.
    """
    key = read_builder_key(key_file)
    models = {each.name: each for each in config.models}
    model = models.get(subject.manifest.name, ModelConfig(name=subject.manifest.name))
    tensorrt = msgspec.structs.replace(model, engine="tensorrt")
    version = Path(config.state) / "versions" / subject.artifact
    trial = Trial(model.name, version, subject.manifest, tensorrt, subject.plan.parent)
    child = subprocess.Popen(
        trial.command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    return vouch(subject, watch(child, trial.seconds), builder=config.device, key=key, folder=folder)


def vouch(
    subject: Subject, finding: Finding, *, builder: str, key: Ed25519PrivateKey, folder: Path
) -> BuiltPlan:
    """Write the plan and the builder's sealed word for it into a folder; the word comes last.

    Raises:
        GateRefusedError: the plan did not pass its golden check, or was not checked.
        StoreError: the folder cannot be written.
    """
    label = f"{subject.manifest.name} {subject.manifest.version}"
    if finding.code or not finding.examples:
        why = f"{finding.code}: {finding.reason}" if finding.code else "it has no golden examples"
        raise GateRefusedError(
            f"the plan of {label} is not vouched for: {why}", hint="devices go on building their own"
        )
    machine = msgspec.to_builtins(subject.key)
    model = machine.pop("model")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside = folder / f".{PLAN_FILE}.new"
        shutil.copyfile(subject.plan, beside)
        copied = beside.replace(folder / PLAN_FILE)
        built = BuiltPlan(
            builder=builder,
            name=subject.manifest.name,
            version=subject.manifest.version,
            made_for=PlanFor(artifact=Digest(subject.artifact), model=model, machine=PlanMachine(**machine)),
            plan=Digest(blake3().update_mmap(copied).hexdigest()),
            plan_bytes=copied.stat().st_size,
            golden=GoldenResult(
                examples=finding.examples,
                worst_difference=finding.worst_difference,
                accuracy=finding.accuracy,
                p95_seconds=finding.p95_seconds,
            ),
        )
        write_whole(folder / STATEMENT_FILE, seal(encode_json(built), "plan", key))
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error}", hint="free some disk space") from error
    return built


def read_builder_key(file: Path) -> Ed25519PrivateKey:
    """Read the builder's private key.

    Raises:
        SignatureError: it cannot be read, others may read it too, or it is no Ed25519 key.
    """
    try:
        with file.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            pem = stream.read(_MOST_KEY_BYTES)
    except OSError as error:
        raise SignatureError(f"key {file} cannot be read: {error.strerror}") from error
    if mode & _OTHERS:
        raise SignatureError(f"key {file} can be read by others", hint=f"chmod 600 {file}")
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SignatureError(f"{file} is not a private key without a password: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SignatureError(f"{file} is no Ed25519 key", hint="tiers model keygen makes such keys")
    return key
