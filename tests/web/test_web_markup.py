"""The page's parts: whatever comes from elsewhere is text, figures align, a word is checked before it is said."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from msgspec import structs

from polyhost.journal.glances import Glance, Opinion
from polyhost.web import charts, markup, words
from polyhost.web.acting import Said, Wish
from polyhost.web.log_tail import LogLine, tail
from polyhost.web.picture import (
    BlockSeen,
    ExitSeen,
    Funds,
    HostSeen,
    LoopSeen,
    NoticeSeen,
    OrderSeen,
    Picture,
    PluginSeen,
    PositionSeen,
    WindowSeen,
)

EVIL = "<img src=x onerror=alert(1)>\"'&"
HOST = HostSeen("trading", EVIL, True, 1, EVIL, EVIL, EVIL, EVIL, 1.0)
WINDOW = WindowSeen(
    EVIL, EVIL, EVIL, 1, 2, "running", 1.0, 2.0, 4_000, 4_100, {EVIL: Opinion(0.5, 0.1, EVIL)}, EVIL, EVIL, EVIL, EVIL,
    5, True,
)  # fmt: skip
PICTURE = Picture(
    EVIL, 1, 5, HOST, EVIL, Funds(1, 2, 3, 4, EVIL), windows=(WINDOW,),
    positions=tuple(
        PositionSeen(EVIL, EVIL, "UP", 7, 1, 2, 3, 4, cover, EVIL, 5, (ExitSeen(EVIL, 1, 2),))
        for cover in markup.COVERS
    ),
    orders=(OrderSeen(EVIL, EVIL, EVIL, EVIL, "BUY", EVIL, 1, 2, 3, EVIL, EVIL, 4, True, EVIL),),
    ended=(OrderSeen(EVIL, EVIL, EVIL, EVIL, EVIL, EVIL, 1, 2, 3, EVIL, EVIL, 4, None, EVIL),),
    blocks=(BlockSeen(EVIL, EVIL, EVIL, True), BlockSeen(EVIL, EVIL, EVIL, False)),
    plugins=tuple(PluginSeen(EVIL, state, 1, 2, 3, 4, EVIL) for state in ("inline", "quarantined", "disabled", EVIL)),
    loops=(LoopSeen(EVIL, False, True, 1.0, 2.0, 1, EVIL),), notices=(NoticeSeen(1, EVIL, EVIL, EVIL),),
)  # fmt: skip
ALLOWED = {
    "span", "b", "i", "div", "button", "table", "thead", "tbody", "tr", "th", "td", "p", "time",
}  # fmt: skip


class Tags(HTMLParser):
    """Every tag and attribute there is."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_sec_03_nothing_that_comes_from_elsewhere_becomes_markup() -> None:
    """Names of plugins, reasons of venues and texts of notices: of strangers, all of them."""
    parts = [
        part(PICTURE) for part in (
            markup.head, markup.alerts, markup.figures, markup.windows, markup.positions, markup.orders, markup.plugins,
            markup.loops, markup.notices,
        )
    ]  # fmt: skip
    hosts = [structs.replace(HOST, word=word) for word in markup.HOST_TONES]
    parts += [markup.head(structs.replace(PICTURE, host=host)) for host in hosts]
    parts.append(markup.log([LogLine("1", EVIL, EVIL)]))
    for text in parts:
        seen = Tags(text)
        assert seen.tags <= ALLOWED
        assert not {name for name in seen.attributes if name.startswith("on") or name in ("src", "href", "style")}
    assert EVIL not in "".join(parts)
    assert words.safe(EVIL) in markup.notices(PICTURE)


def test_figures_are_written_alike() -> None:
    assert [words.money(amount) for amount in (0, 1_010_637_450, -4_999, -5_001, None)] == [
        "0.00", "1,010.64", "0.00", "\N{MINUS SIGN}0.01", words.NONE
    ]  # fmt: skip
    assert words.money(10_000, signed=True) == "+0.01"
    assert (words.tone(1), words.tone(-1), words.tone(0), words.tone(None)) == ("gain", "loss", "", "")
    assert [words.price(ticks) for ticks in (5_800, 9_990, 9_999, None)] == ["0.58", "0.999", "0.9999", words.NONE]
    assert [words.size(each) for each in (41_500_000, 57_000_000, 1_234_560_000)] == ["41.5", "57", "1,234.56"]
    assert [words.reference(each) for each in (70_276.994, 0.612345, None)] == ["70,276.99", "0.61235", words.NONE]
    assert words.window_name("btc-updown-5m-1795237200") == ("BTC 5m", "05:00")
    assert words.window_name("will-it-rain") == ("will-it-rain", "")
    assert words.until(100_000, 39_000) == '<span data-until="100000">1:01</span>'
    assert words.until(7_300_000, 0) == '<span data-until="7300000">2:01:40</span>'


