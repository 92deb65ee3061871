"""Figures as the page writes them: aligned, signed, short, and safe to put into markup."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import Final

NONE: Final = "\N{EN DASH}"


def safe(text: object) -> str:
    """Text for markup, attributes included."""
    return escape(str(text), quote=True)


def money(micros: int | None, *, signed: bool = False) -> str:
    """``1,010.64``; two places, rounded to the nearest."""
    if micros is None:
        return NONE
    cents = round(micros / 10_000)
    sign = "-" if cents < 0 else "+" if signed and cents > 0 else ""
    return f"{sign}{abs(cents) // 100:,}.{abs(cents) % 100:02d}".replace("-", "\N{MINUS SIGN}")


def tone(micros: int | None) -> str:
    """The class of an amount's colour."""
    return "" if not micros else "gain" if micros > 0 else "loss"


def price(ticks: int | None) -> str:
    """``0.58``, with a third and fourth place when they are there."""
    if ticks is None:
        return NONE
    text = f"{ticks / 10_000:.4f}"
    return text[:-2] if text.endswith("00") else text.rstrip("0")


def size(micros: int) -> str:
    """``41.5`` shares."""
    return f"{micros / 1_000_000:,.2f}".rstrip("0").rstrip(".")


def reference(value: float | None) -> str:
    """A spot price or a strike: as many places as tell something."""
    if value is None:
        return NONE
    return f"{value:,.2f}" if value >= 10 else f"{value:.5f}"


def clock(ms: int | None) -> str:
    """``16:35:01``, UTC."""
    return NONE if not ms else datetime.fromtimestamp(ms / 1_000, UTC).strftime("%H:%M:%S")


def moment(ms: int) -> str:
    """``11-21 16:35``, UTC."""
    return datetime.fromtimestamp(ms / 1_000, UTC).strftime("%m-%d %H:%M")


def until(ms: int, now: int) -> str:
    """Time that is left, counted down by the browser: ``4:31``, ``1:02:00``."""
    left = max(ms - now, 0) // 1_000
    hours, rest = divmod(left, 3_600)
    text = f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
    return f'<span data-until="{ms}">{text}</span>'


def window_name(slug: str) -> tuple[str, str]:
    """(what, when) of a window's slug: ``btc-updown-5m-1795237200`` is ("BTC 5m", "17:00"); any other is itself."""
    parts = slug.split("-")
    if len(parts) == 4 and parts[1] == "updown" and parts[3].isdigit():
        return f"{parts[0].upper()} {parts[2]}", datetime.fromtimestamp(int(parts[3]), UTC).strftime("%H:%M")
    return slug, ""
