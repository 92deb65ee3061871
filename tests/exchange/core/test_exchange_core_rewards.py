"""Liquidity rewards: the published formula, one sample a minute, the age of an order, and the payout at midnight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyhost.exchange import api
from polyhost.exchange.core import Exchange
from polyhost.exchange.rules import ExchangeRules
from polyhost.exchange.scoring import maker_score, middle, order_score
from polyhost.model.market import Market
from polyhost.model.money import MICRO, micros
from polyhost.model.times import MarketMs

DAY_MS = 86_400_000
PROGRAM: dict[str, Any] = {
    "reward_min_size": micros("50"), "reward_max_spread": 300, "reward_rate_day": micros("1440"), "taker_delay": False,
    "end": 10 * DAY_MS, "start": None,
}  # fmt: skip
"""A pool of one unit a minute."""


def published(score: int, spread: int) -> float:
    """A score as the documentation writes it."""
    return score / (2 * spread) ** 2 / MICRO


def test_rew_01_the_worked_example_of_the_documentation() -> None:
    """Spread 3 cents, midpoint 0.50: bids 100 at 0.49 and 200 at 0.48, and 100 of the other token offered at 0.51."""
    orders = [(4_900, "100"), (4_800, "200"), (10_000 - 5_100, "100")]
    total = sum(order_score(price, micros(size), 2 * 5_000, 300, 0) for price, size in orders)
    assert round(published(total, 300), 1) == 111.1


@pytest.mark.parametrize(
    ("mid", "bids", "asks", "expected"),
    [
        ("0.50", 90, 30, 90), ("0.50", 90, 29, 90), ("0.50", 90, 31, 93), ("0.50", 0, 60, 60), ("0.50", 0, 0, 0),
        ("0.10", 0, 60, 60), ("0.0999", 0, 60, 0), ("0.90", 60, 0, 60), ("0.9001", 60, 0, 0), ("0.95", 60, 20, 60),
    ],
)  # fmt: skip
def test_rew_01_one_side_alone_counts_a_third_and_only_near_the_middle(
    mid: str, bids: int, asks: int, expected: int
) -> None:
    """In units of a third: c is 3 within [0.10, 0.90], and outside both sides are needed."""
    assert maker_score(bids, asks, round(float(mid) * 20_000)) == expected


def test_rew_01_the_midpoint_leaves_out_levels_below_the_size() -> None:
    bids = {5_000: micros("49"), 4_900: micros("50")}
    asks = {5_100: micros("10"), 5_300: micros("60")}
    assert middle(bids, asks, micros("50")) == 4_900 + 5_300
    assert middle(bids, asks, 0) == 5_000 + 5_100
    assert middle(bids, {5_100: 1}, micros("50")) is None


@given(st.integers(1, 9_999), st.integers(0, 10**9), st.integers(2, 19_998), st.integers(1, 1_000))
def test_an_order_scores_within_the_spread_and_never_more_than_its_size(
    price: int, size: int, mid: int, spread: int
) -> None:
    score = order_score(price, size, mid, spread, 1)
    assert 0 <= score <= size * (2 * spread) ** 2
    assert (score == 0) == (size < 1 or abs(2 * price - mid) >= 2 * spread)


def quoted(bench: Callable[..., Any], **market: Any) -> Any:
    """A book 0.40 to 0.60 of the house, account a quoting both sides of 0.50 at 2 cents."""
    desk = bench(**PROGRAM | market)
    desk.house("BUY", "0.40", "1000")
    desk.house("SELL", "0.60", "1000")
    return desk


def test_rew_01_an_order_scores_from_three_and_a_half_seconds_on(bench: Callable[..., Any]) -> None:
    desk = quoted(bench)
    bid = desk.buy("0.49", "100").order_id
    ask = desk.buy("0.49", "100", token_id=desk.down).order_id
    desk.wait(3_499)
    assert not desk.exchange.scoring(bid, "key-a", desk.now)
    desk.wait(1)
    assert desk.exchange.scoring(bid, "key-a", desk.now)
    assert desk.exchange.scoring(ask, "key-a", desk.now)
    assert not desk.exchange.scoring(bid, "key-b", desk.now), "somebody else's order"
    assert not desk.exchange.scoring("0xnone", "key-a", desk.now)
    desk.cancel(bid)
    assert not desk.exchange.scoring(bid, "key-a", desk.now)


@pytest.mark.parametrize(
    ("price", "size", "scores"), [("0.48", "50", True), ("0.48", "49", False), ("0.46", "50", False)]
)
def test_rew_01_small_and_far_orders_score_nothing(
    bench: Callable[..., Any], price: str, size: str, scores: bool
) -> None:
    """Midpoint 0.50 (0.49 and 0.51 of account b), spread 4 cents."""
    desk = quoted(bench, reward_max_spread=400)
    for token in (desk.up, desk.down):
        desk.buy("0.49", "100", who="b", token_id=token)
    order_id = desk.buy(price, size).order_id
    desk.wait(4_000)
    assert desk.exchange.scoring(order_id, "key-a", desk.now) is scores


def test_rew_01_without_a_program_nothing_scores(bench: Callable[..., Any]) -> None:
    desk = quoted(bench, reward_rate_day=0)
    order_id = desk.buy("0.49", "100").order_id
    desk.wait(10_000)
    assert not desk.exchange.scoring(order_id, "key-a", desk.now)
    desk.wait(2 * DAY_MS)
    assert desk.exchange.next_due == PROGRAM["end"], "and nothing is sampled"


# --- samples ----------------------------------------------------------------------------------------------------------


def samples_of(exchange: Exchange, minutes: int) -> list[int]:
    """Every instant at which a sample was taken, up to a minute of market time."""
    found = []
    while exchange.next_due < minutes * 60_000:
        at, before = exchange.next_due, exchange._rewards.minute
        exchange.advance(MarketMs(at))
        if exchange._rewards.minute != before:
            found.append(at)
    return found


def test_rew_01_one_sample_a_minute_at_an_instant_of_the_seeds_choice(bench: Callable[..., Any]) -> None:
    first, again, other = (
        samples_of(quoted(bench_of(bench, seed)).exchange, 181) for seed in (1, 1, 2)
    )
    assert first == again != other
    assert [at // 60_000 for at in first] == list(range(1, 181)), "each minute once"
    assert len({at % 60_000 // 10_000 for at in first}) == 6, "spread over the whole minute"


def bench_of(bench: Callable[..., Any], seed: int) -> Callable[..., Any]:
    return lambda **market: bench(ExchangeRules(reward_seed=seed), **market)


def test_rew_01_a_minute_is_never_sampled_twice(bench: Callable[..., Any]) -> None:
    desk = quoted(bench)
    desk.wait(120_000)
    with pytest.raises(AssertionError, match="sampled already"):
        desk.exchange._rewards.sample(1, desk.now)


def test_rew_01_a_minutes_pool_is_shared_by_score(bench: Callable[..., Any]) -> None:
    """a quotes both sides with 100, b with 300 as far away; the house's 0.40 and 0.60 are out of reach."""
    desk = quoted(bench)
    for who, size in (("a", "100"), ("b", "300")):
        for token in (desk.up, desk.down):
            assert desk.buy("0.49", size, who=who, token_id=token).status == "live"
    desk.wait(600_000)
    samples = desk.exchange._rewards.minute
    earned = {who: desk.exchange.rewards_earned(f"0x{who}", 0, desk.now)[desk.condition] for who in ("a", "b")}
    assert earned == {"a": samples * 250_000, "b": samples * 750_000}
    assert desk.exchange.reward_parts("0xa") == {desk.condition: 25.0}


