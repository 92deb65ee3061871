from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loguru import logger

from polyhost.errors import ConfigError, VenueError
from polyhost.model import commands, events
from polyhost.model.gateway import OrderDraft, OrderRequest
from polyhost.model.order_hash import order_id
from polyhost.model.records import NoticeRaised
from polyhost.model.rounding import limit_amounts, market_size
from polyhost.model.words import Action, OrderType, Side
from polyhost.venue.clock import VenueClock
from polyhost.venue.polymarket.endpoints import endpoints_at
from polyhost.venue.polymarket.gamma import market_of
from polyhost.venue.polymarket.gateway import PolymarketGateway
from polyhost.venue.polymarket.proof import signer_of
from polyhost.venue.polymarket.selftest import ADDRESS, KEY
from polyhost.venue.polymarket.wire_gateway import WireGateway

from .both_clients import CLIENTS

CONDITION = "0x" + "ab" * 32
UP = "71321045679252212594626385532706912750332728571942532289631379312455583992563"
Job = Callable[[WireGateway, Any], Awaitable[Any]]


class Shared:
    """One gateway of each client and one scripted venue for the whole module: connecting is slow."""

    client: type[WireGateway] = PolymarketGateway
    runner: asyncio.Runner | None = None
    fake: Any
    gateway: WireGateway
    usual: ClassVar[dict[str, Any]] = {}

    @classmethod
    def run(cls, venue: Any, job: Job, answers: dict[str, Any]) -> None:
        if cls.runner is None:
            cls.runner = asyncio.Runner()
            cls.runner.run(cls._open(venue))
        # A list of answers is used up: the other client's turn has it whole.
        whole = {key: list(said) if isinstance(said, list) else said for key, said in answers.items()}
        cls.fake.answers = cls.usual | whole
        cls.fake.requests.clear()
        cls.gateway.budget._buckets.clear()  # each test has the whole budget
        cls.runner.run(job(cls.gateway, cls.fake))  # type: ignore[arg-type]

    @classmethod
    async def _open(cls, venue: Any) -> None:
        cls.fake = await venue().__aenter__()
        cls.usual = dict(cls.fake.answers)
        cls.gateway = cls.client(endpoints_at(cls.fake.url), KEY, selftest=False)
        await cls.gateway.connect()

    @classmethod
    async def _close(cls) -> None:
        await cls.gateway.close()
        await cls.fake.__aexit__()

    @classmethod
    def close(cls) -> None:
        if cls.runner is not None:
            with cls.runner as runner:
                runner.run(cls._close())
            cls.runner = None


@pytest.fixture(autouse=True, scope="module", params=CLIENTS, ids=lambda client: client.client_name)
def client(request: pytest.FixtureRequest) -> Iterator[type[WireGateway]]:
    """Every test of this file is a test of both clients (CON-19)."""
    Shared.client = request.param
    yield Shared.client
    Shared.close()


def _with_gateway(venue: Any, job: Job, **answers: Any) -> None:
    Shared.run(venue, job, answers)


def _alone(venue: Any, job: Job, **answers: Any) -> None:
    """With a gateway and a venue of the test's own."""

    async def go() -> None:
        async with venue() as fake:
            fake.answers.update(answers)
            gateway = Shared.client(endpoints_at(fake.url), KEY, selftest=False)
            await gateway.connect()
            try:
                await job(gateway, fake)
            finally:
                await gateway.close()

    asyncio.run(go())


def _draft(**changes: Any) -> OrderDraft:
    base: dict[str, Any] = {
        "ref": "o1", "token_id": UP, "action": Action.BUY, "order_type": OrderType.GTC, "price": 5_200,
        "size": 10_000_000, "tick": 100, "neg_risk": False,
    }  # fmt: skip
    return OrderDraft(**base | changes)


async def _prepared(gateway: WireGateway, **changes: Any) -> OrderRequest:
    event = await gateway.prepare(_draft(**changes))
    assert isinstance(event, events.Prepared), event
    return event.request


