from __future__ import annotations

from typing import Any

import pytest

from polyhost.model.gateway import MakerSlice, OrderRow, TradeRow
from polyhost.model.words import Action
from polyhost.venue.polymarket.rows import epoch_s, order_row, trade_row


def _order(**changes: Any) -> dict[str, Any]:
    return {
        "event_type": "order", "id": "0xff35", "owner": "key", "market": "0xabc", "asset_id": "0x10", "side": "SELL",
        "original_size": "10", "size_matched": "0", "price": "0.57", "associate_trades": None, "outcome": "YES",
        "type": "PLACEMENT", "created_at": "1672290687", "expiration": "0", "order_type": "GTC", "status": "LIVE",
        "timestamp": "1672290687",
    } | changes  # fmt: skip


def _trade(**changes: Any) -> dict[str, Any]:
    return {
        "event_type": "trade", "type": "TRADE", "id": "28c4", "taker_order_id": "0x06bc", "market": "0xabc",
        "asset_id": "16", "side": "BUY", "size": "10", "price": "0.57", "fee_rate_bps": "", "status": "MATCHED",
        "matchtime": "1672290701", "last_update": "1672290702", "owner": "key", "transaction_hash": "",
        "maker_orders": [
            {"order_id": "0xff35", "matched_amount": "10", "price": "0.57", "asset_id": "16", "side": "SELL"}
        ],
    } | changes  # fmt: skip


def test_an_order_of_the_user_stream_in_our_terms() -> None:
    wanted = OrderRow("0xff35", "0xabc", "16", Action.SELL, 5_700, 10_000_000, 0, "LIVE", "PLACEMENT")
    assert order_row(_order()) == wanted


def test_an_order_over_rest_has_a_prefix_and_no_kind() -> None:
    data = _order(status="ORDER_STATUS_CANCELED_MARKET_RESOLVED", created_at=1672290687)
    del data["type"]
    row = order_row(data)
    assert (row.status, row.kind) == ("CANCELED_MARKET_RESOLVED", "")


def test_con_12_a_killed_fok_without_a_matched_size_says_that_it_does_not_say() -> None:
    words = "CANCELED_order couldn't be fully filled. FOK orders are fully filled or killed."
    row = order_row(_order(type="CANCELLATION", size_matched="", created_at="", status=words))
    assert row.size_matched is None
    assert row.status == words
    assert row.kind == "CANCELLATION"


def test_a_status_nobody_knows_stays_as_it_is() -> None:
    assert order_row(_order(status="SLEEPING")).status == "SLEEPING"
    assert trade_row(_trade(status="TRADE_STATUS_MATCHED_NOT_BROADCASTED")).status == "MATCHED_NOT_BROADCASTED"


def test_a_trade_with_its_makers() -> None:
    maker = MakerSlice("0xff35", "16", Action.SELL, 5_700, 10_000_000)
    wanted = TradeRow("28c4", "0xabc", "16", "0x06bc", Action.BUY, 5_700, 10_000_000, "MATCHED", 1672290701, (maker,))
    assert trade_row(_trade()) == wanted


@pytest.mark.parametrize(
    ("token", "taker", "maker"),
    [("16", "BUY", Action.SELL), ("16", "SELL", Action.BUY), ("17", "BUY", Action.BUY), ("17", "SELL", Action.SELL)],
)
def test_a_maker_without_a_side_has_the_only_one_it_can_have(token: str, taker: str, maker: Action) -> None:
    entry = {"order_id": "0x1", "matched_amount": "10", "price": "0.43", "asset_id": token}
    assert trade_row(_trade(side=taker, maker_orders=[entry])).makers[0].action is maker


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("1672290701", 1672290701), (1672290701, 1672290701), ("1672290701123", 1672290701),
     ("2022-12-29T05:11:41Z", 1672290701), ("2022-12-29T05:11:41", 1672290701)],
)  # fmt: skip
def test_times_come_in_seconds_milliseconds_or_iso(given: object, seconds: int) -> None:
    assert epoch_s(given) == seconds
    data = _trade(match_time=given)
    assert trade_row(data).matched_s == seconds


def test_a_price_between_ticks_is_taken_as_the_worse_one() -> None:
    assert trade_row(_trade(price="0.57123", side="BUY")).price == 5_713
    assert trade_row(_trade(price="0.57123", side="SELL")).price == 5_712


@pytest.mark.parametrize(
    ("changes", "culprit"),
    [({"id": ""}, "id"), ({"side": "HOLD"}, "side"), ({"original_size": "ten"}, "original_size"),
     ({"market": None}, "market"), ({"price": "0.5x"}, "price")],
)  # fmt: skip
def test_a_row_that_cannot_be_read_names_the_field(changes: dict[str, Any], culprit: str) -> None:
    with pytest.raises(ValueError, match=culprit):
        order_row(_order(**changes))
