"""A second implementation: restores every Ref of a store of packs. Written from docs/formats.md, without our code.

`python second_reader.py STORE FOLDER` makes FOLDER/REF/… of each; a test asserts what it imports and how long it is.
"""

from __future__ import annotations

import base64
import json
import os
import struct
import sys
from pathlib import Path

import zstandard
from blake3 import blake3

LONG = {0xC4: (bytes, 1), 0xC5: (bytes, 2), 0xC6: (bytes, 4), 0xD9: (str, 1), 0xDA: (str, 2), 0xDB: (str, 4),
        0xDC: (list, 2), 0xDD: (list, 4), 0xDE: (dict, 2), 0xDF: (dict, 4)}  # fmt: skip


def unpack(data: bytes, at: int = 0):
    tag, at = data[at], at + 1
    if tag < 0x80 or tag >= 0xE0:
        return tag - 256 * (tag >= 0xE0), at
    if 0xC0 <= tag <= 0xC3:
        return (None, None, False, True)[tag - 0xC0], at
    if 0xCC <= tag <= 0xD3:
        end = at + (1 << (tag - 0xCC) % 4)
        return int.from_bytes(data[at:end], "big", signed=tag >= 0xD0), end
    kind, width = LONG.get(tag) or (dict if tag < 0x90 else list if tag < 0xA0 else str, 0)
    count = int.from_bytes(data[at : at + width], "big") if width else tag & (31 if kind is str else 15)
    at += width
    if kind in (bytes, str):
        return data[at : at + count] if kind is bytes else data[at : at + count].decode(), at + count
    items = [None] * (count * (1 + (kind is dict)))
    for number in range(len(items)):
        items[number], at = unpack(data, at)
    return dict(zip(items[::2], items[1::2], strict=True)) if kind is dict else items, at


class Store:
    def __init__(self, root: Path) -> None:
        self.root, self.chunks = root, dict[bytes, bytes]()
        for path in sorted(root.glob("packs/*")):
            pack = self.proven(path)
            magic, count, digest = struct.unpack(">4sI32s", pack[-40:])
            table = pack[-40 - 44 * count : -40]
            assert (magic, blake3(table).digest()) == (b"TPK1", digest), path
            for name, offset, length, size in struct.iter_unpack(">32sIII", table):
                stored = pack[offset : offset + length]
                data = zstandard.decompress(stored[1:]) if stored[0] == 1 else stored[1:]
                assert (blake3(data).digest(), len(data)) == (name, size), name.hex()
                self.chunks[name] = data

    def proven(self, path: Path) -> bytes:
        data = path.read_bytes()
        assert blake3(data).hexdigest() == path.name, path
        return data

    def entries(self, digest: str):
        index, _ = unpack(self.proven(self.root / "indexes" / digest))
        if "parts" in index:
            return [entry for part in index["parts"] for entry in self.entries(part[0].hex())]
        return [[*entry, None][:8] for entry in index["entries"]]

    def restore(self, ref: dict[str, str]) -> None:
        digest, last = ref["digest"], []
        if ref["kind"] == "manifest":
            payload = json.loads((self.root / "manifests" / digest).read_bytes())["payload"]
            digest = json.loads(base64.b64decode(payload))["index"]
        for path, kind, size, mode, mtime_ns, chunks, target, more in self.entries(digest):
            place, extras = Path(os.fsdecode(path)), more or {}
            (place if kind == "folder" else place.parent).mkdir(parents=True, exist_ok=True)
            if kind == "link":
                place.symlink_to(os.fsdecode(target))
            elif extras.get("same", path) != path:
                place.hardlink_to(os.fsdecode(extras["same"]))
            elif kind == "file":
                with place.open("wb") as file:
                    for data in (self.chunks[name] for name, _ in struct.iter_unpack(">32sI", chunks)):
                        file.seek(len(data), 1) if extras.get("holes") and not any(data) else file.write(data)
                    file.truncate(size)
            last.append((place, kind, mode, mtime_ns, extras.get("xattrs", ())))
        for place, kind, mode, mtime_ns, xattrs in reversed(last):
            for attribute, value in xattrs:
                os.setxattr(place, attribute, value)
            if kind != "link":
                place.chmod(mode)
            os.utime(place, ns=(mtime_ns, mtime_ns), follow_symlinks=False)


if __name__ == "__main__":
    store, into = Store(Path(sys.argv[1]).absolute()), Path(sys.argv[2]).absolute()
    for file in filter(Path.is_file, sorted(store.root.glob("refs/**/*"))):
        (folder := into / file.relative_to(store.root / "refs")).mkdir(parents=True)
        os.chdir(folder)
        store.restore(json.loads(file.read_bytes()))
