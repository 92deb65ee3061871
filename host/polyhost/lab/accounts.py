"""Three accounts of one pass: what a strategy makes when its orders fare badly, as usual, and well (EVD-01).

Each decides for itself and has its own orders; they share nothing but the reading of the tape. Where the sign of the
profit depends on which of them one believes, the result is no evidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from polyhost.exchange.rules import Queue
from polyhost.model.money import micros

SLOW_MS: Final = 250
"""What the pessimistic account's answers and takers lose besides, each, market ms: a busy machine, a far network."""


class Fate(Struct, frozen=True):
    """How an account's orders fare."""

    name: str
    queue: Queue
    slower_ms: int = 0
    """Added to the delay of takers and to the latency of plugins."""
    instant: bool = False
    """Takers meet the book at once."""

    def taker_delay_ms(self, configured: int) -> int:
        return 0 if self.instant else configured + self.slower_ms

    def plugin_latency_ms(self, configured: int) -> int:
        return configured + self.slower_ms


PESSIMISTIC: Final = Fate("pessimistic", Queue.LAST, SLOW_MS)
CENTRAL: Final = Fate("central", Queue.CENTRAL)
OPTIMISTIC: Final = Fate("optimistic", Queue.FIRST, instant=True)
FATES: Final = (PESSIMISTIC, CENTRAL, OPTIMISTIC)
_SHOWN: Final = ("orders", "fills", "positions_open", "fees", "cash_end")


def joined(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The central account's summary with all three figures, what else the others did, and whether it is evidence."""
    report = dict(reports[CENTRAL.name])
    report["pnl"] = {name: each["pnl"]["central"] for name, each in reports.items()}
    report["accounts"] = {name: {key: each[key] for key in _SHOWN} for name, each in reports.items()}
    names = sorted({name for each in reports.values() for name in each["invariants"]["broken_names"]})
    report["invariants"] = {
        "checked": sum(each["invariants"]["checked"] for each in reports.values()), "broken": len(names),
        "broken_names": names,
    }
    report["evidence"] = judged(report["pnl"])
    wall = report.pop("wall")
    return {**report, "wall": wall}


def judged(pnl: Mapping[str, str]) -> str:
    """What the figures are worth, in words."""
    if len(pnl) < len(FATES):
        return "one account alone: no statement"
    signs = {(amount > 0) - (amount < 0) for amount in map(micros, pnl.values())}
    if signs == {0}:
        return "no profit and no loss: nothing was settled with a position"
    if len(signs) > 1:
        return "not evidence: the sign of the profit depends on how orders fare"
    return f"a {'profit' if signs == {1} else 'loss'} however orders fare"

