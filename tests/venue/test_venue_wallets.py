"""The gateway signs for the wallet it was told, tells its key's signature from others, reads that wallet's money."""

from __future__ import annotations

import asyncio

import pytest
from eth_account import Account
from msgspec import structs

from polyhost.exchange.server import ServerSettings, running
from polyhost.exchange.world import WorldSettings
from polyhost.model import events
from polyhost.model.gateway import OrderDraft
from polyhost.model.wallet_kinds import WalletKind
from polyhost.model.wallets import wallet_of
from polyhost.model.words import Action, OrderType
from polyhost.venue.polymarket.endpoints import endpoints_at
from polyhost.venue.polymarket.proof import proves
from polyhost.venue.polymarket.wire_gateway import WireGateway

from .both_clients import each_client

KEY = "0x" + "22" * 32
OWNER = Account.from_key(KEY).address
QUIET = ServerSettings(world=WorldSettings(symbols=("BTC",), durations_s=(300,), density=0.0))


@pytest.mark.parametrize("kind", list(WalletKind), ids=lambda kind: kind.name)
@each_client
def test_sim_01_an_order_of_each_wallet_is_prepared_posted_found_and_cancelled(
    kind: WalletKind, client: type[WireGateway]
) -> None:
    async def go() -> None:
        async with running(QUIET) as up:
            gateway = client(endpoints_at(up.url, up.ws_url), KEY, wallet=kind, selftest=False)
            await gateway.connect()
            market = max(
                (one for one in up.engine.world.listing(False) if one.start is not None), key=lambda one: one.end
            )
            draft = OrderDraft(
                "o1", market.up, Action.BUY, OrderType.GTC, 4_000, 10_000_000, market.tick, market.neg_risk
            )
            prepared = await gateway.prepare(draft)
            assert isinstance(prepared, events.Prepared), prepared
            assert gateway.wallet == prepared.request.fields.maker == wallet_of(OWNER, kind)
            answered = await gateway.post(prepared.request)
            assert (answered.outcome, answered.order_id) == ("accepted", prepared.request.order_id)
            assert isinstance(await gateway.query_order(answered.order_id), events.OrderSeen)
            # Money of this wallet alone: another one's resting order is not in its way.
            assert await gateway.balance() == events.BalanceSeen(1_000_000_000, True)
            assert up.engine.world.exchange.collateral(gateway.wallet) == 1_000_000_000
            up.engine.world.exchange._bank.accounts[gateway.wallet].collateral = 7
            assert await gateway.balance() == events.BalanceSeen(7, True)
            assert (await gateway.cancel(answered.order_id)).outcome == "canceled"
            fields, signature, risk = prepared.request.fields, prepared.request.signature, market.neg_risk
            assert proves(fields, signature, OWNER, neg_risk=risk)
            other = structs.replace(fields, salt=fields.salt + 1)
            assert not proves(other, signature, OWNER, neg_risk=risk)
            assert not proves(fields, signature, "0x" + "33" * 20, neg_risk=risk)
            assert not proves(fields, signature, OWNER, neg_risk=not risk)
            await gateway.close()

    asyncio.run(go())
