"""The page: parts of markup, two charts and three dialogs, drawn anew once a second from the picture that all share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from loguru import logger
from nicegui import ui

from polyhost.errors import PolyhostError
from polyhost.journal.glances import Glance
from polyhost.service.log_files import MASTER, account_log
from polyhost.web import charts, markup
from polyhost.web.acting import PLUGIN_WORDS, WHY_CHARACTERS_MAX, Operator, Said, Wish
from polyhost.web.log_tail import LEVELS, tail
from polyhost.web.picture import Picture, WindowSeen
from polyhost.web.reading import Reading
from polyhost.web.words import safe, window_name

LOOK_S: Final = 1.0
"""A picture is this old at most, wall seconds, while somebody looks on."""
CHART_EVERY: Final = 2
"""Charts are drawn with every second picture, and at once when they show something else."""
KILL_WORD: Final = "KILL"
"""What is typed to confirm it."""
LOGS: Final = "logs"


class Seat:
    """One account, looked at for every page that shows it."""

    def __init__(self, name: str, folder: Path, place: tuple[str, ...]) -> None:
        """``place``: the options of a command that name the account's folder."""
        self.name = name
        self.folder = folder
        self.operator = Operator(folder, place)
        self._reading = Reading(folder)
        self._turn = asyncio.Lock()
        self._picture: Picture | None = None
        self._looked = 0.0

    @property
    def log(self) -> Path:
        """The master log of a host; of one of several accounts its own."""
        master = self.folder / LOGS / MASTER
        return master if master.exists() else account_log(master.parent, self.name)

    async def picture(self) -> Picture:
        """One that is new enough."""
        async with self._turn:
            if self._picture is None or time.monotonic() - self._looked >= LOOK_S * 0.9:
                self._picture = await asyncio.to_thread(self._reading.look)
                self._looked = time.monotonic()
            return self._picture

    async def course(self, condition_id: str) -> list[Glance]:
        """How opinions of a window went; empty where that cannot be read."""
        async with self._turn:
            try:
                return await asyncio.to_thread(self._reading.course, condition_id)
            except PolyhostError as error:
                logger.warning("the course of {} cannot be read: {}", condition_id, error)
                return []


