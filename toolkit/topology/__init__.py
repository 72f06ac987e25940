"""tiers.yaml as types: what a site is made of and what shall happen on it.

First room of the flow of `validate` and `apply`: tiers.yaml -> **load** -> Topology -> placement, routes -> render.
`load.load` is the way in; `topology.Topology` is what comes out. One noun stands in one file and has the name that it
has in YAML. The steps inside: `document` (text to nodes that know their place), `variables`, `inventory`, `merge`,
`shape` (nodes to types), `checks` (types to each other). Every finding is a row of the catalogue in `problems`.
"""
