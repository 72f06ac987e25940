"""What a registry answers to somebody it does not know: `WWW-Authenticate`, taken apart.

Between `registry`, which got it, and its next request. Grammar: RFC 9110 §11.6.1; meaning of Bearer's parameters:
https://distribution.github.io/distribution/spec/auth/token/.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_LONGEST = 8192
_SCHEME = re.compile(r"\s*,?\s*(?P<scheme>[A-Za-z0-9!#$%&'*+.^_`|~-]+)(?:\s+|$|(?=,))")
_PARAMETER = re.compile(
    r"\s*,?\s*(?P<name>[A-Za-z0-9_-]+)\s*=\s*(?:\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|(?P<word>[^\s,\"]+))"
)


@dataclass(frozen=True)
class Challenge:
    """One way to say who we are."""

    scheme: str
    """In lower case: basic or bearer."""
    parameters: Mapping[str, str]


def parse_challenges(text: str) -> tuple[Challenge, ...]:
    """Take a header apart; what cannot be read ends the list."""
    found: list[Challenge] = []
    text, position = text[:_LONGEST], 0
    while match := _SCHEME.match(text, position):
        position = match.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(text, position):
            position = parameter.end()
            value = parameter["word"]
            if value is None:
                value = re.sub(r"\\(.)", r"\1", parameter["quoted"])
            parameters[parameter["name"].lower()] = value
        found.append(Challenge(match["scheme"].lower(), parameters))
    return tuple(found)
