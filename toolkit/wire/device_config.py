"""How a device is set up: what `tiers-edge run --config FILE` reads and what the rendered ConfigMap holds.

Rendered by `render` from tiers.yaml, or written by hand for one machine. No model version stands here: what a device
runs is in its retained desired document alone. Secrets are files that this document only names. Defaults are not
written, so a daemon from before a key reads every configuration that does without it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, Final, Literal

from toolkit.errors import IntegrityError
from toolkit.wire.document import Document, Sparse, decode_json
from toolkit.wire.download import DownloadConfig, check_download
from toolkit.wire.manifest import NAME
from toolkit.wire.offload import OffloadConfig, check_offload
from toolkit.wire.topics import check_label

CONFIG_LIMIT: Final = 1024 * 1024
"""Bytes of a configuration, or of all files of a ConfigMap: what Kubernetes keeps in one."""
OWN_FILES: Final = "devices.json"
"""Beside a pool's configuration: an OwnFiles. Without it the configuration is for every device."""
OUTBOX_BYTES: Final = 4 * 1024 * 1024 * 1024
"""A day of ten records a second, of up to 4 kB each; also what tiers.yaml says when it says nothing."""
OUTBOX_LEAST_BYTES: Final = 2 * 1024 * 1024
REPORT_SECONDS: Final = 30.0
"""Unless a configuration says otherwise."""
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEK: Final[tuple[Weekday, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LogLevel = Literal["debug", "info", "warning", "error"]
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00")
_ZONE = re.compile(r"[A-Za-z0-9+_-]+(?:/[A-Za-z0-9+_-]+){0,3}")
_LONGEST_ZONE: Final = 64
_OWN_FILE = re.compile(r"config-[0-9a-f]{8,64}\.json")


class BrokerConfig(Sparse, frozen=True, kw_only=True):
    """Where the broker is and how to log in."""

    host: str
    port: int = 8883
    tls: bool = True
    ca_file: str = ""
    """PEM of the authority; empty means the system's."""
    certificate_file: str = ""
    key_file: str = ""
    username: str = ""
    password_file: str = ""
    preset: Literal["default", "emqx", "hivemq", "aws", "azure"] = "default"
    """Limits of the broker; see toolkit.link.presets."""
    client: Literal["paho", "awscrt"] = "paho"
    """Which MQTT client speaks; awscrt comes as an extra and speaks MQTT 5 only."""


class ServingConfig(Sparse, frozen=True, kw_only=True):
    """Where inference is served. Beyond loopback it takes TLS and a way to know clients: tokens, or an authority.

    Files are read again when they change. Either proof is enough where both are set; health questions need none.
    """

    host: str = "127.0.0.1"
    """Empty serves on `unix_socket` alone."""
    port: int = 8500
    """0 takes any free port; the daemon writes the one it got to STATE/serving.json."""
    max_body_bytes: int = 64 * 1024 * 1024
    certificate_file: str = ""
    """PEM of the server's certificate and what lies between it and its authority; empty means plain HTTP."""
    key_file: str = ""
    """PEM of its private key."""
    token_file: str = ""
    """Tokens that clients show as `Authorization: Bearer TOKEN`, one a line, so that two hold while one is replaced."""
    client_ca_file: str = ""
    """PEM of the authority whose certificates clients may show instead of a token."""
    unix_socket: str = ""
    """Path of a socket on which it also serves, readable for the daemon's user and group; at most 107 bytes."""
    client_requests: int = 0
    """Most requests of one client (a token, a certificate's name, an address) that may run at once; 0 is no limit."""
    client_rate: float = 0.0
    """Most requests of one client in a second; 0 is no limit."""
    shared_memory: bool = False
    """Whether clients of this machine may pass tensors through /dev/shm."""
    access_log: bool = False
    """Whether each answer is a line of JSON in the log; otherwise it is one only at the level debug."""
    mqtt: bool = False
    """Whether questions are also taken over MQTT, see `serving.mqtt_door`; the broker's rules say who may ask."""


class CacheConfig(Sparse, frozen=True, kw_only=True):
    """What is kept of one model's answers."""

    kind: str = "image"
    """What is asked: `image` keeps an answer 7 days, `text` 1 day, any other an hour, unless `ttl_seconds` says."""
    ttl_seconds: float = 0.0
    """How long an answer is given again; 0 takes what is usual for the kind."""
    follow: bool = False
    """Whether answers that change often are kept for a shorter time, see `serving.cache.lifetime`."""
    memory_bytes: int = 64 * 1024 * 1024
    disk_bytes: int = 256 * 1024 * 1024
    """0 keeps answers in memory alone."""
    key_file: str = ""
    """32 bytes with which files are encrypted at rest; empty leaves them as they are, readable for the daemon alone."""
    prefetch: bool = False
    """Whether what usually comes next is brought from the disk into memory before it is asked for."""


class ShadowConfig(Sparse, frozen=True, kw_only=True):
    """How a new version is compared with the one that serves before it serves itself."""

    requests: int = 100
    """Answered requests that it gets too, out of sight of their clients."""
    seconds: float = 600.0
    """Longest time for that; what came till then is what is judged."""
    max_difference: float | None = None
    """Largest absolute difference of any output value that is let pass; None only reports it."""
    max_latency_ratio: float | None = None
    """Mean time of its inferences over that of the old version's that is let pass; None only reports it."""


class ModelConfig(Sparse, frozen=True, kw_only=True):
    """One model of a device; never its version."""

    name: str
    engine: Literal["auto", "tensorrt", "onnxruntime"] = "auto"
    max_batch: int = 8
    queue: int = 100
    """Requests that may wait before new ones are refused."""
    delay_seconds: float = 0.0
    """How long an idle engine may wait for company for a request; 0 starts at once."""
    timeout_seconds: float = 0.0
    """A request that named no time-out of its own is dropped when it has waited this long; 0 is never."""
    load: Literal["eager", "lazy"] = "eager"
    """Whether a version that serves is loaded at the start, or when the first request for it comes."""
    fallback: str = ""
    """Model of this device that answers when this one is overloaded or cannot be loaded."""
    offload: OffloadConfig | None = None
    """Who else answers under pressure, or when it cannot be loaded; None is nobody."""
    cache: CacheConfig | None = None
    """What is kept of its answers; None runs the model for every question."""
    probation_seconds: float = 0.0
    trial_share: float = 1.0
    """Share of clients that a version on probation answers, 0 to 1; the one before it answers the others."""
    shadow: ShadowConfig | None = None
    golden_seconds: float = 120.0
    """Longest time that the child process may take to load and check a version."""


class InstallWindow(Sparse, frozen=True, kw_only=True):
    """When a device may install something new: hours on days of the week, see `protocol.window`."""

    opens: str
    """Time of day, hh:mm."""
    closes: str
    """Likewise, up to 24:00; not later than `opens` means the next day, and the same means a whole day."""
    days: tuple[Weekday, ...] = WEEK
    """On which it opens."""
    timezone: str = ""
    """IANA name such as Europe/Berlin; empty takes the machine's zone, which is UTC in most containers."""


class OutboxConfig(Sparse, frozen=True, kw_only=True):
    """What is put down to be told later, see `edge_runtime.outbox`."""

    max_bytes: int = OUTBOX_BYTES
    """That its file and log may take; what is beyond is dropped, lowest priority and oldest first."""
    key_file: str = ""
    """32 random bytes by which payloads are sealed on the disk; empty leaves them readable."""


class DeviceConfig(Document, frozen=True, kw_only=True, omit_defaults=True):
    """All that a daemon needs to start."""

    FORMAT: ClassVar[int] = 3
    READS: ClassVar[tuple[int, ...]] = (1, 2, 3)
    site: str
    device: str = ""
    """Name of the device; empty takes the environment's NODE_NAME, as a DaemonSet gives it."""
    state: str
    """Folder for artifacts, SQLite and sockets; kept across restarts."""
    keyring_file: str
    broker: BrokerConfig
    serving: ServingConfig = ServingConfig()
    models: tuple[ModelConfig, ...] = ()
    disk_budget_bytes: int = 0
    """Bytes that artifacts may take; 0 leaves it to the disk."""
    memory_budget_bytes: int = 0
    """Bytes of memory that loaded models may take together, before idle lazy ones leave; 0 leaves it to the machine."""
    report_seconds: float = REPORT_SECONDS
    """Time between two reports when nothing changes but what the serving versions have done."""
    install_window: InstallWindow | None = None
    """When something new may be installed; None means always."""
    trust_clock: bool = False
    """The machine's clock is right though the kernel is not told that anything keeps it; else windows wait for that."""
    hold: bool = False
    """What serves is kept, and nothing new is taken."""
    log: LogLevel = "info"
    download_bytes_per_second: int = 0
    """Most that may be asked for of artifacts' chunks, on whichever road; 0 is no limit."""
    download: DownloadConfig = DownloadConfig()
    outbox: OutboxConfig = OutboxConfig()

    def needed_format(self) -> int:
        """Give the lowest number that can say it all."""
        place = self.serving
        serving = (
            place.unix_socket,
            place.client_requests,
            place.client_rate,
            place.shared_memory,
            place.access_log,
            place.mqtt,
        )
        if (
            self.outbox != OutboxConfig()
            or self.memory_budget_bytes
            or any(serving)
            or any(_is_of_3(model) for model in self.models)
        ):
            return 3
        newer = (self.install_window, self.trust_clock, self.hold, self.download_bytes_per_second)
        changed = (
            self.report_seconds != REPORT_SECONDS,
            self.log != "info",
            self.download != DownloadConfig(),
        )
        broker = (self.broker.client != "paho", self.broker.preset not in {"default", "aws"})
        return 2 if any(newer) or any(changed) or any(broker) else 1


def _is_of_3(model: ModelConfig) -> bool:
    news = (
        model.delay_seconds,
        model.timeout_seconds,
        model.load != "eager",
        model.fallback,
        model.offload,
        model.cache,
    )
    return any(news) or model.shadow is not None or model.trial_share != 1.0


class OwnFiles(Document, frozen=True, kw_only=True):
    """Which devices of a pool start with another file than their pool's; it lies in the same folder."""

    FORMAT: ClassVar[int] = 1
    files: Mapping[str, str]
    """Device → name of its file; devices that are set up alike share one."""


def decode_own_files(data: bytes, *, what: str) -> OwnFiles:
    """Read which devices have which file.

    Raises:
        IntegrityError: it is no such document, or a file could lie elsewhere.
    """
    own = decode_json(data, OwnFiles, what=what, limit=CONFIG_LIMIT)
    for device, file in own.files.items():
        if not _OWN_FILE.fullmatch(file):
            message = (
                f"{what}: {device[:80]!r} has {file[:80]!r}, which is no file such as config-0123abcd.json"
            )
            raise IntegrityError(message, hint="render and apply it again: tiers apply")
    return own


def decode_device_config(data: bytes, *, what: str) -> DeviceConfig:
    """Read a device's configuration.

    Raises:
        IntegrityError: it is not one, or a name in it cannot be used.
    """
    config = decode_json(data, DeviceConfig, what=what, limit=CONFIG_LIMIT)
    check_label(config.site, what=f"{what}: site")
    if config.device:
        check_label(config.device, what=f"{what}: device")
    if min(config.serving.client_requests, config.serving.client_rate) < 0:
        raise IntegrityError(f"{what}: serving has a limit of clients below 0", hint="0 means none")
    if config.outbox.max_bytes < OUTBOX_LEAST_BYTES:
        message = f"{what}: outbox.max_bytes is {config.outbox.max_bytes}"
        raise IntegrityError(message, hint=f"write at least {OUTBOX_LEAST_BYTES}, or leave it out")
    check_live(config, what=what)
    check_download(config.download, f"{what}: download: url")
    names = {model.name for model in config.models}
    for model in config.models:
        if not NAME.fullmatch(model.name):
            raise IntegrityError(
                f"{what}: model name {model.name[:70]!r} has characters that are not allowed"
            )
        if model.fallback and (model.fallback == model.name or model.fallback not in names):
            raise IntegrityError(
                f"{what}: model {model.name} falls back on {model.fallback[:70]!r}, no other model of the device"
            )
        _check_trial(model, f"{what}: model {model.name}")
        if min(model.delay_seconds, model.timeout_seconds) < 0:
            raise IntegrityError(f"{what}: model {model.name} has a time below 0", hint="0 means none")
        if model.offload is not None:
            check_offload(model.offload, f"{what}: model {model.name}: offload")
        cache = model.cache
        if cache and not min(cache.ttl_seconds, cache.memory_bytes, cache.disk_bytes) >= 0:
            raise IntegrityError(f"{what}: model {model.name}: its cache has a time or size below 0")
    return config


def _check_trial(model: ModelConfig, what: str) -> None:
    """Check how a new version is tried out.

    Raises:
        IntegrityError: a value cannot be used.
    """
    if not 0 <= model.trial_share <= 1:
        raise IntegrityError(f"{what}: trial_share is {model.trial_share}", hint="write a share from 0 to 1")
    shadow = model.shadow
    if shadow is not None and (
        shadow.requests < 1
        or not shadow.seconds > 0
        or any(
            limit is not None and not limit >= 0
            for limit in (shadow.max_difference, shadow.max_latency_ratio)
        )
    ):
        raise IntegrityError(
            f"{what}: shadow has a value that cannot be", hint="at least 1 request, no limit below 0"
        )


def check_live(config: DeviceConfig, *, what: str) -> None:
    """Check what may change while a daemon runs.

    Raises:
        IntegrityError: a value cannot be used.
    """
    if not config.report_seconds >= 1:
        raise IntegrityError(
            f"{what}: report_seconds is {config.report_seconds}", hint="write at least 1 second"
        )
    if config.download_bytes_per_second < 0:
        raise IntegrityError(f"{what}: download_bytes_per_second is below 0", hint="0 means no limit")
    if config.memory_budget_bytes < 0:
        raise IntegrityError(f"{what}: memory_budget_bytes is below 0", hint="0 leaves it to the machine")
    if config.disk_budget_bytes < 0:
        raise IntegrityError(f"{what}: disk_budget_bytes is below 0", hint="0 leaves it to the disk")
    if config.install_window is not None:
        _check_window(config.install_window, f"{what}: install_window")


def _check_window(window: InstallWindow, what: str) -> None:
    for key, time in (("opens", window.opens), ("closes", window.closes)):
        if not _TIME.fullmatch(time):
            raise IntegrityError(f"{what}: {key} is {time[:20]!r}", hint="write a time of day such as 22:00")
    if not window.days:
        raise IntegrityError(f"{what} has no days", hint="leave days out for every day")
    if window.timezone and (len(window.timezone) > _LONGEST_ZONE or not _ZONE.fullmatch(window.timezone)):
        message = f"{what}: timezone is {window.timezone[:70]!r}"
        raise IntegrityError(message, hint="write a name such as Europe/Berlin, or leave it out")
