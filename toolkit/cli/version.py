"""`tiers version`: which release of us and of what we stand on; the first thing to put into a bug report."""

from __future__ import annotations

from toolkit.cli.present import JsonOption, Output, OutputOption, Table, show

REPORTED = ("tiers", "blake3", "zstandard", "pyfastcdc", "cryptography", "msgspec", "paho-mqtt")


def version(output: OutputOption = Output.TABLE, as_json: JsonOption = False) -> None:
    """Print the versions of tiers, Python and the packages of the floor."""
    import platform
    from importlib.metadata import version as installed

    versions = {"python": platform.python_version()} | {name: installed(name) for name in REPORTED}
    show(versions, Table(("package", "version"), list(versions.items())), output, as_json=as_json)
