"""CON-19: when the second client is asked, with a first one that fails in every way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from polyhost.errors import VenueError
from polyhost.model.clients import FIRST, SECOND
from polyhost.model.commands import (
    Cancel,
    CancelEverything,
    CancelMany,
    CancelMarket,
    Command,
    Post,
    QueryBalance,
    QueryOrder,
    Sweep,
)
from polyhost.model.events import BalanceSeen, CancelAnswered, QueryFailed, SweepDone
from polyhost.venue import clients
from polyhost.venue.budget import Budget
from polyhost.venue.clients import guarded_gateway
from polyhost.venue.polymarket.endpoints import endpoints_at
from polyhost.venue.polymarket.outcomes import CANCEL_ROWS, UNKNOWN
from polyhost.venue.standby import CANCELS_FAILED, READS_FAILED, VENUES_OWN, Standby

KEY = "0x" + "11" * 32


class Client:
    """A client's gateway that does what a test says, and remembers what it was asked."""

    wallet = "0xw"
    credentials: Any = None

    def __init__(self, does: Callable[[Command], Any]) -> None:
        self.does = does
        self.asked: list[Command] = []
        self.connected = 0
        self.closed = 0
        self.budget = Budget()

    async def connect(self) -> None:
        self.connected += 1

    async def reconnect(self) -> None:
        self.connected += 1

    async def close(self) -> None:
        self.closed += 1

    async def execute(self, command: Command) -> list[Any]:
        self.asked.append(command)
        said = self.does(command)
        return list(await said) if isinstance(said, Awaitable) else list(said)

    async def balance(self) -> Any:
        return (await self.execute(QueryBalance()))[0]


def ids(command: Command) -> tuple[str, ...]:
    return (command.order_id,) if isinstance(command, Cancel) else getattr(command, "order_ids", ("",))


def cancelled(command: Command) -> list[Any]:
    return [CancelAnswered(order_id or "0x9", "canceled", "", 200) for order_id in ids(command)]


def lost(text: str, http: int = 0) -> Callable[[Command], list[Any]]:
    return lambda command: [CancelAnswered(order_id, "unknown", text, http) for order_id in ids(command)]


async def forever(command: Command) -> list[Any]:
    await asyncio.Event().wait()
    raise AssertionError


def broken(command: Command) -> list[Any]:
    raise TypeError("post_order() got an unexpected keyword argument")


def pair(first: Callable[[Command], Any], second: Callable[[Command], Any] = cancelled) -> tuple[Any, Client, Client]:
    main, other = Client(first), Client(second)
    made: Any = Standby(main, lambda: other, (FIRST, SECOND), within_s=0.01)  # type: ignore[arg-type]
    return made, main, other


@pytest.mark.parametrize(
    ("first", "times"),
    [
        (lost("transport: ReadTimeout"), CANCELS_FAILED), (lost("malformed: not JSON"), CANCELS_FAILED),
        (lost("not named", 200), CANCELS_FAILED), (lost("error code: 1010", 403), CANCELS_FAILED),
        (lost("Unauthorized/Invalid api key", 401), CANCELS_FAILED), (forever, 1), (broken, 1),
    ],
    ids=["timeout", "no JSON", "wrong answer", "blocked", "credentials", "silence", "exception"],
)
def test_con_19_a_cancel_that_the_first_client_fails_goes_out_through_the_second(first: Any, times: int) -> None:
    async def go() -> None:
        both, main, other = pair(first)
        for turn in range(1, times + 1):
            (answer,) = await both.execute(Cancel("0x1"))
            assert (answer.outcome == "canceled") is (turn == times), turn
        assert f"by {SECOND}" in answer.text
        assert other.asked == [CancelMany(("0x1",))]
        assert len(main.asked) == times
        assert both.cancels == 1
        await both.close()

    asyncio.run(go())


@pytest.mark.parametrize(
    ("text", "http"), [("Too Many Requests", 429), ("matching engine restarting", 425), ("rate budget: cancel", 0)]
)
def test_con_06_a_venue_that_asks_us_to_wait_is_not_asked_by_another_client(text: str, http: int) -> None:
    async def go() -> None:
        both, _, other = pair(lost(text, http))
        for _ in range(5):
            (answer,) = await both.execute(Cancel("0x1"))
            assert answer.outcome == "unknown"
        assert other.asked == []

    asyncio.run(go())


def test_con_19_every_row_of_the_table_is_somebodys_fault() -> None:
    unknown = {row.code for row in CANCEL_ROWS if row.meaning == UNKNOWN}
    assert unknown > VENUES_OWN


def test_con_19_only_what_failed_goes_out_again_and_a_success_forgets_the_failures() -> None:
    def half(command: Command) -> list[Any]:
        return [
            CancelAnswered(each, "unknown" if each == "0x2" else "canceled", "transport: reset", 0)
            for each in ids(command)
        ]

    async def go() -> None:
        both, main, other = pair(half)
        for _ in range(2):
            answered = await both.execute(CancelMany(("0x1", "0x2")))
        assert {event.order_id: event.outcome for event in answered} == {"0x1": "canceled", "0x2": "canceled"}
        assert other.asked == [CancelMany(("0x2",))]
        main.does = cancelled
        await both.execute(Cancel("0x2"))
        main.does = half
        (again,) = await both.execute(Cancel("0x2"))
        assert again.outcome == "unknown", "counted anew"

    asyncio.run(go())


