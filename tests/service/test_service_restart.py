"""Stopped, killed, started again on an exchange that stays: nothing is lost, nothing is bought twice."""

from __future__ import annotations

import signal
import time
from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from polyhost.kernel.state import State
from polyhost.model.money import Micros
from polyhost.model.records import Slot
from polyhost.model.words import Action, OrderState, Purpose

from .service_runs import (
    Account,
    Exchange,
    Started,
    account_at,
    command,
    eager_configuration,
    exchange,
    report,
    state,
    wait_for,
)

SPEED = 60
SPEEDS = (60, 20, 10)
"""Where something must not be over before the test comes to it: the market has more time for a busy machine's sake."""
KILLS = (("entry", ": BUY", 0.0), ("entry", ": BUY", 0.006), ("exit", ": SELL", 0.0), ("entry", ": bought", 0.0))
"""When the host is killed: so long after a line with these words, seconds."""
TRIES = 6
"""And then as at first, until a kill came between an order's intention and its answer: so often at most."""


OWN_EXITS = "".join(
    f"[plugins.{name}]\nenabled = false\n" for name in ("exit_plan", "stop_loss")
)
"""The plugin's own sale at halfway comes before anybody else's."""


def bought_by(seen: Account, known: State) -> dict[Slot, set[str]]:
    """Slot → ids of our orders that bought for it, by the exchange's own trades (our entries are takers)."""
    found: dict[Slot, set[str]] = defaultdict(set)
    for trade in seen.swept.trades:
        order = known.by_order_id(trade.taker_order_id)
        if trade.action is Action.BUY and order is not None:
            found[order.slot].add(trade.taker_order_id)
    return found


def open_positions(known: State) -> dict[str, Micros]:
    return {
        position.token_id: position.size for position in known.positions.values()
        if position.size > 0 and not known.markets[position.condition_id].settled
    }


def in_doubt(known: State) -> bool:
    """An entry was killed before the host knew of its end, and a start has asked or will ask for it."""
    entries = [order for order in known.orders.values() if order.slot.purpose is Purpose.ENTRY]
    return any(
        order.was_unknown or order.cause == "never_sent" or order.state in (OrderState.INTENDED, OrderState.PREPARED)
        for order in entries
    )


def nothing_under_way(known: State) -> bool:
    return not (open_positions(known) or known.unsettled or any(known.open_refs.values()))


class Story(NamedTuple):
    """Killed several times, then run to an end."""

    folder: Path
    config: Path
    data: Path
    hosts: list[Started]
    last: Started
    seen: Account
    state: State


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("killed")
    data = folder / "data"
    config = eager_configuration(folder, data)
    hosts = []
    with exchange(folder, config, SPEED) as served:
        for number, (purpose, words, delay_s) in enumerate((*KILLS, *KILLS[:1] * TRIES)):
            if number >= len(KILLS) and in_doubt(state(data)):
                break
            with Started("run", "-c", config, "--exchange", served.url, cwd=folder) as host:
                host.says("btc-updown", f" {purpose} o", words)
                time.sleep(delay_s)
                assert host.stop(signal.SIGKILL) == -signal.SIGKILL
            hosts.append(host)
        last = command("run", "-c", config, "--exchange", served.url, "--windows", 1, "--json", cwd=folder)
        seen = account_at(served.url, "main", [])
    return Story(folder, config, data, hosts, last, seen, state(data))


def test_per_05_after_every_kill_the_run_goes_on_by_itself_and_ends_well(killed: Story) -> None:
    assert killed.last.process.returncode == 0, killed.last.told()
    summary = report(killed.last)
    assert (summary["orphans"], summary["invariants"]["broken"], summary["positions_open"]) == (0, 0, 0)
    assert Decimal(summary["cash_start"]) + Decimal(summary["pnl"]["central"]) == Decimal(summary["cash_end"])
    assert killed.state.runs == len(killed.hosts) + 1


