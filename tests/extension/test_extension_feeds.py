"""Feeds in a process of their own: what they say, and everything that can be wrong with them (CON-17, PLG-05)."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import extension_builders as make
import pytest

from polyhost import Feed, FeedConfig, Reading
from polyhost.extension.feeding import FeedsError, asked
from polyhost.extension.feeds import FeedProcess
from polyhost.extension.specification import Bound
from polyhost.model.reading import NAMES_MAX, SOURCES_MAX

CONFIG = FeedConfig("sim", "http://127.0.0.1:1", 1.0, ("BTC", "ETH"))
WITHIN_S = 60.0


@pytest.fixture(autouse=True)
def _slow_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polyhost.extension.feeds.START_S", WITHIN_S)


def feeds(folder: Path, body: str, *, trusted: bool = True, **more: Any) -> tuple[FeedProcess, list[Reading]]:
    """The feed process of a plugin whose method ``items`` is given by ``body``, and what it will say."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    method = f"def items(self, config):\n{lines}\n@hookimpl\ndef feeds(self, config): return [self.items(config)]"
    return process(folder, method, trusted=trusted, **more)


def process(
    folder: Path, body: str, *, trusted: bool = True, key: dict[str, str] | None = None, **more: Any
) -> tuple[FeedProcess, list[Reading]]:
    """``key``: where the plugin's secret is kept, if it has one."""
    make.plugin_file(folder, "mood", body)
    (plugin,) = make.load(folder, {"mood": {"trusted": trusted} | ({} if key is None else {"key": key})})
    assert plugin.runs, plugin.problem
    heard: list[Reading] = []
    return FeedProcess(plugin, CONFIG, heard.append, jitter=lambda: 0.5, retry_s=0.01, **{"life_s": 60.0} | more), heard


def run(feed: FeedProcess, done: Callable[[], bool], beat: Callable[[], None] = lambda: None) -> None:
    """Let it run until ``done``; whatever its feeds do, the loop goes round."""

    async def scenario() -> None:
        task = asyncio.create_task(feed.run(beat))
        try:
            async with asyncio.timeout(WITHIN_S):
                while not done():
                    assert not task.done(), "it goes on whatever happens"
                    await asyncio.sleep(0.01)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scenario())


@pytest.mark.parametrize("trusted", [False, True])
def test_con_17_readings_of_a_feed_come_with_its_name_built_in_or_not(tmp_path: Path, trusted: bool) -> None:
    feed, heard = feeds(
        tmp_path, 'yield None\nyield Reading("pid", os.getpid(), 5)\nyield Reading("u", len(config.url), source="x")\n'
        'yield Reading(config.symbols[1], config.speed)\nwhile True: time.sleep(0.01); yield None', trusted=trusted,
    )
    beats: list[float] = []
    run(feed, lambda: len(heard) >= 3 and len(beats) >= 2, lambda: beats.append(time.monotonic()))
    told = {reading.name: reading for reading in heard}
    assert {reading.source for reading in heard} == {"mood"}, "the host says who said it"
    assert (told["u"].value, told["ETH"].value, told["pid"].at) == (18.0, 1.0, 5)
    assert told["pid"].value != os.getpid()
    assert feed.pid is None, "it ended with the run"
    figures = feed.figures()
    assert (figures["readings"], figures["refused"], figures["restarts"], figures["problem"]) == (3, 0, 0, "")
    assert figures["age_s"] < WITHIN_S


def test_con_17_the_process_is_gone_when_the_run_ends(tmp_path: Path) -> None:
    feed, heard = feeds(tmp_path, 'yield Reading("pid", os.getpid())\nwhile True: time.sleep(1)')
    run(feed, lambda: bool(heard))
    with pytest.raises(ProcessLookupError):
        os.kill(int(heard[0].value), 0)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('yield Reading("a", 1)\nraise RuntimeError("the source is down")', "mood: RuntimeError: the source is down"),
        ('yield Reading("a", 1)', "mood: ended"),
        ('yield Reading("a", 1)\ntime.sleep(0.3)\nos._exit(3)', "its process ended"),
        ('yield Reading("a", 1)\ntime.sleep(0.3)\nos.kill(os.getpid(), 9)', "its process ended"),
        ('yield Reading("a", 1)\nraise KeyboardInterrupt(2)', "mood: KeyboardInterrupt: 2"),
    ],
)
def test_con_17_a_feed_that_fails_is_started_again(tmp_path: Path, body: str, problem: str) -> None:
    feed, heard = feeds(tmp_path, body)
    run(feed, lambda: feed.restarts >= 2 and len(heard) >= 2)
    assert feed.problem == problem
    assert feed.figures()["restarts"] == feed.restarts


