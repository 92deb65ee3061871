"""Plugins switched on and off, set up anew and let in again while the host runs: all of a change, or nothing of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from polyhost.configuration import load_configuration
from polyhost.configuration.choices import choices_of
from polyhost.errors import ConfigError, PluginError
from polyhost.extension import Deadlines, Runner, channels_of, discover
from polyhost.extension.lock import Lock
from polyhost.journal import MemoryJournal
from polyhost.kernel.kernel import Kernel
from polyhost.model.commands import Command, Tell
from polyhost.model.events import Event, Operator, PluginTold, RunBegan
from polyhost.model.proposals import Notice
from polyhost.model.records import NoticeRaised, PluginMoved, PluginStateSet, Record
from polyhost.model.times import MarketMs
from polyhost.service.engine import Engine
from polyhost.service.plugin_life import PluginLife, told_hooks, trusted_on_sight

PATIENT = Deadlines(answer_ms=5_000, life_ms=8_000, start_ms=20_000, deliver_ms=5_000)
CODE = '''
from __future__ import annotations
import os
from pydantic import Field
from polyhost import *

class Knobs(Settings):
    """What can be turned."""
    weight: float = Field(default=0.5, ge=0, le=1)
    farewell: bool = False

class Counter(Plugin):
    """Counts the notices it hears, durably."""
    name = "counter"
    Settings = Knobs

    @hookimpl
    def on_notice(self, notice, at):
        self.state["heard"] = self.state.get("heard", 0) + 1

    @hookimpl
    def stop(self):
        if self.settings.farewell:
            self.state["stopped"] = True

class Broken(Plugin):
    """Cannot be built."""
    name = "broken"

    def __init__(self, settings):
        raise OSError("no model file")

class Messenger(Plugin):
    """Takes notices."""
    name = "messenger"

    @hookimpl
    def notify(self, notice, channel):
        pass
'''


class Clock:
    def now(self) -> MarketMs:
        return MarketMs(1_000)

    def wall_seconds(self, market_ms: float) -> float:
        return market_ms / 1_000


class Gateway:
    async def execute(self, command: Command) -> list[Event]:
        return []


class Bench:
    """An engine and the plugins of a configuration file, with a journal in memory."""

    def __init__(self, folder: Path, text: str) -> None:
        (folder / "mine.py").write_text(CODE)
        self.data = folder / "data"
        file = folder / "polyhost.toml"
        head = f'plugin_paths = ["mine.py"]\n[host]\ndata_dir = "{self.data}"\n'
        file.write_text(head + text)
        self.loaded = load_configuration(file)
        self.lock = Lock(self.data)
        found = discover(self.loaded.configuration, self.loaded.base, deadlines=PATIENT, admit=self.lock.problem)
        self.runner = Runner(found, "additive", PATIENT)
        self.journal = MemoryJournal()
        kernel = Kernel(self.loaded.configuration, "main", told_hooks(found), channels_of(found))
        gateway: Any = Gateway()
        self.engine = Engine(
            kernel, Clock(), gateway, self.runner, self.journal, None, None, follow=lambda command: None
        )
        self.fed: list[tuple[str | None, str | None]] = []
        self.life = PluginLife(self.loaded, found, self.engine, self._feeds)
        self.found = found

    async def _feeds(self, old: Any, new: Any) -> None:
        self.fed.append((old and old.state, new and new.state))

    def records(self) -> list[Record]:
        return [record for _, record in self.journal.read()]

    def moves(self) -> list[tuple[str, str, str, str]]:
        return [(r.plugin, r.change, r.who, r.why) for r in self.records() if isinstance(r, PluginMoved)]

    def notice(self, text: str) -> None:
        """Something is told: who listens hears of it."""
        self.engine.event(PluginTold("nobody", "on_timer", notices=(Notice(text),)))

    def heard(self) -> str | None:
        return self.engine.kernel.state.plugin_state.get("counter", {}).get("heard")

    async def settled(self) -> None:
        while self.engine._tasks:
            await asyncio.sleep(0.001)


def run(folder: Path, text: str, body: Callable[[Bench], Awaitable[None]]) -> Bench:
    bench = Bench(folder, text)

    async def scenario() -> None:
        bench.runner.start()
        bench.engine.event(RunBegan("run-1", "0", "sim", "hash", "main"))
        try:
            async with asyncio.timeout(60):
                await body(bench)
                await bench.settled()
        finally:
            bench.runner.stop()
            await bench.engine.close()

    asyncio.run(scenario())
    assert bench.engine.faults == 0
    return bench


def chosen(bench: Bench) -> dict[str, dict[str, Any]]:
    return choices_of(bench.data).plugins


OWN = "[plugins.counter]\ntrusted = {}\n"


@pytest.mark.parametrize("trusted", ["true", "false"])
def test_plg_03_a_plugin_goes_and_comes_back_with_its_state(tmp_path: Path, trusted: str) -> None:
    async def body(bench: Bench) -> None:
        bench.notice("one")
        await bench.settled()
        assert bench.heard() == "1"
        answer = await bench.life.choose("counter", False, {}, "ann", "too loud")
        assert (answer["state"], answer["changed"], answer["durable"]) == ("disabled", True, True)
        assert answer["changes"] == ["[plugins.counter] enabled: not chosen -> false"]
        bench.notice("two")
        await bench.settled()
        assert bench.heard() == "1", "it is not told any more"
        answer = await bench.life.choose("counter", True, {"weight": 0.25}, "ann", "")
        assert answer["state"] == ("inline" if trusted == "true" else "process")
        bench.notice("three")
        await bench.settled()
        assert bench.heard() == "2", "what it knew is there again"
        assert bench.life.row("counter")["settings"]["weight"] == 0.25

    bench = run(tmp_path, OWN.format(trusted), body)
    assert bench.moves() == [("counter", "disabled", "ann", "too loud"), ("counter", "enabled", "ann", "")]
    assert chosen(bench) == {"counter": {"enabled": True, "weight": 0.25}}
    own = "inline" if trusted == "true" else "process"
    assert bench.fed == [(own, "disabled"), ("disabled", own)]


def test_plg_03_a_wrong_setting_changes_nothing_at_all(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        seated = bench.runner._plugins
        with pytest.raises(ConfigError, match=r"^\[plugins.counter\] weight: is out of range; given 7; allowed"):
            await bench.life.choose("counter", None, {"weight": 7}, "ann", "")
        with pytest.raises(ConfigError, match="did you mean 'weight'"):
            await bench.life.choose("counter", None, {"wieght": 0.1}, "ann", "")
        with pytest.raises(ConfigError, match="did you mean 'counter'"):
            await bench.life.choose("conter", False, {}, "ann", "")
        with pytest.raises(PluginError, match=r"would not run: .*no model file"):
            await bench.life.choose("broken", True, {}, "ann", "")
        assert bench.runner._plugins == seated

    bench = run(tmp_path, OWN.format("true"), body)
    assert bench.moves() == []
    assert chosen(bench) == {}
    assert not choices_of(bench.data).path.exists()


def test_cfg_01_a_persons_enabled_false_always_wins_and_is_named(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        with pytest.raises(ConfigError, match=r"polyhost\.toml:6 \[plugins\.counter\] enabled: a person switched"):
            await bench.life.choose("counter", True, {}, "ann", "")

    bench = run(tmp_path, OWN.format("true") + "enabled = false\n", body)
    assert (bench.moves(), chosen(bench)) == ([], {})


def test_plg_03_the_combiner_that_trades_cannot_be_switched_off(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        with pytest.raises(ConfigError, match="combiner"):
            await bench.life.choose("additive", False, {}, "ann", "")

    assert run(tmp_path, OWN.format("true"), body).moves() == []


def test_plg_03_new_settings_take_the_place_of_the_old_and_equal_ones_change_nothing(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        order = bench.runner.names
        answer = await bench.life.choose("counter", None, {"weight": 0.75}, "ann", "try")
        assert answer["changes"] == ["[plugins.counter] weight: not chosen -> 0.75"]
        assert bench.life.row("counter")["settings"]["weight"] == 0.75
        assert bench.runner.names == order
        again = await bench.life.choose("counter", None, {"weight": 0.75}, "ann", "try")
        assert (again["changed"], again["changes"]) == (False, [])

    bench = run(tmp_path, OWN.format("true"), body)
    move, = [record for record in bench.records() if isinstance(record, PluginMoved)]
    assert (move.change, move.was, move.table) == ("set", '{"trusted": true}', '{"trusted": true, "weight": 0.75}')


def test_not_02_a_channel_that_comes_is_told_and_one_that_goes_is_owed_nothing(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        bench.notice("before")
        await bench.life.choose("messenger", True, {}, "ann", "")
        bench.notice("between")
        await bench.settled()
        await bench.life.choose("messenger", False, {}, "ann", "")
        bench.notice("after")

    bench = run(tmp_path, "", body)
    notices = [record for record in bench.records() if isinstance(record, NoticeRaised)]
    told = {notice.text.rpartition(" ")[2]: "messenger" in notice.channels for notice in notices}
    assert told == {"before": False, "between": True, "after": False}
    assert not any("messenger" in outgoing.owed for outgoing in bench.engine.kernel.state.outbox.values())


def test_plg_05_a_quarantine_is_durable_and_ends_by_the_operators_word(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        for _ in range(5):
            bench.runner._strike(bench.runner.names.index("counter"), "signal: nonsense")
        for struck in bench.runner.take_struck():
            bench.engine.event(struck)
        assert bench.engine.kernel.state.quarantined == {"counter": "signal: nonsense"}
        assert bench.life.row("counter")["state"] == "quarantined"
        bench.notice("unheard")
        await bench.settled()
        assert bench.heard() is None
        answer = await bench.life.release("counter", "ann", "mended")
        assert (answer["state"], answer["changed"]) == ("inline", True)
        assert bench.engine.kernel.state.quarantined == {}
        again = await bench.life.release("counter", "ann", "")
        assert again["changed"] is False
        bench.notice("heard")
        await bench.settled()
        assert bench.heard() == "1"
        with pytest.raises(PluginError, match="no plugin of this name"):
            await bench.life.release("nobody", "ann", "")
        with pytest.raises(PluginError, match="is disabled, and not quarantined"):
            await bench.life.release("sentiment", "ann", "")

    bench = run(tmp_path, OWN.format("true"), body)
    assert bench.moves() == [
        ("counter", "quarantined", "", "signal: nonsense"), ("counter", "released", "ann", "mended"),
    ]
    assert any("plugins release counter" in r.text for r in bench.records() if isinstance(r, NoticeRaised))


def test_plg_05_who_is_quarantined_at_the_start_is_out_until_released(tmp_path: Path) -> None:
    bench = Bench(tmp_path, OWN.format("false"))
    bench.runner.quarantine("counter", "earlier")
    bench.runner.start()
    try:
        assert bench.life.row("counter")["state"] == "quarantined"
        assert bench.runner._foreign[bench.runner.names.index("counter")].pid is None, "its process is not started"
    finally:
        bench.runner.stop()


def test_ops_08_words_by_file_do_the_same_and_a_refusal_is_in_the_log(tmp_path: Path) -> None:
    from loguru import logger

    said: list[str] = []

    async def body(bench: Bench) -> None:
        sink = logger.add(said.append, format="{message}", level="ERROR")
        try:
            await bench.life.by_file(Operator("disable", "counter", "ann", why="by file"))
            await bench.life.by_file(Operator("enable", "conter", "ann"))
        finally:
            logger.remove(sink)

    bench = run(tmp_path, OWN.format("true"), body)
    assert bench.moves() == [("counter", "disabled", "ann", "by file")]
    assert "did you mean 'counter'" in said[0]


def test_ops_08_what_was_done_while_no_host_ran_is_journaled_and_not_done_again(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        for word in ("disable", "enable", "accept", "set"):
            await bench.life.by_file(Operator(word, "counter", "ann", why=f"{word} it", done=True))
        await bench.life.by_file(Operator("disable", "gone", "ann", done=True))
        assert bench.life.row("counter")["state"] == "inline"

    bench = run(tmp_path, OWN.format("true"), body)
    assert bench.moves() == [
        ("counter", "disabled", "ann", "disable it"), ("counter", "enabled", "ann", "enable it"),
        ("counter", "accepted", "ann", "accept it"), ("counter", "set", "ann", "set it"),
        ("gone", "disabled", "ann", ""),
    ]
    assert {r.table for r in bench.records() if isinstance(r, PluginMoved) and r.plugin == "counter"} == {
        '{"trusted": true}'
    }
    assert bench.fed == []
    assert chosen(bench) == {}


def test_plg_03_changes_wait_for_questions_under_way_and_questions_for_changes(tmp_path: Path) -> None:
    """A telling that is under way keeps its places; what comes meanwhile is told to the new set."""
    async def body(bench: Bench) -> None:
        runner = bench.runner
        asked = [asyncio.ensure_future(runner.tell_async(
            "on_notice", at=1, notice=NoticeRaised(1, f"n{number}", "info", "t", "x")
        )) for number in range(3)]
        await asyncio.sleep(0)
        change = asyncio.ensure_future(bench.life.choose("counter", False, {}, "ann", ""))
        said = [told for one in asked for told in await one]
        assert [told.plugin for told in said] == ["counter"] * 3
        assert (await change)["state"] == "disabled"
        assert await runner.tell_async("on_notice", at=2, notice=NoticeRaised(2, "n9", "info", "t", "x")) == []

    run(tmp_path, OWN.format("false") + "[plugins.daily_summary]\nenabled = false\n", body)


def test_a_new_plugin_takes_its_place_by_configuration(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        before = list(bench.runner.names)
        await bench.life.choose("kelly", True, {}, "ann", "")
        after = list(bench.runner.names)
        assert [name for name in after if name != "kelly"] == before
        wanted = [name for name in bench.life._loaded.configuration.plugins if name in after]
        assert after == wanted

    run(tmp_path, OWN.format("true"), body)


def test_plg_07_state_written_at_stop_is_kept(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await bench.life.choose("counter", False, {}, "ann", "")

    bench = run(tmp_path, OWN.format("false") + "farewell = true\n", body)
    states = [record for record in bench.records() if isinstance(record, PluginStateSet | PluginMoved)]
    assert [type(record) for record in states] == [PluginStateSet, PluginMoved], "its last words come before its end"
    assert bench.engine.kernel.state.plugin_state["counter"] == {"stopped": "true"}


def test_tell_commands_of_a_step_find_the_new_set(tmp_path: Path) -> None:
    """The commands of the change itself are carried out with the plugins that it left."""
    async def body(bench: Bench) -> None:
        await bench.life.choose("counter", False, {}, "ann", "")
        told = NoticeRaised(1, "n", "info", "t", "x")
        bench.engine._free(Tell("on_notice", 1, None, told))
        await bench.settled()
        assert bench.heard() is None

    run(tmp_path, OWN.format("true"), body)


@pytest.mark.parametrize("trusted", ["true", "false"])
def test_sec_02_a_changed_plugin_waits_until_it_is_accepted_and_then_runs_at_once(
    tmp_path: Path, trusted: str
) -> None:
    (tmp_path / "mine.py").write_text(CODE.replace("Counts", "Counted"))
    before = Bench(tmp_path, OWN.format(trusted))
    (tmp_path / "mine.py").write_text(CODE.replace("Counts", "Counted"))
    told = trusted_on_sight(before.lock, before.found)
    assert [(one.plugin, one.notices[0].level) for one in told] == [("counter", "info")]
    assert "first time" in told[0].notices[0].text

    async def body(bench: Bench) -> None:
        assert bench.life.row("counter")["state"] == "refused"
        assert "changed: mine.py" in bench.life.row("counter")["problem"]
        notice, = trusted_on_sight(bench.lock, bench.found)
        assert (notice.notices[0].level, "changed: mine.py" in notice.notices[0].text) == ("warning", True)
        with pytest.raises(PluginError, match="polyhost plugins accept counter"):
            await bench.life.choose("counter", True, {}, "ann", "")
        answer = await bench.life.accept("counter", "ann", "I wrote it")
        assert (answer["accepted"], answer["changed"]) == (True, True)
        assert answer["state"] == ("inline" if trusted == "true" else "process")
        bench.notice("heard")
        await bench.settled()
        assert bench.heard() == "1"
        assert (await bench.life.accept("counter", "ann", ""))["accepted"] is False

    bench = run(tmp_path, OWN.format(trusted), body)
    assert bench.moves() == [("counter", "accepted", "ann", "I wrote it")]


@pytest.mark.parametrize("trusted", ["true", "false"])
@pytest.mark.parametrize("named", ["counter", "again"])
def test_sec_02_accepted_code_runs_under_all_its_names_at_once(tmp_path: Path, trusted: str, named: str) -> None:
    text = OWN.format(trusted) + f'[plugins.again]\nuse = "counter"\ntrusted = {trusted}\n'

    async def body(bench: Bench) -> None:
        trusted_on_sight(bench.lock, bench.found)
        (tmp_path / "mine.py").write_text(CODE.replace("Counts", "Counted"))
        answer = await bench.life.accept(named, "ann", "mended")
        assert (answer["accepted"], answer["changed"]) == (True, True)
        other, = {"counter", "again"} - {named}
        assert answer["notes"] == [f"{other}, of the same class, too"]
        assert (await bench.life.accept(named, "ann", "again"))["notes"] == []

    bench = run(tmp_path, text, body)
    assert sorted(bench.moves()) == [("again", "accepted", "ann", "mended"), ("counter", "accepted", "ann", "mended")]


def test_sec_02_a_plugin_that_is_switched_on_for_the_first_time_is_noted(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        assert Lock(bench.data).plugins == {}
        answer = await bench.life.choose("messenger", True, {}, "ann", "")
        assert "runs here for the first time" in answer["notes"][0]
        assert set(Lock(bench.data).plugins) == {"messenger"}

    run(tmp_path, "", body)
