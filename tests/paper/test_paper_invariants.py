"""Whatever the market shows and we do: no fill that was not displayed or printed, and cash to the micro-unit."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import settings as bounds
from hypothesis import strategies as st

from polyhost.model.events import TradeSeen
from polyhost.model.gateway import TradeRow
from polyhost.model.money import ONE, micros, notional, price_text, taker_fee
from polyhost.model.words import Action

from .paper_bench import DOWN, UP, Bench, book_message, settings

PRICES = st.sampled_from(["0.46", "0.47", "0.48", "0.49", "0.50", "0.51", "0.52", "0.53"])
SIZES = st.sampled_from(["5", "8", "13", "40"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("level"), st.sampled_from(["BUY", "SELL"]), PRICES, st.sampled_from(["0", "7", "20", "33"])),
        st.tuples(st.just("trade"), PRICES, SIZES, st.sampled_from(["BUY", "SELL"]), st.sampled_from([UP, DOWN])),
        st.tuples(
            st.just("order"), st.sampled_from(["BUY", "BUY", "SELL"]), PRICES, SIZES,
            st.sampled_from(["GTC", "GTC", "FAK", "FOK"]), st.sampled_from([UP, DOWN]),
        ),
        st.tuples(st.just("cancel"), st.integers(0, 9)),
        st.tuples(st.just("wait"), st.sampled_from([1, 60, 150, 400, 6_000])),
        st.tuples(st.sampled_from(["cut", "again", "restart"])),
    ),
    max_size=40,
)  # fmt: skip


class Watcher:
    """Plays steps and counts, independently, what could have been traded at all."""

    def __init__(self, **paper: Any) -> None:
        self.bench = Bench(settings(**paper))
        self.shown: dict[tuple[bool, int], int] = {(True, 4_800): micros("30"), (False, 5_200): micros("20")}
        """(a bid?, UP price) → displayed size."""
        self.used: dict[tuple[bool, int], int] = {}
        """Of it, what we took since the venue last changed it."""
        self.ready = True
        self.orders: dict[str, str] = {}
        """Order id → token."""
        self.seen = 0
        self.cash = micros("1000")

    def play(self, step: tuple[Any, ...]) -> None:
        printed = 0
        match step:
            case ("level", side, price, size):
                self.bench.level(side, price, size)
                if self.ready:
                    self._show(side == "BUY", int(micros(price) // 100), micros(size))
            case ("trade", price, size, side, token):
                printed = micros(size) if self.ready else 0
                self.bench.trade(price, size, side, token)
            case ("order", action, price, size, kind, token):
                self.orders[self.bench.order(action, price, size, kind, token)] = token
            case ("cancel", number) if self.orders:
                self.bench.cancel(list(self.orders)[number % len(self.orders)])
            case ("wait", ms):
                self.bench.wait(ms)
            case ("cut",):
                self.bench.cut()
                self.ready = False
            case ("again",):
                self._book_again()
            case ("restart",):
                self.bench.restart(away_ms=500)
                self.ready = False
            case _:
                return
        self._check(printed if step[0] == "trade" else None)

    def _show(self, is_bid: bool, price: int, size: int) -> None:
        if self.shown.get((is_bid, price), 0) != size:
            self.shown[is_bid, price] = size
            self.used.pop((is_bid, price), None)

    def _book_again(self) -> None:
        """The same book, whole: after a gap it is to be trusted again."""
        self.ready = True
        sides: list[dict[str, str]] = [{}, {}]
        for (is_bid, price), size in self.shown.items():
            if size:
                sides[0 if is_bid else 1][price_text(price)] = f"{size / 1e6:.6f}"
        self.bench.say(book_message(sides[0], sides[1]))

    def _check(self, printed: int | None) -> None:
        fresh = [event.row for event in self.bench.heard(TradeSeen)][self.seen:]
        self.seen += len(fresh)
        matched = [row for row in fresh if row.status == "MATCHED"]
        assert self.ready or not matched, "without a book nothing fills"
        if printed is not None:
            assert sum(row.size for row in matched) <= printed, "no more than was printed"
        for row in matched:
            self._pay(row)
            if printed is None:
                self._used_up(row)
        assert self.bench.venue.collateral == self.cash
        self.bench.sound()

    def _pay(self, row: TradeRow) -> None:
        """What the trade cost us, by the published rules."""
        if row.taker_order_id in self.orders:
            money = notional(row.size, row.price)
            fee = taker_fee(row.size, row.price, self.bench.market.fees.rate, self.bench.market.fees.exponent)
            self.cash -= (money if row.action is Action.BUY else -money) + fee
        for maker in row.makers:
            if maker.order_id in self.orders:
                money = notional(maker.size, maker.price)
                self.cash -= money if maker.action is Action.BUY else -money

    def _used_up(self, row: TradeRow) -> None:
        """A fill without a print met displayed size that nobody of us had taken."""
        bids = (row.action is Action.SELL) == (row.token_id == UP)
        if row.taker_order_id in self.orders:
            price = row.price if row.token_id == UP else ONE - row.price
            self._take(bids, [price], row.size)
            return
        ours = next(maker for maker in row.makers if maker.order_id in self.orders)
        is_bid = (ours.action is Action.BUY) == (ours.token_id == UP)
        limit = ours.price if ours.token_id == UP else ONE - ours.price
        crossing = [p for b, p in self.shown if b is not is_bid and (p <= limit if is_bid else p >= limit)]
        self._take(not is_bid, sorted(crossing, reverse=not is_bid), ours.size)

    def _take(self, bids: bool, prices: list[int], size: int) -> None:
        for price in prices:
            free = self.shown.get((bids, price), 0) - self.used.get((bids, price), 0)
            part = min(free, size)
            self.used[bids, price] = self.used.get((bids, price), 0) + part
            size -= part
        assert size == 0, f"{size} more than is displayed"


@given(STEPS)
@bounds(max_examples=80, deadline=None)
def test_ops_06_no_fill_beyond_what_was_displayed_or_printed_and_cash_is_kept(steps: list[tuple[Any, ...]]) -> None:
    watcher = Watcher()
    for step in steps:
        watcher.play(step)


@given(STEPS)
@bounds(max_examples=40, deadline=None)
def test_ops_06_nor_without_latency_standing_time_and_queue(steps: list[tuple[Any, ...]]) -> None:
    watcher = Watcher(latency_ms=0, min_standing_ms=0, queue_ahead=0)
    for step in steps:
        watcher.play(step)
