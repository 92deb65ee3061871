"""One run as a stranger makes it: over HTTP and websockets to its end, accounted for to the micro-unit, repeatable."""

from __future__ import annotations

import gzip
import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec import UNSET

from polyhost.configuration import load_configuration
from polyhost.extension import discover
from polyhost.journal import JournalStore
from polyhost.journal.evaluations import evaluations
from polyhost.journal.explanations import explanations_of
from polyhost.kernel.state import State
from polyhost.lab.counterfactual import RecordedMarket, begin_cash, compared, with_cash
from polyhost.lab.plugins import running
from polyhost.lab.replay import recorded_run
from polyhost.lab.summary import text_lines
from polyhost.model.money import money_text
from polyhost.model.records import EntriesBlocked, FillBooked, NoticeRaised, OrderIntended, OrderPrepared
from polyhost.model.times import MarketMs
from polyhost.model.words import Action, OrderState, OrderType, Purpose
from polyhost.service import why
from polyhost.service.closing import closing_lines
from polyhost.service.log_line import window_name

from .service_runs import Started, command, configuration, eager_configuration, records, report, state

PURPOSES = tuple(purpose.value for purpose in Purpose)


CODE = "0x" + "ab" * 32
BUILDER = f"""
[venue]
builder_code = "{CODE}"
[exchange.builders]
{CODE} = {{ maker_bps = 50, taker_bps = 100 }}
"""


FIVE_MINUTES_S = 300
SPEEDS = (60, 30, 15)
"""Of the market, at most. Whoever cannot buy and sell in two windows at the first one has more time at the next: so the
market may be to blame, or a machine that is busy elsewhere."""


