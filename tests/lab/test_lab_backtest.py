"""The driver: order of time, fills, settlement and money of backtests on small tapes, and the recorded ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from polyhost.errors import ConfigError
from polyhost.lab.backtest import Backtest
from polyhost.lab.tape import Tape
from polyhost.model.commands import Tell
from polyhost.model.events import Candidate, Evaluated, PluginStruck, PluginTold, Proposed
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import Answer, Enter, ExitTarget, HoldToSettlement
from polyhost.model.records import FillBooked, MarketChanged, OrderIntended
from polyhost.model.view import Flow, View
from polyhost.model.words import Action, Side
from polyhost.settings import Configuration

from .lab_tapes import DOWN, START, UP, Row, book, gamma, host, price, quiet_window, resolved, trade, write

END = START + 900_000
BUY = Enter(Side.UP, ticks("0.41"), "test")


class Scripted:
    """Plugins that answer by a function of the view, and remember every view."""

    told_hooks: frozenset[str] = frozenset()

    def __init__(self, answer: Callable[[View], list[Answer]] = lambda view: []) -> None:
        self.answer = answer
        self.views: list[View] = []

    def evaluate(self, view: View) -> Evaluated:
        self.views.append(view)
        answers = self.answer(view)
        return Evaluated(
            view.view_seq,
            view.book_epoch,
            view.state_rev,
            view.market.condition_id,
            candidates=tuple(
                Candidate(Proposed("scripted", each), micros("10")) for each in answers if isinstance(each, Enter)
            ),
            proposals=tuple(Proposed("scripted", each) for each in answers if not isinstance(each, Enter)),
        )

    def tell(self, command: Tell) -> list[PluginTold]:
        raise AssertionError(f"nobody listens to {command.hook}")

    def struck(self) -> list[PluginStruck]:
        return []


def buy_once_and_hold(at_ms: int = 60_000) -> Callable[[View], list[Answer]]:
    def answer(view: View) -> list[Answer]:
        if view.positions:
            return [HoldToSettlement(Side.UP, "test")] if not view.positions[0].held else []
        return [BUY] if view.now >= START + at_ms and not view.orders and not view.taken else []

    return answer


def _run(path: Path, plugins: Scripted, **tables: dict[str, Any]) -> tuple[dict[str, Any], Backtest]:
    run = Backtest(Configuration.model_validate(tables), plugins)
    return run.run([Tape(path)]), run


def _records(run: Backtest, kind: type) -> list[Any]:
    return [record for _, record in run.journal.read() if isinstance(record, kind)]


def test_a_position_bought_and_settled_adds_up_to_the_micro_unit(tmp_path: Path) -> None:
    rows = [*quiet_window(), resolved(END + 8_000)]
    report, _ = _run(write(tmp_path / "t.jsonl", rows), Scripted(buy_once_and_hold()))
    assert (report["windows"], report["orders"], report["fills"], report["positions_open"]) == (1, 1, 1, 0)
    # 10.00 / (0.41 + fee) = 23.4 shares, in whole cents at 0.41: 23 shares cost 9.43, fee 23 * 0.07 * 0.41 * 0.59.
    assert report["fees"] == "0.389460"
    assert report["pnl"]["central"] == "13.180540"
    assert micros(report["cash_start"]) + micros(report["pnl"]["central"]) == micros(report["cash_end"])
    assert report["unredeemed"] == "23.000000"
    assert report["by_window"][0]["outcome"] == "UP"
    assert report["invariants"]["broken"] == 0


def test_the_losing_side_pays_nothing(tmp_path: Path) -> None:
    rows = [*quiet_window(), resolved(END + 8_000, "DOWN")]
    report, _ = _run(write(tmp_path / "t.jsonl", rows), Scripted(buy_once_and_hold()))
    assert (report["pnl"]["central"], report["unredeemed"]) == ("-9.819460", "0.000000")
    assert report["by_window"][0]["pnl"] == "-9.819460"


def test_con_18_a_backtest_pays_for_its_builder_code_and_refuses_one_without_rates(tmp_path: Path) -> None:
    """10.00 / (0.41 * 1.01 + fee) = 23.2 shares, 23 in whole cents: 9.43, the market's 0.38946, and 1 % of 9.43."""
    tape = write(tmp_path / "t.jsonl", [*quiet_window(), resolved(END + 8_000)])
    code = "0x" + "ab" * 32
    venue = {"builder_code": code}
    rates = {"builders": {code: {"maker_bps": 5, "taker_bps": 100}}}
    report, run = _run(tape, Scripted(buy_once_and_hold()), venue=venue, exchange=rates)
    assert (report["fees"], report["pnl"]["central"]) == ("0.483760", "13.086240")
    assert report["builder"] == {
        "code": code, "maker_rate": "0.000500", "taker_rate": "0.010000", "paid": "0.094300", "credited": None,
    }
    assert run._exchange.earned(code) == micros("0.0943")
    assert micros(report["cash_start"]) + micros(report["pnl"]["central"]) == micros(report["cash_end"])
    with pytest.raises(ConfigError, match=r"\[venue\] builder_code: is no builder code that the exchange knows"):
        _run(tape, Scripted(), venue=venue)
    plain, _ = _run(tape, Scripted(buy_once_and_hold()), exchange=rates)
    assert (plain["fees"], plain["builder"]) == ("0.389460", None)


