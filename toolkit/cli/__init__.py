"""The command `tiers`: the only room that knows typer, rich, the terminal and exit codes.

Every command is one small file: options -> one library call -> `present` -> exit code. `app` lists the commands,
this file runs them and turns every TiersError into its message, its hint and its exit code. Nothing stands above it.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

from toolkit.errors import TiersError

_COLLECT_AFTER = (50_000, 20, 100)
"""Python's own figures look through all documents of a large site again and again, half of what a no-op apply takes."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `tiers` with these arguments (default: the process's own) and return the exit code.

    Exit codes are the ones on the error classes (docs/reference/errors.md); typer itself gives 2 for a wrong
    command line and 130 after Ctrl-C, and stays quiet when the reader of a pipe has gone.
    """
    gc.set_threshold(*_COLLECT_AFTER)
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(arguments)
    except TiersError as error:
        from toolkit.cli.report import report

        report(error)
        return error.exit_code
    except KeyboardInterrupt:
        from toolkit.errors import INTERRUPTED_EXIT_CODE

        return INTERRUPTED_EXIT_CODE


def _run(arguments: list[str]) -> int:
    """Build and call the typer app; a package of an extra that is not there becomes its install line."""
    try:
        from toolkit.cli.app import build

        build(arguments)(args=arguments, prog_name="tiers")
    except SystemExit as done:  # typer ends every command this way
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    except ModuleNotFoundError as error:
        from toolkit.cli.extras import missing_extra

        missing = missing_extra(error)
        if missing is None:
            raise
        raise missing from error
    return 0
