"""What the kernel hears when a request came to nothing: that nobody knows, never that nothing happened."""

from __future__ import annotations

from typing import Final

from polyhost.model.batching import single
from polyhost.model.commands import (
    Act,
    Cancel,
    CancelEverything,
    CancelMarket,
    Command,
    FindMarket,
    Post,
    Prepare,
    QueryAudit,
    QueryBalance,
    QueryEarnings,
    QueryOrder,
    QueryPositions,
    QueryScoring,
    QueryTokenBalance,
    Sweep,
)
from polyhost.model.events import ActionAnswered, CancelAnswered, Event, PostAnswered, PrepareFailed, QueryFailed

AWAY: Final = "gateway_away"
"""Code of an order that did not leave because nobody was there who signs and sends."""


def unanswered(command: Command, reason: str) -> list[Event]:
    """The events of a command whose answer was lost for ``reason``; commands that nobody waits for give none.

    A batch whose answer was lost is lost order by order (U9).
    """
    return [event for one in single(command) for event in _unanswered(one, reason)]


def _unanswered(command: Command, reason: str) -> list[Event]:
    match command:
        case Post(request=request):
            return [PostAnswered(request.order_id, "unknown", text=reason)]
        case Act(request=act):
            return [ActionAnswered(act.ref, "unknown", text=reason)]
        case Prepare(draft=draft):
            return [PrepareFailed(draft.ref, reason)]
        case Cancel(order_id=order_id):
            return [CancelAnswered(order_id, "unknown", reason)]
        case CancelEverything() | CancelMarket():
            return [CancelAnswered("", "unknown", reason)]
        case QueryOrder(order_id=order_id):
            return [QueryFailed("order", order_id, reason)]
        case Sweep(condition_id=condition_id):
            return [QueryFailed("sweep", condition_id, reason)]
        case QueryBalance():
            return [QueryFailed("balance", "", reason)]
        case QueryTokenBalance(token_id=token_id):
            return [QueryFailed("token_balance", token_id, reason)]
        case QueryPositions():
            return [QueryFailed("positions", "", reason)]
        case QueryScoring():
            return [QueryFailed("scoring", "", reason)]
        case QueryEarnings(day=day):
            return [QueryFailed("earnings", str(day), reason)]
        case QueryAudit(condition_id=condition_id):
            return [QueryFailed("audit", condition_id, reason)]
        case FindMarket(condition_id=condition_id):
            return [QueryFailed("market", condition_id, reason)]
        case _:
            return []


def never_sent(command: Command, reason: str) -> list[Event]:
    """The events of a gated command that was not sent and never will be: that much is known of this try."""
    match command:
        case Post(request=request):
            return [PostAnswered(request.order_id, "refused", code="sealed", text=reason)]
        case Act(request=act):
            return [ActionAnswered(act.ref, "refused", text=reason)]
        case _:
            return []