def test_a_window_without_a_result_stays_unsettled_and_out_of_pnl(tmp_path: Path) -> None:
    report, _ = _run(write(tmp_path / "t.jsonl", quiet_window()), Scripted(buy_once_and_hold()))
    assert (report["windows"], report["unsettled"], report["positions_open"]) == (0, 1, 1)
    assert report["pnl"]["central"] == "0.000000"
    (window,) = report["by_window"]
    assert (window["outcome"], window["pnl"]) == (None, None)


def test_an_answer_arrives_its_latency_after_the_view_and_meets_the_book_after_the_taker_delay(tmp_path: Path) -> None:
    """At 60.000 s the plugin decides; until 60.250 s its order is on its way; then the ask is what it is by then."""
    rows = [*quiet_window(), resolved(END + 8_000)]
    rows += [book(START + 60_000 + 170, "0.38", "0.39"), book(START + 60_000 + 300, "0.40", "0.41")]
    tables = {"evaluation": {"plugin_latency_ms": 100}, "exchange": {"taker_delay_ms": 150}}
    _, run = _run(write(tmp_path / "t.jsonl", rows), Scripted(buy_once_and_hold()), **tables)
    (intended,) = _records(run, OrderIntended)
    (fill,) = _records(run, FillBooked)
    assert intended.at == START + 60_100
    assert fill.at == START + 60_250
    assert fill.price == ticks("0.39")


def test_what_was_taken_stays_taken_until_the_level_changes(tmp_path: Path) -> None:
    rows = [gamma(START - 1), *(book(START + ms, "0.40", "0.41", size="30") for ms in range(0, 20_000, 1_000))]
    both = Scripted(lambda view: [Enter(Side.UP, ticks("0.41"), "a")] if not view.taken and not view.orders else [])
    _, run = _run(write(tmp_path / "t.jsonl", rows), both, limits={"window": "50"})
    assert [fill.size for fill in _records(run, FillBooked)] == [23_000_000]


def test_a_resting_exit_fills_when_a_print_goes_through_it(tmp_path: Path) -> None:
    def answer(view: View) -> list[Answer]:
        if view.positions:
            return [ExitTarget(Side.UP, ticks("0.50"), "test")]
        return buy_once_and_hold()(view)

    at = START + 120_000
    for print_price, exits in (("0.50", 0), ("0.51", 1)):
        rows = [*quiet_window(until_ms=200_000), trade(at, print_price, "100")]
        report, run = _run(write(tmp_path / "t.jsonl", rows), Scripted(answer))
        sold = [fill for fill in _records(run, FillBooked) if fill.action is Action.SELL]
        assert [(fill.price, fill.at) for fill in sold] == [(ticks("0.50"), at)] * exits
        assert report["by_window"][0]["exits"] == exits


