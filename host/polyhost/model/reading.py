"""Readings: what feeds beyond the venue's own say, each a name, a number, the time it is for and who said it.

A reading is an opinion's raw material: it never is a price that an order is made of. Its lines on tapes and in
recordings are ``{"ts": …, "source": <feed>, "msg": {"name": …, "value": …, "at": …}}``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import isfinite
from typing import Final

from msgspec import Struct

NAME_CHARACTERS_MAX: Final = 64
"""Characters of a reading's name, and of a source."""
NAMES_MAX: Final = 64
"""Names of one source; with more, the one that was told first goes."""
SOURCES_MAX: Final = 16
"""Feeds of one host; with more, the one that was heard first goes."""
AT_MAX: Final = 1 << 53
"""The latest market ms that JSON numbers carry exactly."""
VENUE_SOURCES: Final = frozenset({"polymarket", "binance", "gamma", "host"})
"""Sources of tape lines that no feed may call itself."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]*")


class Reading(Struct, frozen=True):
    """One value of a feed. Its age in a view is ``view.now - at``."""

    name: str
    """What it is, ``funding.BTC``: letters, digits and ``_.:-``, at most 64 of them."""
    value: float
    """Always finite."""
    at: int = 0
    """The market ms it is for, as its source says it; from a feed that is told none: 0, and the time of arrival holds.
    """
    source: str = ""
    """The feed that said it; the host fills it in."""


class Told(Struct, frozen=True):
    """A reading as tapes and recordings hold it: its source is the line's."""

    name: str
    value: float
    at: int = 0


class Feed(Struct):
    """One extra feed of a plugin: an iterator of readings, run by the host in a process of the plugin's own.

    It may wait between readings as it likes, but yields ``None`` as a sign of life when it has nothing to say: silent
    for longer than ``silent_s_max`` (wall seconds) it is taken to hang. When it raises, ends or hangs, the process is
    started again with growing pauses and ``feeds`` is asked anew.
    """

    readings: Iterable[Reading | None]
    name: str = ""
    """Tells several feeds of one plugin apart: the source is ``plugin`` for an unnamed one, else ``plugin.name``."""
    silent_s_max: float = 60.0
    """Wall seconds without a reading or a sign of life before it counts as hanging."""


class FeedConfig(Struct, frozen=True):
    """What a feed is told of the run it serves."""

    mode: str
    """sim, paper, live, shadow."""
    url: str = ""
    """Base address of the simulated exchange, which serves the public data in its shapes, too; empty: ask the public
    hosts."""
    speed: float = 1.0
    """Market seconds a wall second: pauses are divided by it."""
    symbols: tuple[str, ...] = ()
    """The symbols that are traded, ``BTC``."""


def wrong(name: object, value: object, at: object) -> str:
    """Why these are no reading; empty when they are one."""
    if not isinstance(name, str) or len(name) > NAME_CHARACTERS_MAX or _NAME.fullmatch(name) is None:
        return f"{str(name)[:NAME_CHARACTERS_MAX]!r} is no name of a reading"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{name}: its value is no number"
    try:
        finite = isfinite(value)
    except OverflowError:
        finite = False
    if not finite:
        return f"{name}: its value is not finite"
    if isinstance(at, bool) or not isinstance(at, int) or not 0 <= at <= AT_MAX:
        return f"{name}: its time is no market ms"
    return ""


def source_of(plugin: str, feed: str) -> str:
    """How a feed is called on tapes and in views."""
    return f"{plugin}.{feed}" if feed else plugin
