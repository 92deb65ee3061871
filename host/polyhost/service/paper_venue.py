"""The paper exchange of one account: the embedded exchange core, fed with the live market's books and prints.

Pure and in market time that its caller gives: no clock, no I/O. Requests are under way for ``latency_ms`` before they
meet the book; what the venue shows is the only liquidity, and fills are decided by the core's careful rules
(``Queue.BEHIND``, docs/paper.md). It has a mirror of its own of each followed market, made by the kernel's hot path, so
that a frame costs one more pass of it, and a little more only where orders are open.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import structs

from polyhost.exchange import api
from polyhost.exchange.core import Exchange
from polyhost.exchange.gateway import InProcessGateway
from polyhost.exchange.rules import ExchangeRules, Queue
from polyhost.exchange.state import with_part
from polyhost.kernel.hotpath import Feed, Lane
from polyhost.lab.builders import builders_of
from polyhost.model import commands
from polyhost.model.book import TICKS_OF, Book
from polyhost.model.commands import Command
from polyhost.model.events import (
    BalanceSeen,
    Event,
    MarketClosed,
    MarketResolved,
    OrderSeen,
    PostAnswered,
    RewardPaid,
    StreamChanged,
    TradeSeen,
)
from polyhost.model.gateway import OrderRequest
from polyhost.model.market import Market
from polyhost.model.messages import Change, Message
from polyhost.model.money import MICRO, ONE, Micros, Ticks, fast_micros
from polyhost.model.rounding import TICK_RULES
from polyhost.model.times import NEVER, MarketMs
from polyhost.model.words import Action
from polyhost.settings import Configuration

KEPT_MS: Final = 86_400_000
"""A decided market that pays nothing any more is forgotten so long after its end, market ms: the kernel asks about the
markets of the last day when it starts."""
API_KEY: Final = "paper"
_STREAM: Final = (TradeSeen, RewardPaid)
_CHANGING: Final = (
    commands.Post, commands.PostMany, commands.Act, commands.Cancel, commands.CancelMany, commands.CancelMarket,
    commands.CancelEverything,
)


class Said(NamedTuple):
    """Events in their order: the answer to the request with this ticket, or (None) what the user stream would tell."""

    ticket: int | None
    events: list[Event]


class _Request(NamedTuple):
    """A command under way: it meets the exchange at ``due``, market ms."""

    due: int
    ticket: int
    command: Command
    markets: tuple[str, ...]
    """Condition ids of the markets that are watched for its orders."""


class _Answer:
    """What a request was answered so far; complete when no post of it waits."""

    __slots__ = ("events", "waits")

    def __init__(self, waits: int) -> None:
        self.events: list[Event] = []
        self.waits = waits


def address_of(account: str) -> str:
    """The address of a paper account: a name's hash, nobody's wallet."""
    return "0x" + hashlib.sha256(f"polyhost paper account {account}".encode()).hexdigest()[:40]


def rules_of(settings: Configuration) -> ExchangeRules:
    """The rules of the paper exchange: stages and delays of ``[exchange]``, fills as ``[paper]`` says."""
    stages, paper = settings.exchange, settings.paper
    return ExchangeRules(
        taker_delay_ms=stages.taker_delay_ms, mined_ms=stages.mined_ms, confirmed_ms=stages.confirmed_ms,
        settle_visible_ms=stages.mined_ms, auto_redeem_ms=stages.auto_redeem_ms, queue=Queue.BEHIND,
        queue_ahead=round(paper.queue_ahead * MICRO), standing_ms=paper.min_standing_ms, market_channel=False,
        snapshots=False, builders=builders_of(settings),
    )


class PaperVenue:
    """One account's orders against the displayed books of the live venue.

    Whatever is called, ``take`` then has what was said, and ``changes`` the state that must be durable before it is
    told. Times never go back.
    """

    def __init__(self, settings: Configuration, now: MarketMs, saved: dict[str, Any] | None = None) -> None:
        """``saved``: what ``save`` gave. Raises ValueError for the state of another format."""
        account = settings.host.account
        self.address = address_of(account)
        self._latency_ms = settings.paper.latency_ms
        rules = rules_of(settings)
        if saved is None:
            self.exchange = Exchange(rules, now)
            self.exchange.open_account(self.address, int(settings.paper.cash))
        else:
            self.exchange = Exchange.load({**saved, "rules": msgspec.to_builtins(rules)})
        self._gateway = InProcessGateway(self.exchange, self.address, API_KEY, settings.exchange.seed)
        self._feed = Feed()
        self._books: dict[str, Book] = {}
        """By condition id: the mirrors of the followed markets."""
        self._markets: dict[str, Market] = {}
        self._observed: set[str] = set()
        """Markets with open orders, or requests for some under way: every change of their books is told."""
        self._underway: deque[_Request] = deque()
        self._leaving: dict[str, int] = {}
        """Condition id → posts under way to it."""
        self._tickets = 0
        self._answers: dict[int, _Answer] = {}
        self._posts: dict[str, int] = {}
        """Order id → ticket of the post that waits for its answer."""
        self._said: list[Said] = []
        self._dirty: set[str] = set()
        self._changed = saved is None
        self._due: int = NEVER
        for market in self.exchange.markets():
            if self.exchange.decision(market.condition_id) is None:
                self.follow(market)
                self._observe(market.condition_id, MarketMs(self.exchange.now))
        self._settle_watches()
        self._plan()

    # --- time ---------------------------------------------------------------------------------------------------------

    @property
    def next_due(self) -> int:
        """When something next happens by itself, market ms; NEVER: nothing will."""
        return self._due

    @property
    def stirred(self) -> bool:
        """Something was said, or is to be kept."""
        return self._changed or bool(self._said)

    def advance(self, now: MarketMs) -> None:
        """Everything due up to now, each at its own time: the exchange's own first, then requests that arrive."""
        while (due := self._due) <= now:
            if self.exchange.next_due <= due:
                self._hear(self.exchange.advance(MarketMs(due)))
            else:
                self._arrive(self._underway.popleft())
            self._plan()

    def _plan(self) -> None:
        self._due = min(self.exchange.next_due, self._underway[0].due if self._underway else NEVER)

    # --- the market ---------------------------------------------------------------------------------------------------

    def follow(self, market: Market) -> None:
        """Mirror a market from now on; its frames must come from now on, too."""
        condition_id = market.condition_id
        if condition_id in self._books:
            return
        self._books[condition_id] = self._feed.add(condition_id, market.up, market.down)
        self._markets[condition_id] = market
        if self.exchange.market(condition_id) is not None:
            self.exchange.mirror(condition_id, self._books[condition_id])

    def unfollow(self, market: Market) -> None:
        """Its frames come no more: nothing fills there any more."""
        book = self._books.pop(market.condition_id, None)
        if book is not None:
            book.spoil()
            self._feed.remove(market.up, market.down)
            del self._markets[market.condition_id]
            self._leave_alone(market.condition_id)

    def frame(self, messages: Sequence[Message], now: MarketMs) -> None:
        """A frame of the market stream: the hot path. Without orders of ours it is the kernel's own pass, no more."""
        if now >= self._due:
            self.advance(now)
        apply, observed = self._feed.apply, self._observed
        for message in messages:
            reached = apply(message, now)
            if observed:
                self._watch(message, now)
            if reached is not None:
                self._hear(self.exchange.touched(reached, now), reached)
                self._plan()
        if self._feed.tick_changes:
            self._retick(now)

    def heard(self, event: Event, now: MarketMs) -> None:
        """A fact of the market, before the kernel gets it: a lost stream, a market's end, its result."""
        self.advance(now)
        match event:
            case StreamChanged(stream="market", tokens=tokens):
                for condition_id, market in self._markets.items():
                    if not tokens or market.up in tokens or market.down in tokens:
                        self._books[condition_id].spoil()
            case MarketClosed(condition_id) if self.exchange.market(condition_id) is not None:
                self._hear(self.exchange.end_market(condition_id, now), condition_id)
            case MarketResolved(condition_id) if self._undecided(condition_id):
                decided = self.exchange.decide(condition_id, event.winner, None, event.final, now)
                self._hear(decided, condition_id)
                self._leave_alone(condition_id)
                self._forget_old(now)
            case _:
                return
        self._plan()

    def _undecided(self, condition_id: str) -> bool:
        exchange = self.exchange
        return exchange.market(condition_id) is not None and exchange.decision(condition_id) is None

    def _watch(self, message: Message, now: MarketMs) -> None:
        """What a message, applied already, means for a market with orders of ours."""
        changes = message.price_changes
        token = changes[0].asset_id if changes else message.asset_id
        lane = self._feed.lanes.get(token)
        if lane is None or lane.condition_id not in self._observed or not lane.book.ready:
            return
        match message.event_type:
            case "price_change":
                self._levels(lane, changes or [], now)
            case "last_trade_price":
                self._printed(lane, message, now)
            case _:
                self.exchange.book_replaced(lane.condition_id, now)

    def _levels(self, lane: Lane, changes: Sequence[Change], now: MarketMs) -> None:
        """The changed levels; what the other token's changes say of them again is no change."""
        first = changes[0].asset_id
        half = 2 * sum(change.asset_id == first for change in changes) == len(changes)
        for change in changes:
            if change.asset_id != first and half:
                continue
            told = lane if change.asset_id == first else self._feed.lanes.get(change.asset_id)
            if told is not None:
                price = TICKS_OF[change.price]
                is_bid = (change.side == "BUY") is not told.down
                self.exchange.level_changed(lane.condition_id, is_bid, ONE - price if told.down else price, now)

    def _printed(self, lane: Lane, message: Message, now: MarketMs) -> None:
        """A trade of others: it may have reached an order of ours. One that does not tell all about itself did not."""
        if message.side not in ("BUY", "SELL"):
            return
        try:
            price, size = TICKS_OF[message.price], fast_micros(message.size)
        except ValueError:
            return  # the feed has counted it
        stamp = str(message.timestamp)
        made = min(int(stamp), now) if stamp.isdigit() else now
        condition_id = lane.condition_id
        outputs = self.exchange.printed(condition_id, lane.token_id, price, size, now, Action(message.side), made)
        self._hear(outputs, condition_id)
        self._plan()

    def _retick(self, now: MarketMs) -> None:
        """Ticks that the stream told."""
        for condition_id, tick in self._feed.tick_changes:
            market = self._markets.get(condition_id)
            if market is None or tick not in TICK_RULES:
                continue
            self._markets[condition_id] = structs.replace(market, tick=tick)
            if self.exchange.market(condition_id) is not None:
                self._hear(self.exchange.set_tick(condition_id, tick, now), condition_id)
        self._feed.tick_changes.clear()

    # --- requests -----------------------------------------------------------------------------------------------------

    def submit(self, command: Command, now: MarketMs) -> int:
        """A command of the host leaves now; ``take`` brings its answer under this ticket. Signing is done at once."""
        self.advance(now)
        self._tickets += 1
        watched = tuple(found for posted in _posts_of(command) if (found := self._departs(posted, now)))
        request = _Request(now + self._latency_ms, self._tickets, command, watched)
        if isinstance(command, commands.Prepare):
            self._answered(request.ticket, self._gateway.execute(command, now))
        elif request.due <= now:
            self._arrive(request)
        else:
            self._underway.append(request)
        self._plan()
        return request.ticket

    def hurry(self, ticket: int, now: MarketMs) -> None:
        """Let requests up to this one arrive now: market time stands still, and they have been under way for long."""
        while self._underway and self._underway[0].ticket <= ticket:
            self._arrive(self._underway.popleft()._replace(due=now))
        self._plan()

    def _departs(self, posted: OrderRequest, now: MarketMs) -> str:
        """From before an order leaves its market is watched: only what stands while it is under way can be hit.

        The market's condition id; empty for one that is not followed.
        """
        lane = self._feed.lanes.get(posted.fields.token_id)
        if lane is None:
            return ""
        condition_id = lane.condition_id
        if self.exchange.market(condition_id) is None:
            self.exchange.add_market(self._markets[condition_id], now)
            self.exchange.mirror(condition_id, self._books[condition_id])
        self._leaving[condition_id] = self._leaving.get(condition_id, 0) + 1
        self._observe(condition_id, now)
        return condition_id

    def _arrive(self, request: _Request) -> None:
        now, command = MarketMs(request.due), request.command
        posted = _posts_of(command)
        self._answers[request.ticket] = _Answer(len(posted))
        self._posts |= {each.order_id: request.ticket for each in posted}
        events = self._gateway.execute(command, now)
        if isinstance(command, _CHANGING):
            self._changed = True
            self._note(self._gateway.outputs)
        for condition_id in request.markets:
            self._dirty.add(condition_id)
            self._leaving[condition_id] -= 1
            if not self._leaving[condition_id]:
                del self._leaving[condition_id]
        if isinstance(command, commands.Act):
            self._dirty.add(command.request.condition_id)
        self._sort(events, request.ticket)
        answer = self._answers.get(request.ticket)
        if answer is not None and not answer.waits:
            self._complete(request.ticket)
        self._settle_watches()

    def _answered(self, ticket: int, events: list[Event]) -> None:
        self._said.append(Said(ticket, events))

    # --- what was said ------------------------------------------------------------------------------------------------

    def take(self) -> list[Said]:
        """What was said since the last time, in order."""
        said, self._said = self._said, []
        return said

    def _hear(self, outputs: list[api.Output], condition_id: str = "") -> None:
        """What the exchange said by itself. ``condition_id``: the market that was touched, when anything came of it."""
        if not outputs:
            return
        self._changed = True
        if condition_id:
            self._dirty.add(condition_id)
        self._note(outputs)
        self._sort(self._gateway.events_of(outputs), None)
        self._settle_watches()

    def _note(self, outputs: list[api.Output]) -> None:
        """The markets whose orders or trades changed."""
        for output in outputs:
            match output:
                case api.UserOrder():
                    self._dirty.add(output.order.row.condition_id)
                case api.UserTrade():
                    self._dirty.add(output.trade.row.condition_id)
                case _:
                    continue

    def _sort(self, events: list[Event], ticket: int | None) -> None:
        """Answers to their tickets, the rest to the stream, each where it stands."""
        for event in events:
            if isinstance(event, PostAnswered) and event.order_id in self._posts:
                waiting = self._posts.pop(event.order_id)
                answer = self._answers[waiting]
                answer.events.append(event)
                answer.waits -= 1
                if not answer.waits:
                    self._complete(waiting)
            elif isinstance(event, _STREAM) or (isinstance(event, OrderSeen) and event.source == "stream"):
                self._said.append(Said(None, [event]))
            elif ticket is not None:
                self._answers[ticket].events.append(event)

    def _complete(self, ticket: int) -> None:
        self._answered(ticket, self._answers.pop(ticket).events)

    # --- what is watched ----------------------------------------------------------------------------------------------

    def _observe(self, condition_id: str, now: MarketMs) -> None:
        if condition_id not in self._observed:
            self._observed.add(condition_id)
            self.exchange.observe(condition_id, now)
            self._rewatch(condition_id)

    def _rewatch(self, condition_id: str) -> None:
        """Have the book tell when it crosses what rests."""
        book = self._books.get(condition_id)
        if book is not None:
            bid_high, ask_low = self.exchange.watch(condition_id)
            book.watch(bid_high, -1, ONE + 1, ask_low)

    def _settle_watches(self) -> None:
        """Orders came or went: books tell of what crosses those that rest, and are left alone where there are none."""
        for condition_id in list(self._observed):
            if self._leaving.get(condition_id) or self.exchange.has_open(condition_id):
                self._rewatch(condition_id)
            else:
                self._leave_alone(condition_id)

    def _leave_alone(self, condition_id: str) -> None:
        self._observed.discard(condition_id)
        self.exchange.unobserve(condition_id)
        book = self._books.get(condition_id)
        if book is not None:
            book.watch(ONE + 1, -1, ONE + 1, -1)

    # --- asked by the host --------------------------------------------------------------------------------------------

    @property
    def collateral(self) -> Micros:
        return self.exchange.collateral(self.address)

    def balance(self) -> BalanceSeen:
        """The account's collateral, as its venue would show it."""
        return BalanceSeen(self.collateral, True)

    def tick(self, condition_id: str) -> Ticks | None:
        """The tick of a followed market, as the stream last told it; None: it is not followed."""
        market = self._markets.get(condition_id)
        return None if market is None else market.tick

    def trades_of_builder(self, code: str) -> list[api.StoredTrade]:
        return list(self.exchange.trades_of_builder(code))

    def audit(self) -> list[str]:
        """Broken invariants of the exchange, in words; none when all is well."""
        return self.exchange.audit()

    # --- durable state ------------------------------------------------------------------------------------------------

    def changes(self) -> tuple[frozenset[str], dict[str, Any]] | None:
        """What must be kept before what was said is told: markets and their part of the state; None: nothing."""
        if not self._changed:
            return None
        markets = frozenset(self._dirty)
        self._dirty.clear()
        self._changed = False
        return markets, self.exchange.save(markets)

    def save(self) -> dict[str, Any]:
        """The whole state."""
        return self.exchange.save()

    def _forget_old(self, now: MarketMs) -> None:
        """Decided markets of long ago that pay nothing any more."""
        paying = self.exchange.redeemable(self.address)
        for market in self.exchange.markets():
            condition_id = market.condition_id
            decided = self.exchange.decision(condition_id) is not None
            if decided and market.end + KEPT_MS <= now and condition_id not in paying:
                self.exchange.forget_market(condition_id)
                self._dirty.add(condition_id)


def restored(snapshot: dict[str, Any], parts: Sequence[tuple[Sequence[str], dict[str, Any]]]) -> dict[str, Any]:
    """A saved state and the changes after it, oldest first."""
    state = snapshot
    for markets, part in parts:
        state = with_part(state, part, markets)
    return state


def _posts_of(command: Command) -> tuple[OrderRequest, ...]:
    match command:
        case commands.Post():
            return (command.request,)
        case commands.PostMany():
            return command.requests
        case _:
            return ()
