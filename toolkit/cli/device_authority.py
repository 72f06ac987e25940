"""`tiers device authority FOLDER`: make the authority that signs the certificates of a site."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.authority import DEFAULT_AUTHORITY, utc_now
from toolkit.cli.present import say
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of

FolderArgument = Annotated[Path, typer.Argument(metavar="FOLDER", help="Where it lies; made if missing.")]


def authority(
    folder: FolderArgument = DEFAULT_AUTHORITY,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
) -> None:
    """Make the key that signs certificates, its certificate and an empty register. Repeating it changes nothing."""
    from toolkit.fleet.authority import CERTIFICATE_FILE, KEY_FILE, REVOKED_FILE, make_authority
    from toolkit.topology.load import load

    topology = load(files, variables_of(assignments)).topology
    made = make_authority(folder, topology.name, utc_now())
    say(f"authority of {topology.name} {'made' if made else 'is there'}; keep {folder / KEY_FILE} offline")
    say(f"  the broker takes {folder / CERTIFICATE_FILE} and {folder / REVOKED_FILE}")
