"""The dead-man's switch: heartbeats in a chain, one at a time, mended by the one refusal, never taken for granted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from polyhost.exchange.server import ServerSettings, running
from polyhost.exchange.world import WorldSettings
from polyhost.venue.clock import VenueClock
from polyhost.venue.polymarket import heartbeats as module
from polyhost.venue.polymarket.endpoints import endpoints_at
from polyhost.venue.polymarket.heartbeats import Beaten, Heartbeats
from polyhost.venue.polymarket.wire_gateway import WireGateway

from ..unhurried import PATIENCE_S
from .both_clients import each_client

KEY = "0x" + "23" * 32


class Venue:
    """Expects ids in a chain, as the venue does; may be told to fail."""

    def __init__(self) -> None:
        self.expected = ""
        self.shown: list[str] = []
        self.fails: Exception | None = None
        self.busy = False

    async def __call__(self, shown: str) -> Beaten:
        assert not self.busy, "one at a time"
        self.busy = True
        await asyncio.sleep(0)
        self.busy = False
        self.shown.append(shown)
        if self.fails is not None:
            raise self.fails
        if shown != self.expected:
            return Beaten(False, self.expected, "Invalid Heartbeat ID")
        self.expected = f"id-{len(self.shown)}"
        return Beaten(True, self.expected)


def run(body: Callable[[Venue, Heartbeats], Awaitable[None]]) -> None:
    async def whole() -> None:
        venue = Venue()
        await body(venue, Heartbeats(venue))

    asyncio.run(whole())


def test_ord_15_each_heartbeat_shows_the_id_that_the_last_answer_gave() -> None:
    async def body(venue: Venue, heartbeats: Heartbeats) -> None:
        assert [await heartbeats.once() for _ in range(3)] == [True] * 3
        assert venue.shown == ["", "id-1", "id-2"]

    run(body)


@pytest.mark.parametrize("expected", ["", "another"])
def test_ord_15_a_wrong_id_is_mended_at_once_with_the_one_the_refusal_names(expected: str) -> None:
    """The switch was armed by an earlier run, or went off: then it expects no id at all."""

    async def body(venue: Venue, heartbeats: Heartbeats) -> None:
        await heartbeats.once()
        venue.expected = expected
        assert await heartbeats.once()
        assert venue.shown == ["", "id-1", expected]

    run(body)


def test_ord_15_heartbeats_of_one_key_are_never_under_way_together() -> None:
    async def body(venue: Venue, heartbeats: Heartbeats) -> None:
        assert await asyncio.gather(heartbeats.once(), heartbeats.once()) == [True, True]
        assert venue.shown == ["", "id-1"]

    run(body)


def test_ord_15_only_a_heartbeat_that_the_venue_took_is_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY_S", 0.0)
    monkeypatch.setattr(module, "RETRY_S", 0.0)

    async def body(venue: Venue, heartbeats: Heartbeats) -> None:
        beats: list[int] = []
        loop = asyncio.create_task(heartbeats.run(lambda: beats.append(len(venue.shown))))
        while len(beats) < 2:
            await asyncio.sleep(0)
        venue.fails = ConnectionError("gone")
        before, tried = len(beats), len(venue.shown)
        while len(venue.shown) < tried + 5:
            await asyncio.sleep(0)
        assert len(beats) <= before + 1
        venue.fails = None
        while len(beats) < before + 3:
            await asyncio.sleep(0)
        assert not loop.done(), "no failure ends the loop"
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)

    run(body)


def test_ord_15_an_answer_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_S", 0.01)

    async def whole() -> None:
        async def never(shown: str) -> Beaten:
            await asyncio.Event().wait()
            raise AssertionError

        assert not await Heartbeats(never).once()

    asyncio.run(whole())


@each_client
def test_ord_15_the_gateway_feeds_the_switch_of_an_exchange_over_the_wire(
    client: type[WireGateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_S", PATIENCE_S)

    async def whole() -> None:
        settings = ServerSettings(world=WorldSettings(symbols=("BTC",), durations_s=(300,), density=1.0))
        async with running(settings, speed=1, seed=7) as up:
            gateway = client(endpoints_at(up.url, up.ws_url), KEY, clock=VenueClock(), selftest=False)
            await gateway.connect()
            try:
                heartbeats = Heartbeats(gateway.heartbeat)
                assert await heartbeats.once()
                assert await heartbeats.once()
                up.engine.heartbeats._switches.clear()  # the exchange was started again
                assert await heartbeats.once()
                assert (heartbeats.sent, heartbeats.accepted) == (4, 3)
                assert len(up.engine.heartbeats._switches) == 1
            finally:
                await gateway.close()

    asyncio.run(whole())