def _accepted(status: str = "live") -> Callable[[Any], Any]:
    """The venue's answer to a good order: its id is the hash of what arrived."""

    def answer(request: Any) -> Any:
        _, _, body = request
        return 200, {"success": True, "errorMsg": "", "orderID": _id_of(body["order"]), "status": status,
                     "makingAmount": "", "takingAmount": ""}  # fmt: skip

    return answer


def _id_of(order: dict[str, Any]) -> str:
    from polyhost.model.gateway import SignedFields

    return order_id(
        SignedFields(
            order["salt"], order["maker"], order["signer"], order["tokenId"], int(order["makerAmount"]),
            int(order["takerAmount"]), Action(order["side"]), order["signatureType"], int(order["timestamp"]),
            order["metadata"], order["builder"],
        )
    )  # fmt: skip


# --- prepare ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "sent"),
    [
        ({}, ("BUY", 5_200_000, 10_000_000)),
        ({"action": Action.SELL, "price": 3_700, "size": 33_330_000}, ("SELL", 33_330_000, 12_332_100)),
        ({"order_type": OrderType.FAK, "price": 5_200, "size": 25_000_000}, ("BUY", 13_000_000, 25_000_000)),
        ({"order_type": OrderType.FOK, "action": Action.SELL, "size": 12_340_000}, ("SELL", 12_340_000, 6_416_800)),
    ],
)
def test_ord_01_prepare_gives_id_and_everything_to_post_before_anything_is_sent(
    venue: Any, changes: dict[str, Any], sent: tuple[str, int, int]
) -> None:
    async def job(gateway: WireGateway, fake: Any) -> None:
        request = await _prepared(gateway, **changes)
        fields = request.fields
        assert (str(fields.action), fields.maker_amount, fields.taker_amount) == sent
        assert fields.maker == fields.signer == ADDRESS
        assert request.owner == "key-1"
        assert request.order_id == order_id(fields)
        assert signer_of(request.order_id, request.signature) == ADDRESS
        assert [key for key, _, _ in fake.requests if key.startswith("POST /order")] == []

    _with_gateway(venue, job)


def test_a_post_sends_the_prepared_bytes_and_the_same_bytes_again(venue: Any) -> None:
    async def job(gateway: WireGateway, fake: Any) -> None:
        request = await _prepared(gateway, post_only=True)
        first = await gateway.post(request)
        again = await gateway.post(request)
        assert first == again == events.PostAnswered(request.order_id, "accepted", "live", "live", http=200)
        (_, one), (_, two) = fake.asked("POST /order")
        assert one == two
        assert one["postOnly"] is True
        assert one["orderType"] == "GTC"
        assert _id_of(one["order"]) == request.order_id
        assert one["order"]["signature"] == request.signature

    _with_gateway(venue, job, **{"POST /order": _accepted()})


