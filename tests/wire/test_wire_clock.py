"""Governed market time, without a server: how far it may go at each step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyhost.exchange.server.clock import CATCH_UP_MS, ELAPSED_US_MAX, MarketClock
from polyhost.exchange.server.heartbeats import SILENCE_MS, Heartbeats
from polyhost.model.times import MarketMs, WallMs

START = 1_800_000_000_000


def test_time_runs_at_its_speed() -> None:
    clock = MarketClock(MarketMs(START), 60.0)
    assert clock.grant(10_000, WallMs(START + 10), held=False) == START + 600
    clock.reached(MarketMs(START + 600))
    assert clock.effective == pytest.approx(60.0)
    assert clock.header == f"{START + 600};60"


def test_small_steps_add_up() -> None:
    clock = MarketClock(MarketMs(START), 1.0)
    for _ in range(10):
        limit = clock.grant(300, WallMs(START), held=False)
    assert limit == START + 3


def test_held_time_is_lost_not_saved_up() -> None:
    clock = MarketClock(MarketMs(START), 100.0)
    for _ in range(50):
        assert clock.grant(10_000, WallMs(START), held=True) == START
    assert clock.grant(10_000, WallMs(START), held=False) == START + 1_000


def test_a_busy_process_does_not_leap() -> None:
    clock = MarketClock(MarketMs(START), 10.0)
    assert clock.grant(5_000_000, WallMs(START), held=False) == START + ELAPSED_US_MAX * 10 // 1_000


def test_time_behind_the_wall_catches_up_in_pieces() -> None:
    clock = MarketClock(MarketMs(START), 1.0)
    wall = WallMs(START + 12_000)
    for expected in (START + CATCH_UP_MS, START + 2 * CATCH_UP_MS, START + 12_000):
        limit = clock.grant(1_000, wall, held=False)
        assert limit == expected
        clock.reached(limit)


def test_a_step_that_ended_early_goes_on_later_within_the_bound() -> None:
    clock = MarketClock(MarketMs(START), 10.0)
    clock.grant(10_000, WallMs(START), held=False)
    clock.reached(MarketMs(START + 30))
    assert clock.grant(1_000, WallMs(START), held=False) == START + 110
    for _ in range(100):
        limit = clock.grant(10_000, WallMs(START), held=False)
    assert limit == START + 30 + ELAPSED_US_MAX * 10 // 1_000


def test_an_unused_grant_is_given_back() -> None:
    clock = MarketClock(MarketMs(START), 10.0)
    clock.grant(10_000, WallMs(START), held=False)
    clock.stopped_at(MarketMs(START + 30))
    assert clock.grant(1_000, WallMs(START), held=False) == START + 40


@pytest.mark.parametrize("speed", [0.0, 0.99, -1.0, float("nan")])
def test_a_speed_below_one_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="below 1"):
        MarketClock(MarketMs(START), speed)


@given(
    st.floats(1, 1_000),
    st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 60_000), st.booleans()), max_size=60),
)
def test_time_never_goes_back_and_never_beyond_its_speed_or_the_wall(
    speed: float, steps: list[tuple[int, int, bool]]
) -> None:
    clock = MarketClock(MarketMs(START), speed)
    wall = START
    credited_us = 0
    for elapsed_us, wall_ms, held in steps:
        wall += wall_ms
        credited_us += elapsed_us
        before = clock.now
        limit = clock.grant(elapsed_us, WallMs(wall), held)
        assert limit >= before
        if held:
            assert limit == before
        assert limit <= max(wall, before + elapsed_us * speed / 1_000 + 1)
        clock.reached(limit)


def test_ord_15_silence_after_a_heartbeat_goes_off_once() -> None:
    switches = Heartbeats()
    assert switches.beat("key", "", WallMs(0))
    following = switches.expected("key")
    assert not switches.beat("key", "", WallMs(1))
    assert switches.beat("key", following, WallMs(5_000))
    assert switches.silent(WallMs(5_000 + SILENCE_MS)) == []
    assert switches.silent(WallMs(5_001 + SILENCE_MS)) == ["key"]
    assert switches.silent(WallMs(5_002 + SILENCE_MS)) == []
    assert switches.expected("key") == ""
