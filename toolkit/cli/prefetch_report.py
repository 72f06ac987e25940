"""How looking ahead looks: a line an answer, and at the end what it was good for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolkit.cli.present import say
from toolkit.cli.sync_report import amount

if TYPE_CHECKING:
    from toolkit.sync.read_order import Tally
    from toolkit.sync.serve_reads import Answer


def answer_line(answer: Answer, *, as_json: bool) -> str:
    """Put what came of a request for a file into one line."""
    import msgspec

    if as_json:
        return msgspec.json.encode(answer).decode()
    cure = f"; try: {answer.hint}" if answer.hint else ""
    return f"{answer.state} {answer.path}" + (f": {answer.error}{cure}" if answer.error else "")


def report_tally(tally: Tally) -> None:
    """Say what looking ahead was good for."""
    share = 100 * tally.there // tally.asked if tally.asked else 0
    say(f"{tally.asked} reads, {tally.there} found their file there ({share} %)")
    say(
        f"{tally.ahead} files, {amount(tally.ahead_bytes)}, brought before somebody asked; {tally.used} of them read, "
        f"{tally.given_up} ({amount(tally.given_up_bytes)}) in a whole epoch by nobody"
    )
