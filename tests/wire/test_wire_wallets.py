"""SIM-01: each of the four wallet types trades through both official clients, and only its own signature counts."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from eth_account import Account
from polymarket import AsyncSecureClient
from polymarket.errors import RequestRejectedError, UserInputError
from polymarket.models.clob.order_response import AcceptedOrder
from py_clob_client_v2.client import ClobClient
from py_clob_client_v2.clob_types import AssetType, BalanceAllowanceParams, OrderArgsV2, OrderPayload, OrderType
from py_clob_client_v2.exceptions import PolyApiException

from polyhost.model.wallet_kinds import WalletKind
from polyhost.model.wallets import first_deposit_wallet, wallet_of

CASH = 1_000_000_000
KINDS = list(WalletKind)
NOT_THE_SIGNER = "the order signer address has to be the address of the API KEY"
NOT_ALLOWED = "maker address not allowed, please use the deposit wallet flow"
NAMES = {
    WalletKind.EOA: "EOA", WalletKind.PROXY: "POLY_PROXY", WalletKind.SAFE: "GNOSIS_SAFE",
    WalletKind.DEPOSIT: "DEPOSIT_WALLET",
}


def owner(key: str) -> str:
    return str(Account.from_key(key).address)


@asynccontextmanager
async def official(wire: Any, up: Any, kind: WalletKind, key: str = "") -> AsyncIterator[AsyncSecureClient]:
    """The official client with that wallet; for a deposit wallet as it comes, without naming one."""
    key = key or wire.KEY
    wallet = None if kind is WalletKind.DEPOSIT else wallet_of(owner(key), kind)
    client = await AsyncSecureClient.create(private_key=key, wallet=wallet, environment=wire.environment(up))
    try:
        yield client
    finally:
        await client.close()


async def _cash(client: AsyncSecureClient) -> int:
    return int((await client.get_balance_allowance(asset_type="COLLATERAL")).balance)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_sim_01_the_official_client_trades_with_each_wallet(wire: Any, kind: WalletKind) -> None:
    """create, limit order, market order, cancel, balances: money and shares are the wallet's and nobody else's."""

    async def body(up: Any) -> None:
        market = wire.last_market(up)
        async with official(wire, up, kind) as client, wire.official(up, wire.OTHER_KEY) as other:
            assert client.wallet_type == NAMES[kind]
            assert str(client.wallet) == wallet_of(owner(wire.KEY), kind)
            rests = await client.post_order(
                await client.create_limit_order(asset_id=market.up, price="0.30", size="10", side="BUY")
            )
            assert isinstance(rests, AcceptedOrder)
            (shown,) = (await client.list_open_orders().first_page()).items
            assert (shown.id, shown.maker_address) == (rests.order_id, client.wallet)
            assert tuple((await client.cancel_order(order_id=rests.order_id)).canceled) == (rests.order_id,)
            await other.post_order(
                await other.create_limit_order(asset_id=market.down, price="0.45", size="20", side="BUY")
            )
            bought = await client.post_order(
                await client.create_market_order(asset_id=market.up, side="BUY", amount="5.5", max_price="0.55")
            )
            assert (bought.status, bought.taking_amount) == ("matched", 10)
            assert await _cash(client) == CASH - 5_500_000 - 173_250
            (held,) = (await client.list_positions().first_page()).items
            assert (held.asset_id, held.current_size) == (market.up, Decimal(10))
            trades = client.list_account_trades(maker_address=str(client.wallet))
            assert len((await trades.first_page()).items) == 1
            for kind_ in set(KINDS) - {kind}:
                async with official(wire, up, kind_) as same_key:
                    assert await _cash(same_key) == CASH
                    apart = same_key.list_account_trades(maker_address=str(same_key.wallet))
                    assert (await apart.first_page()).items == ()

    wire.on_exchange(body)


def test_sim_01_an_account_of_the_first_generation_keeps_its_deposit_wallet(wire: Any) -> None:
    async def body(up: Any) -> None:
        market = wire.last_market(up)
        async with official(wire, up, WalletKind.DEPOSIT) as client:
            assert str(client.wallet) == first_deposit_wallet(owner(wire.KEY))
            posted = await client.post_order(
                await client.create_limit_order(asset_id=market.up, price="0.30", size="10", side="BUY")
            )
            assert (posted.status, await _cash(client)) == ("live", CASH)

    wire.on_exchange(body, settings=msgspec.structs.replace(wire.QUIET, first_deposit_wallets=True))


def test_sim_01_a_wallet_of_nobody_is_not_deployed(wire: Any) -> None:
    async def body(up: Any) -> None:
        beacon, first = wallet_of(owner(wire.KEY), WalletKind.DEPOSIT), first_deposit_wallet(owner(wire.KEY))
        assert await wire.get(up, "/deployed", address=beacon, type="WALLET") == {"deployed": False}
        async with wire.official(up):
            for kind, word in ((WalletKind.DEPOSIT, "WALLET"), (WalletKind.SAFE, "SAFE"), (WalletKind.PROXY, "PROXY")):
                wallet = wallet_of(owner(wire.KEY), kind)
                assert await wire.get(up, "/deployed", address=wallet, type=word) == {"deployed": True}
            assert await wire.get(up, "/deployed", address=first, type="WALLET") == {"deployed": False}
        assert (await wire.status_of(up, "GET", "/deployed?address=me"))[0] == 400
        with pytest.raises(UserInputError, match="does not match the expected Deposit Wallet"):
            await AsyncSecureClient.create(private_key=wire.KEY, wallet=first, environment=wire.environment(up))

    wire.on_exchange(body)


# --- wrong signatures -------------------------------------------------------------------------------------------------


def _spoiled_tail(signature: str) -> str:
    """The wrapping of a deposit wallet's signature with another contents hash; for a plain one any wrapping at all."""
    return signature[132:260] + "00" * 32 if len(signature) > 132 else "ab" * 64