def test_u9_another_gateway_can_post_what_this_one_prepared(venue: Any) -> None:
    async def job(gateway: WireGateway, fake: Any) -> None:
        request = await _prepared(gateway)
        other = Shared.client(endpoints_at(fake.url), KEY, selftest=False)
        await other.connect()
        answered = await other.post(request)
        await other.close()
        assert answered.outcome == "accepted"

    _with_gateway(venue, job, **{"POST /order": _accepted("matched")})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"price": 5_250}, "not on the tick"),
        ({"price": 0}, "not on the tick"),
        ({"size": 10_005_000}, "multiple of 0.01"),
        ({"size": 0}, "multiple of 0.01"),
        ({"order_type": OrderType.GTD}, "expiration"),
        ({"expiration_s": 5}, "expiration"),
        ({"order_type": OrderType.GTD, "expiration_s": 5}, "at least 180 seconds"),
        ({"order_type": OrderType.FAK, "price": 5_300, "size": 10_010_000}, "amounts"),
    ],
)
def test_ord_06_a_draft_that_cannot_be_signed_exactly_is_not_sent(
    venue: Any, changes: dict[str, Any], reason: str
) -> None:
    async def job(gateway: WireGateway, fake: Any) -> None:
        event = await gateway.prepare(_draft(**changes))
        assert isinstance(event, events.PrepareFailed), event
        assert reason in event.reason
        assert event.ref == "o1"

    _with_gateway(venue, job)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"neg_risk": True}, "not a signature of our order hash"),
        ({"token_id": "5"}, "market facts not read"),
        ({"price": 5_250, "tick": 50}, "tick size"),
    ],
)
def test_ord_06_the_first_client_reads_the_markets_facts_again_and_the_second_signs_what_it_is_told(
    venue: Any, client: type[WireGateway], changes: dict[str, Any], reason: str
) -> None:
    """A wrong fact of ours costs a refusal by the venue then: the signature is over what we believe."""

    async def job(gateway: WireGateway, fake: Any) -> None:
        event = await gateway.prepare(_draft(**changes))
        if client is PolymarketGateway:
            assert isinstance(event, events.PrepareFailed), event
            assert reason in event.reason
        elif "token_id" in changes:
            assert isinstance(event, events.PrepareFailed), event
            assert "protocol version 3" in event.reason
        else:
            assert isinstance(event, events.Prepared), event
            assert event.request.order_id == order_id(event.request.fields, neg_risk=event.request.neg_risk)

    _with_gateway(venue, job)


