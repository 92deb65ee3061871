"""The durable half of the kernel: the fold of its records, changed by ``apply`` and by nothing else.

The same reducer runs live, in recovery and in tests, so ``state == fold(records)`` holds by construction. Everything
here can be shown, compared and rebuilt; what decisions saw lives in the records, what feeds rebuild lives elsewhere.

What nobody asks for any more is put away by the reducer itself, so that a host may run for months (decision 0020): the
bytes of a closed order, and with its market's result the reasons of its orders, its slots, and the trades that are
final. That an order or a trade is ours, and what became of it, stays for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, assert_never

from msgspec import UNSET, Struct, field, structs

from polyhost.kernel.orders import TRANSITIONS
from polyhost.kernel.pair_table import pair_moved
from polyhost.model.days import DayFigures
from polyhost.model.gateway import OrderDraft, OrderRequest
from polyhost.model.market import Market
from polyhost.model.money import Micros, Ticks
from polyhost.model.records import (
    ActionIntended,
    ActionMoved,
    AuditTaken,
    CloseRecorded,
    DayBegan,
    DeliveryNoted,
    EarningsReported,
    EntriesBlocked,
    FillBooked,
    FillMoved,
    ForeignSeen,
    HeldDeclared,
    LedgerPosted,
    MarketAdded,
    MarketChanged,
    MarketSettled,
    NoticeRaised,
    ObligationMet,
    ObligationSet,
    OperatorSaid,
    OrderIntended,
    OrderMoved,
    OrderPrepared,
    OrderReposted,
    PairMoved,
    PairOpened,
    PluginMoved,
    PluginStateSet,
    PositionAdopted,
    PositionCorrected,
    Record,
    RunEnded,
    RunStarted,
    Slot,
    SlotReleased,
    UnexplainedSeen,
)
from polyhost.model.words import Action, ActionKind, ActionState, OrderState, PairState, Purpose, Side, TradeStatus

KEYED: Final = (Purpose.GRID_LEVEL, Purpose.QUOTE)
"""Purposes whose slots of one side differ by key."""
UNFILLED: Final = "cancelled_unfilled"
"""How a resting entry ends that met nobody (ENT-05)."""
FINAL: Final = (TradeStatus.CONFIRMED, TradeStatus.FAILED)
"""How a trade ends: nothing changes it any more."""
PAIR_KIND: Final = "pair"
"""Of ``HeldDeclared``: so many shares of a side pair off with the other side."""


class MarketState(Struct):
    """A market we follow or followed."""

    market: Market
    from_open: bool
    strike: int | None = None
    accepting: bool = True
    closed_at: int | None = None
    """When it was first known to take no more orders, market ms."""
    settled: bool = False
    winner: Side | None = None
    final: int | None = None
    entries: int = 0
    exits: int = 0
    audited: bool = False
    """Our P&L of it was compared with the venue's."""
    rev: int = 0
    """Rises with every durable change that concerns this market (``state_rev`` of a view)."""


class OrderEntry(Struct):
    """An order of ours, for ever."""

    ref: str
    slot: Slot
    draft: OrderDraft
    reserve: Micros
    """Collateral still reserved."""
    placed_at: int
    why: dict[str, str]
    """Empty once its market is settled; the journal has it."""
    state: OrderState = OrderState.INTENDED
    order_id: str = ""
    """The venue's; empty until it is signed."""
    request: OrderRequest | None = None
    """Everything to post it with; None before it is signed and after its end, from which no post of it ever leaves."""
    told: Micros = 0
    """Cumulative size matched as the venue told it."""
    traded: Micros = 0
    """Sum of own trades not FAILED."""
    failed: Micros = 0
    """Sum of own trades FAILED: the venue's cumulative size may count them for ever."""
    present: bool = False
    was_unknown: bool = False
    was_absent: bool = False
    """It was proved absent once (U6)."""
    posts: int = 0
    """Times its bytes were given out to be sent (U5); 1 from its signature on."""
    cause: str = ""
    valid_until: int = 0
    """A resting buy's life ends at this market ms; 0: it has no end of its own."""

    @property
    def done(self) -> Micros:
        """What is certainly sold or bought (T3)."""
        return max(self.told - self.failed, self.traded)

    @property
    def missing(self) -> bool:
        """The venue told of more than the trades we have seen."""
        return self.traded + self.failed < self.told

    @property
    def open(self) -> bool:
        return self.state is not OrderState.CLOSED

    @property
    def open_upper(self) -> Micros:
        """The most that may still match."""
        return max(self.draft.size - self.done, 0) if self.open else 0


