"""A report as one HTML file: no script, nothing fetched, light and dark, readable on a phone and on paper.

Whatever comes from elsewhere (plugins' reasons, names of windows) is escaped; a policy in the page forbids the browser
to load or run anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from polyhost.lab.report_tables import (
    Amount,
    Cell,
    Column,
    Table,
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
from polyhost.model.money import micros, money_text
from polyhost.service.why import lines
from polyhost.web.report_plots import EXTRA, Plot
from polyhost.web.words import money, safe, tone

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
LONG: Final = 25
"""Rows of a table beyond which it scrolls by itself."""
CSS: Final = """
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#1b1f24;--muted:#5d6672;--rule:#e1e5ea;--gain:#14804a;
--loss:#c43333;--warn:#8a5a00;--series0:#7b8490;--series1:#2468c8;--series2:#c76f00;--series3:#7d49b8}
@media(prefers-color-scheme:dark){:root{--bg:#12151a;--card:#1a1f26;--ink:#e6e9ed;--muted:#9aa4b0;--rule:#2d343d;
--gain:#3fbf7f;--loss:#f0716b;--warn:#e0b050;--series0:#98a2ae;--series1:#6aa5f5;--series2:#f0a24a;--series3:#b78df0}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",sans-serif}
main{max-width:1140px;margin:0 auto;padding:20px 16px 48px}
h1{font-size:22px;margin:0}h2{font-size:16px;margin:0 0 8px}h3{font-size:15px;margin:0}
p{margin:6px 0}.quiet,.note,.empty{color:var(--muted);font-size:13px}.problem{color:var(--warn)}
.heads{display:grid;grid-template-columns:repeat(auto-fill,minmax(190px,1fr));gap:10px;margin:16px 0}
.heads div,section,figure{background:var(--card);border:1px solid var(--rule);border-radius:8px}
.heads div{padding:10px 12px}.heads b{display:block;font-size:20px;font-variant-numeric:tabular-nums}
.heads i,.heads span{font-style:normal;color:var(--muted);font-size:12.5px}
.plots,.pair{display:grid;grid-template-columns:1fr 1fr;gap:12px;margin:12px 0}
figure{margin:0;padding:12px}figcaption{font-weight:600;margin-bottom:4px}figure .note{margin:4px 0 0}
svg{display:block;width:100%;height:auto}svg text{font-family:inherit!important}
section{padding:14px 14px 12px;margin:12px 0;min-width:0}.pair{align-items:start}
.pair>section,.pair section:first-child{margin-top:0}.pair section:last-child{margin-bottom:0}
.scroll{overflow-x:auto}.long{max-height:620px;overflow-y:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{font-weight:500;color:var(--muted);font-size:13px;text-align:left;vertical-align:bottom}
th,td{padding:4px 14px 4px 0;border-bottom:1px solid var(--rule)}th:last-child,td:last-child{padding-right:0}
td{vertical-align:top}.long th,.long tfoot td{position:sticky;top:0;background:var(--card)}
.long tfoot td{top:auto;bottom:0}
.num{text-align:right;white-space:nowrap}tfoot td{font-weight:600;border-bottom:0}
#table-by_window td:first-child,#table-by_day td:first-child,#table-rewards td:first-child{white-space:nowrap}
.gain{color:var(--gain)}.loss{color:var(--loss)}
.worst+.worst{border-top:1px solid var(--rule);margin-top:10px;padding-top:10px}
ul{margin:4px 0;padding-left:18px}li{margin:2px 0;overflow-wrap:anywhere}
summary{cursor:pointer;color:var(--muted);font-size:13px}
code,pre{font:12.5px/1.45 ui-monospace,Menlo,Consolas,monospace}
pre{white-space:pre-wrap;overflow-wrap:anywhere;max-height:420px;overflow-y:auto}
@media(max-width:760px){.plots,.pair{grid-template-columns:1fr}.wide{display:none}main{padding:14px 10px 32px}
.heads{grid-template-columns:1fr 1fr}th,td{padding-right:9px}body{font-size:14px}}
@media print{body{background:#fff}.long,pre{max-height:none}section,figure{break-inside:avoid}}
"""


def page(report: Mapping[str, Any], plots: Sequence[Plot] | None) -> str:
    """The whole file. ``plots`` None: they could not be drawn, which is said."""
    title = f"polyhost report: {report['account']}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{safe(title)}</title><style>{CSS}</style></head><body><main>\n" + "\n".join(_body(report, plots))
        + "\n</main></body></html>\n"
    )


def _body(report: Mapping[str, Any], plots: Sequence[Plot] | None) -> Iterable[str]:
    yield f"<h1>polyhost report <span class=quiet>{safe(report['account'])}, {safe(report['mode'])}</span></h1>"
    yield f"<p class=quiet>{safe(period(report))}; {safe(report['data_dir'])}; polyhost {safe(report['version'])}</p>"
    yield from (f'<p class="problem">{safe(problem)}</p>' for problem in report["problems"])
    yield f'<div class="heads">{"".join(_head(*each) for each in head(report))}</div>'
    if plots is None:
        yield f'<p class="problem">{safe(EXTRA)}</p>'
    elif plots:
        yield f'<div class="plots">{"".join(_figure(plot) for plot in plots)}</div>'
    day, plugin, reason, ender, *runs = profit_tables(report)
    yield f'<div class="pair">{_section(day)}<div>{_section(plugin)}{_section(ender)}</div></div>'
    yield from (_section(table) for table in (reason, *runs))
    yield from (_section(table) for table in open_tables(report))
    yield from _worst(report["worst"])
    yield from (_section(table) for table in cost_tables(report))
    for table in opinion_tables(report):
        yield _section(table, verdicts(report) if table.name == "scores" else ())
    yield _section(window_table(report))
    yield (
        '<p class="note">Amounts are rounded here; the exact ones show when pointed at, and stand in '
        "<code>polyhost report --json</code>. P&amp;L is of markets without open shares, fees included.</p>"
    )


def _head(name: str, figure: Cell, words: str) -> str:
    text, kind = _shown(figure)
    return f"<div><i>{safe(name)}</i><b{_class(kind)}>{text}</b><span>{safe(words)}</span></div>"


def _figure(plot: Plot) -> str:
    note = f'<p class="note">{safe(plot.note)}</p>' if plot.note else ""
    return f'<figure id="{safe(plot.name)}"><figcaption>{safe(plot.title)}</figcaption>{plot.svg}{note}</figure>'


def _section(table: Table, more: Sequence[str] = ()) -> str:
    said = f'<p class="note">{_words(table.note)}</p>' if table.note and table.rows else ""
    listed = f"<ul>{''.join(f'<li>{safe(line)}</li>' for line in more)}</ul>" if more else ""
    return f'<section id="table-{table.name}"><h2>{safe(table.title)}</h2>{_table(table)}{said}{listed}</section>'


def _words(text: str) -> str:
    """A sentence in which commands stand between backticks."""
    return "".join(
        f"<code>{safe(part)}</code>" if place % 2 else safe(part) for place, part in enumerate(text.split("`"))
    )


def _table(table: Table) -> str:
    if not table.rows:
        return f'<p class="empty">{safe(table.empty)}</p>'
    heads = "".join(f"<th{_class(_kind(column))}>{safe(column.title)}</th>" for column in table.columns)
    rows = "".join(_row(table, row) for row in table.rows)
    foot = f"<tfoot>{_row(table, table.total)}</tfoot>" if table.total else ""
    long = " long" if len(table.rows) > LONG else ""
    return (
        f'<div class="scroll{long}"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody>{foot}</table></div>'
    )


def _row(table: Table, row: Sequence[Cell]) -> str:
    cells = []
    for column, cell in zip(table.columns, row, strict=True):
        text, kind = _shown(cell)
        exact = f' title="{money_text(cell.micros)}"' if isinstance(cell, Amount) else ""
        cells.append(f"<td{_class(_kind(column), kind)}{exact}>{text}</td>")
    return f"<tr>{''.join(cells)}</tr>"


def _kind(column: Column) -> str:
    return " ".join(name for name, wanted in (("num", column.right), ("wide", column.wide)) if wanted)


def _class(*names: str) -> str:
    joined = " ".join(name for name in names if name)
    return f' class="{joined}"' if joined else ""


def _shown(cell: Cell) -> tuple[str, str]:
    """Markup and class."""
    if not isinstance(cell, Amount):
        return safe(cell), ""
    return money(cell.micros, signed=cell.signed), tone(cell.micros) if cell.signed else ""


def _worst(rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    if not rows:
        return
    yield '<section id="worst"><h2>Worst windows, and why</h2>'
    for each in rows:
        text, kind = _shown(Amount(micros(each["pnl"]), True))
        told = "".join(f"<li>{safe(line)}</li>" for line in worst_lines(each))
        yield (
            f'<div class="worst"><h3>{safe(window_text(each["slug"]))} <span{_class(kind)}>{text}</span></h3>'
            f"<ul>{told}</ul>{_why(each)}</div>"
        )
    yield "</section>"


def _why(each: Mapping[str, Any]) -> str:
    if each["why"] is None:
        return ""
    text = "\n".join(lines(each["why"]))
    return f"<details><summary>polyhost why window {safe(each['slug'])}</summary><pre>{safe(text)}</pre></details>"
