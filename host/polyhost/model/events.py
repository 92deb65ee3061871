"""Everything that can happen to the kernel, except market messages and prices (those have their own fast entrances).

Events are facts that arrived, as frozen structs with a tag; the shell builds them, recordings hold them as JSON.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import UNSET, Struct, UnsetType, field

from polyhost.model.builder import Builder
from polyhost.model.gateway import OrderRequest, OrderRow, PositionRow, TradeRow
from polyhost.model.market import Market
from polyhost.model.money import Micros
from polyhost.model.proposals import Answer, Enter, Estimate, Notice, Signal
from polyhost.model.words import Side


class _Event(Struct, frozen=True, tag_field="event"):
    pass


class RunBegan(_Event, tag="run_began", frozen=True):
    """The host started (or started again): the first event of every run."""

    run_id: str
    version: str
    mode: str
    config_hash: str
    account: str
    builder: Builder | UnsetType = UNSET
    """The configured builder code with the rates that the venue tells; unset: none."""
    plugins: dict[str, str] | UnsetType = UNSET
    """Plugins that run, with their versions; unset: not told."""
    cannot_act: str | UnsetType = UNSET
    """Why the account's wallet cannot merge, redeem or split in this run, and what to do about it; unset: it can."""


class RunEnding(_Event, tag="run_ending", frozen=True):
    """The operator asked for a graceful stop, or the last window was reached: entries end, quotes go."""

    reason: str


class MarketFound(_Event, tag="market_found", frozen=True):
    """A market of a configured series, or one named by the configuration, as the venue describes it."""

    market: Market


class MarketClosed(_Event, tag="market_closed", frozen=True):
    """The venue takes no more orders for it."""

    condition_id: str


class MarketResolved(_Event, tag="market_resolved", frozen=True):
    """The venue's own result. ``winner`` None is a 50-50 result. ``final`` in 1e-8, None when not told."""

    condition_id: str
    winner: Side | None
    source: str
    final: int | None = None


class StrikeSeen(_Event, tag="strike_seen", frozen=True):
    """The settlement feed's price at the opening second, in 1e-8 of the quote currency."""

    condition_id: str
    strike: int
    source: str


class StreamChanged(_Event, tag="stream_changed", frozen=True):
    """A stream came up, went down or lost continuity. ``stream``: market, user, spot, reference."""

    stream: str
    up: bool
    epoch: int
    reason: str = ""
    tokens: tuple[str, ...] = ()
    """Tokens concerned (market stream); empty: all."""


class Prepared(_Event, tag="prepared", frozen=True):
    ref: str
    request: OrderRequest


class PrepareFailed(_Event, tag="prepare_failed", frozen=True):
    """Nothing was signed, nothing was sent."""

    ref: str
    reason: str
    configuration: bool = False
    """True: the same will happen to every order (wrong key, client drift)."""
    away: bool = False
    """True: there was nobody who signs just then; it says nothing about the order."""


class PostAnswered(_Event, tag="post_answered", frozen=True):
    """The venue's answer to a post, classified by the outcome table, or that there was none.

    ``outcome``: accepted, refused (proves absence if the bytes were posted once, U3), unknown (U1).
    """

    order_id: str
    outcome: str
    status: str = ""
    """live, matched, delayed when accepted."""
    code: str = ""
    """Row of the outcome table."""
    text: str = ""
    blocks: str = ""
    """Name of what this answer blocks besides the order (a cause of ORD-23's table), or empty."""
    http: int = 0
    """HTTP status of the answer; 0 when there was none."""
    retry_after_ms: int = 0
    """When the venue says that it may be asked again, ms from now; 0: it did not say."""


class PostLeft(_Event, tag="post_left", frozen=True):
    """The records before a post are durable and it is on its way: what counts from the post counts from here."""

    order_id: str


class CancelAnswered(_Event, tag="cancel_answered", frozen=True):
    """``outcome``: canceled, gone (already canceled or matched), not_found, delayed, unknown."""

    order_id: str
    outcome: str
    text: str = ""
    http: int = 0
    """HTTP status of the answer; 0 when there was none."""


class ActionAnswered(_Event, tag="action_answered", frozen=True):
    """What became of a merge, redeem or split. ``outcome``: done, refused (it did not happen), unknown."""

    ref: str
    outcome: str
    text: str = ""
    transaction: str = ""
    """Hash of the transaction, when one is known."""