class Whole(NamedTuple):
    """A finished run."""

    folder: Path
    config: Path
    data: Path
    host: Started
    summary: Mapping[str, Any]
    state: State
    speed: int

    @property
    def alarms(self) -> list[str]:
        """Lines of errors; a stop of the strategy's is told loudly, and is none."""
        wrong = [line.partition(" ")[2] for line in self.host.err]
        wrong = [line for line in wrong if line.startswith(("ERROR", "CRITICAL"))]
        wrong += (self.data / "logs" / "errors.log").read_text().splitlines()
        return [line for line in wrong if "Emergency stop: " not in line]

    @property
    def traded(self) -> bool:
        """Something was bought, something was sold, an exit rested, and a window's strike and end are known."""
        exits = [order for order in self.state.orders.values() if order.slot.purpose is Purpose.EXIT]
        known = [window for window in self.summary["by_window"] if None not in (window["strike"], window["final"])]
        return bool(
            known and any(window["exits"] for window in self.summary["by_window"])
            and {order.draft.order_type for order in exits if order.request is not None} >= {OrderType.GTC}
            and {entry.fill.action for entry in self.state.fills.values()} == set(Action)
        )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A run in which was traded: what must hold of each one is then asked of it.

    Where a machine stood still, and the market went on for minutes, the host has reason to alarm: then another one.
    """
    runs = []
    for speed in SPEEDS:
        folder = tmp_path_factory.mktemp("whole")
        data = folder / "data"
        config = eager_configuration(folder, data, BUILDER)
        host = command(
            "run", "-c", config, "--windows", 2, "--speed", speed, "--json", "--summary", folder / "out.json",
            cwd=folder,
        )
        assert host.process.returncode == 0, host.told()
        found = Whole(folder, config, data, host, report(host), state(data), speed)
        if found.traded:
            runs.append(found)
            if not found.alarms:
                break
    assert runs, f"nobody traded in {len(SPEEDS)} runs: {host.told()}"
    return runs[-1]


def copied(whole: Whole, tmp_path: Path) -> Path:
    """The data folder once more, to be tampered with."""
    return Path(shutil.copytree(whole.data, tmp_path / "data"))


def replayed(whole: Whole, data: Path, *more: str) -> Started:
    return command("replay", "-c", whole.config, "--data-dir", data, *more, cwd=whole.folder)


# --- the run ----------------------------------------------------------------------------------------------------------


def test_two_windows_end_by_themselves_and_print_one_object(whole: Whole) -> None:
    assert whole.summary == json.loads((whole.folder / "out.json").read_text())
    assert whole.summary["wall"]["windows_from_open"] == 2
    assert whole.summary["windows"] >= 2


def test_orders_were_signed_posted_filled_and_exited(whole: Whole) -> None:
    """In each window that comes in time: UP bought and sold again, DOWN bought."""
    orders = whole.state.orders.values()
    assert whole.summary["orders"] == len(orders)
    assert all(order.request is not None and order.request.signature.startswith("0x") for order in orders)
    assert all(order.state is OrderState.CLOSED for order in orders)
    fills = [entry.fill for entry in whole.state.fills.values()]
    assert whole.summary["fills"] == len(fills)
    assert any(fill.action is Action.BUY for fill in fills)
    assert any(fill.action is Action.SELL for fill in fills)
    assert {order.draft.order_type for order in orders} == {OrderType.FAK, OrderType.GTC}
    traded = [window for window in whole.summary["by_window"] if window["entries"]]
    assert traded
    entered = Counter(order.slot for order in orders if order.slot.purpose is Purpose.ENTRY and order.traded)
    assert set(entered.values()) == {1}, "one entry a window and side (ORD-02)"
    assert any(window["exits"] for window in traded)


def test_ord_01_every_fill_is_of_an_order_that_was_prepared_before(whole: Whole) -> None:
    prepared: set[str] = set()
    for record in records(whole.data):
        if isinstance(record, OrderPrepared):
            prepared.add(record.ref)
        elif isinstance(record, FillBooked):
            assert record.ref in prepared


def test_nothing_is_left_over_and_no_invariant_broke(whole: Whole) -> None:
    summary = whole.summary
    assert (summary["orphans"], summary["positions_open"], summary["invariants"]["broken"]) == (0, 0, 0)
    assert summary["invariants"]["broken_names"] == []
    assert summary["invariants"]["checked"] > 5


def test_cash_adds_up_to_the_micro_unit(whole: Whole) -> None:
    summary = whole.summary
    money = {name: Decimal(summary[name]) for name in ("cash_start", "cash_end", "rewards", "fees")}
    central = Decimal(summary["pnl"]["central"])
    assert money["cash_start"] + central + money["rewards"] == money["cash_end"]
    assert all(value.as_tuple().exponent == -6 for value in (*money.values(), central))
    windows = summary["by_window"]
    assert sum(Decimal(window["pnl"]) for window in windows) == central
    assert sum(Decimal(window["fees"]) for window in windows) == money["fees"] > 0


def test_con_16_a_settled_window_tells_the_price_it_ended_by(whole: Whole) -> None:
    """The result's message holds none: it is the settlement feed's of the last second, and the next window's strike."""
    prices = [(window["strike"], window["final"], window["outcome"]) for window in whole.summary["by_window"]]
    known = [row for row in prices if None not in row]
    assert known
    assert all((final >= strike) is (outcome == "UP") for strike, final, outcome in known)
    strikes = {window["slug"]: window["strike"] for window in whole.summary["by_window"]}
    for window in whole.summary["by_window"]:
        series, _, start = window["slug"].rpartition("-")
        after = strikes.get(f"{series}-{int(start) + FIVE_MINUTES_S}") if series.endswith("-5m") else None
        assert None in (window["final"], after) or window["final"] == after, window["slug"]


