"""Quotes on both sides: prices, skew, inventory limits, when nothing may rest, merges; each threshold at both sides."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from plugin_builders import SHARES, made, market, position, view
from pydantic import ValidationError

from polyhost import Action, ExitTarget, Merge, PositionView, QuoteTarget, Side, View
from polyhost_plugins.two_sided_quotes import TwoSidedQuotes


def holding(up: int = 0, down: int = 0) -> tuple[PositionView, ...]:
    held = ((Side.UP, up), (Side.DOWN, down))
    return tuple(position(side, shares=shares) for side, shares in held if shares)


def quotes(found: View, **settings: Any) -> dict[Side, QuoteTarget]:
    answers = [a for a in made(TwoSidedQuotes, **settings).propose(found) if isinstance(a, QuoteTarget)]
    assert all(answer.action is Action.BUY for answer in answers)
    return {answer.side: answer for answer in answers}


def prices(found: View, **settings: Any) -> dict[str, int]:
    return {side.value: answer.price for side, answer in quotes(found, **settings).items()}


def test_rew_03_both_sides_are_bid_away_from_the_midpoint() -> None:
    assert prices(view(up="0.50/0.52")) == {"UP": 4_900, "DOWN": 4_700}
    assert prices(view(up="0.50/0.52"), away="0.03") == {"UP": 4_800, "DOWN": 4_600}
    assert {answer.size for answer in quotes(view(up="0.50/0.52")).values()} == {20 * SHARES}


def test_rew_03_the_size_reaches_the_rewards_minimum_where_the_market_pays() -> None:
    pays = market(reward_min_size=30 * SHARES, reward_max_spread=450, reward_rate_day=1)
    assert quotes(view(market=pays))[Side.UP].size == 30 * SHARES
    assert quotes(view(market=structs.replace(pays, reward_rate_day=0)))[Side.UP].size == 20 * SHARES
    assert quotes(view(market=structs.replace(pays, reward_min_size=10 * SHARES)))[Side.UP].size == 20 * SHARES


def test_rew_03_inventory_moves_both_quotes_against_it() -> None:
    empty = view(up="0.50/0.52")
    half, full = (structs.replace(empty, positions=holding(up=shares)) for shares in (20, 40))
    assert prices(half) == {"UP": 4_800, "DOWN": 4_800}, "half of the limit: half of the skew"
    assert prices(full) == {"DOWN": 4_800}, "at its limit UP is bought no more, and DOWN stays a tick from the midpoint"
    assert prices(full, skew="0.01") == {"DOWN": 4_800}
    assert prices(structs.replace(empty, positions=holding(up=60, down=60))) == prices(empty), "pairs are no inventory"


@pytest.mark.parametrize(("held", "size"), [(20, 20), (21, 19), (35, 5), (36, None)])
def test_rew_03_no_quote_asks_for_more_than_the_inventory_limit_leaves(held: int, size: int | None) -> None:
    found = quotes(structs.replace(view(), positions=holding(up=held))).get(Side.UP)
    assert (None if found is None else found.size // SHARES) == size


@pytest.mark.parametrize(("minutes", "first_s", "last_s"), [(15, 30.0, 240.0), (5, 10.0, 80.0)])
def test_rew_03_nothing_rests_near_the_beginning_and_the_end(minutes: int, first_s: float, last_s: float) -> None:
    end_s = minutes * 60
    assert not quotes(view(first_s - 0.001, minutes=minutes))
    assert len(quotes(view(first_s, minutes=minutes))) == 2
    assert len(quotes(view(end_s - last_s - 0.001, minutes=minutes))) == 2
    assert not quotes(view(end_s - last_s, minutes=minutes))


def test_rew_03_nothing_rests_on_a_stale_wide_or_one_sided_book() -> None:
    assert len(quotes(view(book_age_ms=5_000))) == 2
    assert not quotes(view(book_age_ms=5_001))
    assert not quotes(view(book_source="midpoints"))
    assert len(quotes(view(up="0.48/0.56"))) == 2
    assert not quotes(view(up="0.48/0.57"))
    assert not quotes(view(up="0.50/"))
    assert not quotes(view(up="/0.50"))


def test_rew_03_nothing_rests_once_the_market_has_decided() -> None:
    assert len(quotes(view(up="0.14/0.16"))) == 2
    assert not quotes(view(up="0.14/0.15"))
    assert len(quotes(view(up="0.84/0.86"))) == 2
    assert not quotes(view(up="0.85/0.86"))


@given(
    bid=st.integers(10, 88), spread=st.integers(1, 8), up=st.integers(0, 60), down=st.integers(0, 60),
    skew=st.integers(0, 20), away=st.integers(1, 10),
)
def test_rew_03_a_pair_of_quotes_never_costs_what_it_pays_and_none_takes(
    bid: int, spread: int, up: int, down: int, skew: int, away: int
) -> None:
    found = view(up=f"{bid / 100:.2f}/{(bid + spread) / 100:.2f}", positions=holding(up, down))
    asked = prices(found, skew=f"{skew / 100:.2f}", away=f"{away / 100:.2f}")
    assert all(price % 100 == 0 and price > 0 for price in asked.values())
    if len(asked) == 2:
        assert sum(asked.values()) < 10_000
    for side, price in asked.items():
        assert price < found.side(Side(side)).mid


def test_rew_03_pairs_are_merged_from_a_minimum_on() -> None:
    def merges(up: int, down: int) -> list[object]:
        answers = made(TwoSidedQuotes).propose(structs.replace(view(), positions=holding(up, down)))
        return [answer for answer in answers if isinstance(answer, Merge)]

    assert merges(5, 30) == [Merge(None, "5 of both sides are held")]
    assert merges(4, 30) == []
    late = structs.replace(view(890.0), positions=holding(5, 5))
    assert list(made(TwoSidedQuotes).propose(late)) == [Merge(None, "5 of both sides are held")], "whatever the time"


def offer(found: View, **settings: Any) -> ExitTarget | None:
    (held, *_) = found.positions
    return made(TwoSidedQuotes, **settings).exit(found, held)


def test_rew_03_what_is_left_of_one_side_is_offered_at_a_profit() -> None:
    found = offer(view(up="0.50/0.52", positions=holding(up=10)))
    assert found is not None
    assert (found.side, found.price, found.least, found.passive) == (Side.UP, 5_300, 5_300, True)
    cheap = offer(view(up="0.40/0.42", positions=holding(up=10)))
    assert cheap is not None
    assert cheap.price == 5_200, "never below what it cost and the distance"


def test_rew_03_what_pairs_off_is_not_offered_and_neither_is_anything_when_quotes_are_withdrawn() -> None:
    assert offer(view(positions=holding(up=10, down=4))) is not None
    assert offer(view(positions=holding(up=10, down=5))) is None
    assert offer(view(890.0, positions=holding(up=10))) is None
    assert offer(view(positions=(position(held="ahead"),))) is None


@pytest.mark.parametrize("wrong", [{"away": "0"}, {"mid_min": "0.5"}, {"mid_min": "0"}])
def test_rew_03_settings_that_would_lose_for_sure_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        made(TwoSidedQuotes, **wrong)