def test_ord_05_a_tape_whose_messages_say_the_token_in_hex_trades_the_same(tmp_path: Path) -> None:
    def answer(view: View) -> list[Answer]:
        return [ExitTarget(Side.UP, ticks("0.50"), "test")] if view.positions else buy_once_and_hold()(view)

    # A tick that is told and one that must be inferred, a print through a resting order, and the result.
    rows = [*quiet_window(until_ms=200_000), book(START + 1_500, "0.395", "0.405"), resolved(END + 8_000)]
    rows.append(trade(START + 120_000, "0.51", "100"))
    spelt = {"asset_id": hex(int(UP))}
    in_hex = [row | {"msg": row["msg"] | spelt} if "asset_id" in row["msg"] else row for row in rows]
    (decimal, one), (hexed, other) = (
        _run(write(tmp_path / f"{name}.jsonl", tape), Scripted(answer))
        for name, tape in (("decimal", rows), ("hex", in_hex))
    )
    assert hexed | {"wall": {}} == decimal | {"wall": {}}
    assert other.journal.bodies == one.journal.bodies
    assert (decimal["orders"], decimal["fills"], decimal["tape"]["ticks_inferred"]) == (2, 2, 1)


def test_a_resting_exit_fills_when_the_best_bid_crosses_it(tmp_path: Path) -> None:
    def answer(view: View) -> list[Answer]:
        if view.positions:
            return [ExitTarget(Side.UP, ticks("0.50"), "test")]
        return buy_once_and_hold()(view)

    rows = [*quiet_window(until_ms=200_000), book(START + 120_500, "0.52", "0.53")]
    _, run = _run(write(tmp_path / "t.jsonl", rows), Scripted(answer))
    sold = [fill for fill in _records(run, FillBooked) if fill.action is Action.SELL]
    assert [(fill.price, fill.at, fill.fee) for fill in sold] == [(ticks("0.50"), START + 120_500, 0)]


def test_con_16_the_strike_is_the_twap_of_the_opening_second_wherever_it_stands(tmp_path: Path) -> None:
    tick = price(START + 900, "crypto_prices_twap_sixty", 71_485.25, START)
    other = price(START + 1_900, "crypto_prices_twap_sixty", 71_490.0, START + 1_000)
    spot = price(START + 100, "crypto_prices_chainlink", 71_000.0, START)
    early = [gamma(START - 1_000), spot, tick, other]
    late = [spot, tick, other, gamma(START + 5_000)]
    for rows in (early, late):
        report, run = _run(write(tmp_path / "t.jsonl", rows), Scripted())
        assert report["by_window"][0]["strike"] == 7_148_525_000_000
        assert [record.cause for record in _records(run, MarketChanged) if record.strike] == ["twap_60"]


def test_results_are_withheld_from_plugins_until_their_line(tmp_path: Path) -> None:
    told = {"eventMetadata": {"priceToBeat": 10.0, "finalPrice": 11.0}}
    opening = gamma(START - 1_000, outcomePrices='["1", "0"]', **told)
    rows = [opening, *quiet_window(until_ms=5_000)[1:], resolved(END + 8_000, **told)]
    plugins = Scripted()
    report, _ = _run(write(tmp_path / "t.jsonl", rows), plugins)
    assert len(plugins.views) == 899
    assert {view.strike for view in plugins.views} == {None}
    assert (report["by_window"][0]["strike"], report["by_window"][0]["final"]) == (1_000_000_000, 1_100_000_000)


