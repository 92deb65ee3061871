"""The frozen picture of one market at one instant that plugins see.

Everything in it is plain data: nothing is live, lazy or mutable, and reading it costs an attribute access. Prices are
ticks (1e-4), sizes and money micro-units, times market ms; spot prices and probabilities are floats (opinions).
"""

from __future__ import annotations

from msgspec import Struct

from polyhost.model.market import Market
from polyhost.model.money import ONE, Micros, Ticks
from polyhost.model.proposals import Estimate
from polyhost.model.reading import Reading
from polyhost.model.words import Action, Purpose, Side


class Quote(Struct, frozen=True):
    """Best prices of one token. ``bid`` 0 or ``ask`` 10,000: that side is empty. Sizes -1: not told."""

    bid: Ticks
    """The highest price at which somebody buys, ticks of 1e-4 collateral a share; 0: nobody."""
    ask: Ticks
    """The lowest price at which somebody sells, ticks; 10,000: nobody."""
    bid_size: Micros
    """Micro-shares at the bid; -1: the venue did not tell."""
    ask_size: Micros
    """Micro-shares at the ask; -1: the venue did not tell."""

    @property
    def mid(self) -> Ticks:
        """Midpoint in ticks, rounded down."""
        return (self.bid + self.ask) // 2

    @property
    def spread(self) -> Ticks:
        """Ask less bid, ticks; negative when they cross."""
        return self.ask - self.bid

    @property
    def complete(self) -> bool:
        """Both sides have orders and do not cross."""
        return 0 < self.bid < self.ask < ONE

    @property
    def mid_at_most(self) -> Ticks | None:
        """The midpoint; without a bid the ask, which it is not above; None when nothing bounds it from above."""
        if self.complete:
            return self.mid
        return self.ask if not self.bid and self.ask < ONE else None

    @property
    def mid_at_least(self) -> Ticks | None:
        """The midpoint; without an ask the bid, which it is not below; None when nothing bounds it from below."""
        if self.complete:
            return self.mid
        return self.bid if self.bid and self.ask >= ONE else None


class Candle(Struct, frozen=True):
    """One minute of the spot price. ``start`` market ms; prices and base volume as floats."""

    start: int
    """Market ms at which the minute begins."""
    open: float
    """First price of the minute, quote currency."""
    high: float
    """Highest price of the minute, quote currency."""
    low: float
    """Lowest price of the minute, quote currency."""
    close: float
    """Last price of the minute, quote currency; of an unfinished minute the latest one."""
    volume: float
    """What was traded in the minute, base currency; 0 where the feed tells none."""


class Flow(Struct, frozen=True):
    """What takers traded in ten seconds, both tokens in UP terms: a purchase of DOWN is a sale of UP; micro-shares."""

    start: int
    """Market ms at which the bucket begins: a multiple of 10,000."""
    bought: Micros
    """Micro-shares of UP bought, or of DOWN sold, by takers."""
    sold: Micros
    """Micro-shares of UP sold, or of DOWN bought, by takers."""
    trades: int
    """Prints counted; a print whose side the venue did not tell is none."""


class PositionView(Struct, frozen=True):
    """Our position in one token."""

    side: Side
    """The token that is held."""
    size: Micros
    """Matched exposure: bought less sold, micro-shares."""
    sellable: Micros
    """Of it, settled and visible in the venue's balance, micro-shares."""
    average_price: Ticks
    """Fee-aware average entry price in ticks, rounded up."""
    cost: Micros
    """Collateral paid for what is held, fees included, micro-units."""
    opened_at: int
    """Market ms of the first fill."""
    held: str = ""
    """Why it is knowingly held to settlement; empty when it is not."""
    paired: Micros = 0
    """Of the size, what pairs off with the other side, micro-shares: it is not sold, and can be merged."""


