"""The commands of docs/guides/train.md that need a cluster, typed as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

from toolkit.cli import main

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "train.md"


def test_the_guide_can_be_followed(ward, wait_until):
    blocks = re.findall(r"^```sh no-run\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    lines = [
        line for block in blocks for line in block.splitlines() if "nightly" not in line
    ]  # a flow: test_flow
    commands = [line.removeprefix("tiers job ").split() for line in lines]
    assert [words[0] for words in commands] == [
        "submit", "status", "list", "submit", "suspend", "resume", "cancel",
    ]  # fmt: skip
    site = ward()
    for words in commands:
        assert main(site.command(*words)) == 0, words
        if words[0] in {"submit", "resume"}:
            wait_until(lambda: site.phase("digits") == "Running", "it runs")
    assert site.api.gone(site.path("digits"))
