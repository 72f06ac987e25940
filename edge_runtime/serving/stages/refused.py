"""Why a stage cannot work on what it got: words without anything out of the data, for they go to clients and logs."""

from __future__ import annotations


class StageRefusal(Exception):  # noqa: N818 - not a fault of ours: `chain` says whose it is
    """What a stage got is not what it takes; `chain` adds which stage that was."""
