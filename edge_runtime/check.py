"""What this machine can do, for `tiers-edge check`: facts, engine, and (with a configuration) keys, disk and broker.

Runs before or beside a daemon and changes nothing but a probe file in a temporary folder.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from typing import Final

from edge_runtime.clock import Clock
from edge_runtime.config import Settings
from edge_runtime.engine.check_gpu import check_gpu
from edge_runtime.facts import free_disk, newest_onnx_ir, package_version, read_fingerprint
from edge_runtime.permit import Permit
from toolkit.errors import EngineError, MissingExtraError, TiersError, UnreachableError, UsageError
from toolkit.link.link import Connected, Disconnected
from toolkit.protocol.stage_kinds import KINDS

BROKER_SECONDS: Final = 10.0
MIB: Final = 1024 * 1024


@dataclass(frozen=True)
class Line:
    """One thing that was looked at. `error` is set when it keeps the device from doing its work."""

    subject: str
    finding: str
    error: TiersError | None = None


def check_machine() -> list[Line]:
    """Look at the machine: what it is, what is installed, which models its engine takes."""
    facts = read_fingerprint()
    lines = [
        Line("machine", f"{facts.device_model or 'no device tree'}, {facts.architecture}"),
        Line("memory", f"{facts.memory_bytes // MIB} MiB"),
        Line("python", facts.python),
        Line("tiers", facts.tiers or "not installed as a package"),
        Line("l4t", facts.l4t or "not a Jetson"),
        *(Line(subject, finding) for subject, finding in check_gpu()),
    ]
    if not facts.onnxruntime:
        missing = MissingExtraError("inference on this device", extra="edge")
        return [*lines, Line("onnxruntime", missing.hint, missing)]
    onnx_ir = newest_onnx_ir()
    if not onnx_ir:
        broken = EngineError(
            "ONNX Runtime loads no model at all", hint="install it again: pip install 'tiers[edge]'"
        )
        return [*lines, Line("onnxruntime", f"{facts.onnxruntime}: {broken.message}", broken)]
    lines.append(Line("onnxruntime", f"{facts.onnxruntime}, models up to ONNX IR {onnx_ir}"))
    lines += [Line(name, package_version(name) or "not installed") for name in ("uvloop", "httptools")]
    return [*lines, Line("stages", _stages())]


def _stages() -> str:
    from edge_runtime.serving.stages.chain import own_stages

    own = own_stages()
    lacking = [kind for kind in KINDS.values() if f"{kind.NAME}@{kind.VERSION}" not in own]
    cures = (f"; {kind.NAME} comes with: pip install 'tiers[{kind.EXTRA}]'" for kind in lacking)
    return ", ".join(sorted(own)) + "".join(cures)


def check_settings(settings: Settings) -> list[Line]:
    """Look at what the configuration names: keys, disk, broker."""
    config = settings.config
    keys = ", ".join(f"{key.name or 'unnamed'} ({'+'.join(key.roles)})" for key in settings.keyring.keys)
    models = ", ".join(model.name for model in config.models)
    lines = [
        Line("device", f"{config.device} of site {config.site}"),
        Line("models", models or "none"),
        Line("keyring", keys or "empty: nothing will be obeyed"),
    ]
    state = Path(config.state)
    existing = next(folder for folder in (state, *state.parents) if folder.exists())
    lines.append(Line("state", f"{state}, {free_disk(existing) // MIB} MiB free"))
    lines.append(_check_window(settings))
    return [*lines, _check_broker(settings)]


def _check_window(settings: Settings) -> Line:
    wait = Permit(settings.config, Clock()).wait(urgent=False)
    if wait is None:
        return Line("installs", "new versions are taken now")
    if wait.code == "unknown-zone":
        problem, _, cure = wait.reason.partition("; ")
        return Line("installs", wait.reason, UsageError(problem, hint=cure))
    return Line("installs", wait.reason)


def _check_broker(settings: Settings) -> Line:
    from toolkit.link.choose import make_link
    from toolkit.link.settings import settings_from_config

    config = settings.config
    where = f"{config.broker.host}:{config.broker.port}"
    reason = f"no answer within {BROKER_SECONDS:g} s"
    try:
        link = make_link(settings_from_config(config.broker, f"check-{config.site}-{config.device}"))
        link.connect()
    except TiersError as error:
        return Line("broker", f"{where}: {error.message}", error)
    try:
        until = time.monotonic() + BROKER_SECONDS
        while (left := until - time.monotonic()) > 0:
            try:
                event = link.events.get(timeout=left)
            except Empty:
                break
            if isinstance(event, Connected):
                return Line("broker", f"{where} accepts this device")
            if isinstance(event, Disconnected):
                reason = event.reason
                break
    finally:
        link.close()
    unreachable = UnreachableError(
        f"broker {where}: {reason}", hint="check broker.host and broker.port, and that the broker runs"
    )
    return Line("broker", unreachable.message, unreachable)
