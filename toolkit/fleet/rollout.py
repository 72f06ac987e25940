"""Start a rollout, or change its mind: an operator's intent becomes a sealed document that stands retained.

    tiers.yaml + a version of the registry -> intent -> Rollout on r/NAME, the artifact's manifest on a/ARTIFACT/m

Whoever starts it may leave: `steer` carries it out. A repeated start of the same rollout gives the one that there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from toolkit.errors import RolloutError, UnreachableError
from toolkit.fleet.intent import (
    candidates,
    default_name,
    followers,
    is_under_way,
    model_named,
    next_number,
    version_before,
)
from toolkit.fleet.reports import CONNECT_SECONDS, Watch
from toolkit.fleet.rollout_plan import lay_out, with_conditions
from toolkit.fleet.status import rollout_row
from toolkit.fleet.wanted import leading
from toolkit.protocol.waves import RolloutState
from toolkit.registry.catalogue import Artifact, open_model, unchecked_manifest
from toolkit.sync.layouts.packs import PackStore
from toolkit.topology.findings import did_you_mean
from toolkit.topology.model import Model
from toolkit.topology.topology import Topology
from toolkit.wire.document import MAX_DOCUMENT_BYTES, encode_json
from toolkit.wire.keyring import Keyring
from toolkit.wire.rollout import Rollout, RolloutSpec
from toolkit.wire.signature import seal, unseal
from toolkit.wire.topics import check_label

KEPT_ROLLOUTS = 20
"""How many rollouts of one model stay on the broker, the newest among them."""
Change = Literal["pause", "resume", "abort", "rollback"]
_ALLOWED: dict[str, tuple[Change, ...]] = {
    "run": ("pause", "abort", "rollback"),
    "pause": ("resume", "abort", "rollback"),
    "abort": ("rollback",),
    "rollback": (),
}
"""What may follow an action; stopping and taking back are for good, a new rollout begins anew."""


@dataclass(frozen=True)
class StartRequest:
    """What to roll out."""

    model: str
    version: str = ""
    """Empty takes the one of tiers.yaml."""
    name: str = ""
    """Of the rollout; empty makes MODEL-VERSION-NUMBER."""
    devices: tuple[str, ...] = ()
    """Some of the model's devices; empty takes all."""
    max_failed: int | None = None
    """How many devices may refuse the version before the rollout counts as failed; None takes what tiers.yaml says."""
    now: bool = False
    """Devices do not wait for their install windows."""


@dataclass(frozen=True)
class Started:
    """A rollout that stands on the broker."""

    rollout: Rollout
    repeated: bool = False
    """It was there already; nothing was written."""
    notes: tuple[str, ...] = field(default_factory=tuple)
    """What a person should know: drift, devices left out."""


def start(
    watch: Watch,
    topology: Topology,
    store: PackStore,
    key: Ed25519PrivateKey,
    request: StartRequest,
    *,
    keyring: Keyring | None = None,
) -> Started:
    """Write the intent to bring a version to a model's devices.

    Args:
        watch: of the site, settled.
        topology: says the devices, the waves and the version.
        store: the registry.
        key: the operator's.
        request: what to roll out.
        keyring: when given, the manifest must be signed by a registry key in it.

    Raises:
        RolloutError: no such model, no device, the name is taken, or the document would be too large.
        RegistryError: the version is not in the registry.
        SignatureError: nobody whom the keyring trusts has signed it, or the keyring does not trust the operator's key.
        UnreachableError: the broker did not keep what was published.
    """
    model = model_named(topology, request.model)
    who = candidates(topology, request.model, request.devices)
    version = request.version or model.version
    artifact = _artifact(store, request.model, version, keyring)
    notes = _notes(request, model, who.held)
    retained = watch.retained
    newest = leading(retained.rollouts.values()).get(request.model)
    behind = followers(topology, request.model)
    same = newest is not None and _same(newest, artifact, who.devices, behind)
    course = retained.courses.get(newest.name) if newest else None
    if newest is not None and same and is_under_way(newest, retained.reports, retained.desired, course):
        _publish_manifest(watch, artifact)
        return Started(newest, repeated=True, notes=notes)
    number = next_number(retained.rollouts.values())
    name = check_label(request.name or default_name(request.model, version, number), what="rollout")
    if name in retained.rollouts:
        raise RolloutError(
            f"there is a rollout {name} already, of {_label(retained.rollouts[name])}",
            hint=f"leave --name out, or take another: tiers rollout start {request.model}",
        )
    before = version_before(
        request.model,
        artifact.id,
        who.devices,
        rollouts=retained.rollouts.values(),
        reports=retained.reports,
        desired=retained.desired,
        courses=retained.courses,
    )
    laid = lay_out(name, model.rollout, who.labels)
    spec = RolloutSpec(
        model=request.model,
        version=version,
        artifact=artifact.id,
        devices=laid.devices,
        waves=laid.waves,
        previous_version=before.version,
        previous_artifact=before.artifact,
        followers=behind,
        now=request.now,
    )
    spec = with_conditions(spec, model.rollout, request.max_failed)
    rollout = Rollout(name=name, number=number, seq=1, spec=spec)
    _publish_manifest(watch, artifact)
    _publish(watch, rollout, key)
    _forget_old(watch, request.model)
    return Started(rollout, notes=notes)


