"""Exchange and host live in one process here: a pause of it is nobody's fault."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..unhurried import unhurried


@pytest.fixture(autouse=True, scope="module")
def _unhurried() -> Iterator[None]:
    with unhurried():
        yield
