"""CON-19: the independent second client trades on the server with nothing changed but the host address."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from py_clob_client_v2.client import ClobClient
from py_clob_client_v2.clob_types import (
    AssetType,
    BalanceAllowanceParams,
    MarketOrderArgsV2,
    OpenOrderParams,
    OrderArgsV2,
    OrderPayload,
    OrderType,
    PartialCreateOrderOptions,
    TradeParams,
)
from py_clob_client_v2.exceptions import PolyApiException
from py_clob_client_v2.order_utils.exchange_order_builder_v1 import ExchangeOrderBuilderV1
from py_clob_client_v2.order_utils.model.order_data_v1 import OrderDataV1
from py_clob_client_v2.order_utils.model.side import Side

pytestmark = pytest.mark.usefixtures("own_http")


def _connected(url: str, key: str) -> ClobClient:
    client = ClobClient(host=url, chain_id=137, key=key)
    client.set_api_creds(client.create_or_derive_api_key())
    return client


def test_con_19_it_creates_credentials_reads_a_book_places_and_cancels_an_order(wire: Any) -> None:
    def trade(url: str, token: str, condition: str) -> None:
        client = _connected(url, wire.KEY)
        assert client.get_ok() == "OK"
        assert client.get_version() == 2
        assert client.get_api_keys()["apiKeys"] == [client.creds.api_key]
        assert client.derive_api_key().api_secret == client.creds.api_secret
        order = client.create_order(OrderArgsV2(token_id=token, price=0.41, size=12.5, side="BUY"))
        posted = client.post_order(order, OrderType.GTC)
        assert (posted["success"], posted["status"], posted["errorMsg"]) == (True, "live", "")
        book = client.get_order_book(token)
        assert book["bids"] == [{"price": "0.41", "size": "12.5"}]
        stated = book["hash"]
        assert client.get_order_book_hash(book) == stated
        (resting,) = client.get_open_orders(OpenOrderParams(market=condition))
        assert (resting["id"], resting["status"], resting["associate_trades"]) == (posted["orderID"], "LIVE", [])
        assert client.cancel_order(OrderPayload(orderID=posted["orderID"])) == {
            "canceled": [posted["orderID"]], "not_canceled": {},
        }
        assert client.get_open_orders() == []
        assert client.get_order(posted["orderID"])["status"] == "CANCELED"

    async def body(up: Any) -> None:
        market = wire.last_market(up)
        await asyncio.to_thread(trade, up.url, market.up, market.condition_id)

    wire.on_exchange(body)


def test_con_19_it_fills_a_market_order_and_reads_trades_and_balances(wire: Any) -> None:
    def trade(url: str, up: str, down: str) -> None:
        maker, taker = _connected(url, wire.KEY), _connected(url, wire.OTHER_KEY)
        rest = maker.create_order(OrderArgsV2(token_id=down, price=0.60, size=50, side="BUY"))
        assert maker.post_order(rest)["status"] == "live"
        args = MarketOrderArgsV2(token_id=up, amount=4.0, side="BUY", price=0.40)
        filled = taker.post_order(taker.create_market_order(args), OrderType.FOK)
        assert (filled["status"], filled["makingAmount"], filled["takingAmount"]) == ("matched", "4", "10")
        (seen,) = taker.get_trades(TradeParams(id=filled["tradeIDs"][0]))
        assert (seen["trader_side"], seen["asset_id"], seen["size"]) == ("TAKER", up, "10")
        assert seen["status"].startswith("TRADE_STATUS_")
        cash = taker.get_balance_allowance(BalanceAllowanceParams(asset_type=AssetType.COLLATERAL))
        assert int(cash["balance"]) == 1_000_000_000 - 4_000_000 - 168_000
        taker.update_balance_allowance(BalanceAllowanceParams(asset_type=AssetType.COLLATERAL))

    async def body(up: Any) -> None:
        market = wire.last_market(up)
        await asyncio.to_thread(trade, up.url, market.up, market.down)

    wire.on_exchange(body, speed=20.0)


def test_con_19_an_order_of_the_dead_v1_protocol_is_refused(wire: Any) -> None:
    """The remedy is in the venue's own word: order_version_mismatch."""

    def trade(url: str, token: str) -> None:
        client = _connected(url, wire.KEY)
        builder = ExchangeOrderBuilderV1("0x4bFb41d5B3570DeFd03C39a9A4D8dE6Bd8B8982E", 137, client.signer)
        signed = builder.build_signed_order(
            OrderDataV1(
                maker=client.get_address(), taker="0x" + "00" * 20, tokenId=token, makerAmount="5000000",
                takerAmount="10000000", side=Side.BUY, feeRateBps="0", nonce="0", signer=client.get_address(),
                expiration="0", signatureType=0,
            )
        )
        with pytest.raises(PolyApiException) as refused:
            client.post_order(signed)
        assert refused.value.status_code == 400
        assert refused.value.error_msg == {"error": "order_version_mismatch"}

    async def body(up: Any) -> None:
        await asyncio.to_thread(trade, up.url, wire.last_market(up).up)

    wire.on_exchange(body)


def test_con_19_a_signature_for_another_contract_is_refused(wire: Any) -> None:
    """An order signed for the negative-risk exchange is nobody's order here."""

    def trade(url: str, token: str) -> None:
        client = _connected(url, wire.KEY)
        args = OrderArgsV2(token_id=token, price=0.41, size=10, side="BUY")
        wrong = client.create_order(args, PartialCreateOrderOptions(tick_size="0.01", neg_risk=True))
        with pytest.raises(PolyApiException) as refused:
            client.post_order(wrong)
        assert refused.value.error_msg == {"error": "invalid signature"}

    async def body(up: Any) -> None:
        await asyncio.to_thread(trade, up.url, wire.last_market(up).up)

    wire.on_exchange(body)
