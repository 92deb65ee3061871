"""The venue's relayer: takes transactions of contract wallets, signed by their owner, and tells how they fare.

Shapes and texts: polymarket.md 9. The relayer's API keys are made on the venue's website; here any key is taken: what
authorises a transaction is its signature, which is verified.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, Final

import msgspec
from aiohttp import web
from eth_utils.address import is_address, to_checksum_address

from polyhost.exchange import api
from polyhost.exchange.chain import CONFIRMED, FAILED, MINED, NEW
from polyhost.exchange.server.abi import CallError, call_of, proxy_calls, raw_bytes, safe_calls
from polyhost.exchange.server.chain_signatures import WalletCall, batch_signer, proxy_signer, safe_signer
from polyhost.exchange.server.contracts import RELAY, RELAY_HUB
from polyhost.exchange.server.engine import Engine, wall_ms
from polyhost.exchange.server.http import ENGINE, HttpError, answer, json_body
from polyhost.model.wallet_kinds import WalletKind
from polyhost.model.wallets import DEPOSIT_FACTORY, PROXY_FACTORY

KINDS: Final = {"SAFE": WalletKind.SAFE, "PROXY": WalletKind.PROXY, "WALLET": WalletKind.DEPOSIT}
CREATE: Final = "WALLET-CREATE"
STATES: Final = {NEW: "STATE_NEW", MINED: "STATE_MINED", CONFIRMED: "STATE_CONFIRMED", FAILED: "STATE_FAILED"}
EXECUTED: Final = "STATE_EXECUTED"

routes = web.RouteTableDef()


class Call(msgspec.Struct, frozen=True):
    """One call of a deposit wallet."""

    target: str
    value: str
    data: str


class WalletParams(msgspec.Struct, frozen=True):
    depositWallet: str  # noqa: N815 the wire's own names
    deadline: str
    calls: list[Call]


class SignatureParams(msgspec.Struct, frozen=True):
    """Of Safe (operation) and proxy transactions (gas and relay)."""

    operation: str = "0"
    gasLimit: str = "0"  # noqa: N815
    gasPrice: str = "0"  # noqa: N815
    relayerFee: str = "0"  # noqa: N815
    relay: str = ""
    relayHub: str = ""  # noqa: N815


class Submit(msgspec.Struct, rename={"owner": "from"}):
    """The body of ``/submit``."""

    type: str
    owner: str
    to: str
    nonce: str = "0"
    signature: str = ""
    data: str = "0x"
    value: str = "0"
    proxyWallet: str = ""  # noqa: N815
    depositWalletParams: WalletParams | None = None  # noqa: N815
    signatureParams: SignatureParams = SignatureParams()  # noqa: N815
    metadata: str = ""


BUILDER: Final = ("API_KEY", "PASSPHRASE", "SIGNATURE", "TIMESTAMP")
"""What a builder key's requests carry, each as ``POLY_BUILDER_…``."""


def _authorized(request: web.Request) -> str:
    """Address whose relayer key this is; empty: a builder key's, which may be anybody's. Raises HttpError 401."""
    headers = request.headers
    owner = headers.get("RELAYER_API_KEY_ADDRESS", "")
    if headers.get("RELAYER_API_KEY") and is_address(owner):
        return str(to_checksum_address(owner))
    if all(headers.get(f"POLY_BUILDER_{name}") for name in BUILDER):
        return ""
    raise HttpError(401, "invalid authorization")


def _wallet(engine: Engine, owner: str, kind: str) -> str:
    """The wallet of this type that belongs to an owner. Raises HttpError 400."""
    if kind not in KINDS or not is_address(owner):
        raise HttpError(400, "invalid address or type")
    return engine.wallets.of(to_checksum_address(owner), KINDS[kind])


@routes.get("/relayer/api/keys")
async def keys(request: web.Request) -> web.Response:
    """The keys of the address whose key is shown: here this one. A builder key does not do."""
    owner = _authorized(request)
    if not owner:
        raise HttpError(401, "invalid authorization")
    made = "2026-01-01T00:00:00Z"
    shown = request.headers["RELAYER_API_KEY"]
    return answer([{"apiKey": shown, "address": owner, "createdAt": made, "updatedAt": made}])


@routes.get("/v1/account/transactions/params")
async def params(request: web.Request) -> web.Response:
    """The nonce that the wallet's next transaction must carry."""
    engine, owner = request.app[ENGINE], request.query.get("address", "")
    wallet = _wallet(engine, owner, request.query.get("type", ""))
    return answer({"address": to_checksum_address(owner), "nonce": str(engine.world.exchange.nonce(wallet))})


@routes.get("/relay-payload")
async def relay_payload(request: web.Request) -> web.Response:
    """As the parameters, with the address that will send a proxy wallet's transaction."""
    engine = request.app[ENGINE]
    wallet = _wallet(engine, request.query.get("address", ""), request.query.get("type", ""))
    return answer({"address": RELAY, "nonce": str(engine.world.exchange.nonce(wallet))})


@routes.get("/v1/account/transactions/{transaction_id}")
async def transaction(request: web.Request) -> web.Response:
    engine = request.app[ENGINE]
    wanted = request.match_info["transaction_id"]
    reply = await engine.ask(api.TransactionReply, lambda ident: api.GetTransaction(ident, wanted))
    if reply.transaction is None:
        raise HttpError(404, "transaction not found")
    return answer(_row(engine, reply.transaction))