class OrderView(Struct, frozen=True):
    """An order of ours that is not closed."""

    ref: str
    """The host's own name for it (o000012): what ``Reprice`` and ``CancelOrders`` name."""
    side: Side
    """The token that is bought or sold."""
    action: Action
    """BUY or SELL."""
    purpose: Purpose
    """What it is for: entry, scale_in, hedge, leg, grid_level, quote, exit or emergency."""
    price: Ticks
    """Its limit, ticks of 1e-4 collateral a share."""
    size: Micros
    """What was ordered, micro-shares."""
    matched: Micros
    """What of it was traded, micro-shares."""
    state: str
    """intended, prepared, unknown, working or cancelling."""
    placed_at: int
    """Market ms at which it was wanted."""
    owner: str = ""
    """The plugin that wanted it: nobody else may re-price it."""
    key: str = ""
    """Tells several orders of one side and purpose apart, as its plugin named them; usually empty."""
    mid_placed: Ticks = 0
    """Midpoint of its token when it was placed, ticks; 0: not known."""
    scoring: bool | None = None
    """Does it score for liquidity rewards, as the venue last said; None: the venue was not asked yet."""
    score: float = 0.0
    """What it scores now by the published formula, in shares (``reward_score``); 0: too small, too far from the
    midpoint, too young, alone on its side where both sides are needed, or no program. An opinion of the host's."""
    order_type: str = "GTC"
    """GTC and GTD rest; FAK and FOK are only on their way."""
    post_only: bool = False
    """It never takes: the venue refuses it where it would."""
    valid_until: int = 0
    """Market ms at which its life ends; 0: it has no end of its own."""

    @property
    def rests(self) -> bool:
        """It waits in the book, or is about to."""
        return self.order_type in ("GTC", "GTD")


class RefusedView(Struct, frozen=True):
    """A wish that became no order, or a hedge that found none to sell; it stands until an order of it is placed."""

    plugin: str
    """Whose wish it was."""
    purpose: Purpose
    """What it was for."""
    side: Side
    """The token that was wanted."""
    key: str
    """The wish's own key; usually empty."""
    gate: str
    """stale_answer, balance_age and pending_orders pass by themselves; the wish may simply be repeated."""
    reason: str
    """In words, with the figures that decided."""
    since: int
    """Market ms of the first refusal in a row."""
    at: int
    """Market ms of the last one."""


class UnfilledView(Struct, frozen=True):
    """A resting first entry of this market that ended without a fill (CANCELLED_UNFILLED): cancelled or expired.

    It stands until something is entered or bought in the market again.
    """

    ref: str
    """The host's own name for it."""
    side: Side
    """The token that was wanted."""
    owner: str
    """The plugin that wanted it."""
    price: Ticks
    """Its limit, ticks of 1e-4 collateral a share."""
    placed_at: int
    """Market ms at which it was wanted."""
    ended_at: int
    """Market ms at which its end was proved."""


class Funds(Struct, frozen=True):
    """Collateral in micro-units."""

    free: Micros
    """What can be spent, micro-units."""
    reserved: Micros
    """What open orders may cost, micro-units."""
    in_positions: Micros
    """What is held, at cost, micro-units."""
    unredeemed: Micros
    """Payouts of decided markets that are not redeemed yet, micro-units."""

    @property
    def equity(self) -> Micros:
        """All of it, positions at cost, micro-units."""
        return self.free + self.reserved + self.in_positions + self.unredeemed


