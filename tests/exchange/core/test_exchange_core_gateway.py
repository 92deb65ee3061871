"""The in-process gateway: commands in, kernel events out."""

from __future__ import annotations

from typing import Any

import pytest
from eth_keys.datatypes import PrivateKey

from polyhost.exchange import api
from polyhost.exchange.gateway import InProcessGateway, posted_event
from polyhost.model import commands, events
from polyhost.model.gateway import ActionRequest, OrderDraft, OrderRequest
from polyhost.model.money import micros, ticks
from polyhost.model.order_hash import order_id
from polyhost.model.times import MarketMs
from polyhost.model.words import Action, ActionKind, OrderType, Side

KEY = bytes([0x11]) * 32
ADDRESS = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"


class Desk:
    """A gateway on a bench's exchange, with an account of 1,000.00."""

    def __init__(self, venue: Any, private_key: bytes | None = None) -> None:
        self.venue = venue
        venue.exchange.open_account(ADDRESS, micros("1000"))
        self.gateway = InProcessGateway(venue.exchange, ADDRESS, "key-me", seed=7, private_key=private_key)

    def do(self, command: Any) -> list[Any]:
        return self.gateway.execute(command, MarketMs(self.venue.now))

    def draft(self, price: str, size: str, kind: str = "GTC", action: str = "BUY", token: str = "101") -> OrderDraft:
        return OrderDraft(
            "ref", token, Action(action), OrderType(kind), ticks(price), micros(size), ticks("0.01"), False
        )

    def prepare(self, *args: str, **more: str) -> OrderRequest:
        (event,) = self.do(commands.Prepare(self.draft(*args, **more)))
        assert isinstance(event, events.Prepared)
        return event.request

    def wait(self, ms: int) -> list[Any]:
        return self.gateway.events_of(self.venue.wait(ms))


@pytest.fixture
def desk(bench: Any) -> Desk:
    return Desk(bench())


def test_ord_01_the_id_is_the_orders_hash_and_no_two_are_alike(desk: Desk) -> None:
    first, second = desk.prepare("0.40", "10"), desk.prepare("0.40", "10")
    assert first.order_id == order_id(first.fields) != second.order_id
    assert (first.fields.maker_amount, first.fields.taker_amount) == (micros("4"), micros("10"))


def test_the_same_seed_prepares_the_same_bytes(bench: Any) -> None:
    assert Desk(bench()).prepare("0.40", "10") == Desk(bench()).prepare("0.40", "10")


def test_a_resting_order_is_accepted_shown_and_cancelled(desk: Desk) -> None:
    request = desk.prepare("0.40", "10")
    answered, seen = desk.do(commands.Post(request))
    assert answered == events.PostAnswered(request.order_id, "accepted", "live", code="live", http=200)
    assert (seen.row.kind, seen.row.status, seen.source) == ("PLACEMENT", "LIVE", "stream")
    canceled, shown = desk.do(commands.Cancel(request.order_id))
    assert canceled == events.CancelAnswered(request.order_id, "canceled")
    assert shown.row.kind == "CANCELLATION"
    assert desk.do(commands.Cancel(request.order_id))[0].outcome == "gone"
    assert desk.do(commands.Cancel("0xfeed"))[0].outcome == "not_found"


def test_a_taker_is_answered_by_advance(desk: Desk) -> None:
    desk.venue.house("SELL", "0.50", "10")
    request = desk.prepare("0.50", "10", "FAK")
    assert desk.do(commands.Post(request)) == []
    assert desk.do(commands.Cancel(request.order_id))[0].outcome == "delayed"
    answered, seen, trade = desk.wait(150)
    assert (answered.outcome, answered.status) == ("accepted", "matched")
    assert seen.row.size_matched == micros("10")
    assert (trade.row.status, trade.source) == ("MATCHED", "stream")
    assert [event.row.status for event in desk.wait(10_000)] == ["MINED", "CONFIRMED"]


