"""The life of a pair of legs as a table (ORD-13): which causes move it from which state to which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from polyhost.model.words import PairState as P

PAIR_TRANSITIONS: Final[Mapping[P, Mapping[str, P]]] = {
    P.FIRST: {
        # Nothing of it was bought: refused, killed, never sent, proved absent.
        "nothing": P.DONE,
        "bought": P.SETTLING,
    },
    P.SETTLING: {
        # All its trades failed on chain.
        "nothing": P.DONE,
        "settled": P.PAUSING,
        "not_settled": P.ROLLBACK,
    },
    P.PAUSING: {
        "second": P.SECOND,
        # The fresh check failed, or did not pass in time.
        "refused": P.ROLLBACK,
        # The first leg's shares are gone (its deadline, the operator).
        "sold": P.DONE,
    },
    P.SECOND: {"over": P.PAIRING},
    P.PAIRING: {
        "paired": P.DONE,
        "unequal": P.ROLLBACK,
        # The first leg's shares are gone.
        "sold": P.DONE,
    },
    P.ROLLBACK: {
        # Nothing of either leg is left.
        "flat": P.DONE,
        # What pairs off is held, what did not was sold.
        "paired": P.DONE,
        # What could not be sold stays, with its obligation met or standing.
        "left": P.DONE,
    },
    P.DONE: {},
}
"""State → cause → state."""
ENDS_ANYWHERE: Final = frozenset({"market_settled", "killed"})
"""Causes that end a pair in any state but DONE."""


def pair_moved(state: P, cause: str) -> P | None:
    """The state after the cause, or None when it is none of this state's."""
    if cause in ENDS_ANYWHERE and state is not P.DONE:
        return P.DONE
    return PAIR_TRANSITIONS[state].get(cause)
