"""Notices in the log: levels, topics, and the same text once a minute."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from loguru import logger
from plugin_builders import OPEN_MS, made

from polyhost import NoticeRaised
from polyhost_plugins.console_notify import TEXTS_MAX, ConsoleNotify

ID = re.compile(r" \[n[\d.]+\]")


def notice(
    text: str = "spread is wide", *, at_s: float = 0, level: str = "info", topic: str = "market"
) -> NoticeRaised:
    return NoticeRaised(OPEN_MS + round(at_s * 1_000), f"n{at_s}", level, topic, text)


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What was written, without the ids of the notices."""
    found: list[str] = []

    def keep(message: object) -> None:
        found.append(ID.sub("", str(message).rstrip("\n")))

    sink = logger.add(keep, format="{level}|{message}", level=0)
    yield found
    logger.remove(sink)


def test_not_02_a_line_has_the_events_id() -> None:
    found: list[str] = []
    sink = logger.add(lambda message: found.append(str(message)), format="{message}", level=0)
    console().notify(notice("rain"))
    logger.remove(sink)
    assert found == ["market: rain [n0]\n"]


def console(**settings: object) -> ConsoleNotify:
    plugin = made(ConsoleNotify, **settings)
    plugin.log = logger
    return plugin


def test_not_01_a_notice_is_one_readable_line_at_its_level(lines: list[str]) -> None:
    plugin = console()
    for level in ("info", "warning", "critical"):
        plugin.notify(notice(f"it is {level}", level=level))
    assert lines == ["INFO|market: it is info", "WARNING|market: it is warning", "CRITICAL|market: it is critical"]


def test_not_01_braces_and_tags_in_a_text_are_text(lines: list[str]) -> None:
    console().notify(notice("{0} <red> {x}"))
    assert lines == ["INFO|market: {0} <red> {x}"]


@pytest.mark.parametrize(("level_min", "told"), [("info", 3), ("warning", 2), ("critical", 1)])
def test_not_01_levels_below_the_least_are_not_written(lines: list[str], level_min: str, told: int) -> None:
    plugin = console(level_min=level_min)
    for level in ("info", "warning", "critical"):
        plugin.notify(notice(level, level=level))
    assert len(lines) == told


def test_not_01_a_level_nobody_knows_is_written_rather_than_lost(lines: list[str]) -> None:
    console(level_min="critical").notify(notice(level="alarm"))
    assert lines == ["CRITICAL|market: spread is wide"]


def test_not_01_topics_that_are_named_are_written_and_no_others(lines: list[str]) -> None:
    plugin = console(topics=("risk",))
    plugin.notify(notice("a", topic="market"))
    plugin.notify(notice("b", topic="risk"))
    assert lines == ["INFO|risk: b"]


def test_not_04_the_same_text_is_told_once_in_60_s_and_then_with_its_count(lines: list[str]) -> None:
    plugin = console()
    for at_s in (0, 1, 59.999):
        plugin.notify(notice(at_s=at_s))
    assert lines == ["INFO|market: spread is wide"]
    plugin.notify(notice(at_s=60))
    assert lines[1:] == ["INFO|market: spread is wide (2 more since it was last told)"]
    plugin.notify(notice(at_s=120))
    assert lines[2:] == ["INFO|market: spread is wide"]


def test_not_04_another_text_is_told_at_once(lines: list[str]) -> None:
    plugin = console()
    plugin.notify(notice("a"))
    plugin.notify(notice("b"))
    assert lines == ["INFO|market: a", "INFO|market: b"]


def test_not_04_a_count_is_told_even_when_the_text_never_comes_back(lines: list[str]) -> None:
    plugin = console()
    plugin.notify(notice("a"))
    plugin.notify(notice("a", at_s=1))
    plugin.notify(notice("b", at_s=61))
    assert lines[1:] == ["INFO|market: a (1 more since it was last told)", "INFO|market: b"]
    plugin.notify(notice("b", at_s=62))
    plugin.stop()
    assert lines[3:] == ["INFO|market: b (1 more since it was last told)"]


def test_not_04_what_is_remembered_is_bounded_and_nothing_is_lost(lines: list[str]) -> None:
    plugin = console()
    for number in range(TEXTS_MAX + 5):
        plugin.notify(notice(f"text {number}"))
    assert len(lines) == TEXTS_MAX + 5
    assert len(plugin._told) == TEXTS_MAX
