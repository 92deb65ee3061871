"""Never run: what a plugin author writes must satisfy the type checkers with nothing but ``from polyhost import …``.

Every hook is here once, and every name that a view and its parts have; tests/testing/test_testing_author.py says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import assert_type

from pydantic import Field

from polyhost import (
    ORDER_REF,
    Abstain,
    Action,
    AuditTaken,
    Bias,
    CancelOrders,
    Candle,
    CloseRecorded,
    Contradiction,
    DayFigures,
    Defer,
    Enter,
    Estimate,
    ExitNow,
    ExitTarget,
    Feed,
    FeedConfig,
    FillBooked,
    Flow,
    Funds,
    HoldToSettlement,
    InnerPrice,
    Keep,
    Market,
    MarketSettled,
    Merge,
    Money,
    Notice,
    NoticeRaised,
    OrderMoved,
    OrderView,
    Pair,
    Plugin,
    PositionView,
    Price,
    Purpose,
    Quote,
    QuoteTarget,
    Reading,
    RefusedView,
    Reprice,
    Secret,
    Settings,
    Setup,
    Shares,
    Side,
    Signal,
    Skip,
    Split,
    Stake,
    Trigger,
    UnfilledView,
    Veto,
    View,
    hookimpl,
    midpoint_triggers,
    notional,
    price_text,
    taker_fee,
)


class AuthorSettings(Settings):
    """Settings of the example."""

    time_left_s_min: float = Field(default=60.0, gt=0)
    """Seconds of market time."""
    ask_max: Price = Price("0.45")
    """Collateral a share."""
    target: InnerPrice = InnerPrice("0.99")
    """Collateral a share."""
    stake: Money = Money("10")
    """Collateral."""
    size: Shares = Shares("10")
    token: Secret | None = None
    """Of the service that is told."""

    def contradictions(self, setup: Setup) -> Iterator[Contradiction]:
        """What could never happen."""
        if setup.scaled_s(self.time_left_s_min) >= setup.duration_s:
            yield Contradiction("time_left_s_min", "it would never enter", f"below {setup.longest_s}")
        yield from setup.too_long("time_left_s_min", self.time_left_s_min, "it would never enter", setup.first_entry_s)


class Author(Plugin):
    """Every hook once."""

    name = "author"
    description = "Shows that the types are right."
    api = 1
    Settings = AuthorSettings
    settings: AuthorSettings
    timer_s = 60.0

    def __init__(self, settings: AuthorSettings) -> None:
        super().__init__(settings)
        self.limits = settings

    # --- answering ----------------------------------------------------------------------------------------------------

    @hookimpl
    def signal(self, view: View) -> Signal | Abstain:
        if view.spot is None or view.spot_open is None:
            return Abstain("no spot price")
        assert_type(view.spot, float)
        return Signal.of_direction(1 if view.spot > view.spot_open else -1, 0.2, "spot", {"age": view.spot_age_ms})

    @hookimpl
    def combine(self, view: View, signals: tuple[tuple[str, Signal], ...]) -> Estimate | Abstain:
        if not signals:
            return Abstain("no signals")
        parts = {name: signal.strength * signal.weight for name, signal in signals}
        estimate = Estimate.of_probability(signals[0][1].p_up, signals[0][1].reason, parts)
        assert_type(estimate.bias, Bias)
        assert_type(estimate.confidence, float)
        return estimate

    @hookimpl
    def entry(self, view: View, estimate: Estimate) -> Enter | Skip:
        if view.time_left_s < view.scaled_s(self.limits.time_left_s_min) or view.elapsed_s < 5:
            return Skip("not now")
        quote = view.side(estimate.favoured)
        assert_type(quote.ask, int)
        if quote.ask >= self.limits.ask_max:
            return Skip("too expensive", {"ask": quote.ask / 10_000})
        edge = estimate.probability(estimate.favoured) - quote.ask / 10_000
        return Enter(estimate.favoured, price_max=quote.ask, reason=estimate.reason, edge=edge)

    @hookimpl
    def exit(
        self, view: View, position: PositionView
    ) -> Iterator[ExitTarget | ExitNow | Enter | Defer | HoldToSettlement | Trigger | Keep | Notice]:
        quote = view.side(position.side)
        if position.held:
            return
        if quote.mid <= Price("0.10"):
            yield HoldToSettlement(position.side, "not worth selling")
        if quote.mid <= Price("0.30"):
            yield Defer(position.side, "stop", view.now + 5_000, "hedge first")
            yield ExitNow(position.side, "stop", "stop", floor=quote.bid)
            hedge = view.side(position.side.other)
            yield Enter(
                position.side.other, hedge.ask, "hedge", Purpose.HEDGE, stake=self.limits.stake,
                remember={"hedge": ORDER_REF},
            )
        yield from midpoint_triggers(position.side, quote, "below", Price("0.30"))
        yield Trigger(position.side, "bid", "above", Price("0.90"))
        yield Keep({"high": quote.mid})
        yield Notice(f"{position.side.value} at {price_text(quote.mid)}", level="info")
        yield ExitTarget(position.side, self.limits.target, least=position.average_price)

    @hookimpl
    def propose(
        self, view: View, estimates: tuple[tuple[str, Estimate], ...]
    ) -> Iterable[Pair | Merge | Split | QuoteTarget | Reprice | CancelOrders] | None:
        if not estimates:
            return None
        return [
            Pair(view.up.ask, view.down.ask, self.limits.stake, "cheap", first=Side.UP),
            Merge(None, "paired"),
            Split(self.limits.size, "inventory"),
            QuoteTarget(Side.UP, Action.BUY, view.up.bid, self.limits.size, tolerance=view.market.tick),
            *(Reprice(order.ref, order.price + view.market.tick) for order in view.orders if order.owner == self.name),
            CancelOrders(None, "all buys"),
        ]

    @hookimpl
    def size(self, view: View, entry: Enter, estimate: Estimate | None) -> Stake:
        fee = taker_fee(self.limits.size, entry.price_max, view.market.fees.rate, view.market.fees.exponent)
        return Stake(min(self.limits.stake, notional(self.limits.size, entry.price_max) + fee), "fixed")

    @hookimpl
    def review(self, view: View, entry: Enter, estimate: Estimate | None) -> Veto | None:
        return Veto("never down") if entry.side is Side.DOWN else None

    @hookimpl
    def quote(self, view: View, target: ExitTarget | QuoteTarget) -> ExitTarget | QuoteTarget | None:
        if isinstance(target, ExitTarget) and target.price < self.limits.target:
            return ExitTarget(target.side, self.limits.target)
        return None

    # --- telling ------------------------------------------------------------------------------------------------------

    @hookimpl
    def on_market(self, market: Market, at: int) -> None:
        self.state[market.slug] = at

    @hookimpl
    def on_order(self, market: Market, order: OrderMoved, at: int) -> None:
        self.log.info("{} is {}", order.ref, order.state.value)

    @hookimpl
    def on_fill(self, market: Market, fill: FillBooked, at: int) -> Notice:
        return Notice(f"{fill.size} at {price_text(fill.price)}")

    @hookimpl
    def on_settlement(
        self, market: Market, result: MarketSettled, closes: tuple[CloseRecorded, ...], at: int
    ) -> Iterator[Notice]:
        self.state.pop(market.slug, None)
        for close in closes:
            yield Notice(f"{close.side.value} {close.pnl}: {result.winner}")

    @hookimpl
    def on_timer(self, at: int, funds: Funds | None) -> Iterable[Notice]:
        self.metrics["equity"] = 0.0 if funds is None else funds.equity / 1e6
        yield Notice("still here")

    @hookimpl
    def on_notice(self, notice: NoticeRaised, at: int) -> None:
        self.state["last"] = notice.text

    @hookimpl
    def on_audit(self, market: Market, report: AuditTaken, at: int) -> Notice | None:
        return Notice("differs", "warning") if report.ours != report.theirs else None

    @hookimpl
    def on_day(self, day: DayFigures, at: int) -> Notice:
        return Notice(f"{day.pnl} in {day.windows} windows")

    # --- life ---------------------------------------------------------------------------------------------------------

    @hookimpl
    def start(self) -> None:
        self.log.info("starts")

    @hookimpl
    def stop(self) -> None:
        self.log.info("stops")

    @hookimpl
    def feeds(self, config: FeedConfig) -> Iterator[Feed]:
        yield Feed((Reading(f"mood.{symbol}", 1.0) for symbol in config.symbols), silent_s_max=30.0)

    @hookimpl
    def notify(self, notice: NoticeRaised, channel: str) -> None:
        if self.limits.token is not None:
            self.log.info("{} by {}", notice.told_text, len(self.limits.token.reveal()))


# --- what a view has ------------------------------------------------------------------------------------------------


def of_view(view: View) -> None:
    assert_type(
        (view.view_seq, view.state_rev, view.book_epoch, view.now, view.book_age_ms, view.spot_age_ms),
        tuple[int, int, int, int, int, int],
    )
    assert_type((view.market, view.up, view.down, view.funds), tuple[Market, Quote, Quote, Funds])
    assert_type((view.bids, view.asks), tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]])
    assert_type(view.mids, tuple[tuple[int, int], ...])
    assert_type((view.candles, view.flow), tuple[tuple[Candle, ...], tuple[Flow, ...]])
    assert_type((view.spot, view.spot_open), tuple[float | None, float | None])
    assert_type((view.strike, view.reference, view.basis), tuple[float | None, float | None, float | None])
    assert_type((view.positions, view.orders), tuple[tuple[PositionView, ...], tuple[OrderView, ...]])
    assert_type((view.taken, view.book_source), tuple[tuple[Side, ...], str])
    assert_type((view.refused, view.unfilled), tuple[tuple[RefusedView, ...], UnfilledView | None])
    assert_type((view.estimate, view.feeds), tuple[Estimate | None, tuple[Reading, ...]])
    assert_type(view.reading("mood.BTC", age_ms_max=5_000), Reading | None)
    assert_type((view.side(Side.UP), view.position(Side.DOWN)), tuple[Quote, PositionView | None])
    assert_type(view.hedge_refused(Side.UP), RefusedView | None)
    assert_type((view.time_left_s, view.elapsed_s, view.scaled_s(60)), tuple[float, float, float])


def of_quote(quote: Quote) -> None:
    assert_type((quote.bid, quote.ask, quote.bid_size, quote.ask_size), tuple[int, int, int, int])
    assert_type((quote.mid, quote.spread, quote.complete), tuple[int, int, bool])
    assert_type((quote.mid_at_most, quote.mid_at_least), tuple[int | None, int | None])


def of_candle(candle: Candle, flow: Flow) -> None:
    assert_type((candle.open, candle.high, candle.low, candle.close), tuple[float, float, float, float])
    assert_type((candle.start, candle.volume), tuple[int, float])
    assert_type((flow.start, flow.bought, flow.sold, flow.trades), tuple[int, int, int, int])


def of_position(position: PositionView, funds: Funds) -> None:
    assert_type((position.side, position.held), tuple[Side, str])
    assert_type((position.size, position.sellable, position.paired), tuple[int, int, int])
    assert_type((position.average_price, position.cost, position.opened_at), tuple[int, int, int])
    assert_type((funds.free, funds.reserved, funds.in_positions), tuple[int, int, int])
    assert_type((funds.unredeemed, funds.equity), tuple[int, int])


def of_order(order: OrderView) -> None:
    assert_type((order.ref, order.state, order.owner, order.key), tuple[str, str, str, str])
    assert_type((order.side, order.action, order.purpose), tuple[Side, Action, Purpose])
    assert_type((order.price, order.size, order.matched), tuple[int, int, int])
    assert_type((order.placed_at, order.mid_placed, order.valid_until), tuple[int, int, int])
    assert_type((order.scoring, order.score), tuple[bool | None, float])
    assert_type((order.order_type, order.post_only, order.rests), tuple[str, bool, bool])


def of_refusals(refused: RefusedView, unfilled: UnfilledView) -> None:
    assert_type((refused.plugin, refused.key, refused.gate, refused.reason), tuple[str, str, str, str])
    assert_type((refused.purpose, refused.side), tuple[Purpose, Side])
    assert_type((refused.since, refused.at), tuple[int, int])
    assert_type((unfilled.ref, unfilled.owner, unfilled.side), tuple[str, str, Side])
    assert_type((unfilled.price, unfilled.placed_at, unfilled.ended_at), tuple[int, int, int])
