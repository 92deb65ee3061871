"""OPS-03 in a real browser: one simulated run, one dashboard and one Chromium for the whole module, in the order below.

Pictures of the page go to ``$POLYHOST_SCREENSHOTS`` (else to the test's own folder), whose name is printed.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import structs

from polyhost.journal import read_journal
from polyhost.model.records import OperatorSaid, PluginMoved
from polyhost.service import live_file
from polyhost.service.folder import DataFolder
from polyhost.web.page import KILL_WORD

from ..service.service_runs import Started, eager_configuration, wait_for

playwright = pytest.importorskip("playwright.sync_api", reason="the browser's driver is not installed")
CHROMIUM: Final = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
pytestmark = [
    pytest.mark.alone,  # a host, an exchange, a dashboard and a browser: they need every core
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine (apt-get install chromium)"),
    pytest.mark.timeout(400),
]
SPEED: Final = 20
APPEARS_MS: Final = 120_000
"""On a busy machine, too."""
STARTS_S: Final = 150.0
REASON: Final = "Reason, for the journal"
SIZES: Final = {"desktop": (1440, 1000), "phone": (390, 844)}


class Stage:
    """The host, the dashboard and a page that looks at it; what the browser asked for and complained of."""

    def __init__(self, folder: Path, browser: Any) -> None:
        self.data = folder / "data"
        self.browser = browser
        config = eager_configuration(folder, self.data)
        # In the host's own process: there is nothing that a busy machine could find too late.
        config.write_text(config.read_text().replace("[plugins.eager]\n", "[plugins.eager]\ntrusted = true\n"))
        self.host = Started("run", "-c", config, "--speed", SPEED, cwd=folder)
        self.dashboard = Started("dashboard", "-c", config, "--port", 0, cwd=folder)
        self.asked: list[str] = []
        self.complaints: list[str] = []

    def begin(self) -> None:
        """Until the page is there."""
        wait_for(lambda: bool(self.dashboard.out) or self.dashboard.process.poll() is not None, STARTS_S)
        assert self.dashboard.out, self.dashboard.told()
        self.url = self.dashboard.out[0].rpartition(" ")[2]
        self.origin, _, self.token = self.url.partition("/?token=")
        self.context = self.new_context()
        self.page = self.visited(self.context)

    def new_context(self) -> Any:
        width, height = SIZES["desktop"]
        context = self.browser.new_context(viewport={"width": width, "height": height}, color_scheme="light")
        context.set_default_timeout(APPEARS_MS)
        context.set_default_navigation_timeout(STARTS_S * 1_000)
        return context

    def visited(self, context: Any) -> Any:
        """The page, by the address that the dashboard printed."""
        page = context.new_page()
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("websocket", lambda socket: self.asked.append(socket.url))
        page.on("console", lambda line: self.complaints.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(self.url, wait_until="commit")
        return page

    def part(self, name: str) -> Any:
        return self.page.get_by_test_id(name)

    def confirm(self, reason: str) -> None:
        self.part("say").get_by_label(REASON).fill(reason)
        self.part("do-it").click()

    def told(self, text: str) -> Any:
        """A message at the foot of the page that says so."""
        return self.page.locator(".q-notification").filter(has_text=text).first

    def ask_why(self, part: str) -> None:
        """Click on the first of a part until its why opens: it may be gone by then, at the host's speed."""
        found, gone = self.part("why"), self.told("not on the page")
        while True:
            self.part(part).locator("td.name button").first.click()
            playwright.expect(found.or_(gone).first).to_be_visible()
            if found.is_visible():
                return
            gone.get_by_role("button", name="Close").click()
            playwright.expect(gone).to_be_hidden()

    def recorded(self, kind: type[Any]) -> list[Any]:
        return [record for _, record in read_journal(self.data / "journal.db") if isinstance(record, kind)]

    def close(self) -> None:
        for process in (self.dashboard, self.host):
            process.__exit__()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    playwright.expect.set_options(timeout=APPEARS_MS)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        staged = Stage(tmp_path_factory.mktemp("dashboard"), browser)
        try:
            staged.begin()
            yield staged
        finally:
            browser.close()
            staged.close()


def expect(found: Any) -> Any:
    return playwright.expect(found)