def test_signed_amounts_equal_the_rounding_table_for_any_legal_order(venue: Any) -> None:
    """Property over prices, sizes, actions and order types: what the client signs is what we computed."""

    async def job(gateway: WireGateway, fake: Any) -> None:
        drafts: list[OrderDraft] = []

        @settings(max_examples=60, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(
            st.sampled_from(list(Action)),
            st.sampled_from([OrderType.GTC, OrderType.FAK, OrderType.FOK]),
            st.integers(1, 99),
            st.integers(500, 5_000_000),
        )
        def collect(action: Action, kind: OrderType, cents: int, lots: int) -> None:
            size = lots * 10_000
            size = size if kind.rests else market_size(action, cents * 100, size)
            if size:
                drafts.append(_draft(action=action, order_type=kind, price=cents * 100, size=size))

        collect()
        assert len(drafts) > 30
        for draft in drafts:
            event = await gateway.prepare(draft)
            assert isinstance(event, events.Prepared), (draft, event)
            wanted = limit_amounts(draft.action, draft.price, draft.size)
            assert (event.request.fields.maker_amount, event.request.fields.taker_amount) == tuple(wanted)

    _with_gateway(venue, job)


def test_warming_reads_a_markets_facts_once_and_sends_nothing(
    venue: Any, gamma_object: dict[str, Any], client: type[WireGateway]
) -> None:
    async def job(gateway: WireGateway, fake: Any) -> None:
        market = market_of(gamma_object)
        assert await gateway.warm(market)
        before = len(fake.requests)
        facts = [key for key, _, _ in fake.requests].count(f"GET /clob-markets/{CONDITION}")
        assert facts == (client is PolymarketGateway)
        await _prepared(gateway)
        await _prepared(gateway, token_id=market.down)
        assert len(fake.requests) == before
        assert not fake.asked("POST /order")

    _alone(venue, job)


# --- post -------------------------------------------------------------------------------------------------------------

_OK = {"success": True, "errorMsg": "", "orderID": "", "status": "live", "makingAmount": "", "takingAmount": ""}


@pytest.mark.parametrize(
    ("answer", "outcome", "code", "blocks"),
    [
        ((400, {"error": "not enough balance / allowance: the balance is not enough -> balance: 1, order amount: 2"}),
         "refused", "balance", ""),
        ((400, {"error": "the allowance is not enough"}), "refused", "allowance", "approval"),
        ((400, {"error": "order 0x1 is invalid. Duplicated."}), "accepted", "duplicated", ""),
        ((400, {"error": "nobody has seen this"}), "unknown", "unlisted", ""),
        ((401, {"error": "Unauthorized/Invalid api key"}), "refused", "unauthorized", "credentials"),
        ((403, "error code: 1010"), "unknown", "forbidden", "geoblock"),
        ((425, {"error": "restarting"}, {"Retry-After": "1"}), "unknown", "restarting", "restarting"),
        ((429, {"error": "Too Many Requests"}, {"Retry-After": "2"}), "refused", "rate_limit", "rate_limit"),
        ((500, {"error": "there are no matching orders"}), "unknown", "no_match_500", ""),
        ((502, "<html>"), "unknown", "unlisted", ""),
        ((503, {"error": "post-only mode: only post-only orders and cancels are allowed", "code": "post_only_mode"}),
         "unknown", "post_only_mode", "post_only_mode"),
        ((503, {"error": "Trading is currently cancel-only. New orders are not accepted"}), "unknown", "cancel_only",
         "cancel_only"),
        ((200, {**_OK, "status": "unmatched", "orderID": "0x1"}), "unknown", "unmatched", ""),
        ((200, {**_OK, "errorMsg": None}), "unknown", "malformed", ""),
        ((200, "not json"), "unknown", "malformed", ""),
        ((200, {}), "unknown", "malformed", ""),
        ((200, {**_OK, "orderID": "0xdead"}), "unknown", "other_id", "signing"),
        ((200, {**_OK, "success": False, "errorMsg": "invalid post-only order: order crosses book"}), "refused",
         "post_only_cross", ""),
    ],
)  # fmt: skip
def test_con_06_answers_to_a_post_over_http(venue: Any, answer: Any, outcome: str, code: str, blocks: str) -> None:
    async def job(gateway: WireGateway, fake: Any) -> None:
        request = await _prepared(gateway)
        event = await gateway.post(request)
        assert (event.order_id, event.outcome, event.code, event.blocks) == (request.order_id, outcome, code, blocks)
        assert len(fake.asked("POST /order")) == 1, "an order is never sent again by itself"

    _with_gateway(venue, job, **{"POST /order": answer})


def test_con_06_the_pause_that_the_venue_names_is_told(venue: Any) -> None:
    async def job(gateway: WireGateway, fake: Any) -> None:
        event = await gateway.post(await _prepared(gateway))
        assert (event.code, event.text) == ("restarting", "matching engine restarting (again after 7 s)")
        assert (event.http, event.retry_after_ms) == (425, 7_000)

    answer = (425, {"error": "matching engine restarting"}, {"Retry-After": "7"})
    _with_gateway(venue, job, **{"POST /order": answer})


@pytest.mark.parametrize("action", [Action.BUY, Action.SELL])
def test_con_06_after_a_429_no_order_leaves_before_the_time_the_venue_named(venue: Any, action: Action) -> None:
    """It is refused by ourselves, which proves that the venue has not got it; a cancel goes at once."""

    async def job(gateway: WireGateway, fake: Any) -> None:
        assert (await gateway.post(await _prepared(gateway))).code == "rate_limit"
        event = await gateway.post(await _prepared(gateway, action=action))
        assert (event.outcome, event.code) == ("refused", "budget")
        (batched,) = await gateway.post_many([await _prepared(gateway)])
        assert (batched.outcome, batched.code) == ("refused", "budget")
        assert len(fake.asked("POST /order")) == 1
        assert fake.asked("POST /orders") == []
        assert (await gateway.cancel("0x1")).outcome == "canceled"

    answer = (429, {"error": "Too Many Requests"}, {"Retry-After": "60"})
    cancelled = (200, {"canceled": ["0x1"], "not_canceled": {}})
    _with_gateway(venue, job, **{"POST /order": answer, "DELETE /order": cancelled})


def test_con_06_every_request_is_counted_by_class_and_purpose(venue: Any) -> None:
    async def job(gateway: WireGateway, fake: Any) -> None:
        await gateway.post(await _prepared(gateway, action=Action.SELL))
        await gateway.post(await _prepared(gateway))
        await gateway.cancel("0x1")
        await gateway.token_balance(UP)
        await gateway.query_order("0x1")
        assert {("post", "sell"), ("post", "buy"), ("cancel", "cancel"), ("balance", "/balance-allowance"),
                ("query", "/data/order")} <= set(gateway.budget.calls)  # fmt: skip

    _with_gateway(venue, job)


def test_ord_03_a_balance_that_is_being_asked_for_is_not_asked_for_twice(venue: Any) -> None:
    async def job(gateway: WireGateway, fake: Any) -> None:
        ask = commands.QueryTokenBalance(UP)
        answers = await asyncio.gather(*(gateway.execute(ask) for _ in range(5)))
        assert [len(found) for found in answers] == [1, 0, 0, 0, 0]
        assert len(await gateway.execute(ask)) == 1, "and then again"
        assert len(fake.asked("GET /balance-allowance")) == 2

    _with_gateway(venue, job, **{"GET /balance-allowance": (200, {"balance": "5", "allowances": {}})})


def test_u1_a_lost_connection_makes_the_outcome_unknown(venue: Any) -> None:
    async def job(gateway: WireGateway, fake: Any) -> None:
        request = await _prepared(gateway)
        await fake._runner.cleanup()
        event = await gateway.post(request)
        assert (event.outcome, event.code) == ("unknown", "transport")

    _alone(venue, job)


def test_an_order_the_client_refuses_to_send_is_a_refusal(venue: Any) -> None:
    async def job(gateway: WireGateway, fake: Any) -> None:
        import msgspec

        request = msgspec.structs.replace(await _prepared(gateway), order_type=OrderType.FAK, post_only=True)
        event = await gateway.post(request)
        assert (event.outcome, event.code) == ("refused", "not_sent")
        assert not fake.asked("POST /order")

    _with_gateway(venue, job)


def test_con_10_a_batch_is_split_at_fifteen_and_each_answer_read_by_itself(venue: Any) -> None:
    def answer(request: Any) -> Any:
        legs = [{**_OK, "orderID": _id_of(body["order"])} for body in request[2]]
        legs[1] = {**_OK, "status": "", "errorMsg": "order 0x1 is invalid. Size (1) lower than the minimum: 5"}
        return 200, legs

    async def job(gateway: WireGateway, fake: Any) -> None:
        requests = [await _prepared(gateway) for _ in range(17)]
        answered = await gateway.post_many(requests)
        assert [event.order_id for event in answered] == [request.order_id for request in requests]
        assert [len(body) for _, body in fake.asked("POST /orders")] == [15, 2]
        assert [n for n, event in enumerate(answered) if event.outcome != "accepted"] == [1, 16]
        assert answered[1].code == "min_size"

    _with_gateway(venue, job, **{"POST /orders": answer})


def test_u9_one_error_makes_a_whole_batch_unknown(venue: Any) -> None:
    async def job(gateway: WireGateway, fake: Any) -> None:
        answered = await gateway.post_many([await _prepared(gateway) for _ in range(3)])
        assert [event.outcome for event in answered] == ["unknown"] * 3

    _with_gateway(venue, job, **{"POST /orders": [(500, {"error": "Internal server error"})]})
    _with_gateway(venue, job, **{"POST /orders": [(200, [])]})


# --- cancel -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ((200, {"canceled": ["0x1"], "not_canceled": {}}), "canceled"),
        ((200, {"canceled": [], "not_canceled": {"0x1": "already canceled or matched"}}), "gone"),
        ((200, {"canceled": [], "not_canceled": {"0x1": "matched orders can't be canceled"}}), "gone"),
        ((200, {"canceled": [], "not_canceled": {"0x1": "order not found"}}), "not_found"),
        ((200, {"canceled": [], "not_canceled": {"0x1": "order is delayed"}}), "delayed"),
        ((200, {"canceled": [], "not_canceled": {}}), "unknown"),
        ((404, {"error": "order not found"}), "not_found"),
        ((500, {"error": "Internal server error"}), "unknown"),
        ((425, {"error": "restarting"}), "unknown"),
        ((200, "what"), "unknown"),
    ],
)
def test_ord_07_answers_to_a_cancel(venue: Any, answer: Any, outcome: str) -> None:
    async def job(gateway: WireGateway, fake: Any) -> None:
        event = await gateway.cancel("0x1")
        assert (event.order_id, event.outcome) == ("0x1", outcome)
        assert fake.asked("DELETE /order") == [({}, {"orderID": "0x1"})]

    _with_gateway(venue, job, **{"DELETE /order": answer})