def test_con_18_the_builder_code_is_in_every_order_and_what_it_cost_is_told(whole: Whole) -> None:
    """The exchange names as much as the journal says was paid, and the ledger's cash was the exchange's."""
    assert {order.request.fields.builder for order in whole.state.orders.values() if order.request} == {CODE}
    fills = [entry.fill for entry in whole.state.fills.values()]
    paid = sum(fill.builder_fee for fill in fills if fill.builder_fee is not UNSET)
    assert 0 < paid < sum(fill.fee for fill in fills)
    told = whole.summary["builder"]
    assert (told["code"], told["maker_rate"], told["taker_rate"]) == (CODE, "0.005000", "0.010000")
    assert told["paid"] == money_text(paid) == told["credited"]["fees"]
    assert (told["credited"]["trades"], told["credited"]["whole"]) == (len(fills), True)
    lines = closing_lines(dict(whole.summary))
    assert lines[2] in text_lines(whole.summary)
    assert any(f"builder code 0xabababab…: {money_text(paid)} paid for it" in line for line in lines)
    status = command("status", "--data-dir", whole.data, cwd=whole.folder)
    assert f"builder code {CODE}: {money_text(paid)} paid for it so far" in status.out


def test_the_speed_that_was_reached_is_stated(whole: Whole) -> None:
    wall = whole.summary["wall"]
    assert 0 < wall["speed_effective"] <= whole.speed + 1
    assert wall["speed_wanted"] == whole.speed
    lines = closing_lines(dict(whole.summary))
    assert any(f"effective speed {wall['speed_effective']:g}" in line for line in lines)


def test_a_foreign_plugin_took_part_in_every_evaluation_without_a_strike(whole: Whole) -> None:
    told = whole.summary["by_plugin"]
    assert told["eager"]["answers"] > 0
    assert all(row["strikes"] == 0 for row in told.values())


# --- what an operator reads -------------------------------------------------------------------------------------------


def test_log_06_every_line_about_an_order_names_window_purpose_and_order(whole: Whole) -> None:
    lines = [line for line in whole.host.err if " o0000" in line]
    assert len(lines) >= 2 * len(whole.state.orders)
    for line in lines:
        assert "btc-updown-5m-" in line, line
        assert any(f" {word} o" in line for word in PURPOSES), line


def test_log_03_no_line_comes_twice_and_nothing_is_wrong(whole: Whole) -> None:
    said = [line.partition(" ")[2] for line in whole.host.err]
    # Two equal fills are two facts, and so is a warning of what a busy machine can let happen twice.
    told = [line for line in said if not any(word in line for word in (" sold ", " bought ", "WARNING "))]
    assert len(told) == len(set(told))
    assert whole.alarms == []


def test_log_01_each_window_has_its_own_log_with_every_line_about_its_orders(whole: Whole) -> None:
    logs = whole.data / "logs"
    for entry in whole.state.markets.values():
        told = (logs / "windows" / f"window_{window_name(entry.market.slug)}.log").read_text()
        here = entry.market.condition_id
        refs = [order.ref for order in whole.state.orders.values() if order.slot.condition_id == here]
        for ref in refs:
            lines = [line for line in whole.host.err if f" {ref}:" in line]
            assert lines
            assert all(line.partition(entry.market.slug)[2] in told for line in lines)
        assert f" {entry.market.slug} found" in told
        notices = [each for each in records(whole.data) if isinstance(each, NoticeRaised) and each.condition_id == here]
        assert not notices or any(notice.told_text in told for notice in notices)
    assert "o000001" in (logs / "account_main.log").read_text()
    said = (logs / "polyhost.log").read_text()
    assert "the run ended with exit code 0" in said
    assert all(line.split(maxsplit=2)[2] in said for line in whole.host.err)


def test_log_06_one_banner_says_what_runs(whole: Whole) -> None:
    (versions,) = [line for line in whole.host.err if "versions: " in line]
    for word in ("python 3", "journal schema ", "polymarket-client 0.", "py-clob-client-v2 1.", "order client poly"):
        assert word in versions
    (loops,) = [line for line in whole.host.err if "loops running: " in line]
    assert {"kernel", "market stream", "exits", "recorder"} <= set(loops.partition("running: ")[2].split(", "))
    (banner,) = [line for line in whole.host.err if f"run {whole.summary['wall']['run_id']}" in line and "mode" in line]
    for word in ("polyhost ", "mode sim", "account main", whole.summary["config_hash"], "eager", "expiry_guard"):
        assert word in banner


