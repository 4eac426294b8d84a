"""Where the real data sets are, for the tests that use them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def shared_data(name: str = "") -> Path:
    """Return the path of ``name`` among the shared data sets, or skip the test where it is not there."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    path = Path(os.environ.get("CROSSFM_SHARED_DATA", beside)) / name
    if not path.exists():
        pytest.skip(f"needs real data: {path} is not there (set CROSSFM_SHARED_DATA)")
    return path