def change(watch: Watch, key: Ed25519PrivateKey, name: str, what: Change) -> Started:
    """Pause, resume, abort or roll back: the same document with a higher number. Repeating it is harmless.

    Raises:
        RolloutError: there is no such rollout, it is not the newest of its model, or it is past that.
        SignatureError: the keyring of the watch does not trust the key.
        UnreachableError: the broker did not keep what was published.
    """
    rollout = _newest(watch, name, what)
    action = "run" if what == "resume" else what
    if rollout.action == action:
        return Started(rollout, repeated=True)
    if what not in _ALLOWED[rollout.action]:
        done = {"abort": "was aborted", "rollback": "was rolled back"}[rollout.action]
        raise RolloutError(
            f"rollout {name} {done}, so there is nothing to {what}",
            hint=f"tiers rollout start {rollout.spec.model}",
        )
    after = replace(rollout, seq=rollout.seq + 1, action=action, format=0)
    _publish(watch, after, key)
    return Started(after)


def approve(watch: Watch, key: Ed25519PrivateKey, name: str, wave: int = 0) -> Started:
    """Let a wave begin that waits for an operator's word. Repeating it is harmless.

    Args:
        watch: of the site, settled.
        key: the operator's.
        name: of the rollout.
        wave: its number from 1, which may be said before it waits; 0 for the one that waits now.

    Raises:
        RolloutError: there is no such rollout or wave, it is over, or nothing waits.
        SignatureError: the keyring of the watch does not trust the key.
        UnreachableError: the broker did not keep what was published.
    """
    rollout = _newest(watch, name, "approve")
    waves = rollout.spec.waves
    stands = rollout_row(watch.retained, rollout)
    if rollout.action not in {"run", "pause"} or stands.ended:
        raise RolloutError(
            f"rollout {name} is {stands.state}, so there is nothing to approve",
            hint=f"tiers rollout start {rollout.spec.model}",
        )
    if wave > len(waves):
        raise RolloutError(
            f"rollout {name} has {len(waves)} waves, and no wave {wave}", hint=f"tiers rollout status {name}"
        )
    if not wave:
        open_waves = [
            number
            for number in range(stands.wave, min(stands.wave + 1, len(waves)) + 1)
            if waves[number - 1].approve and rollout.approved < number
        ]
        if not open_waves and rollout.approved >= stands.wave:
            return Started(rollout, repeated=True)
        if stands.state != RolloutState.AWAITING_APPROVAL.value or not open_waves:
            raise RolloutError(
                f"rollout {name} waits for nobody's word: it is {stands.state} in wave {stands.wave} of {stands.waves}",
                hint=f"say it in advance: tiers rollout approve {name} --wave NUMBER",
            )
        wave = open_waves[0]
    if rollout.approved >= wave:
        return Started(rollout, repeated=True)
    after = replace(rollout, seq=rollout.seq + 1, approved=wave, format=0)
    _publish(watch, after, key)
    return Started(after)


def find(watch: Watch, name: str) -> Rollout:
    """Give a rollout that stands on the broker.

    Raises:
        RolloutError: there is none of this name that can be believed.
    """
    retained = watch.retained
    rollout = retained.rollouts.get(name)
    if rollout is not None:
        return rollout
    for topic, why in retained.ignored.items():
        if retained.kind_of(topic) == "rollout" and topic.endswith(f"/{name}"):
            raise RolloutError(f"rollout {name} cannot be believed: {why}", hint="check --keyring and --key")
    near = did_you_mean(name, retained.rollouts)
    raise RolloutError(
        f"there is no rollout {name!r} on site {watch.topics.site}{near}", hint="tiers rollout status"
    )


