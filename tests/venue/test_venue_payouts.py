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
from polyhost.model.events import Event, RewardPaid
from polyhost.venue.polymarket.account import AccountReader, Credentials, ReadError
from polyhost.venue.polymarket.payouts import Payouts, payout_of

WALLET = "0x" + "11" * 20
AT = 1_728_086_400_000


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

    async def job() -> None:
        payouts = Payouts(ask, events.append)
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
