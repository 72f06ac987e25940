"""What an edge device (or a hot-tier pod) runs: the daemon behind the command `tiers-edge`.

It stands on the floor of `toolkit` (errors, wire, protocol, link, sync) and imports nothing else of ours.
"""
