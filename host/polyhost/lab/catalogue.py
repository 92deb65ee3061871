"""Catalogue lines of a tape (``gamma``): which market, its tokens, and after its end the result.

Only what a survey and the driver need to know of a line; the venue's own parser reads it whole. A market that was
recorded without its condition id is known by its slug.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from polyhost.lab.prices import E18_TO_E8
from polyhost.model.market import PRICE_E8, normal_token, window_of
from polyhost.model.words import Side


class CatalogueLine(Struct, frozen=True):
    """One line. Times in market ms; prices in 1e-8; None: not told."""

    slug: str
    condition_id: str
    up: str
    down: str
    start: int | None
    end: int | None
    closed: bool
    settled: bool
    """It carries a result (``closed`` with final ``outcomePrices``)."""
    winner: Side | None
    """None of a settled line: 50-50."""
    strike: int | None
    final: int | None
    named: bool
    """The condition id was recorded."""


def catalogue_line(msg: Mapping[str, Any]) -> CatalogueLine | None:
    """What a gamma message says of its market; None when it names no slug or not two tokens."""
    slug = str(msg.get("slug") or "")
    tokens = [normal_token(str(token)) for token in _listed(msg.get("clobTokenIds"))]
    if not slug or len(tokens) != 2:
        return None
    outcomes = [str(name).lower() for name in _listed(msg.get("outcomes"))]
    if outcomes[:1] in (["down"], ["no"]):
        tokens.reverse()
    window = window_of(slug)
    start = window.start if window else _ms(msg.get("eventStartTime"))
    end = window.start + window.duration_s * 1_000 if window else _ms(msg.get("endDate"))
    winner, settled = _result(msg, outcomes)
    strike, final = _prices(msg)
    condition_id = str(msg.get("conditionId") or "")
    return CatalogueLine(
        slug=slug,
        condition_id=condition_id or slug,
        up=tokens[0],
        down=tokens[1],
        start=start,
        end=end,
        closed=msg.get("closed") is True,
        settled=settled,
        winner=winner,
        strike=strike,
        final=final,
        named=bool(condition_id),
    )


def _listed(value: object) -> list[Any]:
    """A list, or the JSON text of one (the catalogue writes both)."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError:
            return []
    return value if isinstance(value, list) else []


def _ms(value: object) -> int | None:
    if not isinstance(value, str):
        return None
    try:
        return int(datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp() * 1_000)
    except ValueError:
        return None


def _result(msg: Mapping[str, Any], outcomes: list[str]) -> tuple[Side | None, bool]:
    prices = [str(price) for price in _listed(msg.get("outcomePrices"))]
    if msg.get("closed") is not True or len(prices) != 2:
        return None, False
    if outcomes[:1] in (["down"], ["no"]):
        prices.reverse()
    pair = tuple(float(price) for price in prices if _is_number(price))
    if pair == (1.0, 0.0):
        return Side.UP, True
    if pair == (0.0, 1.0):
        return Side.DOWN, True
    return None, pair == (0.5, 0.5)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _prices(msg: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Strike and final price, in 1e-8, where the line or its event tells them."""
    metadata = msg.get("eventMetadata")
    if not isinstance(metadata, dict):
        events = msg.get("events")
        first = events[0] if isinstance(events, list) and events else {}
        metadata = first.get("eventMetadata") if isinstance(first, dict) else None
    metadata = metadata if isinstance(metadata, dict) else {}
    strike = _e8_of(metadata.get("priceToBeat"))
    if strike is None:
        # Recorders that keep the venue's result feed beside the object note the strike in 1e-18.
        noted = msg.get("_strike_value")
        if isinstance(noted, str) and noted.isdigit():
            strike = (int(noted) + E18_TO_E8 // 2) // E18_TO_E8
    return strike, _e8_of(metadata.get("finalPrice"))


def _e8_of(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return round(value * PRICE_E8)
