"""What an operator or CI runs: the library behind the command `tiers`.

The first rooms (`errors`, `wire`, `protocol`, `link`, `sync`) are the floor: devices and jobs stand on them too.
The rooms and the direction of imports are drawn in docs/architecture.md; import-linter holds us to them.
"""
