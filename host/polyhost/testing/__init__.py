"""The test kit: what a plugin is tested with, without an exchange, a network or a clock.

Under pytest it is there by itself (``polyhost.testing.pytest_plugin``): fixtures ``bench``, ``view``, ``book``,
``window``, ``tape``, ``sim_exchange``, ``running_host``. Everything below can be imported, too. Names are resolved on
first use, so that a test run that needs none of it pays nothing for it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyhost.testing.assertions import (
        assert_abstains,
        assert_allows,
        assert_enters,
        assert_exits,
        assert_holds,
        assert_leans,
        assert_quiet,
        assert_quotes,
        assert_skips,
        assert_stakes,
        assert_targets,
        assert_vetoes,
    )
    from polyhost.testing.bench import Answered, Bench, book, reading, spot, trade, wait
    from polyhost.testing.builders import (
        OPENS,
        SHARE,
        abstained,
        down,
        estimate,
        estimated,
        made,
        market,
        mirrored,
        position,
        quote,
        signal,
        signalled,
        steady_candles,
        steady_mids,
        up,
        view,
    )
    from polyhost.testing.conformance import Conformance, check
    from polyhost.testing.host import HostRun, SimExchange, running_host
    from polyhost.testing.lookahead import assert_no_lookahead
    from polyhost.testing.report import Report
    from polyhost.testing.tapes import TapeBuilder

_PARTS: dict[str, tuple[str, ...]] = {
    "assertions": (
        "assert_abstains", "assert_allows", "assert_enters", "assert_exits", "assert_holds", "assert_leans",
        "assert_quiet", "assert_quotes", "assert_skips", "assert_stakes", "assert_targets", "assert_vetoes",
    ),
    "bench": ("Answered", "Bench", "book", "reading", "spot", "trade", "wait"),
    "builders": (
        "OPENS", "SHARE", "abstained", "down", "estimate", "estimated", "made", "market", "mirrored", "position",
        "quote", "signal", "signalled", "steady_candles", "steady_mids", "up", "view",
    ),
    "conformance": ("Conformance", "check"),
    "host": ("HostRun", "SimExchange", "running_host"),
    "lookahead": ("assert_no_lookahead",),
    "report": ("Report",),
    "tapes": ("TapeBuilder",),
}
_HOMES = {name: f"polyhost.testing.{part}" for part, names in _PARTS.items() for name in names}

__all__ = [
    "OPENS",
    "SHARE",
    "Answered",
    "Bench",
    "Conformance",
    "HostRun",
    "Report",
    "SimExchange",
    "TapeBuilder",
    "abstained",
    "assert_abstains",
    "assert_allows",
    "assert_enters",
    "assert_exits",
    "assert_holds",
    "assert_leans",
    "assert_no_lookahead",
    "assert_quiet",
    "assert_quotes",
    "assert_skips",
    "assert_stakes",
    "assert_targets",
    "assert_vetoes",
    "book",
    "check",
    "down",
    "estimate",
    "estimated",
    "made",
    "market",
    "mirrored",
    "position",
    "quote",
    "reading",
    "running_host",
    "signal",
    "signalled",
    "spot",
    "steady_candles",
    "steady_mids",
    "trade",
    "up",
    "view",
    "wait",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'polyhost.testing' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value
