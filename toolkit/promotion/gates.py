"""The gates before a rollout: does a version's manifest hold what tiers.yaml asks for. Pure but for the registry.

Before `promote`, which starts nothing while one of these is shut. What devices find out themselves (golden inputs,
latency, memory) is asked there, and by `protocol.waves` on the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from toolkit.errors import IntegrityError, SignatureError
from toolkit.registry.catalogue import Artifact, open_model
from toolkit.sync.layouts.packs import PackStore
from toolkit.topology.model import Accuracy, Model
from toolkit.topology.topology import PlacedPool, Topology
from toolkit.wire.keyring import Keyring
from toolkit.wire.manifest import Manifest, Range

_MACHINES = {"arm64": "aarch64", "amd64": "x86_64"}
"""Kubernetes' words -> uname's."""
_L4T = {4: "32", 5: "35", 6: "36", 7: "38"}
"""Major version of JetPack -> of Linux for Tegra; https://developer.nvidia.com/embedded/jetpack-archive."""


@dataclass(frozen=True)
class Check:
    """One gate."""

    gate: str
    passed: bool
    found: str
    """What was found, for people."""
    cure: str = ""
    """What to do when it is shut."""


@dataclass(frozen=True)
class Checked:
    """All gates of a version."""

    artifact: Artifact | None
    """None when nobody we trust has signed it."""
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether all are open."""
        return all(check.passed for check in self.checks)


def check_gates(topology: Topology, store: PackStore, keyring: Keyring, name: str, version: str) -> Checked:
    """Check a version against what tiers.yaml asks of its model.

    Args:
        topology: has the model.
        store: the registry.
        keyring: whose registry keys count.
        name: of the model.
        version: in the registry.

    Raises:
        RegistryError: the registry has no such version.
    """
    try:
        artifact = open_model(store, name, version, keyring)
    except SignatureError as error:
        cure = "sign it with a registry key of the keyring: tiers model push"
        return Checked(None, (Check("signature", passed=False, found=error.message, cure=cure),))
    model, manifest = topology.models[name], artifact.manifest
    checks = (
        Check("signature", passed=True, found="a registry key of the keyring signed it"),
        _golden(store, manifest),
        _accuracy(model.accuracy, manifest),
        *_pools(topology, model, manifest),
    )
    return Checked(artifact, checks)


def _golden(store: PackStore, manifest: Manifest) -> Check:
    cure = "push it with --golden FILE.npz: devices compare their answers with these"
    if manifest.golden is None:
        return Check("golden inputs", passed=False, found="the manifest names none", cure=cure)
    file = manifest.golden.file
    try:
        index = store.get_index(manifest.index)
    except IntegrityError as error:
        return Check("golden inputs", passed=False, found=error.message, cure="push it again")
    there = any(entry.path == file.encode() and entry.kind == "file" for entry in index.entries)
    found = f"{file}, {'in' if there else 'not in'} the artifact"
    return Check("golden inputs", passed=there, found=found, cure="" if there else cure)


def _accuracy(wanted: Accuracy | None, manifest: Manifest) -> Check:
    """The figure of the manifest decides; without one, a share of golden labels that every device checks will do."""
    if wanted is None:
        return Check("accuracy", passed=True, found="tiers.yaml asks for none")
    figure = manifest.lineage.metrics.get(wanted.metric)
    checked = manifest.golden.min_accuracy if manifest.golden else 0.0
    cure = f"train on, or lower accuracy.at_least; a figure is pushed with --metric {wanted.metric}=NUMBER"
    if figure is not None:
        passed = figure >= wanted.at_least
        found = f"{wanted.metric} {figure:g}, at least {wanted.at_least:g} is asked for"
        return Check("accuracy", passed=passed, found=found, cure="" if passed else cure)
    if checked >= wanted.at_least:
        return Check("accuracy", passed=True, found=f"every device checks {checked:g} on the golden labels")
    found = f"the manifest has no {wanted.metric}, at least {wanted.at_least:g} is asked for"
    return Check("accuracy", passed=False, found=found, cure=cure)


def _pools(topology: Topology, model: Model, manifest: Manifest) -> Iterator[Check]:
    for name in model.pools:
        why = "; ".join(_misfits(topology.pool(name), manifest))
        cure = "leave the pool out of the model, or push a version for it" if why else ""
        yield Check(f"pool {name}", passed=not why, found=why or "has what the version requires", cure=cure)


def _misfits(pool: PlacedPool, manifest: Manifest) -> Iterator[str]:
    """Say what a pool's machines lack, as far as tiers.yaml knows them."""
    wanted, has = manifest.requires, pool.hardware
    machine = _MACHINES[has.arch]
    if wanted.architectures and machine not in wanted.architectures:
        yield f"it is {machine}, and the version is for {', '.join(wanted.architectures)}"
    memory = pool.pool.memory or has.memory
    if memory is not None and wanted.memory_bytes > memory.count:
        yield f"it has {memory}, and the version needs {wanted.memory_bytes / 2**30:.1f} GiB"
    if wanted.compute_capabilities and has.compute_capability not in wanted.compute_capabilities:
        offers = has.compute_capability or "no GPU that is known"
        yield f"it has {offers}, and the version is for {', '.join(wanted.compute_capabilities)}"
    if wanted.tensorrt != Range() and has.runtime != "tensorrt":
        yield f"it runs {has.runtime}, and the version needs TensorRT"
    if wanted.l4t != Range():
        yield from _misfit_of_l4t(has.jetpack, wanted.l4t)


def _misfit_of_l4t(jetpack: int | None, wanted: Range) -> Iterator[str]:
    major = _L4T.get(jetpack or 0)
    asks = " and ".join(
        part
        for part in (
            f"at least {wanted.at_least}" if wanted.at_least else "",
            f"below {wanted.below}" if wanted.below else "",
        )
        if part
    )
    if jetpack is None:
        yield f"it is no Jetson, and the version needs L4T {asks}"
    elif major is not None:
        first, after = [int(major)], [int(major) + 1]
        too_old = bool(wanted.at_least) and _numbers(wanted.at_least) >= after
        too_new = bool(wanted.below) and _numbers(wanted.below) <= first
        if too_old or too_new:
            yield f"JetPack {jetpack} is L4T {major}, and the version needs {asks}"


def _numbers(dotted: str) -> list[int]:
    return [int(part) for part in dotted.split(".")]
