"""A report's plots on a terminal, by plotext (the extra ``report``); without it nothing but how to have them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from rich.text import Text

from polyhost.lab.report_tables import calibrated
from polyhost.model.money import micros
from polyhost.model.times import moment_text

EXTRA: Final = "no plots: install polyhost[report] (plotext, matplotlib)"
HEIGHT: Final = 13
"""Lines of a plot."""
WIDTH_MAX: Final = 100
MARKS: Final = (("o", "gray"), ("x", "blue"), ("*", "orange"), ("+", "magenta"))
"""Of the market and the combiners: they differ without colours too."""
PLAIN: Final = ("default", "default")
"""Foreground and background of what is no figure: the terminal's own, dark or light."""


def plots(report: Mapping[str, Any], width: int, *, colours: bool) -> Iterable[Text]:
    """P&L over the closes, and calibration; nothing where there is nothing to draw."""
    try:
        import plotext
    except ImportError as error:
        if error.name != "plotext":
            raise
        yield Text(f"\n{EXTRA}", style="yellow")
        return
    figure = plotext.figure
    for draw in (_curve, _calibration):
        figure.clear()
        figure.theme("colorless")
        figure.plot_size(min(width, WIDTH_MAX), HEIGHT)
        if title := draw(plotext, report):
            drawn = str(figure.build()).rstrip()
            yield Text(f"\n{title}", style="bold")
            yield Text.from_ansi(drawn) if colours else Text(plotext.uncolorize(drawn))
    figure.clear()


def _curve(plotext: Any, report: Mapping[str, Any]) -> str:
    """Realised P&L after each close; the title, or nothing."""
    points = report["curve"]
    if not points:
        return ""
    values = [0.0, *(micros(pnl) / 1e6 for _, pnl in points)]
    figure = plotext.figure
    figure.line(0, pixel=PLAIN, style="dotted")
    marker = plotext.marker("hd", "green" if values[-1] >= 0 else "red")
    figure.draw(figure.signal(list(range(len(values))), values, marker=marker).lines())
    ends = sorted({1, len(points)})
    figure.ruler("x").ticks(ends, [moment_text(points[place - 1][0])[5:16] for place in ends])
    return f"Realised P&L after each of {len(points)} closes"


def _calibration(plotext: Any, report: Mapping[str, Any]) -> str:
    scores = report["opinions"]["scores"]
    if scores is None or not scores["forecasters"]:
        return ""
    figure = plotext.figure
    figure.draw(figure.signal([0, 1], [0, 1], marker=plotext.marker(".", PLAIN)).lines())
    for each, (mark, colour) in zip(calibrated(scores), MARKS, strict=False):
        bins = each["reliability"]
        points = [one["said"] for one in bins], [one["came_true"] for one in bins]
        figure.draw(figure.signal(*points, marker=plotext.marker(mark, colour)).label(each["name"]))
    figure.ruler("x").lim(0, 1)
    figure.ruler("y").lim(0, 1)
    return "Calibration: the chance given (across) against how often it came true (up)"
