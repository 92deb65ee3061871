"""What the venue says of one account, asked part by part: one part that fails hides no other.

Runs where the key is, because most of it needs the API credentials; nothing here signs anything or changes anything.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import httpx
import msgspec

from polyhost.errors import VenueError
from polyhost.model.examination import Examination, Holding, Missing, SocketHeard
from polyhost.model.relayer import RelayerKey
from polyhost.model.wallet_kinds import WalletKind
from polyhost.model.wallets import wallet_of
from polyhost.venue.polymarket.account import AccountReader, Credentials, ReadError, error_text, l2_headers, parsed
from polyhost.venue.polymarket.endpoints import Endpoints
from polyhost.venue.polymarket.http import http_client
from polyhost.venue.polymarket.market_stream import is_pong
from polyhost.venue.polymarket.streams import greeting_of_prices, greeting_of_user, is_op_pong, subscription
from polyhost.venue.probe import probe

MANUAL: Final = (
    "open polymarket.com with this wallet and confirm \"Enable trading\": the website asks for the same approvals, "
    "without gas"
)
"""How a person gives a contract wallet's approvals."""
RELAYER_KEYS: Final = "/relayer/api/keys"
"""The relayer's list of an address's keys, for whoever shows one of them (docs.polymarket.com, api-reference,
relayer-api-keys, read 2026-11)."""
NOT_TAKEN: Final = (401, 403)
PRICE_PING: Final = '{"op":"ping"}'
T = TypeVar("T")


class Asking(NamedTuple):
    """With what the venue is asked."""

    clob: httpx.AsyncClient
    owner: str
    """The key's own address."""
    wallet: str
    """Address that trades."""
    kind: WalletKind
    credentials: Credentials
    endpoints: Endpoints
    symbols: Sequence[str]
    missing: Callable[[], Awaitable[tuple[Missing, ...]]]
    """Approvals that are not given, as the client knows them. Raises VenueError."""
    relayer: RelayerKey | None = None


async def examine(by: Asking) -> Examination:
    """Everything at once. Never raises for what the venue or the network does."""
    problems: dict[str, str] = {}
    money, missing, closed, user, prices, relayer = await asyncio.gather(
        _money(by, problems),
        _part(by.missing(), "missing", problems),
        _part(_closed_only(by), "closed_only", problems),
        _user_stream(by),
        _price_stream(by),
        _part(_relayer(by), "relayer", problems),
    )
    return Examination(
        by.owner, by.kind, by.wallet, money.collateral, money.approved, missing, money.holdings, closed,
        user, prices, problems, relayer,
    )


async def _part(asking: Awaitable[T], name: str, problems: dict[str, str]) -> T | None:
    try:
        return await asking
    except (ReadError, VenueError, httpx.HTTPError, ValueError) as error:
        problems[name] = str(error) or type(error).__name__
        return None


def _reader(by: Asking, kind: WalletKind) -> AccountReader:
    return AccountReader(by.clob, by.owner, by.credentials, kind)


class _Money(NamedTuple):
    collateral: int | None = None
    approved: bool | None = None
    holdings: tuple[Holding, ...] | None = None


async def _money(by: Asking, problems: dict[str, str]) -> _Money:
    """The account's own collateral, then what the key's other wallets hold: balances are asked sparingly (ORD-03)."""
    own = await _part(_reader(by, by.kind).collateral(), "collateral", problems)
    if own is None:
        return _Money()
    collateral, approved = own
    return _Money(collateral, approved, await _part(_holdings(by, collateral), "holdings", problems))


async def _holdings(by: Asking, own: int) -> tuple[Holding, ...]:
    found = []
    for kind in WalletKind:
        if kind is by.kind:
            found.append(Holding(kind, by.wallet, own))
            continue
        reader = _reader(by, kind)
        if not own:
            # Where is it, then? What never traded is not in the CLOB's cache: it has to look at the chain.
            await reader.refresh()
        found.append(Holding(kind, wallet_of(by.owner, kind), (await reader.collateral())[0]))
    return tuple(found)


async def _closed_only(by: Asking) -> bool:
    path = "/auth/ban-status/closed-only"
    headers = l2_headers(by.owner, by.credentials, "GET", path, now_s=int(time.time()))
    response = await by.clob.get(path, headers=headers)
    said: Any = parsed(response)
    value = said.get("closed_only") if isinstance(said, dict) else None
    if response.status_code != 200 or not isinstance(value, bool):
        raise ReadError(f"HTTP {response.status_code}: {error_text(response, said)}")
    return value


async def _relayer(by: Asking) -> bool | None:
    """Does the relayer know the key? Nothing that it answers is repeated: it may hold keys."""
    key = by.relayer
    if key is None or key.secret:
        return None
    headers = {"RELAYER_API_KEY": key.key, "RELAYER_API_KEY_ADDRESS": key.address or by.owner}
    async with http_client(by.endpoints.relayer, None, live=by.endpoints.live) as relayer:
        status = (await relayer.get(RELAYER_KEYS, headers=headers)).status_code
    if status not in (200, *NOT_TAKEN):
        raise ReadError(f"HTTP {status}")
    return status == 200


async def _user_stream(by: Asking) -> SocketHeard:
    """An account without orders is told nothing: the answer to a ping behind the subscription shows it was read."""
    return await probe(
        by.endpoints.user_ws, greeting_of_user(by.credentials), is_first=is_pong, is_pong=is_pong
    )


async def _price_stream(by: Asking) -> SocketHeard | None:
    if not by.symbols:
        return None  # nothing would come: waiting for it is only slow

    def authed(raw: bytes) -> Sequence[str]:
        return (subscription("subscribe", by.symbols, "2"), PRICE_PING) if _op(raw) == "authed" else ()

    return await probe(
        by.endpoints.price_ws, (greeting_of_prices(by.credentials, "1"),), is_first=lambda raw: _op(raw) is None,
        is_pong=is_op_pong, then=authed,
    )


def _op(raw: bytes) -> str | None:
    """What kind of a frame of the price stream it is; None: prices. What cannot be read is some other kind."""
    try:
        said = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return "unreadable"
    first = said[0] if isinstance(said, list) and said else said
    return first.get("op") if isinstance(first, dict) else "unreadable"
