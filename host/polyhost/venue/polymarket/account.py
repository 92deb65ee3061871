"""Reads of an account: its orders, trades and balances, signed with the API credentials.

The official client parses a page of orders all or nothing: one ``associate_trades: null`` and none of them is seen,
when an order's fate may hang on it. So what changes something goes through the client, and what only asks goes here,
where each row is read by itself.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import httpx
import msgspec
from msgspec import Struct

from polyhost.model.money import Micros
from polyhost.model.order_hash import NEG_RISK_EXCHANGE, STANDARD_EXCHANGE
from polyhost.venue.budget import OverBudget
from polyhost.venue.polymarket.heartbeats import Beaten
from polyhost.venue.polymarket.outcomes import ABSENT, FOUND, Answer, classify

END_CURSOR: Final = "LTE="
PAGES_MAX: Final = 50
"""Pages of a list read at most: 5,000 rows. More is told as incomplete."""


class Credentials(Struct, frozen=True):
    """API credentials; never shown."""

    key: str
    secret: str
    passphrase: str

    def __repr__(self) -> str:
        return "Credentials(<redacted>)"


class ReadError(Exception):
    """No usable answer; the text says which and why."""


class Pages(Struct):
    """Rows of all pages; ``problem`` says what is missing, empty when nothing is."""

    rows: list[Mapping[str, Any]]
    problem: str = ""


def l2_headers(
    address: str, credentials: Credentials, method: str, path: str, body: str = "", *, now_s: int
) -> dict[str, str]:
    """The five headers of an authenticated request; ``path`` without host and query."""
    padded = credentials.secret + "=" * (-len(credentials.secret) % 4)
    message = f"{now_s}{method}{path}{body}".encode()
    digest = hmac.new(base64.urlsafe_b64decode(padded), message, hashlib.sha256).digest()
    return {
        "POLY_ADDRESS": address,
        "POLY_API_KEY": credentials.key,
        "POLY_PASSPHRASE": credentials.passphrase,
        "POLY_TIMESTAMP": str(now_s),
        "POLY_SIGNATURE": base64.urlsafe_b64encode(digest).decode(),
    }


class AccountReader:
    """Authenticated reads of one account. Not found is None; anything unusable raises ReadError."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        address: str,
        credentials: Credentials,
        signature_type: int,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        """``http`` has the CLOB's base address; ``address`` is the signer's."""
        self._http = http
        self._address = address
        self._credentials = credentials
        self._signature_type = signature_type
        self._wall_s = wall_s

    async def order(self, order_id: str) -> Mapping[str, Any] | None:
        data = await self._get(f"/data/order/{order_id}", {})
        if data is not None and not isinstance(data, dict):
            raise ReadError(f"malformed: an order that is {type(data).__name__}")
        # Some versions wrap it.
        return data.get("order", data) if data else None

    async def open_orders(self, condition_id: str) -> Pages:
        return await self._pages("/data/orders", {"market": condition_id} if condition_id else {})

    async def trades(self, condition_id: str, since_s: int) -> Pages:
        query = {"market": condition_id} if condition_id else {}
        return await self._pages("/data/trades", query | ({"after": str(since_s)} if since_s else {}))

    async def collateral(self) -> tuple[Micros, bool]:
        """Balance, and whether both exchanges may spend it."""
        data = await self._balance({"asset_type": "COLLATERAL"})
        return _micros(data, "balance"), _approved(data)

    async def refresh(self) -> None:
        """Have the venue read the wallet's balances from the chain. Raises ReadError."""
        await self._get(
            "/balance-allowance/update", {"asset_type": "COLLATERAL", "signature_type": str(self._signature_type)}
        )

    async def token(self, token_id: str) -> Micros:
        data = await self._balance({"asset_type": "CONDITIONAL", "token_id": token_id})
        return _micros(data, "balance")

    async def notifications(self) -> list[Mapping[str, Any]]:
        """What the venue tells the wallet, in its own words."""
        data = await self._get("/notifications", {"signature_type": str(self._signature_type)})
        if data is not None and not (isinstance(data, list) and all(isinstance(row, dict) for row in data)):
            raise ReadError("malformed: notifications that are no list of objects")
        return data or []

    async def drop_notifications(self, ids: Sequence[int]) -> None:
        """Have the venue forget some. Raises ReadError when it did not say that it has."""
        path, query = "/notifications", {"ids": ",".join(map(str, ids)), "signature_type": str(self._signature_type)}
        headers = l2_headers(self._address, self._credentials, "DELETE", path, now_s=int(self._wall_s()))
        try:
            response = await self._http.delete(path, params=query, headers=headers)
        except httpx.HTTPError as error:
            raise ReadError(f"transport: {error or type(error).__name__}") from error
        except OverBudget as error:
            raise ReadError(str(error)) from error
        if response.status_code != 200:
            raise ReadError(f"HTTP {response.status_code}: {error_text(response, parsed(response))}")

    async def heartbeat(self, shown: str) -> Beaten:
        """Say one heartbeat that shows this id. Raises ReadError for an answer that is none of the two."""
        path, body = "/v1/heartbeats", msgspec.json.encode({"heartbeat_id": shown})
        headers = l2_headers(self._address, self._credentials, "POST", path, body.decode(), now_s=int(self._wall_s()))
        headers["Content-Type"] = "application/json"
        try:
            response = await self._http.post(path, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise ReadError(f"transport: {error or type(error).__name__}") from error
        said = parsed(response)
        following = said.get("heartbeat_id") if isinstance(said, dict) else None
        if response.status_code not in (200, 400) or not isinstance(following, str):
            raise ReadError(f"HTTP {response.status_code}: {error_text(response, said)}")
        accepted = response.status_code == 200
        return Beaten(accepted, following, "" if accepted else str(said.get("error_msg")))

    async def _balance(self, query: dict[str, str]) -> Mapping[str, Any]:
        data = await self._get("/balance-allowance", query | {"signature_type": str(self._signature_type)})
        if not isinstance(data, dict):
            raise ReadError("malformed: a balance that is no object")
        return data

    async def _pages(self, path: str, query: dict[str, str]) -> Pages:
        pages = Pages([])
        cursor, seen = "", set[str]()
        for _ in range(PAGES_MAX):
            try:
                data = await self._get(path, query | ({"next_cursor": cursor} if cursor else {}))
            except ReadError as error:
                pages.problem = str(error)
                return pages
            rows = data.get("data") if isinstance(data, dict) else data
            if not isinstance(rows, list):
                pages.problem = f"malformed: {path} without data"
                return pages
            pages.rows += rows
            cursor = str(data.get("next_cursor") or END_CURSOR) if isinstance(data, dict) else END_CURSOR
            if cursor == END_CURSOR:
                return pages
            if cursor in seen:
                pages.problem = f"malformed: {path} repeats a cursor"
                return pages
            seen.add(cursor)
        pages.problem = f"more than {PAGES_MAX} pages of {path}"
        return pages

    async def _get(self, path: str, query: Mapping[str, str]) -> Any:
        """The parsed body, or None when there is none (404, empty, null). Raises ReadError."""
        try:
            response = await self._response(path, query)
        except httpx.HTTPError as error:
            raise ReadError(f"transport: {error or type(error).__name__}") from error
        except OverBudget as error:
            raise ReadError(str(error)) from error
        if response.status_code == 200 and response.content.strip() in (b"", b"null", b'""'):
            return None
        body = parsed(response)
        row = classify("query", Answer(response.status_code, error_text(response, body), "found"))
        if row.meaning == ABSENT:
            return None
        if row.meaning != FOUND or response.status_code != 200:
            raise ReadError(f"HTTP {response.status_code}: {error_text(response, body)}")
        if body is None:
            raise ReadError("malformed: not JSON")
        return body


    async def _response(self, path: str, query: Mapping[str, str]) -> httpx.Response:
        """What the venue answers, whatever its status. Raises httpx.HTTPError or OverBudget."""
        headers = l2_headers(self._address, self._credentials, "GET", path, now_s=int(self._wall_s()))
        return await self._http.get(path, params=dict(query), headers=headers)


def parsed(response: httpx.Response) -> Any:
    """The JSON body, or None when it is none."""
    try:
        return msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        return None


def error_text(response: httpx.Response, body: Any) -> str:
    """The venue's own words for a failure, at most 200 characters."""
    text = body.get("error") if isinstance(body, dict) else None
    return str(text or response.text)[:200]


def _micros(data: Mapping[str, Any], field: str) -> Micros:
    text = str(data.get(field))
    if not text.isascii() or not text.isdigit():
        raise ReadError(f"malformed: {field} is {data.get(field)!r}")
    return int(text)


def _approved(data: Mapping[str, Any]) -> bool:
    allowances = data.get("allowances")
    if isinstance(allowances, dict):
        by_address = {str(address).lower(): value for address, value in allowances.items()}
        wanted = [by_address.get(exchange.lower(), "0") for exchange in (STANDARD_EXCHANGE, NEG_RISK_EXCHANGE)]
        return all(_micros({"allowance": value}, "allowance") > 0 for value in wanted)
    return _micros(data, "allowance") > 0
