"""`tiers images lock`: ask the registries for the digests of all images and write them to tiers.lock."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.images_site import load_images, login_files
from toolkit.cli.present import JsonOption, Output, OutputOption, Table, say, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption

_UpdateOption = Annotated[
    bool, typer.Option("--update", help="Ask for every tag again, not only for new ones.")
]
_CheckOption = Annotated[
    bool, typer.Option("--check", help="Write nothing; exit 8 when tiers.lock would change.")
]
_AuthorityOption = Annotated[
    str,
    typer.Option("--ca", metavar="FILE", help="PEM of your registry's own authority.", show_default=False),
]


def lock(
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    update: _UpdateOption = False,
    check: _CheckOption = False,
    authority: _AuthorityOption = "",
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Pin every image of tiers.yaml by its digest, in tiers.lock beside it. Logins are those of docker and podman."""
    from toolkit.errors import DifferencesError
    from toolkit.images.credentials import find_login
    from toolkit.images.lock import lock_images, write_lock
    from toolkit.images.registry import Registries

    site = load_images(files, assignments)
    logins = login_files()
    registries = Registries(lambda image: find_login(logins, image.credentials_keys), authority)
    made = lock_images(site.used, site.lock, registries.resolve, update=update)
    rows = [(each.outcome, each.image, each.digest, " ".join(each.platforms)) for each in made.rows]
    show(made.rows, Table(("", "image", "digest", "platforms"), rows), output, as_json=as_json)
    if made.changed and check:
        again = "tiers images lock" + (" --update" if update else "")
        raise DifferencesError(f"{len(made.changed)} rows of {site.lock_file} would change", hint=again)
    if made.changed:
        write_lock(site.lock_file, made.lock)
    say(
        f"{len(made.lock.images)} images in {site.lock_file}, {len(made.changed)} rows changed; next: tiers diff"
    )
