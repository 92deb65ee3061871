"""SET-03, SIM-01: splits, merges, redemptions and approvals through the official client, for every wallet it has.

Contract wallets go through the relayer, the plain one through JSON-RPC; both are asked as at the venue.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import msgspec
import pytest
from eth_account import Account
from polymarket import AsyncSecureClient
from polymarket._internal.actions.relayer import gasless
from polymarket.auth import RelayerApiKey
from polymarket.errors import RequestRejectedError, TransactionFailedError, UserInputError

from polyhost.exchange.server.contracts import ADAPTER, CONDITIONAL
from polyhost.exchange.server.keys import hmac_signature
from polyhost.model.wallet_kinds import WalletKind
from polyhost.model.wallets import wallet_of
from polyhost.model.words import Side
from polyhost.venue.polymarket.rows import audit_row

CASH = 1_000_000_000
KINDS = list(WalletKind)
SPEED = 100.0


def quick(wire: Any, **changes: Any) -> Any:
    """A quiet exchange whose winners the operator redeems after ten seconds."""
    rules = msgspec.structs.replace(wire.QUIET.world.rules, auto_redeem_ms=10_000)
    return msgspec.structs.replace(wire.QUIET, world=msgspec.structs.replace(wire.QUIET.world, rules=rules), **changes)


@asynccontextmanager
async def official(wire: Any, up: Any, kind: WalletKind, key: str = "") -> AsyncIterator[AsyncSecureClient]:
    key = key or wire.KEY
    owner = str(Account.from_key(key).address)
    client = await AsyncSecureClient.create(
        private_key=key, wallet=wallet_of(owner, kind) if kind is not WalletKind.DEPOSIT else None,
        environment=wire.environment(up), api_key=RelayerApiKey(key="relayer-key", address=owner),
    )
    try:
        yield client
    finally:
        await client.close()


async def _cash(client: AsyncSecureClient) -> int:
    return int((await client.get_balance_allowance(asset_type="COLLATERAL")).balance)


async def _shares(client: AsyncSecureClient, token: str) -> int:
    return int((await client.get_balance_allowance(asset_type="CONDITIONAL", asset_id=token)).balance)


def plain_market(up: Any) -> Any:
    """The market without a window: it does not end while a test runs fast."""
    return next(market for market in up.engine.world.listing(False) if market.start is None)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_set_03_split_merge_and_redeem_change_the_balances_of_each_wallet(wire: Any, kind: WalletKind) -> None:
    async def body(up: Any) -> None:
        market = plain_market(up)
        exchange = up.engine.world.exchange
        async with official(wire, up, kind) as client:
            split = await client.split_position(condition_id=market.condition_id, amount=30_000_000)
            done = await split.wait()
            assert str(done.transaction_hash).startswith("0x")
            assert (await _cash(client), await _shares(client, market.up)) == (CASH - 30_000_000, 30_000_000)
            await (await client.merge_positions(condition_id=market.condition_id, amount=10_000_000)).wait()
            assert (await _cash(client), await _shares(client, market.down)) == (CASH - 20_000_000, 20_000_000)
            held = {row.asset_id: row for row in (await client.list_positions().first_page()).items}
            assert set(held) == {market.up, market.down}
            assert (held[market.up].current_size, held[market.up].avg_price) == (20, Decimal("0.5"))
            acts = (await client.list_activity().first_page()).items
            assert [(act.type, act.amount) for act in acts] == [("MERGE", Decimal(10)), ("SPLIT", Decimal(30))]
            wire.decide(up, market, Side.DOWN)
            await (await client.redeem_positions(condition_id=market.condition_id)).wait()
            assert (await _cash(client), exchange.holdings(str(client.wallet))) == (CASH, {})
            assert exchange.audit() == []
            others = [wallet for wallet in up.engine.wallets.known() if wallet != client.wallet]
            assert [exchange.collateral(wallet) for wallet in others] == [CASH] * 3

    wire.on_exchange(body, settings=wire.QUIET, speed=SPEED)


def test_set_02_closed_positions_hold_the_cost_of_a_split(wire: Any) -> None:
    """30 pairs for 30.00, 10 UP sold, DOWN wins: what the data API calls the result is what the wallet gained."""

    async def body(up: Any) -> None:
        market = plain_market(up)
        async with official(wire, up, WalletKind.EOA) as client, wire.official(up, wire.OTHER_KEY) as buyer:
            await (await client.split_position(condition_id=market.condition_id, amount=30_000_000)).wait()
            await buyer.post_order(
                await buyer.create_limit_order(asset_id=market.up, price="0.45", size="10", side="BUY")
            )
            sale = await client.create_limit_order(asset_id=market.up, price="0.45", size="10", side="SELL")
            assert (await client.post_order(sale)).status == "matched"
            wire.decide(up, market, Side.DOWN)
            await (await client.redeem_positions(condition_id=market.condition_id)).wait()
            gained = await _cash(client) - CASH
            closed = {row.asset_id: row for row in (await client.list_positions(status="CLOSED").first_page()).items}
            assert {row.entry_cost_usdc for row in closed.values()} == {Decimal(15)}
            assert sum(audit_row(row).pnl for row in closed.values()) == gained != 0

    wire.on_exchange(body, settings=wire.QUIET, speed=SPEED)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_set_03_a_transaction_that_cannot_be_is_told_as_failed(wire: Any, kind: WalletKind) -> None:
    async def body(up: Any) -> None:
        market = plain_market(up)
        async with official(wire, up, kind) as client:
            with pytest.raises(TransactionFailedError):
                await (await client.split_position(condition_id=market.condition_id, amount=CASH + 1)).wait()
            with pytest.raises(UserInputError, match="no complementary positions"):
                await client.merge_positions(condition_id=market.condition_id, amount="max")
            assert await _cash(client) == CASH
            # The nonce of a failed transaction is used: the next one goes.
            await (await client.split_position(condition_id=market.condition_id, amount=1_000_000)).wait()
            assert await _cash(client) == CASH - 1_000_000

    wire.on_exchange(body, speed=SPEED)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not WalletKind.EOA], ids=lambda kind: kind.name)
def test_sec_01_a_transaction_that_another_key_signed_is_refused(
    wire: Any, kind: WalletKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Account.from_key(wire.OTHER_KEY)

    async def body(up: Any) -> None:
        market = plain_market(up)
        async with official(wire, up, kind) as client:
            for name in ("sign_deposit_wallet_batch", "sign_proxy_message", "sign_safe_transaction"):
                real = getattr(gasless, name)
                monkeypatch.setattr(
                    gasless, name, lambda _signer, *rest, real=real, **named: real(other, *rest, **named)
                )
            with pytest.raises(RequestRejectedError, match="invalid signature"):
                await client.split_position(condition_id=market.condition_id, amount=1_000_000)
            assert up.engine.world.exchange.nonce(str(client.wallet), pending=True) == 0

    wire.on_exchange(body, speed=SPEED)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not WalletKind.EOA], ids=lambda kind: kind.name)
def test_sec_01_a_transaction_whose_content_was_changed_is_refused(wire: Any, kind: WalletKind) -> None:
    """What is posted again with another amount, nonce or signature is nobody's transaction; the old one is used up."""

    async def body(up: Any) -> None:
        market = plain_market(up)
        async with official(wire, up, kind) as client:
            call = gasless.TransactionCall(
                to=ADAPTER, data=_split_data(market.condition_id, 1_000_000)  # type: ignore[arg-type]
            )
            sent = await gasless.build_signed_payload_for_wallet_type(client._ctx, calls=[call], metadata="")
            changed = msgspec.json.encode(sent).replace(b"f4240", b"f4241")
            headers = {"RELAYER_API_KEY": "k", "RELAYER_API_KEY_ADDRESS": str(client.signer)}
            status, told = await wire.status_of(up, "POST", "/submit", data=changed, headers=headers)
            assert (status, told) == (400, {"error": "invalid signature"})
            builder = {f"POLY_BUILDER_{name}": "1" for name in ("API_KEY", "PASSPHRASE", "SIGNATURE")}
            for unknown in ({}, {"RELAYER_API_KEY": "k"}, builder):
                status, told = await wire.status_of(up, "POST", "/submit", json=sent, headers=unknown)
                assert (status, told) == (401, {"error": "invalid authorization"})
            other = headers | {"RELAYER_API_KEY_ADDRESS": Account.from_key(wire.OTHER_KEY).address}
            status, told = await wire.status_of(up, "POST", "/submit", json=sent, headers=other)
            assert (status, "does not match auth" in told["error"]) == (401, True)
            status, _ = await wire.status_of(up, "POST", "/submit", json=sent, headers=headers)
            assert status == 200
            status, told = await wire.status_of(up, "POST", "/submit", json=sent, headers=headers)
            assert status == 400
            assert "wallet busy" in told["error"] or "does not match on-chain nonce" in told["error"]

    wire.on_exchange(body)


