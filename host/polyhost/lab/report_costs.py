"""What trading cost and what the venue gave: fees by the schedule, slippage against the quote that was seen, rewards.

All from the journal. Slippage is measured where a quote is in the order's own record: of what took liquidity, the
price paid less the best offer when it was decided (of a sale the best bid less the price got). Below zero is better
than what was seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import UNSET, Struct

from polyhost.kernel.breakers import DAY_MS
from polyhost.kernel.state import FillEntry, OrderEntry, State
from polyhost.lab.summary import earned_rows
from polyhost.model.money import ONE, Micros, Ticks, money_text, size_text, ticks
from polyhost.model.records import LedgerPosted, Record
from polyhost.model.times import day_text
from polyhost.model.words import Action, TradeStatus


class Cost(Struct):
    """Fills of one kind added up; micro-units, slippage in micro-units times ticks."""

    fills: int = 0
    money: Micros = 0
    """Bought or sold for, without fees."""
    fees: Micros = 0
    builder: Micros = 0
    """Of the fees, what the builder code cost."""
    scheduled: Micros = 0
    """What the market's own schedule says they cost."""
    measured: int = 0
    """Fills with a quote beside them."""
    size: Micros = 0
    """Shares of these."""
    slipped: int = 0
    """Sum of shares times ticks worse than the quote."""

    @property
    def slippage(self) -> Micros:
        """Money lost against the quotes, rounded down; negative: gained."""
        return self.slipped // ONE

    @property
    def slippage_ticks(self) -> float | None:
        """The same a share, in ticks of 0.0001; None: nothing could be measured."""
        return self.slipped / self.size if self.size else None

    def add(self, entry: FillEntry, order: OrderEntry, scheduled: Micros) -> None:
        fill = entry.fill
        self.fills += 1
        self.money += fill.money
        self.fees += fill.fee
        self.builder += 0 if fill.builder_fee is UNSET else fill.builder_fee
        self.scheduled += scheduled
        quote = None if fill.maker else seen_quote(order)
        if quote is not None:
            self.measured += 1
            self.size += fill.size
            self.slipped += fill.size * (fill.price - quote if fill.action is Action.BUY else quote - fill.price)

    def described(self) -> dict[str, Any]:
        worse = self.slippage_ticks
        return {
            "fills": self.fills, "volume": money_text(self.money), "fees": money_text(self.fees),
            "builder_fees": money_text(self.builder), "scheduled_fees": money_text(self.scheduled),
            "measured_fills": self.measured, "measured_shares": size_text(self.size),
            "slippage": money_text(self.slippage), "slippage_ticks": None if worse is None else round(worse, 3),
        }


def seen_quote(order: OrderEntry) -> Ticks | None:
    """The best price on the other side when the order was decided; None: it was not written down, or there was none."""
    text = order.why.get("ask" if order.draft.action is Action.BUY else "bid", "")
    try:
        found = ticks(text)
    except ValueError:
        return None
    return found if 0 < found < ONE else None


def fills_of(state: State, since: int, until: int) -> list[tuple[FillEntry, OrderEntry]]:
    """Trades of ours in [since, until), market ms, that did not fail."""
    return [
        (entry, state.orders[entry.fill.ref]) for entry in state.fills.values()
        if entry.status is not TradeStatus.FAILED and since <= entry.fill.at < until
    ]


def scheduled(state: State, entry: FillEntry) -> Micros:
    """What the market's schedule says that this trade costs."""
    fill = entry.fill
    fees = state.markets[fill.slot.condition_id].market.fees
    return fees.charged(fill.size, fill.price, maker=fill.maker)


def costs(state: State, fills: Iterable[tuple[FillEntry, OrderEntry]]) -> dict[str, Any]:
    """``total`` and ``by_purpose`` (purpose and role, takers first)."""
    total = Cost()
    kinds: dict[tuple[str, str], Cost] = {}
    for entry, order in fills:
        charged = scheduled(state, entry)
        total.add(entry, order, charged)
        kind = (order.slot.purpose.value, "maker" if entry.fill.maker else "taker")
        kinds.setdefault(kind, Cost()).add(entry, order, charged)
    return {
        "total": total.described(),
        "by_purpose": [
            {"purpose": purpose, "role": role, **cost.described()}
            for (purpose, role), cost in sorted(kinds.items(), key=lambda each: (each[0][1] == "maker", each[0][0]))
        ],
    }


class Rewards(Struct):
    """Payouts of rewards in [since, until), as the ledger has them."""

    since: int
    until: int
    paid: Micros = 0

    def see(self, record: Record) -> None:
        if isinstance(record, LedgerPosted) and record.cause == "reward" and self.since <= record.at < self.until:
            self.paid -= sum(entry.delta for entry in record.entries if entry.account == "rewards")

    def described(self, state: State) -> dict[str, Any]:
        """Paid, and what the venue says each day and market earned; a day counts when any of it is in the time."""
        first, last = self.since // DAY_MS, (self.until - 1) // DAY_MS
        days = {day_text(day) for day in {int(key.partition(":")[0]) for key in state.earned} if first <= day <= last}
        rows = [row for row in earned_rows(state) if row["day"] in days]
        return {"paid": money_text(self.paid), "earned": sorted(rows, key=lambda row: (row["day"], row["slug"] or ""))}
