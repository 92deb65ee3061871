"""Readings on tapes: a backtest shows them to plugins from their line on, and counts what is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from polyhost.journal import FeedInput
from polyhost.kernel.kernel import Kernel
from polyhost.lab.backtest import Backtest
from polyhost.lab.replay import Replayed, _Player
from polyhost.lab.survey import survey
from polyhost.lab.tape import Tape
from polyhost.model.commands import Tell
from polyhost.model.events import Candidate, Evaluated, PluginStruck, PluginTold, Proposed
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import Enter
from polyhost.model.reading import Reading
from polyhost.model.view import View
from polyhost.model.words import Side
from polyhost.settings import Configuration

from .lab_tapes import START, Row, quiet_window, reading, resolved, write


class Moody:
    """Buys while the mood is good and no older than ten seconds."""

    told_hooks: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.views: list[View] = []

    def evaluate(self, view: View) -> Evaluated:
        self.views.append(view)
        mood = view.reading("mood", 10_000)
        glad = mood is not None and mood.value > 0 and not view.taken and not view.orders
        return Evaluated(
            view.view_seq, view.book_epoch, view.state_rev, view.market.condition_id,
            candidates=(Candidate(Proposed("moody", Enter(Side.UP, ticks("0.41"))), micros("10")),) if glad else (),
        )

    def tell(self, command: Tell) -> list[PluginTold]:
        raise AssertionError(f"nobody listens to {command.hook}")

    def struck(self) -> list[PluginStruck]:
        return []


def backtest(tmp_path: Path, rows: list[Row]) -> tuple[dict[str, Any], Backtest, Moody]:
    moody = Moody()
    run = Backtest(Configuration(), moody)
    path = write(tmp_path / "t.jsonl", [*quiet_window(until_ms=120_000), resolved(START + 908_000), *rows])
    return run.run([Tape(path)]), run, moody


def test_con_17_a_reading_of_a_tape_is_seen_from_its_line_on_and_ages(tmp_path: Path) -> None:
    report, _, moody = backtest(tmp_path, [reading(START + 40_500, "mood", 1, START + 39_000)])
    seen = [(view.now - START, view.feeds[0].source) for view in moody.views if view.feeds]
    assert seen[0][0] >= 40_500
    assert {source for _, source in seen} == {"mood_feed"}
    fresh = [view.now - START for view in moody.views if view.reading("mood", 10_000) is not None]
    assert (min(fresh) >= 40_500, max(fresh) <= 49_000) == (True, True)
    assert report["fills"] == 2, "bought, and closed before the end"
    assert report["tape"].get("unknown_kinds", 0) == report["tape"].get("bad_values", 0) == 0


def test_con_17_without_the_reading_the_plugin_abstains(tmp_path: Path) -> None:
    report, _, _ = backtest(tmp_path, [])
    assert report["orders"] == 0
    report, _, _ = backtest(tmp_path, [reading(START + 40_500, "mood", 1, START + 10_000)])
    assert report["orders"] == 0, "the reading was too old when it came"


def test_con_17_lines_that_are_no_readings_are_counted_and_harm_nobody(tmp_path: Path) -> None:
    rows = [
        reading(START + 2_000, "mood", "glad"), reading(START + 2_100, "mo od", 1), reading(START + 2_200, "m", True),
        reading(START + 2_300, "mood", [1]), reading(START + 2_400, "mood", 1, source="binance"),
        {"ts": START + 2_500, "source": "mood_feed", "msg": {"name": 5, "value": 1, "at": "x"}},
        {"ts": START + 2_600, "source": "mood_feed", "msg": {"level": 5}},
    ]
    report, _, moody = backtest(tmp_path, rows)
    assert all(view.feeds == () for view in moody.views)
    assert (report["tape"]["bad_values"], report["tape"]["unknown_kinds"], report["tape"]["broken"]) == (5, 2, 0)


def test_con_17_a_tape_with_readings_gives_the_same_bytes_twice(tmp_path: Path) -> None:
    rows = [reading(START + ms, "mood", ms / 7, START + ms - 5) for ms in range(30_000, 90_000, 250)]
    runs = [backtest(tmp_path, rows) for _ in range(2)]
    assert runs[0][1].journal.bodies == runs[1][1].journal.bodies
    assert runs[0][0]["fills"] == 2, "bought, and closed before the end"
    for report, _, _ in runs:
        del report["wall"]
    assert json.dumps(runs[0][0]) == json.dumps(runs[1][0])


def test_con_17_readings_nobody_needs_change_no_record(tmp_path: Path) -> None:
    """The trading path of a tape is the same with a flood of readings beside it."""
    plain = backtest(tmp_path, [reading(START + 40_000, "mood", 1)])
    flood = [reading(START + 30_000 + n, f"noise{n % 300}", n, source="noise") for n in range(20_000)]
    flooded = backtest(tmp_path, [*flood, reading(START + 40_000, "mood", 1)])
    assert plain[0]["fills"] == 2, "bought, and closed before the end"
    assert flooded[1].journal.bodies == plain[1].journal.bodies


@pytest.mark.parametrize(("value", "kind"), [(0.5, "reading"), ("x", "")])
def test_con_17_a_tape_check_counts_readings(tmp_path: Path, value: object, kind: str) -> None:
    rows = [*quiet_window(until_ms=5_000), reading(START, "mood", value)]
    seen = survey(Tape(write(tmp_path / "t.jsonl", rows)))
    assert seen.kinds["reading"] == seen.feeds["mood_feed"] == (1 if kind else 0)
    assert seen.odd["bad_values"] == (0 if kind else 1)


def test_evd_04_a_replay_hands_recorded_readings_to_the_kernel_and_passes_over_the_venues_own(tmp_path: Path) -> None:
    kernel = Kernel(Configuration(), "main")
    player = _Player(kernel, Replayed("run"), [], None, None, None)
    player.play("feed", FeedInput("mood_feed", b'{"name":"mood","value":-0.5,"at":7}'), START, START)
    for source in ("binance", "gamma"):
        player.play("feed", FeedInput(source, b'{"name":"mood","value":1.0,"at":8}'), START, START)
    assert kernel._core.readings.shown() == (Reading("mood", -0.5, 7, "mood_feed"),)
