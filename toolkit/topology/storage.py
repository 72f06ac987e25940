"""Where a tier keeps its data: the address of a Remote and its layout.

Stands under tier and topology (`registry`); `routes` makes SyncTasks from it.
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict

from toolkit.topology.names import Name, StorageUrl, WebUrl
from toolkit.topology.noun import Noun
from toolkit.topology.secret import Secret
from toolkit.topology.units import Bytes


class Storage(Noun):
    """A Remote. `mirror` keeps files as files; `packs` keeps chunks in big packs, for archives."""

    model_config = ConfigDict(title="Storage")

    url: StorageUrl
    """`file:///path`, `s3://bucket/prefix` or `sftp://host/path`."""
    layout: Literal["mirror", "packs"] = "mirror"
    """How the data lies there."""
    credentials: Secret | None = None
    """Reference to the access key or login."""
    endpoint: WebUrl | None = None
    """Address of an S3 service that is not Amazon's."""
    region: Name | None = None
    """Region of the S3 bucket."""
    capacity: Bytes | None = None
    """How much may be kept there."""


def _from_text(value: object) -> object:
    """Let `registry: file:///path` stand for `registry: {url: file:///path}`."""
    return {"url": value} if isinstance(value, str) else value


def _from_one(value: object) -> object:
    """Let one storage stand for a list of one."""
    return value if isinstance(value, list | tuple) or value is None else (value,)


StorageOrUrl = Annotated[Storage, BeforeValidator(_from_text, json_schema_input_type=StorageUrl | Storage)]
"""A storage, or only its address."""
Storages = Annotated[
    tuple[StorageOrUrl, ...],
    BeforeValidator(
        _from_one, json_schema_input_type=StorageUrl | Storage | tuple[StorageUrl | Storage, ...]
    ),
]
"""One storage or a list of them; data goes to the first, copies go to the others."""
