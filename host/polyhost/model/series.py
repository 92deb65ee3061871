"""The Up or Down series: when their windows begin and end, and what the venue calls them.

5 m, 15 m and 4 h windows follow the UTC clock and carry their start in their slug. Hourly and daily ones are named in
Eastern time (polymarket.md 8.2): an hour by the Eastern hour in which it begins, a day by the date at whose noon it
ends. A daily window is 23 or 25 hours long when the Eastern clock changes, and in autumn two hours have one name.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final

from msgspec import Struct

from polyhost.model.times import MarketMs

DURATIONS: Final[dict[str, int]] = {"5m": 300, "15m": 900, "1h": 3_600, "4h": 14_400, "1d": 86_400}
"""Window lengths by the name used in configuration, in seconds of market time (of a day: nominal)."""
HOUR: Final = DURATIONS["1h"]
DAY: Final = DURATIONS["1d"]
NAMES: Final = {
    "BTC": "bitcoin", "ETH": "ethereum", "SOL": "solana", "XRP": "xrp", "DOGE": "dogecoin", "BNB": "bnb",
}
"""What hourly and daily slugs call a symbol; any other one goes by itself in lower case."""
SIMULATED: Final = ("BTC", "ETH", "SOL", "XRP")
"""Symbols that the simulated exchange has windows and prices of."""
NOON: Final = 12

_SYMBOLS: Final = {name: symbol for symbol, name in NAMES.items()}
_MONTHS: Final = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)
_EPOCH: Final = {300: "5m", 900: "15m", 14_400: "4h"}
_EPOCH_SLUG: Final = re.compile(r"^([a-z0-9]+)-updown-(5m|15m|4h)-(\d+)$")
_NAMED_SLUG: Final = re.compile(
    rf"^([a-z0-9]+)-up-or-down-(on-)?({'|'.join(_MONTHS)})-(\d{{1,2}})(?:-(20\d\d))?(?:-(\d{{1,2}})(am|pm)-et)?(?:-\d+)?$"
)


class WindowName(Struct, frozen=True):
    """What a window's slug says. ``start`` None: the slug lacks the year."""

    symbol: str
    duration_s: int
    start: MarketMs | None


# --- time -------------------------------------------------------------------------------------------------------------


def eastern_offset_s(at_ms: int) -> int:
    """Eastern time less UTC at a market ms, in seconds: -18,000, or -14,400 from March to November.

    The rule of the law since 2007 (second Sunday of March, first Sunday of November, at 2 o'clock), not the machine's
    time zone data, which may be missing or differ between machines.
    """
    year = datetime.fromtimestamp(at_ms // 1_000, UTC).year
    begins = _sunday(year, 3, 2).replace(hour=7)
    ends = _sunday(year, 11, 1).replace(hour=6)
    return -14_400 if begins.timestamp() <= at_ms // 1_000 < ends.timestamp() else -18_000


def _sunday(year: int, month: int, number: int) -> datetime:
    first = datetime(year, month, 1, tzinfo=UTC)
    return first + timedelta(days=(6 - first.weekday()) % 7 + 7 * (number - 1))


def eastern(at_ms: int) -> datetime:
    """The wall clock of New York at a market ms (a naive datetime)."""
    return datetime.fromtimestamp(at_ms // 1_000 + eastern_offset_s(at_ms), UTC).replace(tzinfo=None)


def _of_eastern(day: date, hour: int) -> MarketMs:
    """The instant of an Eastern wall clock hour; of an hour that happens twice the first."""
    utc_s = int(datetime(day.year, day.month, day.day, hour, tzinfo=UTC).timestamp())
    at_ms = (utc_s + 14_400) * 1_000
    if eastern_offset_s(at_ms) != -14_400:
        at_ms += 3_600_000
    return MarketMs(at_ms)


def window_at(duration_s: int, at_ms: int) -> tuple[MarketMs, MarketMs]:
    """Start and end of the window of a series that runs at a market ms (its end belongs to the next one)."""
    if duration_s != DAY:
        start = at_ms - at_ms % (duration_s * 1_000)
        return MarketMs(start), MarketMs(start + duration_s * 1_000)
    today = eastern(at_ms).date()
    noon = _of_eastern(today, NOON)
    if at_ms < noon:
        return _of_eastern(today - timedelta(days=1), NOON), noon
    return noon, _of_eastern(today + timedelta(days=1), NOON)


def windows_from(duration_s: int, at_ms: int, count: int) -> list[tuple[MarketMs, MarketMs]]:
    """The running window and those after it, ``count`` in all, without a gap."""
    found = [window_at(duration_s, at_ms)]
    while len(found) < count:
        found.append(window_at(duration_s, found[-1][1]))
    return found


# --- names ------------------------------------------------------------------------------------------------------------


def window_slugs(symbol: str, duration_s: int, start: int) -> tuple[str, ...]:
    """Every slug under which the venue may list a window, the likeliest first. Raises KeyError for no series of its.

    Hourly and daily slugs carry the year since 2026; before they did not, and the venue may do either.
    """
    if duration_s not in (HOUR, DAY):
        return (f"{symbol.lower()}-updown-{_EPOCH[duration_s]}-{start // 1_000}",)
    name = NAMES.get(symbol, symbol.lower())
    moment = eastern(start if duration_s == HOUR else window_at(DAY, start)[1])
    day = f"{_MONTHS[moment.month - 1]}-{moment.day}"
    if duration_s == DAY:
        return f"{name}-up-or-down-on-{day}-{moment.year}", f"{name}-up-or-down-on-{day}"
    hour = f"{moment.hour % 12 or 12}{'am' if moment.hour < 12 else 'pm'}-et"
    return f"{name}-up-or-down-{day}-{moment.year}-{hour}", f"{name}-up-or-down-{day}-{hour}"


def window_slug(symbol: str, duration_s: int, start: int) -> str:
    """The likeliest slug of a window. Raises KeyError for a duration that is no series of the venue's."""
    return window_slugs(symbol, duration_s, start)[0]


def repeats(duration_s: int, start: int) -> bool:
    """True of the second of the two hours that have one name: the slug names the first."""
    return duration_s == HOUR and eastern(start) == eastern(start - HOUR * 1_000)


def window_of(slug: str) -> WindowName | None:
    """The window a slug such as ``btc-updown-5m-1776323400`` or ``bitcoin-up-or-down-may-27-2026-3pm-et`` names.

    A number behind the name (the venue tells namesakes apart with it) is ignored. None: no window's slug.
    """
    found = _EPOCH_SLUG.match(slug)
    if found is not None:
        symbol, duration, epoch = found.groups()
        return WindowName(symbol.upper(), DURATIONS[duration], MarketMs(int(epoch) * 1_000))
    found = _NAMED_SLUG.match(slug)
    if found is None:
        return None
    name, on, month, day_text, year, hour_text, half = found.groups()
    if bool(on) == bool(hour_text):
        return None
    symbol, duration_s = _SYMBOLS.get(name, name.upper()), DAY if on else HOUR
    if year is None:
        return WindowName(symbol, duration_s, None)
    try:
        day = date(int(year), _MONTHS.index(month) + 1, int(day_text))
    except ValueError:
        return None
    if on:
        return WindowName(symbol, DAY, _of_eastern(day - timedelta(days=1), NOON))
    if not 1 <= int(hour_text) <= 12:
        return None
    return WindowName(symbol, HOUR, _of_eastern(day, int(hour_text) % 12 + (12 if half == "pm" else 0)))