def seen(text: Any, found: Any) -> None:
    expect(found).to_contain_text(text)


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_ops_03_data_appears_while_a_run_goes_on(stage: Stage) -> None:
    """Windows with a price, both combiners, an order, a position and its cover, figures, plugins, loops, the log."""
    seen("SIM", stage.part("part-head"))
    seen("UTC", stage.page.locator("#clock"))
    windows = stage.part("windows")
    seen("BTC 5m", windows)
    seen("additive", windows)
    seen("bayesian", windows)
    expect(windows.locator("tr.running td.num").nth(1)).to_have_text(re.compile(r"0\.\d+/0\.\d+"))
    seen("o00000", stage.part("orders"))
    position = stage.part("positions").locator("tbody tr").first
    seen("BTC 5m", position)
    expect(position.locator(".chip").nth(1)).to_be_visible()
    expect(stage.part("equity")).not_to_have_text("0.00")
    seen("eager", stage.part("plugins"))
    seen("market stream", stage.part("part-loops"))
    seen("polyhost", stage.part("part-log"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", list(SIZES))
def test_it_is_readable_on_a_desktop_and_a_phone_in_light_and_dark(
    stage: Stage, tmp_path: Path, size: str, scheme: str
) -> None:
    """Nothing is wider than the screen; the theme is the system's. The picture is kept for eyes."""
    page, (width, height) = stage.page, SIZES[size]
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=scheme)
    expect(page.locator("body")).to_have_class(re.compile(f"body--{scheme}"))
    # Charts follow the width of their panels.
    page.wait_for_function(
        """() => [...document.querySelectorAll('.chart')].every(chart => {
            const canvas = chart.querySelector('canvas');
            return canvas && Math.abs(canvas.clientWidth - chart.clientWidth) < 40;
        })"""
    )
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    cut = page.evaluate(
        "[...document.querySelectorAll('.panel .body')].filter(e => e.scrollWidth > e.clientWidth + 1)"
        ".map(e => e.dataset.testid)"
    )
    folder = Path(os.environ.get("POLYHOST_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"dashboard-{size}-{scheme}.png", full_page=True)
    print(f"\n{folder / f'dashboard-{size}-{scheme}.png'}")
    page.set_viewport_size(dict(zip(("width", "height"), SIZES["desktop"], strict=True)))
    page.emulate_media(color_scheme="light")
    assert (wide, cut) == (0, [])


def test_the_clock_goes_on_by_itself(stage: Stage) -> None:
    before = stage.page.locator("#clock").text_content()
    expect(stage.page.locator("#clock")).not_to_have_text(before)


def test_charts_are_drawn(stage: Stage) -> None:
    """Axes and their labels are grey: what has a colour is a line."""
    stage.page.wait_for_function(
        """() => {
            const drawn = [...document.querySelectorAll('.chart canvas')].map(canvas => {
                const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
                let coloured = 0;
                for (let i = 0; i < data.length; i += 4) {
                    const most = Math.max(data[i], data[i + 1], data[i + 2]);
                    const least = Math.min(data[i], data[i + 1], data[i + 2]);
                    if (data[i + 3] > 200 && most - least > 60) coloured += 1;
                }
                return coloured;
            });
            return drawn.length === 2 && drawn.every(coloured => coloured > 40);
        }"""
    )


def test_why_is_told_by_a_click_on_an_order_a_position_and_a_window(stage: Stage) -> None:
    for part, said in (("orders", "wanted:"), ("positions", "obligation"), ("windows", "combiner additive")):
        stage.ask_why(part)
        seen(said, stage.part("why"))
        stage.part("why").get_by_role("button", name="Close").click()
        expect(stage.part("why")).to_be_hidden()


def test_the_theme_can_be_chosen_and_is_kept(stage: Stage) -> None:
    body = stage.page.locator("body")
    stage.page.get_by_role("button", name="Light / dark").click()
    expect(body).to_have_class(re.compile("body--dark"))
    stage.page.reload()
    expect(body).to_have_class(re.compile("body--dark"))
    stage.page.get_by_role("button", name="Light / dark").click()
    expect(body).to_have_class(re.compile("body--light"))


# --- what is said -----------------------------------------------------------------------------------------------------


def test_a_toggle_reaches_the_host_and_is_journaled(stage: Stage) -> None:
    row = stage.part("plugins").locator('tr[data-plugin="stop_loss"]')
    row.get_by_role("button", name="Disable").click()
    seen("Disable the plugin stop_loss", stage.part("say"))
    stage.confirm("too nervous")
    seen("disabled", row)
    row.get_by_role("button", name="Enable").click()
    stage.confirm("calm again")
    seen("inline", row)
    wait_for(lambda: len(stage.recorded(PluginMoved)) >= 2, APPEARS_MS / 1_000)
    moved = [(each.plugin, each.change, each.why, "dashboard" in each.who) for each in stage.recorded(PluginMoved)]
    assert moved == [("stop_loss", "disabled", "too nervous", True), ("stop_loss", "enabled", "calm again", True)]


def test_entries_are_paused_and_resumed(stage: Stage) -> None:
    stage.page.get_by_role("button", name="Pause entries").click()
    stage.confirm("news at nine")
    block = stage.part("block")
    seen("news at nine", block)
    seen("blocked", stage.part("host"))
    block.get_by_role("button", name="Resume").click()
    stage.confirm("over")
    expect(block).to_be_hidden()
    wait_for(lambda: len(stage.recorded(OperatorSaid)) >= 2, APPEARS_MS / 1_000)
    said = [(each.word, each.why, "dashboard" in each.who) for each in stage.recorded(OperatorSaid)]
    assert said == [("pause", "news at nine", True), ("resume", "over", True)]


def test_what_is_not_on_the_page_is_not_said(stage: Stage) -> None:
    """A request that no button makes: nothing of it reaches the host."""
    before = stage.recorded(OperatorSaid)
    stage.page.evaluate("emitEvent('act', {act: 'say', word: 'disable', target: '--help'})")
    expect(stage.told("there is no such plugin")).to_be_visible()
    stage.page.evaluate("emitEvent('act', {act: 'why', kind: 'order', name: '--data-dir=/'})")
    expect(stage.told("not on the page")).to_be_visible()
    assert stage.recorded(OperatorSaid) == before


# --- who may --------------------------------------------------------------------------------------------------------


def test_a_wrong_token_is_refused_without_a_word_more(stage: Stage) -> None:
    context = stage.new_context()
    page = context.new_page()
    for path in (f"?token={stage.token[:-1]}", "", "assets/dashboard.js"):
        answer = page.goto(f"{stage.origin}/{path}")
        assert (answer.status, answer.text()) == (403, "refused\n")
    context.close()


def test_the_token_is_in_no_page_and_nothing_is_asked_from_elsewhere(stage: Stage) -> None:
    assert stage.page.url == f"{stage.origin}/"
    assert stage.token not in stage.page.content()
    assert stage.context.cookies()[0]["value"] != stage.token
    elsewhere = [url for url in stage.asked if url.partition("://")[2].partition("/")[0] != stage.origin[7:]]
    assert [url for url in elsewhere if not url.startswith(("data:", "blob:"))] == []
    assert stage.complaints == []
    assert stage.token not in "\n".join(stage.dashboard.err)


# --- the end ----------------------------------------------------------------------------------------------------------


def test_kill_asks_first_and_ends_the_host_with_four(stage: Stage) -> None:
    stage.page.get_by_role("button", name="Kill …").click()
    stage.part("kill-now").click()
    expect(stage.told(f"type {KILL_WORD}")).to_be_visible()
    assert stage.host.process.poll() is None
    stage.part("kill").get_by_label(REASON).fill("enough")
    stage.part("kill-word").fill(KILL_WORD)
    stage.part("kill-now").click()
    assert stage.host.ended() == 4, stage.host.told()
    said = stage.recorded(OperatorSaid)[-1]
    assert (said.word, said.why) == ("kill", "enough")


def test_the_page_outlives_the_host_and_finds_the_next_one_by_itself(stage: Stage) -> None:
    seen("no host", stage.part("host"))
    seen("This is what its journal says", stage.part("part-alerts"))
    seen(": enough", stage.part("block").filter(has_text="killed"))
    run = live_file.read(stage.data)
    assert run is not None

    def trading() -> bool:
        """A host tells of itself all the time."""
        now = time.time_ns() // 1_000_000
        live_file.write(stage.data, structs.replace(run, wall=now, ready=True, blocks=[]))
        stage.page.wait_for_timeout(100)
        return bool(stage.part("host").text_content() == "trading")

    with DataFolder(stage.data):
        wait_for(trading, APPEARS_MS / 1_000)
    seen("no host", stage.part("host"))


def test_it_ends_by_a_signal_with_nothing_to_tell(stage: Stage) -> None:
    assert stage.dashboard.stop(signal.SIGTERM) == 0, stage.dashboard.told()
    assert stage.dashboard.out == [stage.dashboard.out[0]]
