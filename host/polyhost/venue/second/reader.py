"""The account as the second client reads it: its own requests and signatures, each row read by itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import httpx
from py_clob_client_v2.clob_types import BalanceAllowanceParams, OpenOrderParams, TradeParams

from polyhost.venue.polymarket.account import AccountReader, Credentials, ReadError
from polyhost.venue.polymarket.pacing import Paced
from polyhost.venue.second.client import NotCalledError, SecondClient

Ask: TypeAlias = Callable[[SecondClient], object]
Asking: TypeAlias = Callable[[Ask], Awaitable[httpx.Response]]
"""Makes a call in a thread and gives its first answer. Raises NotCalledError or httpx.HTTPError."""


class SecondReader(AccountReader):
    """Orders, trades and balances through the client, page by page: its own loop over pages loses all for one.

    What it has no call for that we could use (notifications with a signature type, heartbeats whose refusal is an
    answer) goes out as plain HTTP, as in AccountReader.
    """

    def __init__(
        self, http: httpx.AsyncClient, address: str, credentials: Credentials, signature_type: int, asking: Asking,
        paced: Paced,
    ) -> None:
        super().__init__(http, address, credentials, signature_type)
        self._asking = asking
        self._paced = paced

    async def _response(self, path: str, query: Mapping[str, str]) -> httpx.Response:
        ask = _call(path, query)
        if ask is None:
            return await super()._response(path, query)
        await self._paced.before(self._http.build_request("GET", path))
        try:
            response = await self._asking(ask)
        except NotCalledError as error:
            raise ReadError(f"the client refuses: {error}") from error
        await self._paced.after(response)
        return response


def _call(path: str, query: Mapping[str, str]) -> Ask | None:
    """The client's call for a read; None: it has none."""
    cursor, market = query.get("next_cursor"), query.get("market")
    if path == "/data/orders":
        return lambda client: client.get_open_orders(OpenOrderParams(market=market), True, cursor)
    if path == "/data/trades":
        after = int(query["after"]) if "after" in query else None
        return lambda client: client.get_trades(TradeParams(market=market, after=after), True, cursor)
    if path.startswith("/data/order/"):
        return lambda client: client.get_order(path.rpartition("/")[2])
    if path == "/balance-allowance":
        params = BalanceAllowanceParams(query["asset_type"], query.get("token_id"))
        return lambda client: client.get_balance_allowance(params)
    return None