def test_a_row_leaves_out_on_a_narrow_screen_what_its_head_leaves_out() -> None:
    """A window to come has no combiner that trades yet: its cells stand under the same heads."""
    upcoming = structs.replace(WINDOW, phase="upcoming", trading="", estimates={})
    running = structs.replace(WINDOW, trading="one", estimates={"one": Opinion(0.5), "two": Opinion(0.5)})
    picture = structs.replace(PICTURE, windows=(running, upcoming))
    for part in (markup.windows, markup.positions, markup.orders, markup.plugins):
        head, *rows = [
            ["opt" in kind.split() for kind in re.findall(r'<t[hd] class="([^"]*)"', row)]
            for row in part(picture).split("<tr")[1:]
        ]
        assert any(head), part.__name__
        assert rows == [head] * max(len(rows), 1), part.__name__


def test_a_position_says_how_it_is_covered() -> None:
    text = markup.positions(PICTURE)
    for _, word in markup.COVERS.values():
        assert f">{word}<" in text


@pytest.mark.parametrize(
    ("wish", "problem"),
    [
        (Wish("pause"), ""),
        (Wish("kill", flatten=True), ""),
        (Wish("resume"), ""),
        (Wish("resume", EVIL), ""),
        (Wish("resume", "drawdown"), "blocks nothing"),
        (Wish("disable", EVIL), ""),
        (Wish("disable", "--all"), "no such plugin"),
        (Wish("set", EVIL), "no such word"),
        (Wish("pause", "x"), "no target"),
        (Wish("pause", why="x" * 501), "at most 500"),
    ],
)
def test_a_word_is_said_only_about_what_is_on_the_page(wish: Wish, problem: str) -> None:
    said = wish.problem(PICTURE)
    assert said == "" if not problem else problem in said


def test_the_log_s_end_is_read_with_its_tracebacks(tmp_path: Path) -> None:
    path = tmp_path / "polyhost.log"
    assert tail(path) == []
    path.write_text(
        "2026-11-21 16:21:00.968 INFO     polyhost.journal.opening:216 made\n"
        "2026-11-21 16:21:01.000 DEBUG    polyhost.a:1 detail\n"
        "2026-11-21 16:21:02.554 ERROR    polyhost.b:2 failed\nTraceback (most recent call last):\n  ValueError\n"
        '{"at": "2026-11-21T16:22:03.100Z", "level": "WARNING", "from": "polyhost.c:3", "text": "odd"}\n'
        "{broken\n"
    )
    assert [(line.time, line.level) for line in tail(path, "DEBUG")] == [
        ("16:21:00", "INFO"), ("16:21:01", "DEBUG"), ("16:21:02", "ERROR"), ("16:22:03", "WARNING"),
    ]  # fmt: skip
    assert [line.text for line in tail(path, "WARNING")] == [
        "failed\nTraceback (most recent call last):\n  ValueError", "odd\n{broken"
    ]  # fmt: skip
    assert [line.level for line in tail(path, "ERROR")] == ["ERROR"]
    path.write_text("2026-11-21 16:21:00.968 INFO     polyhost.a:1 made\n" * 9_000)
    assert len(tail(path)) == 150


def test_charts_have_the_market_first_and_gaps_where_nobody_had_an_opinion() -> None:
    points = [Glance(1, prior=0.5, estimates={"a": Opinion(0.6)}), Glance(2, prior=None, estimates={"a": Opinion()})]
    market, one = charts.opinion_series(points, ["a"])
    assert (market["name"], market["data"], one["data"]) == ("market", [[1, 0.5], [2, None]], [[1, 0.6], [2, None]])
    assert charts.opinions()["yAxis"]["max"] == 1
    (curve,) = charts.result_series([(1, 0), (5, -2_000_000)], 9)
    assert curve["data"] == [[1, 0.0], [5, -2.0], [9, -2.0]]
    assert curve["itemStyle"]["color"] == charts.LOSS
    assert charts.result_series([], 9) == charts.opinion_series([], ["a"]) == []
    assert charts.same({"series": [curve]}, [dict(curve)])


def test_the_page_s_own_files_name_nobody_else(tmp_path: Path) -> None:
    """OPS-03: nothing is fetched from elsewhere; the browser's tests watch it, this reads it."""
    for path in (Path(markup.__file__).parent / "assets").iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//[a-z]+\.|@import|url\(", text), path.name
    assert Said(True, "x").ok
