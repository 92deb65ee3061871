"""What the dashboard shows of a folder: with a host, without one, with a silent one, and with a broken file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from polyhost.journal.analysis import AnalysisWriter
from polyhost.model.commands import Analyse
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import ExitTarget
from polyhost.model.records import EntriesBlocked, RunEnded
from polyhost.model.times import MarketMs
from polyhost.model.words import Side
from polyhost.service import live_file
from polyhost.service.coverage import coverage
from polyhost.service.folder import DataFolder
from polyhost.service.status import described, look
from polyhost.web.picture import Picture
from polyhost.web.reading import Reading

from ..kernel.rig import CONDITION, START, Rig
from ..service.test_service_status import story, written
from ..unhurried import WALL_S, standing_wall  # noqa: F401 a fixture

NOW = START + 60_000

def live(**more: Any) -> live_file.Live:
    """What a host says of itself now."""
    given: dict[str, Any] = {
        "run": "run-1", "wall": int(WALL_S * 1_000), "ready": True, "sealed": "", "loops": {}, "blocks": [],
        "market_ms": NOW,
    }  # fmt: skip
    return live_file.Live(**(given | more))


def seen(data: Path, host: live_file.Live | None) -> Picture:
    """With a host on the folder that says this; None: with one that says nothing."""
    with DataFolder(data):
        if host is not None:
            live_file.write(data, host)
        return Reading(data).look()


def evaluated(data: Path, **more: Any) -> None:
    """One evaluation of the rig's market."""
    row = {
        "at": NOW, "condition_id": CONDITION, "bid": 4_000, "ask": 4_200, "prior": 0.41, "spot": 70_010.5,
        "trading": "additive", "gate": "", "estimates": {
            "additive": {"p_up": 0.61, "confidence": 0.2, "bias": "UP"}, "bayesian": {"p_up": None},
        },
    }  # fmt: skip
    writer = AnalysisWriter(data / "analysis.db")
    writer.add(Analyse("evaluations", row | more))
    writer.close()


# --- who runs ---------------------------------------------------------------------------------------------------------


def test_an_empty_folder_says_how_to_begin(tmp_path: Path) -> None:
    picture = Reading(tmp_path).look()
    assert (picture.host.word, picture.now, picture.windows, picture.problem) == ("never", 0, (), "")
    assert "polyhost run" in picture.host.text
    assert picture.funds.explanation == ""


def test_without_a_host_the_journal_is_shown_and_that_is_said(tmp_path: Path) -> None:
    rig = story()
    data = written(tmp_path / "data", rig.records)
    picture = Reading(data).look()
    assert (picture.host.word, picture.host.running, picture.now) == ("killed", False, rig.now)
    assert "No host runs" in picture.host.text
    assert len(picture.orders) == 2
    assert picture.money.curve == ((START - 5_000, 0),), "drawn before anything was closed"
    rig.records.append(RunEnded(MarketMs(rig.now), "run-1", "SIGINT"))
    ended = Reading(written(tmp_path / "other", rig.records)).look()
    assert ended.host.word == "ended"
    assert "by SIGINT" in ended.host.text


@pytest.mark.parametrize(
    ("told", "word"),
    [
        ({}, "trading"),
        ({"blocks": [("pause", "news")]}, "blocked"),
        ({"ready": False}, "blocked"),
        ({"blocks": [("ending", "kill")]}, "stopping"),
        ({"sealed": "the disk is full"}, "sealed"),
        ({"wall": int(WALL_S * 1_000) - 60_000}, "stuck"),
        ({"run": "run-0"}, "starting"),
    ],
)
def test_a_running_host_is_described_by_what_it_says_of_itself(
    tmp_path: Path, told: dict[str, Any], word: str
) -> None:
    picture = seen(written(tmp_path / "data", story().records), live(**told))
    assert (picture.host.word, picture.host.running, picture.host.pid) == (word, True, os.getpid())


def test_a_host_that_has_said_nothing_is_starting(tmp_path: Path) -> None:
    assert seen(written(tmp_path / "data", story().records), None).host.word == "starting"