def _split_data(condition: str, amount: int) -> str:
    from polymarket._internal.actions.relayer.calls import ctf_split_position_call

    call = ctf_split_position_call(
        target=ADAPTER, collateral=CONDITIONAL, condition_id=condition, amount=amount  # type: ignore[arg-type]
    )
    return str(call.data)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_ord_22_missing_approvals_are_found_and_given(wire: Any, kind: WalletKind) -> None:
    """Several calls in one transaction (a multi-send, a batch); the plain wallet sends them one by one."""

    async def body(up: Any) -> None:
        async with official(wire, up, kind) as client:
            account = up.engine.world.exchange._bank.accounts[str(client.wallet)]
            account.approved = False
            assert not any((await client.get_balance_allowance(asset_type="COLLATERAL")).allowances.values())
            handle = await client.setup_trading_approvals()
            await handle.wait()
            assert account.approved
            assert all((await client.get_balance_allowance(asset_type="COLLATERAL")).allowances.values())

    wire.on_exchange(body, speed=1_000.0)


def test_sim_01_the_chain_refuses_what_it_does_not_know(wire: Any) -> None:
    async def call(up: Any, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)}
        status, told = await wire.status_of(up, "POST", "/", json=body)
        assert (status, told["id"]) == (200, 7)
        return told.get("result", told.get("error", {}).get("message"))

    async def body(up: Any) -> None:
        owner = Account.from_key(wire.KEY)
        assert await call(up, "eth_chainId") == "0x89"
        assert "does not exist" in await call(up, "eth_getLogs")
        assert "reverted" in await call(up, "eth_call", {"to": ADAPTER, "data": "0x12345678"}, "latest")
        assert "invalid params" in await call(up, "eth_call", {"to": ADAPTER, "data": "0xzz"}, "latest")
        assert "invalid params" in await call(up, "eth_sendRawTransaction", "0xc0")
        assert await call(up, "eth_getTransactionReceipt", "0x" + "00" * 32) is None
        made = {"to": ADAPTER, "value": 0, "data": "0x12345678", "gas": 1, "gasPrice": 1, "nonce": 0, "chainId": 137}
        raw = "0x" + owner.sign_transaction(made).raw_transaction.hex()
        assert "insufficient funds" in await call(up, "eth_sendRawTransaction", raw), "nobody has shown this key"
        async with wire.official(up):
            ahead = "0x" + owner.sign_transaction({**made, "nonce": 3}).raw_transaction.hex()
            assert "nonce too high" in await call(up, "eth_sendRawTransaction", ahead)
            sent = await call(up, "eth_sendRawTransaction", raw)
            assert "nonce too low" in await call(up, "eth_sendRawTransaction", raw)
            assert await call(up, "eth_getTransactionCount", owner.address, "pending") == "0x1"
            assert await call(up, "eth_getTransactionCount", owner.address, "latest") == "0x0"
            assert await call(up, "eth_getTransactionReceipt", sent) is None
        async with aiohttp.ClientSession() as session, session.post(up.url + "/", json=[{"id": 1}, 5]) as response:
            told = await response.json()
            assert [one["error"]["code"] for one in told] == [-32601, -32602]

    wire.on_exchange(body)


