"""Finds the windows of the configured series before they open, their strikes, and their results after the end.

It rolls without a gap: while one window runs, the next ones are already known. It decides nothing about trading; all it
learns is told as events.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from loguru import logger
from msgspec import Struct

from polyhost.errors import VenueError
from polyhost.model.events import Event, MarketClosed, MarketFound, MarketResolved, StrikeSeen
from polyhost.model.market import DURATIONS, Market, window_slug
from polyhost.model.messages import Message
from polyhost.model.times import MarketMs
from polyhost.model.words import SettlementRule
from polyhost.venue.clock import VenueClock
from polyhost.venue.polymarket.catalogue import Catalogue, resolved_by_message
from polyhost.venue.polymarket.gamma import GammaError

FEED_OF: Final = {SettlementRule.TWAP_60: "twap_60", SettlementRule.SPOT: "chainlink"}
"""Which feed a rule settles by."""
SOURCE_OF: Final = {"twap_60": "price.crypto.twap 60 s", "chainlink": "price.crypto chainlink"}
BACKLOG_MS: Final = 120_000
"""The venue keeps two minutes of ticks: a strike missed for longer cannot be learnt from the feed."""
TICK_LATE_MS: Final = 5_000
"""The tick of a second arrives a second later; after this much it was missed."""
RETRY_MS: Final = 1_000
"""Market time between two tries for a window that does not exist yet, and between two questions for a result."""
RETRY_MIN_S: Final = 0.1
"""The same in wall time at least, however fast market time runs."""
RETRY_MAX_S: Final = 2.0
RESULT_LATE_MS: Final = 600_000
"""A result that is missing for this long is told once."""
RESULTS_AT_ONCE: Final = 8
"""Results asked for in one round, oldest window first."""


class Window(Struct):
    """What is known of one market that is followed."""

    market: Market
    strike_known: bool = False
    strike_asked: bool = False
    strike_given_up: bool = False
    joined_late: bool = False
    """The venue's backlog no longer held its opening second when we found it."""
    closed: bool = False
    late_told: bool = False


def wanted_slugs(symbols: Iterable[str], durations: Iterable[str], now: int, ahead: int) -> list[str]:
    """Slugs of the running window and the next ``ahead`` ones of every series at market time ``now``."""
    slugs = []
    for symbol in symbols:
        for name in durations:
            length = DURATIONS[name] * 1_000
            first = now - now % length
            slugs += [window_slug(symbol, DURATIONS[name], MarketMs(first + n * length)) for n in range(ahead + 1)]
    return slugs


