"""The command `tiers-edge`: enroll, run, check, status, wipe.

The only file of the device that prints, reads the environment or gives an exit code. It uses argparse, because a device
has the floor and the extra `edge` installed and nothing else.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from toolkit.errors import INTERRUPTED_EXIT_CODE, TiersError, UsageError

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=(options.log_level or "info").upper(), format=LOG_FORMAT, stream=sys.stderr)
    commands = {
        "enroll": _enroll,
        "run": _run,
        "check": _check,
        "status": _status,
        "send": _send,
        "wipe": _wipe,
    }
    command = commands[options.command]
    try:
        return command(options)
    except TiersError as error:
        print(f"tiers-edge: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED_EXIT_CODE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tiers-edge", description="The daemon of an edge device: installs models and serves them."
    )
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"))
    commands = parser.add_subparsers(dest="command", required=True)

    enroll = commands.add_parser(
        "enroll",
        help="make the device's key and a request to be let in; with --answer take in what came back",
    )
    enroll.add_argument("--config", type=Path, required=True, help="the device's configuration (JSON)")
    enroll.add_argument("--answer", type=Path, help="the file from `tiers device enroll`")

    run = commands.add_parser("run", help="run the daemon until SIGTERM")
    run.add_argument("--config", type=Path, required=True, help="the device's configuration (JSON)")
    run.add_argument(
        "--hold",
        action="append",
        default=[],
        metavar="POINT",
        help="for drills: stop once at STATE, STATE:done, WRITE:before or WRITE:after; a line on stdin ends it",
    )
    run.add_argument(
        "--pace",
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help="for drills: a limit of the transfer, such as min_timeout=0.2 (seconds) or max_window=65536 (bytes)",
    )

    run.add_argument(
        "--clock",
        metavar="TIME",
        help="for drills: the clock shows this time at the start, such as 1970-01-01T00:00 (UTC), and nothing keeps it",
    )

    check = commands.add_parser(
        "check", help="say what this machine can do; with --config also disk and broker"
    )
    check.add_argument("--config", type=Path, help="the device's configuration (JSON)")
    check.add_argument("--json", action="store_true", help="print JSON")

    status = commands.add_parser("status", help="say where the device stands")
    status.add_argument("--config", type=Path, required=True, help="the device's configuration (JSON)")
    status.add_argument("--json", action="store_true", help="print JSON")

    send = commands.add_parser("send", help="bring a folder out through the broker, into the site's inbox")
    send.add_argument("folder", type=Path, help="what to send; only what changed since the last time travels")
    send.add_argument("--as", dest="route", required=True, metavar="NAME", help="name of it in the inbox")
    send.add_argument("--config", type=Path, required=True, help="the device's configuration (JSON)")
    send.add_argument("--limit", type=int, default=0, metavar="BYTES", help="most bytes in a second")
    send.add_argument("--json", action="store_true", help="print JSON")

    wipe = commands.add_parser("wipe", help="delete all models and memory of the device")
    wipe.add_argument("--config", type=Path, required=True, help="the device's configuration (JSON)")
    wipe.add_argument("--yes", action="store_true", help="really do it")
    return parser


def _enroll(options: argparse.Namespace) -> int:
    from edge_runtime.identity import request, take_answer

    name = os.environ.get("NODE_NAME", "")
    if options.answer is None:
        asked = request(options.config, name)
        print(
            f"{asked.device}: key {'made' if asked.made_key else 'was there'}, request in {asked.request_file}"
        )
        print(
            f"  next, where tiers.yaml is: tiers device enroll {asked.request_file.name} --name {asked.device}"
        )
        return 0
    taken = take_answer(options.config, name, options.answer)
    print(f"{taken.device} is enrolled until {taken.until:%Y-%m-%d}; trusts {', '.join(taken.trusted)}")
    for warning in taken.warnings:
        print(f"  {warning}", file=sys.stderr)
    return 0


def _run(options: argparse.Namespace) -> int:
    from edge_runtime.clock import drilled
    from edge_runtime.config import read_settings
    from edge_runtime.daemon import MACHINE_CLOCK, Daemon, Surface
    from edge_runtime.drill import Drill, read_pace
    from edge_runtime.notify import Notifier
    from edge_runtime.serving.loop import run
    from toolkit.link.buffers import keep_buffers

    keep_buffers()
    settings = read_settings(options.config, os.environ.get("NODE_NAME", ""))
    drill = Drill(options.hold, _announce, _wait_for_line, read_pace(options.pace))
    watchdog = int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6
    notifier = Notifier(os.environ.get("NOTIFY_SOCKET", ""), watchdog)
    clock = drilled(options.clock) if options.clock else MACHINE_CLOCK
    surface = Surface(
        reread=lambda: read_settings(options.config, os.environ.get("NODE_NAME", "")).config,
        log_at=lambda level: logging.getLogger().setLevel((options.log_level or level).upper()),
    )
    run(Daemon(settings, drill, notifier, clock, surface).run())
    return 0


def _announce(model: str, point: str) -> None:
    sys.stdout.write(msgspec.json.encode({"holding": point, "model": model}).decode() + "\n")
    sys.stdout.flush()


def _wait_for_line() -> None:
    sys.stdin.readline()


def _check(options: argparse.Namespace) -> int:
    from edge_runtime.check import check_machine, check_settings
    from edge_runtime.config import read_settings

    lines = check_machine()
    if options.config is not None:
        lines += check_settings(read_settings(options.config, os.environ.get("NODE_NAME", "")))
    if options.json:
        print(msgspec.json.encode({line.subject: line.finding for line in lines}).decode())
    else:
        for line in lines:
            print(f"{'NO' if line.error else 'ok':3} {line.subject:12} {line.finding}")
    failed = [line.error for line in lines if line.error is not None]
    if failed:
        raise failed[0]
    return 0


def _status(options: argparse.Namespace) -> int:
    from edge_runtime.config import read_settings
    from edge_runtime.status import read_status

    settings = read_settings(options.config, os.environ.get("NODE_NAME", ""))
    status = read_status(Path(settings.config.state))
    if options.json:
        print(msgspec.json.encode(status).decode())
        return 0
    where = f"serves on {status.address}" if status.running else "does not run"
    print(f"{settings.config.device} {where}; {status.starts} starts; desired state {status.desired_seq}")
    for model in status.models:
        print(
            f"{model.model}: {model.state.value} {model.version}, serving {model.serving_version or 'nothing'}"
        )
        if model.code:
            print(f"  {model.code}: {model.reason}")
    return 0


def _send(options: argparse.Namespace) -> int:
    from edge_runtime.config import read_settings
    from edge_runtime.send import send

    settings = read_settings(options.config, os.environ.get("NODE_NAME", ""))
    log = logging.getLogger("tiers.send")
    result = send(
        settings,
        options.folder,
        options.route,
        limit_bytes_per_second=options.limit,
        listen=lambda event: log.info("%s", event),
    )
    (target,) = result.targets
    if options.json:
        print(msgspec.json.encode(result).decode())
    else:
        print(
            f"{options.route}: {result.files} files, {result.total_bytes} bytes; sent {target.bytes_moved}, "
            f"the inbox had {target.bytes_saved}"
        )
    for problem in (*result.problems, *target.problems):
        print(f"  {problem.kind}: {problem.path}: {problem.reason}", file=sys.stderr)
    if target.error:
        print(f"tiers-edge: {target.error}", file=sys.stderr)
        print(f"  {target.hint}", file=sys.stderr)
    return result.exit_code


def _wipe(options: argparse.Namespace) -> int:
    from edge_runtime.config import read_settings
    from edge_runtime.status import wipe

    settings = read_settings(options.config, os.environ.get("NODE_NAME", ""))
    if not options.yes:
        raise UsageError(
            f"this deletes all models and memory of {settings.config.device} in {settings.config.state}",
            hint=f"to do it: tiers-edge wipe --config {options.config} --yes",
        )
    found = wipe(Path(settings.config.state))
    print("wiped" if found else "there was nothing to wipe")
    return 0


if __name__ == "__main__":
    sys.exit(main())