def test_con_11_many_and_all_orders_are_cancelled_with_an_answer_for_each(venue: Any) -> None:
    async def job(gateway: WireGateway, fake: Any) -> None:
        many = await gateway.cancel_many(["0x1", "0x2", "0x3"])
        assert [(event.order_id, event.outcome) for event in many] == [
            ("0x1", "canceled"), ("0x2", "gone"), ("0x3", "unknown")
        ]  # fmt: skip
        everything = await gateway.cancel_all()
        assert [event.order_id for event in everything] == ["0x1", "0x2"]

    body = {"canceled": ["0x1"], "not_canceled": {"0x2": "already canceled or matched"}}
    _with_gateway(venue, job, **{"DELETE /orders": (200, body), "DELETE /cancel-all": (200, body)})


# --- queries ----------------------------------------------------------------------------------------------------------

FIRST_PAGE = "MA=="
"""The second client names it, the first leaves it out."""
_ORDER = {
    "id": "0x1", "status": "ORDER_STATUS_LIVE", "owner": "key-1", "market": CONDITION, "asset_id": UP, "side": "BUY",
    "original_size": "10", "size_matched": "2.5", "price": "0.52", "outcome": "Up", "order_type": "GTC",
    "expiration": "0", "associate_trades": None, "created_at": 1703875200,
}  # fmt: skip
_TRADE = {
    "id": "t1", "taker_order_id": "0x1", "market": CONDITION, "asset_id": UP, "side": "BUY", "size": "10",
    "price": "0.52", "status": "TRADE_STATUS_MINED", "match_time": "1700000000", "maker_orders": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((200, _ORDER), events.OrderSeen),
        ((200, ""), events.OrderNotFound),
        ((200, "null"), events.OrderNotFound),
        ((404, {"error": "order not found"}), events.OrderNotFound),
        ((500, {"error": "Internal server error"}), events.QueryFailed),
        ((429, {"error": "Too Many Requests"}), events.QueryFailed),
        ((200, "<html>"), events.QueryFailed),
        ((200, {**_ORDER, "side": ""}), events.QueryFailed),
    ],
)
def test_u4_an_order_asked_by_id(venue: Any, answer: Any, kind: type) -> None:
    """associate_trades is null here: the official client would not read the order at all."""

    async def job(gateway: WireGateway, fake: Any) -> None:
        event = await gateway.query_order("0x1")
        assert type(event) is kind
        if isinstance(event, events.OrderSeen):
            assert (event.row.size_matched, event.row.status, event.source) == (2_500_000, "LIVE", "query")

    _with_gateway(venue, job, **{"GET /data/order/0x1": answer})


