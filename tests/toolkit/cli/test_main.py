"""`toolkit.cli.main`: errors become message, hint and exit code; whoever leaves early is not shouted at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from toolkit import errors
from toolkit.cli import app, main
from toolkit.cli.app import Command

# A tree of commands of our own, which raise what real ones raise. Run as a process: exit codes and signals are real.
PROGRAM = """
import sys
from toolkit import cli, errors
from toolkit.cli import app
def raise_it(name: str) -> None:
    "Raise the named error."
    if name == "ModuleNotFoundError":
        raise ModuleNotFoundError("no", name="torch._C")
    if name == "TopologyError":
        place = errors.Place("tiers.yaml", 3, 9)
        excerpt = "pool: a1\\n      ^"
        severity = errors.Severity.ERROR
        problem = errors.Problem("E0107", severity, place, "no such pool", "nothing runs", "say a100", excerpt)
        raise errors.TopologyError([problem], hint="tiers validate")
    raise getattr(errors, name)("what and where", hint="the next command")
def wait() -> None:
    "Wait for a signal."
    print("ready", flush=True)
    import threading
    while True:  # and not pause(), which would sleep through a signal that comes just before it
        threading.Event().wait(0.1)
def many() -> None:
    "Print more than a pipe holds."
    for _ in range(200_000):
        print("line")
app.load = lambda command: globals()[command.target]
app.COMMANDS = tuple(app.Command("More", name, name) for name in ("raise_it", "wait", "many"))
sys.exit(cli.main())
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", PROGRAM, *arguments]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False, timeout=200)


@pytest.mark.parametrize(
    "name", ["TiersError", "UsageError", "UnreachableError", "SignatureError", "GateRefusedError"]
)
def test_an_error_gives_its_own_exit_code_message_and_hint(name):
    done = run("raise_it", name)
    assert done.returncode == getattr(errors, name).exit_code
    assert done.stdout == ""
    assert done.stderr == "error: what and where\n  try: the next command\n"


def test_an_invalid_topology_prints_every_finding_with_its_cure():
    done = run("raise_it", "TopologyError")
    assert done.returncode == 3
    assert done.stderr.splitlines() == [
        "tiers.yaml:3:9: error E0107 no such pool",
        "    pool: a1",
        "          ^",
        "  why: nothing runs",
        "  help: say a100",
        "error: 1 error in the topology",
        "  try: tiers validate",
    ]


def test_a_missing_package_becomes_its_install_line():
    done = run("raise_it", "ModuleNotFoundError")
    assert done.returncode == 2
    assert "pip install 'tiers[train]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interrupt_is_130_and_no_traceback():
    with subprocess.Popen(
        command("wait"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=200) == 130
        assert "Traceback" not in process.stderr.read()


def test_a_reader_that_leaves_is_not_shouted_at():
    with subprocess.Popen(command("many"), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=200) != 0


def test_a_wrong_word_is_2_and_names_the_right_one(capsys):
    assert main(["versoin"]) == 2
    assert "version" in capsys.readouterr().err


def test_no_words_at_all_shows_the_help(capsys):
    assert main([]) in {0, 2}
    shown = capsys.readouterr()
    assert "Usage: tiers" in shown.out + shown.err


def test_version_as_option_and_as_command(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("tiers 0.")
    assert main(["version", "--json"]) == 0
    assert '"msgspec"' in capsys.readouterr().out


def test_every_line_of_the_list_names_a_function_with_a_help_line():
    for each in app.COMMANDS:
        function = app.load(each)
        assert function.__doc__, each
        assert each.heading in app.HEADINGS
        assert " " not in each.words or each.words.split()[0] in app.GROUPS


def test_only_the_files_of_the_typed_word_are_imported():
    several = [
        Command("Data", "sync run", "a:a"),
        Command("Data", "sync gc", "b:b"),
        Command("More", "demo", "c:c"),
    ]
    assert [each.words for each in app._wanted(several, ["sync", "run"])] == ["sync run", "sync gc"]
    assert [each.words for each in app._wanted(several, ["demo"])] == ["demo"]
    for typed in ([], ["--help"], ["symc"]):
        assert app._wanted(several, typed) == several


def test_colour_and_width_of_the_machine_do_not_reach_a_pipe():
    environment = {**os.environ, "COLUMNS": "20", "FORCE_COLOR": ""}
    done = subprocess.run(
        [sys.executable, "-c", "from toolkit.cli import main; main(['version'])"],
        capture_output=True, text=True, check=True, env=environment, timeout=200,
    )  # fmt: skip
    assert "\x1b" not in done.stdout
    assert len(done.stdout.splitlines()) == 9
