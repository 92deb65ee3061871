"""What all pathologies have in common: seeds, chances, the catalogue and its page; and money, whatever strikes."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from polyhost.exchange import api
from polyhost.exchange.core import Exchange
from polyhost.exchange.pathologies import CATALOGUE, Pathologies
from polyhost.exchange.pathologies.catalogue import JOURNAL, SIMULATION, WIRE
from polyhost.exchange.pathologies.docs import page
from polyhost.exchange.pathologies.venue import VenueMood
from polyhost.model import commands, events
from polyhost.model.money import micros
from polyhost.model.times import MarketMs
from polyhost.model.words import Action, OrderType, Side

ROOT = Path(__file__).resolve().parents[3]


# --- chances ----------------------------------------------------------------------------------------------------------


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="there is no pathology 'ghost'; known: error_but_filled, "):
        Pathologies(1, {"ghost": 0.5})


@pytest.mark.parametrize("probability", [-0.01, 1.01])
def test_a_probability_lies_within_0_and_1(probability: float) -> None:
    with pytest.raises(ValueError, match="the probability of ws_gap"):
        Pathologies(1, {"ws_gap": probability})


def test_each_pathology_has_a_stream_of_its_own() -> None:
    """What else is switched on, and how often anything is asked, changes nothing."""
    alone, among = Pathologies(5, {"dup_trade": 0.5}), Pathologies(5, {one.name: 0.5 for one in CATALOGUE})
    subjects = [str(number) for number in range(200)]
    struck = [alone.strikes("dup_trade", subject) for subject in subjects]
    assert [among.strikes("late_fill", subject) for subject in subjects] != struck
    assert [among.strikes("dup_trade", subject) for subject in subjects] == struck
    assert [Pathologies(6, {"dup_trade": 0.5}).strikes("dup_trade", subject) for subject in subjects] != struck


def test_a_chance_is_met_over_many_occasions() -> None:
    chance = Pathologies(5, {"dup_trade": 0.2})
    assert 150 < sum(chance.strikes("dup_trade", str(number)) for number in range(1_000)) < 250
    assert chance.happened["dup_trade"] == sum(chance.would("dup_trade", str(number)) for number in range(1_000))


@pytest.mark.parametrize("one", [one for one in CATALOGUE if one.period_ms], ids=lambda one: one.name)
def test_an_episode_lies_within_its_period_and_its_durations(one: Any) -> None:
    chance = Pathologies(3, {one.name: 1.0})
    for number in range(50):
        episode = chance.episode(one.name, number * one.period_ms)
        assert episode is not None
        assert number * one.period_ms <= episode.start < episode.end <= (number + 1) * one.period_ms
        assert one.lasts_ms[0] <= episode.end - episode.start <= one.lasts_ms[1]
        assert chance.holds(one.name, episode.start)
        assert not chance.holds(one.name, episode.end)


# --- the catalogue ----------------------------------------------------------------------------------------------------


def test_every_pathology_cites_a_public_report_and_has_a_default_chance() -> None:
    assert len({one.name for one in CATALOGUE}) == len(CATALOGUE)
    for one in CATALOGUE:
        assert one.report, one.name
        assert all(link.startswith("https://github.com/") for link in one.report), one.name
        assert 0 < one.probability <= 0.5, one.name
        assert one.layers == (JOURNAL,) or one.layers == (SIMULATION, WIRE), one.name


def test_the_page_about_pathologies_is_current() -> None:
    """Else: ``python -m polyhost.exchange.pathologies.docs > docs/pathologies.md``."""
    assert (ROOT / "docs" / "pathologies.md").read_text(encoding="utf-8") == page()


# --- the gateway ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limited", "rows"), [("orders", 0), ("trades", 1)])
def test_sim_half_a_sweep_is_told_as_incomplete(venue: Any, limited: str, rows: int) -> None:
    """Open orders and trades are two requests: when one is refused the other's rows are facts all the same."""
    faulty = venue(rate_limit=0.5)
    faulty.pathologies.probabilities.clear()
    faulty.buy()
    faulty.post("BUY", "0.40", "10")
    numbers = [faulty.gateway.faults._requests + 1, faulty.gateway.faults._requests + 2]
    refused = str(numbers[0] if limited == "orders" else numbers[1])
    faulty.pathologies.strikes = lambda name, *subject: name == "rate_limit" and subject == (refused,)
    (done,) = faulty.do(commands.Sweep("0xc0", 0))
    assert isinstance(done, events.SweepDone)
    assert (done.complete, len(done.orders), len(done.trades)) == (False, rows, 1 - rows)
    assert "refused" in done.problem or "429" in done.problem


