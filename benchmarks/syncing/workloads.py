"""What is moved: one large file, a tree of small ones, a tree of text, and what happens to them. Fixed seeds."""

from __future__ import annotations

import random
import shutil
import site
import sysconfig
from collections.abc import Iterator
from pathlib import Path

MIB = 1024 * 1024
KIB = 1024
WORDS = b"patient image series study modality ultrasound value none left right".split()


def write_large(path: Path, size: int) -> None:
    """Write a file: half noise, a quarter like float weights (upper bytes repeat), a quarter text."""
    with path.open("wb") as file:
        for block in _blocks(size):
            file.write(block)


def _blocks(size: int) -> Iterator[bytes]:
    draw = random.Random(1)
    text = b" ".join(draw.choices(WORDS, k=MIB // 4))[:MIB].ljust(MIB)
    for number in range(size // MIB):
        if number % 4 < 2:
            yield draw.randbytes(MIB)
        elif number % 4 == 2:
            noise = draw.randbytes(MIB // 2)
            weights = bytearray(b"\0\0\x3d\x80" * (MIB // 4))
            weights[0::4], weights[1::4] = noise[0::2], noise[1::2]
            yield bytes(weights)
        else:
            start = draw.randrange(MIB)
            yield text[start:] + text[:start]


def overwrite(path: Path, extent: int, seed: int) -> int:
    """Overwrite 2 % of a file with noise, in extents of so many bytes at random places; give the bytes."""
    draw = random.Random(seed)
    size = path.stat().st_size
    count = size * 2 // 100 // extent
    with path.open("r+b") as file:
        for place in draw.sample(range(size // extent), count):
            file.seek(place * extent)
            file.write(draw.randbytes(extent))
    return count * extent


def insert(path: Path) -> int:
    """Insert 1 MiB of noise near the beginning; give its bytes."""
    draft = path.with_name("draft")
    with path.open("rb") as old, draft.open("wb") as new:
        new.write(old.read(MIB + 123))
        new.write(random.Random(3).randbytes(MIB))
        shutil.copyfileobj(old, new, MIB)
    draft.replace(path)
    return MIB


def write_small(root: Path, files: int) -> int:
    """Write files of 4 to 64 KiB, half noise and half text, a hundred in a folder; give the bytes."""
    draw, total = random.Random(4), 0
    for number in range(files):
        folder = root / f"{number // 100:04}"
        folder.mkdir(exist_ok=True)
        length = draw.randrange(4 * KIB, 64 * KIB)
        text = b"" if number % 2 else b" ".join(draw.choices(WORDS, k=length // 5))[:length]
        (folder / f"{number:06}").write_bytes(text or draw.randbytes(length))
        total += length
    return total


def change_small(root: Path, files: int) -> int:
    """Edit 1 % of the files in 1 KiB, add 1 %, delete 1 %, rename 0.5 %; give the bytes that are new."""
    draw, new = random.Random(5), 0
    numbers = draw.sample(range(files), max(4, files * 35 // 1000))
    chosen = [root / f"{number // 100:04}" / f"{number:06}" for number in numbers]
    edited = max(1, files // 100)
    for path in chosen[:edited]:
        data = bytearray(path.read_bytes())
        at = draw.randrange(max(1, len(data) - KIB))
        data[at : at + KIB] = draw.randbytes(KIB)
        path.write_bytes(data)
        new += KIB
    for path in chosen[edited : 2 * edited]:
        path.unlink()
    for path in chosen[2 * edited :]:
        path.rename(path.with_name(path.name + "-renamed"))
    for number in range(edited):
        (root / "0000" / f"new-{number}").write_bytes(draw.randbytes(20_000))
        new += 20_000
    return new


def write_text(root: Path, most_files: int) -> int:
    """Copy the sources of this Python and of what is installed beside it; give the bytes. They differ by machine."""
    total = files = 0
    for home in (Path(sysconfig.get_path("stdlib")), *map(Path, site.getsitepackages())):
        for path in sorted(home.rglob("*.py")):
            if files >= most_files or "site-packages" in path.relative_to(home).parts:
                continue
            target = root / home.name / path.relative_to(home)
            target.parent.mkdir(parents=True, exist_ok=True)
            total += target.write_bytes(path.read_bytes())
            files += 1
    return total


def change_text(root: Path) -> int:
    """Insert one line into 1 % of the files; give the bytes that are new."""
    draw, new = random.Random(6), 0
    paths = sorted(root.rglob("*.py"))
    for path in draw.sample(paths, max(1, len(paths) // 100)):
        lines = path.read_bytes().splitlines(keepends=True)
        line = b"# %d\n" % draw.randrange(10**9)
        lines.insert(draw.randrange(len(lines) + 1), line)
        path.write_bytes(b"".join(lines))
        new += len(line)
    return new
