"""What the conformance suite asks: views of whole windows, views in which something is missing, and facts to tell.

Everything is the same at every run. ``complete`` views look like a normal market from its first seconds to its last,
with and without positions and orders; ``missing`` ones are legal, too, and lack what a plugin may count on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import sin
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from polyhost.model.days import DayFigures
from polyhost.model.money import ONE
from polyhost.model.proposals import Enter, Estimate, ExitTarget, QuoteTarget, Signal, StandingTarget
from polyhost.model.reading import Reading
from polyhost.model.records import AuditTaken, CloseRecorded, FillBooked, MarketSettled, NoticeRaised, OrderMoved, Slot
from polyhost.model.view import Funds, OrderView, Quote, RefusedView, UnfilledView, View
from polyhost.model.words import Action, OrderState, Purpose, Side, TradeStatus
from polyhost.testing.bench import Scene, book, reading, spot, trade, wait
from polyhost.testing.builders import OPENS, SHARE, down, market, mirrored, position, up

HISTORY_MINUTES: Final = 40
"""Of spot candles before the window: what ADX over 14 minutes needs."""
MARKET: Final = market()
SIGNALS: Final = (
    ("binance_momentum", Signal(0.7, 0.6, "given")), ("polymarket_momentum", Signal(0.6, 0.4, "given")),
    ("indicators", Signal(0.45, 0.3, "given")), ("another", Signal(0.5, 0.0, "given")),
)
"""What a combiner is given."""
ESTIMATES: Final = tuple(Estimate.of_probability(p_up, "given") for p_up in (0.97, 0.62, 0.5, 0.2))
ENTRIES: Final = (
    Enter(Side.UP, 5_100, "given", edge=0.05),
    Enter(Side.DOWN, 2_000, "given", stake=25 * SHARE),
    Enter(Side.UP, 9_900, "given", Purpose.SCALE_IN, stake=5 * SHARE),
    Enter(Side.DOWN, 5_000, "given", Purpose.HEDGE, stake=12 * SHARE),
    Enter(Side.UP, 4_000, "given", Purpose.GRID_LEVEL, "GTC", 5 * SHARE, key="1"),
    Enter(Side.UP, 4_000, "given", Purpose.LEG, stake=10 * SHARE),
)
"""What is sized and reviewed."""


class Question(NamedTuple):
    """One call of a hook, and the view it is about."""

    hook: str
    arguments: tuple[Any, ...]
    view: View
    lacking: str = ""
    """What the view lacks; empty: nothing."""


def complete(minutes: int = 15, evaluations: int = 24) -> Iterator[View]:
    """A window from its first seconds to its last, in which the price wanders from end to end."""
    span_s = minutes * 60
    scene = Scene(at_s=-60.0 * HISTORY_MINUTES, minutes=minutes, up="0.48/0.52", strike=80_000.0)
    for minute in range(HISTORY_MINUTES):
        scene.run(spot(80_000.0 + 30 * sin(minute), 2.0), wait(60.0))
    step_s = (span_s - 1.0) / evaluations
    for number in range(evaluations):
        mid = 0.5 + 0.44 * sin(number / 2.3)
        lean = Side.UP if sin(number / 2.3) >= 0 else Side.DOWN
        scene.run(
            wait(step_s), spot(round(80_000.0 + 400 * sin(number / 2.3), 2), 1.0), trade(lean, 15.0),
            trade(lean.other, 4.0, Action.SELL), book(f"{mid - 0.01:.2f}/{mid + 0.01:.2f}", depth=5),
            reading("spot2.BTC", 80_000.0 + 390 * sin(number / 2.3)), reading("funding.BTC", 0.0002 * sin(number)),
            reading("mark.BTC", 80_010.0), reading("fear_greed", 20.0 + number),
        )
        seen = replace(
            scene.view, view_seq=number + 1, reference=scene.view.spot, estimate=ESTIMATES[number % 4],
            **_ours(number, scene.now, mid),
        )
        yield seen


def _ours(number: int, now: int, mid: float) -> dict[str, Any]:
    """Positions, orders and refusals, in turn: none, one side, the other, both."""
    opened_s = (now - OPENS) / 1_000 - 90.0
    cheap = f"{max(mid - 0.15, 0.02):.2f}"
    dear = f"{min(mid + 0.2, 0.98):.2f}"
    positions = (
        (), (up(20, opened_s=opened_s, average=cheap),), (down(12, opened_s=opened_s, average="0.40"),),
        (up(20, opened_s=opened_s, average=dear), position(Side.DOWN, shares=6, opened_s=opened_s, average="0.30")),
    )[number % 4]
    more: dict[str, Any] = {"positions": positions}
    if positions:
        more["taken"] = tuple(each.side for each in positions)
    if number % 3 == 1:
        more["orders"] = (_order(Side.UP, Action.BUY, now), _order(Side.DOWN, Action.SELL, now))
    if number % 5 == 2:
        more["refused"] = (RefusedView("another", Purpose.HEDGE, Side.DOWN, "", "funds", "given", now - 9_000, now),)
        more["unfilled"] = UnfilledView("o7", Side.UP, "another", 4_500, now - 400_000, now - 60_000)
    return more


def _order(side: Side, action: Action, now: int) -> OrderView:
    purpose = Purpose.ENTRY if action is Action.BUY else Purpose.EXIT
    return OrderView(
        f"o-{side.value}", side, action, purpose, 4_000, 10 * SHARE, 2 * SHARE, "working", now - 30_000, "another",
        "", 4_600,
    )


def missing() -> Iterator[tuple[str, View]]:
    """(what is missing, view): each of them happens."""
    seen = [view for view in complete() if len(view.positions) == 2][2]
    yield "spot", replace(seen, spot=None, spot_age_ms=0, spot_open=None, candles=(), basis=None, strike=None)
    yield "the window's opening price", replace(seen, spot_open=None)
    yield "the strike", replace(seen, strike=None, reference=None, basis=None)
    yield "candles", replace(seen, candles=())
    yield "midpoints", replace(seen, mids=())
    yield "prints", replace(seen, flow=())
    yield "feeds", replace(seen, feeds=())
    yield "one token's bids", _quoted(seen, Quote(0, 300, 0, 50 * SHARE))
    yield "one token's asks", _quoted(seen, Quote(9_700, ONE, 50 * SHARE, 0))
    yield "the whole book", _quoted(seen, Quote(0, ONE, 0, 0))
    yield "sizes", _quoted(seen, Quote(4_900, 5_000, -1, -1))
    yield "an uncrossed book", _quoted(seen, Quote(5_300, 5_100, SHARE, SHARE))
    yield "funds", replace(seen, funds=Funds(0, 0, 0, 0), positions=(), taken=())
    yield "time", replace(seen, now=seen.market.end + 5_000)
    yield "a window", replace(seen, market=replace(seen.market, start=None, symbol="", duration_s=0), spot=None,
                              spot_open=None, strike=None, candles=(), basis=None)
    yield "an estimate", replace(seen, estimate=None)
    yield "movement", replace(seen, candles=tuple(
        replace(each, open=80_000.0, high=80_000.0, low=80_000.0, close=80_000.0, volume=0.0) for each in seen.candles
    ), spot=80_000.0, mids=tuple((at, 5_000) for at, _ in seen.mids))
    yield "age", replace(seen, spot_age_ms=60_000, book_age_ms=60_000)


def _quoted(view: View, quoted: Quote) -> View:
    sized = max(quoted.bid_size, quoted.ask_size)
    bids = ((quoted.bid, quoted.bid_size),) if quoted.bid and sized else ()
    asks = ((quoted.ask, quoted.ask_size),) if quoted.ask < ONE and sized else ()
    return replace(view, up=quoted, down=mirrored(quoted), bids=bids, asks=asks)


def questions(hooks: Iterable[str], view: View, lacking: str = "") -> Iterator[Question]:
    """Everything that plugins with these hooks are asked about one view."""
    asked: dict[str, list[tuple[Any, ...]]] = {
        "signal": [()],
        "combine": [((),), (SIGNALS,)],
        "entry": [(estimate,) for estimate in ESTIMATES],
        "exit": [(held,) for held in view.positions],
        "propose": [((),), ((("additive", ESTIMATES[1]),),)],
        "size": _entries(view),
        "review": _entries(view),
        "quote": [(target,) for target in _targets(view)],
    }
    for hook in hooks:
        for arguments in asked.get(hook, ()):
            yield Question(hook, (view, *arguments), view, lacking)


def _entries(view: View) -> list[tuple[Any, ...]]:
    """Each entry, with another estimate from view to view."""
    estimates = (None, *ESTIMATES)
    return [(entry, estimates[(view.view_seq + place) % len(estimates)]) for place, entry in enumerate(ENTRIES)]


def _targets(view: View) -> list[StandingTarget]:
    exits: list[StandingTarget] = [
        ExitTarget(held.side, 9_900, "given", least=held.average_price) for held in view.positions
    ]
    quotes = [
        QuoteTarget(Side.UP, Action.BUY, 4_000, 20 * SHARE, reason="given"),
        QuoteTarget(Side.DOWN, Action.BUY, 3_000, None, 10 * SHARE, reason="given"),
        QuoteTarget(Side.UP, Action.SELL, 9_000, reason="given"),
    ]
    return exits + quotes


def readings() -> tuple[Reading, ...]:
    """Of the feeds that the shipped plugins read."""
    return tuple(next(complete()).feeds)


def facts(hook: str, at: int) -> list[dict[str, Any]]:
    """What an ``on_…`` hook is told, each a call by names: a life of one position."""
    slot = Slot(MARKET.condition_id, Side.UP, Purpose.ENTRY)
    settled = MarketSettled(at, MARKET.condition_id, Side.UP, 8_010_000_000_000, "given")
    close = CloseRecorded(
        at, MARKET.condition_id, Side.UP, "settled", False, False, 4_100, ONE, 20 * SHARE, 11 * SHARE, SHARE // 4,
        at - 300_000,
    )
    fill = FillBooked(
        at, "t1", "o1", slot, MARKET.up, Action.BUY, 4_100, 20 * SHARE, 8_200_000, 250_000, TradeStatus.MATCHED, False
    )
    funds = Funds(800 * SHARE, 20 * SHARE, 100 * SHARE, 0)
    day = DayFigures(20_000, 12, 9, 7, 3 * SHARE, SHARE, 0, 1, ("daily_loss",))
    told: dict[str, list[dict[str, Any]]] = {
        "on_market": [{}],
        "on_order": [
            {"order": OrderMoved(at, "o1", OrderState.WORKING, "accepted", 0, 0, True)},
            {"order": OrderMoved(at + 1, "o1", OrderState.CLOSED, "matched", 20 * SHARE)},
        ],
        "on_fill": [{"fill": fill}, {"fill": replace(fill, at=at + 1, trade_id="t2", action=Action.SELL)}],
        "on_settlement": [{"result": settled, "closes": (close,)}, {"result": settled, "closes": ()}],
        "on_timer": [{"funds": None}, {"funds": funds}, {"funds": replace(funds, free=SHARE)}],
        "on_notice": [{"notice": NoticeRaised(at, "n1", "warning", "breaker", "given", MARKET.condition_id)}],
        "on_audit": [{"report": AuditTaken(at, MARKET.condition_id, 3 * SHARE, 2 * SHARE)}],
        "on_day": [{"day": day}],
        "start": [{}],
        "stop": [{}],
    }
    return [{"market": MARKET, "at": at, **each} for each in told.get(hook, [])]
