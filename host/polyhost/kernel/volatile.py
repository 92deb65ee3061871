"""The volatile half: what feeds rebuild and nobody records: books, histories, prices, what is outstanding."""

from __future__ import annotations

from collections import deque
from typing import Final

from polyhost.kernel.prints import Prints
from polyhost.model.book import Book
from polyhost.model.money import ONE, Micros, Ticks
from polyhost.model.proposals import Estimate, ExitNow, ExitTarget, Trigger
from polyhost.model.times import NEVER
from polyhost.model.view import Candle, RefusedView, View
from polyhost.model.words import Purpose, Side

MIDS_KEPT: Final = 60
CANDLES_KEPT: Final = 60
"""An hour: ADX over 14 minutes needs 28 finished ones, and more to settle."""
MINUTE_MS: Final = 60_000
OPENING_MS: Final = 5_000
"""A spot price at most this long after the window's start still counts as its opening price."""
BASIS_TICKS: Final = 60
"""Ticks of the reference feed (one a second) over which the basis is smoothed."""
BASIS_AGE_MS: Final = 10_000
"""A spot price older than this against the reference tick's second says nothing of the basis."""
NO_HIGH: Final = ONE + 1
NO_LOW: Final = -1


class Spot:
    """A symbol's spot price and its last minutes. Prices in 1e-8 inside, floats only in the candles shown."""

    __slots__ = ("_current", "_done", "_tuple", "price", "stamp", "told")

    def __init__(self) -> None:
        self.price = 0
        self.stamp = -1
        self.told = False
        """The feed sends candles itself; ticks then only move the price."""
        self._done: deque[Candle] = deque(maxlen=CANDLES_KEPT - 1)
        self._current: list[float] | None = None
        self._tuple: tuple[Candle, ...] | None = None

    def tick(self, price: int, stamp: int) -> None:
        """A price at a market ms; older ones than the last are ignored."""
        if stamp < self.stamp:
            return
        self.price, self.stamp = price, stamp
        self._tuple = None
        value = price / 1e8
        current = self._current
        start = stamp - stamp % MINUTE_MS
        if current is None or start > current[0]:
            if current is not None and not self.told:
                self._done.append(_candle(current))
            self._current = [start, value, value, value, value, 0.0]
        else:
            current[4] = value
            if value > current[2]:
                current[2] = value
            elif value < current[3]:
                current[3] = value

    def candle(self, candle: Candle, closed: bool) -> None:
        """A candle of the feed's own; from then on ticks build none."""
        self.told = True
        self._tuple = None
        while self._done and self._done[-1].start >= candle.start:
            self._done.pop()
        if closed:
            self._done.append(candle)
            if self._current is not None and self._current[0] <= candle.start:
                self._current = None
        else:
            self._current = [
                candle.start, candle.open, candle.high, candle.low, candle.close, candle.volume,
            ]

    def candles(self) -> tuple[Candle, ...]:
        """Oldest first, the last one unfinished; one tuple is shared until a price changes it."""
        if self._tuple is None:
            current = () if self._current is None else (_candle(self._current),)
            self._tuple = (*self._done, *current)
        return self._tuple