def test_con_a_stream_that_is_down_comes_back_when_the_pathology_is_switched_off(venue: Any) -> None:
    faulty = venue(ws_gap=1.0)
    faulty.into("ws_gap")
    assert [event.up for event in faulty.events(events.StreamChanged)] == [False]
    faulty.pathologies.probabilities.clear()
    faulty.run(1)
    assert [event.up for event in faulty.events(events.StreamChanged)] == [False, True]
    faulty.run(200_000)
    assert len(faulty.events(events.StreamChanged)) == 2


# --- ghost fills ------------------------------------------------------------------------------------------------------


def test_sim_a_ghost_fill_of_a_resting_order_gives_everything_back(venue: Any) -> None:
    faulty = venue(ghost_fill=1.0)
    faulty.post("BUY", "0.40", "10", token="202")
    faulty.house("SELL", "0.40", "10", token="202", kind="FAK")
    assert faulty.money == micros("996")
    faulty.run(100_000)
    assert faulty.statuses()[-1] == "FAILED"
    assert (faulty.money, faulty.exchange.holdings("0x" + "ab" * 20)) == (micros("1000"), {})
    faulty.sound()


def test_sim_a_ghost_fill_is_undone_for_both_accounts_of_a_mint(venue: Any) -> None:
    """Two buys mint a pair; when it fails the pair is gone and both have their money."""
    faulty = venue(ghost_fill=1.0)
    exchange = faulty.exchange
    exchange.open_account("0xother", micros("100"))
    order = api.NewOrder(
        order_id="0x1", account="0xother", owner="key-other", token_id="202", action=Action.BUY,
        maker_amount=micros("6"), taker_amount=micros("10"), order_type=OrderType.GTC,
    )  # fmt: skip
    exchange.handle(api.PostOrder(-5, order), MarketMs(0))
    faulty.post("BUY", "0.40", "10", "FAK")
    faulty.run(200)
    assert (faulty.shares, exchange.shares("0xother", "202")) == (micros("10"), micros("10"))
    faulty.run(100_000)
    assert (faulty.money, exchange.collateral("0xother")) == (micros("1000"), micros("100"))
    assert (exchange.holdings("0xother"), faulty.shares) == ({}, 0)
    faulty.sound()


def test_sim_a_ghost_sell_gives_the_shares_back_and_takes_the_money(venue: Any) -> None:
    faulty = venue(ghost_fill=0.0)
    faulty.buy()
    faulty.run(10_000)
    before = faulty.money
    faulty.exchange.afflict(VenueMood(Pathologies(7, {"ghost_fill": 1.0})))
    faulty.house("BUY", "0.45", "10")
    faulty.post("SELL", "0.45", "10", "FAK")
    faulty.run(200)
    assert faulty.shares == 0
    assert faulty.money > before
    faulty.run(100_000)
    assert (faulty.shares, faulty.money) == (micros("10"), before)
    assert faulty.token_balance() == micros("10"), "at once, not after another settlement"
    faulty.sound()


def test_sim_a_ghost_fill_whose_money_was_spent_settles_late(venue: Any) -> None:
    faulty = venue()
    faulty.house("SELL", "0.50", "1900")
    faulty.post("BUY", "0.50", "1900", "FAK")
    faulty.run(10_000)
    faulty.exchange.afflict(VenueMood(Pathologies(7, {"ghost_fill": 1.0})))
    faulty.house("BUY", "0.50", "1900")
    faulty.post("SELL", "0.50", "1900", "FAK")
    faulty.run(200)
    faulty.exchange.afflict(VenueMood(Pathologies(7, {})))
    faulty.house("SELL", "0.50", "1700", token="202")
    faulty.post("BUY", "0.50", "1700", "FAK", token="202")
    faulty.run(200)
    faulty.run(100_000)
    sold = [event.row.status for event in faulty.events(events.TradeSeen) if event.row.action == "SELL"]
    assert sold == ["MATCHED", "RETRYING", "MINED", "CONFIRMED"]
    faulty.sound()


