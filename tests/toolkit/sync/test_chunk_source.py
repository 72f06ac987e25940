"""Chunks out of the files of a folder, asked for by threads that come and go."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from toolkit.sync.chunk_source import FolderSource
from toolkit.sync.folder import Folder
from toolkit.sync.scan import scan
from toolkit.wire.chunk import open_chunk


def open_below(root: Path) -> list[str]:
    """Give the files and folders below a folder that this process has open."""
    found: list[str] = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.append(str(descriptor.readlink()))
    return [path for path in found if path.startswith(f"{root}/")]


def test_a_thread_that_ends_leaves_nothing_open(tmp_path):
    """A run over a million files has a new pool for each window; what each left open would add up."""
    for number in range(20):
        path = tmp_path / f"folder-{number % 3}" / f"file-{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"%d" % number * 100)
    folder = Folder(os.fspath(tmp_path))
    found = scan(folder).index
    refs = [ref for entry in found.entries for ref in entry.refs()]
    source = FolderSource(folder, b"", found)
    source.expect([ref.digest for ref in refs])
    for _ in range(3):
        with ThreadPoolExecutor(2) as pool:
            for ref, stored in zip(refs, pool.map(source.stored, refs), strict=True):
                assert len(open_chunk(stored, ref.digest, ref.size)) == ref.size
            assert open_below(tmp_path)
        assert open_below(tmp_path) == []
    source.stored(refs[0])
    assert open_below(tmp_path)
    source.close()
    assert open_below(tmp_path) == []
    folder.close()
