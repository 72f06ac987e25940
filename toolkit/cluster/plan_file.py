"""A plan in a file: `tiers plan -o FILE` writes it, `tiers apply FILE` reads it and believes nothing of it unchecked.

The bytes are canonical (sorted keys, no spaces), so a file that was edited or cut differs from its own digest. The
digest says that nothing was changed by accident; who may apply is the cluster's business, not the file's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from toolkit.cluster.plan import Plan, check_doable
from toolkit.errors import IntegrityError, UsageError
from toolkit.sync.whole import write_whole
from toolkit.wire.document import decode_json, encode_json

LARGEST = 64 * 2**20
"""Bytes of a plan that are read at most: some ten thousand objects."""
_OWNER_ONLY, _SHOWN = 0o600, 200
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]{0,252}")
"""What any kind's names are made of; names become parts of URLs."""


def write_plan(plan: Plan, path: Path) -> None:
    """Write a plan whole or not at all; only its owner may read it.

    Raises:
        ClusterError: it would fail, or hold a secret.
        IntegrityError: it is larger than anybody would read.
        UsageError: the file cannot be written.
    """
    for each in plan.clusters:
        check_doable(each, plan.rules)
    data = sealed(plan)
    if len(data) > LARGEST:
        raise IntegrityError(
            f"the plan has {len(data)} bytes; at most {LARGEST} are read", hint="tiers plan --context NAME"
        )
    try:
        write_whole(path, data, mode=_OWNER_ONLY)
    except OSError as exc:
        raise UsageError(f"cannot write {path}: {exc.strerror}", hint="tiers plan -o ANOTHER-FILE") from exc


def sealed(plan: Plan) -> bytes:
    """Give the bytes of a plan's file, with its digest."""
    return encode_json(msgspec.structs.replace(plan, sha256=digest_of(plan))) + b"\n"


def digest_of(plan: Plan) -> str:
    """Give SHA-256, in hexadecimal, of a plan's canonical bytes with an empty digest."""
    return hashlib.sha256(encode_json(msgspec.structs.replace(plan, sha256=""))).hexdigest()


def read_plan(path: Path) -> Plan:
    """Read a plan that may come from anybody.

    Raises:
        UsageError: there is no such file, or it cannot be read.
        IntegrityError: it is too large, no plan, of another format, or was changed after it was written.
    """
    what = f"the plan {path}"
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as exc:
        raise UsageError(f"cannot read {what}: {exc.strerror}", hint=f"tiers plan -o {path}") from exc
    plan = decode_json(data, Plan, what=what, limit=LARGEST)
    if sealed(plan) != data:
        raise IntegrityError(
            f"{what} was changed after it was written: its digest does not fit",
            hint=f"tiers plan -o {path}; a plan is not edited",
        )
    for each in (planned.body for cluster in plan.clusters for planned in cluster.objects):
        if not _is_object(each):
            raise IntegrityError(
                f"{what} holds what is no object: {str(each)[:_SHOWN]}", hint="tiers plan -o FILE"
            )
    return plan


def _is_object(body: Mapping[str, object]) -> bool:
    metadata = body.get("metadata")
    if not isinstance(metadata, Mapping) or not isinstance(body.get("apiVersion"), str):
        return False
    named = [body.get("kind"), metadata.get("name"), metadata.get("namespace", "none")]
    return all(isinstance(each, str) and _NAME.fullmatch(each) for each in named)
