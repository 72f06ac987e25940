"""The pages do not rot: generated ones are fresh, links lead somewhere, and the README's commands work."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cluster import programs
from tests.cluster.api import Refused
from tests.ports import BLOCK, FIRST, OF_THE_PAGES

REPOSITORY = Path(__file__).resolve().parents[2]
README = REPOSITORY / "README.md"
PAGES = sorted(
    [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob("examples/**/*.md")]
)
MADE_HERE = shutil.ignore_patterns(
    ".git", ".venv", ".cache", ".build", "__pycache__", ".*_cache", ".hypothesis", "demo-run"
)


def make_pages(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "scripts/docs.py", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=100)


def test_generated_pages_are_fresh():
    done = make_pages(REPOSITORY, "--check")
    assert done.returncode == 0, done.stderr


def test_a_stale_page_is_noticed_and_made_again(tmp_path):
    for folder in ("docs", "scripts", "templates", "tests/golden"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder, ignore=MADE_HERE)
    shutil.copy(REPOSITORY / "tiers.yaml", tmp_path)
    assert make_pages(tmp_path).returncode == 0
    page = tmp_path / "docs/reference/errors.md"
    fresh = page.read_text()
    page.write_text(fresh.replace("130", "131"))
    stale = make_pages(tmp_path, "--check")
    assert stale.returncode == 1
    assert "docs/reference/errors.md" in stale.stderr
    assert "make docs" in stale.stderr
    assert make_pages(tmp_path).returncode == 0
    assert page.read_text() == fresh


def test_the_readme_is_short():
    assert len(README.read_text().splitlines()) < 120


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    local = [target for target in targets if "://" not in target and not target.startswith("mailto:")]
    assert [target for target in local if not (page.parent / target).exists()] == []


def shell_blocks(page: Path) -> list[str]:
    """Return a page's blocks fenced as ```sh; a block with another word after sh is not for running."""
    return re.findall(r"^```sh\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def taken_away(plane) -> None:
    """Leave nothing of a page in the cluster, however it ended; the next page uses the same names."""
    with suppress(Refused):  # it is gone, or it is going
        plane.api.delete(f"/api/v1/namespaces/{SITE}")
    claims = f"/api/v1/namespaces/{SITE}/persistentvolumeclaims"
    for each in plane.api.items(claims):  # the controller that lets claims go is not part of the plane
        with suppress(Refused):
            plane.api.merge(f"{claims}/{each['metadata']['name']}", {"metadata": {"finalizers": None}})
    plane.forget(SITE)
    classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
    plane.api.delete(f"{classes}?labelSelector=tiers.dev/topology={SITE}")
    pause, until = threading.Event(), time.monotonic() + 240
    while not plane.api.gone(f"/api/v1/namespaces/{SITE}"):
        left = plane.api.get(f"/api/v1/namespaces/{SITE}")["status"] if time.monotonic() > until else None
        assert left is None, f"namespace {SITE} does not end: {left}"
        pause.wait(0.2)


RUN_PAGES = [page for page in PAGES if shell_blocks(page)]
ON_A_CLUSTER = {"apply.md", "operate.md", "devices.md", "serve.md"}
"""Pages whose reader has a cluster, such as that of `make cluster`."""
SITE = "medical-imaging"
"""Name of the worked example, which is the namespace of what it becomes."""
WITH_PROMETHEUS = {"monitor.md"}
END_WHAT_THE_PAGE_STARTED = "trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n"


def test_each_page_has_ports_of_its_own_that_no_test_is_given():
    """Pages are run beside each other, and beside tests that ask for a free port."""
    assert (OF_THE_PAGES.start - FIRST) % BLOCK == (OF_THE_PAGES.stop - FIRST) % BLOCK == 0
    whose: dict[int, list[str]] = {}
    for page in RUN_PAGES:
        for port in sorted({int(each) for each in re.findall(r"\b[12]\d{4}\b", "".join(shell_blocks(page)))}):
            whose.setdefault(port, []).append(page.name)
    assert {port: pages for port, pages in whose.items() if len(pages) > 1 or port not in OF_THE_PAGES} == {}
    assert len(whose) > 10


def test_the_readme_and_the_guide_have_commands_to_run():
    assert {README, REPOSITORY / "docs/guides/ship-a-model.md"} <= set(RUN_PAGES)


@pytest.mark.demo
@pytest.mark.broker
@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("page", RUN_PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_work(tmp_path, page, request):
    copy = tmp_path / "tiers"
    shutil.copytree(REPOSITORY, copy, ignore=MADE_HERE)
    path, cluster = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]), {}
    if page.name in WITH_PROMETHEUS:
        request.getfixturevalue("require")("prometheus")
    if page.name in ON_A_CLUSTER:
        plane = request.getfixturevalue("plane")
        request.addfinalizer(lambda: taken_away(plane))
        cluster = {"KUBECONFIG": str(plane.kubeconfig)}
        path = os.pathsep.join([path, str(programs.find("kubectl").parent)])
    script = END_WHAT_THE_PAGE_STARTED + "".join(shell_blocks(page))
    shell = subprocess.Popen(
        ["bash", "-eux"], cwd=copy, env={**os.environ, **cluster, "PATH": path}, text=True, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        said, _ = shell.communicate(script, timeout=380)
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, signal.SIGKILL)  # with all that the page started, which would keep its ports
        said = f"it hung\n{shell.communicate()[0]}"
    logs = "".join(f"\n{log}:\n{log.read_text()[-2000:]}" for log in copy.glob("*/*.log"))
    assert shell.returncode == 0, said + logs
