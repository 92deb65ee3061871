"""The second client, aimed and checked: the only place that touches a private name of it, or trusts its shape.

py-clob-client-v2 is synchronous, keeps one HTTP connection pool for the whole module (which obeys proxies, also on
loopback, and whose timeouts cannot be set), throws the headers of an error away, and holds the answer to a matched
order back until its trades are mined. So its requests go out here, through a connection of ours, and what came back is
kept as it came; headers, signatures and bodies are the client's own.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final

import httpx
from py_clob_client_v2.client import ClobClient
from py_clob_client_v2.exceptions import PolyApiException
from py_clob_client_v2.order_utils import (
    ExchangeOrderBuilderV2,
    OrderDataV2,
    Side,
    SignatureTypeV2,
    SignedOrderV2,
)

from polyhost.model.clients import SECOND
from polyhost.model.gateway import OrderRequest, SignedFields
from polyhost.model.market import normal_token
from polyhost.model.order_hash import CHAIN_ID, exchange_address
from polyhost.model.words import Action
from polyhost.venue.drift import Relied

VERSION: Final = "1.2.1"
"""The release that was read line by line; the surface below and the private names hold for it."""
REMEDY: Final = f"install the tested release: pip install {SECOND}=={VERSION}"
REQUESTS_MAX: Final = 50
"""Requests of one call at most: its lists go on as long as the venue names another page."""

SURFACE: Final[Mapping[str, tuple[str, ...]]] = {
    "create_or_derive_api_key": ("nonce",),
    "set_api_creds": ("creds",),
    "post_order": ("order", "order_type", "post_only", "defer_exec"),
    "post_orders": ("args", "post_only", "defer_exec"),
    "cancel_order": ("payload",),
    "cancel_orders": ("order_hashes",),
    "cancel_market_orders": ("payload",),
    "cancel_all": (),
    "get_order": ("order_id",),
    "get_open_orders": ("params", "only_first_page", "next_cursor"),
    "get_trades": ("params", "only_first_page", "next_cursor"),
    "get_balance_allowance": ("params",),
    "are_orders_scoring": ("params",),
    "get_earnings_for_user_for_day": ("date",),
    "get_builder_trades": ("params", "next_cursor"),
    # Private: replaced below, so that what calls them must still be there.
    "_get": ("endpoint", "headers", "params"),
    "_post": ("endpoint", "headers", "data", "params"),
    "_delete": ("endpoint", "headers", "data", "params"),
    "_resolve_transactions_hashes": ("response",),
}
"""Methods of the client that we call or replace, with the parameters we pass."""
SIGNED_FIELDS: Final = frozenset(
    {
        "salt", "maker", "signer", "tokenId", "makerAmount", "takerAmount", "side", "signatureType", "timestamp",
        "metadata", "builder", "expiration", "signature",
    }
)  # fmt: skip
"""Fields of the client's signed order: all of them go into the journal, so a new one is drift."""
_SIDES: Final = {Action.BUY: Side.BUY, Action.SELL: Side.SELL}


RELIED: Final = Relied(SECOND, VERSION, SURFACE, SIGNED_FIELDS, REMEDY)


def require_version(installed: str | None = None) -> None:
    """Raises VenueError unless exactly the tested release is installed."""
    RELIED.require_version(installed)


def require_surface(client: type = ClobClient, order: type = SignedOrderV2) -> None:
    """Raises VenueError unless the client has every method, parameter and order field we rely on."""
    RELIED.require_surface(client, frozenset(inspect.signature(order).parameters))


class Call:
    """One call of the client: what it sent and what came back."""

    __slots__ = ("responses", "sent")

    def __init__(self) -> None:
        self.sent = 0
        """Requests that were begun: with none of them nothing can be at the venue."""
        self.responses: list[httpx.Response] = []


class NotCalledError(Exception):
    """The client refused before it sent anything."""


