"""`tiers images list`: every image that rendering names, its key, who runs it, and its digest."""

from __future__ import annotations

from toolkit.cli.images_site import load_images
from toolkit.cli.present import JsonOption, Output, OutputOption, Table, say, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption


def list_(
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """List the images of tiers.yaml and their digests."""
    used = load_images(files, assignments).used
    rows = [
        (
            each.image,
            ", ".join(key.path for key in each.keys) or "(rendering brings it)",
            "devices" if each.edge else "servers",
            " ".join(each.platforms),
            len(each.objects),
            each.digest[:19] or "NOT PINNED",
        )
        for each in used
    ]
    show(used, Table(("image", "key", "on", "platform", "objects", "digest"), rows), output, as_json=as_json)
    open_ = sum(not each.digest for each in used)
    say(f"{len(used)} images, {open_} of them not pinned" + ("; next: tiers images lock" if open_ else ""))
