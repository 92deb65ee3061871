"""The test kit's builders under the names that the tests of the shipped plugins use."""

from __future__ import annotations

from polyhost.testing import (
    OPENS,
    SHARE,
    abstained,
    estimated,
    made,
    market,
    mirrored,
    position,
    quote,
    signalled,
    steady_candles,
    steady_mids,
    view,
)

OPEN_MS = OPENS
SHARES = SHARE
__all__ = [
    "OPEN_MS",
    "SHARES",
    "abstained",
    "estimated",
    "made",
    "market",
    "mirrored",
    "position",
    "quote",
    "signalled",
    "steady_candles",
    "steady_mids",
    "view",
]
