"""The line of a finding with a caret under the place, without anything secret.

The last step of loading; the result goes to terminals and CI logs, so passwords are masked wherever they stand.
"""

import re

from toolkit.errors import Place

_IN_URL = re.compile(r"(?P<head>[a-z0-9+.-]+://[^/\s:@\"']*:)[^@\s\"']+(?=@)", re.IGNORECASE)
_AFTER_KEY = re.compile(
    r"(?P<head>\b\w*(?:password|passwd|_secret|secret_?key|credentials|token|api_?key|access_?key)[\"']?\s*[:=]\s*)"
    r"(?![{|>\s])(?P<value>\"[^\"]*\"?|'[^']*'?|[^,}\s#]+)",
    re.IGNORECASE,
)
_WORD = re.compile(r"\"[^\"]*\"|'[^']*'|(?:\$\{[^}\s]*\}?|[^\s,\[\]{}])+")
_MASK = "****"


def masked(text: str) -> str:
    """Give a text with passwords in addresses and values of secret keys replaced by ****."""
    text = _IN_URL.sub(rf"\g<head>{_MASK}", text)
    return _AFTER_KEY.sub(_mask_value, text)


def hide(lines: list[str], place: Place) -> None:
    """Cut a line off where a secret begins; the text behind it may belong to the secret."""
    if 1 <= place.line <= len(lines):
        lines[place.line - 1] = lines[place.line - 1][: place.column - 1] + _MASK


def excerpt(lines: list[str], place: Place) -> str:
    """Give the line of a place and carets under the word that starts there; nothing when there is no such line."""
    if not 1 <= place.line <= len(lines):
        return ""
    line = lines[place.line - 1].rstrip().replace("\t", " ")
    column = min(max(place.column - 1, 0), len(line))
    shown = masked(line)
    head = masked(line[:column])
    if not shown.startswith(head):  # the place is inside what was masked: show the whole line's start
        head = ""
    word = _WORD.match(shown, len(head))
    length = max(len(word[0].removesuffix(":")) if word else 1, 1)
    number = str(place.line)
    return f"{number} | {shown}\n{' ' * len(number)} | {' ' * len(head)}{'^' * length}"


def _mask_value(match: re.Match[str]) -> str:
    """Replace a value and keep its key."""
    return f"{match['head']}{_MASK}"
