"""Topology → a Mermaid flowchart: tiers with their pools, and what flows between them. For `tiers graph` and pages.

Stands beside `objects`: the same Topology, drawn instead of rendered. Mermaid: https://mermaid.js.org/syntax/flowchart.html
"""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.topology.names import TIER_NAMES
from toolkit.topology.route import Route
from toolkit.topology.topology import PlacedPool, Topology


def draw(topology: Topology) -> str:
    """Draw a topology; equal topologies give equal text, whatever the order in their files."""
    return "\n".join(_lines(topology)) + "\n"


def _lines(topology: Topology) -> Iterator[str]:
    yield "flowchart LR"
    for tier in TIER_NAMES:
        if tier not in topology.tiers:
            continue
        yield f"  subgraph tier_{tier}[{_label(tier)}]"
        for storage in topology.tiers[tier].storage[:1]:
            layout = "" if storage.kept_as == "mirror" else f"<br/>{storage.kept_as}"
            more = len(topology.tiers[tier].storage) - 1
            copies = f"<br/>and {more} more" if more else ""
            yield f"    data_{tier}[({_label(storage.url, layout + copies)})]"
        for placed in sorted(topology.pools(), key=lambda placed: placed.name):
            if placed.tier_name == tier:
                yield f"    {_id('pool', placed.name)}[{_label(placed.name, _machines(placed))}]"
        yield "  end"
    yield from _models(topology)
    yield from _jobs(topology)
    yield from _services(topology)
    for name in sorted(topology.routes):
        route = topology.routes[name]
        yield f"  data_{route.source} -->|{_label(name, _pace(route))}| data_{route.target}"


def _models(topology: Topology) -> Iterator[str]:
    for name in sorted(topology.models):
        model = topology.models[name]
        yield f"  {_id('model', name)}([{_label(name)}])"
        yield from (f"  {_id('model', name)} --> {_id('pool', pool)}" for pool in sorted(model.pools))
        if model.fallback:
            yield f"  {_id('model', name)} -. fallback .-> {_id('model', model.fallback)}"
        if model.offload:
            yield f"  {_id('model', name)} -. offload .-> tier_{model.offload}"


def _jobs(topology: Topology) -> Iterator[str]:
    for name in sorted(topology.jobs):
        job = topology.jobs[name]
        gpus = f" × {job.gang.gpus_per_worker} GPUs" if job.gang.gpus_per_worker else ""
        queue = f"<br/>queue {_escaped(job.queue)}" if job.queue else ""
        yield f"  {_id('job', name)}{{{{{_label(name, f'<br/>{job.gang.workers} workers{gpus}{queue}')}}}}}"
        yield f"  {_id('job', name)} --> {_id('pool', job.pool)}"


def _services(topology: Topology) -> Iterator[str]:
    for name in sorted(topology.services):
        service = topology.services[name]
        replicas = f"<br/>{service.replicas.min} to {service.replicas.max} servers"
        yield f"  {_id('service', name)}[/{_label(name, replicas)}/]"
        yield f"  {_id('service', name)} --> {_id('pool', service.pool)}"
        yield from (f"  {_id('model', model)} --> {_id('service', name)}" for model in sorted(service.models))


def _machines(placed: PlacedPool) -> str:
    count = placed.gpus_per_node
    gpus = f", {count} GPU{'s' if count > 1 else ''} each" if count else ""
    return f"<br/>{placed.pool.nodes.total} × {_escaped(placed.pool.hardware)}{gpus}"


def _pace(route: Route) -> str:
    if route.trigger == "demand":
        return "<br/>on demand"
    limit = f", {route.limit}" if route.limit else ""
    return f"<br/>every {route.cadence}{limit}"


def _id(noun: str, name: str) -> str:
    """Give a node its id: names have dashes and no underscores, so this keeps them apart."""
    return f"{noun}_{name.replace('-', '_')}"


def _label(text: str, rest: str = "") -> str:
    """Quote a label; `rest` is markup of ours."""
    return f'"{_escaped(text)}{rest}"'


def _escaped(text: str) -> str:
    """Write what Mermaid would read as markup as entities (its own syntax: # and ;)."""
    return "".join(char if char.isalnum() or char in " -_./:@,×" else f"#{ord(char)};" for char in text)