def test_rew_01_the_population_takes_its_part_and_is_not_paid(bench: Callable[..., Any]) -> None:
    desk = quoted(bench)
    for token in (desk.up, desk.down):
        desk.buy("0.49", "100", token_id=token)
    desk.house("BUY", "0.49", "100")
    desk.house("SELL", "0.51", "100")
    desk.wait(600_000)
    samples = desk.exchange._rewards.minute
    assert desk.exchange.rewards_earned("0xa", 0, desk.now) == {desk.condition: samples * 500_000}
    assert desk.exchange.rewards_earned("house", 0, desk.now) == {}


# --- payouts ----------------------------------------------------------------------------------------------------------


def earning(bench: Callable[..., Any], rate: str) -> Any:
    """Account a alone in its market, through a whole day."""
    desk = quoted(bench, reward_rate_day=micros(rate))
    for token in (desk.up, desk.down):
        desk.buy("0.49", "100", token_id=token)
    return desk


@pytest.mark.parametrize(("rate", "paid"), [("1.0006", None), ("1.0007", "1.000005")])
def test_rew_01_a_day_is_paid_at_midnight_from_one_unit_up(
    bench: Callable[..., Any], rate: str, paid: str | None
) -> None:
    """The first minute has no sample, so that a day is 1,439 of 1,440 parts here."""
    desk = earning(bench, rate)
    desk.wait(DAY_MS - 1)
    before = desk.exchange.collateral("0xa")
    said = [output for output in desk.wait(1) if isinstance(output, api.RewardPaid)]
    if paid is None:
        assert said == []
        assert desk.exchange.collateral("0xa") == before
    else:
        (payout,) = said
        assert (payout.account, payout.day, payout.amount) == ("0xa", 0, micros(paid))
        assert payout.parts == ((desk.condition, micros(paid)),)
        assert payout.hash.startswith("0x")
        assert desk.exchange.collateral("0xa") == before + micros(paid)
        assert desk.exchange.rewards_paid("0xa") == [payout]
        assert desk.exchange.rewards_earned("0xa", 0, desk.now) == {desk.condition: micros(paid)}
    assert desk.exchange.rewards_earned("0xa", 1, desk.now) == {}, "a new day begins at nothing"
    desk.sound()