def test_con_17_a_killed_process_is_started_again_and_goes_on(tmp_path: Path) -> None:
    feed, heard = feeds(tmp_path, 'while True: yield Reading("pid", os.getpid()); time.sleep(0.05)')
    killed: list[int] = []

    def done() -> bool:
        if heard and not killed:
            assert feed.pid is not None
            killed.append(feed.pid)
            os.kill(feed.pid, signal.SIGKILL)
        return bool(killed) and int(heard[-1].value) != killed[0]

    run(feed, done)
    assert (feed.restarts, feed.problem) == (1, "its process ended")


def test_con_17_a_feed_that_hangs_is_killed_after_the_silence_it_named(tmp_path: Path) -> None:
    body = """
@hookimpl
def feeds(self, config): return [Feed(self.items(), silent_s_max=0.3)]
def items(self):
    yield Reading("pid", os.getpid())
    while True: pass
"""
    feed, heard = process(tmp_path, body)
    run(feed, lambda: len({reading.value for reading in heard}) >= 2)
    assert feed.problem.startswith("mood: no sign of life for ")
    assert feed.restarts >= 1


def test_con_17_a_process_that_is_stopped_as_a_whole_is_started_again(tmp_path: Path) -> None:
    feed, heard = feeds(tmp_path, 'yield Reading("pid", os.getpid())\nos.kill(os.getpid(), 19)', life_s=1.5)
    run(feed, lambda: feed.restarts >= 1)
    assert feed.problem == "its process gave no sign of life within 1.5 s"
    assert len(heard) <= 1


def test_con_17_one_feed_that_hangs_is_seen_beside_one_that_lives(tmp_path: Path) -> None:
    body = """
@hookimpl
def feeds(self, config): return [Feed(self.lives(), "lives"), Feed(self.hangs(), "hangs", silent_s_max=0.5)]
def lives(self):
    while True: yield Reading("n", 1); time.sleep(0.05)
def hangs(self):
    yield None
    time.sleep(1000)
"""
    feed, heard = process(tmp_path, body)
    run(feed, lambda: feed.restarts >= 1)
    assert feed.problem.startswith("mood.hangs: no sign of life")
    assert {reading.source for reading in heard} == {"mood.lives"}


def test_con_17_a_flood_is_told_as_its_newest_values_and_counted(tmp_path: Path) -> None:
    """A thousand items a second at most are taken at all, and of a name four values a second."""
    feed, heard = feeds(tmp_path, 'n = 0\nwhile True:\n    n += 1\n    yield Reading(f"n{n % 3}", n)')
    run(feed, lambda: feed.dropped > 500)
    assert len(heard) < feed.dropped / 10
    for name in ("n0", "n1", "n2"):
        values = [reading.value for reading in heard if reading.name == name]
        assert values == sorted(set(values)), "newer values only"
    assert feed.restarts == 0


def test_con_17_garbage_is_refused_counted_and_told_once(tmp_path: Path) -> None:
    body = """
yield "text"
yield Reading("nan", float("nan"))
yield Reading("inf", 1e999)
yield Reading("a b", 1)
yield Reading("long" * 20, 1)
yield Reading("text", "1")
yield Reading("late", 1, -5)
yield {"name": "x", "value": 1}
yield Reading("good", 1)
while True: time.sleep(0.01); yield None
"""
    feed, heard = feeds(tmp_path, body)
    run(feed, lambda: feed.refused >= 8 and bool(heard))
    assert [reading.name for reading in heard] == ["good"]
    assert (feed.refused, feed.restarts) == (8, 0)
    assert feed.problem == "mood: str is no reading"