def test_sim_01_states_of_a_relayed_transaction_follow_each_other(wire: Any) -> None:
    async def body(up: Any) -> None:
        market = plain_market(up)
        async with official(wire, up, WalletKind.SAFE) as client:
            handle = await client.split_position(condition_id=market.condition_id, amount=1_000_000)
            path, seen = f"/v1/account/transactions/{handle.transaction_id}", []
            while not seen or seen[-1] != "STATE_CONFIRMED":
                told = await wire.get(up, path)
                seen += [told["state"]] if told["state"] not in seen else []
            assert seen == ["STATE_NEW", "STATE_EXECUTED", "STATE_MINED", "STATE_CONFIRMED"]
        assert (await wire.status_of(up, "GET", "/v1/account/transactions/unknown"))[0] == 404
        params = {"address": Account.from_key(wire.KEY).address, "type": "SAFE"}
        assert (await wire.get(up, "/v1/account/transactions/params", **params))["nonce"] == "1"
        wrong = "/v1/account/transactions/params?address=me&type=SAFE"
        assert (await wire.status_of(up, "GET", wrong))[0] == 400

    wire.on_exchange(body, speed=20.0)


# --- balances read anew, notifications --------------------------------------------------------------------------------


def faulty(wire: Any, **pathologies: float) -> Any:
    return msgspec.structs.replace(wire.QUIET, pathologies=pathologies)


