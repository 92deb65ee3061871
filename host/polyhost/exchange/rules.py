"""The settings of the simulated venue that are no market's own: delays, settlement stages, limits."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from polyhost.model.builder import Builder
from polyhost.model.money import Ppm, Ticks


class Queue(Enum):
    """Where our resting orders stand in a mirrored book, whose queues nobody can see."""

    LAST = "last"
    """Behind all that is displayed: the opposite best, or a print, must go through the price. Takers get nothing of a
    level whose size is not told."""
    CENTRAL = "central"
    """An opposite best at the price fills, and a print through it."""
    FIRST = "first"
    """Before all that is displayed: a print at the price fills, too."""
    BEHIND = "behind"
    """Behind what was displayed when they came, counted (behind.py); what the book shows counts when it has stood
    (stood.py), what was taken of it stays taken through lost connections, and a level whose size is not told holds
    nothing."""


class ExchangeRules(Struct, frozen=True):
    """Durations in ms of market time. Defaults are the venue's (polymarket.md 4 and 10, read 2026-11)."""

    taker_delay_ms: int = 150
    """How long a marketable order is held before it meets the book (crypto markets, since 2026-09-04)."""
    mined_ms: int = 2_000
    """MATCHED to MINED."""
    confirmed_ms: int = 5_000
    """MATCHED to CONFIRMED."""
    settle_visible_ms: int = 2_000
    """How long bought shares are missing from the balance that the venue shows and checks sells against."""
    gtd_early_ms: int = 60_000
    """A GTD order expires this long before its ``expiration``."""
    auto_redeem_ms: int = 0
    """How long after a market's result the venue's operator redeems winning shares; 0: it never does."""
    reward_seed: int = 0
    """Of the instants at which rewards are sampled."""
    tick_low: Ticks = 400
    """Below this price, or above ``tick_high``, the tick becomes ``tick_fine``."""
    tick_high: Ticks = 9_600
    tick_fine: Ticks = 10
    builders: dict[str, Builder] = {}
    """The builder codes that the venue knows, with what they cost."""
    queue: Queue = Queue.CENTRAL
    """Of mirrored books."""
    queue_ahead: Ppm = 1_000_000
    """Of what is displayed at its price, how much is ahead of an order that comes to rest (``Queue.BEHIND``)."""
    standing_ms: int = 0
    """How long a mirrored book must have shown a size before it can be hit (``Queue.BEHIND``), market ms."""
    market_channel: bool = True
    """False: no BookChanged, Printed and BookSnapshot outputs at all (a driver in process reads the book itself)."""
    snapshots: bool = True
    """False: no BookSnapshot after trades (they cost a sort and a sha1 each); ``snapshot()`` still works."""
