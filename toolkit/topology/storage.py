"""Where a tier keeps its data: the address of a Remote, its layout, and the volume behind it.

Stands under tier and topology (`registry`, `storage_classes`); `routes` makes SyncTasks from it, render volumes.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from toolkit.topology.names import Name, NodeName, StorageUrl, WebUrl
from toolkit.topology.noun import Noun
from toolkit.topology.secret import Secret, SecretReference
from toolkit.topology.units import Bytes


class StorageClass(Noun):
    """A kind of volume. Exactly one of `local`, `provisioner` and `installed` says where volumes come from."""

    local: Literal[True] | None = None
    """Disks of the machines, such as NVMe; somebody has to announce each disk as a PersistentVolume."""
    provisioner: str | None = None
    """Driver that makes volumes, such as nfs.csi.k8s.io."""
    installed: NodeName | None = None
    """Name of a class that the cluster has already; then nothing of it is ours."""
    parameters: Mapping[str, str] = {}
    """What the driver wants to know."""
    binding: Literal["first-pod", "at-once"] = "first-pod"
    """When a claim gets its volume: where and when the first pod needs it, or at once."""
    on_delete: Literal["retain", "delete"] = "retain"
    """What happens to the data when somebody deletes a claim."""
    expandable: bool = False
    """Whether the driver can make volumes larger."""


class Volume(Noun):
    """A volume of the cluster."""

    kind: Name = Field(alias="class")
    """A class of `storage_classes`."""
    size: Bytes
    """How much it holds."""


class Claim(Volume):
    """A volume of the cluster that holds a storage, instead of a folder of the machines."""

    access: Literal["ReadWriteOnce", "ReadWriteMany"] = "ReadWriteMany"
    """ReadWriteOnce is for one machine at a time, ReadWriteMany for several."""


class Encryption(Noun):
    """What a storage is encrypted with before anything leaves the machine that writes."""

    key: Secret
    """Reference to the key file that `tiers sync keygen` made; of a Secret without a key, the file `storage.key`.
    Who loses it loses the data."""


class Storage(Noun):
    """A Remote. `mirror` keeps files as files; `packs` keeps chunks in big packs, for archives."""

    model_config = ConfigDict(title="Storage")

    url: StorageUrl
    """`file:///path`, `s3://bucket/prefix` or `sftp://host/path`."""
    layout: Literal["mirror", "packs"] | None = None
    """How the data lies there; nothing means mirror in a folder of this machine's, packs elsewhere."""
    credentials: Secret | None = None
    """Reference to what lets us in: of s3:// a file in the form of ~/.aws/credentials (of a Secret without a key, the
    file `credentials`), of sftp:// a private key without a passphrase (`ssh-privatekey`). Nothing means what the
    machine offers: variables or a role of S3, the keys and the agent of SSH."""
    known_hosts: Secret | None = None
    """Reference to the file with the host keys of sftp:// that are believed (of a Secret without a key, the file
    `known_hosts`); nothing means those of the user."""
    endpoint: WebUrl | None = None
    """Address of an S3 service that is not Amazon's."""
    region: Name | None = None
    """Region of the S3 bucket."""
    ca: Secret | None = None
    """Reference to the authorities that the certificate of an S3 service may come from (of a Secret without a key, the
    file `ca.crt`), beside the system's."""
    object_class: str | None = Field(default=None, alias="class", pattern="^[A-Z][A-Z0-9_]{1,40}$")
    """Storage class of S3 in which packs are put, such as GLACIER_IR; documents stay in the class of the bucket."""
    encryption: Encryption | Literal["none"] | None = None
    """A key, with which objects and their names are encrypted; `none` says aloud that they are not. A storage of the
    cold tier that is not a folder of ours must say one of them."""
    capacity: Bytes | None = None
    """How much may be kept there."""
    claim: Claim | None = None
    """Volume that pods see at the folder of a file:// address; nothing means a folder that their machines have."""

    @property
    def key(self) -> SecretReference | None:
        """Where its key is kept; None when it is not encrypted."""
        return self.encryption.key if isinstance(self.encryption, Encryption) else None

    @property
    def kept_as(self) -> Literal["mirror", "packs"]:
        """How the data lies there: as it says, else as its address suggests."""
        return self.layout or ("mirror" if self.url.startswith("file:") else "packs")


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
