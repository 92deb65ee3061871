"""What is durably true: the records that the kernel writes and its reducer folds.

A record is a change of durable state. Records are journaled before any command that adds exposure leaves; the same
records give the same state. ``at`` is market ms. Money, sizes and prices are exact integers (see money.py).
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import UNSET, Struct, UnsetType, field

from polyhost.model.builder import Builder
from polyhost.model.gateway import OrderDraft, OrderRequest
from polyhost.model.market import Market
from polyhost.model.money import Micros, Ticks
from polyhost.model.words import Action, ActionKind, ActionState, OrderState, PairState, Purpose, Side, TradeStatus


class Slot(Struct, frozen=True, order=True):
    """Where an order belongs: at most one live buy a slot, at most two live sells (ORD-02)."""

    condition_id: str
    side: Side
    purpose: Purpose
    key: str = ""


class _Record(Struct, frozen=True, tag_field="record"):
    at: int


class RunStarted(_Record, tag="run_started", frozen=True):
    run_id: str
    version: str
    mode: str
    config_hash: str
    account: str
    plugins: dict[str, str] | UnsetType = UNSET
    """Plugins that run, with their versions; unset: not told."""


class RunEnded(_Record, tag="run_ended", frozen=True):
    run_id: str
    reason: str


class MarketAdded(_Record, tag="market_added", frozen=True):
    """A market is followed. ``from_open``: known before its window opened, so entries were allowed from the open."""

    market: Market
    from_open: bool


class MarketChanged(_Record, tag="market_changed", frozen=True):
    condition_id: str
    tick: Ticks | None = None
    accepting: bool | None = None
    strike: int | None = None
    """1e-8 of the quote currency."""
    cause: str = ""
    builder: Builder | UnsetType | None = UNSET
    """What our orders of it are charged for a builder code from now on; None: nothing any more."""


class MarketSettled(_Record, tag="market_settled", frozen=True):
    """The venue's result; the payouts are in the ``LedgerPosted`` records beside it."""

    condition_id: str
    winner: Side | None
    final: int | None
    """The settlement source's price at its end, 1e-8 of the quote currency; None: neither told nor heard."""
    source: str


class OrderIntended(_Record, tag="order_intended", frozen=True):
    """An order is wanted: its slot is taken and its funds are reserved from here on."""

    slot: Slot
    draft: OrderDraft
    reserve: Micros
    """Collateral reserved (BUY: worst cost and fee; SELL: 0)."""
    why: dict[str, str] = field(default_factory=dict)
    """What the decision saw: plugin, reason, estimate, quote, book age and epoch, stake, limits."""
    valid_until: int = 0
    """A resting buy is over at this market ms, by the venue (GTD) or by our own cancel; 0: it has no end of its own."""


class OrderPrepared(_Record, tag="order_prepared", frozen=True):
    """Signed: the venue's id and everything needed to post it (U9). Durable before the post leaves."""

    ref: str
    request: OrderRequest


class OrderMoved(_Record, tag="order_moved", frozen=True):
    """The order changed state, or more of it is known to be matched.

    ``release`` is the reservation given back by this record; negative when an order that was proved absent shows up and
    what is left of it is reserved again (U7).
    """

    ref: str
    state: OrderState
    cause: str
    matched: Micros = 0
    """Cumulative size matched as the venue told it; never less than before."""
    release: Micros = 0
    present: bool = False
    """Presence at the venue is proved (U2); for ever."""
    code: str | UnsetType = UNSET
    """Row of the outcome table that the venue refused it by; unset: it was not refused."""


class OrderReposted(_Record, tag="order_reposted", frozen=True):
    """The same bytes of an unknown order leave again (U5): ``posts`` of them now, the first one counted."""

    ref: str
    posts: int


class SlotReleased(_Record, tag="slot_released", frozen=True):
    """A slot that was locked because its order was unknown takes orders again (U7: markets without a window)."""

    slot: Slot


class FillBooked(_Record, tag="fill_booked", frozen=True):
    """A trade of ours: exposure from now on, inventory when settled. One record for (trade, order)."""

    trade_id: str
    ref: str
    slot: Slot
    token_id: str
    action: Action
    price: Ticks
    size: Micros
    money: Micros
    """``size * price`` rounded down."""
    fee: Micros
    """All that was charged, a builder's fee included."""
    status: TradeStatus
    maker: bool
    release: Micros = 0
    """Of the order's reservation, what this fill used or freed."""
    spot: int | None = None
    """The symbol's spot price when it was booked, in 1e-8; None: not known."""
    builder_fee: Micros | UnsetType = UNSET
    """Of ``fee``, what the builder code cost; unset: the order has none."""


