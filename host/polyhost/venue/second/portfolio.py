"""What the second client has no calls for: positions, rebates and a builder's rates, as plain HTTP without any SDK."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import httpx
from msgspec import Struct

from polyhost.venue.budget import OverBudget
from polyhost.venue.polymarket.account import ReadError, error_text, parsed

PAGES_MAX: Final = 50
"""Pages of positions that are read; more is told as not read."""
PAGE: Final = 500
"""Positions read in one request (the venue takes up to 1,000)."""


class Position(Struct, frozen=True):
    """One token of a wallet, as the data API tells it."""

    asset_id: str
    condition_id: str
    current_size: Decimal
    total_size: Decimal
    avg_price: Decimal
    entry_fees_usdc: Decimal
    total_pnl: Decimal
    slug: str
    redeemable: bool
    status: str


class Reward(Struct, frozen=True):
    condition_id: str
    earnings: Decimal
    asset_rate: Decimal


class Rebate(Struct, frozen=True):
    condition_id: str
    rebated_fees_usdc: Decimal


async def positions(http: httpx.AsyncClient, wallet: str, **query: str) -> list[Mapping[str, Any]]:
    """Every row of a wallet's positions. Raises ReadError when a page is missing."""
    rows: list[Mapping[str, Any]] = []
    asked = {"user": wallet, "limit": str(PAGE), **query}
    for _ in range(PAGES_MAX):
        body = await public(http, "/v2/positions", asked)
        page = body.get("data") if isinstance(body, dict) else None
        if not isinstance(page, list):
            raise ReadError("malformed: positions without data")
        rows += page
        following = (body.get("pagination") or {}).get("next_cursor")
        if not following:
            return rows
        asked["cursor"] = str(following)
    raise ReadError(f"more than {PAGES_MAX} pages of positions")


def position(row: Mapping[str, Any]) -> Position:
    """Raises ValueError naming what cannot be read."""
    return Position(
        asset_id=_text(row, "token_id"), condition_id=_text(row, "condition_id"),
        current_size=number(row, "current_size"), total_size=number(row, "total_size"),
        avg_price=number(row, "avg_price"), entry_fees_usdc=number(row, "entry_fees_usdc"),
        total_pnl=number(row, "total_pnl"), slug=str(row.get("slug") or ""),
        redeemable=bool(row.get("redeemable")), status=str(row.get("status") or ""),
    )


def reward(row: Mapping[str, Any]) -> Reward:
    """Raises ValueError naming what cannot be read."""
    return Reward(_text(row, "condition_id"), number(row, "earnings"), number(row, "asset_rate"))


def rebate(row: Mapping[str, Any]) -> Rebate:
    """Raises ValueError naming what cannot be read."""
    return Rebate(_text(row, "condition_id"), number(row, "rebated_fees_usdc"))


def number(row: Mapping[str, Any], field: str) -> Decimal:
    """An exact number. Raises ValueError for what is none."""
    value = row.get(field)
    try:
        found = Decimal(str(value))
    except InvalidOperation as error:
        raise ValueError(f"{field} is {value!r}") from error
    if isinstance(value, bool) or not found.is_finite():
        raise ValueError(f"{field} is {value!r}")
    return found


def _text(row: Mapping[str, Any], field: str) -> str:
    value = row.get(field)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{field} is {value!r}")
    return value


async def public(http: httpx.AsyncClient, path: str, query: Mapping[str, str]) -> Any:
    """The JSON of a read that needs no credentials; None: a 404. Raises ReadError."""
    try:
        response = await http.get(path, params=dict(query))
    except httpx.HTTPError as error:
        raise ReadError(f"transport: {error or type(error).__name__}") from error
    except OverBudget as error:
        raise ReadError(str(error)) from error
    body = parsed(response)
    if response.status_code == 404:
        return None
    if response.status_code != 200 or body is None:
        raise ReadError(f"HTTP {response.status_code}: {error_text(response, body)}")
    return body
