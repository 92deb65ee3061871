"""When the page draws what: its parts with every picture, its charts less often, and never something that was."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from polyhost.web.page import Page
from polyhost.web.picture import HostSeen, Money, Picture

CLOSED = ((1_000, 0), (5_000, 2_500_000))


class Elements:
    """What a browser would show."""

    def __init__(self) -> None:
        self.drawn: list[list[Any]] = []
        """Each time the series of a chart."""

    def chart(self, *series: Any) -> Any:
        chart: Any = SimpleNamespace(options={"series": [*series]})
        chart.update = lambda: self.drawn.append(chart.options["series"])
        return chart


class Seat:
    """Shows one picture after the other."""

    name, log = "main", None

    def __init__(self, *curves: tuple[tuple[int, int], ...]) -> None:
        host = HostSeen("trading", "", True, 1, "run-1", "sim", "main", "0.1.0", 1.0)
        self.pictures = [
            Picture("data", at, at, host, "", money=Money(0, 0, 0, 0, curve)) for at, curve in enumerate(curves, 6_000)
        ]

    async def picture(self) -> Picture:
        return self.pictures.pop(0)


def page_of(seat: Seat, opinions: Any, result: Any) -> Any:
    page: Any = Page({"main": seat})  # type: ignore[dict-item]
    page._opinions, page._result, page._log = opinions, result, lambda: ""
    page._parts = {name: SimpleNamespace(content="") for name in (
        "head", "tools", "alerts", "figures", "windows", "positions", "orders", "plugins", "loops", "notices", "picks",
        "levels", "log",
    )}  # fmt: skip
    return page


async def look(page: Any, times: int) -> None:
    for _ in range(times):
        await page.refresh()


def test_ops_03_a_close_is_in_the_curve_with_the_picture_that_has_it_in_the_figures() -> None:
    """Else for a second (at speed 60 a minute of the market) the chart says what the number above it denies."""
    shown = Elements()
    page = page_of(Seat(CLOSED[:1], CLOSED, CLOSED, CLOSED[:1]), shown.chart(), shown.chart())
    asyncio.run(look(page, 2))
    assert [series[0]["data"][-1][1] for series in shown.drawn] == [0.0, 2.5]
    asyncio.run(look(page, 2))
    assert shown.drawn[-1][0]["data"][-1][1] == 0.0, "another account has another curve"


def test_a_page_whose_windows_are_gone_shows_none() -> None:
    """A fresh run began, or another account is looked at, which has none yet."""
    shown = Elements()
    page = page_of(Seat(()), shown.chart({"name": "market"}), shown.chart())
    asyncio.run(look(page, 1))
    assert shown.drawn == [[]]