def test_market_time_goes_on_at_the_host_s_speed_and_not_for_ever(tmp_path: Path) -> None:
    data = written(tmp_path / "data", story().records)
    wall = int(WALL_S * 1_000)
    assert seen(data, live(wall=wall - 2_000, speed=60.0)).now == NOW + 120_000
    # A stuck host's clock is not believed for longer than a stuck host is believed.
    assert seen(data, live(wall=wall - 3_600_000, speed=1.0)).now == NOW + 10_000


# --- what is open -----------------------------------------------------------------------------------------------------


def test_positions_orders_and_funds_are_those_of_status(tmp_path: Path) -> None:
    data = written(tmp_path / "data", story().records)
    evaluated(data)
    picture, report = Reading(data).look(), described(look(data))
    (position,), (wanted,) = picture.positions, report["positions"]
    assert f"{position.average / 10_000:g}" == wanted["average"]
    assert position.cost == micros(wanted["cost"])
    assert position.due == wanted["obligation_due"]
    assert position.worth == micros("57") * 4_000 // 10_000
    assert (position.cover, position.reason) == ("covered", "o000002 sells 57 at 0.99")
    assert [order.ref for order in picture.orders] == [order["order"] for order in report["orders"]]
    funds = report["funds"]
    assert (picture.funds.free, picture.funds.in_orders, picture.funds.in_positions) == tuple(
        micros(funds[name]) for name in ("free", "in_orders", "in_positions")
    )
    assert picture.money.unrealised == position.worth - position.cost
    assert picture.money.equity == picture.funds.free + picture.funds.in_orders + position.worth
    # What a click may ask about, and nothing else.
    assert picture.knows_order("o000002")
    assert not picture.knows_order("o000099")
    assert picture.knows_position(position.slug, "UP")
    assert not picture.knows_position(position.slug, "DOWN")


def test_a_low_balance_is_explained_in_the_words_of_status(tmp_path: Path) -> None:
    rig = Rig(cash="25")
    rig.to(NOW)
    rig.book("0.40/0.42")
    rig.enter()
    data = written(tmp_path / "data", rig.records)
    said = described(look(data))["funds"]["explanation"]
    assert Reading(data).look().funds.explanation == said != ""


def test_a_down_position_is_worth_what_the_up_ask_leaves() -> None:
    from polyhost.journal.glances import Glance
    from polyhost.web.reading import _bid

    assert _bid(Glance(0, bid=4_000, ask=4_200), "DOWN") == 5_800
    assert _bid(Glance(0, bid=4_000), "DOWN") is None
    assert _bid(None, "UP") is None


def test_the_host_s_word_about_coverage_is_taken_before_the_journal_s(tmp_path: Path) -> None:
    data = written(tmp_path / "data", story().records)
    (covered,) = seen(data, live()).positions
    assert covered.cover == "covered"
    told = live(coverage={f"{CONDITION}:UP": ("open", "a change is in flight")})
    (waiting,) = seen(data, told).positions
    assert (waiting.cover, waiting.reason) == ("open", "a change is in flight")


def test_coverage_as_the_kernel_has_it() -> None:
    """Open with its reason while the exit is not there, covered by what rests, held when that is declared."""
    rig, key = Rig(), f"{CONDITION}:UP"
    assert coverage(rig.kernel) == {}
    rig.to(NOW)
    rig.book("0.40/0.42")
    rig.enter()
    assert coverage(rig.kernel)[key][0] == "open"
    rig.accept(rig.posted(rig.answer(ExitTarget(Side.UP, ticks("0.99")))))
    assert coverage(rig.kernel) == {key: ("covered", "")}
    rig.kernel.state.positions[key].held = "to the end"
    assert coverage(rig.kernel) == {key: ("held", "to the end")}


# --- windows and opinions ---------------------------------------------------------------------------------------------


def test_a_window_shows_price_strike_opinions_and_its_phase(tmp_path: Path) -> None:
    data = written(tmp_path / "data", story().records)
    evaluated(data)
    (window,) = seen(data, live()).windows
    assert (window.phase, window.bid, window.ask, window.spot) == ("running", 4_000, 4_200, 70_010.5)
    assert (window.estimates["additive"].p_up, window.estimates["bayesian"].p_up) == (0.61, None)
    assert window.busy
    assert seen(data, live(market_ms=START - 60_000)).windows[0].phase == "upcoming"
    assert seen(data, live(market_ms=window.ends_at)).windows[0].phase == "ended"


