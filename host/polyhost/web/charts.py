"""The two charts as options of ECharts; their colours read on light and dark ground alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from polyhost.journal.glances import Glance

MARKET: Final = "market"
GREY: Final = "#8a929c"
RULE: Final = "rgba(128,136,148,0.18)"
COLOURS: Final = ("#2f7fe0", "#e08a1e", "#9a63d6", "#17a398")
GAIN: Final = "#1f9d63"
LOSS: Final = "#d64545"


def _axis(kind: str, **more: Any) -> dict[str, Any]:
    return {
        "type": kind, "axisLine": {"lineStyle": {"color": RULE}}, "axisTick": {"show": False},
        "splitLine": {"show": kind == "value", "lineStyle": {"color": RULE}},
        "axisLabel": {"color": GREY, "fontSize": 11, "hideOverlap": True}, **more,
    }


def _base() -> dict[str, Any]:
    return {
        "animation": False, "useUTC": True, "textStyle": {"fontFamily": "inherit"},
        "grid": {"left": 8, "right": 14, "top": 30, "bottom": 6, "containLabel": True},
        "tooltip": {"trigger": "axis", "confine": True, "axisPointer": {"lineStyle": {"color": GREY}}},
        "xAxis": _axis("time"), "yAxis": _axis("value"),
        "legend": {"top": 0, "left": 0, "itemWidth": 14, "itemHeight": 3, "icon": "rect",
                   "textStyle": {"color": GREY, "fontSize": 11}},
        "series": [],
    }


def opinions() -> dict[str, Any]:
    """Every combiner's probability of UP against the market's price."""
    return _base() | {"yAxis": _axis("value", min=0, max=1, interval=0.25)}


def opinion_series(points: Sequence[Glance], names: Iterable[str]) -> list[dict[str, Any]]:
    """The market first, then each combiner; who had no opinion leaves a gap. Nothing without points."""
    return [] if not points else [
        _line(MARKET, GREY, [[point.at, _rounded(point.prior)] for point in points], width=2, dash=True),
        *(
            _line(name, COLOURS[number % len(COLOURS)], [
                [point.at, _rounded(point.estimates[name].p_up if name in point.estimates else None)]
                for point in points
            ])
            for number, name in enumerate(names)
        ),
    ]


def window_axis(opens_at: int | None, ends_at: int) -> dict[str, Any]:
    """The whole window, so that one sees how far it is."""
    return _axis("time", **({} if opens_at is None else {"min": opens_at, "max": ends_at}))


def _line(name: str, colour: str, data: list[list[Any]], *, width: float = 1.6, dash: bool = False) -> dict[str, Any]:
    return {
        "name": name, "type": "line", "showSymbol": False, "data": data, "itemStyle": {"color": colour},
        "lineStyle": {"width": width, "color": colour, "type": "dashed" if dash else "solid"},
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def result() -> dict[str, Any]:
    """Realised P&L over time."""
    # To the right there is room for half a label with seconds.
    return _base() | {"legend": {"show": False}, "grid": _base()["grid"] | {"top": 12, "right": 30}}


def result_series(curve: Sequence[tuple[int, int]], now: int) -> list[dict[str, Any]]:
    """A step at each closed position, from nothing to now."""
    if not curve:
        return []
    last = curve[-1][1]
    colour = LOSS if last < 0 else GAIN
    data = [[at, pnl / 1_000_000] for at, pnl in curve] + [[max(now, curve[-1][0]), last / 1_000_000]]
    return [_line("realised", colour, data, width=2) | {
        "step": "end", "areaStyle": {"color": colour, "opacity": 0.10},
        "markLine": {"silent": True, "symbol": "none", "label": {"show": False},
                     "lineStyle": {"color": GREY, "type": "solid", "width": 1}, "data": [{"yAxis": 0}]},
    }]


def same(before: Mapping[str, Any], after: Sequence[Mapping[str, Any]]) -> bool:
    """Are these the series that the chart has?"""
    return list(before.get("series", ())) == list(after)
