"""tiers.lock pins images; what is wrong in it is named."""

from __future__ import annotations

import pytest

from toolkit.errors import RenderError
from toolkit.render import lock as room
from toolkit.render.lock import Lock, read_lock

DIGEST = "sha256:" + "0123456789abcdef" * 4


def test_an_image_gets_its_digest(tmp_path):
    path = tmp_path / "tiers.lock"
    path.write_text('{"format": 1, "images": {"registry.example/a:1": "' + DIGEST + '"}}')
    lock = read_lock(path)
    assert lock.pinned("registry.example/a:1") == f"registry.example/a:1@{DIGEST}"
    assert lock.pinned("registry.example/b:1") == "registry.example/b:1"
    assert Lock(images={f"x@{DIGEST}": DIGEST}).pinned(f"x@{DIGEST}") == f"x@{DIGEST}"


def test_a_missing_lock_pins_nothing(tmp_path):
    assert read_lock(tmp_path / "tiers.lock") == Lock()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"images": {"a": 1}}',
        '{"images": {"a": "sha256:12"}}',
        '{"format": 2}',
        '{"extra": 1}',
        "\xff",
    ],
)
def test_what_is_no_lock_is_refused_by_name(tmp_path, text):
    path = tmp_path / "tiers.lock"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(RenderError, match=r"tiers\.lock"):
        read_lock(path)


def test_a_lock_that_is_too_large_or_a_folder_is_refused(tmp_path):
    big = tmp_path / "tiers.lock"
    with big.open("wb") as file:
        file.truncate(room.LARGEST_LOCK + 1)
    with pytest.raises(RenderError, match="larger than"):
        read_lock(big)
    with pytest.raises(RenderError, match="cannot read"):
        read_lock(tmp_path)
