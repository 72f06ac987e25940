"""What goes to stderr in words: messages, findings, errors. Needs no extra, so that a missing one can be reported.

`toolkit.cli.main` reports errors with it; commands take `say` and `describe` from `present`.
"""

from __future__ import annotations

import sys

from toolkit.errors import Problem, TiersError, TopologyError


def say(message: str) -> None:
    """Tell the person at the terminal something that is not the result."""
    print(message, file=sys.stderr)


def report(error: TiersError) -> None:
    """Write an error to stderr: every finding it carries, what went wrong, and the cure."""
    if isinstance(error, TopologyError):
        for problem in error.problems:
            say(describe(problem))
    say(f"error: {error.message}")
    if error.hint:
        say(f"  try: {error.hint}")


def describe(problem: Problem) -> str:
    """Write a finding for people: the place and the message, then the excerpt, the reason and the cure."""
    lines = [f"{problem.place}: {problem.severity.value} {problem.code} {problem.message}"]
    if problem.excerpt:
        lines += [f"    {line}" for line in problem.excerpt.splitlines()]
    if problem.why:
        lines.append(f"  why: {problem.why}")
    if problem.cure:
        lines.append(f"  help: {problem.cure}")
    return "\n".join(lines)