def test_a_settled_window_shows_its_result_and_what_it_brought(tmp_path: Path) -> None:
    rig = Rig()
    rig.to(NOW)
    rig.book("0.40/0.42")
    rig.enter()
    rig.resolve(Side.UP)
    data = written(tmp_path / "data", rig.records)
    picture, report = Reading(data).look(), described(look(data))
    (window,) = picture.windows
    assert (window.phase, window.winner) == ("settled", "UP")
    assert window.pnl == picture.money.realised == micros(report["pnl"])
    assert picture.money.curve == ((START - 5_000, 0), (rig.kernel.state.closes[-1].at, window.pnl))
    assert picture.money.today == window.pnl
    assert picture.funds.unredeemed == micros(report["cash"]["unredeemed"]) > 0


def test_the_course_of_a_window_is_thinned_and_goes_on_where_it_ended(tmp_path: Path) -> None:
    data = written(tmp_path / "data", story().records)
    writer = AnalysisWriter(data / "analysis.db")
    for second in range(900):
        for part in (0, 500):
            at = START + second * 1_000 + part
            writer.add(Analyse("evaluations", {"at": at, "condition_id": CONDITION, "prior": second / 900}))
    writer.close()
    reading = Reading(data)
    reading.look()
    points = reading.course(CONDITION)
    assert len(points) == 300
    assert points[-1].at == START + 899_500
    assert [point.at for point in reading.course(CONDITION, START + 895_000)] == [START + 896_500 + 3_000 * n
                                                                                  for n in range(2)]
    assert reading.course("0xnobody") == []


# --- plugins, blocks --------------------------------------------------------------------------------------------------


def test_plugins_are_told_with_what_may_be_said_about_them(tmp_path: Path) -> None:
    rows = [
        {"name": "calm", "state": "inline", "strikes": 0, "asked": 4, "used_us": 100, "slowest_us": 60, "problem": ""},
        {"name": "wild", "state": "quarantined", "strikes": 5, "problem": "raised five times"},
        {"name": "idle", "state": "disabled", "strikes": 0, "problem": ""},
        {"name": "odd", "state": "refused", "strikes": 0, "problem": "changed"},
    ]
    data = written(tmp_path / "data", story().records)
    picture = seen(data, live(plugins=rows))
    assert [each.words for each in picture.plugins] == [
        ("disable",), ("release", "disable"), ("enable",), ("accept", "disable")
    ]  # fmt: skip
    assert picture.plugins[0].mean_us == 25
    # Without a host nothing of them runs; nobody was quarantined for good.
    assert [each.state for each in Reading(data).look().plugins] == [
        "not running", "not running", "disabled", "refused"
    ]  # fmt: skip


def test_blocks_say_how_they_clear_also_without_a_host(tmp_path: Path) -> None:
    rig = story()
    rig.records.append(EntriesBlocked(MarketMs(rig.now), "drawdown", True, "6 % down", True))
    data = written(tmp_path / "data", rig.records)
    picture = Reading(data).look()
    (block,) = picture.blocks
    assert (block.name, block.reason, block.lasting) == ("drawdown", "6 % down", True)
    assert "--breaker drawdown" in block.clears
    assert picture.paused
    passing = seen(data, live(blocks=[("user_stream", "lost")]))
    assert [each.name for each in passing.blocks] == ["user_stream"]
    assert not passing.paused


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_journal_that_cannot_be_read_is_said_and_what_was_read_stays(tmp_path: Path) -> None:
    data = written(tmp_path / "data", story().records)
    reading = Reading(data)
    assert reading.look().problem == ""
    (data / "journal.db").write_bytes(b"no database at all")
    picture = reading.look()
    assert "journal.db" in picture.problem
    assert len(picture.orders) == 2


def test_a_new_journal_in_the_place_of_the_old_one_is_read_from_its_begin(tmp_path: Path) -> None:
    data = written(tmp_path / "data", story().records)
    reading = Reading(data)
    assert len(reading.look().orders) == 2
    for path in data.glob("journal.db*"):
        path.rename(tmp_path / path.name)
    assert reading.look().host.word == "never"
    written(data, Rig().records)
    picture = reading.look()
    assert (picture.orders, picture.positions, picture.problem) == ((), (), "")
    assert picture.funds.free == micros("1000")
