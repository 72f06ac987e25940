"""States change quickly, and exactly as `dataclasses.replace` changes them."""

from __future__ import annotations

import dataclasses

from toolkit.protocol.bitmap import Bitmap
from toolkit.protocol.pace import Pace, PaceSettings
from toolkit.protocol.record import replace


def test_it_changes_what_dataclasses_replace_changes() -> None:
    value = Pace.begin(PaceSettings())
    changed = replace(value, window=7, backoff=2)
    assert changed == dataclasses.replace(value, window=7, backoff=2)
    assert hash(changed) == hash(dataclasses.replace(value, window=7, backoff=2))
    assert (value.window, value.backoff) == (PaceSettings().start_window, 0), "the old one stays as it was"
    assert replace(Bitmap.empty(3)) == Bitmap.empty(3)
