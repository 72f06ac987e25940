"""Topology → Kubernetes, KubeEdge and Volcano objects. No clock, no network, no randomness.

    Topology → placement, routes → a typed view per object (`edge_agent`, `gang`, `queue`, …) → `template` fills one
    file of templates/ → `rendered.RenderedObject`, in apply order → lint → cluster, or `write` to a folder or a stream

`objects.render` is the way in. Only here does a Job become a Volcano Job. `graph` draws the same Topology as Mermaid.
"""