class SecondClient(ClobClient):  # type: ignore[misc]
    """``ClobClient`` over a connection of ours; it sends each request once and never waits for settlement."""

    def __init__(self, url: str, http: httpx.Client, private_key: str, wallet: str, signature_type: int) -> None:
        super().__init__(url, CHAIN_ID, private_key, signature_type=SignatureTypeV2(signature_type), funder=wallet)
        self.http = http
        self._call: ContextVar[Call] = ContextVar("call")

    def asked(self, ask: Callable[[SecondClient], object]) -> Call:
        """Make one call, in this thread, and give everything that came back, whatever its status.

        Raises NotCalledError when nothing was sent, httpx.HTTPError when there was no answer.
        """
        call = Call()
        token = self._call.set(call)
        try:
            ask(self)
        except httpx.HTTPError:
            raise
        except Exception as error:  # the client's own words for an answer it did not like: the answer speaks for itself
            if not call.sent:
                raise NotCalledError(f"{error or type(error).__name__}") from error
        finally:
            self._call.reset(token)
        if not call.responses:
            raise NotCalledError("the client sent nothing")
        return call

    def _get(self, endpoint: str, headers: Any = None, params: Any = None) -> Any:
        return self._say("GET", endpoint, headers, None, params)

    def _post(self, endpoint: str, headers: Any = None, data: Any = None, params: Any = None) -> Any:
        return self._say("POST", endpoint, headers, data, params)

    def _delete(self, endpoint: str, headers: Any = None, data: Any = None, params: Any = None) -> Any:
        return self._say("DELETE", endpoint, headers, data, params)

    def _resolve_transactions_hashes(self, response: Any) -> Any:
        """The answer as it is: its trades come over the stream, and an order's fate must not wait for the chain."""
        return response

    def _say(self, method: str, endpoint: str, headers: Any, data: Any, params: Any) -> Any:
        call = self._call.get()
        if call.sent >= REQUESTS_MAX:
            raise PolyApiException(error_msg=f"more than {REQUESTS_MAX} requests in one call")
        call.sent += 1
        content = data if data is None or isinstance(data, str) else json.dumps(data)
        response = self.http.request(
            method, endpoint, headers={"Content-Type": "application/json", **(headers or {})}, content=content,
            params=params,
        )
        call.responses.append(response)
        if response.status_code != 200:
            raise PolyApiException(response)
        try:
            return response.json()
        except ValueError:
            return response.text

    def signed(self, fields: SignedFields, *, neg_risk: bool) -> SignedOrderV2:
        """Sign exactly these amounts, at this time and with this salt (0: the client's own).

        ``create_order`` is not used: it computes amounts in floating point, and signs a lot less than it was told for
        one order in sixteen.
        """
        builder = ExchangeOrderBuilderV2(exchange_address(neg_risk), CHAIN_ID, self.signer)
        if fields.salt:
            builder.generate_salt = lambda: str(fields.salt)
        return builder.build_signed_order(
            OrderDataV2(
                maker=fields.maker, tokenId=fields.token_id, makerAmount=str(fields.maker_amount),
                takerAmount=str(fields.taker_amount), side=_SIDES[fields.action], signer=fields.signer,
                signatureType=SignatureTypeV2(fields.signature_type), metadata=fields.metadata, builder=fields.builder,
                timestamp=str(fields.timestamp_ms) if fields.timestamp_ms else None,
            )
        )


def fields_of(signed: SignedOrderV2) -> SignedFields:
    """The client's signed order as our own struct."""
    return SignedFields(
        salt=int(signed.salt), maker=signed.maker, signer=signed.signer, token_id=normal_token(signed.tokenId),
        maker_amount=int(signed.makerAmount), taker_amount=int(signed.takerAmount),
        action=Action.BUY if signed.side is Side.BUY else Action.SELL, signature_type=int(signed.signatureType),
        timestamp_ms=int(signed.timestamp), metadata=signed.metadata, builder=signed.builder,
    )


def signed_order(request: OrderRequest) -> SignedOrderV2:
    """The client's order from what the journal holds: the same bytes as when it was signed."""
    fields = request.fields
    return SignedOrderV2(
        salt=str(fields.salt), maker=fields.maker, signer=fields.signer, tokenId=fields.token_id,
        makerAmount=str(fields.maker_amount), takerAmount=str(fields.taker_amount), side=_SIDES[fields.action],
        signatureType=SignatureTypeV2(fields.signature_type), timestamp=str(fields.timestamp_ms),
        metadata=fields.metadata, builder=fields.builder, expiration=str(request.expiration_s),
        signature=request.signature,
    )
