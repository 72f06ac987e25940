"""`tiers graph`: tiers, pools, models, jobs and routes as a Mermaid flowchart."""

from __future__ import annotations

from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of


def graph(files: FilesOption = DEFAULT_FILES, assignments: SetOption = NOTHING_SET) -> None:
    """Draw tiers.yaml as Mermaid text, which GitHub, GitLab and mermaid.live show as a picture."""
    from toolkit.render.graph import draw
    from toolkit.topology.load import load

    print(draw(load(files, variables_of(assignments)).topology), end="")
