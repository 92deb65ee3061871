"""Finds the windows of the configured series before they open, their strikes, and their results after the end.

It rolls without a gap: while one window runs, the next ones are already known. It decides nothing about trading; all it
learns is told as events.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, NamedTuple

from loguru import logger
from msgspec import Struct

from polyhost.errors import VenueError
from polyhost.model.events import Event, MarketClosed, MarketFound, MarketResolved, StrikeSeen
from polyhost.model.market import Market
from polyhost.model.messages import Message
from polyhost.model.openings import FEED_OF, Openings, Strike, known_at, source_of
from polyhost.model.series import DAY, DURATIONS, HOUR, repeats, window_slugs, windows_from
from polyhost.model.times import NEVER
from polyhost.model.view import Candle
from polyhost.venue.clock import VenueClock
from polyhost.venue.polymarket.catalogue import Catalogue, resolved_by_message
from polyhost.venue.polymarket.gamma import GammaError

SOURCE_OF: Final = {
    "twap_60": "price.crypto.twap 60 s", "chainlink": "price.crypto chainlink", "candle_open": "Binance candle, open",
    "candle_close": "Binance 1 minute candle, close",
}
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
CANDLE_RETRY_MS: Final = 10_000
"""A strike's candle that did not come by the stream is asked for this often; unlike ticks candles stay to be had."""
LIST_EVERY: Final = 10
"""Every so many tries a window that is not under its slug is looked for in the lists by its end."""
KNOWN_MAX: Final = 10_000
"""Windows and results remembered."""


class Window(Struct):
    """What is known of one market that is followed."""

    market: Market
    told: bool = False
    """It was told as found; one that the journal knew is told once it is looked for."""
    strike_known: bool = False
    strike_asked: bool = False
    strike_given_up: bool = False
    candle_asked: int = 0
    """When its strike's candle was last asked for, market ms."""
    joined_late: bool = False
    """The venue's backlog no longer held its opening second when we found it."""
    closed: bool = False
    late_told: bool = False


class Wanted(NamedTuple):
    """A market to look for. ``slugs``: what it may be called, the likeliest first; ``end`` NEVER: not known."""

    name: str
    slugs: tuple[str, ...]
    symbol: str = ""
    duration_s: int = 0
    start: int = 0
    end: int = NEVER

    @property
    def named_in_eastern_time(self) -> bool:
        """Its slug may also be another window's: of another year, or of the second hour with this name."""
        return self.duration_s in (HOUR, DAY)

    @property
    def key(self) -> tuple[str, int, int]:
        return (self.symbol, self.duration_s, self.start) if self.duration_s else (self.name, 0, 0)


def wanted_windows(symbols: Iterable[str], durations: Iterable[str], now: int, ahead: int) -> list[Wanted]:
    """The running window and the next ``ahead`` ones of every series at market time ``now``."""
    found = []
    for symbol in symbols:
        for length in [DURATIONS[name] for name in durations]:
            for start, end in windows_from(length, now, ahead + 1):
                slugs = window_slugs(symbol, length, start)
                name = f"{slugs[0]} (the second hour of that name)" if repeats(length, start) else slugs[0]
                found.append(Wanted(name, slugs, symbol, length, start, end))
    return found


def _key_of(market: Market) -> tuple[str, int, int]:
    """As ``Wanted.key``."""
    return (market.symbol, market.duration_s, market.start or 0) if market.symbol else (market.slug, 0, 0)


