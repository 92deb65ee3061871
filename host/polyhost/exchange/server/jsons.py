"""JSON as the venue writes it: decimals in strings, and exact decimals as bare numbers where the venue has numbers."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

from polyhost.model.market import PRICE_E8
from polyhost.model.money import Micros, Ticks, price_text, show_fixed, size_text

encode: Final = msgspec.json.encode
END_CURSOR: Final = "LTE="
PAGE: Final = 100
Row = TypeVar("Row")


def number(text: str) -> msgspec.Raw:
    """A decimal text as a bare JSON number, exact."""
    return msgspec.Raw(text.encode())


def price_number(value: Ticks) -> msgspec.Raw:
    return number(price_text(value))


def size_number(value: Micros) -> msgspec.Raw:
    return number(size_text(value))


def e8_text(value: int) -> str:
    """A reference price (1e-8) as the shortest decimal."""
    return show_fixed(value, 8)


def e8_rounded(value: int) -> msgspec.Raw:
    """A reference price as a bare number with two decimals, halves up (the venue's approximate ``value``)."""
    cent = PRICE_E8 // 100
    return number(show_fixed((value + cent // 2) // cent, 2))


def iso(ms: int) -> str:
    """``2026-08-20T14:40:00Z``."""
    return datetime.fromtimestamp(ms / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def offset_of(cursor: str) -> int:
    """The offset a cursor stands for; 0 for none. Raises ValueError for a cursor that this exchange never gave."""
    if not cursor:
        return 0
    try:
        return int(base64.b64decode(cursor, validate=True))
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"invalid cursor {cursor!r}") from error


def cursor_at(offset: int) -> str:
    return base64.b64encode(str(offset).encode()).decode()


def page(rows: Sequence[Row], cursor: str) -> tuple[Sequence[Row], dict[str, Any]]:
    """The rows of a CLOB page and the envelope without its data. Raises ValueError for a bad cursor."""
    if cursor == END_CURSOR:
        rows = ()
    start = 0 if cursor == END_CURSOR else offset_of(cursor)
    part = rows[start : start + PAGE]
    following = cursor_at(start + PAGE) if start + PAGE < len(rows) else END_CURSOR
    return part, {"next_cursor": following, "limit": PAGE, "count": len(part)}
