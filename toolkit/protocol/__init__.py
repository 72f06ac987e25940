"""Pure machines over the documents of `wire`: `step(state, event, now) -> state, actions`. No clock, file or network.

    offer -> install (installation, interpret, follow)      whether and how a device installs a version
    transfer (bitmap, pace)                                 which chunks a device asks for, and when again
    serve                                                   how a depot answers
    waves                                                   what a rollout does next

`edge_runtime` and `fleet` drive them over `link`; the tests drive them without either.
"""
