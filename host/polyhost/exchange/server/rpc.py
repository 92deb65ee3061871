"""JSON-RPC of the chain at ``POST /``: the calls that the official client makes, and no others (-32601).

Balances are the ones that the venue's cache shows (docs/exchange-server.md). A transaction is mined market
``mined_ms`` after it was sent; gas costs nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web
from eth_account import Account
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from polyhost.exchange import api
from polyhost.exchange.chain import FAILED, NEW
from polyhost.exchange.server.abi import CallError, call_of, items, raw_bytes, selector, word
from polyhost.exchange.server.contracts import COLLATERAL
from polyhost.exchange.server.engine import Engine
from polyhost.exchange.server.http import ENGINE, HttpError, answer, json_body
from polyhost.model.order_hash import CHAIN_ID
from polyhost.model.wallets import DEPOSIT_BEACON

GAS: Final = 200_000
GAS_PRICE: Final = 30_000_000_000
BATCH_MAX: Final = 100
BLOCK_MS: Final = 2_000
"""A block of the chain comes this often."""
NO_METHOD: Final = -32_601
BAD_PARAMS: Final = -32_602
REVERTED: Final = -32_000
_BALANCES: Final = selector("balanceOfBatch(address[],uint256[])")
_BALANCE: Final = selector("balanceOf(address,uint256)")
_CASH: Final = selector("balanceOf(address)")
_ALLOWANCE: Final = selector("allowance(address,address)")
_APPROVED: Final = selector("isApprovedForAll(address,address)")
_BEACON: Final = bytes.fromhex("49493a4d")

routes = web.RouteTableDef()


class RpcError(Exception):
    """A call that fails: the code and text of its error."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@routes.post("/")
async def rpc(request: web.Request) -> web.Response:
    """One call or a batch of them."""
    body = await json_body(request)
    engine = request.app[ENGINE]
    if isinstance(body, list):
        if len(body) > BATCH_MAX:
            raise HttpError(400, f"more than {BATCH_MAX} calls")
        return answer([await _answered(engine, one) for one in body])
    return answer(await _answered(engine, body))


async def _answered(engine: Engine, call: Any) -> dict[str, Any]:
    ident = call.get("id") if isinstance(call, dict) else None
    try:
        if not isinstance(call, dict):
            raise RpcError(BAD_PARAMS, "not a call")
        method = _METHODS.get(str(call.get("method")))
        if method is None:
            raise RpcError(NO_METHOD, f"the method {call.get('method')} does not exist")
        return {"jsonrpc": "2.0", "id": ident, "result": await method(engine, call.get("params") or [])}
    except RpcError as error:
        return {"jsonrpc": "2.0", "id": ident, "error": {"code": error.code, "message": error.text}}
    except (CallError, ValueError, TypeError, LookupError) as error:
        return {"jsonrpc": "2.0", "id": ident, "error": {"code": BAD_PARAMS, "message": f"invalid params: {error}"}}


async def _chain_id(engine: Engine, params: list[Any]) -> str:
    return hex(CHAIN_ID)


async def _gas_price(engine: Engine, params: list[Any]) -> str:
    return hex(GAS_PRICE)


async def _estimate(engine: Engine, params: list[Any]) -> str:
    return hex(GAS)


async def _block(engine: Engine, params: list[Any]) -> dict[str, str]:
    now = engine.clock.now
    return {"number": hex(now // BLOCK_MS), "timestamp": hex(now // 1_000)}


async def _count(engine: Engine, params: list[Any]) -> str:
    pending = len(params) > 1 and params[1] == "pending"
    return hex(engine.world.exchange.nonce(to_checksum_address(params[0]), pending=pending))


async def _send(engine: Engine, params: list[Any]) -> str:
    """A signed plain transaction of a key's own address; its hash is its id."""
    raw = raw_bytes(params[0])
    nonce, _price, _gas, to, _value, data, *_signature = items(raw)
    sender = to_checksum_address(Account.recover_transaction(params[0]))
    if engine.wallets.owner_of(sender) is None:
        raise RpcError(REVERTED, "insufficient funds for gas * price + value")
    expected = engine.world.exchange.nonce(sender, pending=True)
    if int.from_bytes(nonce, "big") != expected:
        word_ = "low" if int.from_bytes(nonce, "big") < expected else "high"
        raise RpcError(REVERTED, f"nonce too {word_}: next nonce {expected}")
    made = "0x" + keccak(raw).hex()
    calls = (call_of("0x" + to.hex(), data),)
    await engine.ask(api.TransactionReply, lambda ident: api.Transact(ident, made, sender, calls))
    return made


async def _receipt(engine: Engine, params: list[Any]) -> dict[str, str] | None:
    wanted = str(params[0])
    reply = await engine.ask(api.TransactionReply, lambda ident: api.GetTransaction(ident, wanted))
    if reply.transaction is None or reply.transaction.state == NEW:
        return None
    status = "0x0" if reply.transaction.state == FAILED else "0x1"
    return {"transactionHash": wanted, "status": status, "blockNumber": hex(reply.transaction.at // BLOCK_MS)}


async def _call(engine: Engine, params: list[Any]) -> str:
    target, data = str(params[0]["to"]).lower(), raw_bytes(params[0]["data"])
    name, words = data[:4], data[4:]
    if name == _BEACON:
        return f"0x{0 if engine.wallets.first else int(DEPOSIT_BEACON, 16):064x}"
    if name == _BALANCES:
        return await _balances(engine, words)
    if name in (_BALANCE, _CASH) and (name == _BALANCE) != (target == COLLATERAL.lower()):
        token = str(word(words, 1)) if name == _BALANCE else ""
        return f"0x{(await _balance(engine, word(words, 0), token)).balance:064x}"
    if name in (_ALLOWANCE, _APPROVED):
        allowed = (await _balance(engine, word(words, 0), "")).allowance
        return f"0x{(allowed if name == _ALLOWANCE else int(allowed > 0)):064x}"
    raise RpcError(REVERTED, "execution reverted")


async def _balances(engine: Engine, words: bytes) -> str:
    """One balance for each pair of owner and token."""
    owners, tokens = _array(words, word(words, 0)), _array(words, word(words, 1))
    found = [(await _balance(engine, owner, str(token))).balance for owner, token in zip(owners, tokens, strict=True)]
    return "0x" + "".join(f"{value:064x}" for value in (32, len(found), *found))


def _array(words: bytes, at: int) -> list[int]:
    count = word(words[at:], 0)
    return [word(words[at + 32 :], number) for number in range(count)]


async def _balance(engine: Engine, owner: int, token: str) -> api.BalanceReply:
    wallet = to_checksum_address(f"0x{owner:040x}")
    return await engine.ask(api.BalanceReply, lambda ident: api.GetBalance(ident, wallet, token))


_METHODS: Final[dict[str, Callable[[Engine, list[Any]], Awaitable[Any]]]] = {
    "eth_chainId": _chain_id,
    "eth_gasPrice": _gas_price,
    "eth_estimateGas": _estimate,
    "eth_getBlockByNumber": _block,
    "eth_getTransactionCount": _count,
    "eth_sendRawTransaction": _send,
    "eth_getTransactionReceipt": _receipt,
    "eth_call": _call,
}
