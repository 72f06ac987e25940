"""Objects → one file an object, in a folder for each cluster; monitoring → its files. Last step of `tiers render`.

A file is written beside its place, flushed, and renamed; an equal one is left alone. A file that we wrote for the same
topology and that no object stands for any more is removed; a file of anybody else is never touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    texts = {
        Path(each.cluster, each.file_name): _text(
            topology, f"it stands for {each.source} of tiers.yaml", to_yaml(each)
        )
        for each in objects
    }
    return _write(texts, folder, topology, "*/*.yaml", "tiers render -o DIR")


def write_files(
    files: Mapping[str, str],
    folder: Path,
    topology: str,
    *,
    pattern: str = "*.yml",
    command: str = "tiers render --monitoring DIR",
) -> WrittenFolder:
    """Make `folder` hold exactly these files of a topology among those of `pattern`; in them # begins a comment.

    Raises:
        RenderError: as `write_folder`.
    """
    texts = {
        Path(name): _text(topology, "change tiers.yaml and render again", text)
        for name, text in files.items()
    }
    return _write(texts, folder, topology, pattern, command)


def _write(
    texts: Mapping[Path, str], folder: Path, topology: str, pattern: str, command: str
) -> WrittenFolder:
    """Write what differs, then remove what carries our header and is not among `texts`.

    Args:
        texts: path below the folder → what it shall hold.
        folder: made when it is missing.
        topology: whose files they are.
        pattern: where files of ours can be.
        command: what to type for another folder.
    """
    header = _header(topology)
    try:
        for path in texts:
            _refuse_foreign(folder / path, header, command)
        unchanged = {path for path, text in texts.items() if _reads(folder / path, text)}
        for path in sorted(set(texts) - unchanged):
            (folder / path).parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            write_whole(folder / path, texts[path].encode())
        stale = [path for path in _ours(folder, header, pattern) if path not in texts]
        for path in stale:
            (folder / path).unlink(missing_ok=True)
    except OSError as exc:
        place = exc.filename or folder
        raise RenderError(
            f"cannot write {place}: {exc.strerror}", hint=f"choose another folder: {command}"
        ) from exc
    return WrittenFolder(folder, _names(set(texts) - unchanged), _names(unchanged), _names(stale))


def _header(topology: str) -> str:
    return f"{_HEADER}{topology}. "


def _text(topology: str, why: str, text: str) -> str:
    return f"{_header(topology)}Edits here are lost; {why}.\n{text}"


def _refuse_foreign(path: Path, header: str, command: str) -> None:
    if path.is_symlink() or (path.exists() and not _first_line(path).startswith(header)):
        message = f"{path} is in the way: it was not rendered from this topology"
        raise RenderError(message, hint=f"move it away, or choose another folder: {command}")


def _ours(folder: Path, header: str, pattern: str) -> list[Path]:
    """List the files below `folder` that carry our header for this topology; links are not followed."""
    found = [
        path
        for path in folder.glob(pattern)
        if path.is_file()
        and not path.is_symlink()
        and (path.parent == folder or not path.parent.is_symlink())
    ]
    return sorted(path.relative_to(folder) for path in found if _first_line(path).startswith(header))


def _first_line(path: Path) -> str:
    with path.open("rb") as file:
        return file.readline(4096).decode("utf-8", errors="replace")


def _reads(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()


def _names(paths: Iterable[Path]) -> tuple[str, ...]:
    return tuple(sorted(path.as_posix() for path in paths))