@pytest.mark.parametrize("word", [CancelEverything(), CancelMarket("0xc0")])
def test_ord_17_a_persons_cancel_of_everything_goes_out_through_the_second_at_once(word: Command) -> None:
    """Nobody repeats it."""

    async def go() -> None:
        both, _, other = pair(lost("transport: reset"))
        (answer,) = await both.execute(word)
        assert (answer.order_id, answer.outcome) == ("0x9", "canceled")
        assert other.asked == [word]

    asyncio.run(go())


def test_con_19_a_second_client_that_cannot_help_makes_nothing_worse() -> None:
    async def go() -> None:
        both, _, other = pair(broken, broken)
        (answer,) = await both.execute(Cancel("0x1"))
        assert answer.outcome == "unknown"
        assert "TypeError" in answer.text

        async def unreachable() -> None:
            raise VenueError("version 2 is installed")

        both, main, other = pair(broken)
        other.connect = unreachable  # type: ignore[method-assign]
        assert (await both.execute(Cancel("0x1")))[0].outcome == "unknown"
        main.does = lambda command: [BalanceSeen(5, True)]
        assert "version 2 is installed" in (await both.witness()).other.problem

    asyncio.run(go())


def test_con_19_it_is_connected_once_when_needed_and_nothing_else_is_asked_of_it() -> None:
    async def go() -> None:
        both, main, other = pair(lambda command: [])
        await both.connect()
        request: Any = SimpleNamespace()
        for command in (Post(request), QueryOrder("0x1")):
            assert await both.execute(command) == []
        assert (other.connected, other.asked) == (0, [])
        main.does = lost("transport: reset")
        for _ in range(4):
            await both.execute(Cancel("0x1"))
        assert other.connected == 1
        await both.reconnect()
        assert (main.connected, other.closed) == (2, 1)
        await both.close()
        assert (main.closed, other.closed) == (1, 1)

    asyncio.run(go())


def test_con_19_orders_and_balance_come_from_the_second_when_the_first_reads_nothing() -> None:
    def failing(command: Command) -> list[Any]:
        return [QueryFailed("sweep", "", "malformed: not JSON")]

    def reads(command: Command) -> list[Any]:
        return [SweepDone("", (), (), True, "", 0) if isinstance(command, Sweep) else BalanceSeen(5, True)]

    async def go() -> None:
        both, _, other = pair(failing, reads)
        for turn in range(1, READS_FAILED + 1):
            (seen,) = await both.execute(Sweep("", 0))
            assert isinstance(seen, SweepDone) is (turn == READS_FAILED)
        (money,) = await both.execute(QueryBalance())
        assert isinstance(money, QueryFailed), "counted by itself"
        assert (both.reads, len(other.asked)) == (1, 1)

    asyncio.run(go())


def test_con_19_a_disagreement_is_told_with_both_figures() -> None:
    def shows(collateral: int) -> Callable[[Command], list[Any]]:
        return lambda command: [
            SweepDone("", (), (), True, "", 0) if isinstance(command, Sweep) else BalanceSeen(collateral, True)
        ]

    async def go() -> None:
        both, _, _ = pair(shows(5_000_000), shows(5_000_000))
        assert (await both.witness()).agree
        both, _, _ = pair(shows(5_000_000), shows(7_000_000))
        told = await both.witness()
        assert not told.agree
        assert f"{FIRST}: 0 open orders, 0 trades, 5.000000" in told.said()
        assert f"{SECOND}: 0 open orders, 0 trades, 7.000000" in told.said()
        both, _, _ = pair(shows(5_000_000), lambda command: [QueryFailed("sweep", "", "HTTP 500")])
        assert not (await both.witness()).agree, "what is not known is no agreement"

    asyncio.run(go())


def test_con_19_a_first_client_that_drifted_after_its_start_is_helped_over_http(
    venue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real clients: a method of the first is gone, and the order is cancelled all the same."""

    async def go() -> None:
        async with venue() as fake:
            fake.answers["DELETE /order"] = (200, {"canceled": ["0x1"], "not_canceled": {}})
            both = guarded_gateway(FIRST, endpoints_at(fake.url), KEY)
            await both.connect()
            monkeypatch.delattr("polymarket.AsyncSecureClient.cancel_order")
            assert [event.outcome for event in await both.execute(Cancel("0x1"))] == ["unknown"]
            assert [event.outcome for event in await both.execute(Cancel("0x1"))] == ["canceled"]
            assert len(fake.asked("DELETE /order")) == 1
            await both.close()

    asyncio.run(go())
    assert clients.other_client(FIRST) == SECOND
