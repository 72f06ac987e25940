"""Save what a site cannot make again, and bring it back on an empty machine: `tiers backup`, `tiers restore`.

    gather_* (registry, broker, clusters, files, storages) -> Part -> take -> packs and a Ref `backups/SITE/NUMBER`
    shelf -> Saved -> plan (what is there, what is newer) -> restore

A backup is an index like that of any route: its paths are `PART/…`, so chunks that did not change are not stored twice.
Data of the tiers are not in it (routes with copies are their backup), and no private key unless it is wrapped.
"""
