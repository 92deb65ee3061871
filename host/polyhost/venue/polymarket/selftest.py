"""The signing self-tests: what the official client signs must be what our own hash and our own signer say.

With a known key at every start (ids would be wrong otherwise), and with the account's own key for the fast signer. The
client insists on asking a server for credentials and market facts before it signs, so a server of a few canned answers
on loopback stands in for the venue. Nothing leaves the machine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import msgspec
from loguru import logger
from polymarket import AsyncSecureClient, SignedOrder
from polymarket.errors import PolymarketError

from polyhost.errors import VenueError
from polyhost.model.gateway import OrderDraft, SignedFields
from polyhost.model.market import normal_token
from polyhost.model.rounding import limit_amounts
from polyhost.model.wallet_kinds import WalletKind
from polyhost.model.wallets import wallet_of
from polyhost.model.words import Action
from polyhost.venue.polymarket.client import DISTRIBUTION, REMEDY, environment_at, require_surface, require_version
from polyhost.venue.polymarket.endpoints import endpoints_at
from polyhost.venue.polymarket.fast_signing import FastSigner, difference, sample_drafts
from polyhost.venue.polymarket.proof import proves

KEY: Final = "0x" + "11" * 32
"""A key known to everybody; it signs only what this test throws away."""
ADDRESS: Final = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
TOKEN: Final = "71321045679252212594626385532706912750332728571942532289631379312455583992563"
CONDITION: Final = "0x" + "ab" * 32
NEG_RISK_TOKEN: Final = "52114319501245915516055106046884209969926127482827954674443846427813813222426"
NEG_RISK_CONDITION: Final = "0x" + "cd" * 32


def _facts(token: str, *, neg_risk: bool) -> dict[str, object]:
    return {
        "t": [{"t": token, "o": "Up"}, {"t": "2", "o": "Down"}], "mos": 5, "mts": 0.01, "nr": neg_risk,
        "fd": {"r": 0.07, "e": 1, "to": True},
    }


_ANSWERS: Final[dict[str, object]] = {
    "POST /auth/api-key": {"apiKey": "selftest", "secret": "c2VsZnRlc3Q=", "passphrase": "selftest"},
    "GET /deployed": {"deployed": True},
    f"GET /markets-by-token/{TOKEN}": {"condition_id": CONDITION},
    f"GET /markets-by-token/{NEG_RISK_TOKEN}": {"condition_id": NEG_RISK_CONDITION},
    f"GET /clob-markets/{CONDITION}": _facts(TOKEN, neg_risk=False),
    f"GET /clob-markets/{NEG_RISK_CONDITION}": _facts(NEG_RISK_TOKEN, neg_risk=True),
}


def fields_of(signed: SignedOrder) -> SignedFields:
    """The client's signed order as our own struct."""
    return SignedFields(
        salt=signed.salt,
        maker=signed.maker,
        signer=signed.signer,
        token_id=normal_token(signed.token_id),
        maker_amount=signed.maker_amount,
        taker_amount=signed.taker_amount,
        action=Action(signed.side),
        signature_type=signed.signature_type,
        timestamp_ms=signed.timestamp,
        metadata=signed.metadata,
        builder=signed.builder,
    )


class _CannedVenue:
    """An HTTP server on loopback that knows these answers."""

    def __init__(self) -> None:
        self._served: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        await self._server.wait_closed()
        # The client has hung up by now: each connection ends by itself.
        await asyncio.gather(*self._served)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._served.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_response(head.decode("latin-1")))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # the client hung up: that is how a connection ends
        finally:
            writer.close()


def _response(head: str) -> bytes:
    method, target = head.split(" ", 2)[:2]
    found = _ANSWERS.get(f"{method} {target.partition('?')[0]}")
    body = msgspec.json.encode({"error": "not part of the self-test"} if found is None else found)
    status = "404 Not Found" if found is None else "200 OK"
    lines = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return lines.encode() + body


async def signing_selftest() -> None:
    """Raises VenueError when the client's orders are not what our hash and rounding tables say they are."""
    require_version()
    require_surface()
    async with _CannedVenue() as url:
        try:
            client = await _canned_client(url, KEY, ADDRESS)
            try:
                await _sign_and_compare(client, ADDRESS)
            finally:
                await client.close()
        except PolymarketError as error:
            raise _unable(error) from error


async def _canned_client(url: str, private_key: str, wallet: str) -> AsyncSecureClient:
    """A client of this key that speaks to the canned answers."""
    return await AsyncSecureClient.create(
        private_key=private_key, wallet=wallet, environment=environment_at(endpoints_at(url))
    )


