"""Views of a window, built from a few words: times in seconds since its start, prices as decimals."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from polyhost import (
    ONE,
    Abstain,
    Candle,
    Estimate,
    Funds,
    Market,
    Plugin,
    PositionView,
    Quote,
    Side,
    Signal,
    View,
)
from polyhost.model.market import Fees
from polyhost.model.money import ticks
from polyhost.model.times import MarketMs
from polyhost.model.words import SettlementRule

OPEN_MS = 1_776_323_700_000
SHARES = 1_000_000
AnyPlugin = TypeVar("AnyPlugin", bound=Plugin)


def market(minutes: int = 15, **changes: Any) -> Market:
    """A BTC window that starts at ``OPEN_MS``."""
    plain = Market(
        slug=f"btc-updown-{minutes}m-{OPEN_MS // 1_000}",
        condition_id="0x01",
        up="11",
        down="12",
        start=MarketMs(OPEN_MS),
        end=MarketMs(OPEN_MS + minutes * 60_000),
        symbol="BTC",
        duration_s=minutes * 60,
        fees=Fees(70_000),
        rule=SettlementRule.TWAP_60,
    )
    return msgspec.structs.replace(plain, **changes)


def quote(text: str) -> Quote:
    """``"0.40/0.41"``; an empty side is left out: ``"0.99/"``, ``"/0.01"``."""
    bid, ask = text.split("/")
    return Quote(ticks(bid) if bid else 0, ticks(ask) if ask else ONE, 100 * SHARES, 100 * SHARES)


def mirrored(up: Quote) -> Quote:
    return Quote(ONE - up.ask, ONE - up.bid, up.ask_size, up.bid_size)


def view(at_s: float = 450.0, *, up: str = "0.50/0.51", minutes: int = 15, **changes: Any) -> View:
    """The window ``at_s`` seconds after its start, with an UP quote and nothing else known."""
    about = changes.pop("market", None) or market(minutes)
    up_quote = quote(up)
    plain = View(
        view_seq=1,
        state_rev=1,
        book_epoch=1,
        now=OPEN_MS + round(at_s * 1_000),
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
        funds=Funds(1_000 * SHARES, 0, 0, 0),
    )
    return msgspec.structs.replace(plain, **changes)


def position(side: Side = Side.UP, *, opened_s: float = 100.0, shares: int = 10, held: str = "") -> PositionView:
    size = shares * SHARES
    return PositionView(side, size, size, 5_000, size // 2, OPEN_MS + round(opened_s * 1_000), held)


def steady_candles(at_s: float, *, start: float, move: float, over_s: float, volume: float = 1.0) -> tuple[Candle, ...]:
    """Candles of a spot price flat at ``start`` until the window opens, then moving by ``move`` over ``over_s``."""

    def price(second: float) -> float:
        return start * (1 + move * min(max(second / over_s, 0.0), 1.0))

    first = -600
    return tuple(
        Candle(OPEN_MS + s * 1_000, price(s), price(s + 60), price(s), price(min(s + 60, at_s)), volume)
        for s in range(first, int(at_s) + 1, 60)
    )


def steady_mids(at_s: float, *, change: float, over_s: float) -> tuple[tuple[int, int], ...]:
    """A midpoint a minute, 0.50 until the window opens, then changing by ``change`` over ``over_s``."""
    return tuple(
        (OPEN_MS + s * 1_000 + 59_000, round(ONE * (0.5 + change * min(max((s + 59) / over_s, 0.0), 1.0))))
        for s in range(-600, int(at_s) - 59, 60)
    )


def made(kind: type[AnyPlugin], **settings: object) -> AnyPlugin:
    """The plugin with these settings, the others as shipped."""
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