def test_ord_01_nothing_is_bought_twice_by_the_exchanges_own_books(killed: Story) -> None:
    bought = bought_by(killed.seen, killed.state)
    assert bought
    assert [ids for ids in bought.values() if len(ids) > 1] == []


def test_ord_01_the_journal_knows_every_trade_of_the_exchange_and_no_other(killed: Story) -> None:
    ours: dict[str, Micros] = defaultdict(int)
    theirs: dict[str, Micros] = defaultdict(int)
    for entry in killed.state.fills.values():
        ours[entry.fill.trade_id] += entry.fill.size
    for trade in killed.seen.swept.trades:
        by_id = killed.state.by_order_id(trade.taker_order_id)
        makers = [part.size for part in trade.makers if killed.state.by_order_id(part.order_id) is not None]
        theirs[trade.trade_id] += trade.size if by_id is not None else sum(makers)
    assert ours == theirs


def test_ord_01_an_order_killed_between_intent_and_answer_is_asked_for_never_signed_anew(killed: Story) -> None:
    said = [line for host in (*killed.hosts, killed.last) for line in host.err if " FAK [" in line]
    refs = [line.split(" entry ")[1].split(":")[0] for line in said if " entry o" in line]
    # What the log says is durable: no reference is given twice, not even after a kill.
    assert len(refs) == len(set(refs))
    assert set(refs) <= set(killed.state.orders)
    entries = [order for order in killed.state.orders.values() if order.slot.purpose is Purpose.ENTRY]
    assert all(order.state is OrderState.CLOSED for order in entries)
    assert in_doubt(killed.state), "every kill came too late"


def test_nothing_rests_at_the_exchange_that_the_journal_does_not_want(killed: Story) -> None:
    assert killed.seen.swept.orders == ()


def test_the_continued_run_replays_byte_for_byte(killed: Story) -> None:
    again = command("replay", "-c", killed.config, "--json", cwd=killed.folder)
    assert again.process.returncode == 0, again.told()
    assert report(again)["problems"] == []


def test_what_a_killed_run_recorded_replays_up_to_its_torn_end(killed: Story) -> None:
    runs = sorted((killed.data / "recordings").iterdir())
    assert len(runs) == len(killed.hosts) + 1
    for run in runs[:-1]:
        again = command("replay", run.name, "-c", killed.config, "--json", cwd=killed.folder)
        assert again.process.returncode == 0, again.told()
        assert report(again)["problems"] != []


# --- a graceful stop --------------------------------------------------------------------------------------------------


def stopped_with_an_exit(served: Exchange, config: Path, data: Path) -> Mapping[str, Any]:
    """A host's summary that got SIGINT while an exit rested; it may have been filled or taken back just before."""
    with Started("run", "-c", config, "--exchange", served.url, "--json", "--fresh", cwd=data.parent) as host:
        host.says(" exit o", ": SELL", "at 0.99 GTC")
        wait_for(lambda: any(o.state is OrderState.WORKING for o in state(data).orders.values()))
        assert host.stop(signal.SIGINT) == 0
    return report(host)


def test_a_graceful_stop_leaves_exits_resting_and_the_next_run_leaves_them_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    config = eager_configuration(tmp_path, data)
    with exchange(tmp_path, config, SPEED) as served:
        for speed in SPEEDS:
            if served.speed != speed:
                served.goes_on(speed)
            told = stopped_with_an_exit(served, config, data)
            if told["positions_open"]:
                break
        assert (told["positions_open"], told["orphans"], told["invariants"]["broken"]) == (1, 0, 0)
        served.goes_on(1)
        before = state(data)
        (position,) = open_positions(before).items()
        (resting,) = [order for order in before.orders.values() if order.open]
        assert resting.draft.action is Action.SELL
        assert list(before.obligations) == [f"{resting.slot.condition_id}:{resting.slot.side.value}"]
        seen = account_at(served.url, "main", [position[0]])
        assert [row.order_id for row in seen.swept.orders] == [resting.order_id]
        assert seen.tokens == dict([position])
        served.goes_on(SPEED)
        with Started("run", "-c", config, "--exchange", served.url, cwd=tmp_path) as again:
            again.says("continuing after 1 runs: 1 open orders, 1 positions")
            again.says("UP closed (")
            assert again.stop(signal.SIGTERM) == 0
    after = state(data)
    (first, *_) = [o for o in after.orders.values() if o.slot == resting.slot and o.draft.order_type.rests]
    assert first.order_id == resting.order_id
    assert [o.ref for o in after.orders.values() if o.slot == resting.slot and o.draft.order_type.rests] == [first.ref]


