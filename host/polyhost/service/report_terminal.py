"""A report on a terminal: rich tables, and plotext's plots where that is installed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from polyhost.lab.report_tables import (
    Amount,
    Cell,
    amount,
    cost_tables,
    head,
    open_tables,
    opinion_tables,
    period,
    profit_tables,
    verdicts,
    window_table,
    window_text,
    worst_lines,
)
from polyhost.lab.report_tables import Table as Told
from polyhost.service.report_plots import plots

WINDOWS_MAX: Final = 15
"""Windows of the table; the page has all."""
NARROW: Final = 100
"""Columns of a terminal below which wide tables lose their less important columns."""


def show(report: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the whole report on standard output, or on this console."""
    out = Console(highlight=False) if console is None else console
    for part in parts(report, out.width, colours=out.color_system is not None and out.is_terminal):
        out.print(part)


def parts(report: Mapping[str, Any], width: int, *, colours: bool) -> Iterable[RenderableType]:
    """Everything from top to bottom."""
    yield Text(f"{report['data_dir']}: account {report['account']}, {report['mode']}", style="bold")
    yield Text(f"{period(report)}\n")
    yield _head(report)
    yield from plots(report, width, colours=colours)
    tables = [
        *profit_tables(report), window_table(report, WINDOWS_MAX), *open_tables(report), *cost_tables(report),
        *opinion_tables(report),
    ]
    for told in tables:
        yield from _table(told, width)
        if told.name == "scores":
            yield from (Text(line) for line in verdicts(report))
    yield from _worst(report)
    yield from (Text(f"\n{problem}", style="yellow") for problem in report["problems"])


def text_of(cell: Cell) -> Text:
    """Two places; losses are red, gains green."""
    if not isinstance(cell, Amount):
        return Text(cell)
    cents = round(cell.micros / 10_000)
    sign = "-" if cents < 0 else "+" if cell.signed and cents > 0 else ""
    style = "" if not cell.signed or not cents else "red" if cents < 0 else "green"
    return Text(f"{sign}{abs(cents) // 100:,}.{abs(cents) % 100:02d}", style=style)


def _head(report: Mapping[str, Any]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(justify="right")
    grid.add_column(style="dim")
    for name, figure, words in head(report):
        grid.add_row(name, text_of(figure), words)
    return grid


def _table(told: Told, width: int) -> Iterable[RenderableType]:
    yield Text(f"\n{told.title}", style="bold")
    if not told.rows:
        if told.empty:
            yield Text(told.empty, style="dim")
        return
    kept = [place for place, column in enumerate(told.columns) if width >= NARROW or not column.wide]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_footer=bool(told.total))
    for place in kept:
        column = told.columns[place]
        footer = text_of(told.total[place]) if told.total else ""
        table.add_column(
            column.title, footer=footer, justify="right" if column.right else "left", no_wrap=column.right,
            footer_style="bold",
        )
    for row in told.rows:
        table.add_row(*(text_of(row[place]) for place in kept))
    yield table
    if told.note:
        yield Text(told.note, style="dim")


def _worst(report: Mapping[str, Any]) -> Iterable[RenderableType]:
    if not report["worst"]:
        return
    yield Text("\nWorst windows", style="bold")
    for each in report["worst"]:
        line = Text(f"{window_text(each['slug'])} ")
        line.append_text(text_of(amount(each["pnl"], signed=True)))
        line.append(f"  polyhost why window {each['slug']}", style="dim")
        yield line
        for told in worst_lines(each):
            yield Padding(Text(told), (0, 0, 0, 4))

