"""Scores and earnings through the official client, from the simulated exchange (REW-01, REW-03)."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from polyhost.exchange.server import ServerSettings, running
from polyhost.exchange.world import WorldSettings
from polyhost.model import commands, events
from polyhost.model.gateway import OrderDraft
from polyhost.model.money import micros, ticks
from polyhost.model.words import Action, OrderType
from polyhost.venue.polymarket.endpoints import endpoints_at
from polyhost.venue.polymarket.rows import earned_rows
from polyhost.venue.polymarket.wire_gateway import WireGateway

from ..unhurried import PATIENCE_S
from .both_clients import each_client

KEY = "0x" + "22" * 32
SETTINGS = ServerSettings(
    world=WorldSettings(
        symbols=("BTC",), durations_s=(14_400,), density=0.0, plain_market=False, reward_rate_day=micros("144000")
    )
)

"""A window pays 100.00 a minute to whoever quotes in it."""


async def _quoted(up: Any, gateway: WireGateway) -> list[str]:
    """Bids of 100 for both tokens, two cents from the middle, and one too small to score."""
    market, ids = up.engine.world.listing(False)[-1], []
    for number, (token, size) in enumerate(((market.up, "100"), (market.down, "100"), (market.up, "10"))):
        draft = OrderDraft(
            f"o{number}", token, Action.BUY, OrderType.GTC, ticks("0.49"), micros(size), market.tick, market.neg_risk
        )
        prepared = await gateway.prepare(draft)
        assert isinstance(prepared, events.Prepared), prepared
        assert (await gateway.post(prepared.request)).outcome == "accepted"
        ids.append(prepared.request.order_id)
    return ids


async def _until(up: Any, at: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while up.engine.clock.now < at:
            await asyncio.sleep(0.005)


@each_client
def test_rew_01_the_gateway_asks_which_orders_score_and_what_the_day_earned(client: type[WireGateway]) -> None:
    async def job() -> None:
        async with running(SETTINGS, speed=120.0, free_running=True) as up:
            gateway = client(endpoints_at(up.url, up.ws_url), KEY)
            await gateway.connect()
            try:
                midnight = (up.engine.clock.now // 86_400_000 + 1) * 86_400_000
                if midnight - up.engine.clock.now < 600_000:  # else two days share what is earned
                    await _until(up, midnight)
                quoted = up.engine.world.listing(False)[-1].condition_id
                ids = await _quoted(up, gateway)
                began = up.engine.clock.now
                await _until(up, began + 4_000)
                (said,) = await gateway.execute(commands.QueryScoring((*ids, "0x" + "00" * 32)))
                assert isinstance(said, events.ScoringSeen), said
                assert dict(said.rows) == {ids[0]: True, ids[1]: True, ids[2]: False, "0x" + "00" * 32: False}
                await _until(up, began + 130_000)
                day = up.engine.clock.now // 86_400_000
                (earned,) = await gateway.execute(commands.QueryEarnings(day))
                assert isinstance(earned, events.EarningsSeen), earned
                (row,) = earned.rows
                assert row.condition_id == quoted
                assert row.rewards >= micros("100")
                assert row.rebates == 0
                calls = gateway.budget.calls
                assert (calls["query", "scoring"], calls["query", "earnings"]) == (1, 1), "inside the rate budget"
            finally:
                await gateway.close()

    asyncio.run(job())


@each_client
def test_rew_01_a_venue_that_does_not_answer_is_a_failed_query_not_a_verdict(client: type[WireGateway]) -> None:
    async def job() -> None:
        async with running(SETTINGS, free_running=True) as up:
            gateway = client(endpoints_at(up.url, up.ws_url), KEY)
            await gateway.connect()
            try:
                too_many = tuple(f"0x{number:064x}" for number in range(501))
                (said,) = await gateway.execute(commands.QueryScoring(too_many))
                assert isinstance(said, events.QueryFailed)
                assert said.what == "scoring"
            finally:
                await gateway.close()

    asyncio.run(job())


def test_rew_03_rewards_and_rebates_of_a_market_are_one_row_exactly() -> None:
    def earning(condition_id: str, earnings: str) -> Any:
        return SimpleNamespace(condition_id=condition_id, earnings=Decimal(earnings), asset_rate=Decimal(1))

    def rebate(condition_id: str, amount: str) -> Any:
        return SimpleNamespace(condition_id=condition_id, rebated_fees_usdc=Decimal(amount))

    rows = earned_rows(
        [earning("0xa", "0.5"), earning("0xb", "1"), earning("0xa", "0.2500009")], [rebate("0xa", "0.04")]
    )
    assert {row.condition_id: (row.rewards, row.rebates) for row in rows} == {
        "0xa": (750_000, 40_000), "0xb": (1_000_000, 0),
    }  # fmt: skip
