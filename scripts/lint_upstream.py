"""Lint all YAML that Volcano shows its users, straight from its Go module: counts per code, or every finding.

    scripts/lint_upstream.py            the table of counts, as it stands in docs/lint-upstream.md
    scripts/lint_upstream.py --list     every finding with file, line and code
    scripts/lint_upstream.py --write    put the table into docs/lint-upstream.md
    scripts/lint_upstream.py --where    the folder of the module

The module is read from Go's module cache, in the version that tests/cluster pins (Go brings it when it is not there);
nothing of it is copied. Its own CRDs (config/crd) are the schemas. Counted are: example/, the blocks marked yaml in
docs/**/*.md (as "guides"), the manifests of benchmark/, and installer/*.yaml. Left out is what nobody applies as it
stands: Helm templates, CRDs, files of its build, and files that hold a template ({{ … }}).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from toolkit.errors import Problem, TiersError
from toolkit.lint.check import lint, said_once
from toolkit.lint.document import Document, from_text
from toolkit.lint.schema import Schemas, schemas_from, validate

REPOSITORY: Final = Path(__file__).resolve().parent.parent
PAGE: Final = REPOSITORY / "docs" / "lint-upstream.md"
PINS: Final = REPOSITORY / "tests" / "cluster" / "go.mod"
MODULE: Final = "volcano.sh/volcano"
CRDS: Final = "config/crd/volcano/bases"
DOWNLOAD_SECONDS: Final = 300
SETS: Final = ("example", "guides", "benchmark", "installer")
BEGIN, END = "<!-- counts: made by scripts/lint_upstream.py --write -->", "<!-- end of counts -->"
_BLOCK: Final = re.compile(
    r"^(?P<indent>[ \t]*)```ya?ml[^\n]*\n(?P<text>.*?)^[ \t]*```", re.MULTILINE | re.DOTALL
)


@dataclass
class Tally:
    """What was found in one set of files."""

    files: int = 0
    unread: int = 0
    """Files and blocks that are no YAML: templates, or cut out of their context."""
    objects: int = 0
    problems: list[Problem] = field(default_factory=list)


def version() -> str:
    """Give the version of the module that tests/cluster pins."""
    found = re.search(rf"^\t{re.escape(MODULE)} (v\S+)", PINS.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise TiersError(f"{PINS} does not name {MODULE}")
    return found[1]


def module() -> Path:
    """Find the module in Go's cache; Go brings it when it is not there.

    Raises:
        TiersError: Go is not here, or cannot bring the module.
    """
    go = shutil.which("go", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/go/bin"])) or "go"
    command = [go, "-C", str(PINS.parent), "mod", "download", "-json", f"{MODULE}@{version()}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DOWNLOAD_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise TiersError(f"Go cannot bring {MODULE}: {exc}", hint="install Go and give it a proxy") from exc
    found = re.search(r'"Dir": "(.*)"', done.stdout)
    if done.returncode or found is None:
        raise TiersError(f"Go cannot bring {MODULE} {version()}", hint=" ".join(command))
    return Path(found[1])


def texts(folder: Path, which: str) -> Iterator[tuple[str, str]]:
    """Give path (with a block's text on its own lines of the page) and text of everything in a set."""
    if which == "guides":
        for page in sorted((folder / "docs").rglob("*.md")):
            content = page.read_text(encoding="utf-8")
            for block in _BLOCK.finditer(content):
                above = content.count("\n", 0, block.start("text"))
                yield str(page.relative_to(folder)), "\n" * above + textwrap.dedent(block["text"])
        return
    pattern = "*.yaml" if which == "installer" else "**/*.yaml"
    for file in sorted((folder / which).glob(pattern)):
        yield str(file.relative_to(folder)), file.read_text(encoding="utf-8")


def tally(folder: Path, which: str, schemas: Schemas) -> Tally:
    """Lint a set, each file or block by itself."""
    found = Tally()
    for path, content in texts(folder, which):
        found.files += 1
        try:
            documents: tuple[Document, ...] = from_text(content, path)
        except TiersError:
            found.unread += 1
            continue
        found.objects += len(documents)
        found.problems += said_once((*validate(documents, schemas).problems, *lint(documents)))
    return found


def table(tallies: dict[str, Tally]) -> str:
    """Write counts per code and set as a table of Markdown."""
    counts = {which: Counter(each.code for each in found.problems) for which, found in tallies.items()}
    rows = [
        ("", *SETS, "together"),
        ("---", *["---:"] * (len(SETS) + 1)),
        ("files or blocks", *_with_sum(found.files for found in tallies.values())),
        ("of these no YAML", *_with_sum(found.unread for found in tallies.values())),
        ("objects", *_with_sum(found.objects for found in tallies.values())),
        ("findings", *_with_sum(len(found.problems) for found in tallies.values())),
        *(
            (f"`{code}`", *_with_sum(counts[which][code] for which in SETS))
            for code in sorted({code for each in counts.values() for code in each})
        ),
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def _with_sum(numbers: Iterator[int]) -> Iterator[str]:
    listed = list(numbers)
    return (str(number) for number in (*listed, sum(listed)))


def write(counts: str) -> None:
    """Put the table between the marks of the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{counts}{END}{rest.partition(END)[2]}", encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Print or write; 1 when the module is not here, 2 for an option that there is not."""
    if set(arguments) - {"--list", "--write", "--where"}:
        sys.stderr.write("usage: lint_upstream.py [--list | --write | --where]\n")
        return 2
    try:
        folder = module()
    except TiersError as error:
        sys.stderr.write(f"{error.message}; next: {error.hint}\n")
        return 1
    if "--where" in arguments:
        print(folder)
        return 0
    schemas = schemas_from([folder / CRDS])
    tallies = {which: tally(folder, which, schemas) for which in SETS}
    if "--list" in arguments:
        for found in tallies.values():
            for problem in found.problems:
                print(problem)
    else:
        print(table(tallies), end="")
    if "--write" in arguments:
        write(table(tallies))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