def test_sim_a_ghost_fill_fails_before_its_market_is_resolved_and_only_once(venue: Any) -> None:
    faulty = venue(ghost_fill=1.0)
    faulty.buy()
    said = faulty.exchange.decide("0xc0", Side.UP, 1, 2, MarketMs(faulty.now))
    faulty.hear(faulty.gateway.events_of(said))
    assert faulty.statuses() == ["MATCHED", "FAILED"]
    assert faulty.money == micros("1000")
    faulty.run(100_000)
    assert faulty.statuses() == ["MATCHED", "FAILED"], "the deadline that was set for it does nothing any more"
    assert faulty.money == micros("1000")
    assert faulty.exchange.redeemable("0x" + "ab" * 20) == {}
    faulty.sound()


def test_sim_a_restored_exchange_goes_on_misbehaving_alike(venue: Any) -> None:
    on = {"ghost_fill": 1.0, "phantom_lock": 1.0, "tick_flip": 1.0}
    faulty = venue(**on)
    faulty.buy()
    again = Exchange.load(faulty.exchange.save())
    again.afflict(VenueMood(Pathologies(7, on)))
    first = faulty.exchange.advance(MarketMs(800_000))
    second = again.advance(MarketMs(800_000))
    assert second == first
    assert any(isinstance(said, api.UserTrade) and said.trade.row.status == "FAILED" for said in first)
    assert again.audit() == []


# --- all at once ------------------------------------------------------------------------------------------------------


def restless(faulty: Any, seed: int, steps: int) -> None:
    """A trader who knows nothing, in a market that moves."""
    rng = Random(seed)
    mine: list[str] = []
    for _ in range(steps):
        price = rng.choice(("0.40", "0.45", "0.50", "0.55"))
        action, token = rng.choice(("BUY", "BUY", "SELL")), rng.choice(("101", "202"))
        match rng.randrange(6):
            case 0 | 1:
                faulty.house(rng.choice(("BUY", "SELL")), price, str(rng.randrange(1, 40)), token)
            case 2 | 3:
                kind = rng.choice(("GTC", "GTC", "FAK", "FOK"))
                mine.append(faulty.post(action, price, str(rng.randrange(5, 60)), kind, token))
            case 4 if mine:
                faulty.do(commands.Cancel(rng.choice(mine[-6:])))
            case _:
                faulty.do(rng.choice((
                    commands.Sweep("0xc0", 0), commands.QueryBalance(), commands.QueryTokenBalance(token),
                    commands.CancelEverything(),
                )))  # fmt: skip
        faulty.run(rng.choice((0, 20, 200, 3_000)))
        faulty.sound()


@pytest.mark.parametrize("seed", range(6))
def test_sim_money_and_shares_are_conserved_whatever_strikes(venue: Any, seed: int) -> None:
    chance = 1.0 if seed == 0 else 0.3
    faulty = venue(seed, **{one.name: chance for one in CATALOGUE if SIMULATION in one.layers})
    restless(faulty, seed, 150)
    faulty.run(200_000)
    faulty.hear(faulty.gateway.events_of(faulty.exchange.decide("0xc0", Side.UP, 1, 2, MarketMs(faulty.now))))
    faulty.exchange.handle(api.Redeem(-9, "0x" + "ab" * 20, "0xc0"), MarketMs(faulty.now))
    faulty.run(700_000)
    assert faulty.exchange.holdings("0x" + "ab" * 20) == {}
    faulty.sound()


def test_sim_all_pathologies_together_do_the_same_again(venue: Any) -> None:
    several = {one.name: 0.3 for one in CATALOGUE if SIMULATION in one.layers}
    first, second = venue(11, **several), venue(11, **several)
    restless(first, 4, 80)
    restless(second, 4, 80)
    assert first.heard == second.heard
    assert first.pathologies.happened == second.pathologies.happened
    assert len(first.pathologies.happened) > 15
