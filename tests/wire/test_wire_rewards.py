"""Liquidity rewards on the wire, read by the official client."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from polymarket.models.clob.notifications import Notification, RewardPayoutNotification
from pydantic import TypeAdapter

from polyhost.exchange import api
from polyhost.exchange.server import ServerSettings
from polyhost.exchange.server.jsons import encode
from polyhost.exchange.server.notices import Notices, notice_row
from polyhost.exchange.world import WorldSettings
from polyhost.venue.polymarket.gamma import market_of

SETTINGS = ServerSettings(
    world=WorldSettings(
        symbols=("BTC",), durations_s=(14_400,), density=0.0, plain_market=False, reward_rate_day=144_000_000_000
    )
)
"""Each window pays 100.00 a minute to whoever quotes in it."""


async def _quotes(client: Any, market: Any) -> list[str]:
    """Bids of 100 for both tokens, two cents from the middle; their ids."""
    ids = []
    for token in (market.up, market.down):
        signed = await client.create_limit_order(asset_id=token, price="0.49", size="100", side="BUY")
        ids.append((await client.post_order(signed)).order_id)
    return ids


def test_rew_01_the_official_client_sees_programs_scores_and_earnings(wire: Any) -> None:
    async def body(up: Any) -> None:
        market = wire.last_market(up)
        async with wire.official(up) as client:
            midnight = (up.engine.clock.now // 86_400_000 + 1) * 86_400_000
            if midnight - up.engine.clock.now < 600_000:  # else two days share what is earned
                await wire.passed(up, midnight)
            ids = await _quotes(client, market)
            placed = up.engine.clock.now
            await wire.passed(up, placed + 4_000)
            assert await client.get_order_scoring(order_id=ids[0]) is True
            assert await client.get_orders_scoring(order_ids=[*ids, "0x" + "00" * 32]) == {
                ids[0]: True, ids[1]: True, "0x" + "00" * 32: False,
            }  # fmt: skip
            programs = [item async for page in client.list_current_rewards() for item in page.items]
            assert {item.condition_id for item in programs} == {each.condition_id for each in up.engine.world.listing()}
            assert programs[0].total_daily_rate == Decimal(144_000)
            assert (programs[0].rewards_min_size, programs[0].rewards_max_spread) == (Decimal(50), 4.5)
            (one,) = [
                item
                async for page in client.list_market_rewards(condition_id=market.condition_id)
                for item in page.items
            ]
            assert one.market_slug == market.slug
            assert one.rewards_config[0].rate_per_day == Decimal(144_000)
            await wire.passed(up, placed + 150_000)
            today = datetime.fromtimestamp(up.engine.clock.now / 1_000, UTC).date().isoformat()
            earned = [item async for page in client.list_user_earnings_for_day(date=today) for item in page.items]
            assert [item.condition_id for item in earned] == [market.condition_id]
            assert earned[0].earnings >= Decimal(100), "alone in its market, a whole minute's pool at each sample"
            assert earned[0].earnings % 100 == 0
            (total,) = await client.get_total_earnings_for_user_for_day(date=today)
            assert total.earnings >= earned[0].earnings
            assert await client.get_reward_percentages() == {market.condition_id: 100.0}
            mine = [
                item
                async for page in client.list_user_earnings_and_markets_config(date=today)
                for item in page.items
            ]
            assert {item.market_slug: item.earning_percentage for item in mine}[market.slug] == 100.0

    wire.on_exchange(body, SETTINGS, speed=60.0)


def test_rew_01_an_order_younger_than_three_and_a_half_seconds_does_not_score(wire: Any) -> None:
    async def body(up: Any) -> None:
        market = wire.last_market(up)
        async with wire.official(up) as client:
            with wire.standing(up):
                ids = await _quotes(client, market)
            placed = up.engine.world.exchange._desk.orders[ids[1]].created_ms
            await wire.passed(up, placed + 1_000)
            with wire.standing(up):
                assert up.engine.clock.now < placed + 3_500
                assert await client.get_order_scoring(order_id=ids[1]) is False
            await wire.passed(up, placed + 3_501)
            assert await client.get_order_scoring(order_id=ids[1]) is True

    wire.on_exchange(body, SETTINGS)


def test_rew_01_the_catalogue_tells_the_program_and_the_host_reads_it(wire: Any) -> None:
    async def body(up: Any) -> None:
        market = wire.last_market(up)
        shown = await wire.get(up, f"/markets/slug/{market.slug}")
        assert shown["clobRewards"][0]["rewardsDailyRate"] == 144_000
        read = market_of(shown)
        assert read.reward_rate_day == 144_000_000_000
        assert (read.reward_min_size, read.reward_max_spread) == (50_000_000, 450)
        info = await wire.get(up, f"/clob-markets/{market.condition_id}")
        assert info["r"]["rates"][0]["rewards_daily_rate"] == 144_000

    wire.on_exchange(body, SETTINGS)


def test_rew_01_a_payout_is_a_notification_that_the_official_client_reads() -> None:
    wallet, key = "0x" + "11" * 20, "00000000-0000-4000-8000-000000000000"
    notices = Notices(lambda _: None, lambda _: ())
    notices.take(api.RewardPaid(wallet, 20_000, 3_250_000, "0x" + "22" * 32, ()), 1_728_086_400_000)
    (notice,) = notices.of(wallet)
    read = TypeAdapter(Notification).validate_json(encode(notice_row(notice, key, wallet, {})))
    assert isinstance(read, RewardPayoutNotification)
    assert (read.payload.reward, read.payload.proxy_wallet.lower()) == (Decimal("3.25"), wallet)


@pytest.mark.parametrize("path", ["/order-scoring?order_id=0x1", "/rewards/user", "/rewards/user/total"])
def test_rew_01_an_accounts_rewards_are_its_own(wire: Any, path: str) -> None:
    async def body(up: Any) -> None:
        assert (await wire.status_of(up, "GET", path))[0] == 401

    wire.on_exchange(body, SETTINGS)
