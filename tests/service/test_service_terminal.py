"""The live view: what stands on the screen, in a terminal of any usual size."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from polyhost.model.events import MarketFound
from polyhost.model.money import money_text, ticks
from polyhost.model.proposals import Enter, ExitTarget
from polyhost.model.words import Side
from polyhost.service.terminal import Said, screen
from polyhost.settings import Configuration

from ..kernel.rig import START, Rig, window

LINES = [Said("INFO", f"12:00:{n:02d} line {n}") for n in range(12)]


def session(rig: Rig) -> Any:
    clock = SimpleNamespace(now=lambda: rig.now, speed=60.0)
    return SimpleNamespace(
        engine=None, kernel=rig.kernel, clock=clock, windows=4, settled_here=1, settings=Configuration(),
        run_id="run-1", label="",
    )


def traded(markets: int = 1) -> Rig:
    """57 UP with an exit at 0.99 in the first market; the others are only followed."""
    rig = Rig()
    for n in range(1, markets):
        rig.do(MarketFound(window(condition=f"0xc{n}")))
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    rig.enter()
    rig.accept(rig.posted(rig.answer(ExitTarget(Side.UP, ticks("0.99")))))
    return rig


def rendered(rig: Rig, lines: list[Said], *, width: int = 160, height: int = 50) -> list[str]:
    console = Console(width=width, height=height, force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(screen([session(rig)], lines, height))
    return capture.get().splitlines()


def test_it_shows_money_window_position_order_and_log() -> None:
    rig = traded()
    text = "\n".join(rendered(rig, LINES))
    cash = money_text(rig.kernel.state.balance("free"))[:-4]
    for words in (
        "polyhost · sim · run-1", "speed 60", "windows 1 of 4", f"cash {cash} (start 1000.00)",
        rig.market.slug, "0.4/0.42", "target 0.99", "o000002 exit", "SELL 57 UP at 0.99 GTC", "line 11",
    ):  # fmt: skip
        assert words in text, words


@pytest.mark.parametrize(("width", "height"), [(160, 50), (120, 40), (80, 24)])
@pytest.mark.parametrize("markets", [1, 6, 30])
def test_it_never_is_taller_than_the_terminal(width: int, height: int, markets: int) -> None:
    """A taller view would leave its head behind with every refresh."""
    lines = rendered(traded(markets), LINES, width=width, height=height)
    assert len(lines) < height
    assert all(len(line) <= width for line in lines)
    assert "line 11" in "\n".join(lines)


def test_windows_that_have_no_room_are_counted() -> None:
    text = "\n".join(rendered(traded(30), LINES, height=40))
    assert "of 30)" in text


def test_warnings_and_errors_stand_out() -> None:
    console = Console(width=100, height=40, force_terminal=True, color_system="standard")
    with console.capture() as capture:
        console.print(screen([session(Rig())], [Said("INFO", "calm"), Said("WARNING", "careful")], 40))
    assert "\x1b[33mcareful" in capture.get()
    assert "\x1b[33mcalm" not in capture.get()


def test_before_the_session_is_up_it_shows_the_log_alone() -> None:
    console = Console(width=100, height=40, force_terminal=False)
    with console.capture() as capture:
        console.print(screen([SimpleNamespace()], LINES, 40))  # type: ignore[list-item]
    assert "starting …" in capture.get()
    assert "line 11" in capture.get()


def test_an_order_on_its_way_and_a_position_without_a_book_are_shown_too() -> None:
    rig = traded()
    rig.posted(rig.answer(Enter(Side.DOWN, ticks("0.60"), "in flight"), ExitTarget(Side.UP, ticks("0.99"))))
    text = "\n".join(rendered(rig, []))
    assert "o000003 entry" in text
    assert "prepared" in text
