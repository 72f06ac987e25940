"""Versions of KubeEdge as text and as numbers, and which of them have the fixes of July 2026.

Below `kubeedge` (the noun), lint and doctor: one place says which versions are sound.
"""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

PATTERN = r"^[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}$"
FIXED: Mapping[tuple[int, int], int] = {(1, 23): 1, (1, 22): 2, (1, 21): 2}
"""Release → first patch with the fixes of CVE-2026-62369, -62370, -62182 and -62371 (KubeEdge's release notes)."""


def check_version(text: str) -> str:
    """Take a version with three numbers. Raises PydanticCustomError."""
    if re.fullmatch(PATTERN, text, re.ASCII) is None:
        reason = f"'{text}' is not a version such as 1.23.1"
        raise PydanticCustomError("E0309", "{reason}", {"reason": reason})
    return text


KubeEdgeVersion = Annotated[str, AfterValidator(check_version), Field(json_schema_extra={"pattern": PATTERN})]
"""A release of KubeEdge, without a v in front."""


def numbers_of(version: str) -> tuple[int, int, int] | None:
    """Read `1.23.1` or `v1.23.1`; None for whatever else it is."""
    bare = version.removeprefix("v")
    if re.fullmatch(PATTERN, bare, re.ASCII) is None:
        return None
    major, minor, patch = map(int, bare.split("."))
    return major, minor, patch


def is_fixed(numbers: tuple[int, int, int]) -> bool:
    """Tell whether a version has the fixes; releases after the last one that is listed have them."""
    release = numbers[:2]
    if release > max(FIXED):
        return True
    return release in FIXED and numbers[2] >= FIXED[release]


def first_fixed() -> str:
    """Write the first sound versions, for messages."""
    return ", ".join(f"{major}.{minor}.{patch}" for (major, minor), patch in FIXED.items())
