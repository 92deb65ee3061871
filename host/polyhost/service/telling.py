"""Records as log lines an operator reads: facts with their window, side, purpose and order (LOG-03, LOG-06)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from loguru import logger

from polyhost.kernel.state import State
from polyhost.model.money import money_text, price_text, size_text
from polyhost.model.records import (
    ActionIntended,
    ActionMoved,
    CloseRecorded,
    EarningsReported,
    EntriesBlocked,
    FillBooked,
    FillMoved,
    HeldDeclared,
    MarketAdded,
    MarketSettled,
    NoticeRaised,
    ObligationMet,
    OperatorSaid,
    OrderIntended,
    OrderMoved,
    OrderReposted,
    PairMoved,
    PairOpened,
    PluginMoved,
    PositionAdopted,
    PositionCorrected,
    Record,
    RunEnded,
    RunStarted,
    SlotReleased,
)
from polyhost.model.times import day_text
from polyhost.model.words import ActionState, OrderState, TradeStatus
from polyhost.service.about import about

_SHOWN_MOVES = frozenset({OrderState.UNKNOWN, OrderState.CLOSED})
"""Facts of the journal; the warning about an unknown outcome is the notice beside it."""


def line_of(record: Record, state: State) -> tuple[str, str] | None:
    """(level, text) of a record worth a line, or None. ``state`` is the state after it."""
    match record:
        case RunStarted():
            return None  # the banner says it, and more
        case RunEnded():
            return "INFO", f"run {record.run_id} ended: {record.reason}"
        case MarketAdded():
            when = "" if record.from_open else " (its window had begun)"
            return "INFO", f"{record.market.slug} found{when}"
        case MarketSettled():
            winner = "50-50" if record.winner is None else record.winner.value
            return "INFO", f"{_slug(state, record.condition_id)} settled {winner}"
        case OrderIntended():
            draft, slot = record.draft, record.slot
            return "INFO", (
                f"{_slug(state, slot.condition_id)} {slot.purpose.value} {draft.ref}: {draft.action.value} "
                f"{size_text(draft.size)} {slot.side.value} at {price_text(draft.price)} {draft.order_type.value}"
                f" [{record.why.get('plugin', '')}: {record.why.get('reason', '')}]"
            )
        case OrderMoved() if record.state in _SHOWN_MOVES:
            order = state.orders[record.ref]
            return "INFO", (
                f"{_slug(state, order.slot.condition_id)} {order.slot.purpose.value} {record.ref}: "
                f"{record.cause.replace('_', ' ')}, "
                f"{size_text(order.done)} of {size_text(order.draft.size)} matched"
            )
        case OrderReposted():
            return "INFO", f"order {record.ref} is posted again, the same bytes: {record.posts} posts"
        case SlotReleased():
            what = f"{record.slot.side.value} {record.slot.purpose.value}"
            return "INFO", f"{_slug(state, record.slot.condition_id)} the {what} slot is free again"
        case FillBooked():
            return "INFO", (
                f"{_slug(state, record.slot.condition_id)} {record.slot.purpose.value} {record.ref}: "
                f"{'bought' if record.action.value == 'BUY' else 'sold'} {size_text(record.size)} "
                f"{record.slot.side.value} at {price_text(record.price)}, fee {money_text(record.fee)}"
            )
        case FillMoved() if record.status is TradeStatus.FAILED:
            return "ERROR", f"trade {record.trade_id} of {record.ref} FAILED; its fill was taken back"
        case HeldDeclared():
            return "INFO", (
                f"{_slug(state, record.condition_id)} {record.side.value} held to settlement ({record.kind}): "
                f"{record.reason}"
            )
        case PairOpened():
            return "INFO", (
                f"{_slug(state, record.condition_id)} pair {record.ref}: {size_text(record.size)} of UP at "
                f"{price_text(record.up_price)} and DOWN at {price_text(record.down_price)} at most, "
                f"{record.first.value} first; {money_text(record.reserve)} reserved"
            )
        case PairMoved():
            pair = state.pairs[record.ref]
            return "INFO", f"{_slug(state, pair.condition_id)} pair {record.ref}: {record.state.value} ({record.cause})"
        case ActionIntended():
            return "INFO", (
                f"{_slug(state, record.condition_id)} {record.kind.value} {record.ref} of {size_text(record.size)} "
                f"wanted by {record.by}: {record.reason}"
            )
        case ActionMoved():
            action = state.actions[record.ref]
            level = "INFO" if record.state is ActionState.DONE else "WARNING"
            return level, (
                f"{_slug(state, action.condition_id)} {action.kind.value} {record.ref}: {record.state.value} "
                f"({record.cause})"
            )
        case PositionCorrected():
            return "WARNING", (
                f"{_slug(state, record.condition_id)} {record.side.value}: {size_text(record.size)} gone without a "
                f"trade of ours ({record.evidence})"
            )
        case PositionAdopted():
            return "WARNING", (
                f"{_slug(state, record.condition_id)} {record.side.value}: {size_text(record.size)} adopted at a cost "
                f"of {money_text(record.cost)} ({record.source})"
            )
        case ObligationMet() if record.how == "forced":
            return "WARNING", f"{_slug(state, record.condition_id)} {record.side.value} closed by force"
        case CloseRecorded():
            return "INFO", (
                f"{_slug(state, record.condition_id)} {record.side.value} closed ({record.exit_reason}): "
                f"P&L {money_text(record.pnl)}, fees {money_text(record.fees)}"
            )
        case EarningsReported():
            return "INFO", (
                f"{_slug(state, record.condition_id)} earned {money_text(record.rewards)} of rewards and "
                f"{money_text(record.rebates)} of rebates on {day_text(record.day)}"
            )
        case EntriesBlocked():
            return "WARNING", f"new entries {'blocked' if record.on else 'allowed'} ({record.name}): {record.reason}"
        case OperatorSaid():
            why = f" ({record.why})" if record.why else ""
            return "WARNING", f"operator {record.who or '?'}: {record.word} {record.target}".rstrip() + why
        case PluginMoved() if record.who:
            why = f" ({record.why})" if record.why else ""
            return "WARNING", f"plugin {record.plugin} {record.change} by {record.who}{why}"
        case NoticeRaised():
            return None  # delivered by the notify plugins
        case _:
            return None


def lines_of(records: list[Record], state: State) -> list[Callable[[], None]]:
    """What of a step is worth a line, each to be called to say it, bound to what it is about.

    ``state`` is the state after the step. They are facts once it is durable.
    """
    lines = ((record, line) for record in records if (line := line_of(record, state)) is not None)
    return [partial(logger.bind(**about(record, state)).log, level, "{}", text) for record, (level, text) in lines]


def _slug(state: State, condition_id: str) -> str:
    entry = state.markets.get(condition_id)
    return condition_id[:12] if entry is None else entry.market.slug