@pytest.mark.parametrize(
    ("price", "size", "kind", "code"),
    [("0.40", "4", "GTC", "min_size"), ("0.40", "5000", "GTC", "balance"), ("0.40", "10", "FAK", "fak_killed")],
)
def test_con_12_a_refusal_is_named(desk: Desk, price: str, size: str, kind: str, code: str) -> None:
    found = [*desk.do(commands.Post(desk.prepare(price, size, kind))), *desk.wait(150)]
    answered = found[0]
    assert (answered.outcome, answered.code) == ("refused", code)
    assert answered.text


def test_a_duplicate_proves_presence_and_what_is_not_listed_is_unknown() -> None:
    assert posted_event(api.Posted(1, "0x1", 400, error="order 0x1 is invalid. Duplicated.")).outcome == "accepted"
    assert posted_event(api.Posted(1, "0x1", 400, error="something new")).outcome == "unknown"
    assert posted_event(api.Posted(1, "0x1", 500, error="market not found")).outcome == "unknown"
    assert posted_event(api.Posted(1, "0x1", 200, status="unmatched")).outcome == "unknown"


def test_queries_are_answered_with_facts(desk: Desk) -> None:
    request = desk.prepare("0.40", "10")
    desk.do(commands.Post(request))
    (seen,) = desk.do(commands.QueryOrder(request.order_id))
    assert (seen.row.status, seen.source) == ("LIVE", "query")
    assert desk.do(commands.QueryOrder("0xfeed")) == [events.OrderNotFound("0xfeed")]
    assert desk.do(commands.QueryBalance()) == [events.BalanceSeen(micros("1000"), True)]
    assert desk.do(commands.QueryTokenBalance("101")) == [events.TokenBalanceSeen("101", 0)]


def test_a_sweep_lists_open_orders_and_trades(desk: Desk) -> None:
    open_id = desk.do(commands.Post(desk.prepare("0.40", "10")))[0].order_id
    desk.venue.house("SELL", "0.50", "10")
    desk.do(commands.Post(desk.prepare("0.50", "10", "FAK")))
    desk.wait(2_150)
    (done,) = desk.do(commands.Sweep("0xc0", 0))
    assert [row.order_id for row in done.orders] == [open_id]
    assert [row.status for row in done.trades] == ["MINED"]
    assert done.complete
    assert desk.do(commands.Sweep("0xc0", 100))[0].trades == ()


def test_ord_17_everything_of_the_key_is_cancelled(desk: Desk) -> None:
    ids = [desk.do(commands.Post(desk.prepare("0.40", "10")))[0].order_id for _ in range(2)]
    found = [event for event in desk.do(commands.CancelEverything()) if isinstance(event, events.CancelAnswered)]
    assert [(event.order_id, event.outcome) for event in found] == [(order, "canceled") for order in ids]


def test_another_accounts_events_are_not_ours(desk: Desk) -> None:
    request = desk.prepare("0.40", "10")
    desk.do(commands.Post(request))
    said = desk.venue.send(desk.venue.order("BUY", "0.60", "10", token_id="202"))
    said += desk.venue.wait(150)
    kinds = [type(event) for event in desk.gateway.events_of(said)]
    assert kinds == [events.OrderSeen, events.TradeSeen], "our order's update and our trade, not the taker's answer"


def test_sim_one_order_in_256_is_really_signed(bench: Any) -> None:
    desk = Desk(bench(), KEY)
    requests = [desk.prepare("0.40", "10") for _ in range(257)]
    signed = [number for number, request in enumerate(requests) if request.signature]
    assert signed == [0, 256]
    assert len(bytes.fromhex(requests[0].signature[2:])) == 65


def test_a_wrong_key_prepares_nothing(bench: Any) -> None:
    venue = bench()
    gateway = InProcessGateway(venue.exchange, "0x" + "ab" * 20, "key", seed=1, private_key=KEY)
    draft = Desk(venue).draft("0.40", "10")
    (event,) = gateway.execute(commands.Prepare(draft), MarketMs(0))
    assert isinstance(event, events.PrepareFailed)
    assert event.configuration
    assert PrivateKey(KEY).public_key.to_checksum_address() == ADDRESS


