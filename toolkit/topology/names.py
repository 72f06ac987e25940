"""Kinds of text: names that Kubernetes takes, addresses, paths, images, versions. Each says why it refuses.

Stands between text and every noun, beside the units. A refusal carries the code of its problem for `shape`.
"""

import re
from typing import Annotated, Literal, get_args
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

TierName = Literal["edge", "hot", "warm", "cold"]
TIER_NAMES: tuple[TierName, ...] = get_args(TierName)
"""From the machines beside the patient to the archive."""

_LABEL = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
_NODE = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$"
_LABEL_KEY = r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
_LABEL_VALUE = r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"
_VERSION = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?@[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$"
_IMAGE = r"^[a-z0-9][a-z0-9._:/-]*[a-z0-9](:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$"
_REPOSITORY = r"^[a-z0-9]([a-z0-9._-]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]([a-z0-9._-]*[a-z0-9])?)*$"
_DIGEST = r"^sha256:[0-9a-f]{64}$"
_PROPERTY = r"^[A-Za-z]([-_A-Za-z0-9]{0,61}[A-Za-z0-9])?$"
_UNIT = r"^[!-~\u00b0\u00b5]{1,32}$"
_HTTP_PATH = r"^(/[A-Za-z0-9._~-]+)+$"
_TOPIC = r"^[^/#+\x00-\x1f\x7f][^#+\x00-\x1f\x7f]{0,249}$"
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
_LONGEST_NODE_NAME = 253


def _refuse(code: str, reason: str) -> PydanticCustomError:
    """Make the error that pydantic collects; its type is the code of the problem."""
    return PydanticCustomError(code, "{reason}", {"reason": reason})


def _check_label(text: str) -> str:
    """Take a DNS-1123 label (RFC 1123, at most 63): the name of most Kubernetes objects."""
    if re.fullmatch(_LABEL, text, re.ASCII) is None:
        raise _refuse("E0316", f"'{text}' is not a name: use 1 to 63 of a-z, 0-9 and -, not - at an end")
    return text


def _check_node(text: str) -> str:
    """Take a DNS-1123 subdomain: the name of a Kubernetes node, so of a device."""
    if len(text) > _LONGEST_NODE_NAME or re.fullmatch(_NODE, text, re.ASCII) is None:
        raise _refuse("E0316", f"'{text}' is not a node name: use a-z, 0-9, - and ., not - or . at an end")
    return text


def _check_label_key(text: str) -> str:
    """Take the key of a Kubernetes label: an optional prefix/ and a name."""
    if re.fullmatch(_LABEL_KEY, text, re.ASCII) is None:
        raise _refuse(
            "E0318", f"'{text}' is not the key of a Kubernetes label, such as site or example.com/site"
        )
    return text


def _check_label_value(text: str) -> str:
    """Take the value of a Kubernetes label: at most 63 characters."""
    if re.fullmatch(_LABEL_VALUE, text, re.ASCII) is None:
        raise _refuse("E0318", f"'{text}' is not the value of a Kubernetes label")
    return text


def _check_version(text: str) -> str:
    """Take `name@version`, the way the registry names an artifact."""
    if re.fullmatch(_VERSION, text, re.ASCII) is None:
        raise _refuse("E0313", f"'{text}' is not name@version, such as us-segmentation@1.4.0")
    return text


def _check_image(text: str) -> str:
    """Take a container image with a tag or a digest."""
    if re.fullmatch(_IMAGE, text, re.ASCII) is None:
        raise _refuse("E0317", f"'{text}' is not an image such as registry.example/tiers-edge:1.0")
    if "@sha256:" not in text and ":" not in text.rsplit("/", 1)[-1]:
        raise _refuse(
            "E0317", f"'{text}' has neither a tag nor a digest, so it would mean whatever is newest"
        )
    return text


def _check_path(text: str) -> str:
    """Take a path below a storage: relative, with / between parts, that cannot leave its root."""
    parts = text.split("/")
    if not text or "\\" in text or "\0" in text or any(part in {"", ".", ".."} for part in parts):
        raise _refuse(
            "E0314",
            f"'{text}' is not a path below a storage, such as datasets/seg3d",
        )
    return text


def _check_repository(text: str) -> str:
    """Take an image without tag and digest: what KubeEdge puts into a command has no other character."""
    if re.fullmatch(_REPOSITORY, text, re.ASCII) is None:
        raise _refuse("E0317", f"'{text}' is not an image without tag, such as kubeedge/installation-package")
    return text


def _check_digest(text: str) -> str:
    """Take the digest of a container image."""
    if re.fullmatch(_DIGEST, text, re.ASCII) is None:
        raise _refuse("E0317", f"'{text}' is not a digest: sha256: and 64 hexadecimal digits")
    return text


def _check_property(text: str) -> str:
    """Take the name of a sensor's property, a mapper or a setting of it."""
    if re.fullmatch(_PROPERTY, text, re.ASCII) is None:
        raise _refuse(
            "E0316", f"'{text}' is not a name: use 1 to 63 letters, digits, - and _, a letter first"
        )
    return text


def _check_unit(text: str) -> str:
    """Take a unit of measure: printable characters without a space."""
    if re.fullmatch(_UNIT, text) is None:
        raise _refuse("E0309", f"'{text}' is not a unit such as MHz, cm or 1/s")
    return text


def _check_http_path(text: str) -> str:
    """Take a path of HTTP that needs no escapes and does not climb."""
    if re.fullmatch(_HTTP_PATH, text, re.ASCII) is None or {".", ".."} & set(text.split("/")):
        raise _refuse("E0309", f"'{text}' is not a path such as /alarms/door")
    return text


def _check_topic(text: str) -> str:
    """Take an MQTT topic without wildcards: KubeEdge's router compares topics letter by letter."""
    if re.fullmatch(_TOPIC, text) is None:
        raise _refuse("E0827", f"'{text}' is not one topic: no + or #, no / in front, at most 250 characters")
    return text


def _check_variable(text: str) -> str:
    """Take the name of a variable."""
    if re.fullmatch(_VARIABLE, text, re.ASCII) is None:
        raise _refuse("E0316", f"'{text}' is not the name of a variable: use letters, digits and _")
    return text


def split_url(text: str, schemes: tuple[str, ...]) -> SplitResult:
    """Take an address apart. Raises PydanticCustomError for a wrong scheme, a password in it, or no place."""
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as exc:
        raise _refuse("E0310", f"'{text}' is not an address: {exc}") from exc
    if url.password is not None:
        raise _refuse("E0312", "is an address with a password in it")
    if url.scheme not in schemes:
        raise _refuse(
            "E0310", f"'{text}' does not start with {' or '.join(f'{scheme}://' for scheme in schemes)}"
        )
    if url.scheme == "file" and (url.netloc or not url.path.startswith("/")):
        raise _refuse("E0310", f"'{text}' is not a folder of this machine: write file:///absolute/path")
    if url.scheme != "file" and not url.hostname:
        raise _refuse("E0310", f"'{text}' names no host")
    if port == 0:
        raise _refuse("E0310", f"'{text}' has port 0")
    return url


def _check_storage_url(text: str) -> str:
    """Take the address of a Remote."""
    split_url(text, ("file", "s3", "sftp"))
    return text


def _check_broker_url(text: str) -> str:
    """Take the address of an MQTT broker."""
    split_url(text, ("mqtts", "mqtt"))
    return text


def _check_web_url(text: str) -> str:
    """Take the address of an HTTP service."""
    split_url(text, ("https", "http"))
    return text


Name = Annotated[str, AfterValidator(_check_label), Field(json_schema_extra={"pattern": _LABEL})]
"""A name that also names Kubernetes objects."""
NodeName = Annotated[str, AfterValidator(_check_node), Field(json_schema_extra={"pattern": _NODE})]
"""A device: the same as its Kubernetes node, MQTT user and certificate."""
LabelKey = Annotated[str, AfterValidator(_check_label_key), Field(json_schema_extra={"pattern": _LABEL_KEY})]
LabelValue = Annotated[
    str, AfterValidator(_check_label_value), Field(json_schema_extra={"pattern": _LABEL_VALUE})
]
VersionedName = Annotated[str, AfterValidator(_check_version), Field(json_schema_extra={"pattern": _VERSION})]
"""`name@version` of an artifact in the registry."""
Image = Annotated[str, AfterValidator(_check_image), Field(json_schema_extra={"pattern": _IMAGE})]
Repository = Annotated[
    str, AfterValidator(_check_repository), Field(json_schema_extra={"pattern": _REPOSITORY})
]
"""An image without tag and digest."""
ImageDigest = Annotated[str, AfterValidator(_check_digest), Field(json_schema_extra={"pattern": _DIGEST})]
"""The digest of a container image."""
PropertyName = Annotated[
    str, AfterValidator(_check_property), Field(json_schema_extra={"pattern": _PROPERTY})
]
"""A property of a sensor, a mapper or a setting of it; capital letters are allowed, mappers have them."""
Unit = Annotated[str, AfterValidator(_check_unit), Field(json_schema_extra={"pattern": _UNIT})]
"""A unit of measure."""
HttpPath = Annotated[str, AfterValidator(_check_http_path), Field(json_schema_extra={"pattern": _HTTP_PATH})]
"""A path of HTTP."""
Topic = Annotated[str, AfterValidator(_check_topic), Field(json_schema_extra={"pattern": _TOPIC})]
"""A topic of MQTT without wildcards."""
RelativePath = Annotated[str, AfterValidator(_check_path)]
VariableName = Annotated[
    str, AfterValidator(_check_variable), Field(json_schema_extra={"pattern": _VARIABLE})
]
StorageUrl = Annotated[
    str, AfterValidator(_check_storage_url), Field(json_schema_extra={"pattern": "^(file|s3|sftp)://"})
]
BrokerUrl = Annotated[
    str, AfterValidator(_check_broker_url), Field(json_schema_extra={"pattern": "^mqtts?://"})
]
WebUrl = Annotated[str, AfterValidator(_check_web_url), Field(json_schema_extra={"pattern": "^https?://"})]
