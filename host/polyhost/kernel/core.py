"""What every part of the kernel shares: both halves of the state, the turn being built, and the two deadline heaps."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final

from msgspec import UNSET, Struct, UnsetType

from polyhost.kernel.allowance import Allowance
from polyhost.kernel.readings import Readings
from polyhost.kernel.state import MarketState, OrderEntry, PositionEntry, State, apply
from polyhost.kernel.views import SIDES
from polyhost.kernel.volatile import BASIS_AGE_MS, Basis, Freshness, MarketData, Spot
from polyhost.model.alerts import ALERTS
from polyhost.model.builder import Builder
from polyhost.model.commands import Command, QueryBalance, QueryTokenBalance, Sweep, Tell
from polyhost.model.market import PRICE_E8, Market
from polyhost.model.money import Micros
from polyhost.model.openings import CANDLE_OF, FEED_OF
from polyhost.model.proposals import Notice
from polyhost.model.records import NoticeRaised, Record
from polyhost.model.step import Step
from polyhost.model.times import NEVER, MarketMs
from polyhost.model.words import Side
from polyhost.settings import Configuration

NOTICE_QUIET_MS: Final = 60_000
"""The same condition is told once in this time (NOT-04)."""
SWEEPS_KEPT: Final = 512
"""Sweeps whose beginning is remembered; an answer that comes later than so many others proves nothing any more."""
NOTICE_KEYS_MAX: Final = 4_096
"""Conditions remembered for that; the oldest is forgotten beyond it."""
BALANCE_CALL_MS: Final = 1_000
"""ORD-03: one balance call of the account in this time on average, wall ms …"""
BALANCE_CALLS_MAX: Final = 5
"""… and so many at once."""


class _Told(Struct):
    """A condition that was told, and what it said last."""

    at: int
    """When it was told, market ms."""
    level: str
    topic: str
    text: str
    condition_id: str
    not_to: str
    again: int = 0
    """How often it came since."""


class Core:
    """State, settings and the current turn. Parts of the kernel change state only through ``record``."""

    def __init__(
        self, settings: Configuration, account: str, told_hooks: frozenset[str], channels: tuple[str, ...] = ()
    ) -> None:
        self.settings = settings
        self.account = account
        self.told_hooks = told_hooks
        self.channels = channels
        """Who is told of notices."""
        self.raised: Callable[[NoticeRaised], None] = lambda notice: None
        """Hears of every notice: the outbox."""
        self.state = State(account=account)
        self._in_positions: Micros | None = None
        self.shadow = settings.host.mode == "shadow"
        """The account only watches: every decision is made, and nothing leaves."""
        self.cannot_act = ""
        """Why the wallet cannot merge, redeem or split in this run, and what to do about it; empty: it can."""
        self.builder: Builder | UnsetType = UNSET
        """What the configured builder code costs, as the run was told at its beginning; unset: there is none."""
        self.data: dict[str, MarketData] = {}
        self.spots: dict[str, Spot] = {}
        self.references: dict[tuple[str, str], tuple[int, int]] = {}
        """(feed, symbol) → (price in 1e-8, stamp)."""
        self.bases: dict[str, Basis] = {}
        self.readings = Readings()
        self.fresh = Freshness()
        self.now = 0
        self.wall = 0
        self.step = Step()
        self.next_market_due: int = NEVER
        self.next_wall_due: int = NEVER
        self._market_heap: list[tuple[int, int, str, str]] = []
        self._wall_heap: list[tuple[int, int, str, str]] = []
        self._heap_seq = 0
        self._told: dict[str, _Told] = {}
        self.balance_calls = Allowance(BALANCE_CALL_MS, BALANCE_CALLS_MAX)
        self._unread: dict[str, None] = {}
        """Tokens whose balance is to be read when calls are allowed again, in order."""
        self.user_up = False
        self.market_up = False
        self.reconciling = False
        self.adopting = ""
        """Why the wallet is not gone through yet after a start; empty: it is."""
        self.ending = ""
        self.exits_first: Callable[[], str] = lambda: ""
        """Which exits must rest again before anything is entered (the dead-man's switch); empty: none."""
        self.loops_down: dict[str, str] = {}
        """Safety loops of the host that are not alive (ORD-15), and why; volatile, they clear themselves."""
        self.scoring: dict[str, bool] = {}
        """Ref of a resting order → whether it scores for liquidity rewards, as the venue last said."""
        self._begun: dict[int, int] = {}
        """When sweeps left: wall ms → market ms."""

    # --- the turn -----------------------------------------------------------------------------------------------------

    def record(self, record: Record) -> None:
        """Make it true and put it into the turn; the only way durable state changes."""
        apply(self.state, record)
        self._in_positions = None
        self.step.records.append(record)

    def command(self, command: Command) -> None:
        self.step.commands.append(command)

    def sweep(self, condition_id: str, since_s: int) -> None:
        """Ask for open orders, and trades since a unix second, of a market or (empty) of the key."""
        if len(self._begun) >= SWEEPS_KEPT:
            del self._begun[next(iter(self._begun))]
        self._begun[self.wall] = self.now
        self.command(Sweep(condition_id, since_s, self.wall))

    def begun_at(self, wall: int) -> int | None:
        """The market ms of a sweep that left at a wall ms; None for one this run did not ask for, or long ago."""
        return self._begun.get(wall)

    def take(self) -> Step:
        step, self.step = self.step, Step()
        return step

    # --- deadlines ----------------------------------------------------------------------------------------------------

    def at_market(self, due: int, kind: str, key: str) -> None:
        """Call back at a market ms; equal deadlines in the order they were set."""
        self._heap_seq += 1
        heappush(self._market_heap, (due, self._heap_seq, kind, key))
        self.next_market_due = self._market_heap[0][0]

    def at_wall(self, due: int, kind: str, key: str) -> None:
        """Call back at a wall ms."""
        self._heap_seq += 1
        heappush(self._wall_heap, (due, self._heap_seq, kind, key))
        self.next_wall_due = self._wall_heap[0][0]

    def pop_due(self) -> tuple[str, str] | None:
        """The next deadline that has passed in its own class of time, or None."""
        if self.next_market_due <= self.now:
            _, _, kind, key = heappop(self._market_heap)
            self.next_market_due = self._market_heap[0][0] if self._market_heap else NEVER
            return kind, key
        if self.next_wall_due <= self.wall:
            _, _, kind, key = heappop(self._wall_heap)
            self.next_wall_due = self._wall_heap[0][0] if self._wall_heap else NEVER
            return kind, key
        return None

    # --- shared answers -----------------------------------------------------------------------------------------------

    def market(self, condition_id: str) -> MarketState | None:
        return self.state.markets.get(condition_id)

    def spot_price(self, condition_id: str) -> int | None:
        """A market's spot price now, in 1e-8; None: it has no symbol, or nothing is known of it."""
        spot = self.spots.get(self.state.markets[condition_id].market.symbol)
        return spot.price if spot is not None and spot.stamp >= 0 else None

    def spot(self, symbol: str) -> Spot:
        spot = self.spots.get(symbol)
        if spot is None:
            spot = self.spots[symbol] = Spot()
        return spot

    def reference(self, market: Market) -> int | None:
        """Latest value of the feed that settles a market, in 1e-8; None: it has none, or nothing was heard of it."""
        feed = FEED_OF.get(market.rule)
        if feed is not None:
            known = self.references.get((feed, market.symbol))
            return None if known is None else known[0]
        spot = self.spots.get(market.symbol)
        return spot.price if market.rule in CANDLE_OF and spot is not None and spot.stamp >= 0 else None

    def basis(self, market: Market) -> float | None:
        """How far spot stands above the settlement feed, in the quote currency; None: not known."""
        if market.rule in CANDLE_OF:
            return 0.0
        basis = self.bases.get(market.symbol)
        return None if basis is None or market.rule not in FEED_OF else basis.value / PRICE_E8

    def reference_tick(self, feed: str, symbol: str, price: int, stamp: int) -> None:
        """A tick of a reference feed; older ones than the last are ignored."""
        known = self.references.get((feed, symbol))
        if known is not None and stamp < known[1]:
            return
        self.references[(feed, symbol)] = (price, stamp)
        spot = self.spots.get(symbol)
        if feed != "chainlink" or spot is None or spot.stamp < 0 or abs(spot.stamp - stamp) > BASIS_AGE_MS:
            return
        basis = self.bases.get(symbol)
        if basis is None:
            basis = self.bases[symbol] = Basis()
        basis.tick(spot.price, price)

    def sellable(self, position: PositionEntry) -> Micros:
        """Settled shares visible in the venue's balance, gross: what rests in our sells is subtracted by T3 alone."""
        settled = position.inventory
        seen = self.fresh.tokens.get(position.token_id)
        if seen is None:
            return 0
        return max(min(settled, seen[0]), 0)

    def shares_age(self, position: PositionEntry) -> int | None:
        """How old the venue's balance of its shares is, wall ms; None: not read in this run."""
        seen = self.fresh.tokens.get(position.token_id)
        return None if seen is None else self.wall - seen[1]

    def in_positions(self) -> Micros:
        """Collateral paid for everything that is held in unsettled markets, fees included.

        Asked with every view, so that with many markets it is summed anew only after a record.
        """
        if self._in_positions is not None:
            return self._in_positions
        positions = self.state.positions
        total = 0
        for condition_id in self.state.exposed:
            for side in SIDES:
                position = positions.get(f"{condition_id}:{side.value}")
                if position is not None and position.size > 0:
                    total += position.cost
        self._in_positions = total
        return total

    def open_sells(self, condition_id: str, side: Side) -> list[OrderEntry]:
        return [
            order for order in self.state.open_orders(condition_id)
            if order.slot.side is side and order.draft.action.value == "SELL"
        ]

    def available(self, reserved: Micros = 0) -> Micros:
        """Collateral that may be committed: the ledger's free cash, or less when the venue shows less (ORD-03).

        ``reserved``: what is reserved already for the order in question, and free for it alone.
        """
        free = self.state.balance("free") + reserved
        if self.fresh.collateral is None:
            return 0
        return max(min(free, self.fresh.collateral - self.state.balance("reserved") + reserved), 0)

    def balance_fresh(self) -> bool:
        return self.wall - self.fresh.collateral_wall <= self.settings.safety.balance_age_ms_max

    def ask_balance(self, token_id: str) -> None:
        """Have a token's balance read: at once, or in its turn when too many were asked for lately (ORD-03)."""
        if self.balance_calls.take(self.wall):
            self._unread.pop(token_id, None)
            self.command(QueryTokenBalance(token_id))
        else:
            self._unread[token_id] = None

    def ask_collateral(self) -> None:
        """Have the collateral read; it never waits, others wait for it."""
        self.balance_calls.spend(self.wall)
        self.command(QueryBalance())

    def serve_balances(self) -> None:
        """Readings that wait for their turn, as far as calls are allowed."""
        while self._unread and self.balance_calls.take(self.wall):
            token_id = next(iter(self._unread))
            del self._unread[token_id]
            self.command(QueryTokenBalance(token_id))

    # --- notices ------------------------------------------------------------------------------------------------------

    def notice(self, kind: str, about: str, text: str, condition_id: str = "", *, not_to: str = "") -> None:
        """Raise a durable notice of a kind of the alert table, which has its level and topic (NOT-05).

        The same kind ``about`` the same thing is told once a minute, then with how often it came since (NOT-04). A
        notice about a market names it (LOG-06). ``not_to``: a channel that is not told.
        """
        alert = ALERTS[kind]
        self._notice(f"{kind}:{about}", alert.level, alert.topic, text, condition_id, not_to)

    def plugin_notice(self, plugin: str, notice: Notice, condition_id: str = "") -> None:
        """The same for what a plugin wants told, in its own words and at its own level."""
        self._notice(f"plugin:{plugin}:{notice.text}", notice.level, notice.topic, notice.text, condition_id)

    def _notice(self, key: str, level: str, topic: str, text: str, condition_id: str, not_to: str = "") -> None:
        entry = self.state.markets.get(condition_id)
        if entry is not None and entry.market.slug not in text:
            text = f"{entry.market.slug}: {text}"
        wanted = _Told(self.now, level, topic, text, condition_id, not_to)
        told = self._told.get(key)
        if told is not None and self.now - told.at < NOTICE_QUIET_MS:
            if not told.again:
                self.at_market(told.at + NOTICE_QUIET_MS, "quiet", key)
            wanted.at, wanted.again = told.at, told.again + 1
            self._told[key] = wanted
            return
        again = 0 if told is None else told.again
        if len(self._told) >= NOTICE_KEYS_MAX:
            del self._told[next(iter(self._told))]
        self._told[key] = wanted
        self._raise(wanted, f"{text} (and {again} times more in the last minutes)" if again else text)

    def quiet_over(self, key: str) -> None:
        """A condition was told a minute ago: what came of it since is told with its count (NOT-04)."""
        told = self._told.get(key)
        if told is None or not told.again or self.now - told.at < NOTICE_QUIET_MS:
            return
        again = told.again
        told.at, told.again = self.now, 0
        times = "once" if again == 1 else f"{again} times"
        self._raise(told, f"{told.text} ({times} more in the last minute)")

    def _raise(self, told: _Told, text: str) -> None:
        notice_id = f"{self.state.run_id or self.account}-n{self.state.notice_count + 1}"
        channels = tuple(channel for channel in self.channels if channel != told.not_to)
        notice = NoticeRaised(self.now, notice_id, told.level, told.topic, text, told.condition_id, channels)
        self.record(notice)
        self.raised(notice)
        self.tell("on_notice", None, notice)

    def tell(self, hook: str, condition_id: str | None, what: object) -> None:
        """Ask the shell to run an ``on_…`` hook, if any plugin has it."""
        if hook in self.told_hooks:
            entry = None if condition_id is None else self.state.markets.get(condition_id)
            self.command(Tell(hook, MarketMs(self.now), None if entry is None else entry.market, what))
