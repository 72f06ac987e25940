from __future__ import annotations

import pytest

from tests.contracts.engine import EngineContract, HeldEngine


class TestHeldEngine(EngineContract):
    """The double keeps the contract too, so that what is shown with it holds for real engines."""

    @pytest.fixture
    def engine(self):
        return HeldEngine()
