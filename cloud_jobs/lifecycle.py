"""Do once what the rules of a site say about data that ages: `python -m cloud_jobs.lifecycle POLICY.json`.

Flow: `toolkit.policies` makes a Policy of tiers.yaml, the rendered CronJob mounts it and starts this; `sync.policies`
plans, carries out and writes the audit log. A run that is killed is finished by the next. One line of JSON.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from toolkit.errors import TiersError, UsageError
from toolkit.sync.policies.carry_out import carry_out
from toolkit.sync.policies.plan import make_plan
from toolkit.sync.policies.policy import decode_policy

log = logging.getLogger("tiers.lifecycle")
WHO = "agent"
"""Who stands in the audit log for what nobody started by hand."""


def main(argv: Sequence[str]) -> int:
    """Carry the rules out; give the exit code of the worst thing that happened.

    Raises:
        UsageError: the file cannot be read.
        IntegrityError: it holds no policy, or a storage's documents were damaged.
        SyncError: another run is at work.
    """
    parser = argparse.ArgumentParser(
        prog="python -m cloud_jobs.lifecycle", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("policy", type=Path, help="JSON of a policy")
    given = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        policy = decode_policy(given.policy.read_bytes(), what=str(given.policy))
    except OSError as error:
        message = f"{given.policy}: {error.strerror}"
        raise UsageError(message, hint="give the file that the pod mounts") from error
    begun, now_ms = time.monotonic(), time.time_ns() // 1_000_000
    outlook = make_plan(policy, now_ms)
    done = carry_out(policy, outlook, who=WHO, now_ms=now_ms)
    for wrong in done.errors:
        log.error("%s", wrong)
    deeds = {deed: done.count(deed) for deed in sorted({line.deed for line in done.lines})}
    line = {
        "exit_code": done.exit_code,
        "deeds": {deed: {"objects": objects, "bytes": size} for deed, (objects, size) in deeds.items()},
        "errors": done.errors,
        "seconds": round(time.monotonic() - begun, 3),
    }
    print(msgspec.json.encode(line).decode(), flush=True)
    return done.exit_code


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except TiersError as error:
        print(f"error: {error.message}; {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
