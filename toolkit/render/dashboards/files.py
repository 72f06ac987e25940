"""Dashboards as JSON files, for a Grafana that reads a folder (provisioning) or for import by hand.

The way of `tiers render --dashboards DIR`; the ConfigMaps of `provision` hold the same texts.
"""

from __future__ import annotations

import json
from pathlib import Path

from toolkit.errors import RenderError
from toolkit.render.dashboards.provision import dashboard_files
from toolkit.render.write import WrittenFolder
from toolkit.sync.whole import write_whole
from toolkit.topology.topology import Topology

LARGEST = 16 * 1024 * 1024
"""Bytes of a file that is looked into; ours have some twenty thousand."""
_CURE = "move it away, or choose another folder: tiers render --dashboards DIR"


def write_dashboards(topology: Topology, folder: Path) -> WrittenFolder:
    """Write every dashboard below a folder, each whole or not at all.

    Raises:
        RenderError: another file is in the way (then nothing is written), or the folder cannot be written.
    """
    texts = {folder / name: text for name, text in dashboard_files(topology)}
    try:
        before = {path: _read(path) for path in texts}
        for path, text in texts.items():
            if before[path] is not None and _uid(before[path] or "") != _uid(text):
                raise RenderError(f"{path} is in the way: it is no dashboard of this topology", hint=_CURE)
        changed = [path for path, text in texts.items() if before[path] != text]
        for path in changed:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, texts[path].encode())
    except OSError as exc:
        place = exc.filename or folder
        raise RenderError(f"cannot write {place}: {exc.strerror}", hint=_CURE) from exc
    names = tuple(path.name for path in changed)
    unchanged = tuple(path.name for path in texts if path not in changed)
    return WrittenFolder(folder, names, unchanged, ())


def _read(path: Path) -> str | None:
    """Give the text of a file; None when there is none, empty when it cannot be ours."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        return ""
    if not path.exists():
        return None
    if path.stat().st_size > LARGEST:
        return ""
    return path.read_bytes().decode("utf-8", "replace")


def _uid(text: str) -> object:
    try:
        model = json.loads(text)
    except ValueError:
        return None
    return model.get("uid") if isinstance(model, dict) else None
