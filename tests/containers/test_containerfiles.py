"""What rendering relies on in our images, read from the Containerfiles; and their pip lines, run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.toolkit.images.conftest import start_registry
from toolkit.render.broker import MOSQUITTO_USER
from toolkit.render.edge_agent import CONFIG_FILE, CONFIG_FOLDER, DEVICE_USER
from toolkit.render.gang import JOB_USER
from toolkit.render.worker_pod import WORKER_USER

__all__ = ["start_registry"]

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = {name: REPOSITORY / "containers" / f"{name}.Containerfile" for name in ("edge", "jobs")}
TARGETS = {"edge": ("cpu", "jetpack6", "tensorrt"), "jobs": ("jobs",)}
ENDS = [(name, target) for name, targets in TARGETS.items() for target in targets]


def instructions(name: str) -> list[tuple[str, str]]:
    """Give (word, rest) of each instruction; lines that end in a backslash go on."""
    lines = [line for line in FILES[name].read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [
        (word, rest)
        for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())
    ]


def stage(name: str, target: str) -> list[tuple[str, str]]:
    """Give the instructions of one stage."""
    found: list[tuple[str, str]] = []
    inside = False
    for word, rest in instructions(name):
        if word == "FROM":
            inside = rest.endswith(f" AS {target}")
        if inside:
            found.append((word, rest))
    assert found, f"{name} has no stage {target}"
    return found


@pytest.mark.parametrize(("name", "target"), ENDS)
def test_an_image_runs_as_the_user_of_the_rendered_pods_and_asks_itself_nothing(name, target):
    said = dict(stage(name, target))
    assert said["USER"] == f"{DEVICE_USER}:{DEVICE_USER}"
    assert JOB_USER == WORKER_USER == DEVICE_USER != MOSQUITTO_USER
    assert said["HEALTHCHECK"] == "NONE"
    assert "PYTHONDONTWRITEBYTECODE=1" in said["ENV"]
    words = [word for word, _ in stage(name, target)]
    assert words.index("USER") > max(
        number for number, word in enumerate(words) if word in {"COPY", "RUN"} or number == 0
    )


def test_the_image_of_jobs_can_reach_storages_behind_ssh():
    runs = [rest for word, rest in stage("jobs", "jobs") if word == "RUN"]
    assert any("openssh-client" in each for each in runs)
    assert any(f"tiers:x:{WORKER_USER}:{WORKER_USER}:" in each and "/etc/passwd" in each for each in runs)


@pytest.mark.parametrize("target", TARGETS["edge"])
def test_the_daemon_is_found_where_the_pods_look_for_it(target):
    said = dict(stage("edge", target))
    assert said["ENTRYPOINT"] == '["tiers-edge"]'
    assert said["CMD"] == f'["run", "--config", "{CONFIG_FOLDER}/{CONFIG_FILE}"]'
    assert said["ENV"].startswith("PATH=/opt/tiers/bin:")
    assert (Path(sys.executable).parent / "tiers-edge").exists()


@pytest.mark.parametrize("name", FILES)
def test_every_base_is_an_argument_with_a_tag_so_that_a_build_can_pin_it(name):
    stages = set()
    declared = {
        rest.partition("=")[0]: rest.partition("=")[2] for word, rest in instructions(name) if word == "ARG"
    }
    for word, rest in instructions(name):
        if word == "FROM":
            base, _, own = rest.partition(" AS ")
            argument = re.fullmatch(r"\$\{(\w+)\}", base)
            assert base in stages or (argument and argument[1] in declared), rest
            stages.add(own)
    bases = {key: value for key, value in declared.items() if key.endswith("BASE")}
    assert bases
    assert all(
        re.fullmatch(r"[a-z0-9.]+\.[a-z]+/[a-z0-9/._-]+:[A-Za-z0-9._-]+", value) for value in bases.values()
    )


@pytest.mark.parametrize("name", FILES)
def test_what_is_copied_is_there_and_reaches_the_build(name):
    seen = (REPOSITORY / ".dockerignore").read_text().splitlines()
    for word, rest in instructions(name):
        if word == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (REPOSITORY / source).exists(), source
                assert f"!{source}" in seen, source


def copy(source: Path, to: Path) -> None:
    """Copy as COPY does, byte code left out as .dockerignore says: tests beside this one are writing it."""
    there = to / source.name if to.is_dir() else to
    if source.is_dir():
        shutil.copytree(source, there, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy2(source, there)


@pytest.mark.index
@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_commands_of_the_cpu_image_make_a_daemon(tmp_path):
    """Run every RUN of the two stages that need no other machine, with their folders put below a folder of the test."""
    source, wheels = tmp_path / "source", tmp_path / "wheels"
    source.mkdir()
    wheels.mkdir()
    run = ["bash", "-eu", "-c"]
    for target in ("wheel", "cpu-installed"):
        for word, rest in stage("edge", target):
            if word == "COPY" and not rest.startswith("--from"):
                *sources, place = rest.split()
                to = str(source / place) if not place.startswith("/") else f"{tmp_path}{place}"
                for each in sources:
                    copy(REPOSITORY / each, Path(to))
            elif word == "RUN":
                moved = re.sub(r"(?<![\w.}])/(source|wheels|build|opt)(?=/|\s|\"|$)", rf"{tmp_path}/\1", rest)
                (tmp_path / "opt").mkdir(exist_ok=True)
                done = subprocess.run(
                    [*run, moved], cwd=source, capture_output=True, text=True, check=False, timeout=1200
                )
                assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    daemon = tmp_path / "opt/tiers/bin/tiers-edge"
    done = subprocess.run(
        [daemon, "check"], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert list(
        (tmp_path / "opt/tiers").glob("lib/python*/site-packages/edge_runtime/__pycache__/daemon.*.pyc")
    )


def test_bases_are_pinned_by_what_their_registry_says(start_registry, tmp_path):
    registry = start_registry()
    digest = registry.push("library/python:3.12", "base", ("linux/amd64",))
    file = tmp_path / "Containerfile"
    file.write_text(
        f"# a base\nARG CPU_BASE={registry.host}/library/python:3.12\nARG OTHER=1\nFROM ${{CPU_BASE}}\n"
    )
    command = [sys.executable, REPOSITORY / "scripts/pin_bases.py", file]
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=200)
    assert shlex.split(done.stdout) == [f"--build-arg=CPU_BASE={registry.host}/library/python:3.12@{digest}"]
    file.write_text(f"ARG CPU_BASE={registry.host}/library/python:3.13\nFROM ${{CPU_BASE}}\n")
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=200)
    assert (done.returncode, done.stdout) == (1, "")
    assert "has no" in done.stderr
