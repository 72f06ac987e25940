"""What the commands about clusters share: their options, and the way from tiers.yaml to objects and connections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli.present import describe, say
from toolkit.cli.site import variables_of

if TYPE_CHECKING:
    from toolkit.cluster.request import Connection
    from toolkit.render.rendered import RenderedObject
    from toolkit.topology.topology import Topology

ContextOption = Annotated[
    str | None, typer.Option("--context", help="Only this cluster; tiers.yaml has to name its context.")
]
KubeconfigOption = Annotated[
    Path | None, typer.Option("--kubeconfig", envvar="KUBECONFIG", help="Default: what kubectl uses.")
]


@dataclass(frozen=True)
class Site:
    """A loaded tiers.yaml and its objects."""

    topology: Topology
    objects: tuple[RenderedObject, ...]
    """What `tiers apply` keeps in the cluster; jobs are left out, they run when they are submitted."""


def load_site(files: Sequence[Path], assignments: Sequence[str]) -> Site:
    """Load, warn, render."""
    from toolkit.render.lock import LOCK_FILE, read_lock
    from toolkit.render.objects import render
    from toolkit.topology.load import load

    loaded = load(files, variables_of(assignments))
    for problem in loaded.warnings:
        say(describe(problem))
    rendered = render(loaded.topology, read_lock(files[0].parent / LOCK_FILE))
    return Site(loaded.topology, tuple(each for each in rendered if not each.submitted))


def connections(site: Site, context: str | None, kubeconfig: Path | None) -> Iterator[Connection]:
    """Open the way to each cluster of the topology, or to the one that the context belongs to; say which."""
    from toolkit.cluster.connect import cluster_of_context, connect

    named = [cluster_of_context(site.topology, context)] if context else list(site.topology.clusters)
    for cluster in named:
        connection = connect(site.topology, cluster, kubeconfig)
        say(f"cluster {cluster}, context {connection.context}, {connection.host}")
        yield connection
