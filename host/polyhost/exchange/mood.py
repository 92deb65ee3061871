"""What may go wrong inside the venue, as questions the exchange asks; nothing is wrong when nobody answers.

The exchange has no randomness of its own: who answers (``exchange.pathologies``) says the same of the same subject at
any time, so that an exchange which does everything again after a restart does it alike.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from polyhost.model.market import Market
from polyhost.model.money import Micros, Ticks


class Stages(Struct, frozen=True):
    """When a trade becomes what, in ms after its match."""

    visible_ms: int
    mined_ms: int
    confirmed_ms: int
    failed_ms: int = 0
    """Above 0: it becomes RETRYING at half of this and then fails; the others do not count."""


class Closure(Struct, frozen=True):
    """Why order endpoints refuse just now. HTTP status, text, and how long still (seconds, 0: not told)."""

    http: int
    text: str
    cancels: bool
    """Are cancels refused too?"""
    code: str = ""
    retry_after_s: int = 0
    post_only: bool = False
    """Are post-only orders taken?"""


class Mood(Protocol):
    """The questions."""

    def stages(self, trade_id: str, usual: Stages) -> Stages:
        """When the trade settles, or that it fails."""

    def lock_ms(self, trade_id: str) -> int:
        """How long the money of a taker's buy is counted a second time; 0: not at all."""

    def crosses(self, subject: str) -> bool:
        """Does this house order name the other token?"""

    def rejects_rest(self, order_id: str) -> bool:
        """Is the remainder of this partly matched order thrown away, and its post answered with an error?"""

    def overtaken(self, order_id: str, left: Micros) -> Micros:
        """How much of an order is filled while its cancel is under way."""

    def closure(self, now: int) -> Closure | None:
        """Why the venue takes no orders at this market ms; None when it does."""

    def ticks(self, market: Market, since: int) -> list[tuple[int, Ticks]]:
        """Changes of a market's tick after ``since``: (market ms, tick)."""
