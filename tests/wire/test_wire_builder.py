"""CON-18 on the wire: both official clients and the host's gateway trade with a builder code, and read what it cost."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from polymarket.errors import RequestRejectedError, UserInputError
from py_clob_client_v2.client import ClobClient
from py_clob_client_v2.clob_types import (
    AssetType,
    BalanceAllowanceParams,
    BuilderConfig,
    BuilderTradeParams,
    MarketOrderArgsV2,
    OrderArgsV2,
    OrderType,
)

from polyhost.errors import ConfigError
from polyhost.exchange.server import ServerSettings
from polyhost.model import events
from polyhost.model.builder import Builder
from polyhost.model.gateway import OrderDraft
from polyhost.model.money import micros, ticks
from polyhost.model.order_hash import order_id
from polyhost.model.words import Action
from polyhost.model.words import OrderType as Kind
from polyhost.venue.polymarket.endpoints import endpoints_at
from polyhost.venue.polymarket.gateway import PolymarketGateway
from polyhost.venue.polymarket.wire_gateway import WireGateway
from polyhost.venue.second.gateway import SecondGateway

OURS, THEIRS = Builder("0x" + "ab" * 32, 5_000, 10_000), Builder("0x" + "cd" * 32, 20_000, 0)
NOBODYS = "0x" + "ef" * 32
SPEED = 20.0


def knowing(settings: ServerSettings) -> ServerSettings:
    """The quiet exchange with two builder codes."""
    rules = msgspec.structs.replace(settings.world.rules, builders={each.code: each for each in (OURS, THEIRS)})
    return msgspec.structs.replace(settings, world=msgspec.structs.replace(settings.world, rules=rules))


def test_con_18_the_unified_client_trades_with_a_code_and_reads_rates_and_trades(wire: Any) -> None:
    async def body(up: Any) -> None:
        market = wire.last_market(up)
        async with wire.official(up) as client, wire.official(up, wire.OTHER_KEY) as maker:
            rates = await client.get_builder_fee_rates(OURS.code)
            assert (float(rates.maker), float(rates.taker)) == (0.005, 0.01)
            with pytest.raises(UserInputError, match="Unknown builder code"):
                await client.get_builder_fee_rates(NOBODYS)
            await maker.post_order(await maker.create_limit_order(
                asset_id=market.down, price="0.60", size="50", side="BUY", builder_code=THEIRS.code
            ))
            with pytest.raises(RequestRejectedError, match="Invalid order payload"):
                await client.post_order(await client.create_limit_order(
                    asset_id=market.up, price="0.40", size="10", side="BUY", builder_code=NOBODYS
                ))
            signed = await client.create_market_order(
                asset_id=market.up, side="BUY", amount="4", max_price="0.40", builder_code=OURS.code
            )
            assert (await client.post_order(signed)).status == "matched"
            balance = await client.get_balance_allowance(asset_type="COLLATERAL")
            # 10 at 0.40: the market's 10 * 0.07 * 0.4 * 0.6 = 0.168, and 1 % of 4.00.
            assert int(balance.balance) == micros("1000") - micros("4") - micros("0.168") - micros("0.04")
            (taken,) = (await client.list_builder_trades(builder_code=OURS.code).first_page()).items
            told = (taken.trade_type, taken.side, str(taken.size), str(taken.size_usdc), str(taken.fee_usdc))
            assert told == ("TAKER", "BUY", "10", "4", "0.04")
            assert (taken.maker, taken.builder, taken.asset_id) == (client.wallet, OURS.code, market.up)
            (made,) = (await client.list_builder_trades(builder_code=THEIRS.code).first_page()).items
            assert (made.trade_type, str(made.size_usdc), str(made.fee_usdc)) == ("MAKER", "6", "0.12")
            assert (made.id, made.outcome, made.outcome_index) == (taken.id, "Down", 1)
            later = str(int(taken.matched_at.timestamp()) + 1)
            assert (await client.list_builder_trades(builder_code=OURS.code, after=later).first_page()).items == ()

    wire.on_exchange(body, knowing(wire.QUIET), speed=SPEED)


@pytest.mark.usefixtures("own_http")
def test_con_18_the_second_client_trades_with_a_code_and_reads_its_trades(wire: Any) -> None:
    def connected(url: str, key: str, code: str) -> ClobClient:
        client = ClobClient(host=url, chain_id=137, key=key, builder_config=BuilderConfig(builder_code=code))
        client.set_api_creds(client.create_or_derive_api_key())
        return client

    def trade(url: str, up: str, down: str) -> None:
        maker, taker = connected(url, wire.KEY, THEIRS.code), connected(url, wire.OTHER_KEY, OURS.code)
        rest = maker.create_order(OrderArgsV2(token_id=down, price=0.60, size=50, side="BUY"))
        assert maker.post_order(rest)["status"] == "live"
        args = MarketOrderArgsV2(token_id=up, amount=4.0, side="BUY", price=0.40, user_usdc_balance=1_000.0)
        filled = taker.post_order(taker.create_market_order(args), OrderType.FOK)
        assert (filled["status"], filled["makingAmount"], filled["takingAmount"]) == ("matched", "4", "10")
        cash = taker.get_balance_allowance(BalanceAllowanceParams(asset_type=AssetType.COLLATERAL))
        assert int(cash["balance"]) == micros("1000") - micros("4") - micros("0.168") - micros("0.04")
        (taken,) = taker.get_builder_trades(BuilderTradeParams(builder_code=OURS.code))["trades"]
        assert (taken["tradeType"], taken["sizeUsdc"], taken["feeUsdc"]) == ("TAKER", "4", "0.04")

    async def body(up: Any) -> None:
        market = wire.last_market(up)
        await asyncio.to_thread(trade, up.url, market.up, market.down)

    wire.on_exchange(body, knowing(wire.QUIET), speed=SPEED)


def draft(token: str, action: Action, price: str, size: str, kind: Kind, builder: Any) -> OrderDraft:
    return OrderDraft("o1", token, action, kind, ticks(price), micros(size), 100, False, builder=builder)


@pytest.mark.parametrize("client", [PolymarketGateway, SecondGateway])
def test_con_18_the_hosts_gateway_signs_it_into_every_order_and_asks_what_it_costs(
    wire: Any, client: type[WireGateway]
) -> None:
    """Limit and market, bought and sold, alone and in a batch; an unknown code stops the start with its key."""

    async def body(up: Any) -> None:
        market = wire.last_market(up)
        gateway = client(endpoints_at(up.url, up.ws_url), wire.KEY, selftest=False)
        await gateway.connect()
        try:
            assert await gateway.builder(THEIRS.code) == THEIRS
            with pytest.raises(ConfigError, match=r"\[venue\] builder_code: .*no builder code that the venue knows"):
                await gateway.builder(NOBODYS)
            requests = []
            for action, price, size, kind in (
                (Action.BUY, "0.30", "10", Kind.GTC), (Action.BUY, "0.31", "10", Kind.FAK),
                (Action.SELL, "0.70", "10", Kind.GTC), (Action.SELL, "0.71", "10", Kind.FOK),
            ):
                said = await gateway.prepare(draft(market.up, action, price, size, kind, OURS))
                assert isinstance(said, events.Prepared), said
                assert said.request.fields.builder == OURS.code
                assert said.request.order_id == order_id(said.request.fields)
                other = msgspec.structs.replace(said.request.fields, builder=THEIRS.code)
                assert order_id(other) != said.request.order_id, "the code is in the id"
                requests.append(said.request)
            assert (await gateway.post(requests[0])).outcome == "accepted"
            unknown = Builder(NOBODYS, 0, 0)
            wrong = await gateway.prepare(draft(market.up, Action.BUY, "0.20", "10", Kind.GTC, unknown))
            more = await gateway.prepare(draft(market.down, Action.BUY, "0.70", "10", Kind.GTC, OURS))
            assert isinstance(wrong, events.Prepared)
            assert isinstance(more, events.Prepared)
            refused, taken = await gateway.post_many([wrong.request, more.request])
            assert (refused.outcome, taken.outcome) == ("refused", "accepted")
            # DOWN at 0.70 meets the resting UP at 0.30: both are ours, so both rates are paid.
            found = await gateway.credited(OURS.code, 0)
            assert (found.trades, found.ours, found.whole) == (2, 2, True)
            assert (found.volume, found.fees) == (micros("10"), micros("0.07") + micros("0.015"))
        finally:
            await gateway.close()

    wire.on_exchange(body, knowing(wire.QUIET), speed=SPEED)
