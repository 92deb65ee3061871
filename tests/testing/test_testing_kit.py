"""The test kit itself: fixtures that are simply there, a bench that refuses what the host would, honest assertions."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given, settings
from pydantic import Field

import polyhost.testing
from polyhost import (
    Abstain,
    Action,
    Enter,
    Estimate,
    ExitNow,
    ExitTarget,
    HoldToSettlement,
    Keep,
    Notice,
    Plugin,
    PositionView,
    QuoteTarget,
    Settings,
    Side,
    Signal,
    Skip,
    Stake,
    Veto,
    View,
    hookimpl,
)
from polyhost.configuration.shipped import shipped_class
from polyhost.errors import ConfigError, PluginError
from polyhost.extension.answers import AnswerError
from polyhost.model.words import OrderType
from polyhost.testing import (
    OPENS,
    SHARE,
    Bench,
    assert_abstains,
    assert_allows,
    assert_enters,
    assert_exits,
    assert_holds,
    assert_leans,
    assert_no_lookahead,
    assert_quiet,
    assert_quotes,
    assert_skips,
    assert_stakes,
    assert_targets,
    assert_vetoes,
    book,
    down,
    reading,
    spot,
    trade,
    up,
    wait,
)
from polyhost.testing.lookahead import turned
from polyhost.testing.strategies import views


class TrendSettings(Settings):
    full: float = Field(default=0.002, gt=0)
    """A move of this fraction of the price has full strength."""


class Trend(Plugin):
    """What the tests of the kit are about: a signal, an entry and an exit in a few lines."""

    name = "trend"
    description = "Follows spot since the window's open."
    Settings = TrendSettings
    settings: TrendSettings

    @hookimpl
    def signal(self, view: View) -> Signal | Abstain:
        """Towards the side that spot has moved to."""
        if view.spot is None or not view.spot_open:
            return Abstain("no spot price")
        move = view.spot / view.spot_open - 1
        return Signal.of_direction((move > 0) - (move < 0), abs(move) / self.settings.full, f"moved {move:+.3%}")

    @hookimpl
    def entry(self, view: View, estimate: Estimate) -> Enter | Skip:
        """The favoured side while it is cheap."""
        ask = view.side(estimate.favoured).ask
        return Skip("too dear") if ask > 6_000 else Enter(estimate.favoured, ask, "cheap")

    @hookimpl
    def exit(self, view: View, position: PositionView) -> ExitNow | None:
        """Below 0.30."""
        return ExitNow(position.side, "stop loss") if view.side(position.side).mid <= 3_000 else None


# --- bench ------------------------------------------------------------------------------------------------------------


def test_plg_04_a_plugin_is_tested_in_three_lines(bench: Callable[..., Bench]) -> None:
    made = bench(Trend, estimate=0.7, holding=up(12))
    assert_abstains(made.feed(book("0.40/0.42")), because="no spot")
    assert_leans(made.feed(spot(80_000.0), wait(30), spot(80_080.0)), Side.UP, at_least=0.2)


def test_plg_04_the_bench_asks_entries_and_exits_at_both_sides_of_a_threshold(bench: Callable[..., Bench]) -> None:
    made = bench(Trend, estimate=0.7, holding=up(12))
    answered = made.feed(book("0.30/0.32"))
    assert_enters(answered, Side.UP, price_max="0.32", because="cheap")
    assert not answered.of(ExitNow)
    assert_exits(made.feed(book("0.29/0.31")), Side.UP, urgency="stop", because="stop loss")
    assert_skips(made.feed(book("0.60/0.61")), because="too dear")
    assert_exits(bench(Trend, holding=down(5)).feed(book(down="0.20/0.22")), Side.DOWN)


def test_plg_04_histories_grow_as_they_do_in_the_host(bench: Callable[..., Bench]) -> None:
    """A candle and a midpoint a minute, prints in buckets of ten seconds, the opening price at the opening."""
    made = bench(Trend, at_s=-90.0, minutes=5)
    made.run(spot(100.0, 2.0), book("0.40/0.42"), wait(60.0), spot(101.0), wait(31.0), spot(102.0), wait(120.0))
    seen = made.feed(trade(Side.DOWN, 3), trade(Side.UP, 5), reading("funding.BTC", 0.5)).view
    assert [candle.start for candle in seen.candles] == [OPENS + s * 1_000 for s in (-120, -60, 0, 60, 120)]
    assert [candle.close for candle in seen.candles] == [100.0, 101.0, 102.0, 102.0, 102.0]
    assert (seen.spot, seen.spot_open, seen.spot_age_ms) == (102.0, 101.0, 0)
    assert [mid for _, mid in seen.mids] == [4_100] * 4
    assert [at for at, _ in seen.mids] == [OPENS + s * 1_000 - 1 for s in (-60, 0, 60, 120)]
    assert [(each.bought, each.sold, each.trades) for each in seen.flow] == [(5 * SHARE, 3 * SHARE, 2)]
    found = seen.reading("funding.BTC", 0)
    assert found is not None
    assert (found.value, found.at) == (0.5, seen.now)
    assert made.feed().view.now == seen.now + 1_000


def test_plg_04_fields_can_be_said_outright(bench: Callable[..., Bench], window: Callable[..., Any]) -> None:
    made = bench(Trend, market=window(5, symbol="ETH")).see(spot_open=100.0)
    assert_leans(made.feed(spot(99.0), book_age_ms=7), Side.DOWN)
    assert (made.view.book_age_ms, made.view.market.symbol, made.view.spot_open) == (7, "ETH", 100.0)
    assert_abstains(made.feed(spot=None))


class Odd(Plugin):
    """Answers what it is told to."""

    name = "odd"
    answer: Any = None

    @hookimpl
    def signal(self, view: View) -> Any:
        return self.answer

    @hookimpl
    def propose(self, view: View) -> Any:
        return [Keep({"seen": view.view_seq})]

    @hookimpl
    def size(self, view: View, entry: Enter) -> Stake:
        return Stake(5 * SHARE)

    @hookimpl
    def review(self, view: View, entry: Enter) -> Veto | None:
        return Veto("never down") if entry.side is Side.DOWN else None

    @hookimpl
    def quote(self, view: View, target: QuoteTarget) -> QuoteTarget:
        return msgspec.structs.replace(target, price=target.price - 100)

    @hookimpl
    def on_timer(self, at: int) -> Notice:
        self.state["at"] = at
        return Notice("tick")


def test_plg_04_what_the_host_would_refuse_fails_the_test(bench: Callable[..., Bench]) -> None:
    made = bench(Odd)
    made.plugin.answer = Signal(1.5, 0.5)  # type: ignore[attr-defined]
    with pytest.raises(AnswerError, match=r"p_up is 1\.5"):
        made.feed()
    with pytest.raises(ConfigError, match="unknown key"):
        bench(Trend, ful=0.1)

    class Async(Plugin):
        name = "async"

        @hookimpl
        async def signal(self, view: View) -> None: ...

    with pytest.raises(PluginError, match="hooks are synchronous"):
        bench(Async)


def test_plg_04_the_other_hooks_are_asked_by_name_and_state_survives_a_restart(bench: Callable[..., Bench]) -> None:
    made = bench(Odd)
    assert_stakes(made.size(Enter(Side.UP, 5_000)), "5")
    assert_vetoes(made.review(Enter(Side.DOWN, 5_000)), because="down")
    assert_allows(made.review(Enter(Side.UP, 5_000)))
    adjusted = made.adjust(QuoteTarget(Side.UP, Action.BUY, 4_000, 5 * SHARE))
    assert isinstance(adjusted, QuoteTarget)
    assert adjusted.price == 3_900
    made.feed()
    assert [notice.text for notice in made.tell("on_timer")] == ["tick"]
    before = made.plugin
    assert dict(made.restart().state) == {"seen": 1, "at": made.now}
    assert made.plugin is not before


# --- assertions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asserted", "answer", "said"),
    [
        (lambda a: assert_abstains(a), Signal(0.6, 0.5), "expected no opinion"),
        (lambda a: assert_abstains(a, "spot"), Abstain("no book"), "no book"),
        (lambda a: assert_leans(a, Side.UP), Signal(0.4, 0.5), "p_up 0.4"),
        (lambda a: assert_leans(a, Side.UP), Abstain("no book"), "expected an opinion"),
        (lambda a: assert_leans(a, Side.DOWN, at_least=0.2), Signal(0.4, 0.5), "at least 0.2"),
        (lambda a: assert_leans(a, None), Signal(0.4, 0.5), "even"),
        (lambda a: assert_leans(a, Side.DOWN, weight_min=0.6), Signal(0.4, 0.5), "weight"),
        (lambda a: assert_enters(a, Side.UP), Enter(Side.DOWN, 5_000), "entry of UP"),
        (lambda a: assert_enters(a, Side.UP, price_max="0.51"), Enter(Side.UP, 5_000), "0.51"),
        (lambda a: assert_enters(a, Side.UP, because="x"), Enter(Side.UP, 5_000, "y"), "'y'"),
        (lambda a: assert_enters(a, Side.UP), [Enter(Side.UP, 5_000), Enter(Side.UP, 5_000)], "expected an entry"),
        (lambda a: assert_skips(a), Enter(Side.UP, 5_000), "no entry"),
        (lambda a: assert_skips(a, "late"), Skip("early"), "late"),
        (lambda a: assert_exits(a, Side.UP), ExitNow(Side.DOWN, "x"), "exit of UP"),
        (lambda a: assert_exits(a, Side.UP, urgency="floor"), ExitNow(Side.UP, "x"), "floor"),
        (lambda a: assert_targets(a, Side.UP, "0.98"), ExitTarget(Side.UP, 9_900), "0.98"),
        (lambda a: assert_holds(a, Side.UP), HoldToSettlement(Side.DOWN, "x"), "hold of UP"),
        (lambda a: assert_quotes(a, Side.UP), QuoteTarget(Side.UP, Action.SELL, 4_000), "BUY UP"),
        (lambda a: assert_quiet(a), [ExitTarget(Side.UP, 9_900)], "expected nothing"),
        (lambda a: assert_vetoes(a), None, "expected a veto"),
        (lambda a: assert_allows(a), Veto("x"), "no veto"),
        (lambda a: assert_stakes(a, "25"), Stake(SHARE), "expected 25"),
    ],
)
def test_plg_04_an_assertion_that_fails_says_what_was_answered(asserted: Any, answer: Any, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        asserted(answer)


def test_plg_04_assertions_that_hold_give_back_what_they_found() -> None:
    assert assert_targets([Skip("x"), ExitTarget(Side.UP, 9_900)], Side.UP, "0.99").price == 9_900
    assert assert_holds(HoldToSettlement(Side.UP, "x"), Side.UP).reason == "x"
    assert assert_quotes([QuoteTarget(Side.UP, Action.BUY, 4_000, SHARE)], Side.UP, price="0.40").size == SHARE
    assert assert_abstains(None) == ""
    assert_quiet([Skip("x")])
    assert assert_leans(Signal(0.5, 0.5), None).weight == 0.5


# --- look-ahead -------------------------------------------------------------------------------------------------------


class Peeker(Plugin):
    """Remembers every price for all its instances, and answers what the price will have been."""

    name = "peeker"
    known: ClassVar[dict[int, int]] = {}

    @hookimpl
    def signal(self, view: View) -> Signal | None:
        self.known[view.now] = view.up.mid
        later = self.known.get(view.now + 8_000)
        return None if later is None else Signal.of_direction(1 if later > view.up.mid else -1, 0.5, "I know")


class Oracle(Plugin):
    """Reads its tape before the host does."""

    name = "oracle"
    path = Path()

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        rows = [json.loads(line) for line in self.path.read_text().splitlines()]
        self.books = {row["ts"]: float(row["msg"]["bids"][0]["price"]) for row in rows if row["msg"].get("bids")}

    @hookimpl
    def signal(self, view: View) -> Signal | None:
        later = self.books.get(view.now + 5_000)
        return None if later is None else Signal(min(max(later, 0.01), 0.99), 0.5)


def test_evd_02_a_plugin_that_knows_the_future_is_found() -> None:
    with pytest.raises(AssertionError, match="peeker looks ahead: with another future its answer to evaluation"):
        assert_no_lookahead(Peeker)


@pytest.mark.parametrize("step", [book("0.40/0.43"), spot(80_000.0), trade(Side.UP, 3), reading("mood", 0.0)])
def test_evd_02_another_future_is_another_one_in_everything_that_happens(step: Any) -> None:
    assert turned(step) != step
    assert turned(wait(3)) == wait(3), "time itself goes on as it did"


def test_evd_02_a_plugin_that_looks_at_its_view_alone_is_not() -> None:
    assert_no_lookahead(Trend, holding=up(10), estimate=0.6)
    assert_no_lookahead(shipped_class("indicators"))


def test_evd_02_over_a_tape_no_decision_and_no_record_of_the_host_depends_on_what_comes_later(
    tape: Callable[..., Any],
) -> None:
    """The shipped plugins trade on it, so there are orders, fills and records to compare."""
    written = tape(5).quotes(lambda s: "0.51/0.52" if s < 150 else "0.57/0.58").oracle(80_000.0)
    written.spot(lambda s: 80_000.0 + max(s, 0.0)).settle(Side.UP)
    assert_no_lookahead(Trend, tape=written)


def test_evd_02_over_a_tape_a_plugin_that_knows_the_future_is_found(tape: Callable[..., Any]) -> None:
    """It has found the recording that it is tried on, and reads in it what comes."""
    written = tape(5).quotes(lambda s: f"0.{40 + int(s) % 7}/0.{48 + int(s) % 7}", until_s=60)
    Oracle.path = written.path
    with pytest.raises(AssertionError, match="oracle: with another future after 30 s"):
        assert_no_lookahead(Oracle, tape=written, cuts=(0.1,))


# --- the host and the venue -------------------------------------------------------------------------------------------


def test_plg_04_the_whole_host_runs_around_a_plugin_over_a_tape(
    running_host: Callable[..., Any], tape: Callable[..., Any]
) -> None:
    written = tape(5).quotes("0.52/0.53").spot(lambda s: 80_000.0 + max(s, 0.0)).oracle(80_000.0).settle(Side.UP)
    run = running_host(Trend, tape=written.write()).assert_sound("trend")
    assert len(run.evaluated) >= 299, "once a second until the end, and at once when something changed"
    assert {signal.reason for _, signal in run.signals("trend")} >= {"moved +0.125%", "moved +0.250%"}
    assert run.orders
    assert run.summary["by_window"][0]["strike"] == 8_000_000_000_000
    assert {name for name, _ in run.evaluated[-1][1].estimates} == {"additive", "bayesian"}


def test_plg_04_the_whole_host_runs_around_a_plugin_on_the_simulated_venue(running_host: Callable[..., Any]) -> None:
    """Alone: its own entry hook needs a combiner, and here is none."""
    run = running_host((Trend, {"full": 0.01}), minutes=3, seed=3, alone=True).assert_sound()
    assert len(run.signals("trend")) > 60
    assert set(run.abstentions("trend")) == {"no spot price"}
    assert not run.orders
    assert [(view.now, signal.p_up) for view, signal in run.signals("trend")] == [
        (view.now, signal.p_up)
        for view, signal in running_host((Trend, {"full": 0.01}), minutes=3, seed=3, alone=True).signals("trend")
    ]


def test_plg_04_what_the_host_refuses_or_strikes_is_told(running_host: Callable[..., Any]) -> None:
    class Misspelt(Plugin):
        name = "misspelt"

        @hookimpl
        def signl(self, view: View) -> None: ...

    class Raises(Plugin):
        name = "raises"

        @hookimpl
        def signal(self, view: View) -> None:
            raise ValueError("out of order")

    with pytest.raises(AssertionError, match="did you mean 'signal'"):
        running_host(Misspelt)
    run = running_host(Raises, minutes=1, alone=True, config={"markets": {"symbols": ("ETH",)}})
    assert all(view.market.symbol == "ETH" for view, _ in run.evaluated)
    with pytest.raises(AssertionError, match="out of order"):
        run.assert_sound("raises")


def test_plg_04_the_simulated_venue_trades_in_virtual_time(sim_exchange: Callable[..., Any]) -> None:
    venue = sim_exchange(seed=2)
    bid, ask = venue.quote().split("/")
    answer = venue.order(Side.UP, Action.BUY, "0.99", "10", OrderType.FAK)
    assert answer is not None
    assert (answer.outcome, answer.status) == ("accepted", "matched")
    assert venue.advance(10).shares(Side.UP) == 10 * SHARE
    assert venue.cash < 1_000 * SHARE
    low, high = venue.quote(Side.DOWN).split("/")
    assert 0 < float(bid) < float(ask) < 1
    assert 0 < float(low) < float(high) < 1
    assert venue.spot() > 0


# --- views of any kind ------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(views(minutes=5))
def test_plg_04_a_plugin_answers_any_view_that_hypothesis_thinks_of(seen: View) -> None:
    answer = Trend(TrendSettings()).signal(seen)
    assert isinstance(answer, Signal | Abstain)
    assert seen.market.duration_s == 300
    assert 0 <= seen.elapsed_s <= 300


# --- foreign test runs ------------------------------------------------------------------------------------------------


def test_plg_04_loading_the_fixtures_imports_nothing_but_pytest() -> None:
    """Every test run of an environment with polyhost loads them, whatever it tests."""
    seen = (
        "import sys, pytest; before = set(sys.modules); import polyhost.testing.pytest_plugin; "
        "print(sorted({name.split('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)),"
        "len([name for name in sys.modules if name.startswith('polyhost')]))"
    )
    found = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True, timeout=200)
    assert found.stdout.split() == ["['polyhost']", "3"]


def test_plg_04_everything_the_kit_offers_is_there_and_documented() -> None:
    assert set(polyhost.testing.__all__) == set(polyhost.testing._HOMES)
    for name in polyhost.testing.__all__:
        value = getattr(polyhost.testing, name)
        assert not callable(value) or (value.__doc__ or "").strip(), name
    with pytest.raises(AttributeError, match="no attribute 'bok'"):
        polyhost.testing.bok  # noqa: B018
