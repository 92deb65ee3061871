"""Look-ups in Gamma and the CLOB's public pages: a market by its slug, and its result. Not found is an answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx

from polyhost.errors import VenueError
from polyhost.model.events import MarketResolved
from polyhost.model.market import Market, normal_token
from polyhost.model.words import Side
from polyhost.venue.polymarket.account import error_text, parsed
from polyhost.venue.polymarket.gamma import GammaError, market_of, resolution_of


class Catalogue:
    """Markets by slug and results by slug or condition id.

    ``gamma`` and ``clob`` have those services' base addresses. VenueError when there is no usable answer, GammaError
    when an object cannot be understood.
    """

    def __init__(self, gamma: httpx.AsyncClient, clob: httpx.AsyncClient) -> None:
        self._gamma = gamma
        self._clob = clob

    async def object(self, slug: str) -> Mapping[str, Any] | None:
        """Gamma's market object, or None when there is none (yet)."""
        return await _get(self._gamma, f"/markets/slug/{quote(slug, safe='')}")

    async def market(self, slug: str) -> Market | None:
        data = await self.object(slug)
        return None if data is None else market_of(data)

    async def by_condition(self, condition_id: str) -> Market | None:
        """The market of a condition, by the catalogue's lists: of the open ones, then of the closed ones."""
        for closed in ("false", "true"):
            query = f"condition_ids={quote(condition_id, safe='')}&closed={closed}&limit=2"
            data = await _get(self._gamma, f"/markets/keyset?{query}")
            rows = data.get("markets") if data is not None else None
            for row in rows if isinstance(rows, list) else ():
                market = market_of(row)
                if market.condition_id.lower() == condition_id.lower():
                    return market
        return None

    async def ending_at(self, symbol: str, end_ms: int) -> list[Market]:
        """Up or Down windows of a symbol that end at this market ms, by the catalogue's lists.

        For windows whose slug names two of them. A listed object that cannot be understood is left out.
        """
        moment = datetime.fromtimestamp(end_ms / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        query = f"tag_slug=up-or-down&end_date_min={moment}&end_date_max={moment}&limit=100"
        data = await _get(self._gamma, f"/markets/keyset?{query}")
        rows = data.get("markets") if data is not None else None
        found = []
        for row in rows if isinstance(rows, list) else ():
            try:
                market = market_of(row)
            except GammaError:
                continue
            if market.symbol == symbol and market.end == end_ms:
                found.append(market)
        return found

    async def result(self, condition_id: str, slug: str) -> MarketResolved | None:
        """The venue's own result: Gamma's, else the winner that the CLOB names; None while there is none."""
        data = await self.object(slug) if slug else None
        found = resolution_of(data) if data is not None else None
        if found is not None:
            return MarketResolved(condition_id, found.winner, "gamma", found.final)
        legacy = await _get(self._clob, f"/markets/{quote(condition_id, safe='')}")
        return None if legacy is None else _winner(condition_id, legacy)


def _winner(condition_id: str, data: Mapping[str, Any]) -> MarketResolved | None:
    tokens = data.get("tokens")
    if not data.get("closed") or not isinstance(tokens, list) or len(tokens) != 2:
        return None
    flags = [isinstance(token, dict) and token.get("winner") is True for token in tokens]
    if sum(flags) == 1:
        outcome = str(tokens[flags.index(True)].get("outcome") or "").lower()
        first = flags[0] if outcome not in ("up", "down") else outcome == "up"
        return MarketResolved(condition_id, Side.UP if first else Side.DOWN, "clob")
    return MarketResolved(condition_id, None, "clob") if data.get("is_50_50_outcome") is True else None


def resolved_by_message(market: Market, winning_token: str, winning_outcome: str) -> MarketResolved | None:
    """What a ``market_resolved`` message says; None when it names no outcome of this market."""
    side = market.side_of(normal_token(winning_token)) if winning_token else None
    if side is None and winning_outcome.upper() in (Side.UP, Side.DOWN):
        side = Side(winning_outcome.upper())
    return None if side is None else MarketResolved(market.condition_id, side, "stream")


async def _get(http: httpx.AsyncClient, path: str) -> Mapping[str, Any] | None:
    try:
        response = await http.get(path)
    except httpx.HTTPError as error:
        raise VenueError(str(error) or type(error).__name__, endpoint=path) from error
    body = parsed(response)
    if response.status_code == 404:
        return None
    if response.status_code != 200 or not isinstance(body, dict):
        raise VenueError(f"HTTP {response.status_code}: {error_text(response, body)}", endpoint=path)
    return body