def test_a_gap_spoils_the_book_until_the_next_full_one(tmp_path: Path) -> None:
    rows = [*quiet_window(until_ms=10_000), host(START + 9_500, "gap"), book(START + 15_500, "0.30", "0.31")]
    rows.append(book(START + 20_000, "0.30", "0.31"))
    plugins = Scripted()
    report, _ = _run(write(tmp_path / "t.jsonl", rows), plugins)
    seconds = [(view.now - START) // 1_000 for view in plugins.views]
    # The first second's timer is due before the first book's line; the last full book is as good as any until a gap.
    assert seconds[:12] == [*range(1, 10), 16, 17, 18]
    assert report["tape"]["gaps"] == 1


def test_con_09_a_best_price_off_an_assumed_grid_proves_a_finer_tick(tmp_path: Path) -> None:
    rows = [*quiet_window("0.40", "0.41", until_ms=100_000)]
    rows += [book(START + 100_000 + ms, "0.985", "0.986") for ms in range(0, 20_000, 1_000)]
    late = Scripted(
        lambda view: [] if view.now < START + 105_000 or view.taken or view.orders
        else [Enter(Side.UP, ticks("0.986"), "test")]
    )
    report, run = _run(write(tmp_path / "t.jsonl", rows), late)
    changes = [(record.tick, record.at) for record in _records(run, MarketChanged) if record.tick]
    assert changes == [(10, START + 100_000)]
    assert report["tape"]["ticks_inferred"] == 1
    (fill,) = _records(run, FillBooked)
    assert fill.price == ticks("0.986")


def test_con_09_a_told_tick_change_reaches_kernel_and_exchange(tmp_path: Path) -> None:
    told = {"event_type": "tick_size_change", "asset_id": UP, "old_tick_size": "0.01", "new_tick_size": "0.001"}
    opening = gamma(START - 1_000, orderPriceMinTickSize=0.01)
    rows = [opening, *quiet_window(until_ms=100_000)[1:], {"ts": START + 50_000, "source": "polymarket", "msg": told}]
    rows += [book(START + 51_000, "0.405", "0.406"), book(START + 60_000, "0.405", "0.406")]
    buyer = Scripted(
        lambda view: [] if view.now < START + 60_500 or view.taken or view.orders
        else [Enter(Side.UP, ticks("0.416"), "test")]
    )
    report, run = _run(write(tmp_path / "t.jsonl", rows), buyer)
    assert [record.tick for record in _records(run, MarketChanged) if record.tick] == [10]
    assert "ticks_inferred" not in report["tape"]
    assert report["fills"] == 1


def test_oddities_are_counted_and_a_market_without_an_opening_line_is_not_traded(tmp_path: Path) -> None:
    unopened = gamma(END + 1, number=2, closed=True, outcomePrices='["1", "0"]')
    rows = [*quiet_window(until_ms=5_000), resolved(END), unopened]
    rows += [book(START + 1_500, "0.5", "0.5"), book(START + 1_600, "", "0.5"), book(START + 1_700, "0.4", "x")]
    rows += [book(START + 1_800, "0.4", "0.5", "999"), gamma(START + 9, number=3, slug="eth-x", endDate="2027-01-01")]
    rows.append({"ts": START, "source": "polymarket", "msg": {"event_type": "comet", "asset_id": UP}})
    path = write(tmp_path / "t.jsonl", rows)
    path.write_text(path.read_text() + "{broken\n")
    report, _ = _run(path, Scripted())
    odd = report["tape"]
    names = ("broken", "crossed", "one_sided", "bad_values", "unknown_tokens", "unknown_kinds", "results_unopened")
    assert {name: odd[name] for name in names} == dict.fromkeys(names, 1)
    assert odd["not_configured"] == 1
    assert (report["windows"], report["orders"]) == (1, 0)


def test_the_same_backtest_twice_gives_the_same_bytes_but_for_wall(tmp_path: Path) -> None:
    rows: list[Row] = [*quiet_window(), resolved(END + 8_000)]
    path = write(tmp_path / "t.jsonl", rows)
    runs = [_run(path, Scripted(buy_once_and_hold())) for _ in range(2)]
    for report, _ in runs:
        del report["wall"]
    assert json.dumps(runs[0][0]) == json.dumps(runs[1][0])
    assert runs[0][1].journal.bodies == runs[1][1].journal.bodies
    assert len(runs[0][1].journal.bodies) > 10


# --- the recordings, through the command line -------------------------------------------------------------------------


def _command(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    from polyhost.cli.backtest import app

    with pytest.raises(SystemExit) as caught:
        app([*args, "--json"], prog_name="backtest")
    assert not caught.value.code
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


@pytest.fixture
def favourite(tmp_path: Path) -> Path:
    """A configuration with the small plugin that buys the favourite 120 s before the end, and no other trader."""
    plugin = Path(__file__).parents[1] / "plugins" / "favourite.py"
    file = tmp_path / "favourite.toml"
    file.write_text(
        f"plugin_paths = [{str(plugin)!r}]\n[plugins.favourite]\ntrusted = true\n"
        "[plugins.entry_policy]\nenabled = false\n"
    )
    return file


def test_resolvedkit_settles_ten_windows_by_the_recorded_payouts(
    recording: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    report = _command(capsys, str(recording("resolvedkit")))
    outcomes = [window["outcome"] for window in report["by_window"]]
    assert outcomes == ["DOWN", "DOWN", "DOWN", "UP", "UP", "UP", "UP", "UP", "UP", "UP"]
    assert (report["windows"], report["positions_open"], report["orphans"]) == (10, 0, 0)
    assert "binance_momentum" not in report["by_plugin"] or not report["by_plugin"]["binance_momentum"]["answers"]
    assert report["invariants"]["broken"] == 0
    assert micros(report["cash_start"]) + micros(report["pnl"]["central"]) == micros(report["cash_end"])


def test_resolvedkit_fills_the_favourite_in_at_least_eight_of_ten_windows(
    recording: Callable[[str], Path], capsys: pytest.CaptureFixture[str], favourite: Path
) -> None:
    report = _command(capsys, str(recording("resolvedkit")), "-c", str(favourite))
    assert sum(window["entries"] > 0 for window in report["by_window"]) >= 8
    assert report["windows"] == 10
    assert micros(report["cash_start"]) + micros(report["pnl"]["central"]) == micros(report["cash_end"])


def test_polybot_settles_by_the_twap_as_recorded_and_the_same_again(
    recording: Callable[[str], Path], capsys: pytest.CaptureFixture[str], favourite: Path
) -> None:
    report, again = (_command(capsys, str(recording("polybot")), "-c", str(favourite)) for _ in range(2))
    (window,) = report["by_window"]
    assert (window["outcome"], window["strike"], window["final"]) == ("DOWN", 7_148_523_965_784, 7_148_116_729_031)
    assert window["entries"] == 1
    del report["wall"], again["wall"]
    assert json.dumps(report) == json.dumps(again)


def test_cronos_settles_25_of_26_windows(recording: Callable[[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    report = _command(capsys, str(recording("cronos_btc5m")))
    assert (report["windows"], report["unsettled"], report["invariants"]["broken"]) == (25, 1, 0)
    assert report["tape"]["lines"] == 92_099


def test_sig_04_prints_of_a_tape_reach_the_view_as_flow(tmp_path: Path) -> None:
    """A sale of UP and one of DOWN, which is a purchase of UP; nothing of ours rests."""
    rows = quiet_window(until_ms=20_000)
    rows += [trade(START + 11_500, "0.40", "30"), trade(START + 12_500, "0.60", "7", token=DOWN)]
    plugins = Scripted()
    _run(write(tmp_path / "tape.jsonl", rows), plugins)
    seen = [view.flow for view in plugins.views if view.now > START + 13_000]
    assert seen[0] == (Flow(START + 10_000, micros("7"), micros("30"), 2),)
    assert plugins.views[0].flow == ()


def test_between_tapes_that_lie_months_apart_nothing_is_waited_for(tmp_path: Path) -> None:
    """Each second of 150 days would take an hour; both windows trade as they do alone."""
    later = START + 150 * 86_400_000
    first = [*quiet_window(), resolved(END + 8_000)]
    second = [book(later + ms, "0.40", "0.41", token="1101") for ms in range(0, 900_000, 1_000)]
    second += [gamma(later - 1_000, start=later, number=2), resolved(later + 908_000, "DOWN", start=later, number=2)]
    paths = [write(tmp_path / "a.jsonl", first), write(tmp_path / "b.jsonl", second)]
    alone = [Backtest(Configuration(), Scripted(answer_of(start))).run([Tape(path)])
             for path, start in zip(paths, (START, later), strict=True)]
    both = Backtest(Configuration(), Scripted(lambda view: answer_of(int(view.market.start or 0))(view)))
    report = both.run([Tape(path) for path in paths])
    assert [window["pnl"] for window in report["by_window"]] == [each["by_window"][0]["pnl"] for each in alone]
    assert report["invariants"]["broken"] == 0
    assert report["evaluations"] == sum(each["evaluations"] for each in alone)


def answer_of(start: int) -> Callable[[View], list[Answer]]:
    """Buys a minute after the start, holds."""
    return buy_once_and_hold(start - START + 60_000)