class OrderSeen(_Event, tag="order_seen", frozen=True):
    """The venue showed an order of this key. ``source``: stream, query or list."""

    row: OrderRow
    source: str


class OrderNotFound(_Event, tag="order_not_found", frozen=True):
    """404 or an empty body for an order asked by id. Proves nothing (U4)."""

    order_id: str


class TradeSeen(_Event, tag="trade_seen", frozen=True):
    row: TradeRow
    source: str


class SweepDone(_Event, tag="sweep_done", frozen=True):
    """The answer to a sweep: all open orders and trades of a market (or of the whole key) since a time.

    ``complete`` is False when a page was missing; rows are facts all the same.
    """

    condition_id: str
    orders: tuple[OrderRow, ...]
    trades: tuple[TradeRow, ...]
    complete: bool
    problem: str = ""
    begun: int = 0
    """Of the command that asked, wall ms: a sweep says nothing about what happened before its answer was wanted."""


class BalanceSeen(_Event, tag="balance_seen", frozen=True):
    """Collateral the venue shows, and whether the exchange may spend it."""

    collateral: Micros
    approved: bool


class RewardPaid(_Event, tag="reward_paid", frozen=True):
    """The venue paid liquidity rewards at a market ms. ``ref`` names the payout (its transaction): told twice, it is
    booked once."""

    ref: str
    amount: Micros
    paid_at: int


class ScoringSeen(_Event, tag="scoring_seen", frozen=True):
    """Which orders score for liquidity rewards at this moment, as the venue says: (order id, yes or no)."""

    rows: tuple[tuple[str, bool], ...]


class EarnedRow(Struct, frozen=True):
    """What one market brought an account on one day, as the venue tells it; micro-units. Paid or not."""

    condition_id: str
    rewards: Micros
    """Liquidity rewards."""
    rebates: Micros
    """Maker rebates."""


class EarningsSeen(_Event, tag="earnings_seen", frozen=True):
    """What a day (UTC, counted from 1970) brought by market; of the running day: so far."""

    day: int
    rows: tuple[EarnedRow, ...]


class TokenBalanceSeen(_Event, tag="token_balance_seen", frozen=True):
    token_id: str
    balance: Micros


class PositionsSeen(_Event, tag="positions_seen", frozen=True):
    """Everything the wallet holds. ``complete`` is False when a page was missing or a row could not be read."""

    rows: tuple[PositionRow, ...]
    complete: bool
    problem: str = ""
    begun: int = 0
    """Of the command that asked, wall ms."""


class AuditRow(Struct, frozen=True):
    """One token of a market, as the venue accounts for it."""

    token_id: str
    pnl: Micros
    """Of everything bought and sold, and of what is left at what it pays; after fees."""


class AuditSeen(_Event, tag="audit_seen", frozen=True):
    """The venue's own account of a market; no rows: it shows none (yet)."""

    condition_id: str
    rows: tuple[AuditRow, ...]


class VenueNoticed(_Event, tag="venue_noticed", frozen=True):
    """A notification of the venue about an order or a market. ``kind``: filled, fill_failed, cancelled, resolved."""

    kind: str
    order_id: str = ""
    condition_id: str = ""
    trade_id: str = ""
    """Empty: it did not say."""


class QueryFailed(_Event, tag="query_failed", frozen=True):
    """A query got no usable answer. ``what``: order, sweep, balance, token_balance, positions, market, scoring,
    earnings.

    ``key`` is its argument.
    """

    what: str
    key: str
    reason: str


class PluginUse(Struct, frozen=True):
    """One plugin's part in a chain. ``failed``: the hook that raised, overran or answered nonsense."""

    plugin: str
    used_us: int
    failed: str = ""
    problem: str = ""
    away: bool = False
    """Its process was late, dead or being started: the wall clock's doing, so a replay cannot show it again."""


class Abstained(Struct, frozen=True):
    """A plugin that was asked for its opinion (``hook``: signal or combine) and gave none.

    ``reason``: what it lacks, what failed, or that it is out of service; empty: it simply has none.
    """

    hook: str
    plugin: str
    reason: str = ""


class Proposed(Struct, frozen=True):
    """One answer and whose it is."""

    plugin: str
    answer: Answer


class Lost(Struct, frozen=True):
    """An entry that went no further because another one went on in its place."""

    plugin: str
    entry: Enter
    how: str
    """outbid: the other side's had the higher edge; merged: one slot, and the other one is the more careful."""


