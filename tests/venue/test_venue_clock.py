from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from polyhost.venue.clock import JUMP_MS, VenueClock


class Hands:
    """Two clocks that are set by hand, in seconds."""

    def __init__(self) -> None:
        self.wall = 1_000.0
        self.steady = 50.0

    def clock(self) -> VenueClock:
        return VenueClock(lambda: self.wall, lambda: self.steady)

    def pass_s(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


def test_con_07_market_time_runs_on_at_the_announced_speed() -> None:
    hands = Hands()
    clock = hands.clock()
    clock.sample("500000;60")
    assert clock.now() == 500_000
    hands.pass_s(0.125)
    assert clock.now() == 507_500
    assert clock.wall_seconds(30_000) == 0.5


def test_market_time_stands_still_while_its_exchange_is_down() -> None:
    """At speed 60 two seconds without it would be two minutes: deadlines would come that nobody can keep."""
    hands = Hands()
    clock = hands.clock()
    clock.sample("500000;60")
    hands.pass_s(0.25)  # five questions long
    assert clock.now() == 515_000
    hands.pass_s(10)
    assert clock.now() == 515_000
    clock.sample("505000;60")  # it is up again, and went on from where it was
    assert clock.now() == 515_000
    hands.pass_s(0.25)
    assert clock.now() == 520_000
    clock.sample("520000;1")
    hands.pass_s(1.25)  # at speed 1 it is asked four times a second
    assert clock.now() == 521_250
    hands.pass_s(10)
    assert clock.now() == 521_250


def test_market_time_never_goes_backwards_when_the_exchange_was_held_back() -> None:
    hands = Hands()
    clock = hands.clock()
    clock.sample("500000;60")
    hands.pass_s(0.25)
    assert clock.now() == 515_000
    clock.sample("510000;60")
    assert clock.now() == 515_000
    hands.pass_s(0.125)
    assert clock.now() == 517_500


@given(st.lists(st.tuples(st.integers(0, 10**9), st.sampled_from([1.0, 10.0, 60.0]), st.floats(0, 5)), max_size=30))
def test_no_sequence_of_samples_turns_it_back(samples: list[tuple[int, float, float]]) -> None:
    hands = Hands()
    clock = hands.clock()
    last = 0
    for ms, speed, seconds in samples:
        clock.sample(f"{ms};{speed:g}")
        hands.pass_s(seconds)
        now = clock.now()
        assert now >= last
        assert now >= ms
        last = now


def test_a_messages_own_time_moves_it_forward_only() -> None:
    hands = Hands()
    clock = hands.clock()
    clock.sample("500000;1")
    clock.seen(500_400)
    assert clock.now() == 500_400
    clock.seen(400_000)
    assert clock.now() == 500_400


def test_without_a_simulated_exchange_it_is_the_machines_clock() -> None:
    hands = Hands()
    clock = hands.clock()
    clock.sample(None)
    clock.seen(10**12)
    assert (clock.simulated, clock.speed, clock.now()) == (False, 1.0, 1_000_000)


@pytest.mark.parametrize("header", ["", "soon", "12;fast", ";"])
def test_a_header_that_is_none_changes_nothing(header: str) -> None:
    clock = Hands().clock()
    clock.sample(header)
    assert not clock.simulated


def test_con_07_the_machines_clock_is_corrected_only_by_what_is_proved() -> None:
    """A whole second of the venue is right for a clock that is up to a second off either way."""
    hands = Hands()
    clock = hands.clock()
    clock.prove(1_000, 1_000.4, 1_000.5)
    assert clock.skew_ms == 0.0
    clock.prove(1_002, 1_000.4, 1_000.5)  # the clocks disagree with the first answer: one of them jumped
    assert clock.skew_ms == pytest.approx(1_500)
    assert clock.now() == 1_001_500


def test_answers_together_bound_the_skew_tightly() -> None:
    clock = Hands().clock()
    for tenth in range(10):  # the venue is 2.3 s ahead
        wall = 1_000 + tenth / 10
        clock.prove(int(wall + 2.3), wall, wall + 0.01)
    assert clock.skew_ms == pytest.approx(2_250, abs=60)


def test_con_07_a_wrong_clock_is_warned_about_once() -> None:
    told: list[str] = []
    sink = logger.add(told.append, format="{message}", level="WARNING")
    clock = Hands().clock()
    clock.prove(1_010, 1_000.0, 1_000.1)
    clock.prove(1_010, 1_000.1, 1_000.2)
    logger.remove(sink)
    assert len(told) == 1
    assert "behind the venue's" in told[0]


def test_it_asks_a_live_venue_for_whole_seconds_and_a_simulated_one_for_more(venue: Any) -> None:
    async def go() -> None:
        async with venue() as fake, httpx.AsyncClient(base_url=fake.url, trust_env=False) as http:
            hands = Hands()
            clock = hands.clock()
            fake.answers["GET /time"] = (200, "1005")
            await clock.ask(http)
            assert clock.skew_ms == pytest.approx(5_000)
            fake.headers["X-Sim-Time"] = "7000000;10"
            await clock.ask(http)
            assert clock.now() == 7_000_000
            assert clock.poll_s == 0.25
            clock.sample("7000001;60")
            assert clock.poll_s == 0.05

    asyncio.run(go())


def test_following_goes_on_when_an_answer_fails(venue: Any) -> None:
    async def go() -> None:
        async with venue() as fake, httpx.AsyncClient(base_url=fake.url, trust_env=False) as http:
            clock = VenueClock()
            clock.sample("1000;60")
            fake.answers["GET /time"] = (500, "")
            task = asyncio.create_task(clock.follow(http))
            await fake.until(lambda: len(fake.asked("GET /time")) >= 2)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(go())


def test_con_07_a_jump_of_the_machines_clock_is_corrected_by_the_next_answer_and_told() -> None:
    """A laptop wakes up, or somebody sets the clock: windows and GTD go by the venue's time all the same."""
    told: list[str] = []
    hands = Hands()
    clock = hands.clock()
    for second in range(20):
        hands.wall = 1_000.0 + second
        clock.prove(1_000 + second, hands.wall, hands.wall + 0.01)
    assert clock.skew_ms == 0.0
    sink = logger.add(told.append, format="{message}", level="WARNING")
    hands.wall = 1_020.0 - 3_600.0  # set back by an hour
    before = clock.now()
    clock.prove(1_020, hands.wall, hands.wall + 0.01)
    assert clock.now() == pytest.approx(1_020_000, abs=1_100)
    assert clock.now() >= before, "and never backwards"
    hands.wall = 1_021.0  # and set right again
    clock.prove(1_021, hands.wall, hands.wall + 0.01)
    assert clock.skew_ms == 0.0
    logger.remove(sink)
    assert len(told) == 1
    assert "behind the venue's" in told[0]


@pytest.mark.parametrize("jump_s", [3_600.0, -3_600.0, 86_400.0])
def test_con_07_a_clock_that_somebody_sets_moves_no_window(jump_s: float) -> None:
    """An hour ahead for half a minute would force every position to be closed, and then stand still for an hour."""
    hands = Hands()
    clock = hands.clock()
    for _ in range(20):
        hands.pass_s(1)
        clock.prove(int(hands.wall), hands.wall - 0.01, hands.wall)
    right = hands.wall
    hands.wall += jump_s
    for _ in range(30):
        right += 1
        hands.pass_s(1)
        assert clock.now() == pytest.approx(right * 1_000, abs=JUMP_MS + 10)
    clock.prove(int(right), hands.wall - 0.01, hands.wall)
    hands.pass_s(5)
    assert clock.now() == pytest.approx((right + 5) * 1_000, abs=1_100), "it goes on at once"


def test_con_07_a_machine_that_slept_is_right_again_with_the_first_answer() -> None:
    hands = Hands()
    clock = hands.clock()
    for _ in range(20):
        hands.pass_s(1)
        clock.prove(int(hands.wall), hands.wall - 0.01, hands.wall)
    hands.wall += 600.0  # while it slept the steady clock stood still
    clock.prove(int(hands.wall), hands.wall - 0.01, hands.wall)
    assert clock.now() == pytest.approx(hands.wall * 1_000, abs=1_000)
    assert clock.skew_ms == 0.0