class UnfilledEntry(Struct):
    """The latest first entry of a market, which rested and ended without a fill."""

    ref: str
    at: int
    """Market ms of its proved end."""


class SlotLock(Struct):
    """A slot whose order was unknown."""

    slot: Slot
    at: int
    """Market ms."""
    why: str


class FillEntry(Struct):
    fill: FillBooked
    status: TradeStatus


class PositionEntry(Struct):
    """What we hold of one token; sizes in micro-shares, money in micro-units."""

    condition_id: str
    side: Side
    token_id: str
    bought: Micros = 0
    sold: Micros = 0
    settled: Micros = 0
    """Bought and CONFIRMED."""
    paid: Micros = 0
    """For everything bought, without fees."""
    received: Micros = 0
    """For everything sold, without fees."""
    fees: Micros = 0
    entry_fees: Micros = 0
    opened_at: int = 0
    held: str = ""
    closed: bool = False
    closed_at: int = 0
    """When it was last closed, market ms."""
    exit_reason: str = ""
    pnl: Micros = 0
    """Of all its closes recorded so far; their sum is what the position brought."""
    merged: Micros = 0
    """Turned back into collateral together with the other side."""
    split: Micros = 0
    """Of what was bought: made from collateral together with the other side."""
    spot_entry: int | None = None
    """The symbol's spot price when it was opened, in 1e-8; None: not known."""
    adopted: Micros = 0
    """Of ``bought``, what was there before us."""
    taken: Micros = 0
    """Of ``sold``, what left without a trade of ours."""
    paired: Micros = 0
    """Of its size, held because it pairs off with the other side (a pair pays 1.00 whatever happens)."""
    put_away: Micros = 0
    """Of its size, what came of trades that are put away (``State.final``)."""
    closing: str = ""
    """The operator's close or flatten of it, until it is closed: a restart goes on with it."""

    @property
    def size(self) -> Micros:
        """Matched exposure."""
        return self.bought - self.sold - self.merged

    @property
    def inventory(self) -> Micros:
        """Settled shares, as the chain should show them."""
        return self.settled - self.sold - self.merged

    @property
    def loose(self) -> Micros:
        """Of its size, what does not pair off: what exits sell and obligations are about."""
        return self.size - self.paired

    @property
    def average(self) -> Ticks:
        """Fee-aware average entry price in ticks, rounded up."""
        return -(-(self.paid + self.entry_fees) * 10_000 // self.bought) if self.bought else 0

    @property
    def cost(self) -> Micros:
        """Collateral paid for what is still held, fees included, rounded up."""
        return -(-(self.paid + self.entry_fees) * self.size // self.bought) if self.bought else 0


class ForeignEntry(Struct):
    """A holding of this wallet that is not ours."""

    condition_id: str
    slug: str
    size: Micros
    cost: Micros


class PairEntry(Struct):
    """Two legs (ORD-13), for ever."""

    ref: str
    condition_id: str
    first: Side
    size: Micros
    up_price: Ticks
    down_price: Ticks
    reserve: Micros
    """Still reserved for legs that are no orders yet."""
    plugin: str
    reason: str
    opened_at: int
    moved_at: int
    """When it came into its state, market ms."""
    state: PairState = PairState.FIRST
    cause: str = ""
    first_order: str = ""
    second_order: str = ""
    over_at: int = 0
    """When the second leg's order was over, market ms; 0: it is not, or there was none."""
    paired: Micros = 0
    left: Micros = 0

    @property
    def open(self) -> bool:
        return self.state is not PairState.DONE

    def price(self, side: Side) -> Ticks:
        """Worst price of a leg."""
        return self.up_price if side is Side.UP else self.down_price


class ActionEntry(Struct):
    """A merge, redeem or split, for ever."""

    ref: str
    kind: ActionKind
    condition_id: str
    size: Micros
    by: str
    reason: str
    at: int
    paired_before: Micros = 0
    state: ActionState = ActionState.INTENDED
    cause: str = ""
    transaction: str = ""

    @property
    def open(self) -> bool:
        return self.state in (ActionState.INTENDED, ActionState.UNKNOWN)

    @property
    def reserve(self) -> Micros:
        """Collateral a split still reserves."""
        return self.size if self.open and self.kind is ActionKind.SPLIT else 0


class Outgoing(Struct):
    """A notice that somebody is still to be told."""

    notice: NoticeRaised
    owed: list[str]
    """Channels that have not taken it yet."""


class State(Struct):
    """Everything durable."""

    account: str = ""
    runs: int = 0
    run_id: str = ""
    opened: bool = False
    opened_at: int = 0
    """Market ms of the books' start: what was paid before is in the first balance."""
    rewards: dict[str, None] = field(default_factory=dict)
    """Payouts of liquidity rewards that are booked, by their names."""
    markets: dict[str, MarketState] = field(default_factory=dict)
    orders: dict[str, OrderEntry] = field(default_factory=dict)
    by_id: dict[str, str] = field(default_factory=dict)
    """Venue order id → ref."""
    open_refs: dict[str, list[str]] = field(default_factory=dict)
    """Condition id → refs of orders that are not closed, oldest first."""
    refs: dict[str, list[str]] = field(default_factory=dict)
    """Condition id → refs of all its orders, oldest first, until it is settled."""
    whole: bool = False
    """Nothing is put away: for who reads the past."""
    fills: dict[str, FillEntry] = field(default_factory=dict)
    """``trade_id/ref`` → fill, until it is put away."""
    final: dict[str, TradeStatus] = field(default_factory=dict)
    """The same → how it ended, of settled markets: nothing about them is news any more, and none is booked twice."""
    unsettled: dict[str, str] = field(default_factory=dict)
    """Fills neither CONFIRMED nor FAILED → condition id."""
    positions: dict[str, PositionEntry] = field(default_factory=dict)
    """``condition_id:SIDE`` → position."""
    ledger: dict[str, Micros] = field(default_factory=dict)
    """``account/asset`` → balance."""
    obligations: dict[str, int] = field(default_factory=dict)
    """``condition_id:SIDE`` → due, market ms."""
    slots_used: dict[str, int] = field(default_factory=dict)
    """``condition_id:SIDE:purpose`` → orders ever intended there."""
    slots_filled: dict[str, Micros] = field(default_factory=dict)
    """``filled_key`` of a slot → shares bought through it; of a grid's levels since their side was last flat."""
    slots_locked: dict[str, SlotLock] = field(default_factory=dict)
    """``lock_key`` of a slot → why it takes no further entry in that window (U7)."""
    unfilled: dict[str, UnfilledEntry] = field(default_factory=dict)
    """Condition id → its resting entry that ended without a fill, until something is entered or bought there again."""
    blocked: dict[str, str] = field(default_factory=dict)
    """What blocks new exposure until an operator clears it → why."""
    quarantined: dict[str, str] = field(default_factory=dict)
    """Plugins out of service until an operator lets them in again → why."""
    shut: dict[str, str] = field(default_factory=dict)
    """What the venue said that blocks new exposure, and clears by itself → why; nothing of it outlives a run."""
    pairs: dict[str, PairEntry] = field(default_factory=dict)
    open_pairs: dict[str, str] = field(default_factory=dict)
    """Condition id → ref of the pair that is under way there; at most one."""
    actions: dict[str, ActionEntry] = field(default_factory=dict)
    open_actions: dict[str, str] = field(default_factory=dict)
    """Condition id → ref of the merge, redeem or split that is under way there; at most one."""
    unredeemed: dict[str, Micros] = field(default_factory=dict)
    """Condition id → what its shares pay and nobody has redeemed yet."""
    plugin_state: dict[str, dict[str, str]] = field(default_factory=dict)
    closes: list[CloseRecorded] = field(default_factory=list)
    exposed: dict[str, None] = field(default_factory=dict)
    """Unsettled markets in which an order of ours was ever intended, oldest first."""
    unexplained: dict[str, Micros] = field(default_factory=dict)
    """Token id → shares the venue shows beyond the position: never sold, never averaged in."""
    foreign: dict[str, ForeignEntry] = field(default_factory=dict)
    """Token id → holdings that are not ours."""
    earned: dict[str, tuple[Micros, Micros]] = field(default_factory=dict)
    """``day:condition_id`` (days since 1970) → rewards and rebates that the venue says it brought."""
    builder_paid: dict[str, Micros] = field(default_factory=dict)
    """Builder code → what fills of orders with it cost for it (CON-18)."""
    order_count: int = 0
    notice_count: int = 0
    outbox: dict[str, Outgoing] = field(default_factory=dict)
    """Notice id → what is not delivered everywhere yet, oldest first."""
    last_match_s: int = 0
    day: int = -1
    """Days since 1970 (UTC) of the latest day begun."""
    today: DayFigures = DayFigures()
    yesterday: DayFigures | None = None
    """The day before ``today``; None: there was none."""
    day_equity: Micros = 0
    day_pnl: Micros = 0
    """Realised since the day began, fees included."""

    def balance(self, account: str, asset: str = "cash") -> Micros:
        return self.ledger.get(f"{account}/{asset}", 0)

    def position(self, condition_id: str, side: Side) -> PositionEntry | None:
        return self.positions.get(f"{condition_id}:{side}")

    def open_orders(self, condition_id: str) -> list[OrderEntry]:
        return [self.orders[ref] for ref in self.open_refs.get(condition_id, ())]

    def open_pair(self, condition_id: str) -> PairEntry | None:
        ref = self.open_pairs.get(condition_id)
        return self.pairs[ref] if ref is not None else None

    def open_action(self, condition_id: str) -> ActionEntry | None:
        ref = self.open_actions.get(condition_id)
        return self.actions[ref] if ref is not None else None

    def by_order_id(self, order_id: str) -> OrderEntry | None:
        ref = self.by_id.get(order_id)
        return self.orders[ref] if ref is not None else None


def slot_key(slot: Slot) -> str:
    return f"{slot.condition_id}:{slot.side}:{slot.purpose}"


def lock_key(slot: Slot) -> str:
    """Which slots a lock holds: a window and side has one entry or leg whatever its key, a grid as many as levels."""
    return f"{slot_key(slot)}:{slot.key}" if slot.key and slot.purpose in KEYED else slot_key(slot)


def filled_key(slot: Slot) -> str:
    return f"{slot_key(slot)}:{slot.key}"


def fold(records: Iterable[Record], *, whole: bool = False) -> State:
    """The state after these records, in order. ``whole``: with all that was ever known, for who reads the past."""
    state = State(whole=whole)
    for record in records:
        apply(state, record)
    return state


def folding(records: Iterable[Record]) -> Iterator[tuple[Record, State]]:
    """Each record with the state as it is after it: one state, which goes on changing, and nothing of it is put away.
    """
    state = State(whole=True)
    for record in records:
        apply(state, record)
        yield record, state


def apply(state: State, record: Record) -> None:
    """The one reducer: what the record says becomes true. Raises AssertionError for a record that cannot be true."""
    match record:
        case LedgerPosted():
            _post(state, record)
        case FillBooked():
            _book_fill(state, record)
        case FillMoved():
            _move_fill(state, record)
        case OrderIntended():
            _intend(state, record)
        case OrderPrepared():
            order = state.orders[record.ref]
            assert order.state is OrderState.INTENDED, (record.ref, order.state)
            order.state = OrderState.PREPARED
            order.request, order.order_id = record.request, record.request.order_id
            order.posts = 1
            state.by_id[record.request.order_id] = record.ref
            _touch(state, order.slot.condition_id)
        case OrderMoved():
            _move_order(state, record)
        case OrderReposted():
            _repost(state, record)
        case SlotReleased():
            state.slots_locked.pop(lock_key(record.slot), None)
            _touch(state, record.slot.condition_id)
        case MarketAdded():
            market = record.market
            state.markets[market.condition_id] = MarketState(market, record.from_open, accepting=market.accepting)
        case MarketChanged():
            _change_market(state, record)
        case MarketSettled():
            entry = state.markets[record.condition_id]
            assert not entry.settled, record.condition_id
            entry.settled, entry.accepting = True, False
            entry.winner, entry.final = record.winner, record.final
            if entry.entries:
                _count(state, windows=1)
            state.exposed.pop(record.condition_id, None)
            state.unfilled.pop(record.condition_id, None)
            _touch(state, record.condition_id)
            _put_away(state, record.condition_id)
        case ObligationSet():
            state.obligations[f"{record.condition_id}:{record.side.value}"] = record.due
        case ObligationMet():
            state.obligations.pop(f"{record.condition_id}:{record.side.value}", None)
        case HeldDeclared():
            _hold(state, record)
        case PairOpened():
            _open_pair(state, record)
        case PairMoved():
            _move_pair(state, record)
        case ActionIntended():
            _intend_action(state, record)
        case ActionMoved():
            _move_action(state, record)
        case CloseRecorded():
            position = state.positions[f"{record.condition_id}:{record.side.value}"]
            position.closed, position.exit_reason, position.closing = True, record.exit_reason, ""
            position.closed_at = record.at
            position.pnl += record.pnl
            state.closes.append(record)
            state.day_pnl += record.pnl
            _count(state, pnl=record.pnl)
        case PositionCorrected():
            _correct(state, record)
        case PositionAdopted():
            _adopt(state, record)
        case UnexplainedSeen():
            if record.size:
                state.unexplained[record.token_id] = record.size
            else:
                state.unexplained.pop(record.token_id, None)
        case ForeignSeen():
            if record.size:
                state.foreign[record.token_id] = ForeignEntry(
                    record.condition_id, record.slug, record.size, record.cost
                )
            else:
                state.foreign.pop(record.token_id, None)
        case AuditTaken():
            state.markets[record.condition_id].audited = True
        case DayBegan():
            state.yesterday = state.today if state.day >= 0 else None
            state.today = DayFigures(record.day)
            state.day, state.day_equity, state.day_pnl = record.day, record.equity, 0
        case PluginStateSet():
            stored = state.plugin_state.setdefault(record.plugin, {})
            for key, value in record.changes.items():
                if value is None:
                    stored.pop(key, None)
                else:
                    stored[key] = value
        case EntriesBlocked():
            known = state.blocked if record.lasting else state.shut
            if record.on and record.lasting and record.name not in state.today.breakers:
                state.today = structs.replace(state.today, breakers=(*state.today.breakers, record.name))
            if record.on:
                known[record.name] = record.reason
            else:
                known.pop(record.name, None)
        case RunStarted():
            state.runs += 1
            state.account, state.run_id = record.account, record.run_id
            state.shut.clear()
        case EarningsReported():
            state.earned[f"{record.day}:{record.condition_id}"] = (record.rewards, record.rebates)
        case NoticeRaised():
            state.notice_count += 1
            if record.channels:
                state.outbox[record.notice_id] = Outgoing(record, list(record.channels))
        case DeliveryNoted():
            outgoing = state.outbox[record.notice_id]
            outgoing.owed.remove(record.channel)
            if not outgoing.owed:
                del state.outbox[record.notice_id]
        case OperatorSaid():
            _close_all(state, record)
        case PluginMoved():
            if record.change == "quarantined":
                state.quarantined[record.plugin] = record.why
            else:
                state.quarantined.pop(record.plugin, None)
        case RunEnded():
            pass  # a fact for people
        case _:
            assert_never(record)


def _put_away(state: State, condition_id: str) -> None:
    """A market was decided: what nobody asks for any more of it leaves the memory."""
    refs = state.refs.pop(condition_id, ())
    if state.whole:
        return
    for ref in refs:
        state.orders[ref].why = {}
    for key in [key for key, entry in state.fills.items() if entry.fill.slot.condition_id == condition_id]:
        _put_away_fill(state, key)
    for slots in (state.slots_used, state.slots_filled, state.slots_locked):
        for name in [name for name in slots if name.startswith(f"{condition_id}:")]:
            del slots[name]


def _put_away_fill(state: State, key: str) -> None:
    """A trade that is final, of a settled market: of it stays that it was booked, and what it was to its position."""
    entry = state.fills[key]
    fill = entry.fill
    market = state.markets.get(fill.slot.condition_id)
    if state.whole or entry.status not in FINAL or market is None or not market.settled:
        return
    del state.fills[key]
    state.final[key] = entry.status
    if entry.status is TradeStatus.CONFIRMED:
        position = state.positions[f"{fill.slot.condition_id}:{fill.slot.side.value}"]
        position.put_away += fill.size if fill.action is Action.BUY else -fill.size


def _close_all(state: State, record: OperatorSaid) -> None:
    """A close or a flatten stands until its positions are gone; the other words' effects are in records beside them."""
    if record.word == "close":
        slug, reason = record.target, "operator"
    elif record.word == "kill" and record.flatten:
        slug, reason = "", "kill"
    else:
        return
    for position in state.positions.values():
        entry = state.markets[position.condition_id]
        if position.size > 0 and not entry.settled and slug in ("", entry.market.slug):
            position.closing = reason


def _count(state: State, **more: int) -> None:
    """Add to the day's figures."""
    today = state.today
    state.today = structs.replace(today, **{name: getattr(today, name) + count for name, count in more.items()})


def _touch(state: State, condition_id: str) -> None:
    entry = state.markets.get(condition_id)
    if entry is not None:
        entry.rev += 1


def _post(state: State, record: LedgerPosted) -> None:
    sums: dict[str, int] = {}
    ledger = state.ledger
    for entry in record.entries:
        sums[entry.asset] = sums.get(entry.asset, 0) + entry.delta
        key = f"{entry.account}/{entry.asset}"
        balance = ledger.get(key, 0) + entry.delta
        if balance:
            ledger[key] = balance
        else:
            ledger.pop(key, None)
        if entry.account == "unredeemed":
            condition_id = record.ref.partition(":")[0]
            state.unredeemed[condition_id] = state.unredeemed.get(condition_id, 0) + entry.delta
    assert not any(sums.values()), f"unbalanced posting {record}"
    if record.cause == "deposit":
        state.opened, state.opened_at = True, record.at
    elif record.cause == "reward":
        state.rewards[record.ref] = None
        _count(state, rewards=-sum(entry.delta for entry in record.entries if entry.account == "rewards"))


def _intend(state: State, record: OrderIntended) -> None:
    ref = record.draft.ref
    assert ref not in state.orders, ref
    slot = record.slot
    state.orders[ref] = OrderEntry(
        ref, slot, record.draft, record.reserve, record.at, record.why, valid_until=record.valid_until
    )
    state.open_refs.setdefault(slot.condition_id, []).append(ref)
    state.refs.setdefault(slot.condition_id, []).append(ref)
    if slot.condition_id in state.markets and not state.markets[slot.condition_id].settled:
        state.exposed[slot.condition_id] = None
    key = slot_key(slot)
    state.slots_used[key] = state.slots_used.get(key, 0) + 1
    if slot.purpose is Purpose.ENTRY:
        state.unfilled.pop(slot.condition_id, None)
    state.order_count += 1
    _touch(state, slot.condition_id)


def _hold(state: State, record: HeldDeclared) -> None:
    position = state.positions[f"{record.condition_id}:{record.side.value}"]
    if record.kind == PAIR_KIND:
        assert 0 <= record.size <= position.size, record
        position.paired = record.size
    else:
        position.held, position.closing = record.kind, ""
    _touch(state, record.condition_id)


def _correct(state: State, record: PositionCorrected) -> None:
    position = state.positions[f"{record.condition_id}:{record.side.value}"]
    assert 0 < record.size <= position.size - position.paired, record
    position.sold += record.size
    position.taken += record.size
    position.received += record.cost
    _touch(state, record.condition_id)


def _adopt(state: State, record: PositionAdopted) -> None:
    asset = f"{record.condition_id}:{record.side.value}"
    assert asset not in state.positions, record
    state.positions[asset] = PositionEntry(
        record.condition_id, record.side, record.token_id, bought=record.size, settled=record.size, paid=record.cost,
        adopted=record.size, opened_at=record.at,
    )
    state.exposed[record.condition_id] = None
    _touch(state, record.condition_id)


def _open_pair(state: State, record: PairOpened) -> None:
    assert record.ref not in state.pairs, record
    assert record.condition_id not in state.open_pairs, record
    state.pairs[record.ref] = PairEntry(
        record.ref, record.condition_id, record.first, record.size, record.up_price, record.down_price, record.reserve,
        record.plugin, record.reason, record.at, record.at,
    )
    state.open_pairs[record.condition_id] = record.ref
    state.exposed[record.condition_id] = None
    _touch(state, record.condition_id)


def _move_pair(state: State, record: PairMoved) -> None:
    pair = state.pairs[record.ref]
    if record.cause == "first":
        assert pair.state is PairState.FIRST, record
        assert not pair.first_order, record
        pair.first_order = record.order
    else:
        assert pair_moved(pair.state, record.cause) is record.state, (record, pair.state)
        if record.cause == "second":
            pair.second_order = record.order
        elif record.cause == "over":
            pair.over_at = record.at
    pair.state, pair.cause, pair.moved_at = record.state, record.cause, record.at
    pair.reserve -= record.release
    assert pair.reserve >= 0, record
    if not pair.open:
        assert pair.reserve == 0, record
        pair.paired, pair.left = record.paired, record.left
        state.open_pairs.pop(pair.condition_id)
    _touch(state, pair.condition_id)


def _intend_action(state: State, record: ActionIntended) -> None:
    assert record.ref not in state.actions, record
    assert record.condition_id not in state.open_actions, record
    state.actions[record.ref] = ActionEntry(
        record.ref, record.kind, record.condition_id, record.size, record.by, record.reason, record.at,
        record.paired_before,
    )
    state.open_actions[record.condition_id] = record.ref
    if record.kind is ActionKind.SPLIT:
        state.exposed[record.condition_id] = None
    _touch(state, record.condition_id)


def _move_action(state: State, record: ActionMoved) -> None:
    action = state.actions[record.ref]
    assert action.open, record
    action.state, action.cause = record.state, record.cause
    action.transaction = record.transaction or action.transaction
    if not action.open:
        state.open_actions.pop(action.condition_id)
    settled = state.markets[action.condition_id].settled
    if record.state is ActionState.DONE and (
        action.kind is ActionKind.SPLIT or (action.kind is ActionKind.MERGE and not settled)
    ):  # of a market that was decided meanwhile the pairs were paid out already
        for side, money in ((Side.UP, record.up_money), (Side.DOWN, record.down_money)):
            _merge_or_split(state, action, side, money, record.at)
    _touch(state, action.condition_id)


def _merge_or_split(state: State, action: ActionEntry, side: Side, money: Micros, at: int) -> None:
    """What a merge or split that is done means for one side."""
    asset = f"{action.condition_id}:{side.value}"
    position = state.positions.get(asset)
    if action.kind is ActionKind.MERGE:
        assert position is not None, asset
        assert action.size <= position.paired, (action, position)
        position.merged += action.size
        position.paired -= action.size
        position.received += money
        if position.size <= 0:
            _clear_grid(state, position)
        return
    if position is None:
        token = state.markets[action.condition_id].market.token(side)
        position = state.positions[asset] = PositionEntry(action.condition_id, side, token, opened_at=at)
    if position.size <= 0:
        position.closed, position.held, position.exit_reason, position.closing = False, "", "", ""
        position.opened_at = at
    position.bought += action.size
    position.split += action.size
    position.settled += action.size
    position.paid += money


def _move_order(state: State, record: OrderMoved) -> None:
    order = state.orders[record.ref]
    assert TRANSITIONS[order.state].get(record.cause) is record.state, (record, order.state)
    reopened = not order.open
    assert not reopened or order.cause == "absent", (record, order.cause)
    order.state, order.cause = record.state, record.cause
    order.told = max(order.told, record.matched)
    order.present = order.present or record.present
    order.reserve -= record.release
    assert order.reserve >= 0, record
    condition_id = order.slot.condition_id
    if record.cause == "unknown":
        order.was_unknown = True
        if order.draft.action is Action.BUY:
            lock = SlotLock(order.slot, record.at, "an order of it was unknown")
            state.slots_locked.setdefault(lock_key(order.slot), lock)
    elif record.cause == "refused":
        _count(state, rejects=1)
    elif record.cause == "absent":
        order.was_absent = True
    elif record.cause == UNFILLED:
        state.unfilled[condition_id] = UnfilledEntry(record.ref, record.at)
    if reopened:
        state.open_refs.setdefault(condition_id, []).append(record.ref)
    elif not order.open:
        state.open_refs[condition_id].remove(record.ref)
        if not state.whole:
            order.request = None
    _touch(state, condition_id)


def _repost(state: State, record: OrderReposted) -> None:
    order = state.orders[record.ref]
    assert order.state is OrderState.UNKNOWN, record
    assert order.draft.order_type.rests, record
    assert record.posts == order.posts + 1, record
    order.posts = record.posts
    _touch(state, order.slot.condition_id)


def _book_fill(state: State, record: FillBooked) -> None:
    key = f"{record.trade_id}/{record.ref}"
    assert key not in state.fills, key
    assert key not in state.final, key
    state.fills[key] = FillEntry(record, record.status)
    order = state.orders[record.ref]
    order.traded += record.size
    order.present = True
    order.reserve -= record.release
    assert order.reserve >= 0, record
    state.last_match_s = max(state.last_match_s, record.at // 1_000)
    slot = record.slot
    asset = f"{slot.condition_id}:{slot.side.value}"
    position = state.positions.get(asset)
    if position is None:
        position = PositionEntry(slot.condition_id, slot.side, record.token_id, opened_at=record.at)
        state.positions[asset] = position
    market = state.markets.get(slot.condition_id)
    position.fees += record.fee
    _count(state, fees=record.fee)
    _pay_builder(state, order, record, 1)
    if record.action is Action.BUY:
        state.unfilled.pop(slot.condition_id, None)
        if position.size <= 0:
            position.closed, position.held, position.exit_reason, position.closing = False, "", "", ""
            position.opened_at, position.spot_entry = record.at, record.spot
        elif position.held == "minimum":
            position.held = ""  # it is no longer the rest that was too small to sell
        if market is None or not market.settled or state.whole:
            bought = filled_key(slot)
            state.slots_filled[bought] = state.slots_filled.get(bought, 0) + record.size
        position.bought += record.size
        position.paid += record.money
        position.entry_fees += record.fee
        if market is not None and order.traded == record.size:
            market.entries += 1
            _count(state, entries=1)
    else:
        position.sold += record.size
        position.received += record.money
        if position.size <= 0:
            _clear_grid(state, position)
        if market is not None and order.traded == record.size:
            market.exits += 1
            _count(state, exits=1)
    if record.status is TradeStatus.CONFIRMED:
        if record.action is Action.BUY:
            position.settled += record.size
        _put_away_fill(state, key)
    else:
        state.unsettled[key] = slot.condition_id
    _touch(state, slot.condition_id)


def _move_fill(state: State, record: FillMoved) -> None:
    key = f"{record.trade_id}/{record.ref}"
    entry = state.fills[key]
    assert entry.status not in FINAL, record
    fill = entry.fill
    entry.status = record.status
    position = state.positions[f"{fill.slot.condition_id}:{fill.slot.side.value}"]
    if record.status is TradeStatus.CONFIRMED:
        state.unsettled.pop(key, None)
        if fill.action is Action.BUY:
            position.settled += fill.size
    elif record.status is TradeStatus.FAILED:
        state.unsettled.pop(key, None)
        _void(state, state.orders[record.ref], position, fill)
        filled = filled_key(fill.slot)
        if fill.action is Action.BUY and filled in state.slots_filled:
            state.slots_filled[filled] = max(state.slots_filled[filled] - fill.size, 0)
    _put_away_fill(state, key)
    _touch(state, fill.slot.condition_id)


def _clear_grid(state: State, position: PositionEntry) -> None:
    """The side is flat: its grid's levels may be used again (GRD-01)."""
    beginning = filled_key(Slot(position.condition_id, position.side, Purpose.GRID_LEVEL))
    for key in [key for key in state.slots_filled if key.startswith(beginning)]:
        del state.slots_filled[key]


def _pay_builder(state: State, order: OrderEntry, fill: FillBooked, sign: int) -> None:
    """What a fill cost for its order's builder code; ``sign`` -1: it did not happen."""
    builder = order.draft.builder
    if fill.builder_fee is not UNSET and builder is not UNSET:
        state.builder_paid[builder.code] = state.builder_paid.get(builder.code, 0) + sign * fill.builder_fee
        _count(state, builder_fees=sign * fill.builder_fee)


def _void(state: State, order: OrderEntry, position: PositionEntry, fill: FillBooked) -> None:
    """The fill did not happen after all."""
    order.traded -= fill.size
    order.failed += fill.size
    position.fees -= fill.fee
    _count(state, fees=-fill.fee)
    _pay_builder(state, order, fill, -1)
    if fill.action is Action.BUY:
        position.bought -= fill.size
        position.paid -= fill.money
        position.entry_fees -= fill.fee
    else:
        position.sold -= fill.size
        position.received -= fill.money
        position.closed = False  # the shares are ours again
        if position.held == "minimum":
            position.held = ""


def _change_market(state: State, record: MarketChanged) -> None:
    entry = state.markets[record.condition_id]
    if record.tick is not None:
        entry.market = structs.replace(entry.market, tick=record.tick)
    if record.accepting is not None:
        entry.accepting = record.accepting
        if not record.accepting and entry.closed_at is None:
            entry.closed_at = record.at
    if record.strike is not None:
        entry.strike = record.strike
    if record.builder is not UNSET:
        fees = entry.market.fees.of(UNSET if record.builder is None else record.builder)
        entry.market = structs.replace(entry.market, fees=fees)
    _touch(state, record.condition_id)