async def _filled(wire: Any, up: Any, maker: Any, taker: Any) -> Any:
    """The taker buys 10 UP from the maker's bid for DOWN."""
    market = plain_market(up)
    await maker.post_order(await maker.create_limit_order(asset_id=market.down, price="0.45", size="20", side="BUY"))
    bought = await taker.post_order(
        await taker.create_market_order(asset_id=market.up, side="BUY", amount="5.5", max_price="0.55")
    )
    assert bought.taking_amount == 10
    return market


async def _status(client: Any, wanted: str) -> None:
    while (await client.list_account_trades().first_page()).items[0].status != wanted:
        await asyncio.sleep(0)


async def _update(wire: Any, up: Any, client: Any, token: str) -> None:
    """The unified client has no call for it; the second one has."""
    path, given, stamp = "/balance-allowance/update", client.credentials, str(int(time.time()))
    headers = {
        "POLY_ADDRESS": client.signer, "POLY_API_KEY": given.key, "POLY_PASSPHRASE": given.passphrase,
        "POLY_TIMESTAMP": stamp, "POLY_SIGNATURE": hmac_signature(given.secret, stamp, "GET", path, b""),
    }
    params = {"asset_type": "CONDITIONAL", "signature_type": 2, "token_id": token}
    assert (await wire.status_of(up, "GET", path, headers=headers, params=params))[0] == 200


@pytest.mark.parametrize("name", ["balance_lag", "balance_zero_after_fill"])
def test_pos_02_asking_for_an_update_ends_the_lag_of_a_balance(wire: Any, name: str) -> None:
    async def body(up: Any) -> None:
        # The longest lag there is: it is not over before all of this is asked.
        up.engine.pathologies.between = lambda name, low, high, *subject: high
        async with official(wire, up, WalletKind.SAFE) as taker, wire.official(up, wire.OTHER_KEY) as maker:
            market = await _filled(wire, up, maker, taker)
            await _status(taker, "MINED")
            assert await _shares(taker, market.up) == 0
            await _update(wire, up, taker, market.up)
            assert await _shares(taker, market.up) == 10_000_000
            assert await _shares(maker, market.down) == 0, "another account's lag goes on"

    wire.on_exchange(body, settings=faulty(wire, **{name: 1.0}), speed=2.0)


def test_not_03_fills_cancels_results_and_redemptions_are_told_until_they_are_dropped(wire: Any) -> None:
    async def body(up: Any) -> None:
        async with official(wire, up, WalletKind.DEPOSIT) as taker, wire.official(up, wire.OTHER_KEY) as maker:
            assert await taker.get_notifications() == ()
            market = await _filled(wire, up, maker, taker)
            (fill,) = await taker.get_notifications()
            assert (fill.type, fill.payload.price, fill.payload.matched_size) == (2, Decimal("0.55"), 10)
            assert (fill.payload.condition_id, fill.owner) == (market.condition_id, taker.credentials.key)
            (half,) = await maker.get_notifications()
            assert (half.payload.price, half.payload.remaining_size) == (Decimal("0.45"), 10)
            await maker.cancel_all()
            newest, *_ = await maker.get_notifications()
            assert (newest.type, newest.payload.order_id) == (1, half.payload.order_id)
            wire.decide(up, market, Side.UP)
            kinds = [one.type for one in await taker.get_notifications()]
            assert kinds[0] == 4
            while (told := await taker.get_notifications())[0].type != 9:
                pass
            assert (told[0].payload.amount, told[0].payload.proxy_wallet) == (Decimal(10), taker.wallet)
            assert 9 not in [one.type for one in await maker.get_notifications()], "it held the loser"
            await taker.drop_notifications(ids=[one.id for one in told[1:]])
            assert [one.id for one in await taker.get_notifications()] == [told[0].id]
            async with wire.official(up) as plain:
                assert await plain.get_notifications() == (), "the key's other wallet did nothing"

    wire.on_exchange(body, settings=quick(wire), speed=20.0)


def test_not_03_a_fill_that_failed_on_the_chain_is_told(wire: Any) -> None:
    async def body(up: Any) -> None:
        async with wire.official(up) as taker, wire.official(up, wire.OTHER_KEY) as maker:
            await _filled(wire, up, maker, taker)
            await _status(taker, "FAILED")
            failed, fill = await taker.get_notifications()
            assert (failed.type, fill.type) == (8, 2)
            assert failed.payload.order_id == fill.payload.order_id

    wire.on_exchange(body, settings=faulty(wire, ghost_fill=1.0), speed=100.0)
