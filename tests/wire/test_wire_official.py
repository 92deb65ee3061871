"""SIM-01: the venue's official client runs against the server with nothing changed but the addresses."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from polymarket.errors import RequestRejectedError
from polymarket.models.clob.order_response import AcceptedOrder
from polymarket.streams import CryptoPriceSpec, CryptoTwapPriceSpec, MarketSpec, UserSpec


def test_sim_01_an_order_is_created_posted_seen_and_cancelled(wire: Any) -> None:
    async def body(up: Any) -> None:
        market = wire.last_market(up)
        async with wire.official(up) as client:
            signed = await client.create_limit_order(asset_id=market.up, price="0.40", size="10", side="BUY")
            posted = await client.post_order(signed)
            assert isinstance(posted, AcceptedOrder)
            assert (posted.status, posted.making_amount, posted.trade_ids) == ("live", Decimal(0), ())
            book = await client.get_order_book(asset_id=market.up)
            assert [(level.price, level.size) for level in book.bids] == [(Decimal("0.4"), Decimal(10))]
            mirror = await client.get_order_book(asset_id=market.down)
            assert [(level.price, level.size) for level in mirror.asks] == [(Decimal("0.6"), Decimal(10))]
            order = await client.get_order(order_id=posted.order_id)
            assert (order.status, order.original_size, order.size_matched) == ("LIVE", Decimal(10), Decimal(0))
            assert (order.outcome, order.order_type, order.expires_at) == ("Up", "GTC", None)
            page = await client.list_open_orders(market=market.condition_id).first_page()
            assert [row.id for row in page.items] == [posted.order_id]
            cancelled = await client.cancel_order(order_id=posted.order_id)
            assert tuple(cancelled.canceled) == (posted.order_id,)
            again = await client.cancel_order(order_id=posted.order_id)
            assert list(again.not_canceled) == [posted.order_id]
            assert (await client.get_order(order_id=posted.order_id)).status == "CANCELED"

    wire.on_exchange(body)


def test_sim_02_two_clients_trade_and_both_see_it(wire: Any) -> None:
    """A bid for UP meets a bid for DOWN: shares are minted, the taker pays the fee, both accounts show it."""

    async def body(up: Any) -> None:
        market = wire.last_market(up)
        async with wire.official(up) as maker, wire.official(up, wire.OTHER_KEY) as taker:
            rests = await maker.post_order(
                await maker.create_limit_order(asset_id=market.down, price="0.45", size="20", side="BUY")
            )
            bought = await taker.post_order(
                await taker.create_market_order(asset_id=market.up, side="BUY", amount="5.5", max_price="0.55")
            )
            assert isinstance(bought, AcceptedOrder)
            assert (bought.status, bought.making_amount, bought.taking_amount) == ("matched", Decimal("5.5"), 10)
            (trade_id,) = bought.trade_ids
            (seen,) = (await taker.list_account_trades(id=trade_id).first_page()).items
            assert (seen.trader_side, seen.side, seen.price, seen.size) == ("TAKER", "BUY", Decimal("0.55"), 10)
            (part,) = seen.maker_orders
            assert (part.asset_id, part.order_id, part.matched_amount) == (market.down, rests.order_id, 10)
            (other,) = (await maker.list_account_trades().first_page()).items
            assert (other.id, other.trader_side) == (trade_id, "MAKER")
            half = await maker.get_order(order_id=rests.order_id)
            assert (half.status, half.size_matched, half.associate_trades) == ("LIVE", 10, (trade_id,))
            paid = await taker.get_balance_allowance(asset_type="COLLATERAL")
            fee = 173_250  # 10 * 0.07 * 0.55 * 0.45, in micro-units
            assert paid.balance == 1_000_000_000 - 5_500_000 - fee
            assert all(allowance > 10**18 for allowance in paid.allowances.values())
            (held,) = (await taker.list_positions().first_page()).items
            assert (held.asset_id, held.current_size, held.avg_price) == (market.up, 10, Decimal("0.55"))
            assert (held.entry_cost_usdc, held.entry_fees_usdc) == (Decimal("5.5"), Decimal("0.17325"))
            (row,) = (await taker.list_trades(user=taker.wallet).first_page()).items
            assert (row.side, row.price, row.size) == ("BUY", Decimal("0.55"), 10)
            (act,) = (await taker.list_activity().first_page()).items
            assert (act.type, act.amount) == ("TRADE", Decimal("5.5"))
            assert (await taker.get_portfolio_value()).value > 0

    wire.on_exchange(body)


def test_sim_01_a_batch_answers_each_order_by_itself(wire: Any) -> None:
    """CON-10: one leg is refused, the others stand, in the order given."""

    async def body(up: Any) -> None:
        market = wire.last_market(up)
        async with wire.official(up) as client:
            first = await client.create_limit_order(asset_id=market.up, price="0.30", size="10", side="BUY")
            second = await client.create_limit_order(asset_id=market.up, price="0.30", size="10", side="SELL")
            third = await client.create_limit_order(asset_id=market.down, price="0.30", size="10", side="BUY")
            answers = await client.post_orders([first, second, third])
            assert [answer.ok for answer in answers] == [True, False, True]
            assert answers[1].code == "not_enough_balance"
            scoring = await client.get_orders_scoring(order_ids=[answers[0].order_id])
            assert scoring == {answers[0].order_id: False}
            assert await client.get_order_scoring(order_id=answers[0].order_id) is False
            done = await client.cancel_market_orders(market=market.condition_id, asset_id=market.down)
            assert tuple(done.canceled) == (answers[2].order_id,)
            done = await client.cancel_all()
            assert tuple(done.canceled) == (answers[0].order_id,)

    wire.on_exchange(body)


def test_sim_01_refusals_carry_the_venue_s_texts(wire: Any) -> None:
    async def body(up: Any) -> None:
        market = wire.last_market(up)
        async with wire.official(up) as client:
            signed = await client.create_limit_order(asset_id=market.up, price="0.30", size="10", side="BUY")
            await client.post_order(signed)
            with pytest.raises(RequestRejectedError, match=r"is invalid\. Duplicated\.") as twice:
                await client.post_order(signed)
            assert twice.value.status == 400
            small = await client.create_limit_order(asset_id=market.up, price="0.30", size="4", side="BUY")
            with pytest.raises(RequestRejectedError, match="lower than the minimum: 5"):
                await client.post_order(small)
            kill = await client.create_market_order(asset_id=market.up, side="BUY", amount="5", max_price="0.20")
            with pytest.raises(RequestRejectedError, match="no orders found to match with FAK"):
                await client.post_order(kill)
            with pytest.raises(RequestRejectedError) as absent:
                await client.get_order(order_id="0x" + "ab" * 32)
            assert absent.value.status == 404

    wire.on_exchange(body)


def test_sim_01_the_catalogue_and_prices_parse(wire: Any) -> None:
    async def body(up: Any) -> None:
        market = wire.last_market(up)
        async with wire.official(up) as client:
            shown = await client.get_market(slug=market.slug)
            assert shown.condition_id == market.condition_id
            assert (shown.outcomes.yes.token_id, shown.outcomes.no.token_id) == (market.up, market.down)
            assert (shown.outcomes.yes.label, shown.outcomes.no.label) == ("Up", "Down")
            assert shown.state.accepting_orders is True
            assert shown.state.end_date.timestamp() * 1_000 == market.end
            assert (shown.trading.minimum_order_size, shown.trading.minimum_tick_size) == (5, Decimal("0.01"))
            assert shown.trading.fee_schedule.rate == Decimal("0.07")
            assert (await client.get_market(id=shown.id)).slug == market.slug
            event = await client.get_event(slug=market.slug)
            assert [one.slug for one in event.markets] == [market.slug]
            assert event.metadata is None
            (listed,) = (await client.list_markets(condition_ids=[market.condition_id]).first_page()).items
            assert listed.slug == market.slug
            assert not (await client.list_markets(condition_ids=[market.condition_id], closed=True).first_page()).items
            await client.post_order(
                await client.create_limit_order(asset_id=market.up, price="0.30", size="10", side="BUY")
            )
            await client.post_order(
                await client.create_limit_order(asset_id=market.down, price="0.60", size="10", side="BUY")
            )
            assert await client.get_midpoint(asset_id=market.up) == Decimal("0.35")
            assert await client.get_price(asset_id=market.up, side="BUY") == Decimal("0.3")
            assert await client.get_price(asset_id=market.up, side="SELL") == Decimal("0.4")
            assert await client.get_spread(asset_id=market.down) == Decimal("0.1")
            assert await client.get_last_trade_price(asset_id=market.up) is None
            books = await client.get_order_books(asset_ids=[market.up, market.down])
            assert [book.asset_id for book in books] == [market.up, market.down]
            assert await client.get_closed_only_mode() is False
            assert await client.get_notifications() == ()
            assert await client.get_resolutions(condition_ids=market.condition_id) == ()

    wire.on_exchange(body)


def test_sim_01_heartbeats_hand_out_the_next_id_and_refuse_a_wrong_one(wire: Any) -> None:
    from polymarket.errors import OrderHeartbeatMismatchError

    async def body(up: Any) -> None:
        async with wire.official(up) as client:
            first = await client.send_order_heartbeat()
            second = await client.send_order_heartbeat(heartbeat_id=first.heartbeat_id)
            assert second.heartbeat_id != first.heartbeat_id
            with pytest.raises(OrderHeartbeatMismatchError):
                await client.send_order_heartbeat(heartbeat_id="wrong")

    wire.on_exchange(body)


def test_sim_01_the_client_s_streams_show_books_orders_trades_and_prices(wire: Any) -> None:
    async def body(up: Any) -> None:
        market = wire.last_market(up)
        async with wire.official(up) as maker, wire.official(up, wire.OTHER_KEY) as taker:
            stream = await taker.subscribe([
                MarketSpec(asset_ids=[market.up], custom_feature_enabled=True),
                UserSpec(),
                CryptoPriceSpec(symbols=["btcusd"]),
                CryptoTwapPriceSpec(symbols=["btcusd"]),
            ])
            wanted = {
                ("market", "book"), ("market", "price_change"), ("market", "last_trade_price"),
                ("market", "best_bid_ask"), ("user", "order"), ("user", "trade"), ("prices.crypto", "subscribe"),
                ("prices.crypto.twap", "subscribe"), ("prices.crypto", "update"), ("prices.crypto.twap", "update"),
            }
            await maker.post_order(
                await maker.create_limit_order(asset_id=market.down, price="0.45", size="20", side="BUY")
            )
            await taker.post_order(
                await taker.create_limit_order(asset_id=market.up, price="0.55", size="10", side="BUY")
            )
            statuses = set()
            async for event in stream:
                wanted.discard((event.topic, event.type))
                if event.topic == "user" and event.type == "trade":
                    statuses.add(event.payload.status)
                if not wanted and statuses >= {"MATCHED", "MINED", "CONFIRMED"}:
                    break
            await stream.close()

    wire.on_exchange(body, speed=20.0)
