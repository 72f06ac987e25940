"""What a plain (unquoted) YAML word means, and which words mean different things to different readers.

Called by `read` and, after `${NAME}` was filled in, by `variables`. YAML 1.1 (PyYAML, kubectl, Helm) and YAML 1.2
(editors, most new tools) disagree about the words refused here: https://yaml.org/spec/1.2.2/ext/changes/ and
https://yaml.org/type/.
"""

import re

from toolkit.topology.nodes import ScalarValue

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_SWITCHES = frozenset(
    word for base in ("yes", "no", "on", "off") for word in (base, base.capitalize(), base.upper())
)
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)", re.ASCII)
_DECIMAL = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", re.ASCII)
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?", re.ASCII)
_ODD_NUMBER = re.compile(
    r"[-+]?(0[0-9_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0b[01_]+|[0-9]+[eE][-+]?[0-9]+|[0-9][0-9_]*_[0-9_]*(\.[0-9_]*)?)",
    re.ASCII,
)
_LONGEST_NUMBER = 40


def surprise(text: str) -> tuple[str, str] | None:
    """Give code and message for a plain word that readers of YAML understand differently, else None."""
    if text in _SWITCHES:
        meant = "true" if text.lower() in {"yes", "on"} else "false"
        return "E0105", f"'{text}' without quotes is {meant} to some tools and a word to others"
    if _BASE_60.fullmatch(text):
        return "E0106", f"'{text}' without quotes is a number to base 60 to some tools"
    if _DATE.fullmatch(text):
        return "E0108", f"'{text}' without quotes is a date to some tools and a word to others"
    if _ODD_NUMBER.fullmatch(text) or (len(text) > _LONGEST_NUMBER and _INTEGER.fullmatch(text)):
        return "E0107", f"'{text}' without quotes is not the same number to all tools"
    return None


def resolve(text: str) -> ScalarValue:
    """Give the value of a plain word that is no surprise: null, true, false, a number, or the word itself."""
    if text in _NULLS:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    return text
