"""Books and midpoints by request: the witness of the stream, and what exits go by while the stream is lost.

A book that is not there is an answer (CON-05): new markets have none for a while, and ended ones have none any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx
import msgspec

from polyhost.errors import VenueError
from polyhost.model.market import normal_token
from polyhost.model.messages import Message
from polyhost.venue.polymarket.account import error_text, parsed

TOKENS_MAX: Final = 500
"""Tokens of one batch (venue rule)."""

_BOOKS: Final = msgspec.json.Decoder(list[Message])
_BOOK: Final = msgspec.json.Decoder(Message)


class RestBooks:
    """Public reads of the order book. VenueError when there is no usable answer."""

    def __init__(self, clob: httpx.AsyncClient) -> None:
        self._clob = clob

    async def books(self, tokens: Sequence[str]) -> dict[str, Message]:
        """Books by token, as many as there are."""
        found: dict[str, Message] = {}
        for start in range(0, len(tokens), TOKENS_MAX):
            body = [{"token_id": token} for token in tokens[start : start + TOKENS_MAX]]
            content = await self._post("/books", body)
            for book in _decoded(_BOOKS, content, "/books") if content is not None else []:
                found[normal_token(book.asset_id)] = book
        return found

    async def midpoints(self, tokens: Sequence[str]) -> dict[str, str]:
        """Midpoints by token, as many as there are."""
        content = await self._post("/midpoints", [{"token_id": token} for token in tokens[:TOKENS_MAX]])
        body = {} if content is None else _object(content, "/midpoints")
        return {normal_token(str(token)): str(price) for token, price in body.items()}

    async def midpoint(self, token: str) -> str | None:
        content = await self._get("/midpoint", {"token_id": token})
        found = {} if content is None else _object(content, "/midpoint")
        return str(found["mid"]) if found.get("mid") else None

    async def book(self, token: str) -> Message | None:
        content = await self._get("/book", {"token_id": token})
        return None if content is None else _decoded(_BOOK, content, "/book")

    async def _post(self, path: str, body: object) -> bytes | None:
        try:
            return _content(await self._clob.post(path, json=body), path)
        except httpx.HTTPError as error:
            raise VenueError(str(error) or type(error).__name__, endpoint=path) from error

    async def _get(self, path: str, query: Mapping[str, str]) -> bytes | None:
        try:
            return _content(await self._clob.get(path, params=dict(query)), path)
        except httpx.HTTPError as error:
            raise VenueError(str(error) or type(error).__name__, endpoint=path) from error


def _content(response: httpx.Response, path: str) -> bytes | None:
    if response.status_code == 404:
        return None
    if response.status_code != 200:
        raise VenueError(f"HTTP {response.status_code}: {error_text(response, parsed(response))}", endpoint=path)
    return response.content


def _decoded(decoder: msgspec.json.Decoder[Any], content: bytes, path: str) -> Any:
    try:
        return decoder.decode(content)
    except msgspec.DecodeError as error:
        raise VenueError(f"malformed: {error}", endpoint=path) from error


def _object(content: bytes, path: str) -> Mapping[str, Any]:
    try:
        body = msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        raise VenueError(f"malformed: {error}", endpoint=path) from error
    if not isinstance(body, dict):
        raise VenueError(f"malformed: {type(body).__name__}", endpoint=path)
    return body
