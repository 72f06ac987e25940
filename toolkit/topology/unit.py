"""What every value with a unit is able to do: be read from text, be written back, describe itself to editors.

Stands under units, shares and clock. A bare number where a unit belongs is refused, because `limit: 20` means something
else to everybody who reads it.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


class Unit(ABC):
    """A value that is written with its unit. Subclasses say how it is read; `str()` writes it back exactly."""

    code: ClassVar[str]
    """Code of the problem when the text cannot be read."""
    example: ClassVar[str]
    """A value that can be read, for messages and the schema."""
    pattern: ClassVar[str]
    """Regular expression for editors; `parse` is the judge."""

    @classmethod
    @abstractmethod
    def parse(cls, text: str) -> "Unit":
        """Read the value. Raises ValueError with a sentence for people."""

    @classmethod
    def read(cls, value: object) -> "Unit":
        """Take a value of tiers.yaml. Raises PydanticCustomError, which `shape` turns into a Problem."""
        if isinstance(value, cls):
            return value
        try:
            return cls.parse(_as_text(value))
        except ValueError as exc:
            raise PydanticCustomError(cls.code, "{reason}", {"reason": str(exc)}) from exc

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Tell pydantic to read with `read` and to write with `str`."""
        return core_schema.no_info_plain_validator_function(
            cls.read, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe the text form to editors."""
        return {"type": "string", "pattern": cls.pattern, "examples": [cls.example]}


def _as_text(value: object) -> str:
    """Give the text of a scalar; anything else cannot carry a unit."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise ValueError("expected one value with a unit")