class FillMoved(_Record, tag="fill_moved", frozen=True):
    """A trade's status advanced; FAILED voids the fill, exactly once."""

    trade_id: str
    ref: str
    status: TradeStatus


class PairOpened(_Record, tag="pair_opened", frozen=True):
    """A pair of legs is wanted (ORD-13): the funds of both are reserved from here on."""

    ref: str
    condition_id: str
    first: Side
    size: Micros
    """Shares of each leg."""
    up_price: Ticks
    down_price: Ticks
    """Worst price of each leg."""
    reserve: Micros
    """Collateral reserved for both legs: worst cost and fee."""
    plugin: str
    reason: str


class PairMoved(_Record, tag="pair_moved", frozen=True):
    """The pair came one step further; at its end, what became of it."""

    ref: str
    state: PairState
    cause: str
    order: str = ""
    """Ref of the leg's order that is placed with this step."""
    release: Micros = 0
    """Of the pair's own reservation: handed to the leg's order, or free again."""
    paired: Micros = 0
    """Shares of each side that pair off, at the end."""
    left: Micros = 0
    """Shares of the first leg that stay without a partner, at the end; their obligation stands."""


class ActionIntended(_Record, tag="action_intended", frozen=True):
    """A merge, redeem or split is wanted; durable before it is sent, so that it is never done twice."""

    ref: str
    kind: ActionKind
    condition_id: str
    size: Micros
    """Pairs of shares (and collateral) of a merge or split; what a redeem should pay."""
    by: str
    """The plugin or the operator."""
    reason: str
    paired_before: Micros = 0
    """Shares of each side that were held as pairs before a merge took hold of its own."""


class ActionMoved(_Record, tag="action_moved", frozen=True):
    """An action's end, or that it is unknown."""

    ref: str
    state: ActionState
    cause: str
    transaction: str = ""
    up_money: Micros = 0
    """A merge or split that is done: what of the collateral counts to the UP position."""
    down_money: Micros = 0


class Entry(Struct, frozen=True):
    """One leg of a posting: ``delta`` of ``asset`` on ``account``.

    ``asset`` is ``cash`` or ``condition_id:SIDE``. Accounts: free, reserved, in_flight (matched, not settled), settled,
    unredeemed, and the outside: market, fees, deposit, by_hand (the cost of shares that came or went without us). The
    legs of a posting sum to zero per asset.
    """

    account: str
    asset: str
    delta: Micros


class LedgerPosted(_Record, tag="ledger_posted", frozen=True):
    """A balanced posting with its cause.

    deposit, reserve, release, fill, settle, void, payout, reward, correction, adoption.
    """

    cause: str
    ref: str
    """What caused it: an order ref, a trade id, a condition id."""
    entries: tuple[Entry, ...]


class ObligationSet(_Record, tag="obligation_set", frozen=True):
    """From entry on: by ``due`` the position is closed or declared held, whatever plugins do."""

    condition_id: str
    side: Side
    due: int


class ObligationMet(_Record, tag="obligation_met", frozen=True):
    condition_id: str
    side: Side
    how: str
    """closed, held, forced, settled."""


class HeldDeclared(_Record, tag="held_declared", frozen=True):
    """Knowingly held to settlement. ``kind``: plugin, ahead (0.90 rule), minimum (the rest is too small), pair.

    Kind ``pair`` holds ``size`` shares, which pair off with the other side (0: none any more); the others hold all.
    """

    condition_id: str
    side: Side
    kind: str
    reason: str
    size: Micros = 0


class PositionCorrected(_Record, tag="position_corrected", frozen=True):
    """Shares are gone that no trade of ours sold: a person sold or moved them. They leave at cost, without a profit.

    Written only when two readings of the balance, apart, agree and nothing in flight could explain them (POS-02).
    """

    condition_id: str
    side: Side
    size: Micros
    """Shares that are gone, micro-shares."""
    cost: Micros
    """What was paid for them, fees included."""
    seen: Micros
    """The balance that both readings showed."""
    evidence: str
    """What agreed: positions (the venue's own count), or balances alone, for minutes."""


class PositionAdopted(_Record, tag="position_adopted", frozen=True):
    """A position that was there before us is managed from here on (POS-04). It comes in at cost."""

    condition_id: str
    side: Side
    token_id: str
    size: Micros
    cost: Micros
    """What was paid for it, fees included, as the venue tells it."""
    source: str


class UnexplainedSeen(_Record, tag="unexplained_seen", frozen=True):
    """The venue shows more shares than our trades explain (POS-11): held apart, never sold, never averaged in."""

    token_id: str
    condition_id: str
    side: Side
    size: Micros
    """Beyond the position, micro-shares; 0: nothing any more."""