class Candidate(Struct, frozen=True):
    """An entry that came out of arbitration, with its sizes and reviews. The kernel decides, nobody else."""

    proposed: Proposed
    stake: Micros | None
    """The smallest answer of the size hooks; None: nobody sized it."""
    sized_by: str = ""
    vetoes: tuple[tuple[str, str], ...] = ()
    outbid: tuple[str, ...] = ()
    """Plugins whose opposite entry lost by edge."""
    lost: tuple[Lost, ...] = ()
    """Every entry that this one stands for or has outbid, in configured order."""
    stakes: tuple[tuple[str, Micros], ...] = ()
    """What each plugin would have spent, where several said so; the smallest counts."""


class Evaluated(_Event, tag="evaluated", frozen=True):
    """The whole chain's answers to one view."""

    view_seq: int
    book_epoch: int
    state_rev: int
    condition_id: str
    signals: tuple[tuple[str, Signal], ...] = ()
    estimates: tuple[tuple[str, Estimate], ...] = ()
    trading: str = ""
    """Name of the combiner that trades."""
    candidates: tuple[Candidate, ...] = ()
    proposals: tuple[Proposed, ...] = ()
    """Everything but entries: skips, exits, triggers, cancels, notices, in configured order of the plugins."""
    used: tuple[PluginUse, ...] = ()
    abstained: tuple[Abstained, ...] = ()
    """Signals and combiners without an opinion, in configured order."""


class PluginTold(_Event, tag="plugin_told", frozen=True):
    """What a plugin's ``on_…`` hook changed and said. A value of None deletes the key; values are JSON text."""

    plugin: str
    hook: str
    changes: dict[str, str | None] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()
    used_us: int = 0
    problem: str = ""


class NoticeTold(_Event, tag="notice_told", frozen=True):
    """What a delivery came to. ``problem``: why the channel did not take it; empty: it did."""

    notice_id: str
    channel: str
    problem: str = ""


class PluginStruck(_Event, tag="plugin_struck", frozen=True):
    """A plugin missed a deadline, died or answered nonsense; ``quarantined`` when it is out."""

    plugin: str
    reason: str
    quarantined: bool


class PluginChanged(_Event, tag="plugin_changed", frozen=True):
    """A plugin was switched on, off, set up anew or let in again while the host runs, and is so from now on."""

    plugin: str
    change: str
    """enabled, disabled, set, released or accepted."""
    who: str
    why: str
    told_hooks: tuple[str, ...]
    """The ``on_…`` hooks that any running plugin has from now on, sorted."""
    channels: tuple[str, ...]
    """Who is told of notices from now on, in configured order."""
    was: str = ""
    """Its table of the configuration before, as JSON without secrets; empty: it was not named."""
    table: str = ""
    """The same from now on."""
    version: str = ""


class Operator(_Event, tag="operator", frozen=True):
    """A person's word: pause, resume, close, cancel, merge, redeem, kill; by file also those about a plugin.

    ``target``: a window slug, an order id, a plugin's name, or empty for all.
    """

    word: str
    target: str = ""
    who: str = ""
    flatten: bool = False
    why: str = ""
    done: bool = False
    """About a plugin: it is carried out already, by the command itself while no host ran; to be journaled."""


class JournalChecked(_Event, tag="journal_checked", frozen=True):
    """The journal was looked over while the host runs. ``problem``: the damage; empty: there is none."""

    problem: str = ""


class LoopChanged(_Event, tag="loop_changed", frozen=True):
    """A supervised loop of the host is not alive any more, or is again (ORD-15)."""

    name: str
    alive: bool
    reason: str
    """Why it is not, or was not."""
    safety: bool = True
    """Nothing may add exposure while it is not alive."""


Event: TypeAlias = (
    RunBegan | RunEnding | MarketFound | MarketClosed | MarketResolved | StrikeSeen | StreamChanged | Prepared
    | PrepareFailed | PostAnswered | ActionAnswered | CancelAnswered | OrderSeen | OrderNotFound | TradeSeen
    | SweepDone | BalanceSeen | TokenBalanceSeen | PositionsSeen | QueryFailed | Evaluated | PluginTold | PluginStruck
    | PluginChanged | Operator | PostLeft
    | LoopChanged | JournalChecked | RewardPaid | ScoringSeen | EarningsSeen | NoticeTold | AuditSeen | VenueNoticed
)