class Discovery:
    """Markets of the configured series and slugs, told by ``on_event``.

    ``MarketFound`` once for each market of them (one that ``follow`` named, too), ``StrikeSeen`` when the settlement
    feed's tick of the opening second is known, ``MarketClosed`` when the venue takes no more orders, ``MarketResolved``
    once.
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
        ask_candle: Callable[[str, int], Awaitable[Candle | None]] | None = None,
    ) -> None:
        """``durations``: names as in the configuration (5m, 15m, 1h, 4h, 1d). ``ask_backlog``: PriceStream.refresh,
        ``ask_candle``: BinanceFeed.candle_at.
        """
        self.windows: dict[str, Window] = {}
        """By slug: found and not resolved."""
        self.missing: dict[str, int] = {}
        """Name → times it was not there yet."""
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
        self._ask_candle = ask_candle
        self._openings = Openings()
        self._known: dict[tuple[str, int, int], None] = {}
        """Windows found, newest last, bounded."""
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
        for wanted in self._due_windows(now):
            await self._look(wanted)
            self._beat()
        await self._candles(self._clock.now())
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
            self._keep(Window(market, strike_known=strike_known, joined_late=self._late(market)))

    def _keep(self, window: Window) -> None:
        """Follow it from now on; its strike may be known already."""
        market = window.market
        self.windows[market.slug] = window
        self._known[_key_of(market)] = None
        while len(self._known) > KNOWN_MAX:
            self._known.pop(next(iter(self._known)))
        if not window.strike_known:
            strike = self._openings.ask(market)
            if strike is not None:
                self._struck([strike])

    def _late(self, market: Market) -> bool:
        return market.start is not None and self._clock.now() - known_at(market) > BACKLOG_MS

    def _due_windows(self, now: int) -> list[Wanted]:
        wanted = wanted_windows(self._symbols, self._durations, now, self._ahead)
        wanted += [Wanted(slug, (slug,)) for slug in self._slugs]
        names = {each.name for each in wanted}
        for name in [name for name in self.missing if name not in names]:
            logger.bind(market=name).warning("window {} never appeared at the venue", name)
            del self.missing[name]
        self._troubles &= names | set(self.windows)
        named = {each.key for each in wanted}
        for window in list(self.windows.values()):
            if _key_of(window.market) in named:
                self._tell(window)
        return [each for each in wanted if each.key not in self._known]

    def _tell(self, window: Window) -> None:
        """Once: an account whose journal does not know it must hear of it, too."""
        if not window.told:
            window.told = True
            self._on_event(MarketFound(window.market))

    async def _look(self, wanted: Wanted) -> None:
        try:
            market = await self._find(wanted)
        except (VenueError, GammaError) as error:
            self._trouble(wanted.name, error)
            return
        if market is None:
            # Expected for a while (CON-05): a window appears up to a day ahead, a test venue's later.
            self.missing[wanted.name] = self.missing.get(wanted.name, 0) + 1
            return
        self.missing.pop(wanted.name, None)
        self._troubles.discard(wanted.name)
        self._known[wanted.key] = None
        if market.slug in self.windows:
            self._tell(self.windows[market.slug])
        elif market.slug not in self.done:
            window = Window(market, joined_late=self._late(market))
            self._tell(window)
            self._keep(window)

    async def _find(self, wanted: Wanted) -> Market | None:
        """The market under one of its slugs; one whose slug names two is known by its end."""
        for slug in wanted.slugs:
            if slug.startswith("0x"):  # named by its condition id (CON-15)
                return await self._catalogue.by_condition(slug)
            market = await self._catalogue.market(slug)
            if market is not None and (not wanted.named_in_eastern_time or market.end == wanted.end):
                return market
        again = self.missing.get(wanted.name, 0) % LIST_EVERY == LIST_EVERY - 1
        if wanted.named_in_eastern_time and (again or repeats(wanted.duration_s, wanted.start)):
            for market in await self._catalogue.ending_at(wanted.symbol, wanted.end):
                if market.duration_s == wanted.duration_s:
                    return market
        return None

    def _trouble(self, slug: str, error: VenueError | GammaError) -> None:
        """Told once for each slug until it works again; a catalogue that does not answer, for the first of them."""
        if slug not in self._troubles:
            level = "DEBUG" if self._troubles and isinstance(error, VenueError) else "WARNING"
            self._troubles.add(slug)
            logger.bind(market=slug).log(level, "{}: {}", slug, error)

    # --- strikes ------------------------------------------------------------------------------------------------------

    def on_price(self, feed: str, symbol: str, price_e8: int, stamp_ms: int) -> None:
        """A tick of a reference feed; the one stamped at a window's first instant is its strike."""
        self._struck(self._openings.price(feed, symbol, price_e8, stamp_ms))

    def on_candle(self, symbol: str, candle: Candle, closed: bool) -> None:
        """A one-minute spot candle; the one that begins with a window tells its strike where candles settle it."""
        self._struck(self._openings.candle(symbol, candle, closed))

    def _struck(self, strikes: list[Strike]) -> None:
        for strike in strikes:
            for window in list(self.windows.values()):
                if window.market.condition_id == strike.condition_id and not window.strike_known:
                    window.strike_known = True
                    self._on_event(StrikeSeen(strike.condition_id, strike.price, SOURCE_OF[strike.source]))

    def _strikes(self, now: int) -> None:
        """Ask for the backlog where an opening tick was missed; say so when it is too late."""
        for window in self.windows.values():
            market = window.market
            if window.strike_known or not source_of(market):
                continue
            late = now - known_at(market)
            ticks = market.rule in FEED_OF
            if ticks and TICK_LATE_MS < late <= BACKLOG_MS and not window.strike_asked and self._ask_backlog:
                window.strike_asked = bool(self._ask_backlog())
            elif late > BACKLOG_MS and not window.strike_given_up:
                window.strike_given_up = True
                # A window that was running when we came is no fault of anybody's.
                level = "INFO" if window.joined_late and ticks else "WARNING"
                why = "no tick of the opening second was received" if ticks else "the opening candle cannot be had yet"
                logger.bind(market=market.slug).log(level, "{}: the strike is unknown ({})", market.slug, why)

    async def _candles(self, now: int) -> None:
        """Ask for opening candles that the stream did not bring."""
        for window in list(self.windows.values()):
            market = window.market
            if window.strike_known or market.rule in FEED_OF or not source_of(market) or self._ask_candle is None:
                continue
            if now - known_at(market) <= TICK_LATE_MS or now - window.candle_asked < CANDLE_RETRY_MS:
                continue
            window.candle_asked = now
            assert market.start is not None, market.slug
            candle = await self._ask_candle(market.symbol, market.start)
            if candle is not None and candle.start == market.start:
                self.on_candle(market.symbol, candle, candle.start + 60_000 <= now)

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
            logger.bind(market=market.slug).warning(
                "{}: no result {} s after its end", market.slug, RESULT_LATE_MS // 1_000
            )

    def _resolve(self, window: Window, found: MarketResolved) -> None:
        slug = window.market.slug
        if self.windows.pop(slug, None) is None:
            return  # the stream was faster than the poll, or the other way round
        self.done[slug] = None
        while len(self.done) > KNOWN_MAX:
            self.done.pop(next(iter(self.done)))
        if not window.closed:
            self._on_event(MarketClosed(window.market.condition_id))
        self._on_event(found)