def test_a_recordings_token_name_is_hashed_too(bench: Any) -> None:
    desk = Desk(bench(up="BTC-UP", down="BTC-DOWN"))
    request = desk.prepare("0.40", "10", token="BTC-UP")
    assert request.fields.token_id == "BTC-UP"
    assert desk.do(commands.Post(request))[0].outcome == "accepted"


def test_pos_04_what_the_wallet_holds_is_told_with_its_average_and_its_fees(desk: Desk) -> None:
    desk.venue.house("SELL", "0.50", "10")
    desk.do(commands.Post(desk.prepare("0.50", "10", "FAK")))
    desk.wait(2_150)
    (seen,) = desk.do(commands.QueryPositions(begun=77))
    assert isinstance(seen, events.PositionsSeen)
    assert (seen.complete, seen.begun) == (True, 77)
    (row,) = seen.rows
    assert (row.token_id, row.condition_id, row.size, row.average) == ("101", "0xc0", micros("10"), 5_000)
    assert row.fees > 0
    assert not row.resolved


def test_pos_04_a_market_is_looked_up_by_its_condition(desk: Desk) -> None:
    (found,) = desk.do(commands.FindMarket("0xc0", "whatever"))
    assert isinstance(found, events.MarketFound)
    assert found.market.condition_id == "0xc0"
    (missing,) = desk.do(commands.FindMarket("0xnone", "nothing"))
    assert isinstance(missing, events.QueryFailed)
    assert (missing.what, missing.key) == ("market", "0xnone")


def test_set_03_split_merge_and_redeem_are_answered_and_conserve_the_money(desk: Desk) -> None:
    condition_id = desk.venue.exchange.markets()[0].condition_id

    def act(kind: ActionKind, size: str = "0") -> events.ActionAnswered:
        (answer,) = desk.do(commands.Act(ActionRequest("a1", kind, condition_id, micros(size))))
        assert isinstance(answer, events.ActionAnswered)
        return answer

    assert act(ActionKind.SPLIT, "30") == events.ActionAnswered("a1", "done")
    assert act(ActionKind.MERGE, "10").outcome == "done"
    assert desk.do(commands.QueryBalance()) == [events.BalanceSeen(micros("980"), True)]
    assert desk.do(commands.QueryTokenBalance("101")) == [events.TokenBalanceSeen("101", micros("20"))]
    refused = act(ActionKind.MERGE, "20.000001")
    assert (refused.outcome, refused.text[:18]) == ("refused", "not enough balance")
    assert act(ActionKind.REDEEM).text == "the market is not resolved"
    desk.venue.exchange.decide(condition_id, None, None, None, MarketMs(desk.venue.now))
    assert act(ActionKind.REDEEM).outcome == "done"
    assert desk.do(commands.QueryBalance()) == [events.BalanceSeen(micros("1000"), True)]


def test_set_02_the_venues_account_counts_what_a_split_cost_and_a_merge_gave_back(desk: Desk) -> None:
    """20.00 for 20 pairs, 5 of them back, 10 UP sold at 0.60, then DOWN wins: the wallet's money tells the same."""
    act = {kind: commands.Act(ActionRequest(kind.value, kind, "0xc0", micros(size))) for kind, size in (
        (ActionKind.SPLIT, "20"), (ActionKind.MERGE, "5"), (ActionKind.REDEEM, "0"),
    )}  # fmt: skip
    for kind in (ActionKind.SPLIT, ActionKind.MERGE):
        assert desk.do(act[kind])[0].outcome == "done"
    (held,) = desk.do(commands.QueryPositions(1))
    assert {(row.size, row.average) for row in held.rows} == {(micros("15"), ticks("0.50"))}
    desk.venue.house("BUY", "0.60", "10")
    desk.do(commands.Post(desk.prepare("0.60", "10", "FAK", action="SELL")))
    desk.wait(10_000)
    desk.venue.exchange.decide("0xc0", Side.DOWN, 1, 2, MarketMs(desk.venue.now))
    desk.do(act[ActionKind.REDEEM])
    (seen,) = desk.do(commands.QueryAudit("0xc0"))
    (cash,) = desk.do(commands.QueryBalance())
    assert sum(row.pnl for row in seen.rows) == cash.collateral - micros("1000") != 0
