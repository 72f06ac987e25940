"""The images of a site for `tiers images …`: loaded, rendered with its lock, and who uses which."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.cli.present import describe, say
from toolkit.cli.site import variables_of

if TYPE_CHECKING:
    from toolkit.images.used import UsedImage
    from toolkit.render.lock import Lock


@dataclass(frozen=True)
class ImageSite:
    """What `tiers images` works on."""

    lock_file: Path
    lock: Lock
    used: tuple[UsedImage, ...]


def load_images(files: Sequence[Path], assignments: Sequence[str]) -> ImageSite:
    """Load, warn, render, and collect the images."""
    from toolkit.images.used import used_images
    from toolkit.render.lock import LOCK_FILE, read_lock
    from toolkit.render.objects import render
    from toolkit.topology.load import load

    loaded = load(files, variables_of(assignments))
    for problem in loaded.warnings:
        say(describe(problem))
    lock_file = files[0].parent / LOCK_FILE
    lock = read_lock(lock_file)
    return ImageSite(lock_file, lock, used_images(loaded, render(loaded.topology, lock), lock))


def login_files() -> tuple[Path, ...]:
    """Name the files in which podman and docker keep logins, in the order in which podman looks at them."""
    home, given = Path.home(), os.environ
    named = (
        given.get("REGISTRY_AUTH_FILE", ""),
        f"{given['XDG_RUNTIME_DIR']}/containers/auth.json" if given.get("XDG_RUNTIME_DIR") else "",
        f"{given.get('XDG_CONFIG_HOME') or home / '.config'}/containers/auth.json",
        f"{given.get('DOCKER_CONFIG') or home / '.docker'}/config.json",
    )
    return tuple(Path(each) for each in named if each)