def test_a_stop_in_the_middle_of_a_sale_waits_for_its_end(tmp_path: Path) -> None:
    """The exit is being cancelled and sold at market while the signal comes; streams go on while the end is written."""
    config = eager_configuration(tmp_path, tmp_path / "data", OWN_EXITS)
    # Slow enough that the window is not over, which is told loudly, where a machine stands still in the middle of it.
    with Started("run", "-c", config, "--speed", SPEEDS[1], "--json", cwd=tmp_path) as host:
        host.says(" exit o", "FAK [eager: halfway]")
        assert host.stop(signal.SIGTERM) == 0, host.told()
    told = report(host)
    assert (told["orphans"], told["invariants"]["broken"]) == (0, 0)
    loud = [line for line in host.err if "CRITICAL" in line or "ERROR" in line]
    assert all("Emergency stop: " in line for line in loud), loud
    assert all(order.state is OrderState.CLOSED for order in state(tmp_path / "data").orders.values())
    again = command("replay", "-c", config, cwd=tmp_path)
    assert again.process.returncode == 0, again.told()


# --- the exchange dies ------------------------------------------------------------------------------------------------


def test_con_01_the_host_outlives_its_exchange_reconnects_and_reconciles(tmp_path: Path) -> None:
    """The exchange is killed right after an order was sent, and comes back on the same state and port."""
    data = tmp_path / "data"
    config = eager_configuration(tmp_path, data)
    with exchange(tmp_path, config, SPEED) as served:
        with Started("run", "-c", config, "--exchange", served.url, "--json", cwd=tmp_path) as host:
            host.says(" entry o", ": BUY")
            served.kill()
            host.says("user stream down")
            time.sleep(1)  # some of the retries must fail
            served.start()
            host.says("user stream up again")
            mark = len(host.err)
            host.says(" entry o", ": bought", after=mark)
            host.says("settled", after=mark)
            # Else it would trade on, and never be seen with nothing in its hands.
            paused = command("pause", "-c", config, cwd=tmp_path)
            assert paused.process.returncode == 0, paused.told()
            wait_for(lambda: nothing_under_way(state(data)))
            assert host.stop() == 0
        seen = account_at(served.url, "main", [])
    assert report(host)["invariants"]["broken"] == 0
    assert [ids for ids in bought_by(seen, state(data)).values() if len(ids) > 1] == []
    known = {entry.fill.trade_id for entry in state(data).fills.values()}
    assert known == {trade.trade_id for trade in seen.swept.trades}
    # One line when a stream goes down, one when it is up: not one for every try.
    told = ["down" if "user stream down" in line else "up" for line in host.err
            if "user stream down" in line or "user stream up" in line]
    assert told[:2] == ["down", "up"], told
    assert all(one != other for one, other in pairwise(told)), told


def test_a_stop_while_the_exchange_is_away_says_that_nothing_was_compared(tmp_path: Path) -> None:
    config = eager_configuration(tmp_path, tmp_path / "data")
    with (
        exchange(tmp_path, config, SPEED) as served,
        # It waits for what never comes as long as a real one would.
        Started("run", "-c", config, "--exchange", served.url, cwd=tmp_path, patient=False) as host,
    ):
        host.says("found")
        served.kill()
        host.says("user stream down")
        assert host.stop() == 0, host.told()
    warned = [line for line in host.err if "the end was not compared with the venue" in line]
    assert {line.split("(")[1].split(")")[0] for line in warned} == {"sweep", "balance"}
