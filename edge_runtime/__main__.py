"""The command `tiers-edge`: enroll, run, unit, build, vouch, check, status, wipe.

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
from typing import TYPE_CHECKING

import msgspec

from toolkit.errors import INTERRUPTED_EXIT_CODE, TiersError, UsageError

if TYPE_CHECKING:
    from edge_runtime.build_command import Order

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=(options.log_level or "info").upper(), format=LOG_FORMAT, stream=sys.stderr)
    commands = {
        "enroll": _enroll,
        "run": _run,
        "unit": _unit,
        "build": _build,
        "vouch": _vouch,
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

    unit = commands.add_parser("unit", help="print the systemd unit that runs the daemon on this machine")
    unit.add_argument("--config", type=Path, default=Path("/etc/tiers/config.json"), help="what it runs with")
    unit.add_argument("--user", default="edge", help="whom it runs as")

    build = commands.add_parser(
        "build", help="make TensorRT plans of models for this machine, which can take minutes"
    )
    build.add_argument(
        "models",
        nargs="*",
        metavar="MODEL",
        help="names of models with --config (none: all), else ONNX files",
    )
    build.add_argument("--config", type=Path, help="the device's configuration (JSON)")
    build.add_argument("--plans", type=Path, help="folder of plans; with --config it is the device's own")
    build.add_argument("--max-batch", type=int, default=8, help="rows of the largest bucket of ONNX files")
    build.add_argument("--seconds", type=float, default=3600.0, help="longest time of one plan")
    build.add_argument("--json", action="store_true", help="print a line of JSON for each step")

    _describe_vouch(
        commands.add_parser(
            "vouch", help="check and seal a plan, so that machines like this need not build it"
        )
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

    wipe = commands.add_parser(
        "wipe", help="delete all that the device has: models, memory, records, identity"
    )
    wipe.add_argument("--config", type=Path, required=True, help="the device's configuration (JSON)")
    wipe.add_argument("--yes", action="store_true", help="do not ask")
    wipe.add_argument("--keep-identity", action="store_true", help="leave key, certificate and passwords")
    wipe.add_argument("--json", action="store_true", help="print JSON")
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
    from edge_runtime.back import Surface
    from edge_runtime.clock import drilled
    from edge_runtime.config import read_settings
    from edge_runtime.daemon import MACHINE_CLOCK, Daemon
    from edge_runtime.drill import Drill, read_pace
    from edge_runtime.notify import Notifier, watchdog_seconds
    from edge_runtime.serving.loop import collect_rarely, run
    from toolkit.link.buffers import keep_buffers

    keep_buffers()
    settings = read_settings(options.config, os.environ.get("NODE_NAME", ""))
    drill = Drill(options.hold, _announce, _wait_for_line, read_pace(options.pace))
    told = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    notifier = Notifier(os.environ.get("NOTIFY_SOCKET", ""), watchdog_seconds(*told, os.getpid()))
    clock = drilled(options.clock) if options.clock else MACHINE_CLOCK
    surface = Surface(
        reread=lambda: read_settings(options.config, os.environ.get("NODE_NAME", "")).config,
        log_at=lambda level: logging.getLogger().setLevel((options.log_level or level).upper()),
    )
    collect_rarely()
    run(Daemon(settings, drill, notifier, clock, surface).run())
    return 0


def _unit(options: argparse.Namespace) -> int:
    from edge_runtime.unit import unit_text

    print(unit_text(Path(sys.executable).with_name("tiers-edge"), options.config, options.user), end="")
    return 0


def _announce(model: str, point: str) -> None:
    sys.stdout.write(msgspec.json.encode({"holding": point, "model": model}).decode() + "\n")
    sys.stdout.flush()


def _wait_for_line() -> None:
    sys.stdin.readline()


def _build(options: argparse.Namespace) -> int:
    from edge_runtime.build_command import build_plans
    from edge_runtime.engine.builder import BuildLine
    from edge_runtime.engine.choose import machine_tools

    orders, folder = _orders(options)
    live = sys.stderr.isatty() and not options.json

    def show(line: BuildLine) -> None:
        if options.json:
            print(msgspec.json.encode(line).decode(), flush=True)
        elif line.phase and live:
            print(f"\r{line.model}: {line.phase} {line.done}/{line.steps}\x1b[K", end="", file=sys.stderr)
        elif line.plan:
            took = f"built in {line.seconds:.0f} s" if line.fresh else "was there"
            print(f"{line.model}: {took}, {line.bytes} bytes, rows {', '.join(map(str, line.buckets))}")

    failed: list[TiersError] = []
    for line, error in build_plans(machine_tools(), orders, folder, show, seconds=options.seconds):
        if live:
            print("\r\x1b[K", end="", file=sys.stderr)
        show(line)
        if error is not None:
            failed.append(error)
            if len(orders) > 1:
                print(f"tiers-edge: {error.message}", file=sys.stderr)
    if failed:
        raise failed[0]
    return 0


def _orders(options: argparse.Namespace) -> tuple[list[Order], Path]:
    """Read what `build` shall build, and where plans go."""
    from edge_runtime.build_command import orders_of_device, orders_of_files
    from edge_runtime.config import read_settings
    from edge_runtime.folders import Folders

    if options.config is not None:
        settings = read_settings(options.config, os.environ.get("NODE_NAME", ""))
        plans = Folders(Path(settings.config.state)).plans
        return orders_of_device(settings, options.models), options.plans or plans
    if options.plans is None or not options.models:
        raise UsageError(
            "build needs to know of what and where to",
            hint="tiers-edge build --config FILE, or tiers-edge build MODEL.onnx --plans FOLDER",
        )
    return orders_of_files(options.models, options.max_batch), options.plans


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
    from edge_runtime.status import lines, read_status

    settings = read_settings(options.config, os.environ.get("NODE_NAME", ""))
    status = read_status(Path(settings.config.state))
    if options.json:
        print(msgspec.json.encode(status).decode())
        return 0
    print("\n".join(lines(status, settings.config.device)))
    return 0


def _describe_vouch(vouch: argparse.ArgumentParser) -> None:
    vouch.add_argument("model", help="one of the device's models")
    vouch.add_argument(
        "folder", type=Path, help="where plan and seal go; then: tiers-edge send FOLDER --as plans"
    )
    vouch.add_argument("--config", type=Path, required=True, help="the device's configuration (JSON)")
    vouch.add_argument("--key", type=Path, required=True, help="the builder's private key (PEM)")
    vouch.add_argument("--seconds", type=float, default=3600.0, help="longest time of a build")


def _vouch(options: argparse.Namespace) -> int:
    from edge_runtime.config import read_settings
    from edge_runtime.engine.choose import machine_tools
    from edge_runtime.vouch import subject_of, vouch_for

    config = read_settings(options.config, os.environ.get("NODE_NAME", "")).config
    subject = subject_of(config, options.model, machine_tools(), seconds=options.seconds)
    built = vouch_for(config, subject, options.key, options.folder)
    print(f"{built.name} {built.version}: {built.plan_bytes} bytes for {built.made_for.machine.gpu}, sealed")
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
    from edge_runtime.config import read_config
    from edge_runtime.wipe import places, wipe

    file, config = read_config(options.config, os.environ.get("NODE_NAME", ""))
    state, config = places(file, config)
    if not options.yes:
        warning = f"this deletes all that {config.device} has in {state}"
        if not sys.stdin.isatty():
            raise UsageError(warning, hint=f"to do it: tiers-edge wipe --config {options.config} --yes")
        print(
            f"{warning}{'' if options.keep_identity else ', and its key'}; type its name to do it: ", end=""
        )
        if input() != config.device:
            raise UsageError("nothing was deleted", hint=f"the name is {config.device}")
    found = wipe(state, None if options.keep_identity else config)
    if options.json:
        print(msgspec.json.encode(found).decode())
        return 0
    for removed in found:
        print(f"{removed.what}: {removed.files} files, {removed.bytes} bytes")
    print("wiped" if found else "there was nothing to wipe")
    return 0


if __name__ == "__main__":
    sys.exit(main())