def test_con_17_a_feed_names_no_more_than_its_share(tmp_path: Path) -> None:
    more = NAMES_MAX + 3
    feed, heard = feeds(tmp_path, f'for n in range({more}): yield Reading(f"n{{n}}", n)\nwhile True: time.sleep(0.01)')
    run(feed, lambda: feed.refused >= 3 and len(heard) >= NAMES_MAX)
    assert len({reading.name for reading in heard}) == NAMES_MAX
    assert feed.problem == f"mood: more than {NAMES_MAX} names"


@pytest.mark.parametrize(
    ("wire", "problem"),
    [
        ('b"\\xff\\xff\\xff\\xff"', "its process announced a message of 4294967295 bytes"),
        ('(3).to_bytes(4, "big") + b"abc"', "its process sent what is no message"),
        ("frame(Told(seq=1))", "its process sent what is no message"),
        ("frame(Hello(1))", "its process sent Hello instead of FeedTold"),
    ],
)
def test_con_17_a_process_that_breaks_the_protocol_is_started_again(tmp_path: Path, wire: str, problem: str) -> None:
    body = f"""
from polyhost.extension.protocol import ENCODE, Hello, Told
from polyhost.frames import framed
import socket
def frame(message): return framed(ENCODE(message))
yield None
time.sleep(0.3)
socket.socket(fileno=os.dup(int(sys.argv[1]))).sendall({wire})
time.sleep(1000)
"""
    feed, heard = feeds(tmp_path, body)
    run(feed, lambda: feed.restarts >= 1)
    assert feed.problem.startswith(problem)
    assert heard == []


def test_con_17_what_its_process_says_is_checked_by_the_host_again(tmp_path: Path) -> None:
    body = """
from polyhost.extension.protocol import ENCODE, FeedTold
from polyhost.frames import framed
import socket
told = (Reading("nan", float("nan"), 1, "mood"), Reading("a", 1.0, 1, "binance"), Reading("b", 2.0, 1, "mood"))
yield None
time.sleep(0.3)
socket.socket(fileno=os.dup(int(sys.argv[1]))).sendall(framed(ENCODE(FeedTold(0, told, {"mood": 9}))))
while True: time.sleep(0.01); yield None
"""
    feed, heard = feeds(tmp_path, body)
    run(feed, lambda: bool(heard))
    assert heard == [Reading("b", 2.0, 1, "mood")]
    assert feed.refused == 2


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("return 1", "feeds: FeedsError: answered int; a list of feeds or None is wanted"),
        ("return [1]", "feeds: FeedsError: int is no feed"),
        ("raise KeyError('url')", "feeds: KeyError: 'url'"),
        ('return [Feed(iter(())), Feed(iter(()))]', "feeds: FeedsError: two feeds are called 'mood'"),
        ('return [Feed(iter(()), "a b")]', "feeds: FeedsError: 'a b' is no name of a feed"),
        ('yield Reading("a", 1)', "feeds: FeedsError: answered readings"),
    ],
)
def test_con_17_feeds_that_cannot_be_run_are_told_with_the_reason(tmp_path: Path, body: str, problem: str) -> None:
    feed, _ = process(tmp_path, f"@hookimpl\ndef feeds(self, config):\n    {body}")
    run(feed, lambda: feed.restarts >= 1)
    assert feed.problem.startswith(problem)


def test_con_17_a_plugin_without_feeds_at_this_time_is_left_in_peace(tmp_path: Path) -> None:
    feed, heard = process(tmp_path, "@hookimpl\ndef feeds(self, config): return None")
    beats: list[int] = []
    run(feed, lambda: len(beats) >= 1, lambda: beats.append(1))
    assert (heard, feed.restarts) == ([], 0)


