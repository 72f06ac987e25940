"""Move only changed data between tiers, and keep what moves whole.

    scan -> Index -> missing chunks -> push | pull -> Remote -> Ref last        verify afterwards

`task` is what a caller hands in, `run` carries it out. `layouts` says how chunks rest (mirror: browsable files;
packs: many chunks in one object), `remotes` over which transport. Devices, jobs, the registry and the CLI use this
room; it stands on `wire` and knows nothing of tiers.yaml.
"""