# --- once more --------------------------------------------------------------------------------------------------------


def test_evd_04_the_recorded_run_gives_the_same_bytes_again_with_its_own_configuration(
    whole: Whole, tmp_path: Path
) -> None:
    # No -c, and another file here: the run's configuration is kept beside its recording.
    (tmp_path / "polyhost.toml").write_text('[plugins.fixed_size]\nstake = "24"\n')
    again = command("replay", "--data-dir", whole.data, "--json", cwd=tmp_path)
    assert again.process.returncode == 0, again.told()
    found = report(again)
    assert found["identical"] is True
    assert found["run"] == whole.summary["wall"]["run_id"]
    # All but the run's last word, which is the shell's.
    assert found["records"] == len(records(whole.data)) - 1
    assert found["asked"] >= whole.summary["evaluations"] > 0
    assert (found["answers_differ"], found["differences"], found["problems"]) == (0, [], [])
    assert found["notes"] == []


def test_a_run_can_be_named_and_an_unknown_one_is_refused(whole: Whole) -> None:
    run = whole.summary["wall"]["run_id"]
    assert replayed(whole, whole.data, run).process.returncode == 0
    refused = replayed(whole, whole.data, "nonsense")
    assert refused.process.returncode == 2
    assert run in refused.err[-1]


def tampered_recording(data: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    (file,) = data.glob("recordings/*/0001.jsonl.gz")
    with gzip.open(file, "rt", encoding="utf-8") as old:
        lines = [json.loads(line) for line in old]
    change(lines)
    with gzip.open(file, "wt", encoding="utf-8", compresslevel=1) as new:
        new.writelines(json.dumps(line) + "\n" for line in lines)


def first(lines: list[dict[str, Any]], event: str) -> int:
    return next(n for n, line in enumerate(lines) if line["source"] == "host" and line["msg"].get("event") == event)


def test_a_tampered_recording_is_told_with_the_first_difference(whole: Whole, tmp_path: Path) -> None:
    data = copied(whole, tmp_path)

    def cheaper(lines: list[dict[str, Any]]) -> None:
        row = lines[first(lines, "trade_seen")]["msg"]["row"]
        row["price"] -= 100

    tampered_recording(data, cheaper)
    again = replayed(whole, data)
    assert again.process.returncode == 1
    fill = next(n for n, record in enumerate(records(whole.data), 1) if isinstance(record, FillBooked))
    assert again.out[0].startswith(f"record {fill}: FillBooked(")
    assert " instead of FillBooked(" in again.out[0]
    assert "differences" in again.out[-1]


def test_a_recording_with_a_missing_input_is_told(whole: Whole, tmp_path: Path) -> None:
    data = copied(whole, tmp_path)
    tampered_recording(data, lambda lines: lines.pop(first(lines, "prepared")))
    again = replayed(whole, data)
    assert again.process.returncode == 1
    assert any("instead of OrderPrepared(" in line for line in again.out)


def test_a_tampered_journal_is_told_with_the_first_difference(whole: Whole, tmp_path: Path) -> None:
    data = copied(whole, tmp_path)
    seq, record = next(
        (n, r) for n, r in enumerate(records(whole.data), 1) if isinstance(r, FillBooked)
    )
    with sqlite3.connect(data / "journal.db") as journal:
        old, new = f'"size":{record.size}', f'"size":{record.size + 10_000}'
        changed = journal.execute("UPDATE journal SET body = replace(body, ?, ?) WHERE seq = ?", (old, new, seq))
        assert changed.rowcount == 1
    journal.close()
    again = replayed(whole, data)
    assert again.process.returncode == 1
    assert again.out[0].startswith(f"record {seq}: FillBooked(")


def test_a_journal_without_its_last_records_is_told(whole: Whole, tmp_path: Path) -> None:
    data = copied(whole, tmp_path)
    total = len(records(whole.data))
    with sqlite3.connect(data / "journal.db") as journal:
        journal.execute("DELETE FROM journal WHERE seq > ?", (total - 5,))
    journal.close()
    again = replayed(whole, data)
    assert again.process.returncode == 1
    assert f"record {total - 4} is not in the journal" in again.out[0]


def test_changed_settings_of_a_plugin_show_as_other_answers(whole: Whole, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(whole.config.read_text() + '[plugins.fixed_size]\nstake = "24"\n')
    again = command("replay", "-c", other, "--data-dir", whole.data, "--json", cwd=tmp_path)
    assert again.process.returncode == 1
    assert report(again)["answers_differ"] > 0
    (note,) = report(again)["notes"]
    assert note.startswith(f"the run's configuration was {whole.summary['config_hash']}, this one is ")


def test_evd_04_the_same_configuration_decides_the_same(whole: Whole) -> None:
    loaded = load_configuration(whole.config, {"host.data_dir": str(whole.data)}, env={})
    (recording,) = (whole.data / "recordings").iterdir()
    cash = begin_cash(recording)
    assert cash is not None
    with running(loaded) as plugins, running(loaded) as others:
        passes = [RecordedMarket(with_cash(loaded.configuration, cash), each, "same") for each in (plugins, others)]
        found = compared(recording, recorded_run(whole.data / "journal.db", recording.name), *passes)
    assert (found.decisions_differ, found.windows, found.broken, found.problems) == (0, [], [], [])
    assert found.pnl["run"] == whole.summary["pnl"]["central"]
    assert (found.pnl["own"], found.pnl["difference"]) == (found.pnl["other"], "0.000000")
    assert found.cash_start == whole.summary["cash_start"]
    assert found.orders["own"] > 0
    for each in passes:
        settled = {key for key, entry in each.kernel.state.markets.items() if entry.settled}
        assert settled
        assert settled <= set(each.extras.gates), "a window that ended still tells its first failed gate"


def test_evd_04_another_configuration_s_decisions_are_listed_with_their_money(whole: Whole, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(whole.config.read_text() + '[plugins.fixed_size]\nstake = "12"\n')
    again = replayed(whole, whole.data, "--with", str(other), "--json")
    assert again.process.returncode == 0, again.told()
    found = report(again)
    decisions = [each for window in found["windows"] for each in window["decisions"]]
    assert found["decisions_differ"] == len(decisions) > 0
    entries: dict[str, list[dict[str, Any]]] = {"own": [], "other": []}
    for each in decisions:
        if each["purpose"] == "entry":
            entries[each["only"]].append(each)
    assert entries["own"][0]["at"] == entries["other"][0]["at"], "the same moment, another size"
    assert Decimal(12) < Decimal(entries["own"][0]["money"]) <= Decimal(25)
    assert Decimal(0) < Decimal(entries["other"][0]["money"]) <= Decimal(12)
    known = [window for window in found["windows"] if window["difference"] is not None]
    assert found["open"] == len(found["windows"]) - len(known)
    for window in known:
        assert Decimal(window["difference"]) == Decimal(window["other"]["pnl"]) - Decimal(window["own"]["pnl"])
    assert Decimal(found["pnl"]["difference"]) == sum(Decimal(window["difference"]) for window in known) != 0
    assert found["config_hash"]["own"] != found["config_hash"]["other"]


# --- without trading --------------------------------------------------------------------------------------------------


def test_a_stop_before_anything_is_known_is_a_good_end(tmp_path: Path) -> None:
    """The signal comes before the first balance: there are no books yet that could disagree with the venue's."""
    with Started("run", "-c", configuration(tmp_path, tmp_path / "data"), "--json", cwd=tmp_path) as host:
        host.says("mode sim")
        assert host.stop() == 0, host.told()
    assert report(host)["invariants"]["broken_names"] == []


def test_ord_16_a_breaker_of_an_earlier_run_is_told_at_the_start(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    store = JournalStore(data / "journal.db", "main")
    store.commit([EntriesBlocked(MarketMs(1), "drawdown", True, "equity fell by 51 from 1000 today")])
    store.close()
    with Started("run", "-c", configuration(tmp_path, data), cwd=tmp_path) as host:
        line = host.says("WARNING", "entries are blocked since an earlier run (drawdown)")
        assert line.endswith("equity fell by 51 from 1000 today")
        assert host.stop() == 0


def test_record_false_keeps_nothing_to_replay(tmp_path: Path) -> None:
    data = tmp_path / "data"
    config = configuration(tmp_path, data)
    config.write_text(config.read_text().replace("[markets]", "record = false\n[markets]"))
    with Started("run", "-c", config, "--speed", 60, "--json", cwd=tmp_path) as host:
        host.says("found")
        assert host.stop() == 0
    assert not (data / "recordings").exists()
    again = command("replay", "-c", config, cwd=tmp_path)
    assert again.process.returncode == 2
    assert "no recorded run" in again.err[-1]


# --- what was thought -------------------------------------------------------------------------------------------------


def test_sig_09_after_a_trade_no_column_of_the_comparison_is_empty(whole: Whole) -> None:
    """Every evaluation of the run, and above all those that led to orders: both combiners, each signal, the prior."""
    entries = [
        record for record in records(whole.data)
        if isinstance(record, OrderIntended) and record.slot.purpose is Purpose.ENTRY
    ]
    assert entries
    combiners = opinionated("combine")
    signals = opinionated("signal")
    assert "additive" in combiners
    with evaluations(whole.data / "analysis.db") as reader:
        assert reader is not None
        assert reader.omissions() == {}
        found = {row.view_seq: row for market in reader.markets() for row in reader.rows(market)}
        assert (reader.older, len(found)) == (0, whole.summary["evaluations"])
    for row in found.values():
        assert set(row.estimates) == combiners
        assert set(row.signals) == signals
    for entry in entries:
        row = found[int(entry.why["view_seq"])]
        assert entry.why["prior"] == (row.no_prior or f"{row.prior:.5f}")
        for name in combiners:
            said = row.estimates[name]
            told = f"{name} ({said.abstained})" if said.abstained else (
                f"{name} {said.p_up:.4f}/{said.confidence:.3f}/{said.bias}"
            )
            assert told in f"{entry.why['estimates']}, {entry.why['abstained']}"
    priced = [row for row in found.values() if row.prior is not None]
    assert any(said.p_up is not None for row in priced for said in row.estimates.values())


def test_evd_03_every_entry_of_the_run_has_one_explanation_and_why_finds_all_of_it(whole: Whole) -> None:
    """Each order that a plugin wanted is told once, with the run, its plugins and what was seen and said."""
    intended = {
        record.draft.ref: record for record in records(whole.data)
        if isinstance(record, OrderIntended) and record.slot.purpose is Purpose.ENTRY
    }
    explained: Counter[str] = Counter()
    for condition_id in whole.state.markets:
        rows, counts = explanations_of(whole.data / "analysis.db", condition_id)
        assert len(rows) == sum(counts.values())
        explained.update(row["order"] for row in rows if row["outcome"] == "order")
    assert explained == Counter(dict.fromkeys(intended, 1))
    plugins = {"eager", "additive", "fixed_size", "expiry_guard"}
    for ref, record in intended.items():
        told = why.order(whole.data, ref)
        assert (told["run"]["id"], told["run"]["config_hash"]) == (
            whole.summary["wall"]["run_id"], whole.summary["config_hash"]
        )
        assert plugins <= set(told["run"]["plugins"])
        assert [name for name, version in told["run"]["plugins"].items() if not version] == ["eager"], "a single file"
        assert str(told["evaluation"]["view_seq"]) == record.why["view_seq"]
        assert told["order"]["reserved"] == money_text(record.reserve)


def opinionated(hook: str) -> set[str]:
    """The shipped plugins that are on by default and have this hook."""
    shipped = Path(__file__).resolve().parents[2] / "config" / "polyhost.toml"
    found = discover(load_configuration(shipped, env={}).configuration, shipped.parent, str(shipped))
    return {plugin.name for plugin in found if plugin.runs and hook in plugin.hooks}