def test_con_17_pauses_between_starts_grow_are_jittered_and_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polyhost.extension.feeds.time", SimpleNamespace(monotonic=lambda: 100.0))
    (plugin,) = make.load(tmp_path, {"mood": {}}) if make.plugin_file(tmp_path, "mood", "pass") else ()
    draws = iter([0.0, 0.999, 0.5, *[0.5] * 8])
    feed = FeedProcess(plugin, CONFIG, lambda reading: None, jitter=lambda: next(draws))
    pauses = []
    for _ in range(8):
        feed._failed("down", 1.0)
        pauses.append(feed._not_before - 100)
    assert pauses == pytest.approx([0.5, 2.998, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0])
    feed._failed("down", 60.0)
    assert feed._not_before == 101, "after a steady life it begins anew"


def test_con_17_the_process_inherits_nothing_secret_and_stands_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYHOST_KEY", "hush")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:hush@proxy")
    feed, heard = feeds(
        tmp_path, 'yield Reading("told", sum("hush" in value for value in os.environ.values()))\n'
        'yield Reading("nice", os.nice(0))\nwhile True: time.sleep(0.01); yield None',
    )
    run(feed, lambda: len(heard) >= 2)
    values = {reading.name: reading.value for reading in heard}
    assert values["told"] == 0
    assert values["nice"] >= os.nice(0) + 10 or values["nice"] == 19


@pytest.mark.parametrize("trusted", [False, True])
def test_cfg_02_a_feed_has_the_secrets_that_its_plugins_settings_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    monkeypatch.setenv("POLYHOST_KEY", "hush-and-hush")
    body = """
class Settings(Settings):
    key: Secret
def items(self, config):
    yield Reading("length", len(self.settings.key.reveal()))
    while True: time.sleep(0.01); yield None
@hookimpl
def feeds(self, config): return [self.items(config)]
"""
    feed, heard = process(tmp_path, body, trusted=trusted, key={"env": "POLYHOST_KEY"})
    run(feed, lambda: bool(heard))
    assert heard[0].value == len("hush-and-hush")


@pytest.mark.parametrize("name", ["polymarket", "binance", "gamma", "host"])
def test_con_17_a_feed_cannot_call_itself_as_the_venue_does(tmp_path: Path, name: str) -> None:
    make.plugin_file(tmp_path, "mood", "@hookimpl\ndef feeds(self, config): return []")
    (plugin,) = make.load(tmp_path, {name: {"use": "mood"}})
    assert plugin.state == "refused"
    assert "its name cannot be that of a feed" in plugin.problem
    assert f"[plugins.my_feed] use = {plugin.source.name!r}" in plugin.problem


# --- inside the process, without one ------------------------------------------------------------------------------


def bound(answer: object) -> Bound:
    return Bound("feeds", lambda config: answer, ("config",))


@pytest.mark.parametrize(("limit", "fits"), [(3_600, True), (3_601, False), (0, False), (float("nan"), False)])
def test_con_17_the_silence_a_feed_names_is_bounded(limit: float, fits: bool) -> None:
    if fits:
        assert asked(bound([Feed([], silent_s_max=limit)]), CONFIG, "mood").keys() == {"mood"}
        return
    with pytest.raises(FeedsError, match="silent_s_max"):
        asked(bound([Feed([], silent_s_max=limit)]), CONFIG, "mood")


def test_con_17_so_many_feeds_and_no_more() -> None:
    def named(count: int) -> list[Feed]:
        return [Feed([], f"f{n}") for n in range(count)]

    assert len(asked(bound(named(SOURCES_MAX)), CONFIG, "mood")) == SOURCES_MAX
    with pytest.raises(FeedsError, match="more than 16 feeds"):
        asked(bound(named(SOURCES_MAX + 1)), CONFIG, "mood")


def test_sec_02_feeds_are_not_started_again_from_other_files(tmp_path: Path) -> None:
    feed, heard = feeds(tmp_path, 'yield Reading("a", 1)\ntime.sleep(0.1)')
    run(feed, lambda: bool(heard))
    (tmp_path / "mood.py").write_text((tmp_path / "mood.py").read_text() + "\n# another one\n")
    before = len(heard)
    run(feed, lambda: "its files changed" in feed.problem)
    assert len(heard) == before
