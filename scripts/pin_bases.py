"""The bases of a Containerfile by digest: prints the words that a build needs to take exactly them.

    buildah build $(python scripts/pin_bases.py containers/edge.Containerfile) -f containers/edge.Containerfile …

Asks the registries as `tiers images lock` does. A base is a line `ARG NAME=IMAGE` before the first FROM.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from toolkit.cli.images_site import login_files
from toolkit.errors import TiersError
from toolkit.images.credentials import find_login
from toolkit.images.reference import parse_reference
from toolkit.images.registry import Registries

_ARGUMENT = re.compile(r"ARG (?P<name>\w*BASE)=(?P<image>\S+)")


def bases_of(text: str) -> dict[str, str]:
    """Give the images that a Containerfile begins with, by the name of their argument."""
    before = text.split("\nFROM ", 1)[0]
    return {match["name"]: match["image"] for match in map(_ARGUMENT.fullmatch, before.splitlines()) if match}


def main(file: str) -> int:
    """Print `--build-arg NAME=IMAGE@sha256:…` for each base."""
    logins = login_files()
    registries = Registries(lambda image: find_login(logins, image.credentials_keys))
    try:
        for name, image in bases_of(Path(file).read_text(encoding="utf-8")).items():
            pinned = image if "@" in image else f"{image}@{registries.resolve(parse_reference(image)).digest}"
            print(f"--build-arg={name}={pinned}")
    except TiersError as error:
        print(f"{error.message}\n  {error.hint}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
