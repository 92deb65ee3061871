"""The report's page: one file that opens offline, safe whatever a plugin writes, with plots or without."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from polyhost.lab.report import reported
from polyhost.service.why import windows
from polyhost.web.report_page import page
from polyhost.web.report_plots import Plot, drawn

from ..kernel.rig import START, Rig
from ..lab.test_lab_report import round_trip, written
from ..service.test_service_report import folder

EVIL = '<script>alert(1)</script><img src="http://example.org/x">'


class Elements(HTMLParser):
    """Tags, addresses and balance of a page."""

    VOID = frozenset({"meta", "img", "br", "path", "use", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "action", "data"):
                self.addresses.append(value or "")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def made(data: Path) -> tuple[dict[str, Any], str]:
    """A report and its page, without plots."""
    report = reported(data, windows)
    return report, page(report, None)


@pytest.fixture(scope="module")
def plotted(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[Plot]]:
    """A report and its plots, drawn once."""
    report = reported(folder(tmp_path_factory.mktemp("report")), windows)
    plots = drawn(report)
    assert plots is not None
    return report, plots


def test_ops_04_the_page_is_one_file_without_script_that_asks_for_nothing(
    plotted: tuple[dict[str, Any], list[Plot]]
) -> None:
    report, plots = plotted
    text = page(report, plots)
    found = Elements(text)
    assert found.open == []
    assert not {"script", "link", "iframe", "object", "embed", "form", "base"} & set(found.tags)
    assert all(address.startswith("#") for address in found.addresses)
    assert not re.findall(r"url\((?!#|['\"]?#)", text)
    assert "default-src 'none'" in text
    assert found.tags.count("svg") == 4
    assert "prefers-color-scheme:dark" in text
    assert 'name="viewport"' in text
    for name in ("by_day", "by_plugin", "by_exit_reason", "by_ender", "by_window", "costs", "scores", "reliability"):
        assert f'id="table-{name}"' in text
    assert f'title="{report["pnl"]["central"]}"' in text, "the exact figure is there"
    assert "polyhost why window" in text


def test_sec_03_what_a_plugin_writes_stays_text(tmp_path: Path) -> None:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    round_trip(rig, reason=EVIL)
    _, text = made(written(tmp_path / "data", rig.records))
    assert "<script" not in text
    assert "<img" not in text
    assert "&lt;script&gt;" in text


def test_the_plots_are_drawings_in_the_pages_own_colours_and_equal_for_equal_reports(
    plotted: tuple[dict[str, Any], list[Plot]]
) -> None:
    report, plots = plotted
    assert [plot.name for plot in plots] == ["curve", "bars", "calibration", "brier"]
    for plot in plots:
        root = ElementTree.fromstring(plot.svg)
        assert root.get("role") == "img"
        assert "viewBox" in root.attrib
        assert "width" not in root.attrib
        assert re.findall(r"#0[1-8]0", plot.svg) == [], "no stand-in is left"
        assert "var(--" in plot.svg
    assert plots == drawn(report)
    ids = [name for plot in plots for name in re.findall(r"<clipPath id=\"(.+?)\"", plot.svg)]
    assert len(set(ids)) == len(ids)


def test_without_matplotlib_the_page_has_its_tables_and_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    report, text = made(folder(tmp_path))
    assert drawn(report) is None, "what the command passes to the page"
    assert "<svg" not in text
    assert "install polyhost[report]" in text
    assert 'id="table-by_day"' in text


def test_a_report_of_nothing_is_a_page_too(tmp_path: Path) -> None:
    rig = Rig()
    rig.to(START + 60_000)
    _, text = made(written(tmp_path / "data", rig.records))
    assert "No position was closed in that time." in text
    assert "Nothing was traded." in text
    assert "<svg" not in page(reported(tmp_path / "data", windows), drawn(reported(tmp_path / "data", windows)))
