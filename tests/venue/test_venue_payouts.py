"""Payouts of liquidity rewards, as the venue's notifications tell them (REW-01)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import pytest
from loguru import logger

from polyhost.exchange import api
from polyhost.exchange.server.notices import Notices, notice_row
from polyhost.model.events import Event, RewardPaid, VenueNoticed
from polyhost.venue.polymarket.account import AccountReader, Credentials, ReadError
from polyhost.venue.polymarket.payouts import payout_of
from polyhost.venue.polymarket.venue_notices import VenueNotices, event_of

WALLET = "0x" + "11" * 20
AT = 1_728_086_400_000


class Keeper:
    """A host that knows everything, but what ``strange`` names; records are durable when the test says so."""

    def __init__(self, strange: str = "") -> None:
        self.strange = strange
        self.seq = self.durable = 0

    def concerns(self, event: Event) -> bool:
        return not (isinstance(event, VenueNoticed) and event.order_id == self.strange)

    def record_seq(self) -> int:
        return self.seq

    def durable_seq(self) -> int:
        return self.durable


class Dropped:
    """What was dropped, look by look."""

    def __init__(self) -> None:
        self.ids: list[list[int]] = []

    async def append_all(self, ids: Sequence[int]) -> None:
        self.ids.append(list(ids))


def filled(ident: int, order_id: str = "0xo1") -> dict[str, Any]:
    return {
        "id": ident, "owner": "key", "timestamp": AT // 1_000, "type": 2,
        "payload": {"order_id": order_id, "market": "0xc0", "trade_id": f"t{ident}"},
    }  # fmt: skip


def row(reward: str = "3.25", hash: str = "0xaa", **changes: Any) -> dict[str, Any]:
    return {
        "id": 1, "owner": "key", "timestamp": AT // 1_000, "type": 5,
        "payload": {"proxyWallet": WALLET, "reward": reward, "txnHash": hash},
    } | changes  # fmt: skip


def test_rew_01_what_the_exchange_notifies_is_what_the_host_reads() -> None:
    notices = Notices(lambda _: None, lambda _: ())
    notices.take(api.RewardPaid(WALLET, 20_000, 3_250_000, "0xaa", ()), AT)
    assert payout_of(notice_row(notices.of(WALLET)[0], "key", WALLET, {})) == RewardPaid("0xaa", 3_250_000, AT)


@pytest.mark.parametrize("stamp", [AT, AT // 1_000, str(AT // 1_000), "2024-10-05T00:00:00Z", "2024-10-05T00:00:00"])
def test_the_moment_of_a_payout_however_it_is_written(stamp: object) -> None:
    assert payout_of(row(timestamp=stamp)) == RewardPaid("0xaa", 3_250_000, AT)


@pytest.mark.parametrize("spoiled", [row(hash=""), row(reward="much"), row(payload=None), row(timestamp="soon")])
def test_a_payout_that_cannot_be_understood_is_told_and_left_out(spoiled: dict[str, Any]) -> None:
    told: list[str] = []
    sink = logger.add(told.append, format="{message}", level="WARNING")
    try:
        assert payout_of(spoiled) is None
    finally:
        logger.remove(sink)
    assert len(told) == 1


def test_rew_01_each_payout_is_told_once_in_its_order_and_a_failing_venue_once() -> None:
    events: list[Event] = []
    answers: list[Sequence[Mapping[str, Any]] | ReadError] = [
        ReadError("HTTP 500"), ReadError("HTTP 500"), [row(type=2), row(hash="0xbb", timestamp=AT // 1_000 + 5), row()],
        [row(), row(hash="0xcc", timestamp=AT // 1_000 + 9)],
    ]  # fmt: skip

    async def ask() -> Sequence[Mapping[str, Any]]:
        found = answers.pop(0)
        if isinstance(found, ReadError):
            raise found
        return found

    dropped = Dropped()

    async def job() -> None:
        payouts = VenueNotices(ask, dropped.append_all, events.append, Keeper())
        while answers:
            await payouts.look()

    told: list[str] = []
    sink = logger.add(told.append, format="{message}", level="WARNING")
    try:
        asyncio.run(job())
    finally:
        logger.remove(sink)
    assert [event.ref for event in events if isinstance(event, RewardPaid)] == ["0xaa", "0xbb", "0xcc"]
    assert len(told) == 1


def test_notifications_are_read_with_the_wallets_signature_type(venue: Any) -> None:
    async def job() -> None:
        async with venue() as fake, httpx.AsyncClient(base_url=fake.url, trust_env=False) as http:
            reader = AccountReader(http, WALLET, Credentials("key", "c2VjcmV0", "pass"), 3)
            fake.answers["GET /notifications"] = [(200, [row()]), (200, "null"), (200, {"no": "list"})]
            assert await reader.notifications() == [row()]
            assert await reader.notifications() == []
            with pytest.raises(ReadError, match="notifications"):
                await reader.notifications()
            assert fake.asked("GET /notifications")[0][0] == {"signature_type": "3"}

    asyncio.run(job())


def test_not_03_what_the_exchange_notifies_of_orders_and_markets_is_understood() -> None:
    assert event_of(filled(7)) == VenueNoticed("filled", "0xo1", "0xc0", "t7")
    assert event_of(filled(7) | {"type": 1}) == VenueNoticed("cancelled", "0xo1", "0xc0", "t7")
    assert event_of(filled(7) | {"type": 8}) == VenueNoticed("fill_failed", "0xo1", "0xc0", "t7")
    resolved = {"id": 1, "type": 4, "payload": {"condition_id": "0xc0", "market_slug": "x"}}
    assert event_of(resolved) == VenueNoticed("resolved", "", "0xc0", "")
    for nothing in (filled(7) | {"type": 6}, filled(7, ""), filled(7) | {"payload": None}, resolved | {"payload": {}}):
        assert event_of(nothing) is None


def test_not_03_used_ones_are_dropped_when_what_they_led_to_is_durable_and_untracked_ones_stay() -> None:
    keeper, dropped, events = Keeper(strange="0xhand"), Dropped(), list[Event]()
    rows = [filled(1), filled(2, "0xhand"), filled(3)]

    async def ask() -> Sequence[Mapping[str, Any]]:
        return rows

    def heard(event: Event) -> None:
        events.append(event)
        keeper.seq += 1

    async def job() -> None:
        notices = VenueNotices(ask, dropped.append_all, heard, keeper)
        await notices.look()
        assert [event.order_id for event in events if isinstance(event, VenueNoticed)] == ["0xo1", "0xo1"]
        await notices.look()
        assert dropped.ids == [], "a kill now would lose what they say"
        assert len(events) == 2, "told once"
        keeper.durable = 1
        await notices.look()
        assert dropped.ids == [[1]]
        keeper.durable = 2
        await notices.look()
        assert dropped.ids == [[1], [3]], "what a person did by hand stays for that person"

    asyncio.run(job())


def test_not_03_what_could_not_be_dropped_is_dropped_later() -> None:
    keeper, dropped, refuse = Keeper(), Dropped(), [True]

    async def ask() -> Sequence[Mapping[str, Any]]:
        return [filled(1)]

    async def drop(ids: Sequence[int]) -> None:
        if refuse.pop() if refuse else False:
            raise ReadError("HTTP 503")
        await dropped.append_all(ids)

    async def job() -> None:
        notices = VenueNotices(ask, drop, lambda event: None, keeper)
        for _ in range(4):
            await notices.look()

    asyncio.run(job())
    assert dropped.ids == [[1]]


def test_not_03_dropping_names_ids_and_signature_type(venue: Any) -> None:
    async def job() -> None:
        async with venue() as fake, httpx.AsyncClient(base_url=fake.url, trust_env=False) as http:
            reader = AccountReader(http, WALLET, Credentials("key", "c2VjcmV0", "pass"), 3)
            fake.answers["DELETE /notifications"] = [(200, "OK"), (500, {"error": "no"})]
            await reader.drop_notifications([4, 7])
            with pytest.raises(ReadError, match="HTTP 500: no"):
                await reader.drop_notifications([4])
            assert fake.asked("DELETE /notifications")[0][0] == {"ids": "4,7", "signature_type": "3"}

    asyncio.run(job())
