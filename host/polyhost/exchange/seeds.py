"""Random streams and ids that follow from one seed: one stream a concern, so that no concern disturbs another."""

from __future__ import annotations

import hashlib
from random import Random
from typing import Any


def digest(seed: int, *names: str) -> int:
    """256 bits that belong to this seed and name."""
    return int.from_bytes(hashlib.sha256(":".join((str(seed), *names)).encode()).digest(), "big")


def stream(seed: int, *names: str) -> Random:
    """The random stream of one concern."""
    return Random(digest(seed, *names))


def rng_data(rng: Random) -> list[Any]:
    """A stream's state as JSON-able data."""
    version, words, gauss = rng.getstate()
    return [version, list(words), gauss]


def rng_from(data: list[Any]) -> Random:
    """The stream that goes on where ``rng_data`` stood."""
    rng = Random(0)
    version, words, gauss = data
    rng.setstate((version, tuple(words), gauss))
    return rng
