"""Objects → one file an object, in a folder for each cluster. Last step of `tiers render -o`.

A file is written beside its place, flushed, and renamed; an equal one is left alone. A file that we wrote for the same
topology and that no object stands for any more is removed; a file of anybody else is never touched.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import RenderError
from toolkit.render.rendered import RenderedObject
from toolkit.render.stream import to_yaml
from toolkit.sync.whole import write_whole

_HEADER = "# Made by `tiers render` from the topology "
_FOLDER_MODE = 0o755


@dataclass(frozen=True)
class WrittenFolder:
    """What writing changed; paths below the folder, in order of name."""

    folder: Path
    written: tuple[str, ...]
    unchanged: tuple[str, ...]
    removed: tuple[str, ...]


def write_folder(objects: Iterable[RenderedObject], folder: Path, topology: str) -> WrittenFolder:
    """Make `folder` hold exactly these objects of a topology.

    Args:
        objects: what to write.
        folder: made when it is missing.
        topology: name of the topology whose stale files are removed.

    Raises:
        RenderError: a place is taken by a file that is not ours (then nothing at all is written), or the folder
            cannot be written.
    """
    texts = {Path(each.cluster, each.file_name): _text(each, topology) for each in objects}
    header = _header(topology)
    try:
        for path in texts:
            _refuse_foreign(folder / path, header)
        unchanged = {path for path, text in texts.items() if _reads(folder / path, text)}
        for path in sorted(set(texts) - unchanged):
            (folder / path).parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            write_whole(folder / path, texts[path].encode())
        stale = [path for path in _ours(folder, header) if path not in texts]
        for path in stale:
            (folder / path).unlink(missing_ok=True)
    except OSError as exc:
        place = exc.filename or folder
        raise RenderError(
            f"cannot write {place}: {exc.strerror}", hint="choose another folder: tiers render -o DIR"
        ) from exc
    return WrittenFolder(folder, _names(set(texts) - unchanged), _names(unchanged), _names(stale))


def _header(topology: str) -> str:
    return f"{_HEADER}{topology}. "


def _text(rendered: RenderedObject, topology: str) -> str:
    first = f"{_header(topology)}Edits here are lost; it stands for {rendered.source} of tiers.yaml."
    return f"{first}\n{to_yaml(rendered)}"


def _refuse_foreign(path: Path, header: str) -> None:
    if path.is_symlink() or (path.exists() and not _first_line(path).startswith(header)):
        message = f"{path} is in the way: it was not rendered from this topology"
        raise RenderError(message, hint="move it away, or choose another folder: tiers render -o DIR")


def _ours(folder: Path, header: str) -> list[Path]:
    """List the files below `folder` that carry our header for this topology; links are not followed."""
    clusters = (
        [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
        if folder.is_dir()
        else []
    )
    found = [
        path
        for cluster in clusters
        for path in cluster.glob("*.yaml")
        if path.is_file() and not path.is_symlink()
    ]
    return sorted(path.relative_to(folder) for path in found if _first_line(path).startswith(header))


def _first_line(path: Path) -> str:
    with path.open("rb") as file:
        return file.readline(4096).decode("utf-8", errors="replace")


def _reads(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()


def _names(paths: Iterable[Path]) -> tuple[str, ...]:
    return tuple(sorted(path.as_posix() for path in paths))