def _unable(error: PolymarketError) -> VenueError:
    return VenueError(f"the client cannot sign a test order: {error}; {REMEDY}", endpoint=DISTRIBUTION)


async def _sign_and_compare(client: AsyncSecureClient, owner: str) -> None:
    limit = await client.create_limit_order(token_id=TOKEN, price="0.52", size="10", side="BUY")
    market = await client.create_market_order(
        token_id=TOKEN, side="SELL", shares="10", min_price="0.37", order_type="FAK"
    )
    compare(limit, Action.BUY, 5_200, 10_000_000, owner)
    compare(market, Action.SELL, 3_700, 10_000_000, owner)


def compare(signed: SignedOrder, action: Action, price: int, size: int, owner: str = ADDRESS) -> None:
    """Raises VenueError unless amounts and hash of the order, signed by this owner, are the ones we compute."""
    amounts = limit_amounts(action, price, size)
    if (signed.maker_amount, signed.taker_amount) != tuple(amounts):
        given = f"{signed.maker_amount}/{signed.taker_amount}, expected {amounts.maker}/{amounts.taker}"
        raise VenueError(f"the client rounds amounts differently ({given}); {REMEDY}", endpoint=DISTRIBUTION)
    if not proves(fields_of(signed), signed.signature, owner):
        raise VenueError(f"the client's order hash is not ours: ids would be wrong; {REMEDY}", endpoint=DISTRIBUTION)


Sign: TypeAlias = Callable[[AsyncSecureClient, OrderDraft], Awaitable[SignedOrder]]
"""Has the client sign a draft."""


class Rehearsal:
    """Both self-tests of a key, with one client, before the venue is asked for anything: making a client costs 0.2 s.

    Not for a deposit wallet: which one it is, the venue says.
    """

    def __init__(self, private_key: str, kind: WalletKind, owner: str, sign: Sign) -> None:
        """``owner``: the key's own address."""
        self._key = private_key
        self._kind = kind
        self._owner = owner
        self._sign = sign
        self._passed = False
        self._signer: FastSigner | None = None
        self._difference = ""

    async def run(self) -> None:
        """Once: neither client nor tables change while the process lives. Raises VenueError as ``signing_selftest``."""
        if self._passed:
            return
        require_version()
        require_surface()
        wallet = wallet_of(self._owner, self._kind)
        signer = _fast_signer(self._key, self._kind, wallet, self._owner)
        async with _CannedVenue() as url:
            try:
                client = await _canned_client(url, self._key, wallet)
                try:
                    await _sign_and_compare(client, self._owner)
                    self._difference = await _first_difference(signer, client, self._sign)
                finally:
                    await client.close()
            except PolymarketError as error:
                raise _unable(error) from error
        self._signer, self._passed = signer, True

    def signer(self) -> FastSigner | None:
        """Who signs without the client, once it ran; None, told with the first difference, where the client must."""
        return _slower(self._difference) if self._difference else self._signer


async def fast_signer(private_key: str, kind: WalletKind, wallet: str, owner: str, sign: Sign) -> FastSigner | None:
    """The fast signer of an account, once it signed orders of every kind exactly as the client does with the same key.

    None, told once with the first difference, when it did not: then the client signs. Nothing of this is sent: the
    client is aimed at the canned answers.
    """
    signer = _fast_signer(private_key, kind, wallet, owner)
    async with _CannedVenue() as url:
        try:
            client = await _canned_client(url, private_key, wallet)
        except (PolymarketError, ValueError) as error:
            return _slower(f"the client signs no samples: {error}")
        try:
            problem = await _first_difference(signer, client, sign)
        finally:
            await client.close()
    return _slower(problem) if problem else signer


def _fast_signer(private_key: str, kind: WalletKind, wallet: str, owner: str) -> FastSigner:
    return FastSigner(private_key, kind, maker=wallet, signer=wallet if kind is WalletKind.DEPOSIT else owner)


def _slower(problem: str) -> FastSigner | None:
    logger.warning("orders are signed by the client, slower: the fast signer differs from it ({})", problem)
    return None


async def _first_difference(signer: FastSigner, client: AsyncSecureClient, sign: Sign) -> str:
    """What of the samples the client signs otherwise, or why it does not; empty: every byte is the same."""
    try:
        for token, neg_risk in ((TOKEN, False), (NEG_RISK_TOKEN, True)):
            for draft in sample_drafts(token, neg_risk, int(time.time())):
                signed = await sign(client, draft)
                amounts = limit_amounts(draft.action, draft.price, draft.size)
                problem = difference(signer, draft, amounts, fields_of(signed), signed.signature)
                if problem:
                    return problem
    except (PolymarketError, ValueError) as error:
        return f"the client signs no samples: {error}"
    return ""