class Basis:
    """How far a symbol's spot price stands above its reference feed, in 1e-8 of the quote currency."""

    __slots__ = ("seen", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self.seen = 0

    def tick(self, spot: int, reference: int) -> None:
        """Both prices as of now: a mean of the first ``BASIS_TICKS`` ticks, from then on a moving one."""
        self.seen = min(self.seen + 1, BASIS_TICKS)
        self.value += (spot - reference - self.value) / self.seen


def _candle(values: list[float]) -> Candle:
    return Candle(int(values[0]), values[1], values[2], values[3], values[4], values[5])


class Exit:
    """What should happen to one position now: a standing target, or an urgent sale once it began."""

    __slots__ = (
        "aside_wall", "attempts", "balance_wall", "cancel_sent_wall", "defer_until", "deferred", "forced", "moved_wall",
        "next_wall", "outdated_wall", "refusals", "sell_failed", "settled_at", "spoken", "target", "target_owner",
        "timer_wall", "urgent", "urgent_by", "urgent_wall", "waiting",
    )

    def __init__(self) -> None:
        self.spoken = False
        """The plugins have answered about this position in this run: only then is "no target" a wish."""
        self.target: ExitTarget | None = None
        self.target_owner = ""
        self.urgent: ExitNow | None = None
        self.urgent_by = ""
        """The plugin that wants it sold at market, or host."""
        self.urgent_wall = 0
        """Since when it is to be sold at market, wall ms."""
        self.forced = False
        self.attempts = 0
        self.refusals = 0
        self.next_wall = 0
        self.timer_wall: int = NEVER
        self.cancel_sent_wall = -1
        self.moved_wall = -1_000_000
        self.aside_wall = -1_000_000
        """Until then nothing rests: a merge wants its shares, wall ms."""
        self.balance_wall = -1_000_000
        """When the venue's balance of its token was last asked for: it lacks settled shares, or is too old, wall ms."""
        self.outdated_wall = -1
        """Since when a resting sell waits for a newer balance than the one known (CON-14), wall ms; -1: it does not."""
        self.sell_failed = False
        self.settled_at: tuple[int, Micros | None] | None = None
        """What its last step saw when it found nothing to do (T10); None: it may have something to do."""
        self.waiting = ""
        """The named reason why the position is not covered right now."""
        self.deferred = ""
        self.defer_until = 0


class MarketData:
    """One market's volatile state."""

    __slots__ = (
        "answered_view",
        "asked_seq",
        "asked_view",
        "asked_wall",
        "book",
        "closes_asked",
        "deferred_eval",
        "dirty",
        "estimate",
        "evaluations",
        "exits",
        "final",
        "gates",
        "mids",
        "outside",
        "plugin_triggers",
        "prints",
        "refused",
        "reversing_until",
        "spot_open",
        "subscribed",
        "triggered",
        "wake_at",
    )

    def __init__(self, book: Book, prints: Prints) -> None:
        self.book = book
        self.prints = prints
        self.mids: deque[tuple[int, Ticks]] = deque(maxlen=MIDS_KEPT)
        self.spot_open: int | None = None
        self.final: int | None = None
        """The settlement source's price at its end, 1e-8; None: not heard."""
        self.asked_seq = 0
        """The outstanding view; 0: none."""
        self.asked_view: View | None = None
        """What the plugins were last asked about."""
        self.answered_view: View | None = None
        """What the answer is about that is being taken, or was taken last."""
        self.asked_wall = 0
        self.dirty = False
        self.triggered = False
        self.deferred_eval = False
        self.wake_at = 0
        self.estimate: Estimate | None = None
        self.evaluations = 0
        self.gates: dict[str, int] = {}
        """First failed gate → how often, over the evaluations without an entry."""
        self.refused: dict[tuple[str, Purpose, Side, str], RefusedView] = {}
        """(plugin, purpose, side, key) of a wish → why it became no order, until one is placed."""
        self.reversing_until = 0
        """Market ms until which quotes stay away: a reversal waits for what rests to be over (ORD-08)."""
        self.exits: dict[Side, Exit] = {}
        self.plugin_triggers: tuple[Trigger, ...] = ()
        self.outside: tuple[Ticks, Ticks] = (NO_HIGH, NO_LOW)
        """Watches of the driver's own: wake at bid at or above, ask at or below (UP ticks)."""
        self.subscribed = False
        self.closes_asked = 0

    def exit(self, side: Side) -> Exit:
        plan = self.exits.get(side)
        if plan is None:
            plan = self.exits[side] = Exit()
        return plan

    def sample(self, now: int) -> None:
        """Note the midpoint of this minute."""
        book = self.book
        if book.ready and not book.one_sided and not book.crossed:
            self.mids.append((now, (book.best_bid + book.best_ask) // 2))

    def rewatch(self) -> None:
        """The tightest of the plugins' triggers and the driver's own watches become the book's four integers."""
        bid_high, ask_low = self.outside
        bid_low, ask_high = NO_LOW, NO_HIGH
        for trigger in self.plugin_triggers:
            up = trigger.side is Side.UP
            price = trigger.price if up else ONE - trigger.price
            on_bid = (trigger.quote == "bid") is up
            above = (trigger.direction == "above") is up
            if on_bid and above:
                bid_high = min(bid_high, price)
            elif on_bid:
                bid_low = max(bid_low, price)
            elif above:
                ask_high = min(ask_high, price)
            else:
                ask_low = max(ask_low, price)
        self.book.watch(bid_high, bid_low, ask_high, ask_low)

    def trigger_reached(self) -> bool:
        """True when one of the plugins' own triggers (not only the driver's watch) is reached."""
        for trigger in self.plugin_triggers:
            bid, ask = self.book.best(trigger.side)
            value = bid if trigger.quote == "bid" else ask
            if value >= trigger.price if trigger.direction == "above" else value <= trigger.price:
                return True
        return False


class Freshness:
    """Balances as last seen, and when (wall ms)."""

    __slots__ = ("approved", "collateral", "collateral_wall", "tokens")

    def __init__(self) -> None:
        self.collateral: Micros | None = None
        self.collateral_wall = -(1 << 40)
        self.approved = True
        self.tokens: dict[str, tuple[Micros, int]] = {}
