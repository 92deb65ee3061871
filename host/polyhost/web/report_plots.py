"""A report's plots as SVG for the page, by matplotlib (the extra ``report``).

Colours are those of the page, so that one drawing reads on light and dark ground: matplotlib draws in stand-ins, which
become the page's CSS variables. Nothing is random: equal reports give equal drawings.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from polyhost.lab.report_tables import calibrated, window_text
from polyhost.model.money import micros
from polyhost.web.words import safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EXTRA: Final = "without plots: install polyhost[report] for matplotlib"
INK: Final = "#010101"
RULE: Final = "#020202"
GAIN: Final = "#030303"
LOSS: Final = "#040404"
SERIES: Final = ("#050505", "#060606", "#070707", "#080808")
"""Stand-ins, black to the eye of no one: see ``_COLOURS``."""
_COLOURS: Final[Mapping[str, str]] = {
    INK: "var(--muted)", RULE: "var(--rule)", GAIN: "var(--gain)", LOSS: "var(--loss)",
    **{colour: f"var(--series{place})" for place, colour in enumerate(SERIES)},
}
INCHES: Final = (5.6, 3.2)
BARS_MAX: Final = 60
"""Bars of one plot, the latest."""
CALIBRATION: Final = (
    "Across: the chance given to UP; up: how often it came true. On the diagonal it means what it says. Larger points "
    "rest on more evaluations."
)
BRIER: Final = "Left of 0 is better than the market's price; lines are 95 % intervals over windows."


class Plot(NamedTuple):
    """One drawing. ``name`` is stable."""

    name: str
    title: str
    svg: str
    note: str = ""


def drawn(report: Mapping[str, Any]) -> list[Plot] | None:
    """Every plot that there is something for; None: matplotlib is not installed."""
    try:
        import matplotlib
    except ImportError as error:
        if error.name != "matplotlib":
            raise
        return None
    bars = "P&L by day" if len(report["by_day"]) > 1 else "P&L by window"
    wanted: tuple[tuple[str, str, Callable[[Axes, Mapping[str, Any]], bool], str], ...] = (
        ("curve", "Realised P&L", _curve, ""), ("bars", bars, _bars, ""),
        ("calibration", "Calibration", _calibration, CALIBRATION),
        ("brier", "Brier score less the market's", _brier, BRIER),
    )
    plots = []
    for name, title, draw, note in wanted:
        # Text stays text, and names within the drawing depend on nothing but its own.
        with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 10}):
            figure, axes = _blank()
            if draw(axes, report):
                plots.append(Plot(name, title, _svg(figure, title), note))
    return plots


def _blank() -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=INCHES, layout="constrained")
    figure.patch.set_visible(False)
    axes = figure.add_subplot()
    axes.patch.set_visible(False)
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(RULE)
    axes.tick_params(colors=INK, length=0)
    axes.grid(visible=True, axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def _svg(figure: Figure, title: str) -> str:
    """The drawing as an element that fills its place."""
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg"):]
    for stand_in, colour in _COLOURS.items():
        text = text.replace(stand_in, colour)
    _, _, rest = text.partition(">")
    size = " ".join(f"{72 * side:g}" for side in INCHES)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 {size}"'
    return f'{head} role="img" aria-label="{safe(title)}">{rest}'


def _money(pnl: Sequence[str]) -> list[float]:
    return [micros(each) / 1e6 for each in pnl]


def _when(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1_000, UTC)


def _curve(axes: Axes, report: Mapping[str, Any]) -> bool:
    points = report["curve"]
    if not points:
        return False
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    begin = min(report["first_at"] or points[0][0], points[0][0])
    end = max(report["last_at"] or points[-1][0], points[-1][0])
    times = [_when(at) for at in (begin, *(at for at, _ in points), end)]
    values = [0.0, *_money([pnl for _, pnl in points]), micros(points[-1][1]) / 1e6]
    colour = GAIN if values[-1] >= 0 else LOSS
    places: Any = times  # dates are what its converters take; its stubs speak of floats
    axes.step(places, values, where="post", color=colour, linewidth=1.8)
    axes.fill_between(places, values, step="post", color=colour, alpha=0.12, linewidth=0)
    axes.axhline(0, color=INK, linewidth=0.8)
    locator = AutoDateLocator(maxticks=6)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))  # type: ignore[no-untyped-call]
    return True


def _bars(axes: Axes, report: Mapping[str, Any]) -> bool:
    """By day; of one day by window."""
    days = len(report["by_day"]) > 1
    rows = (report["by_day"] if days else report["by_window"])[-BARS_MAX:]
    if not rows:
        return False
    values = _money([row["pnl"] for row in rows])
    axes.bar(range(len(rows)), values, color=[GAIN if value >= 0 else LOSS for value in values], width=0.7)
    axes.axhline(0, color=INK, linewidth=0.8)
    named = [row["day"][5:] if days else _short(row["slug"]) for row in rows]
    step = -(-len(rows) // 4)
    axes.set_xticks(range(0, len(rows), step), named[::step])
    axes.set_xlim(-0.8, max(len(rows), 4) - 0.2)
    return True


def _short(slug: str) -> str:
    """A window without its date, on two lines."""
    what, _, when = window_text(slug).rpartition(" ")
    return f"{what.rpartition(' ')[0]}\n{when}" if what else when[:14]


def _calibration(axes: Axes, report: Mapping[str, Any]) -> bool:
    scores = report["opinions"]["scores"]
    if scores is None or not scores["forecasters"]:
        return False
    axes.plot([0, 1], [0, 1], color=RULE, linewidth=1.2)
    for each, colour in zip(calibrated(scores), SERIES, strict=False):
        bins = each["reliability"]
        said, true = [one["said"] for one in bins], [one["came_true"] for one in bins]
        most = max((one["evaluations"] for one in bins), default=1)
        axes.plot(said, true, color=colour, linewidth=1.4, linestyle="--" if each["kind"] == "baseline" else "-")
        sizes = [12 + 60 * one["evaluations"] / most for one in bins]
        axes.scatter(said, true, s=sizes, color=colour, label=each["name"], zorder=3)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.05, 1.05)
    legend = axes.legend(loc="upper left", frameon=False, labelcolor=INK, handletextpad=0.2, fontsize=9)
    for handle in legend.legend_handles:
        if handle is not None and hasattr(handle, "set_sizes"):
            handle.set_sizes([30])
    return True


def _brier(axes: Axes, report: Mapping[str, Any]) -> bool:
    scores = report["opinions"]["scores"]
    rows = [] if scores is None else [each for each in scores["forecasters"] if each["brier_difference"] is not None]
    if not rows:
        return False
    for place, each in enumerate(reversed(rows)):
        found = each["brier_difference"]
        colour = SERIES[1] if each["kind"] == "combiner" else SERIES[0]
        if found["low"] is not None:
            axes.plot([found["low"], found["high"]], [place, place], color=colour, linewidth=1.6)
        axes.scatter([found["value"]], [place], s=28, color=colour, zorder=3)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(rows)), [each["name"] for each in reversed(rows)])
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.grid(visible=True, axis="x", color=RULE, linewidth=0.8)
    axes.grid(visible=False, axis="y")
    return True