def _newest(watch: Watch, name: str, what: str) -> Rollout:
    """Give a rollout that nothing newer has followed. Raises RolloutError."""
    rollout = find(watch, name)
    newest = leading(watch.retained.rollouts.values())[rollout.spec.model]
    if newest.name != name:
        raise RolloutError(
            f"rollout {name} is over: {newest.name} has brought {_label(newest)} since",
            hint=f"tiers rollout {what} {newest.name}",
        )
    return rollout


def find_newest_of(watch: Watch, device: str) -> list[Rollout]:
    """Give the newest rollout of each model that a device is part of.

    Raises:
        RolloutError: it is in none.
    """
    newest = leading(watch.retained.rollouts.values())
    found = [each for _, each in sorted(newest.items()) if device in each.spec.devices]
    if not found:
        known = sorted({name for each in newest.values() for name in each.spec.devices})
        raise RolloutError(
            f"device {device!r} is in no rollout of site {watch.topics.site}{did_you_mean(device, known)}",
            hint="tiers fleet status",
        )
    return found


def _artifact(store: PackStore, model: str, version: str, keyring: Keyring | None) -> Artifact:
    if keyring is not None:
        return open_model(store, model, version, keyring)
    found = unchecked_manifest(store, model, version)
    if found is None:
        return open_model(store, model, version, Keyring())  # raises the error that lists what there is
    return Artifact(found[0], found[1], store.get_sealed(found[0]))


def _notes(request: StartRequest, model: Model, held: Sequence[str]) -> tuple[str, ...]:
    notes = []
    if request.version and request.version != model.version:
        notes.append(
            f"drift: tiers.yaml says {request.model} {model.version}, this rollout brings {request.version};"
            " write it there when it is to stay"
        )
    if held:
        notes.append(f"on hold and left out: {', '.join(held[:10])}{', …' if len(held) > 10 else ''}")  # noqa: PLR2004
    return tuple(notes)


def _same(rollout: Rollout, artifact: Artifact, devices: tuple[str, ...], behind: tuple[str, ...]) -> bool:
    spec = rollout.spec
    return spec.artifact == artifact.id and set(spec.devices) == set(devices) and spec.followers == behind


def _label(rollout: Rollout) -> str:
    return f"{rollout.spec.model} {rollout.spec.version}"


def _publish_manifest(watch: Watch, artifact: Artifact) -> None:
    watch.link.publish(watch.topics.manifest(artifact.id), artifact.sealed, qos=1, retain=True)


def _forget_old(watch: Watch, model: str) -> None:
    """Clear all but the newest rollouts of a model; the older ones steer nothing and would pile up on the broker."""
    rollouts = (each for each in watch.retained.rollouts.values() if each.spec.model == model)
    for rollout in sorted(rollouts, key=lambda each: each.number)[:-KEPT_ROLLOUTS]:
        watch.link.publish(watch.topics.rollout(rollout.name), b"", qos=1, retain=True)
        watch.link.publish(watch.topics.course(rollout.name), b"", qos=1, retain=True)


def _publish(watch: Watch, rollout: Rollout, key: Ed25519PrivateKey) -> None:
    """Write a rollout and wait until the broker shows it to us, which no acknowledgement proves."""
    payload = encode_json(rollout)
    if len(payload) > MAX_DOCUMENT_BYTES:
        raise RolloutError(
            f"rollout {rollout.name} names {len(rollout.spec.devices)} devices, which takes {len(payload)} bytes;"
            f" a document ends at {MAX_DOCUMENT_BYTES}",
            hint="roll out to a part of them: --device, or pools of a model of their own",
        )
    topic, retained, sealed = (
        watch.topics.rollout(rollout.name),
        watch.retained,
        seal(payload, "rollout", key),
    )
    if retained.keyring is not None:
        # A driver would ignore it without a word that reaches us, so it is better not written at all.
        unseal(sealed, "rollout", retained.keyring, what=f"rollout {rollout.name}, with this --key,")
    watch.link.publish(topic, sealed, qos=1, retain=True)
    if not watch.wait_for(lambda: retained.rollouts.get(rollout.name) == rollout, CONNECT_SECONDS):
        why = watch.problem or "look at its access rules"
        raise UnreachableError(
            f"rollout {rollout.name} was published, but the broker does not show it: {why}",
            hint="let this client write to r/+ and read it, then type the command again",
        )