def test_rew_01_payouts_and_earnings_survive_a_restart_of_the_exchange(bench: Callable[..., Any]) -> None:
    desk = earning(bench, "10")
    desk.wait(DAY_MS + 3_600_000)
    again = Exchange.load(desk.exchange.save())
    later = MarketMs(2 * DAY_MS)
    first, second = (exchange.advance(later) for exchange in (desk.exchange, again))
    assert first == second
    assert [output.day for output in second if isinstance(output, api.RewardPaid)] == [1]
    assert again.rewards_paid("0xa") == desk.exchange.rewards_paid("0xa")
    assert len(again.rewards_paid("0xa")) == 2
    assert again.audit() == []


def test_rew_01_against_a_mirrored_book_its_makers_are_the_competition() -> None:
    """A backtest's market: what the recording shows counts as one maker."""
    from polyhost.model.book import Book

    exchange = Exchange(ExchangeRules(), MarketMs(0))
    exchange.add_market(
        Market(slug="m", condition_id="0xc", up="1", down="2", **PROGRAM | {"taker_delay": True}), MarketMs(0)
    )
    book = Book()
    book.ready = True
    book.set_bid(4_900, micros("300"))
    book.set_ask(5_100, micros("300"))
    exchange.mirror("0xc", book)
    exchange.open_account("0xa", micros("1000"))
    for number, token in enumerate(("1", "2")):
        order = api.NewOrder(
            f"0x{number}", "0xa", "key", token, api.Action.BUY, micros("49"), micros("100"), api.OrderType.GTC
        )
        exchange.handle(api.PostOrder(number + 1, order), MarketMs(0))
    exchange.advance(MarketMs(120_000))
    assert exchange.reward_parts("0xa") == {"0xc": 25.0}
