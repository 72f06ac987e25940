"""Folders for sync tests: make one, change it, photograph it, and the task that moves it."""

from __future__ import annotations

import os
import random
import stat
from pathlib import Path

from toolkit.sync.task import Storage, SyncTask


def make_tree(root: Path, seed: int = 1, files: int = 60) -> None:
    """Write files of many sizes in folders; a tenth of them are copies of another one."""
    draw = random.Random(seed)
    contents = [draw.randbytes(draw.choice([0, 1, 900, 20_000, 70_000, 300_000])) for _ in range(files)]
    for number in range(0, files, 10):
        contents[number] = contents[number - 1]
    for number, content in enumerate(contents):
        folder = root / f"study-{number % 7}" / f"series-{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"image-{number}.dcm").write_bytes(content)


def edit_tree(root: Path, seed: int = 2) -> None:
    """Edit one file in a hundred inside, add some, rename some, delete some."""
    draw = random.Random(seed)
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    for path in draw.sample(files, 6):
        what = draw.choice(["edit", "append", "rename", "delete", "add"])
        if what == "edit" and path.stat().st_size:
            data = bytearray(path.read_bytes())
            data[draw.randrange(len(data))] ^= 0xFF
            path.write_bytes(data)
        elif what == "append":
            path.write_bytes(path.read_bytes() + b"more")
        elif what == "rename":
            path.rename(path.with_name("renamed-" + path.name))
        elif what == "delete":
            path.unlink()
        else:
            path.with_name("new-" + path.name).write_bytes(draw.randbytes(5000))


def photograph(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything below a folder that a sync must keep: kind, content, permissions, time; not our sidecar."""
    seen: dict[str, tuple[object, ...]] = {}
    for way, folders, files in os.walk(root):
        if Path(way) == root and ".tiers" in folders:
            folders.remove(".tiers")
        for name in (*folders, *files):
            path = os.path.join(way, name)  # noqa: PTH118 -- keeps names that are not UTF-8
            facts = os.lstat(path)
            key = os.path.relpath(path, root)
            if stat.S_ISLNK(facts.st_mode):
                seen[key] = ("link", os.readlink(path))  # noqa: PTH115 -- the same
            elif stat.S_ISDIR(facts.st_mode):
                seen[key] = ("folder", stat.S_IMODE(facts.st_mode), facts.st_mtime_ns)
            else:
                with open(path, "rb") as file:  # noqa: PTH123 -- the same
                    seen[key] = ("file", file.read(), stat.S_IMODE(facts.st_mode), facts.st_mtime_ns)
    return seen


def storage(folder: Path, layout: str = "mirror") -> Storage:
    """A storage in a folder, which is made."""
    folder.mkdir(exist_ok=True)
    return Storage(tier=folder.name, url=folder.as_uri(), layout=layout)


def task_of(root: Path, *targets: Storage, **fields: object) -> SyncTask:
    """The route `frames` from ROOT/edge, path `frames`, which is made, to these targets (default: a mirror in hot)."""
    (root / "edge/frames").mkdir(parents=True, exist_ok=True)
    return SyncTask(
        **{
            "route": "frames",
            "source": storage(root / "edge"),
            "targets": targets or (storage(root / "hot"),),
            "path": "frames",
            **fields,
        }
    )