class ForeignSeen(_Record, tag="foreign_seen", frozen=True):
    """A holding of this wallet that is not ours (OPS-06): counted in exposure, never managed."""

    token_id: str
    condition_id: str
    slug: str
    size: Micros
    """0: it is gone."""
    cost: Micros
    reason: str
    """Why it is not adopted."""


class EarningsReported(_Record, tag="earnings_reported", frozen=True):
    """What a market brought on a day in rewards and rebates, as the venue tells it: earned, whether or not it is paid
    yet (it pays once a day, and no day below 1.00). Replaces what was reported of that market and day before."""

    day: int
    """UTC, counted from 1970."""
    condition_id: str
    rewards: Micros
    rebates: Micros


class DayBegan(_Record, tag="day_began", frozen=True):
    """A day (UTC, counted from 1970) began with this equity; loss and drawdown of the day are measured from here."""

    day: int
    equity: Micros


class CloseRecorded(_Record, tag="close_recorded", frozen=True):
    """A position was closed or settled, with what led to it (POS-08, POS-13)."""

    condition_id: str
    side: Side
    exit_reason: str
    forced: bool
    sell_failed: bool
    entry_price: Ticks
    exit_price: Ticks
    size: Micros
    pnl: Micros
    fees: Micros
    opened_at: int
    spot_entry: int | None = None
    """The symbol's spot price when it was opened and when it was closed, in 1e-8; None: not known then."""
    spot_exit: int | None = None

    @property
    def duration_ms(self) -> int:
        """From its first fill to its close, market ms."""
        return self.at - self.opened_at


class PluginStateSet(_Record, tag="plugin_state_set", frozen=True):
    plugin: str
    changes: dict[str, str | None]


class NoticeRaised(_Record, tag="notice_raised", frozen=True):
    """A notice, durable before it is told (outbox)."""

    notice_id: str
    level: str
    topic: str
    text: str
    condition_id: str = ""
    channels: tuple[str, ...] = ()
    """Who is to be told (NOT-02): a notify plugin's name, or ``plugin:channel`` of one that has several."""

    @property
    def told_text(self) -> str:
        """The text as it is told: with the event's id, so that one that comes twice can be recognised (NOT-02)."""
        return f"{self.text} [{self.notice_id}]"


class DeliveryNoted(_Record, tag="delivery_noted", frozen=True):
    """A notice owes one channel nothing any more.

    ``how``: told, given_up (told to the others), dropped (too many waited), gone (the channel is configured no more).
    """

    notice_id: str
    channel: str
    how: str
    tries: int
    problem: str = ""
    """Of the last try that failed."""


class AuditTaken(_Record, tag="audit_taken", frozen=True):
    """A decided market's P&L, fees included, by our books and by the venue's (SET-02)."""

    condition_id: str
    ours: Micros
    theirs: Micros


class OperatorSaid(_Record, tag="operator_said", frozen=True):
    word: str
    target: str
    who: str
    flatten: bool = False
    why: str = ""


class PluginMoved(_Record, tag="plugin_moved", frozen=True):
    """A plugin is switched on, off, set up anew, let in again (by an operator), or out of service (quarantined)."""

    plugin: str
    change: str
    """enabled, disabled, set, released, accepted or quarantined."""
    who: str = ""
    """Empty: the host itself."""
    why: str = ""
    was: str = ""
    """Its table of the configuration before, as JSON without secrets; empty: not named, or not changed."""
    table: str = ""
    version: str = ""


class EntriesBlocked(_Record, tag="entries_blocked", frozen=True):
    """New exposure is off (or on again) for a named reason: what it blocks and how it clears is one table (ORD-23)."""

    name: str
    on: bool
    reason: str
    lasting: bool = True
    """It stays over restarts until an operator clears it; else it clears by itself, at the latest with the run."""


Record: TypeAlias = (
    RunStarted | RunEnded | MarketAdded | MarketChanged | MarketSettled | OrderIntended | OrderPrepared | OrderMoved
    | FillBooked | FillMoved | LedgerPosted | ObligationSet | ObligationMet | HeldDeclared | CloseRecorded
    | PluginStateSet | NoticeRaised | DeliveryNoted | AuditTaken
    | OperatorSaid | PluginMoved | EntriesBlocked | DayBegan | PairOpened | PairMoved
    | OrderReposted | SlotReleased
    | ActionIntended | ActionMoved
    | PositionCorrected | PositionAdopted | UnexplainedSeen | ForeignSeen | EarningsReported
)