class Page:
    """What one browser sees."""

    def __init__(self, seats: Mapping[str, Seat]) -> None:
        self._seats = seats
        self._seat = next(iter(seats.values()))
        self._picture: Picture
        self._level = LEVELS[1]
        self._window = ""
        """The chart's, by condition id; empty: the page chooses."""
        self._drawn = 0
        self._shown = ""
        """The window whose chart is drawn."""
        self._curve: tuple[tuple[int, int], ...] = ()
        """Realised P&L as it is drawn."""
        self._parts: dict[str, ui.html] = {}
        self._opinions: ui.echart
        self._result: ui.echart
        self._why: tuple[ui.dialog, ui.label, ui.html]

    # --- building -----------------------------------------------------------------------------------------------------

    async def build(self) -> None:
        """Once, when the page is asked for."""
        ui.add_head_html(
            '<link rel="stylesheet" href="/assets/dashboard.css"><script defer src="/assets/dashboard.js"></script>'
        )
        self._picture = await self._seat.picture()
        with ui.element("header").classes("top"):
            self._part("head").classes("head")
            self._part("tools").classes("tools")
        with ui.element("main").classes("board"):
            self._part("alerts").classes("alerts")
            self._part("figures").classes("figures")
            with ui.element("div").classes("pair"):
                with ui.element("div").classes("column"):
                    self._panel("Windows", "windows")
                    self._panel("Positions", "positions")
                    self._panel("Orders", "orders")
                    self._panel("Notices", "notices", "scroll")
                    self._panel("Log", "log", "scroll log", "levels")
                with ui.element("div").classes("column"):
                    self._opinions = self._chart("Probability of UP", charts.opinions(), "picks")
                    self._result = self._chart("Realised P&L", charts.result())
                    self._panel("Plugins", "plugins", "scroll")
                    self._panel("Loops of the host", "loops", "loops")
        self._dialogs()
        ui.on("act", self._acted)
        await self.refresh()
        ui.timer(LOOK_S, self.refresh)

    def _part(self, name: str) -> ui.html:
        part = ui.html("", sanitize=True).props(f'data-testid="part-{name}"')
        self._parts[name] = part
        return part

    def _panel(self, title: str, name: str, kind: str = "", beside: str = "") -> None:
        with ui.element("section").classes("panel").classes(f"in-{name}").props(f'data-testid="panel-{name}"'):
            self._title(title, beside)
            self._part(name).classes(f"body {kind}")

    def _chart(self, title: str, options: dict[str, Any], beside: str = "") -> ui.echart:
        with ui.element("section").classes("panel"):
            self._title(title, beside)
            return ui.echart(options).classes("chart")

    def _title(self, title: str, beside: str) -> None:
        with ui.element("header"):
            ui.html(f"<h2>{safe(title)}</h2>", sanitize=True)
            if beside:
                self._part(beside).classes("picks")

    # --- drawing ------------------------------------------------------------------------------------------------------

    async def refresh(self) -> None:
        """Draw what is different by now."""
        self._picture = picture = await self._seat.picture()
        for name, text in self._drawings(picture).items():
            self._parts[name].content = text
        self._parts["log"].content = await asyncio.to_thread(self._log)
        window = self._charted(picture)
        other = window is not None and window.condition_id != self._shown
        # A close stands in the figures with this picture: the curve below them must not say otherwise.
        if self._drawn % CHART_EVERY == 0 or other or picture.money.curve != self._curve:
            await self._draw_charts(picture, window)
        self._drawn += 1

    def _drawings(self, picture: Picture) -> dict[str, str]:
        shown = self._charted(picture)
        return {
            "head": markup.head(picture), "tools": self._tools(picture), "alerts": markup.alerts(picture),
            "figures": markup.figures(picture), "windows": markup.windows(picture),
            "positions": markup.positions(picture), "orders": markup.orders(picture),
            "plugins": markup.plugins(picture), "loops": markup.loops(picture), "notices": markup.notices(picture),
            "picks": _picks(picture, shown), "levels": self._levels(),
        }

    def _tools(self, picture: Picture) -> str:
        paused = any(block.name == "pause" for block in picture.blocks)
        word, label = ("resume", "Resume") if paused else ("pause", "Pause entries")
        target = {"target": "pause"} if paused else {}
        return self._accounts() + "".join((
            markup.asks(label, "say", "new entries off or on; exits go on", "button", word=word, **target),
            markup.asks("Kill …", "kill", "cancel all our orders and end the host", "button danger"),
            markup.asks("Light / dark", "theme", "light or dark", "button"),
        ))

    def _accounts(self) -> str:
        if len(self._seats) < 2:
            return ""
        return "".join(
            markup.asks(safe(name), "account", "show this account",
                        "button on" if seat is self._seat else "button", name=name)
            for name, seat in self._seats.items()
        )

    def _levels(self) -> str:
        return "".join(
            markup.asks(level.capitalize(), "level", f"{level} and above",
                        "pick on" if level == self._level else "pick", name=level)
            for level in LEVELS
        )

    def _log(self) -> str:
        try:
            return markup.log(tail(self._seat.log, self._level))
        except OSError as error:
            return f'<p class="empty">{safe(f"the log cannot be read: {error.strerror}")}</p>'

    def _charted(self, picture: Picture) -> WindowSeen | None:
        """The window that was chosen while it is there, else one with something open, else the first."""
        there = {window.condition_id: window for window in picture.windows}
        if self._window in there:
            return there[self._window]
        running = [window for window in picture.windows if window.phase in ("running", "ended")] or list(there.values())
        return next((window for window in running if window.busy), running[0] if running else None)

    async def _draw_charts(self, picture: Picture, window: WindowSeen | None) -> None:
        self._shown = "" if window is None else window.condition_id
        points = [] if window is None else await self._seat.course(window.condition_id)
        names = dict.fromkeys(name for point in points[-1:] for name in sorted(point.estimates))
        series = charts.opinion_series(points, names)
        if not charts.same(self._opinions.options, series):
            self._opinions.options["series"] = series
            if window is not None:
                self._opinions.options["xAxis"] = charts.window_axis(window.opens_at, window.ends_at)
            self._opinions.update()
        self._curve = picture.money.curve
        result = charts.result_series(self._curve, picture.now)
        if not charts.same(self._result.options, result):
            self._result.options["series"] = result
            self._result.update()

    # --- what a click does --------------------------------------------------------------------------------------------

    async def _acted(self, event: Any) -> None:
        """Nothing that comes from the browser is believed: it must be on the page."""
        given = event.args if isinstance(event.args, dict) else {}
        data = {str(name): value for name, value in given.items() if isinstance(value, str)}
        match data.get("act"):
            case "why":
                await self._ask_why(data)
            case "say":
                self._ask_to_say(data.get("word", ""), data.get("target", ""))
            case "kill":
                self._ask_to_kill()
            case "level" if data.get("name") in LEVELS:
                self._level = data["name"]
                await self.refresh()
            case "chart" if data.get("name") in {window.condition_id for window in self._picture.windows}:
                self._window, self._drawn = data["name"], 0
                await self.refresh()
            case "account" if data.get("name") in self._seats:
                self._seat, self._window, self._drawn = self._seats[data["name"]], "", 0
                await self.refresh()

    async def _ask_why(self, data: Mapping[str, str]) -> None:
        kind, name, side = data.get("kind", ""), data.get("name", ""), data.get("side", "")
        picture = self._picture
        names = (name, side) if kind == "position" else (name,)
        known = {"order": picture.knows_order(name), "window": picture.knows_window(name),
                 "position": picture.knows_position(name, side)}
        if not known.get(kind):
            self._tell(Said(False, "that is not on the page any more"))
            return
        dialog, title, text = self._why
        title.text = f"Why: {kind} {' '.join(names)}"
        text.content = "<pre>reading the journal …</pre>"
        dialog.open()
        said = await self._seat.operator.why(kind, *names)
        text.content = f"<pre>{safe(said.text)}</pre>"

    def _ask_to_say(self, word: str, target: str) -> None:
        wish = Wish(word, target)
        if word == "kill" or (problem := wish.problem(self._picture)):
            self._tell(Said(False, "that is not on the page any more" if word == "kill" else problem))
            return
        self._said_title.text = f"{_title(wish)}?"
        self._said_reason.value = ""
        self._wish = wish
        self._say_dialog.open()

    async def _say(self) -> None:
        self._say_dialog.close()
        await self._done(Wish(self._wish.word, self._wish.target, why=str(self._said_reason.value or "").strip()))

    def _ask_to_kill(self) -> None:
        self._kill_word.value = ""
        self._kill_reason.value = ""
        self._kill_flatten.value = self._kill_all.value = False
        self._kill_dialog.open()

    async def _kill(self) -> None:
        if str(self._kill_word.value or "").strip().upper() != KILL_WORD:
            self._tell(Said(False, f"type {KILL_WORD} to confirm"))
            return
        self._kill_dialog.close()
        why = str(self._kill_reason.value or "").strip()
        await self._done(Wish("kill", "", bool(self._kill_flatten.value), bool(self._kill_all.value), why))

    async def _done(self, wish: Wish) -> None:
        problem = wish.problem(self._picture)
        said = Said(False, problem) if problem else await self._seat.operator.say(wish)
        logger.info("{} {}: {}", wish.word, wish.target, said.text)
        self._tell(said)
        await self.refresh()

    def _tell(self, said: Said) -> None:
        ui.notify(said.text, type="positive" if said.ok else "negative", position="bottom", multi_line=True,
                  timeout=5_000 if said.ok else 15_000, close_button="Close")

    # --- dialogs ------------------------------------------------------------------------------------------------------

    def _dialogs(self) -> None:
        with ui.dialog() as dialog, ui.element("div").classes("sheet").props('data-testid="why"'):
            title = _heading("")
            text = ui.html("", sanitize=True)
            with ui.element("div").classes("row"):
                ui.button("Close", on_click=dialog.close).props("flat dense no-caps")
        self._why = dialog, title, text
        self._build_say()
        self._build_kill()

    def _build_say(self) -> None:
        with ui.dialog() as self._say_dialog, ui.element("div").classes("sheet narrow").props('data-testid="say"'):
            self._said_title = _heading("")
            self._said_reason = _reason()
            with ui.element("div").classes("row"):
                ui.button("Not now", on_click=self._say_dialog.close).props("flat dense no-caps")
                ui.button("Do it", on_click=self._say).props('unelevated dense no-caps data-testid="do-it"')

    def _build_kill(self) -> None:
        with ui.dialog() as self._kill_dialog, ui.element("div").classes("sheet narrow").props('data-testid="kill"'):
            _heading("Kill the host")
            ui.label(
                "All our orders are cancelled and the host ends. New entries stay off until somebody resumes them. "
                "Positions stay, unless they are sold now."
            )
            self._kill_flatten = ui.checkbox("Sell every position at market (flatten)").props("dense")
            self._kill_all = ui.checkbox("Cancel every order of the key, a person's too").props("dense")
            self._kill_reason = _reason()
            self._kill_word = ui.input(f"Type {KILL_WORD}").props(
                'dense outlined autocomplete=off data-testid="kill-word"'
            )
            with ui.element("div").classes("row"):
                ui.button("Not now", on_click=self._kill_dialog.close).props("flat dense no-caps")
                ui.button("Kill", on_click=self._kill, color="negative").props(
                    'unelevated dense no-caps data-testid="kill-now"'
                )


def _heading(text: str) -> ui.label:
    return ui.label(text).classes("heading")


def _reason() -> ui.input:
    return ui.input("Reason, for the journal").props(f"dense outlined maxlength={WHY_CHARACTERS_MAX}")


def _picks(picture: Picture, shown: WindowSeen | None) -> str:
    """Which window the chart shows."""
    running = [window for window in picture.windows if window.phase in ("running", "ended")]
    if shown is not None and shown not in running:
        running = [shown, *running]
    return "".join(
        markup.asks(safe(" ".join(part for part in window_name(window.slug) if part)), "chart", window.slug,
                    "pick on" if shown is not None and window.condition_id == shown.condition_id else "pick",
                    name=window.condition_id)
        for window in running[:8]
    )


def _title(wish: Wish) -> str:
    if wish.word in PLUGIN_WORDS:
        return f"{markup.LABELS[wish.word]} the plugin {wish.target}"
    if wish.word == "resume":
        return "Allow new entries again" if wish.target in ("", "pause") else f"Clear {wish.target} and allow entries"
    return "Stop new entries (exits go on)"
