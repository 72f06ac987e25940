"""Read a device's configuration and keyring from their files; what comes out is complete and checked.

`__main__` calls it before anything else is done; `daemon` gets the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge_runtime.trust import Trust
from toolkit.errors import UsageError
from toolkit.wire.device_config import (
    OWN_FILES,
    DeviceConfig,
    ModelConfig,
    decode_device_config,
    decode_own_files,
)
from toolkit.wire.keyring import Keyring
from toolkit.wire.topics import check_label


@dataclass(frozen=True)
class Settings:
    """Everything that a daemon needs to start."""

    config: DeviceConfig
    """With the name of the device filled in."""
    trust: Trust
    """Whom the device obeys; the file is read again when it changes."""
    instance: str = ""
    """Tells processes apart that are one device to the fleet, such as the pods of a service; empty for a device."""

    @property
    def keyring(self) -> Keyring:
        """Whom the device trusts at this moment."""
        return self.trust.keyring


def read_config(file: Path, node_name: str) -> tuple[Path, DeviceConfig]:
    """Read a configuration alone, as a device has it before it is enrolled; give also the file that counted.

    A pool's devices share the folder that the file lies in; where `devices.json` there names this device, the file
    that it gives counts instead. Arguments and errors as in `read_settings`.
    """
    config = _read_config(file)
    name = config.device or node_name
    if not name:
        raise UsageError(
            f"{file}: the device has no name", hint="set device in the file, or NODE_NAME in the environment"
        )
    check_label(name, what=f"{file}: device")
    own = _own_file(file.parent / OWN_FILES, name)
    if own is not None:
        file = own
        config = _read_config(file)
    keys = ("ca_file", "certificate_file", "key_file", "password_file")
    files = {key: str(file.parent / path) for key in keys if (path := getattr(config.broker, key))}
    broker = msgspec.structs.replace(config.broker, **files)
    download = config.download
    if download.ca_file:
        download = msgspec.structs.replace(download, ca_file=str(file.parent / download.ca_file))
    return file, msgspec.structs.replace(config, device=name, broker=broker, download=download)


def read_settings(file: Path, node_name: str) -> Settings:
    """Read a configuration file and the keyring that it names.

    Args:
        file: JSON, see `wire.device_config`; relative paths in it are relative to its folder.
        node_name: name of the device if the file gives none, as a DaemonSet passes it in NODE_NAME; where the file
            gives one, the name of this instance.

    Raises:
        UsageError: a file cannot be read, or the device has no name.
        IntegrityError: a file is damaged, or a name cannot be used.
    """
    file, config = read_config(file, node_name)
    names = [model.name for model in config.models]
    for model in names:
        if names.count(model) > 1:
            raise UsageError(f"{file}: model {model} stands there twice", hint="remove one of the two")
    trust = Trust(file.parent / config.keyring_file, f"enroll the device: tiers-edge enroll --config {file}")
    state = str(file.parent / config.state)
    serving = config.serving
    files = {
        key: str(file.parent / path)
        for key in ("certificate_file", "key_file", "token_file", "client_ca_file", "unix_socket")
        if (path := getattr(serving, key))
    }
    serving = msgspec.structs.replace(serving, **files)
    outbox = config.outbox
    if outbox.key_file:
        outbox = msgspec.structs.replace(outbox, key_file=str(file.parent / outbox.key_file))
    models = tuple(_with_files(model, file.parent) for model in config.models)
    instance = node_name if node_name != config.device else ""
    if instance:
        check_label(instance, what="NODE_NAME")
    changed = msgspec.structs.replace(config, state=state, serving=serving, outbox=outbox, models=models)
    return Settings(changed, trust, instance)


def _with_files(model: ModelConfig, folder: Path) -> ModelConfig:
    """Take relative paths of a model's part as paths from this folder."""
    offload, cache = model.offload, model.cache
    if offload is not None:
        files = {
            key: str(folder / path) for key in ("ca_file", "token_file") if (path := getattr(offload, key))
        }
        offload = msgspec.structs.replace(offload, **files)
    if cache is not None and cache.key_file:
        cache = msgspec.structs.replace(cache, key_file=str(folder / cache.key_file))
    return msgspec.structs.replace(model, offload=offload, cache=cache)


def _read_config(file: Path) -> DeviceConfig:
    data = _read(file, "the configuration", "give the path of the file: --config FILE")
    return decode_device_config(data, what=str(file))


def _own_file(listed: Path, device: str) -> Path | None:
    """Give the file that is meant for this device alone, if there is one."""
    if not listed.is_file():
        return None
    own = decode_own_files(
        _read(listed, "the list of devices", "render and apply it again"), what=str(listed)
    )
    return listed.parent / own.files[device] if device in own.files else None


def _read(file: Path, what: str, hint: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{what} {file} cannot be read: {error.strerror or error}", hint=hint) from error
