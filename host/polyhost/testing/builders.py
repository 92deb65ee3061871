"""Views of a window, built from a few words: times in seconds since its start, prices as decimals."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from polyhost.model.market import Fees, Market
from polyhost.model.money import MICRO, ONE, ticks
from polyhost.model.proposals import Abstain, Estimate, Signal
from polyhost.model.times import MarketMs
from polyhost.model.view import Candle, Funds, PositionView, Quote, View
from polyhost.model.words import SettlementRule, Side
from polyhost.plugin import Plugin

OPENS = 1_776_323_700_000
"""When the windows of these builders open, market ms: a full quarter of an hour."""
SHARE = MICRO
"""One share, or one unit of collateral, in micro-units."""
AnyPlugin = TypeVar("AnyPlugin", bound=Plugin)


def market(minutes: int = 15, **changes: Any) -> Market:
    """A BTC window that starts at ``OPENS``; ``changes`` are fields of ``Market``."""
    plain = Market(
        slug=f"btc-updown-{minutes}m-{OPENS // 1_000}",
        condition_id="0x01",
        up="11",
        down="12",
        start=MarketMs(OPENS),
        end=MarketMs(OPENS + minutes * 60_000),
        symbol="BTC",
        duration_s=minutes * 60,
        fees=Fees(70_000),
        rule=SettlementRule.TWAP_60,
    )
    return msgspec.structs.replace(plain, **changes)


def quote(text: str, shares: int = 100) -> Quote:
    """``"0.40/0.41"``, so many shares at each; an empty side is left out: ``"0.99/"``, ``"/0.01"``.

    Raises ValueError for what is no price.
    """
    bid, separator, ask = text.partition("/")
    if not separator:
        raise ValueError(f"{text!r} is no quote; write bid/ask, as in '0.40/0.41'")
    return Quote(ticks(bid) if bid else 0, ticks(ask) if ask else ONE, shares * SHARE, shares * SHARE)


def mirrored(quoted: Quote) -> Quote:
    """The other token's quote: DOWN's for UP's."""
    return Quote(ONE - quoted.ask, ONE - quoted.bid, quoted.ask_size, quoted.bid_size)


def view(at_s: float = 450.0, *, up: str = "0.50/0.51", minutes: int = 15, **changes: Any) -> View:
    """The window ``at_s`` seconds after its start, with an UP quote and nothing else known.

    ``changes`` are fields of ``View``; ``market`` replaces the window of ``minutes``.
    """
    about = changes.pop("market", None) or market(minutes)
    up_quote = quote(up)
    plain = View(
        view_seq=1,
        state_rev=1,
        book_epoch=1,
        now=OPENS + round(at_s * 1_000),
        market=about,
        up=up_quote,
        down=mirrored(up_quote),
        bids=((up_quote.bid, up_quote.bid_size),) if up_quote.bid else (),
        asks=((up_quote.ask, up_quote.ask_size),) if up_quote.ask < ONE else (),
        book_age_ms=0,
        mids=(),
        spot=None,
        spot_age_ms=0,
        spot_open=None,
        candles=(),
        strike=None,
        reference=None,
        positions=(),
        orders=(),
        funds=Funds(1_000 * SHARE, 0, 0, 0),
    )
    return msgspec.structs.replace(plain, **changes)


def position(
    side: Side = Side.UP, *, opened_s: float = 100.0, shares: int = 10, held: str = "", average: str = "0.50"
) -> PositionView:
    """So many shares, all of them settled, bought at ``average`` (collateral a share, fees included)."""
    size = shares * SHARE
    cost = size * ticks(average) // ONE
    return PositionView(side, size, size, ticks(average), cost, OPENS + round(opened_s * 1_000), held)


def up(shares: int = 10, **more: Any) -> PositionView:
    """A position in UP; the rest as ``position``."""
    return position(Side.UP, shares=shares, **more)


def down(shares: int = 10, **more: Any) -> PositionView:
    """A position in DOWN; the rest as ``position``."""
    return position(Side.DOWN, shares=shares, **more)


def signal(p_up: float, weight: float = 1.0, reason: str = "given") -> Signal:
    """A signal for a combiner."""
    return Signal(p_up, weight, reason)


def estimate(p_up: float, reason: str = "given") -> Estimate:
    """What the trading combiner thinks, with the confidence and bias that a probability has."""
    return Estimate.of_probability(p_up, reason)


def steady_candles(at_s: float, *, start: float, move: float, over_s: float, volume: float = 1.0) -> tuple[Candle, ...]:
    """Candles of a spot price flat at ``start`` until the window opens, then moving by ``move`` over ``over_s``.

    ``move`` is a fraction of the price (0.002 is 0.2 %), ``volume`` that of each minute.
    """

    def price(second: float) -> float:
        return start * (1 + move * min(max(second / over_s, 0.0), 1.0))

    first = -600
    return tuple(
        Candle(OPENS + s * 1_000, price(s), price(s + 60), price(s), price(min(s + 60, at_s)), volume)
        for s in range(first, int(at_s) + 1, 60)
    )


def steady_mids(at_s: float, *, change: float, over_s: float) -> tuple[tuple[int, int], ...]:
    """A midpoint a minute, 0.50 until the window opens, then changing by ``change`` (collateral) over ``over_s``."""
    return tuple(
        (OPENS + s * 1_000 + 59_000, round(ONE * (0.5 + change * min(max((s + 59) / over_s, 0.0), 1.0))))
        for s in range(-600, int(at_s) - 59, 60)
    )


def made(kind: type[AnyPlugin], **settings: object) -> AnyPlugin:
    """The plugin with these settings, the others as shipped. Raises pydantic's ValidationError for wrong ones."""
    return kind(kind.Settings.model_validate(settings))


def signalled(answer: Signal | Abstain | None) -> Signal:
    """The opinion; an abstention fails the test."""
    assert isinstance(answer, Signal), answer
    return answer


def estimated(answer: Estimate | Abstain | None) -> Estimate:
    """The estimate; an abstention fails the test."""
    assert isinstance(answer, Estimate), answer
    return answer


def abstained(answer: object) -> str:
    """Why it abstained; an opinion fails the test."""
    assert isinstance(answer, Abstain), answer
    return answer.reason
