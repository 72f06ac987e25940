"""References to secrets. A secret itself never stands in tiers.yaml.

Stands under broker, storage and job; render turns it into a Kubernetes secret reference, the CLI resolves the others.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from toolkit.topology.noun import Noun

_REFERENCE = r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?(/[-._A-Za-z0-9]{1,253})?$"
_ENVIRONMENT = r"^[A-Za-z_][A-Za-z0-9_]*$"


def _check_secret_name(text: str) -> str:
    """Take NAME or NAME/KEY of a Kubernetes Secret; the value is never shown, it could be the secret."""
    if re.fullmatch(_REFERENCE, text, re.ASCII) is None:
        raise PydanticCustomError("E0311", "is neither NAME nor NAME/KEY, so it could be the secret itself")
    return text


def _check_environment_name(text: str) -> str:
    """Take the name of an environment variable; the value is never shown, it could be the secret."""
    if re.fullmatch(_ENVIRONMENT, text, re.ASCII) is None:
        raise PydanticCustomError("E0311", "is not the name of a variable, so it could be the secret itself")
    return text


SecretName = Annotated[
    str, AfterValidator(_check_secret_name), Field(json_schema_extra={"pattern": _REFERENCE})
]
EnvironmentName = Annotated[
    str, AfterValidator(_check_environment_name), Field(json_schema_extra={"pattern": _ENVIRONMENT})
]


class SecretReference(Noun):
    """Where a secret is kept: exactly one of `secret`, `file` and `env`."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    secret: SecretName | None = None
    """A Kubernetes Secret, `name` for all of its keys or `name/key` for one."""
    file: str | None = None
    """A file that holds the secret, read when it is needed."""
    env: EnvironmentName | None = None
    """An environment variable that holds the secret, read when it is needed."""

    @property
    def name(self) -> str | None:
        """Name of the Kubernetes Secret, None when the secret is kept elsewhere."""
        return self.secret.partition("/")[0] if self.secret else None

    @property
    def key(self) -> str | None:
        """Key inside the Kubernetes Secret, None when all keys are meant."""
        return (self.secret.partition("/")[2] or None) if self.secret else None


def _refuse_literal(value: object) -> object:
    """Refuse a secret that was written out, and a reference that names no place or several."""
    if isinstance(value, (str, int, float)):
        raise PydanticCustomError("E0311", "is a secret that is written out")
    if isinstance(value, dict) and len(value) != 1:
        raise PydanticCustomError(
            "E0206", "a reference to a secret names exactly one of secret, file and env"
        )
    return value


Secret = Annotated[SecretReference, BeforeValidator(_refuse_literal)]
"""A field that takes a reference and refuses a literal."""