def _row(engine: Engine, sent: api.Transaction) -> dict[str, Any]:
    """A new transaction counts as executed when half of the time to its block is over."""
    half_way = 2 * (engine.clock.now - sent.at) >= engine.settings.world.rules.mined_ms
    state = EXECUTED if sent.state == NEW and half_way else STATES[sent.state]
    return {
        "transaction_id": sent.transaction_id,
        "state": state,
        "transaction_hash": "" if state == "STATE_NEW" else sent.hash,
        "error_msg": f"execution reverted: {sent.error}" if sent.error else "",
    }


@routes.post("/submit")
async def submit(request: web.Request) -> web.Response:
    """Verify who signed, that the nonce is the wallet's next and that nothing is on its way; then send."""
    authorized = _authorized(request)
    engine = request.app[ENGINE]
    raw = await json_body(request)
    try:
        sent = msgspec.convert(raw, Submit)
        if authorized and sent.owner.lower() != authorized.lower():
            # Heard of the venue in github.com/Polymarket/builder-relayer-client/issues/27.
            raise HttpError(401, f"from {sent.owner} does not match auth {authorized}")
        wallet, calls = _judged(engine, sent)
    except (msgspec.ValidationError, CallError, ValueError) as error:
        raise HttpError(400, f"invalid payload: {error}") from error
    made = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{engine.seed}|{wallet}|{engine.next_number}"))
    reply = await engine.ask(
        api.TransactionReply, lambda ident: api.Transact(ident, made, wallet, calls)
    )
    assert reply.transaction is not None
    return answer({"transactionID": made, "transactionHash": "", "state": STATES[reply.transaction.state]})


def _judged(engine: Engine, sent: Submit) -> tuple[str, tuple[api.ChainCall, ...]]:
    """Wallet and calls of a transaction that may go. Raises HttpError 400, CallError or ValueError."""
    owner = to_checksum_address(sent.owner)
    if sent.type == CREATE:
        return _created(engine, owner), ()
    wallet = _wallet(engine, owner, sent.type)
    if engine.wallets.owner_of(wallet) != owner:
        raise HttpError(400, f"wallet {wallet} is not deployed")
    signer, calls = _READERS[sent.type](sent, owner, wallet)
    if signer != owner:
        raise HttpError(400, "invalid signature")
    expected = engine.world.exchange.nonce(wallet)
    if engine.world.exchange.nonce(wallet, pending=True) != expected:
        raise HttpError(400, f"wallet busy: {wallet} has an active action")
    if int(sent.nonce) != expected:
        raise HttpError(400, f"batch nonce {sent.nonce} does not match on-chain nonce {expected}")
    return wallet, calls


def _created(engine: Engine, owner: str) -> str:
    """Deposit wallets are there once their key has shown itself: making one again is a transaction without calls."""
    wallet = engine.wallets.of(owner, WalletKind.DEPOSIT)
    if engine.wallets.owner_of(wallet) is None:
        raise HttpError(400, f"nobody has shown the key of {owner}")
    return wallet


def _read_safe(sent: Submit, owner: str, wallet: str) -> tuple[str | None, tuple[api.ChainCall, ...]]:
    if sent.proxyWallet.lower() != wallet.lower():
        raise HttpError(400, f"{sent.proxyWallet} is not the Safe of {owner}")
    data, operation = raw_bytes(sent.data), int(sent.signatureParams.operation)
    signer = safe_signer(wallet, sent.to, int(sent.value), data, operation, int(sent.nonce), sent.signature)
    return signer, safe_calls(sent.to, data, operation)


def _read_proxy(sent: Submit, owner: str, wallet: str) -> tuple[str | None, tuple[api.ChainCall, ...]]:
    given, data = sent.signatureParams, raw_bytes(sent.data)
    if sent.proxyWallet.lower() != wallet.lower():
        raise HttpError(400, f"{sent.proxyWallet} is not the proxy of {owner}")
    if (sent.to.lower(), given.relay.lower(), given.relayHub.lower()) != (
        PROXY_FACTORY.lower(), RELAY.lower(), RELAY_HUB.lower(),
    ):  # fmt: skip
        raise HttpError(400, "unexpected factory, relay or relay hub")
    gas = (int(given.relayerFee), int(given.gasPrice), int(given.gasLimit))
    signer = proxy_signer(owner, sent.to, data, gas, int(sent.nonce), given.relayHub, given.relay, sent.signature)
    return signer, proxy_calls(data)


def _read_deposit(sent: Submit, owner: str, wallet: str) -> tuple[str | None, tuple[api.ChainCall, ...]]:
    given = sent.depositWalletParams
    if given is None or given.depositWallet.lower() != wallet.lower() or sent.to.lower() != DEPOSIT_FACTORY.lower():
        raise HttpError(400, f"not a batch of the deposit wallet of {owner}")
    if int(given.deadline) * 1_000 < wall_ms():
        raise HttpError(400, f"deadline {given.deadline} is over")
    calls = [WalletCall(call.target, int(call.value), raw_bytes(call.data)) for call in given.calls]
    signer = batch_signer(wallet, int(sent.nonce), int(given.deadline), calls, sent.signature)
    return signer, tuple(call_of(call.target, call.data) for call in calls)


_READERS: Final[dict[str, Callable[[Submit, str, str], tuple[str | None, tuple[api.ChainCall, ...]]]]] = {
    "SAFE": _read_safe, "PROXY": _read_proxy, "WALLET": _read_deposit,
}