class Discovery:
    """Markets of the configured series and slugs, told by ``on_event``.

    ``MarketFound`` once for each market, ``StrikeSeen`` when the settlement feed's tick of the opening second is known,
    ``MarketClosed`` when the venue takes no more orders, ``MarketResolved`` once.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        clock: VenueClock,
        *,
        symbols: Sequence[str],
        durations: Sequence[str],
        slugs: Sequence[str] = (),
        ahead: int = 1,
        on_event: Callable[[Event], None],
        ask_backlog: Callable[[], object] | None = None,
    ) -> None:
        """``durations``: names as in the configuration (5m, 15m, 4h). ``ask_backlog``: PriceStream.refresh."""
        self.windows: dict[str, Window] = {}
        """By slug: found and not resolved."""
        self.missing: dict[str, int] = {}
        """Slug → times it was not there yet."""
        self.done: dict[str, None] = {}
        """Slugs resolved, newest last, bounded."""
        self._catalogue = catalogue
        self._clock = clock
        self._symbols = tuple(symbols)
        self._durations = tuple(durations)
        self._slugs = tuple(slugs)
        self._ahead = ahead
        self._on_event = on_event
        self._ask_backlog = ask_backlog
        self._ticks: dict[tuple[str, str], dict[int, int]] = {}
        """(feed, symbol) → stamp → price, of the last two minutes."""
        self._troubles: set[str] = set()
        self._stop = asyncio.Event()
        self._beat: Callable[[], None] = lambda: None

    # --- the loop -----------------------------------------------------------------------------------------------------

    async def run(self, beat: Callable[[], None] = lambda: None) -> None:
        """Look for markets and results until ``close`` or cancellation; ``beat`` is called for every question."""
        self._beat = beat
        while not self._stop.is_set():
            await self.round()
            wait = min(max(self._clock.wall_seconds(RETRY_MS), RETRY_MIN_S), RETRY_MAX_S)
            try:
                await asyncio.wait_for(self._stop.wait(), wait)
            except TimeoutError:
                continue

    def close(self) -> None:
        self._stop.set()

    async def round(self) -> None:
        """One look: fetch what is missing, ask for results that are due, see to strikes."""
        now = self._clock.now()
        self._beat()
        for slug in self._due_slugs(now):
            await self._look(slug)
            self._beat()
        self._strikes(self._clock.now())
        ended = sorted(
            (window for window in self.windows.values() if window.market.end <= self._clock.now()),
            key=lambda window: window.market.end,
        )
        for window in ended[:RESULTS_AT_ONCE]:
            await self._ask_result(window)
            self._beat()

    def follow(self, market: Market, *, strike_known: bool = False) -> None:
        """Have a market watched that was found elsewhere (in the journal after a restart): its strike and result."""
        if market.slug not in self.windows and market.slug not in self.done:
            self.windows[market.slug] = Window(market, strike_known=strike_known, joined_late=self._late(market))
            self._strike_from_memory(self.windows[market.slug])

    def _late(self, market: Market) -> bool:
        return market.start is not None and self._clock.now() - market.start > BACKLOG_MS

    def _due_slugs(self, now: int) -> list[str]:
        wanted = [*wanted_slugs(self._symbols, self._durations, now, self._ahead), *self._slugs]
        for slug in [slug for slug in self.missing if slug not in wanted]:
            logger.warning("window {} never appeared at the venue", slug)
            del self.missing[slug]
        self._troubles &= {*wanted, *self.windows}
        return [slug for slug in wanted if slug not in self.windows and slug not in self.done]

    async def _look(self, slug: str) -> None:
        try:
            market = await self._catalogue.market(slug)
        except (VenueError, GammaError) as error:
            self._trouble(slug, error)
            return
        if market is None:
            # Expected for a while (CON-05): a window appears up to a day ahead, a test venue's later.
            self.missing[slug] = self.missing.get(slug, 0) + 1
            return
        self.missing.pop(slug, None)
        self._troubles.discard(slug)
        self.windows[slug] = Window(market, joined_late=self._late(market))
        self._on_event(MarketFound(market))
        self._strike_from_memory(self.windows[slug])

    def _trouble(self, slug: str, error: VenueError | GammaError) -> None:
        """Told once for each slug until it works again; a catalogue that does not answer, for the first of them."""
        if slug not in self._troubles:
            level = "DEBUG" if self._troubles and isinstance(error, VenueError) else "WARNING"
            self._troubles.add(slug)
            logger.log(level, "{}: {}", slug, error)

    # --- strikes ------------------------------------------------------------------------------------------------------

    def on_price(self, feed: str, symbol: str, price_e8: int, stamp_ms: int) -> None:
        """A tick of a reference feed; the one stamped at a window's first instant is its strike."""
        ticks = self._ticks.setdefault((feed, symbol), {})
        ticks[stamp_ms] = price_e8
        if len(ticks) > 2 * BACKLOG_MS // 1_000:
            for stamp in [stamp for stamp in ticks if stamp < stamp_ms - BACKLOG_MS]:
                del ticks[stamp]
        for window in self.windows.values():
            if window.market.start == stamp_ms and not window.strike_known:
                self._strike_from_memory(window)

    def _strike_from_memory(self, window: Window) -> None:
        market = window.market
        feed = FEED_OF.get(market.rule)
        if feed is None or market.start is None or window.strike_known:
            return
        price = self._ticks.get((feed, market.symbol), {}).get(market.start)
        if price is not None:
            window.strike_known = True
            self._on_event(StrikeSeen(market.condition_id, price, SOURCE_OF[feed]))

    def _strikes(self, now: int) -> None:
        """Ask for the backlog where an opening tick was missed; say so when it is too late."""
        for window in self.windows.values():
            market = window.market
            if window.strike_known or market.start is None or market.rule not in FEED_OF:
                continue
            late = now - market.start
            if TICK_LATE_MS < late <= BACKLOG_MS and not window.strike_asked and self._ask_backlog is not None:
                window.strike_asked = bool(self._ask_backlog())
            elif late > BACKLOG_MS and not window.strike_given_up:
                window.strike_given_up = True
                # A window that was running when we came is no fault of anybody's.
                level = "INFO" if window.joined_late else "WARNING"
                logger.log(level, "{}: the strike is unknown (no tick of the opening second was received)", market.slug)

    # --- results ------------------------------------------------------------------------------------------------------

    def on_message(self, message: Message) -> None:
        """A ``market_resolved`` message of the market stream (MarketStream's ``on_resolved``)."""
        for window in list(self.windows.values()):
            if window.market.condition_id == message.market:
                found = resolved_by_message(window.market, message.winning_asset_id, message.winning_outcome)
                if found is not None:
                    self._resolve(window, found)

    async def _ask_result(self, window: Window) -> None:
        market = window.market
        try:
            found = await self._catalogue.result(market.condition_id, market.slug)
        except (VenueError, GammaError) as error:
            self._trouble(market.slug, error)
            return
        self._troubles.discard(market.slug)
        if not window.closed:
            window.closed = True
            self._on_event(MarketClosed(market.condition_id))
        if found is not None:
            self._resolve(window, found)
        elif self._clock.now() - market.end > RESULT_LATE_MS and not window.late_told:
            window.late_told = True
            logger.warning("{}: no result {} s after its end", market.slug, RESULT_LATE_MS // 1_000)

    def _resolve(self, window: Window, found: MarketResolved) -> None:
        slug = window.market.slug
        if self.windows.pop(slug, None) is None:
            return  # the stream was faster than the poll, or the other way round
        self.done[slug] = None
        while len(self.done) > 10_000:
            self.done.pop(next(iter(self.done)))
        if not window.closed:
            self._on_event(MarketClosed(window.market.condition_id))
        self._on_event(found)