def test_a_sweep_reads_every_page_of_orders_and_trades(venue: Any) -> None:
    def orders(request: Any) -> Any:
        cursor = request[1].get("next_cursor", FIRST_PAGE)
        following = {FIRST_PAGE: "B", "B": "C"}.get(cursor, "LTE=")
        page = {"data": [{**_ORDER, "id": cursor}], "next_cursor": following}
        return 200, page

    async def job(gateway: WireGateway, fake: Any) -> None:
        done = await gateway.sweep(CONDITION, 1_700_000_000)
        assert isinstance(done, events.SweepDone)
        assert done.complete
        assert [row.order_id for row in done.orders] == [FIRST_PAGE, "B", "C"]
        assert [row.trade_id for row in done.trades] == ["t1"]
        asked = fake.asked("GET /data/trades")[0][0]
        assert asked.pop("next_cursor", FIRST_PAGE) == FIRST_PAGE
        assert asked == {"market": CONDITION, "after": "1700000000"}

    page = {"data": [_TRADE], "next_cursor": "LTE="}
    _with_gateway(venue, job, **{"GET /data/orders": orders, "GET /data/trades": (200, page)})


@pytest.mark.parametrize(
    ("orders", "trades", "problem"),
    [
        ([(200, {"data": [_ORDER], "next_cursor": "B"}), (500, {"error": "x"})], (200, {"data": []}), "HTTP 500"),
        ((200, {"data": [_ORDER], "next_cursor": "B"}), (200, {"data": []}), "repeats a cursor"),
        ((200, {"data": [_ORDER, {**_ORDER, "price": "?"}]}), (200, {"data": []}), "cannot be read"),
        ((200, {"data": [_ORDER]}), (200, {"rows": []}), "without data"),
    ],
)
def test_a_sweep_that_misses_something_says_so_and_keeps_its_facts(
    venue: Any, orders: Any, trades: Any, problem: str
) -> None:
    async def job(gateway: WireGateway, fake: Any) -> None:
        done = await gateway.sweep(CONDITION, 0)
        assert isinstance(done, events.SweepDone)
        assert not done.complete
        assert problem in done.problem
        assert done.orders

    _with_gateway(venue, job, **{"GET /data/orders": orders, "GET /data/trades": trades})


