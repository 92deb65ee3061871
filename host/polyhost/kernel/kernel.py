"""The kernel: one event in, records and commands out. This module dispatches; the rules live in the parts beside it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Final, assert_never

from msgspec import UNSET, UnsetType, structs

from polyhost.kernel import ledger
from polyhost.kernel.actions import Actions
from polyhost.kernel.adoption import Adoption
from polyhost.kernel.arbitration import Arbitrated, Planned, adds_now, adds_to, arbitrated
from polyhost.kernel.audit import Audit
from polyhost.kernel.auto_settle import AutoSettle
from polyhost.kernel.blocks import TURN_AWAY, Blocks
from polyhost.kernel.breakers import CHECK_EVERY_MS, Breakers
from polyhost.kernel.core import Core
from polyhost.kernel.entries import Entries, EntryRefused, at_risk
from polyhost.kernel.exits import KILL, Exits
from polyhost.kernel.explaining import explained, late
from polyhost.kernel.hedges import Hedges
from polyhost.kernel.hotpath import Feed
from polyhost.kernel.invariants import broken
from polyhost.kernel.orders_flow import LOOK_BACK_S, OrderFlow
from polyhost.kernel.outbox import Outbox
from polyhost.kernel.pairs import Pairs
from polyhost.kernel.plugin_life import PluginLife
from polyhost.kernel.promises import keep
from polyhost.kernel.quotes import Quotes
from polyhost.kernel.reconciliation import Reconciliation
from polyhost.kernel.repricing import Repricing
from polyhost.kernel.scoring import Scoring
from polyhost.kernel.settlement import Settlement
from polyhost.kernel.state import MarketState, OrderEntry, PositionEntry, State, apply
from polyhost.kernel.studies import evaluation_row, mark_row, quote_row, skip_text
from polyhost.kernel.supervised import Supervised
from polyhost.kernel.venue_notices import VenueWords
from polyhost.kernel.views import SIDES, build_view
from polyhost.kernel.volatile import MINUTE_MS, OPENING_MS, MarketData, Spot
from polyhost.kernel.wanted import Wanted
from polyhost.model.book import Book
from polyhost.model.builder import Builder
from polyhost.model.commands import (
    Analyse,
    Ask,
    CancelEverything,
    Follow,
    QueryPositions,
    Unfollow,
)
from polyhost.model.events import (
    ActionAnswered,
    AuditSeen,
    BalanceSeen,
    CancelAnswered,
    Candidate,
    EarningsSeen,
    Evaluated,
    Event,
    JournalChecked,
    LoopChanged,
    MarketClosed,
    MarketFound,
    MarketResolved,
    NoticeTold,
    Operator,
    OrderNotFound,
    OrderSeen,
    PluginChanged,
    PluginStruck,
    PluginTold,
    PositionsSeen,
    PostAnswered,
    PostLeft,
    Prepared,
    PrepareFailed,
    Proposed,
    QueryFailed,
    RewardPaid,
    RunBegan,
    RunEnding,
    ScoringSeen,
    StreamChanged,
    StrikeSeen,
    SweepDone,
    TokenBalanceSeen,
    TradeSeen,
    VenueNoticed,
)
from polyhost.model.market import PRICE_E8
from polyhost.model.messages import Message
from polyhost.model.money import Micros, money_text, price_text
from polyhost.model.proposals import (
    CancelOrders,
    Defer,
    Enter,
    ExitNow,
    ExitTarget,
    HoldToSettlement,
    Keep,
    Merge,
    Notice,
    Pair,
    QuoteTarget,
    Reprice,
    Skip,
    Split,
    Trigger,
)
from polyhost.model.records import (
    EntriesBlocked,
    MarketAdded,
    MarketChanged,
    OperatorSaid,
    PluginStateSet,
    Record,
    RunEnded,
    RunStarted,
)
from polyhost.model.rounding import TICK_RULES
from polyhost.model.step import Step
from polyhost.model.study import Explained
from polyhost.model.times import NEVER
from polyhost.model.view import Candle, View
from polyhost.model.words import Action, Purpose, Side
from polyhost.settings import Configuration

ANSWER_LOST_MS: Final = 1_000
"""An answer this late (wall ms) is not waited for any longer; the market may be asked again."""
BALANCE_EVERY_MS: Final = 4_000
"""The collateral balance is read this often, wall ms: within CON-14's five seconds."""
RESWEEP_MS: Final = 2_000
"""A comparison with the venue that did not come back whole is asked for again after this, wall ms."""
ENFORCE_WITHIN_MS: Final = 5_000
"""Plugins have at most this long after a deadline before it is enforced, market ms, however slow the cadence is."""
FORGET_AFTER_MS: Final = 60_000
"""A settled market's streams and books are dropped this long after its result, market ms."""
GATES_KEPT: Final = 5_000
"""Forgotten markets whose gates are remembered for the summary; the oldest goes beyond it."""
TRIGGERS_MAX: Final = 16
"""Triggers of one market; further ones are told and dropped."""


