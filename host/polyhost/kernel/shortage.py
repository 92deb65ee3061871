"""ORD-19: why the venue says "not enough balance / allowance", told apart by its words and by what we know.

Its balance lags settlement and cancels, counts our own resting orders, and sometimes counts matches that are long over;
only what is none of these is truly short. Nothing here acts: whoever sent the order does.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from msgspec import Struct

from polyhost.model.money import Micros

CODES: Final = frozenset({"balance", "funds", "funds_active", "funds_matched", "allowance", "symbol_funds"})
"""Rows of the outcome table that say so."""
_SUM: Final = re.compile(r"sum of (active|matched) orders: (\d+)")


class Shortage(Enum):
    """Which of the causes it is."""

    APPROVAL = "the exchange is not approved"
    OURS = "an order of ours that rests holds them: its cancel is to be proved first"
    NOT_YET = "not visible at the venue yet"
    FOREIGN = "the venue holds them in a lock that is not ours"
    SHORT = "they are not there"


class Known(Struct, frozen=True):
    """What our books say about the shares of a token (a sell) or about collateral (a buy), at the refusal."""

    active: Micros
    """Our other open orders may still take this much of it."""
    matched: Micros
    """Our own matches that are not settled account for this much."""
    recent: bool
    """A cancel or a fill of ours touched it within the last seconds: the venue may count it still."""
    patient: bool
    """There are tries left before "not yet" is believed no longer."""


def shortage(code: str, text: str, known: Known) -> Shortage:
    """The cause of a refusal whose code is one of ``CODES``; ``text`` is the venue's."""
    if code == "allowance":
        return Shortage.APPROVAL
    sums = {kind: int(number) for kind, number in _SUM.findall(text)}
    if sums.get("active"):
        if sums["active"] <= known.active:
            return Shortage.OURS
        return Shortage.NOT_YET if known.recent else Shortage.FOREIGN
    if sums.get("matched"):
        return Shortage.NOT_YET if known.recent or sums["matched"] <= known.matched else Shortage.FOREIGN
    return Shortage.NOT_YET if known.recent or known.patient else Shortage.SHORT