def test_balances_in_base_units_with_the_approval(venue: Any) -> None:
    async def job(gateway: WireGateway, fake: Any) -> None:
        assert await gateway.balance() == events.BalanceSeen(1_000_000_000, True)
        assert await gateway.balance() == events.BalanceSeen(5, False)
        assert await gateway.balance() == events.BalanceSeen(6, True)
        assert await gateway.token_balance(UP) == events.TokenBalanceSeen(UP, 7)
        failed = await gateway.balance()
        assert isinstance(failed, events.QueryFailed)
        assert fake.asked("GET /balance-allowance")[3][0] == {
            "asset_type": "CONDITIONAL", "token_id": UP, "signature_type": "0"
        }  # fmt: skip

    both = {"0xE111180000d2663C0091e4f400237545B87B996B": "5", "0xe2222d279d744050d28e00520010520000310F59": "5"}
    one = {"0xE111180000d2663C0091e4f400237545B87B996B": "5"}
    _with_gateway(venue, job, **{"GET /balance-allowance": [
        (200, {"balance": "1000000000", "allowances": both}), (200, {"balance": "5", "allowances": one}),
        (200, {"balance": "6", "allowance": "1"}), (200, {"balance": "7", "allowances": {}}),
        (200, {"balance": "-1"}),
    ]})  # fmt: skip


def test_set_01_a_result_comes_from_the_catalogue_else_from_the_winner(
    venue: Any, gamma_object: dict[str, Any]
) -> None:
    slug = gamma_object["slug"]

    async def job(gateway: WireGateway, fake: Any) -> None:
        assert await gateway.result(CONDITION, slug) is None
        gamma = await gateway.result(CONDITION, slug)
        assert gamma == events.MarketResolved(CONDITION, Side.DOWN, "gamma")
        fake.answers[f"GET /markets/{CONDITION}"] = (200, {"closed": True, "tokens": [
            {"outcome": "Up", "winner": True}, {"outcome": "Down", "winner": False}]})  # fmt: skip
        assert await gateway.result(CONDITION, slug) == events.MarketResolved(CONDITION, Side.UP, "clob")
        assert await gateway.execute(commands.QueryResult(CONDITION, slug)) == [
            events.MarketResolved(CONDITION, Side.UP, "clob")
        ]

    closed = gamma_object | {"closed": True, "outcomePrices": '["0", "1"]'}
    _with_gateway(venue, job, **{f"GET /markets/slug/{slug}": [(404, {}), (200, closed), (404, {})]})