class Kernel:
    """The deterministic core of one account.

    The caller feeds market messages and prices, calls ``turn`` when a deadline (``next_market_due``, ``next_wall_due``)
    has passed or ``feed`` returned True, and hands every other fact to ``handle``. Records of a step are made durable
    before any gated command of it leaves.
    """

    def __init__(
        self, settings: Configuration, account: str = "main", told_hooks: Iterable[str] = (),
        channels: Iterable[str] = (),
    ) -> None:
        """``told_hooks``: the ``on_…`` hooks that any plugin has; ``channels``: who is told of notices."""
        self._core = core = Core(settings, account, frozenset(told_hooks), tuple(channels))
        self.outbox = Outbox(core)
        self.plugin_life = PluginLife(core, self.outbox)
        self._feed = Feed()
        self.breakers = Breakers(core)
        self.exits = Exits(core, self.breakers)
        self.settlement: Settlement
        self.flow = OrderFlow(
            core, self._orders_changed, self._settle_late, self.breakers.late_fill, self._sell_refused
        )
        self.exits.flow = self.flow
        self.settlement = Settlement(core, self.flow)
        self.blocking = Blocks(core)
        self.entries = Entries(core, self.flow, self.blocking)
        self.pairs = Pairs(core, self.flow, self.entries, self.exits)
        self.hedges = Hedges(core, self.flow, self._evaluate)
        self.actions = Actions(core, self.flow, self.exits, self.entries, self.pairs)
        self.auto_settle = AutoSettle(core, self.actions)
        self.audit = Audit(core)
        self.venue_words = VenueWords(core)
        self.adoption = Adoption(core, self.flow)
        self.reconciliation = Reconciliation(core, self.flow, self.exits, self.pairs)
        self.quotes = Quotes(core, self.flow, self.exits, self.blocking.against)
        self.repricing = Repricing(core, self.flow, self.blocking.against)
        self.scoring = Scoring(core)
        self.supervised = Supervised(core, self.exits, self._sweep_all)
        self.flow.unknown.wanted = Wanted(core, self.flow, self.blocking, self.quotes)
        self._tripped: set[str] = set()
        self._opening: dict[str, list[str]] = {}
        self._view_seq = 0
        self._began_once = False
        self._unseen_since = NEVER
        """Fills since this (unix s) may not have been seen: the stream was down, or is being compared. Frozen then,
        because what sweeps of single markets find in between says nothing of the others."""
        self._up_wall = 0
        """When the user stream last came up, wall ms."""
        self._resweep_wall = 0
        """When the comparison under way is looked at again, wall ms."""
        self.evaluations = 0
        self.analyse = True
        """Write a row for every evaluation (analysis.db)."""
        self.explain = True
        """And one for every entry that a plugin wanted."""
        self._gates: dict[str, dict[str, int]] = {}
        """Gates of markets that are forgotten, newest last."""
        self.vetoes: dict[str, int] = {}
        self.answers: dict[str, int] = {}
        self.strikes: dict[str, int] = {}

    # --- entrances ----------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The durable half; read only."""
        return self._core.state

    @property
    def next_market_due(self) -> int:
        return self._core.next_market_due

    @property
    def next_wall_due(self) -> int:
        return self._core.next_wall_due

    @property
    def next_due(self) -> int:
        """The earlier of both, for whoever has one time for the market and the wall."""
        market, wall = self._core.next_market_due, self._core.next_wall_due
        return market if market < wall else wall

    def feed(self, message: Message, now: int) -> bool:
        """Bring a market message into its book; True when a watched price was reached and a turn is wanted."""
        reached = self._feed.apply(message, now)
        if reached is not None:
            self._tripped.add(reached)
            return True
        return bool(self._feed.tick_changes)

    def printed(self, token_id: str, bought: bool, size: Micros, now: int) -> None:
        """A trade print of a driver that has no messages: a taker bought (or sold) a token."""
        self._feed.printed(token_id, bought, size, now)

    def price(self, feed: str, symbol: str, price: int, stamp: int, now: int) -> None:
        """A reference price in 1e-8. ``feed``: binance (spot), chainlink or twap_60; ``stamp`` the ms it is for."""
        core = self._core
        if feed != "binance":
            if stamp % MINUTE_MS == 0:
                self.settlement.final_price((feed, symbol, stamp), price)
            core.reference_tick(feed, symbol, price, stamp)
            return
        core.spot(symbol).tick(price, stamp)
        waiting = self._opening.get(symbol)
        if waiting:
            self._open_prices(symbol, waiting, price, stamp)

    def candle(self, symbol: str, candle: Candle, closed: bool) -> None:
        """A one-minute candle of the spot feed."""
        self._core.spot(symbol).candle(candle, closed)
        if closed:
            self.settlement.final_price(("candle_close", symbol, candle.start), round(candle.close * PRICE_E8))

    def reading(self, source: str, name: str, value: float, at: int, now: int) -> bool:
        """A value of an optional feed (CON-17); wakes nobody. False: it was no reading, or an old one."""
        return self._core.readings.tell(source, name, value, at, now)

    def turn(self, now: int, wall: int) -> Step:
        """Everything that is due: deadlines in order, and markets whose watched price was reached."""
        core = self._core
        core.now, core.wall = now, wall
        self._reached()
        while (due := core.pop_due()) is not None:
            self._due(*due)
        self.quotes.react()
        return core.take()

    def handle(self, event: Event, now: int, wall: int) -> Step:
        """One fact."""
        core = self._core
        core.now, core.wall = now, wall
        self._dispatch(event)
        self.quotes.react()
        return core.take()

    def restore(self, records: Iterable[Record]) -> None:
        """Fold a journal into the empty kernel; then hand in ``RunBegan``. Commands follow from that."""
        for record in records:
            apply(self._core.state, record)

    # --- for drivers and status ---------------------------------------------------------------------------------------

    def book(self, condition_id: str) -> Book | None:
        data = self._core.data.get(condition_id)
        return None if data is None else data.book

    def gates(self, condition_id: str) -> dict[str, int]:
        """First failed gate → how often, of a market of this run; for old ones after they were forgotten, too."""
        data = self._core.data.get(condition_id)
        return self._gates.get(condition_id, {}) if data is None else data.gates

    def data(self, condition_id: str) -> MarketData | None:
        """The volatile state of a market; read only."""
        return self._core.data.get(condition_id)

    def followed(self) -> list[str]:
        """Condition ids with books."""
        return list(self._core.data)

    def take_tripped(self) -> list[str]:
        """Markets whose watched price was reached since the last call (for the mirrored exchange)."""
        return sorted(self._tripped)

    def watch_outside(self, condition_id: str, bid_high: int, ask_low: int) -> None:
        """The driver wants to be woken too: best UP bid at or above, best UP ask at or below."""
        data = self._core.data.get(condition_id)
        if data is not None and data.outside != (bid_high, ask_low):
            data.outside = (bid_high, ask_low)
            data.rewatch()

    def broken_invariants(self) -> list[str]:
        """Names of the invariants that do not hold now; empty when all do."""
        return broken(self._core.state)

    def at_risk(self) -> int:
        return sum(amount for _, amount in at_risk(self._core.state))

    def overdue_ms(self, now: int) -> int:
        """Market ms since the oldest obligation that nobody sees to should have been enforced; 0: all are seen to."""
        return max((now - due - ENFORCE_WITHIN_MS for _, due in self.supervised.neglected(now)), default=0)

    def reconciling(self) -> bool:
        """Orders and trades are being compared with the venue; nothing adds exposure until that is done."""
        return self._core.reconciling

    def blocks(self) -> list[tuple[str, str]]:
        """What stops new exposure now."""
        return list(self.blocking.now())

    @property
    def counters(self) -> dict[str, int]:
        """Counts of the feed, for status."""
        feed = self._feed
        return {
            "unknown_tokens": feed.unknown_tokens, "unknown_kinds": feed.unknown_kinds,
            "bad_values": feed.bad_values, "mirror_faults": feed.mirror_faults,
        }

    # --- deadlines ----------------------------------------------------------------------------------------------------

    def _reached(self) -> None:
        for condition_id in sorted(self._tripped):
            data = self._core.data.get(condition_id)
            if data is not None and data.plugin_triggers and data.trigger_reached():
                data.plugin_triggers = ()
                data.rewatch()
                self._evaluate(condition_id)
        self._tripped.clear()
        for condition_id, tick in self._feed.tick_changes:
            entry = self._core.market(condition_id)
            if entry is None or entry.market.tick == tick:
                continue
            if tick not in TICK_RULES:
                self._core.notice(
                    "tick_unknown", f"{condition_id}:{tick}",
                    f"The stream names the tick {price_text(tick)}, which no rule is known for: it is not followed",
                    condition_id,
                )
            else:
                self._core.record(MarketChanged(self._core.now, condition_id, tick=tick, cause="stream"))
        self._feed.tick_changes.clear()

    def _due(self, kind: str, key: str) -> None:
        match kind:
            case "eval":
                self._cadence(key)
            case "minute":
                self._minute(key)
            case "obligation":
                self._obligation(key)
            case "enforce":
                self.exits.obligation(key)
                self.pairs.drive(key.rpartition(":")[0])
            case "end":
                self.settlement.ended(key)
            case "result":
                self.settlement.ask(key)
            case "forget":
                self._forget(key)
            case "exit":
                self.exits.retry(key)
                self.pairs.drive(key.rpartition(":")[0])
            case "hedge":
                self.hedges.due(key)
            case "action":
                self.actions.due(key)
            case "pair":
                self.pairs.due(key)
            case "exit_late":
                self.exits.late(key)
            case "exit_until":
                self.exits.until(key)
            case "quotes":
                self.quotes.timer(key)
            case "quote_retry":
                self.quotes.retry(key)
            case "pending":
                self.repricing.check(key)
            case "sign_wait":
                self.flow.sign_wait(key)
            case "post_wait":
                self.flow.post_wait(key)
            case "cancel_wait":
                self.flow.cancel_wait(key)
            case "order_check":
                self.flow.order_check(key)
            case "ladder":
                self.flow.unknown.ladder(key)
            case "shut":
                self.blocking.due(key)
            case "absent_watch":
                self.flow.unknown.watch(key)
            case "settle_check":
                self.flow.settle_check(key)
            case "balance":
                self._core.ask_collateral()
                self._core.at_wall(self._core.wall + BALANCE_EVERY_MS, "balance", "")
            case "breakers":
                self.breakers.check()
                self._core.at_market(self._core.now + CHECK_EVERY_MS, "breakers", "")
            case "timer":
                self.plugin_life.timer_due()
            case "scoring":
                self.scoring.due()
            case "earnings":
                self.scoring.earnings_due()
            case "reconcile":
                self.reconciliation.second()
            case "pass":
                self.reconciliation.whole_pass()
            case "positions":
                self.adoption.again()
            case "by_hand":
                self._core.command(QueryPositions(self._core.wall))
            case "adopt":
                self.adoption.look()
            case "audit":
                self.audit.due(key)
            case "auto_settle":
                self.auto_settle.look()
            case "delivery":
                self.outbox.due(key)
            case "quiet":
                self._core.quiet_over(key)
            case "doubt":
                self.reconciliation.look_again(key)
            case "resweep":
                if self._core.reconciling:
                    self._sweep_all()
            case _:
                raise AssertionError(f"unknown deadline {kind}")

    def _cadence(self, condition_id: str) -> None:
        core = self._core
        data, entry = core.data.get(condition_id), core.market(condition_id)
        if data is None or entry is None or entry.settled or core.now >= entry.market.end:
            return
        core.at_market(core.now + core.settings.evaluation.cadence_ms, "eval", condition_id)
        self._evaluate(condition_id)

    def _minute(self, condition_id: str) -> None:
        core = self._core
        data, entry = core.data.get(condition_id), core.market(condition_id)
        if data is None or entry is None or entry.settled or core.now >= entry.market.end:
            return
        data.sample(core.now)
        for position in self._held(condition_id) if self.analyse else ():
            core.command(Analyse("marks", mark_row(core.now, entry, data, position)))
        core.at_market(core.now + MINUTE_MS, "minute", condition_id)

    def _held(self, condition_id: str) -> list[PositionEntry]:
        found = [self._core.state.position(condition_id, side) for side in SIDES]
        return [position for position in found if position is not None and position.size > 0]

    def _obligation(self, key: str) -> None:
        """Due now: plugins get their evaluation first; two cadences later it is enforced whatever they did."""
        core = self._core
        condition_id, _, _ = key.rpartition(":")
        core.at_market(core.now + min(2 * core.settings.evaluation.cadence_ms, ENFORCE_WITHIN_MS), "enforce", key)
        self._evaluate(condition_id)

    def _forget(self, condition_id: str) -> None:
        entry = self._core.market(condition_id)
        data = self._core.data.pop(condition_id, None)
        if entry is not None and data is not None:
            self._gates[condition_id] = data.gates
            if len(self._gates) > GATES_KEPT:
                del self._gates[next(iter(self._gates))]
            self._feed.remove(entry.market.up, entry.market.down)
            self.quotes.forget(condition_id)
            for token in (entry.market.up, entry.market.down):
                self._core.fresh.tokens.pop(token, None)
            self._core.command(Unfollow(entry.market))

    # --- evaluations --------------------------------------------------------------------------------------------------

    def _evaluate(self, condition_id: str) -> None:
        """Ask the plugins about a market, unless an answer is outstanding; then once more after it."""
        core = self._core
        entry, data = core.market(condition_id), core.data.get(condition_id)
        if entry is None or data is None or entry.settled or core.now >= entry.market.end:
            return
        if entry.market.start is not None and core.now < entry.market.start:
            return
        if not (data.book.ready or (data.book.fetched and self._holds(condition_id))):
            data.gates["no_book"] = data.gates.get("no_book", 0) + 1
            return
        if data.asked_seq and core.wall - data.asked_wall < ANSWER_LOST_MS:
            data.dirty = True
            return
        self._view_seq += 1
        data.asked_seq, data.asked_wall, data.dirty = self._view_seq, core.wall, False
        self.quotes.asked(condition_id)
        data.asked_view = view = self._view(entry, data)
        core.command(Ask(view))

    def _holds(self, condition_id: str) -> bool:
        """There is something to exit: then prices of another source than the stream are looked at, too (CON-03)."""
        positions = self._core.state.positions
        held = (positions.get(f"{condition_id}:{side.value}") for side in SIDES)
        return any(position is not None and position.size > 0 for position in held)

    def _view(self, entry: MarketState, data: MarketData) -> View:
        core = self._core
        market = entry.market
        return build_view(
            view_seq=self._view_seq, now=core.now, entry=entry, data=data, state=core.state,
            spot=core.spots.get(market.symbol), reference=core.reference(market), basis=core.basis(market),
            feeds=core.readings.shown(), sellable=core.sellable, in_positions=core.in_positions(),
            scoring=core.scoring,
        )

    def _evaluated(self, event: Evaluated) -> None:
        core = self._core
        data = core.data.get(event.condition_id)
        entry = core.market(event.condition_id)
        for use in event.used:
            if use.failed:
                self.strikes[use.plugin] = self.strikes.get(use.plugin, 0) + 1
        if data is None or entry is None or entry.settled:
            self._explain(late(event, core.now, "" if entry is None else entry.market.slug, "market_over"))
            return
        if event.view_seq != data.asked_seq:
            self._late(event, entry, data)
            return
        too_old = core.wall - data.asked_wall > core.settings.safety.answer_age_ms_max
        data.asked_seq, data.answered_view = 0, data.asked_view
        if too_old:
            self._late(event, entry, data)
        else:
            self._take(event, entry, data)
        if data.dirty:
            self._evaluate(event.condition_id)

    def _late(self, event: Evaluated, entry: MarketState, data: MarketData) -> None:
        self._gate(data, "late_answer")
        self._explain(late(event, self._core.now, entry.market.slug, "late_answer"))

    def _explain(self, rows: Iterable[Explained]) -> None:
        """Told to analysis.db: what became of each entry that a plugin wanted (EVD-03)."""
        if self.explain:
            for row in rows:
                self._core.command(Analyse("explanations", structs.asdict(row)))

    def _take(self, event: Evaluated, entry: MarketState, data: MarketData) -> None:
        self.evaluations += 1
        data.evaluations += 1
        for name, _ in event.signals:
            self.answers[name] = self.answers.get(name, 0) + 1
        for name, estimate in event.estimates:
            self.answers[name] = self.answers.get(name, 0) + 1
            if name == event.trading:
                data.estimate = estimate
        # Urgent exits first: they free funds and never wait for entries. Planned ones follow a scale-in (EXI-07).
        planned = self._proposals(event, data)
        gate, gate_text = self._candidates(event, entry, data)
        for plan in planned:
            self._planned_exit(event.condition_id, plan, data)
        if self.analyse and data.answered_view is not None:
            self._core.command(Analyse("evaluations", evaluation_row(event, data.answered_view, gate, gate_text)))
            self._core.command(Analyse("quotes", quote_row(self._core.now, entry, data)))

    def _candidates(self, event: Evaluated, entry: MarketState, data: MarketData) -> tuple[str, str]:
        """Decide on every entry; the first gate that refused one and why, both empty when something was placed."""
        gate = text = ""
        placed = False
        for candidate in event.candidates:
            name = candidate.proposed.plugin
            self.answers[name] = self.answers.get(name, 0) + 1
            for plugin, _ in candidate.vetoes:
                self.vetoes[plugin] = self.vetoes.get(plugin, 0) + 1
            order = self.flow.next_ref()
            if isinstance(candidate.proposed.answer, Pair):
                refusal = self.pairs.consider(event, candidate)
            else:
                refusal = self.entries.consider(event, candidate)
            refused = "" if refusal is None else refusal.gate
            placed = placed or not refused
            if refusal is not None and not gate:
                gate, text = refused, refusal.text
            if self.explain:
                slug = entry.market.slug
                self._explain(explained(event, candidate, self._core.now, slug, refusal, order))
            if refused == "stale_answer" or self._told_refusal(event, candidate, refusal):
                data.dirty = True
        if not event.candidates:
            skip = next((p for p in event.proposals if isinstance(p.answer, Skip)), None)
            if skip is not None and isinstance(skip.answer, Skip):
                gate, text = f"{skip.plugin}: {skip.answer.reason}", skip_text(skip.answer)
            elif not event.estimates:
                gate = "no_estimate"
            else:
                gate = "no_proposal"
        if not placed:
            self._gate(data, gate)
        return ("", "") if placed else (gate, text)

    def _told_refusal(self, event: Evaluated, candidate: Candidate, refusal: EntryRefused | None) -> bool:
        """What became of a wish, for the view; True when its plugin has to hear it at once."""
        wish, plugin = candidate.proposed.answer, candidate.proposed.plugin
        if isinstance(wish, Pair):
            purpose, side, key = Purpose.LEG, wish.first or Side.UP, ""
        else:
            assert isinstance(wish, Enter)
            purpose, side, key = wish.purpose, wish.side, wish.key
        if refusal is None:
            self.hedges.placed(event.condition_id, plugin, purpose, side, key)
            return False
        return self.hedges.refused(event.condition_id, plugin, purpose, side, key, refusal.gate, refusal.text)

    def _gate(self, data: MarketData, gate: str) -> None:
        data.gates[gate] = data.gates.get(gate, 0) + 1

    def _proposals(self, event: Evaluated, data: MarketData) -> list[Planned]:
        """Carry out all but new exposure; planned exits of a position that is to be added to are left to the caller."""
        condition_id = event.condition_id
        exits: dict[Side, list[Proposed]] = {}
        triggers: list[Trigger] = []
        merges: list[tuple[str, Merge | Split]] = []
        quotes: list[Proposed] = []
        cancelled: list[CancelOrders] = []
        for proposed in event.proposals:
            name = proposed.plugin
            self.answers[name] = self.answers.get(name, 0) + 1
            answer = proposed.answer
            match answer:
                case ExitTarget() | ExitNow() | HoldToSettlement() | Defer():
                    exits.setdefault(answer.side, []).append(proposed)
                case Trigger():
                    triggers.append(answer)
                case QuoteTarget():
                    quotes.append(proposed)
                case Reprice():
                    self.repricing.want(condition_id, answer, name)
                case CancelOrders():
                    cancelled.append(answer)
                    self._cancel_buys(condition_id, answer.side, answer.ref)
                case Notice():
                    self._core.plugin_notice(name, answer, condition_id)
                case Merge() | Split():
                    merges.append((name, answer))
                case Keep():
                    keep(self._core, name, answer.values)
                case Skip():
                    pass
                case _:
                    raise AssertionError(f"{type(answer).__name__} from {name} is no proposal")
        triggers = list(dict.fromkeys(triggers))
        if len(triggers) > TRIGGERS_MAX:
            self._core.notice(
                "triggers_many", condition_id,
                f"{len(triggers)} triggers on one market: only the first {TRIGGERS_MAX} are kept", condition_id,
            )
        wanted = tuple(triggers[:TRIGGERS_MAX])
        if wanted != data.plugin_triggers:
            data.plugin_triggers = wanted
            data.rewatch()
        planned = []
        for side in SIDES:
            position = self._core.state.position(condition_id, side)
            if position is not None and position.size > 0 and not self.pairs.owns(condition_id):
                exit_ = arbitrated(exits.get(side, []), self._core.now, partial(self._defer_void, condition_id, side))
                if self._urgent_exit(condition_id, side, exit_, data):
                    continue
                if adds_to(event.candidates, side):
                    planned.append(Planned(side, exit_))
                else:
                    self._planned_exit(condition_id, Planned(side, exit_), data)
        for name, answer in merges:
            self._merge_or_split(event, data, name, answer)
        # What someone wants cancelled is not placed in the same breath.
        self.quotes.want(event, [p for p in quotes if not any(_covers(cancel, p.answer) for cancel in cancelled)])
        return planned

    def _merge_or_split(self, event: Evaluated, data: MarketData, plugin: str, wish: Merge | Split) -> None:
        """A merge only frees; a split is new exposure, and needs that what its plugin saw still holds."""
        condition_id = event.condition_id
        if isinstance(wish, Merge):
            refused = self.actions.merge(condition_id, wish.size, plugin, wish.reason)
        elif event.state_rev != self._core.state.markets[condition_id].rev:
            refused = "stale_answer"
        else:
            refused = self.actions.split(condition_id, wish.size, plugin, wish.reason)
        if refused:
            self._gate(data, "merge" if isinstance(wish, Merge) else "split")

    def _defer_void(self, condition_id: str, side: Side, plugin: str) -> bool:
        """EXI-09: what waits for a hedge does not wait for one that cannot be bought."""
        return self.hedges.failed(condition_id, side.other, plugin)

    def _urgent_exit(self, condition_id: str, side: Side, wanted: Arbitrated, data: MarketData) -> bool:
        """Begin the most urgent sale, if it is one that goes before everything else; else note a hold."""
        if wanted.sale is not None and wanted.urgent:
            self.exits.now(condition_id, wanted.sale, wanted.sold_by)
            return True
        # What is sold at market is sold until it is gone: a hold takes back no stop, deadline or operator's close.
        if wanted.hold is not None and data.exit(side).urgent is None:
            self.exits.hold(condition_id, side, "plugin", wanted.hold.reason)
        return False

    def _planned_exit(self, condition_id: str, planned: Planned, data: MarketData) -> None:
        """A planned sale, unless the position is held or a scale-in of it is being bought; else the standing target."""
        side, wanted = planned.side, planned.wanted
        if wanted.sale is not None and wanted.hold is None and not adds_now(self._core.state, condition_id, side):
            self.exits.now(condition_id, wanted.sale, wanted.sold_by)
            return
        plan = data.exit(side)
        target = wanted.target(plan.target_owner)
        if target is not None:
            assert isinstance(target.answer, ExitTarget)
            if target.answer.not_before > self._core.now:
                self.exits.pend(condition_id, target.answer)
            else:
                self.exits.want(condition_id, target.answer, target.plugin)
        elif plan.urgent is None:
            self.exits.drop_target(condition_id, side)

    def _cancel_buys(self, condition_id: str, side: Side | None, ref: str = "") -> None:
        for order in self._core.state.open_orders(condition_id):
            meant = order.ref == ref if ref else side in (None, order.slot.side)
            if order.draft.action is Action.BUY and meant:
                self.flow.cancel(order, for_good=True)

    # --- events -------------------------------------------------------------------------------------------------------

    def _dispatch(self, event: Event) -> None:
        match event:
            case Evaluated():
                self._evaluated(event)
            case Prepared():
                self.flow.prepared(event)
            case PrepareFailed():
                self.flow.prepare_failed(event)
            case PostAnswered():
                self._post_answered(event)
            case PostLeft():
                self.flow.post_left(event)
            case ActionAnswered():
                self.actions.answered(event)
            case CancelAnswered():
                self.blocking.cancel_answered(event)
                self.flow.cancel_answered(event)
            case OrderSeen():
                self.flow.order_seen(event)
            case TradeSeen():
                self.flow.trade_seen(event)
            case OrderNotFound():
                self.flow.order_not_found(event)
            case SweepDone():
                self._sweep_done(event)
            case BalanceSeen():
                self._balance(event)
            case RewardPaid():
                self._reward(event)
            case ScoringSeen():
                self.scoring.seen(event)
            case EarningsSeen():
                self.scoring.earned(event)
            case TokenBalanceSeen():
                self._token_balance(event)
            case PositionsSeen():
                self.reconciliation.positions_seen(event)
                self.adoption.positions_seen(event)
            case QueryFailed():
                self._query_failed(event)
            case MarketFound():
                self._market_found(event)
            case MarketClosed():
                if (entry := self._core.market(event.condition_id)) is not None and entry.accepting:
                    self._core.record(
                        MarketChanged(self._core.now, event.condition_id, accepting=False, cause="venue")
                    )
            case MarketResolved():
                if self.settlement.resolved(event):
                    self.pairs.market_settled(event.condition_id)
                    self.audit.settled(event.condition_id)
                    self._core.at_market(self._core.now + FORGET_AFTER_MS, "forget", event.condition_id)
            case StrikeSeen():
                if (entry := self._core.market(event.condition_id)) is not None and entry.strike is None:
                    self._core.record(
                        MarketChanged(self._core.now, event.condition_id, strike=event.strike, cause=event.source)
                    )
            case StreamChanged():
                self._stream(event)
            case JournalChecked(problem=problem):
                if problem:
                    self.breakers.journal_damaged(problem)
            case PluginTold():
                self._told(event)
            case PluginStruck():
                self._struck(event)
            case PluginChanged():
                self.plugin_life.changed(event)
            case VenueNoticed():
                self.venue_words.heard(event)
            case AuditSeen():
                self.audit.seen(event)
            case NoticeTold():
                self.outbox.told(event)
            case Operator():
                self._operator(event)
            case LoopChanged():
                self.supervised.changed(event)
            case RunBegan():
                self._began(event)
            case RunEnding():
                self._ending(event)
            case _:
                assert_never(event)

    def _post_answered(self, event: PostAnswered) -> None:
        order = self._core.state.by_order_id(event.order_id)
        if order is not None and event.outcome == "accepted" and _leaves(order):
            self.breakers.exit_worked()
            self.exits.taken(order)
        if order is not None and event.blocks in TURN_AWAY and _leaves(order):
            self.exits.turned_away(order, event.retry_after_ms)
        self.blocking.answered(order, event)
        self.flow.post_answered(event)

    def _began(self, event: RunBegan) -> None:
        core = self._core
        core.record(
            RunStarted(core.now, event.run_id, event.version, event.mode, event.config_hash, event.account,
                event.plugins,
            )
        )
        self.outbox.recover()  # first: what is owed since earlier is told before what this start brings up
        self._charge_builder(event.builder)
        core.cannot_act = "" if event.cannot_act is UNSET else event.cannot_act
        core.ask_collateral()
        core.user_up = False
        self._unseen_since = min(self._unseen_since, core.state.last_match_s or core.now // 1_000)
        if not self._began_once:
            self._began_once = True  # each of these sets its next deadline itself: begun twice they would run twice
            core.at_wall(core.wall + BALANCE_EVERY_MS, "balance", "")
            self.reconciliation.begin()
            self.scoring.begin()
            core.at_market(core.now, "breakers", "")
            self.auto_settle.begin()
            self.audit.begin()
            if core.state.yesterday is not None:
                core.tell("on_day", None, core.state.yesterday)  # perhaps nobody heard of it before the host went down
            self.plugin_life.begin()
        for entry in list(core.state.markets.values()):
            if not entry.settled:
                self._follow(entry)
        self.adoption.begin()
        self.supervised.began()
        self.flow.recover()
        self.pairs.drive_all()
        self.actions.recover()
        self.hedges.recover()
        self.quotes.recover()
        self.repricing.recover()
        for position in core.state.positions.values():
            if position.size > 0 and not core.state.markets[position.condition_id].settled:
                core.ask_balance(position.token_id)
        for key, due in core.state.obligations.items():
            core.at_market(due, "obligation", key)
        for position in list(core.state.positions.values()):
            if position.closing and position.size > 0 and not core.state.markets[position.condition_id].settled:
                self._close(position, position.closing)  # the operator said so, in an earlier run

    def _charge_builder(self, builder: Builder | UnsetType) -> None:
        """Every market from now on is charged for this builder code, those of earlier runs too (CON-18)."""
        core = self._core
        core.builder = builder
        for condition_id, entry in core.state.markets.items():
            if not entry.settled and entry.market.fees.builder != builder:
                wanted = None if builder is UNSET else builder
                core.record(MarketChanged(core.now, condition_id, cause="builder", builder=wanted))

    def _ending(self, event: RunEnding) -> None:
        """Entries end and resting buys go; exits stay, positions keep their obligations."""
        core = self._core
        if core.ending:
            return
        core.ending = event.reason
        for condition_id in list(core.state.open_refs):
            self._cancel_buys(condition_id, None)

    def ended(self, now: int, reason: str) -> Step:
        """The run is over: the last record of it."""
        core = self._core
        core.now = now
        core.record(RunEnded(now, core.state.run_id, reason))
        return core.take()

    def _market_found(self, event: MarketFound) -> None:
        core = self._core
        market = structs.replace(event.market, fees=event.market.fees.of(core.builder))
        wanted = self.adoption.wants(market)
        if market.condition_id in core.state.markets or wanted is False or (market.end <= core.now and not wanted):
            return
        core.record(MarketAdded(core.now, market, market.start is None or core.now <= market.start))
        self._follow(core.state.markets[market.condition_id])
        core.tell("on_market", market.condition_id, None)
        self.adoption.found(market.condition_id)

    def _follow(self, entry: MarketState) -> None:
        core = self._core
        market = entry.market
        if market.condition_id in core.data:
            return
        book = self._feed.add(market.condition_id, market.up, market.down)
        core.data[market.condition_id] = MarketData(book, self._feed.lanes[market.up].prints)
        core.command(Follow(market))
        first = core.now if market.start is None else max(core.now, market.start)
        core.at_market(first, "eval", market.condition_id)
        core.at_market(core.now - core.now % MINUTE_MS + MINUTE_MS, "minute", market.condition_id)
        core.at_market(max(market.end, core.now), "end", market.condition_id)
        if market.symbol and market.start is not None:
            self._opening.setdefault(market.symbol, []).append(market.condition_id)

    def _open_prices(self, symbol: str, waiting: list[str], price: int, stamp: int) -> None:
        """The first spot price at or after a window's start (and close to it) is its opening price."""
        left = []
        for condition_id in waiting:
            entry, data = self._core.market(condition_id), self._core.data.get(condition_id)
            if entry is None or data is None or entry.market.start is None:
                continue
            if stamp < entry.market.start:
                left.append(condition_id)
            elif stamp <= entry.market.start + OPENING_MS:
                data.spot_open = price
        self._opening[symbol] = left

    def _stream(self, event: StreamChanged) -> None:
        core = self._core
        if event.stream == "user":
            if not event.up:
                self._unseen_since = min(self._unseen_since, core.state.last_match_s or core.now // 1_000)
            core.user_up = event.up
            if event.up:
                self._up_wall = core.wall
                self._sweep_all()
            elif not core.ending:
                self.breakers.disconnected(event.stream)
        elif event.stream == "market":
            core.market_up = event.up
            if not event.up and not core.ending:
                self.breakers.disconnected(event.stream)
            wanted = set(event.tokens)
            for condition_id, data in core.data.items():
                market = core.state.markets[condition_id].market
                if not wanted or market.up in wanted or market.down in wanted:
                    data.book.spoil()

    def _sweep_all(self) -> None:
        """Trades since the watermark and all open orders, before entries resume (start equals recover)."""
        core = self._core
        core.reconciling = True
        self._unseen_since = min(self._unseen_since, core.state.last_match_s or core.now // 1_000)
        core.sweep("", max(self._unseen_since - LOOK_BACK_S, 0))
        if core.wall >= self._resweep_wall:
            self._resweep_wall = core.wall + RESWEEP_MS
            core.at_wall(self._resweep_wall, "resweep", "")

    def _sweep_done(self, event: SweepDone) -> None:
        self.flow.sweep_done(event)
        self.reconciliation.swept(event)
        # One that left before the stream came up (again) may not show what was missed since.
        whole = event.complete and event.begun >= self._up_wall
        if not event.condition_id and self._core.reconciling and not whole:
            why = "it left before the stream was up" if event.complete else "it was not whole"
            self._core.notice("second_pass", "", f"Orders and trades are compared with the venue once more: {why}")
        if not event.condition_id and whole:
            self._core.reconciling = False
            if self._core.user_up:
                self._unseen_since = NEVER
            self.adoption.compared()

    def _balance(self, event: BalanceSeen) -> None:
        core = self._core
        fresh = core.fresh
        if not core.state.opened:
            core.record(ledger.deposit(core.now, core.account, event.collateral))
        if fresh.approved and not event.approved:
            core.notice("approval", "", "The exchange may not spend the collateral: approval missing")
        if event.approved and not fresh.approved:
            self.blocking.approved()
        fresh.collateral, fresh.collateral_wall, fresh.approved = event.collateral, core.wall, event.approved

    def _reward(self, event: RewardPaid) -> None:
        """Liquidity rewards arrived: booked once, and not at all when the books were opened with them."""
        core = self._core
        if event.ref in core.state.rewards or not core.state.opened or event.paid_at < core.state.opened_at:
            return
        core.record(ledger.reward(core.now, event.ref, event.amount))
        core.notice(
            "reward_paid", event.ref, f"The venue paid {money_text(event.amount)} of liquidity rewards"
        )

    def _token_balance(self, event: TokenBalanceSeen) -> None:
        core = self._core
        seen = core.fresh.tokens.get(event.token_id)
        core.fresh.tokens[event.token_id] = (event.balance, core.wall)
        self.reconciliation.balance_seen(event)
        self.adoption.balance_seen(event)
        if seen is not None and seen[0] == event.balance:
            # Nothing new: driving now would only ask again at once; the position's own timer asks in its time.
            return
        for position in core.state.positions.values():
            if position.token_id == event.token_id and position.size > 0:
                self.exits.hopeful(position.condition_id, position.side)
                self.exits.drive(position.condition_id, position.side)

    def _query_failed(self, event: QueryFailed) -> None:
        """A query without an answer changes nothing; whoever asked has a deadline of its own and asks again."""
        self._core.notice(
            "query_failed", event.what, f"The venue did not answer a query ({event.what}): {event.reason}"
        )

    def _told(self, event: PluginTold) -> None:
        core = self._core
        if event.problem:
            self.strikes[event.plugin] = self.strikes.get(event.plugin, 0) + 1
            core.notice(
                "plugin_failed", f"{event.plugin}:{event.hook}",
                f"Plugin {event.plugin} failed in {event.hook}: {event.problem}",
            )
        if event.changes:
            core.record(PluginStateSet(core.now, event.plugin, event.changes))
        for notice in event.notices:
            if event.hook != "on_notice":  # a notice about a notice would never end
                core.plugin_notice(event.plugin, notice)

    def _struck(self, event: PluginStruck) -> None:
        self.strikes[event.plugin] = self.strikes.get(event.plugin, 0) + 1
        self.plugin_life.struck(event)

    def _operator(self, event: Operator) -> None:
        core = self._core
        core.record(OperatorSaid(core.now, event.word, event.target, event.who, event.flatten, event.why))
        match event.word:
            case "pause":
                core.record(EntriesBlocked(core.now, "pause", True, f"paused {_by(event)}"))
            case "resume":
                for name in [event.target] if event.target else list(core.state.blocked):
                    if name in core.state.blocked:
                        core.record(EntriesBlocked(core.now, name, False, f"cleared {_by(event)}"))
                    elif event.target:
                        core.notice("word_unknown", f"resume {name}", f"No breaker to clear: {name!r} blocks nothing")
                if not event.target:
                    self.flow.unknown.release_slots()
            case "kill":
                core.record(EntriesBlocked(core.now, "killed", True, f"killed {_by(event)}"))
                for condition_id in list(core.state.open_refs):
                    for order in core.state.open_orders(condition_id):
                        self.flow.cancel(order, for_good=True)
                core.ending = KILL
                self.pairs.drive_all()
                if event.target == "all":
                    core.command(CancelEverything())
                if event.flatten:
                    self._close_positions("", KILL)
            case "merge" | "redeem":
                self.actions.operator(event.word, event.target, event.who)
            case "close":
                if not self._close_positions(event.target, "operator") and event.target:
                    core.notice(
                        "word_unknown", f"close {event.target}", f"No position to close is open in {event.target!r}"
                    )
            case "cancel":
                self._cancel_for_operator(event.target)
            case word:
                core.notice("word_unknown", word, f"Unknown word of the operator: {word!r}")

    def _cancel_for_operator(self, target: str) -> None:
        """Cancel one order of ours by its name or its venue id, or all; what is wanted after that is wanted anew."""
        state = self._core.state
        if target == "all":
            orders = [order for condition_id in list(state.open_refs) for order in state.open_orders(condition_id)]
        else:
            named = state.orders.get(target) or state.by_order_id(target)
            orders = [] if named is None else [named]
            if named is None:
                self._core.notice("word_unknown", f"cancel {target}", f"No order of ours is {target!r}")
        for order in orders:
            self.flow.cancel(order, for_good=True)

    def _close_positions(self, slug: str, reason: str) -> bool:
        """Those of a market, or (empty slug) all; False: there is none."""
        core, found = self._core, False
        for position in list(core.state.positions.values()):
            entry = core.state.markets[position.condition_id]
            if position.size > 0 and not entry.settled and slug in ("", entry.market.slug):
                found = True
                self._close(position, reason)
        return found

    def _close(self, position: PositionEntry, reason: str) -> None:
        """Sell all of it at market, whatever was meant with it."""
        self.pairs.dissolve(position.condition_id)
        self.exits.now(position.condition_id, ExitNow(position.side, reason, "forced_close"), forced=True)

    def _settle_late(self, condition_id: str, side: Side) -> None:
        close = self.settlement.pay(condition_id, side)
        position = self._core.state.position(condition_id, side)
        if close is not None and position is not None:
            self._core.notice(
                "late_settle", condition_id,
                f"A fill came or failed after the result; P&L of that side is now {money_text(position.pnl)}",
                condition_id,
            )

    def _orders_changed(self, condition_id: str, side: Side) -> None:
        """Orders or the position of one side changed: whatever stands there takes its next step. Exits first."""
        self.exits.drive(condition_id, side)
        self.pairs.drive(condition_id)
        self.hedges.drive(condition_id)
        self.quotes.drive(condition_id)
        self.repricing.drive(condition_id)

    def _sell_refused(self, order: OrderEntry, code: str, text: str) -> None:
        """A quote that was refused waits by itself; it is no exit that failed."""
        if order.slot.purpose is not Purpose.QUOTE:
            self.exits.refused(order, code, text)

    def spot_of(self, symbol: str) -> Spot | None:
        return self._core.spots.get(symbol)


def _by(said: Operator) -> str:
    """Who said it, and the reason that was given: it is read wherever the block is shown."""
    who = f"by {said.who or 'the operator'}"
    return f"{who}: {said.why}" if said.why else who


def _leaves(order: OrderEntry) -> bool:
    """Is it a sell that leaves a position, and no quote?"""
    return order.draft.action is Action.SELL and order.slot.purpose is not Purpose.QUOTE


def _covers(cancel: CancelOrders, answer: object) -> bool:
    """Does this cancel mean the quote too?"""
    return (
        isinstance(answer, QuoteTarget) and answer.action is Action.BUY and not cancel.ref
        and cancel.side in (None, answer.side)
    )