def _with(signed: Any, **changes: Any) -> Any:
    return dataclasses.replace(signed, **changes)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_sim_01_a_wrong_signature_of_each_type_is_refused(wire: Any, kind: WalletKind) -> None:
    """Another key's, one byte changed, another order's, and the other form: none of them moves anything."""

    async def body(up: Any) -> None:
        market = wire.last_market(up)
        async with (
            official(wire, up, kind) as client, official(wire, up, kind, wire.OTHER_KEY) as other,
            wire.official(up) as plain, official(wire, up, WalletKind.DEPOSIT) as deposit,
        ):
            async def made(client: Any, price: str = "0.30") -> Any:
                return await client.create_limit_order(asset_id=market.up, price=price, size="10", side="BUY")

            signed = await made(client)
            other_form = await made(deposit if kind is not WalletKind.DEPOSIT else plain)
            at = 20
            changed = signed.signature[:at] + ("0" if signed.signature[at] != "0" else "1") + signed.signature[at + 1 :]
            spoiled = [
                _with(signed, signature=(await made(other)).signature), _with(signed, signature=changed),
                _with(signed, signature=(await made(client, "0.31")).signature), _with(signed, salt=signed.salt + 1),
                _with(signed, signature=other_form.signature), _with(signed, signature="0x"),
                # The key's own bytes are right; what must follow them, or must not, is not.
                _with(signed, signature=signed.signature + "00"),
                _with(signed, signature=signed.signature[:132] + _spoiled_tail(signed.signature)),
            ]
            for wrong in spoiled:
                with pytest.raises(RequestRejectedError, match="invalid signature") as refused:
                    await client.post_order(wrong)
                assert refused.value.status == 400
            assert (await client.list_open_orders().first_page()).items == ()
            assert isinstance(await client.post_order(signed), AcceptedOrder)

    wire.on_exchange(body)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("claimed", KINDS, ids=lambda kind: kind.name)
def test_sim_01_a_wallet_under_another_signature_type_is_refused(
    wire: Any, kind: WalletKind, claimed: WalletKind
) -> None:
    """The combination of maker, signer and type is the venue's, or its words say which of them is not."""

    async def body(up: Any) -> None:
        market = wire.last_market(up)
        async with official(wire, up, kind) as client:
            signed = await client.create_limit_order(asset_id=market.up, price="0.30", size="10", side="BUY")
            if claimed is kind:
                assert isinstance(await client.post_order(signed), AcceptedOrder)
                return
            signer_differs = WalletKind.DEPOSIT in (kind, claimed)
            text = NOT_THE_SIGNER if signer_differs else NOT_ALLOWED
            with pytest.raises(RequestRejectedError, match=text):
                await client.post_order(_with(signed, signature_type=claimed.value))

    wire.on_exchange(body)


def test_sim_01_another_key_s_wallet_is_refused_though_its_owner_signed(wire: Any) -> None:
    async def body(up: Any) -> None:
        market = wire.last_market(up)
        async with (
            official(wire, up, WalletKind.SAFE) as client,
            official(wire, up, WalletKind.SAFE, wire.OTHER_KEY) as other,
        ):
            signed = await other.create_limit_order(asset_id=market.up, price="0.30", size="10", side="BUY")
            with pytest.raises(RequestRejectedError, match=NOT_THE_SIGNER):
                await client.post_order(signed)
            with pytest.raises(RequestRejectedError, match=NOT_ALLOWED):
                await client.post_order(_with(signed, signer=owner(wire.KEY)))

    wire.on_exchange(body)


# --- the second client ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("own_http")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_con_19_the_second_client_trades_with_each_wallet(wire: Any, kind: WalletKind) -> None:
    def connected(url: str, key: str) -> ClobClient:
        client = ClobClient(
            host=url, chain_id=137, key=key, signature_type=kind.value, funder=wallet_of(owner(key), kind)
        )
        client.set_api_creds(client.create_or_derive_api_key())
        return client

    def trade(url: str, token: str) -> None:
        client, other = connected(url, wire.KEY), connected(url, wire.OTHER_KEY)
        order = client.create_order(OrderArgsV2(token_id=token, price=0.41, size=12.5, side="BUY"))
        assert client.post_order(order, OrderType.GTC)["status"] == "live"
        (resting,) = client.get_open_orders()
        assert resting["maker_address"] == wallet_of(owner(wire.KEY), kind)
        client.cancel_order(OrderPayload(orderID=resting["id"]))
        foreign = other.create_order(OrderArgsV2(token_id=token, price=0.40, size=10, side="BUY"))
        foreign.signature = client.create_order(OrderArgsV2(token_id=token, price=0.40, size=10, side="BUY")).signature
        with pytest.raises(PolyApiException) as refused:
            other.post_order(foreign)
        assert refused.value.error_msg == {"error": "invalid signature"}
        cash = client.get_balance_allowance(BalanceAllowanceParams(asset_type=AssetType.COLLATERAL))
        assert int(cash["balance"]) == CASH

    async def body(up: Any) -> None:
        await asyncio.to_thread(trade, up.url, wire.last_market(up).up)

    wire.on_exchange(body)
