"""The rate budget: who goes first, who waits, who is not sent at all; on a clock that the test turns."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyhost.venue.budget import ALL, ALLOWANCES, Allowance, Budget, OverBudget, Urgency
from polyhost.venue.polymarket.account import AccountReader, Credentials, ReadError
from polyhost.venue.polymarket.http import PATIENCE_S
from polyhost.venue.polymarket.pacing import Paced, class_of

SMALL = {
    "post": Allowance(1, 2), "cancel": Allowance(1, 2), "query": Allowance(1, 2), "balance": Allowance(1, 5),
    ALL: Allowance(100, 100),
}  # fmt: skip


class Bench:
    """A budget, its clock, and what left in which order."""

    def __init__(self, allowances: Any = None, scale: float = 1.0) -> None:
        self.now = 100.0
        self.budget = Budget(allowances or SMALL, scale=lambda: scale, steady_s=lambda: self.now)
        self.left: list[str] = []
        self.over: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def ask(self, name: str, bucket: str, urgency: Urgency, *, cost: float = 1, patience_s: float = 60) -> None:
        async def one() -> None:
            try:
                await self.budget.admit(bucket, urgency, name, cost=cost, patience_s=patience_s)
            except OverBudget:
                self.over.append(name)
            else:
                self.left.append(name)

        self.tasks.append(asyncio.create_task(one()))
        await self.settle()

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def after(self, seconds: float) -> None:
        self.now += seconds
        self.budget.pump()
        await self.settle()

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


def _run(job: Callable[[Bench], Awaitable[None]], **options: Any) -> Bench:
    async def go() -> Bench:
        bench = Bench(**options)
        try:
            await job(bench)
        finally:
            await bench.end()
        return bench

    return asyncio.run(go())


def test_con_06_a_burst_leaves_at_once_and_the_rest_at_the_rate() -> None:
    async def job(bench: Bench) -> None:
        for number in range(4):
            await bench.ask(str(number), "query", Urgency.QUERY)
        assert bench.left == ["0", "1"]
        await bench.after(0.9)
        assert bench.left == ["0", "1"]
        await bench.after(0.1)
        assert bench.left == ["0", "1", "2"]
        await bench.after(1.0)
        assert bench.left == ["0", "1", "2", "3"]

    _run(job)


def test_con_06_an_exit_overtakes_entries_that_wait_and_nothing_else_overtakes() -> None:
    async def job(bench: Bench) -> None:
        for name in ("entry 1", "entry 2", "entry 3", "entry 4"):
            await bench.ask(name, "post", Urgency.ENTRY)
        await bench.ask("exit", "post", Urgency.EXIT)
        await bench.after(1.0)
        await bench.after(1.0)
        assert bench.left == ["entry 1", "entry 2", "exit", "entry 3"]

    _run(job)


def test_con_06_what_is_left_of_all_classes_goes_to_cancels_first() -> None:
    tight = {name: Allowance(50, 50) for name in SMALL} | {ALL: Allowance(1, 1)}

    async def job(bench: Bench) -> None:
        await bench.ask("first", "query", Urgency.QUERY)
        await bench.ask("query", "query", Urgency.QUERY)
        await bench.ask("entry", "post", Urgency.ENTRY)
        await bench.ask("exit", "post", Urgency.EXIT)
        await bench.ask("cancel", "cancel", Urgency.CANCEL)
        for _ in range(4):
            await bench.after(1.0)
        assert bench.left == ["first", "cancel", "exit", "entry", "query"]

    _run(job, allowances=tight)


def test_con_06_a_class_that_waits_holds_no_other() -> None:
    async def job(bench: Bench) -> None:
        for number in range(3):
            await bench.ask(f"post {number}", "post", Urgency.EXIT)
        await bench.ask("query", "query", Urgency.QUERY)
        await bench.ask("cancel", "cancel", Urgency.CANCEL)
        assert bench.left == ["post 0", "post 1", "query", "cancel"]

    _run(job)


def test_con_06_a_request_whose_turn_does_not_come_in_time_is_never_sent() -> None:
    """Sent late it would act on what is no longer wanted."""

    async def job(bench: Bench) -> None:
        for name in ("1", "2", "3", "4"):
            await bench.ask(name, "post", Urgency.ENTRY, patience_s=1.5)
        await bench.after(1.0)
        assert bench.left == ["1", "2", "3"]
        await bench.after(0.5)
        assert bench.over == ["4"]
        await bench.after(60)
        assert bench.left == ["1", "2", "3"]
        assert bench.budget.refused == {("post", "4"): 1}

    _run(job)


def test_con_06_a_pause_that_outlasts_the_patience_refuses_at_once() -> None:
    async def job(bench: Bench) -> None:
        bench.budget.heard("post", 429, 3.0)
        await bench.ask("entry", "post", Urgency.ENTRY, patience_s=0.5)
        await bench.ask("cancel", "cancel", Urgency.CANCEL, patience_s=5)
        assert (bench.left, bench.over) == (["cancel"], ["entry"])
        await bench.ask("exit", "post", Urgency.EXIT, patience_s=5)
        await bench.after(2.9)
        assert bench.left == ["cancel"]
        await bench.after(0.1)
        assert bench.left == ["cancel", "exit"]

    _run(job)


@pytest.mark.parametrize(("status", "pauses"), [(425, 1), (429, 1), (200, 0), (400, 0), (500, 0), (503, 0)])
def test_con_06_only_425_and_429_ask_for_a_pause(status: int, pauses: int) -> None:
    async def job(bench: Bench) -> None:
        bench.budget.heard("post", status, None)
        assert bench.budget.pauses.get("post", 0) == pauses

    _run(job)


def test_con_06_what_the_venue_counts_as_left_is_believed_when_it_is_less() -> None:
    async def job(bench: Bench) -> None:
        bench.budget.heard("query", 200, None, remaining=0.0)
        await bench.ask("1", "query", Urgency.QUERY)
        assert bench.left == []
        bench.budget.heard("query", 200, None, remaining=1_000.0)
        assert bench.left == []
        await bench.after(1.0)
        assert bench.left == ["1"]

    _run(job)


def test_con_06_a_batch_costs_its_orders_and_one_above_the_burst_still_leaves() -> None:
    async def job(bench: Bench) -> None:
        await bench.ask("batch of 5", "cancel", Urgency.CANCEL, cost=5)
        assert bench.left == ["batch of 5"]
        await bench.ask("next", "cancel", Urgency.CANCEL)
        await bench.after(3.9)
        assert len(bench.left) == 1
        await bench.after(0.2)
        assert len(bench.left) == 2

    _run(job)


def test_con_06_a_kill_waits_for_nobody_and_later_requests_pay() -> None:
    async def job(bench: Bench) -> None:
        bench.budget.pause("cancel", 10)
        bench.budget.take("cancel", "cancel all")
        assert bench.budget.calls == {("cancel", "cancel all"): 1}

    _run(job)


def test_con_06_a_waiting_request_that_is_given_up_holds_nobody() -> None:
    async def job(bench: Bench) -> None:
        for name in ("1", "2", "gone", "3"):
            await bench.ask(name, "query", Urgency.QUERY)
        bench.tasks[2].cancel()
        await bench.settle()
        await bench.after(1.0)
        assert bench.left == ["1", "2", "3"]

    _run(job)


def test_ord_03_balances_are_asked_once_a_second_on_average_in_bursts_of_five() -> None:
    assert (ALLOWANCES["balance"].rate, ALLOWANCES["balance"].burst) == (1, 5)

    async def job(bench: Bench) -> None:
        for number in range(100):
            await bench.ask(str(number), "balance", Urgency.QUERY, patience_s=1_000)
        for _ in range(60):
            await bench.after(1.0)
        assert len(bench.left) == 65

    _run(job)


def test_a_faster_simulated_exchange_takes_as_many_more_requests() -> None:
    async def job(bench: Bench) -> None:
        for number in range(40):
            await bench.ask(str(number), "balance", Urgency.QUERY)
        await bench.after(1.0)
        assert len(bench.left) == 5 + 5, "a burst is never larger, but it fills sooner"

    _run(job, scale=60.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["post", "cancel", "query"]), st.integers(0, 4),
                          st.integers(0, 900), st.integers(1, 3)), max_size=40))  # fmt: skip
def test_con_06_no_schedule_exceeds_a_class_and_nobody_waits_for_ever(
    asked: list[tuple[str, int, int, int]]
) -> None:
    async def job(bench: Bench) -> None:
        left_at: dict[str, list[tuple[float, int]]] = {}
        seen = 0
        costs: dict[str, tuple[str, int]] = {}

        def note() -> None:
            nonlocal seen
            for name in bench.left[seen:]:
                bucket, cost = costs[name]
                left_at.setdefault(bucket, []).append((bench.now, cost))
            seen = len(bench.left)

        for number, (bucket, urgency, pause_ms, cost) in enumerate(asked):
            costs[str(number)] = (bucket, cost)
            await bench.ask(str(number), bucket, Urgency(urgency), cost=cost, patience_s=10_000)
            note()
            await bench.after(pause_ms / 1_000)
            note()
        for _ in range(200):
            await bench.after(1.0)
            note()
        assert len(bench.left) == len(asked)
        for times in left_at.values():
            for first in range(len(times)):
                total = sum(cost for at, cost in times[first:])
                span = times[-1][0] - times[first][0]
                # Two at once, one a second after that; the last may cost three where two are left.
                assert total <= 2 + span + 1 + 1e-6

    _run(job)


# --- our own reads ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "bucket"),
    [
        ("/balance-allowance", "balance"), ("/data/orders", "query"), ("/data/order/0x1", "query"),
        ("/data/trades", "query"), ("/books", "books"), ("/book", "books"), ("/midpoints", "books"),
        ("/markets/slug/btc-updown-5m-1", "gamma"), ("/markets/0xabc", "query"), ("/v2/positions", "data"),
    ],
)  # fmt: skip
def test_con_06_every_read_belongs_to_a_class_that_has_an_allowance(path: str, bucket: str) -> None:
    found = class_of(path)
    assert found is not None
    assert found[0] == bucket
    assert bucket in ALLOWANCES


def test_con_06_a_purpose_names_no_id() -> None:
    assert class_of("/markets/0xabc") == ("query", "/markets", Urgency.BACKGROUND)
    assert class_of("/data/order/0x1") == ("query", "/data/order", Urgency.QUERY)


def test_con_06_the_time_is_asked_outside_every_budget() -> None:
    assert class_of("/time") is None


def _client(budget: Budget, answer: Callable[[httpx.Request], httpx.Response]) -> httpx.AsyncClient:
    pace = Paced(budget, PATIENCE_S, wall_s=lambda: 1_800_000_000.0)
    return httpx.AsyncClient(
        base_url="http://x", transport=httpx.MockTransport(answer),
        event_hooks={"request": [pace.before], "response": [pace.after]},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "headers", "pause_s"),
    [
        (429, {"Retry-After": "7"}, 7.0), (425, {"Retry-After": "2"}, 2.0), (429, {}, 1.0),
        (429, {"Retry-After": "Sat, 21 Nov 2026 00:00:00 GMT"}, 1.0),
        (429, {"Poly-RateLimit-Remaining": "0", "Poly-RateLimit-Reset": "4"}, 4.0),
        (429, {"Poly-RateLimit-Remaining": "0", "Poly-RateLimit-Reset": "1800000009"}, 9.0),
        (429, {"Retry-After": "900"}, 60.0), (200, {}, 0.0),
    ],
)  # fmt: skip
def test_con_06_retry_after_and_the_venues_own_headers_are_honoured(
    status: int, headers: dict[str, str], pause_s: float
) -> None:
    async def job(bench: Bench) -> None:
        async with _client(bench.budget, lambda _: httpx.Response(status, json={}, headers=headers)) as http:
            await http.get("/data/orders")
        found = bench.budget.earliest_s("query", 0)
        assert found == pytest.approx(pause_s)

    _run(job)


def test_con_06_a_read_without_a_turn_is_a_read_without_an_answer_and_nothing_is_sent() -> None:
    sent: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.url.path)
        return httpx.Response(200, json={"balance": "1", "allowances": {}})

    async def job(bench: Bench) -> None:
        async with _client(bench.budget, answer) as http:
            reader = AccountReader(http, "0x1", Credentials("k", "c2VjcmV0", "p"), 0)
            bench.budget.pause("balance", 30)
            with pytest.raises(ReadError, match="rate budget"):
                await reader.token("1")
            bench.budget.pause("query", 30)
            assert "rate budget" in (await reader.open_orders("")).problem
        assert sent == []

    _run(job)