def test_log_03_a_result_that_cannot_be_read_is_told_once_until_the_venue_answers(
    venue: Any, gamma_object: dict[str, Any]
) -> None:
    slug = gamma_object["slug"]
    told: list[str] = []

    async def job(gateway: WireGateway, fake: Any) -> None:
        for _ in range(5):
            assert await gateway.result(CONDITION, slug) is None

    sink = logger.add(told.append, format="{message}", level="INFO")
    try:
        _with_gateway(venue, job, **{
            f"GET /markets/slug/{slug}": [(503, {}), (503, {}), (404, {}), (503, {}), (503, {})]})  # fmt: skip
    finally:
        logger.remove(sink)
    assert [text.partition(" not read")[0] for text in told] == [f"result of {slug}"] * 2


def test_every_command_of_a_gateway_is_done_and_others_give_nothing(venue: Any) -> None:
    async def job(gateway: WireGateway, fake: Any) -> None:
        (prepared,) = await gateway.execute(commands.Prepare(_draft()))
        assert isinstance(prepared, events.Prepared)
        kinds = [
            [type(event) for event in await gateway.execute(command)]
            for command in (
                commands.Post(prepared.request), commands.Cancel("0x1"), commands.CancelEverything(),
                commands.QueryOrder("0x1"), commands.Sweep(CONDITION, 0), commands.QueryBalance(),
                commands.QueryTokenBalance(UP), commands.QueryResult(CONDITION, "nothing"),
                commands.Deliver(NoticeRaised(1, "n", "info", "t", "text"), "console_notify"),
            )
        ]  # fmt: skip
        assert kinds == [
            [events.PostAnswered], [events.CancelAnswered], [events.CancelAnswered], [events.OrderNotFound],
            [events.QueryFailed], [events.QueryFailed], [events.QueryFailed], [], [],
        ]  # fmt: skip

    _with_gateway(venue, job)


# --- life -------------------------------------------------------------------------------------------------------------


def test_con_07_answers_of_a_simulated_exchange_set_the_clock(venue: Any) -> None:
    async def go() -> None:
        async with venue() as fake:
            fake.headers["X-Sim-Time"] = "1795225843572;60"
            clock = VenueClock()
            gateway = Shared.client(endpoints_at(fake.url), KEY, clock=clock, selftest=False)
            await gateway.connect()
            await gateway.query_order("0x1")
            await gateway.close()
            assert clock.simulated
            assert clock.speed == 60

    asyncio.run(go())


def test_a_key_that_is_none_is_the_users_fault_and_is_never_shown() -> None:
    gateway = Shared.client(endpoints_at("http://127.0.0.1:9"), "hunter2", selftest=False)
    with pytest.raises(ConfigError) as caught:
        asyncio.run(gateway.connect())
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_venue_that_is_not_there_is_a_venue_error() -> None:
    gateway = Shared.client(endpoints_at("http://127.0.0.1:9"), KEY, selftest=False)
    with pytest.raises(VenueError, match="no credentials"):
        asyncio.run(gateway.connect())


def test_connecting_runs_the_selftest_first(
    venue: Any, client: type[WireGateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise VenueError("the client's order hash is not ours")

    monkeypatch.setattr(f"{client.__module__}.signing_selftest", broken)

    async def go() -> None:
        async with venue() as fake:
            gateway = Shared.client(endpoints_at(fake.url), KEY)
            with pytest.raises(VenueError, match="order hash"):
                await gateway.connect()
            assert fake.requests == []

    asyncio.run(go())


def test_log_04_credentials_are_never_shown(venue: Any) -> None:
    async def job(gateway: WireGateway, fake: Any) -> None:
        given = gateway.credentials
        assert (given.key, given.secret, given.passphrase) == ("key-1", "c2VjcmV0", "pass")
        assert repr(given) == str(given) == "Credentials(<redacted>)"

    _with_gateway(venue, job)
