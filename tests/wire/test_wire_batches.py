"""CON-10, CON-11, CON-06: batches answered in order and each by itself or refused as a whole; bulk cancels; limits."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest
from polymarket.errors import RateLimitError, RequestRejectedError, TransportError

from polyhost.exchange.pathologies.catalogue import BY_NAME
from polyhost.exchange.pathologies.chance import Episode


async def _limit(client: Any, token: str, price: str, side: str = "BUY", size: str = "10", **more: Any) -> Any:
    return await client.create_limit_order(asset_id=token, price=price, size=size, side=side, **more)


def test_con_10_fifteen_orders_are_answered_in_order_each_by_itself(wire: Any) -> None:
    """Resting, matched after the taker delay, refused for size, balance and repetition: each leg has its own answer."""

    async def body(up: Any) -> None:
        market = wire.last_market(up)
        async with wire.official(up) as client, wire.official(up, wire.OTHER_KEY) as maker:
            await maker.post_order(await _limit(maker, market.down, "0.45", size="20"))
            legs = [
                await _limit(client, market.up, f"0.{number}", size="4" if number % 3 == 0 else "10")
                for number in range(30, 42)
            ]
            legs.insert(2, await client.create_market_order(
                asset_id=market.up, side="BUY", amount="5.5", max_price="0.55"
            ))
            legs.insert(5, await _limit(client, market.up, "0.99", side="SELL"))
            legs.insert(7, legs[0])
            answers = await client.post_orders(legs)
            assert len(answers) == len(legs) == 15
            told = [answer.status if answer.ok else answer.code for answer in answers]
            small = {number for number, leg in enumerate(legs) if leg.taker_amount == 4_000_000}
            for number, word in enumerate(told):
                if number == 2:
                    assert word == "matched"
                elif number == 5:
                    assert word == "not_enough_balance"
                elif number in small or number == 7:
                    assert word not in ("live", "matched"), number
                else:
                    assert word == "live", (number, answers[number])
            assert answers[2].taking_amount == 10
            assert len((await client.list_open_orders().first_page()).items) == told.count("live")

    wire.on_exchange(body)


def test_con_10_a_leg_that_nobody_signed_is_refused_by_itself(wire: Any) -> None:
    async def body(up: Any) -> None:
        market = wire.last_market(up)
        async with wire.official(up) as client:
            good, forged = await _limit(client, market.up, "0.30"), await _limit(client, market.up, "0.31")
            answers = await client.post_orders([dataclasses.replace(forged, salt=forged.salt + 1), good])
            assert [answer.ok for answer in answers] == [False, True]
            assert "invalid signature" in answers[0].message

    wire.on_exchange(body)


def begin(up: Any, name: str) -> None:
    now, period = up.engine.clock.now, BY_NAME[name].period_ms
    up.engine.pathologies.probabilities[name] = 1.0
    for number in (now // period, now // period + 1):
        up.engine.pathologies._episodes[name, number] = Episode(now - 6_000, now + 3_600_000)


@pytest.mark.parametrize(
    ("name", "status"), [("http_425", 425), ("cancel_only", 503), ("post_only_restart", 503), ("rate_limit", 429)]
)
def test_con_10_a_batch_is_refused_as_a_whole_while_the_venue_takes_none(wire: Any, name: str, status: int) -> None:
    async def body(up: Any) -> None:
        market = wire.last_market(up)
        up.engine.pathologies.probabilities.clear()
        async with wire.official(up) as client:
            legs = [await _limit(client, market.up, price) for price in ("0.30", "0.31", "0.32")]
            resting = await client.post_order(await _limit(client, market.up, "0.20"))
            if name == "rate_limit":
                up.engine.pathologies.probabilities[name] = 1.0
            else:
                begin(up, name)
            with pytest.raises(RateLimitError if status == 429 else RequestRejectedError) as refused:
                await client.post_orders(legs)
            assert refused.value.retry_after is None if name == "cancel_only" else refused.value.retry_after >= 1
            if status != 429:
                assert refused.value.status == status
            if name == "post_only_restart":
                assert refused.value.restriction == "post_only"
                careful = [await _limit(client, market.up, "0.25", post_only=True)]
                assert [answer.ok for answer in await client.post_orders(careful)] == [True]
            up.engine.pathologies.probabilities.clear()
            ids = {row.id for row in (await client.list_open_orders().first_page()).items}
            assert resting.order_id in ids
            assert len(ids) == (2 if name == "post_only_restart" else 1), "nothing of the batch is there"

    wire.on_exchange(body, settings=msgspec.structs.replace(wire.QUIET, pathologies={name: 1.0}))


@pytest.mark.parametrize("name", ["error_but_filled", "timeout_but_filled"])
def test_con_10_a_lost_or_broken_answer_is_the_whole_batch_s_and_the_orders_rest(wire: Any, name: str) -> None:
    async def body(up: Any) -> None:
        market = wire.last_market(up)
        async with wire.official(up) as client:
            legs = [await _limit(client, market.up, price) for price in ("0.30", "0.31")]
            with pytest.raises(TransportError if name == "timeout_but_filled" else RequestRejectedError):
                await client.post_orders(legs)
            assert len((await client.list_open_orders().first_page()).items) == 2

    wire.on_exchange(body, settings=msgspec.structs.replace(wire.QUIET, pathologies={name: 1.0}), speed=50.0)


def test_con_11_orders_of_a_list_a_market_a_token_and_a_key_are_cancelled(wire: Any) -> None:
    async def body(up: Any) -> None:
        market = wire.last_market(up)
        plain = next(one for one in up.engine.world.listing(False) if one.start is None)
        async with wire.official(up) as client, wire.official(up, wire.OTHER_KEY) as other:
            async def rest(token: str, who: Any = client) -> str:
                return str((await who.post_order(await _limit(who, token, "0.30"))).order_id)

            ids = [await rest(token) for token in (market.up, market.up, market.down, plain.up)]
            foreign = await rest(market.up, other)
            done = await client.cancel_orders(order_ids=[ids[0], foreign, "0x" + "ab" * 32, ids[0]])
            assert tuple(done.canceled) == (ids[0],)
            assert set(done.not_canceled) == {foreign, "0x" + "ab" * 32}
            assert tuple((await client.cancel_market_orders(asset_id=market.down)).canceled) == (ids[2],)
            assert tuple((await client.cancel_market_orders(market=market.condition_id)).canceled) == (ids[1],)
            assert tuple((await client.cancel_all()).canceled) == (ids[3],)
            assert tuple((await client.cancel_all()).canceled) == ()
            assert [row.id for row in (await other.list_open_orders().first_page()).items] == [foreign]

    wire.on_exchange(body)


def test_con_06_a_signer_over_its_rate_is_told_how_it_stands(wire: Any) -> None:
    """Four batches of fifteen use up the burst of 60; what it says comes with every answer, and cancels still go."""
    seen: list[Any] = []

    async def body(up: Any) -> None:
        from eth_account import Account
        from polymarket import AsyncSecureClient

        market = wire.last_market(up)
        client = await AsyncSecureClient.create(
            private_key=wire.KEY, wallet=Account.from_key(wire.KEY).address, environment=wire.environment(up),
            on_rate_limit_update=seen.append,
        )
        try:
            first = await client.post_order(await _limit(client, market.up, "0.30"))
            assert (seen[-1].remaining, seen[-1].tier, seen[-1].warning) == (59, "standard", False)
            bucket = up.engine.limits._buckets[Account.from_key(wire.KEY).address, "orders"]
            bucket.owe(59 + 40 * 30, up.engine.clock.now / 1_000)
            bucket._at += 10**9  # nothing comes back while this test runs
            with pytest.raises(RateLimitError) as refused:
                await client.post_orders([await _limit(client, market.up, "0.31") for _ in range(2)])
            assert refused.value.retry_after >= 1
            assert refused.value.rate_limit.remaining < 0
            assert refused.value.rate_limit.reset > 0
            cancels = type(bucket)(0, 120, up.engine.clock.now / 1_000)  # of a tier that gives nothing back meanwhile
            up.engine.limits._buckets[Account.from_key(wire.KEY).address, "cancels"] = cancels
            assert tuple((await client.cancel_all()).canceled) == (first.order_id,)
            assert seen[-1].remaining == 118, "one for the call and one for the order"
        finally:
            await client.close()

    wire.on_exchange(body, settings=msgspec.structs.replace(wire.QUIET, rate_limit_tier="standard"))
