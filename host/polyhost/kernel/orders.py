"""The life of an order as a table: which causes move it from which state to which. Only positive proof closes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from polyhost.model.words import OrderState as S

TRANSITIONS: Final[Mapping[S, Mapping[str, S]]] = {
    S.INTENDED: {
        "prepared": S.PREPARED,
        "not_signed": S.CLOSED,
        # A restart that finds it only intended: its id was never durable, so nothing of it was ever sent.
        "never_sent": S.CLOSED,
    },
    S.PREPARED: {
        "accepted": S.WORKING,
        "refused": S.CLOSED,
        "unknown": S.UNKNOWN,
        "seen": S.WORKING,
        # An end seen on the stream may overtake the answer to the post.
        "ended": S.CLOSED,
        "cancelled_unfilled": S.CLOSED,
        "filled": S.CLOSED,
    },
    S.UNKNOWN: {
        "seen": S.WORKING,
        "accepted": S.WORKING,
        "unknown": S.UNKNOWN,
        # A late answer counts (U1): a refusal of the only post ever made proves absence all the same (U3).
        "refused": S.CLOSED,
        "ended": S.CLOSED,
        "cancelled_unfilled": S.CLOSED,
        "filled": S.CLOSED,
        "absent": S.CLOSED,
        "market_resolved": S.CLOSED,
    },
    S.WORKING: {
        "accepted": S.WORKING,
        "seen": S.WORKING,
        "cancel_sent": S.CANCELLING,
        "ended": S.CLOSED,
        "cancelled_unfilled": S.CLOSED,
        "filled": S.CLOSED,
        "market_resolved": S.CLOSED,
    },
    S.CANCELLING: {
        # A fill may overtake the cancel we sent, and a failed cancel re-reads the order (ORD-07).
        "accepted": S.CANCELLING,
        "seen": S.CANCELLING,
        "cancel_lost": S.WORKING,
        "ended": S.CLOSED,
        "cancelled_unfilled": S.CLOSED,
        "filled": S.CLOSED,
        "market_resolved": S.CLOSED,
    },
    # For ever, but for one mistake of ours: what was proved absent and is at the venue all the same lives again (U7).
    # A fill that comes late to any other closed order is booked and told, and moves nothing.
    S.CLOSED: {
        "reappeared": S.WORKING,
    },
}
"""State → cause → state. A cause that is not listed for a state is a fact that changes nothing."""

def moved(state: S, cause: str) -> S | None:
    """The state after the cause, or None when the cause changes nothing in this state."""
    return TRANSITIONS[state].get(cause)
