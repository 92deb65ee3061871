"""CON-18: what a builder code costs counts wherever a shipped plugin counts fees, for takers and for makers."""

from __future__ import annotations

import pytest
from msgspec import structs
from plugin_builders import SHARES, made, market, position, quote, view

from polyhost import Bias, Enter, Estimate, ExitTarget, Pair, Side, Skip, View
from polyhost.model.builder import Builder
from polyhost.model.market import Fees, Market
from polyhost_plugins.entry_policy import EntryPolicy
from polyhost_plugins.kelly import cost_of_share
from polyhost_plugins.pair import PairTrade
from polyhost_plugins.reward_optimizer import RewardOptimizer

CODE = "0x" + "ab" * 32
FREE = Fees(0)
PROGRAM = {"reward_min_size": 20 * SHARES, "reward_max_spread": 450, "reward_rate_day": 1_000_000_000}


def charged(maker_ppm: int, taker_ppm: int) -> Market:
    """A market whose only fees are a builder's."""
    return market(fees=FREE.of(Builder(CODE, maker_ppm, taker_ppm)))


def edge_of(about: Market, style: str, p_up: float) -> float:
    answer = made(EntryPolicy, style=style, edge_min=-0.9, confidence_min=0.0).entry(
        view(400, up="0.50/0.51", market=about), Estimate(p_up, 0.4, Bias.UP)
    )
    assert isinstance(answer, Enter), answer
    return answer.edge


@pytest.mark.parametrize(("style", "price", "fee"), [("fak", 0.52, 0.02 * 0.52), ("join", 0.50, 0.01 * 0.50)])
def test_con_18_the_edge_of_an_entry_is_after_the_codes_fee_of_its_style(style: str, price: float, fee: float) -> None:
    assert edge_of(charged(10_000, 20_000), style, 0.70) == pytest.approx(0.70 - price - fee, abs=1e-9)


@pytest.mark.parametrize(("taker_ppm", "gate"), [(0, ""), (2_000, ""), (20_000, "low_edge")])
def test_con_18_an_edge_that_the_code_eats_up_is_none(taker_ppm: int, gate: str) -> None:
    """0.545 - 0.52 = 0.025; 0.2 % of 0.52 leaves 0.024, 2 % leave 0.0146, and 0.02 are wanted."""
    answer = made(EntryPolicy, confidence_min=0.05).entry(
        view(400, up="0.50/0.51", market=charged(0, taker_ppm)), Estimate(0.545, 0.09, Bias.UP)
    )
    assert (answer.reason if isinstance(answer, Skip) else "") == gate


def test_con_18_a_share_costs_kelly_what_its_order_will_be_charged() -> None:
    seen = view(400, up="0.50/0.51", market=charged(10_000, 20_000))
    assert cost_of_share(seen, Enter(Side.UP, 5_000, order_type="GTC")) == pytest.approx(0.505)
    assert cost_of_share(seen, Enter(Side.UP, 5_000, order_type="FAK")) == pytest.approx(0.51)


@pytest.mark.parametrize(("taker_ppm", "bought"), [(0, True), (5_000, True), (15_000, False)])
def test_con_18_a_pair_is_bought_only_where_the_code_leaves_its_edge(taker_ppm: int, bought: bool) -> None:
    """0.49 and 0.50 leave 0.01; 0.5 % of 0.99 take half of it, 1.5 % more than all."""
    seen = structs.replace(view(400, market=charged(0, taker_ppm)), up=quote("0.30/0.49"), down=quote("0.30/0.50"))
    answers = list(made(PairTrade).propose(seen))
    assert any(isinstance(answer, Pair) for answer in answers) is bought


@pytest.mark.parametrize(("maker_ppm", "price"), [(0, 6_200), (20_000, 6_400)])
def test_con_18_the_least_profit_of_a_moved_exit_is_after_the_codes_fee(maker_ppm: int, price: int) -> None:
    """Bought at 0.60 on average: 0.62, and 2 % of it (0.0124) makes it 0.64 on a grid of cents."""
    about = structs.replace(charged(maker_ppm, 0), **PROGRAM)
    held = structs.replace(position(Side.UP, shares=20), average_price=6_000)
    seen: View = view(400, up="0.60/0.61", positions=(held,), market=about)
    answer = made(RewardOptimizer, distance=0.1).quote(seen, ExitTarget(Side.UP, 9_900, "exit plan", least=100))
    assert isinstance(answer, ExitTarget)
    assert answer.price == price