class View(Struct, frozen=True):
    """One market at one instant. ``now`` is the only clock a plugin has."""

    view_seq: int
    """Number of this view: an answer is taken only for the newest one."""
    state_rev: int
    """Rises with every durable change of this account and market; what adds exposure needs the same one."""
    book_epoch: int
    """Rises whenever the book was lost and made anew: histories of it do not reach over that."""
    now: int
    """The time, market ms since 1970 UTC."""
    market: Market
    """Slug, tokens, times, tick, minimums, fees and rules of the market."""
    up: Quote
    """Best prices of UP, ticks."""
    down: Quote
    """Best prices of DOWN, ticks: the mirror of UP's."""
    bids: tuple[tuple[Ticks, Micros], ...]
    """UP bids, best first, at most ten levels: (ticks, micro-shares)."""
    asks: tuple[tuple[Ticks, Micros], ...]
    """UP asks, best first, at most ten levels: (ticks, micro-shares)."""
    book_age_ms: int
    """Market ms since the book last changed, or since the venue last confirmed it."""
    mids: tuple[tuple[int, Ticks], ...]
    """UP midpoint history, one a minute (market ms of the minute's last quote, ticks), oldest first, at most 60."""
    spot: float | None
    """Latest spot price of the market's symbol, quote currency; None: no feed."""
    spot_age_ms: int
    """How old that price is, market ms."""
    spot_open: float | None
    """Spot at the window's opening second, quote currency; None: not seen."""
    candles: tuple[Candle, ...]
    """One-minute spot candles, oldest first, the last one unfinished, at most 60."""
    strike: float | None
    """The settlement feed's price at the opening second, quote currency: UP wins at or above it; None: unknown."""
    reference: float | None
    """Latest value of the market's settlement feed (60 s TWAP, Chainlink, or spot where candles settle), quote
    currency; None: none."""
    positions: tuple[PositionView, ...]
    """What is held in this market: at most one of each side, UP first."""
    orders: tuple[OrderView, ...]
    """Our orders in this market that are not closed, whoever wanted them."""
    funds: Funds
    """The account's collateral."""
    estimate: Estimate | None = None
    """The trading combiner's latest estimate of an earlier evaluation."""
    taken: tuple[Side, ...] = ()
    """Sides whose entry slot in this window is used."""
    refused: tuple[RefusedView, ...] = ()
    """Wishes of this market that became no order."""
    book_source: str = "stream"
    """Where the prices come from: the stream, or what was asked for while the stream is lost and a position is open
    (``books``, ``midpoints``, ``midpoint``, ``book``): good for exits, no entry is taken on it."""
    basis: float | None = None
    """How far spot stands above the settlement feed, quote currency, smoothed over a minute; 0 where spot candles
    settle; None: not known yet. Take it off the spot price before you compare that with the strike."""
    feeds: tuple[Reading, ...] = ()
    """What the optional feeds said last, the newest value of each name and source; empty without such feeds. The same
    for every market: names tell the symbol (``spot2.BTC``)."""
    flow: tuple[Flow, ...] = ()
    """Trade prints in buckets of ten seconds, oldest first, of the last 300 s; buckets without prints are left out."""
    unfilled: UnfilledView | None = None
    """The market's latest entry, when it rested and ended without a fill; None: there is none."""

    def reading(self, name: str, age_ms_max: int) -> Reading | None:
        """The newest reading of this name, of whatever feed; None: there is none, or it is older (market ms)."""
        found: Reading | None = None
        for reading in self.feeds:
            if reading.name == name and (found is None or reading.at > found.at):
                found = reading
        return found if found is not None and self.now - found.at <= age_ms_max else None

    def side(self, side: Side) -> Quote:
        """Best prices of this side's token."""
        return self.up if side is Side.UP else self.down

    def hedge_refused(self, side: Side) -> RefusedView | None:
        """The latest refusal of a hedge on this side; None when there is none, or an order of it was placed since."""
        found = [told for told in self.refused if told.purpose is Purpose.HEDGE and told.side is side]
        return max(found, key=lambda told: told.at, default=None)

    def position(self, side: Side) -> PositionView | None:
        """What is held of this side; None: nothing."""
        for position in self.positions:
            if position.side is side:
                return position
        return None

    @property
    def time_left_s(self) -> float:
        """Seconds of market time to the end; negative after it."""
        return (self.market.end - self.now) / 1_000

    @property
    def elapsed_s(self) -> float:
        """Seconds of market time since the window's start; 0 for a market without a window."""
        return 0.0 if self.market.start is None else (self.now - self.market.start) / 1_000

    def scaled_s(self, seconds_at_15m: float) -> float:
        """A threshold given for 15-minute windows, scaled to this one; longer windows keep the value (EXI-11)."""
        if not self.market.duration_s or self.market.duration_s >= 900:
            return seconds_at_15m
        return seconds_at_15m * self.market.duration_s / 900
