"""Where real recordings are, for the lab's tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest


def _folder() -> Path:
    given = os.environ.get("POLYHOST_TAPES")
    return Path(given) if given else Path(__file__).resolve().parents[3] / "shared" / "tapes"


@pytest.fixture
def recording() -> Callable[[str], Path]:
    """The path of a real recording by the start of its name; skips the test when the folder is absent."""

    def find(start: str) -> Path:
        found = sorted(_folder().glob(f"{start}*"))
        if not found:
            pytest.skip(f"no recording {start}* in {_folder()} (set POLYHOST_TAPES)")
        return found[0]

    return find
