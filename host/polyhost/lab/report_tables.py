"""A report's object as tables for a person: titles, columns, cells and notes, the same on a terminal and on the page.

A cell is text, or an amount that the reader's medium colours and rounds; nothing here knows which medium that is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, TypeAlias

from polyhost.model.money import Micros, micros
from polyhost.model.times import moment_text

SLIPPAGE: Final = (
    "the price against the best one that the decision saw, of fills that took liquidity; below 0 is better"
)


class Amount(NamedTuple):
    """Collateral; ``signed``: a gain or a loss."""

    micros: Micros
    signed: bool = False


Cell: TypeAlias = str | Amount


class Column(NamedTuple):
    title: str
    right: bool = False
    """Figures stand to the right."""
    wide: bool = False
    """Left out where there is little room."""


class Table(NamedTuple):
    """One table. ``name`` is stable, for tests and links."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    total: tuple[Cell, ...] = ()
    """The last row; empty: none."""
    note: str = ""
    empty: str = ""
    """What is said instead of a table without rows."""


def amount(text: str, *, signed: bool = False) -> Amount:
    """A decimal string of the object."""
    return Amount(micros(text), signed)


def window_text(slug: str) -> str:
    """``btc-updown-5m-1795237200`` as ``BTC 5m 11-21 17:00``; any other slug is itself."""
    parts = slug.split("-")
    if len(parts) == 4 and parts[1] == "updown" and parts[3].isdigit():
        return f"{parts[0].upper()} {parts[2]} {datetime.fromtimestamp(int(parts[3]), UTC):%m-%d %H:%M}"
    return slug


def share(part: int, whole: int) -> str:
    """``3 of 8 (38 %)``."""
    return f"{part} of {whole}" + (f" ({round(100 * part / whole)} %)" if whole else "")


def period(report: Mapping[str, Any]) -> str:
    """Of when the figures are."""
    if report["first_at"] is None:
        return "nothing happened in that time"
    return f"{moment_text(report['first_at'])} to {moment_text(report['last_at'])} UTC (market time)"


def head(report: Mapping[str, Any]) -> list[tuple[str, Cell, str]]:
    """The figures that matter most: (what, figure, in a few words)."""
    pnl, costs, opened, cash = report["pnl"], report["costs"]["total"], report["open"], report["cash"]
    return [
        ("P&L", amount(pnl["central"], signed=True), f"after {_text(pnl['fees'])} of fees, before rewards"),
        ("windows", share(pnl["windows_won"], pnl["windows"]), f"won, {pnl['windows_lost']} lost"),
        ("closes", share(pnl["won"], pnl["closes"]),
         f"won, {_text(pnl['gained'])} in all; lost {_text(pnl['lost_money'])}"),
        ("drawdown", amount(pnl["drawdown"]), "deepest fall of the realised P&L"),
        ("fees", amount(costs["fees"]), f"on {_text(costs['volume'])} traded in {costs['fills']} fills"),
        ("slippage", amount(costs["slippage"]), f"against the quotes seen, {costs['measured_fills']} fills"),
        ("rewards", amount(report["rewards"]["paid"]), "paid"),
        ("cash", amount(cash["end"]), f"unredeemed included; it began with {_text(cash['start'])}"),
        ("open", amount(opened["in_positions"]), f"in {len(opened['positions'])} positions, at cost"),
        ("unredeemed", amount(opened["unredeemed"]), f"of {len(opened['unredeemed_windows'])} decided windows"),
    ]


def _text(decimal: str) -> str:
    """Two places."""
    return f"{micros(decimal) / 1e6:,.2f}"


def profit_tables(report: Mapping[str, Any]) -> Iterator[Table]:
    """P&L by day, plugin, exit reason, who ended it, run and window; each sums to the same."""
    total = report["pnl"]
    yield Table(
        "by_day", "P&L by day (UTC)", (Column("day"), Column("windows", True, wide=True), *_FIGURES),
        tuple((row["day"], str(row["windows"]), *_figures(row)) for row in report["by_day"]),
        ("all", str(total["windows"]), *_total(total)), empty="No position was closed in that time.",
    )
    yield Table(
        "by_plugin", "P&L by the plugin that bought", (Column("plugin"), *_FIGURES),
        tuple((row["plugin"], *_figures(row)) for row in report["by_plugin"]), ("all", *_total(total)),
        note="Where several bought, each has what its shares brought less what it paid; such a close counts for each.",
    )
    yield Table(
        "by_exit_reason", "P&L by exit reason", (Column("reason"), *_FIGURES),
        tuple((row["reason"], *_figures(row)) for row in report["by_exit_reason"]), ("all", *_total(total)),
        note="N stands for figures and SIDE for UP or DOWN, so that equal reasons are counted together.",
    )
    yield Table(
        "by_ender", "P&L by who ended it", (Column("ended by"), *_FIGURES),
        tuple((row["ended_by"], *_figures(row)) for row in report["by_ender"]), ("all", *_total(total)),
    )
    if len(report["by_run"]) > 1:
        yield _runs(report["by_run"], total)


def _runs(rows: Sequence[Mapping[str, Any]], total: Mapping[str, Any]) -> Table:
    """Those with a close."""
    kept = [row for row in rows if row["closes"]]
    left = len(rows) - len(kept)
    return Table(
        "by_run", "P&L by run", (Column("run"), Column("mode", wide=True), Column("ended", wide=True), *_FIGURES),
        tuple((row["run"], row["mode"], row["ended"] or "not properly, or runs", *_figures(row)) for row in kept),
        ("all", "", "", *_total(total)), note=f"{left} runs without a close are left out." if left else "",
        empty="No position was closed in that time.",
    )


def window_table(report: Mapping[str, Any], most: int | None = None) -> Table:
    """P&L by window, the latest first; ``most`` of them."""
    rows = report["by_window"][::-1]
    left = 0 if most is None else max(len(rows) - most, 0)
    return Table(
        "by_window", "P&L by window",
        (Column("window"), Column("won"), Column("P&L", True), Column("fees", True, wide=True),
         Column("ended by", wide=True)),
        tuple(
            (
                window_text(row["slug"]), row["outcome"] or "undecided", amount(row["pnl"], signed=True),
                amount(row["fees"]), "; ".join(row["reasons"]),
            )
            for row in rows[: len(rows) - left]
        ),
        ("all", "", amount(report["pnl"]["central"], signed=True), amount(report["pnl"]["fees"]), ""),
        note=f"The latest of {len(rows)}; --html and --json have all." if left else "",
        empty="No position was closed in that time.",
    )


_FIGURES: Final = (Column("closes", True), Column("won", True), Column("fees", True), Column("P&L", True))


def _figures(row: Mapping[str, Any]) -> tuple[Cell, ...]:
    return str(row["closes"]), str(row["won"]), amount(row["fees"]), amount(row["pnl"], signed=True)


def _total(pnl: Mapping[str, Any]) -> tuple[Cell, ...]:
    return str(pnl["closes"]), str(pnl["won"]), amount(pnl["fees"]), amount(pnl["central"], signed=True)


def open_tables(report: Mapping[str, Any]) -> Iterator[Table]:
    """What stands apart from P&L: open positions, windows that are not redeemed."""
    opened = report["open"]
    if opened["positions"]:
        yield Table(
            "open", "Open positions",
            (Column("window"), Column("side"), Column("size", True), Column("entry", True), Column("cost", True),
             Column("worth", True), Column("held", wide=True)),
            tuple(
                (
                    window_text(row["slug"]), row["side"], row["size"], row["average"], amount(row["cost"]),
                    "-" if row["worth"] is None else amount(row["worth"]), row["held"] or "",
                )
                for row in opened["positions"]
            ), note="Worth at the best bid of the last evaluation. In no P&L above." + _realised(opened),
        )
    if opened["unredeemed_windows"]:
        yield Table(
            "unredeemed", "Decided and not redeemed", (Column("window"), Column("pays", True)),
            tuple((window_text(row["slug"]), amount(row["amount"])) for row in opened["unredeemed_windows"]),
            ("all", amount(opened["unredeemed"])), note="In the P&L above; `polyhost redeem` makes it free.",
        )


def _realised(opened: Mapping[str, Any]) -> str:
    if not opened["closes"]:
        return ""
    return f" Their windows have {opened['closes']} closes already, of {_text(opened['realised'])}: not counted yet."


def cost_tables(report: Mapping[str, Any]) -> Iterator[Table]:
    """Fees and slippage by what orders were for; rewards by day and market."""
    costs = report["costs"]
    yield Table(
        "costs", "Fees and slippage",
        (Column("purpose"), Column("role"), Column("fills", True, wide=True), Column("volume", True),
         Column("fees", True),
         Column("schedule", True, wide=True), Column("slippage", True), Column("a share", True, wide=True)),
        tuple((row["purpose"], row["role"], *_costs(row)) for row in costs["by_purpose"]),
        ("all", "", *_costs(costs["total"])),
        note=f"Schedule: the fees that the markets' own rules give. Slippage: {SLIPPAGE}.", empty="Nothing was traded.",
    )
    earned = report["rewards"]["earned"]
    if earned:
        yield Table(
            "rewards", "Rewards and rebates earned, as the venue tells them",
            (Column("day"), Column("window"), Column("rewards", True), Column("rebates", True)),
            tuple(
                (row["day"], window_text(row["slug"] or row["condition_id"]), amount(row["rewards"]),
                 amount(row["rebates"]))
                for row in earned
            ),
            ("all", "", Amount(sum(micros(row["rewards"]) for row in earned)),
             Amount(sum(micros(row["rebates"]) for row in earned))),
            note="Earned, whether or not it was paid; what was paid is in the books.",
        )


def _costs(row: Mapping[str, Any]) -> tuple[Cell, ...]:
    worse = row["slippage_ticks"]
    return (
        str(row["fills"]), amount(row["volume"]), amount(row["fees"]), amount(row["scheduled_fees"]),
        amount(row["slippage"]) if row["measured_fills"] else "-", "-" if worse is None else f"{worse / 10_000:+.4f}",
    )


def opinion_tables(report: Mapping[str, Any]) -> Iterator[Table]:
    """How right combiners and signals were, how what they said came true, and what became of the entries wanted."""
    opinions = report["opinions"]
    scores = opinions["scores"]
    if scores is not None:
        yield _scores(scores)
        yield from _reliability(scores)
    if opinions["wanted"]:
        yield Table(
            "wanted", "Entries that plugins wanted",
            (Column("plugin"), Column("wanted", True), Column("became orders", True), Column("else")),
            tuple(
                (row["plugin"], str(row["wanted"]), str(row["orders"]), ", ".join(
                    f"{count} {name}" for name, count in row["outcomes"].items() if name != "order"))
                for row in opinions["wanted"]
            ),
        )
    if opinions["refused_by"]:
        yield Table(
            "refused_by", "Who kept entries out", (Column("by"), Column("gate"), Column("times", True)),
            tuple((row["by"], row["gate"], str(row["count"])) for row in opinions["refused_by"]),
        )


def _scores(scores: Mapping[str, Any]) -> Table:
    return Table(
        "scores", "How right they were",
        (Column("forecaster"), Column("windows", True, wide=True), Column("Brier", True),
         Column("less market's", True), Column("95 % interval", True, wide=True), Column("hit rate", True, wide=True),
         Column("bets", True, wide=True), Column("of bets a window", True, wide=True)),
        tuple(
            (
                _named(each, scores), str(each["windows"]), _figure(each["brier"], ".4f"),
                _figure(each["brier_difference"], "+.4f"), _interval(each["brier_difference"]),
                _figure(each["hit_rate"], ".3f"), str(each["bets"]),
                _figure(each["pnl_window"], "+.2f"),
            )
            for each in scores["forecasters"]
        ),
        note="Brier: 0 is perfect, 0.25 says even always; below 0 less the market's is better than the price. "
        "Bets: one a window of 25.00 at the recorded ask, held to the result. `polyhost compare` "
        "says more.",
        empty="No settled window of that time has an evaluation with a price and an estimate.",
    )


def _named(each: Mapping[str, Any], scores: Mapping[str, Any]) -> str:
    if each["name"] == scores["trading"]:
        return f"{each['name']} (trades)"
    return str(each["name"]) if each["kind"] == "signal" else f"{each['name']} ({each['kind']})"


def _figure(found: Mapping[str, Any] | None, form: str) -> str:
    return "-" if found is None else f"{found['value']:{form}}"


def _interval(found: Mapping[str, Any] | None) -> str:
    return "-" if found is None or found["low"] is None else f"{found['low']:+.4f} to {found['high']:+.4f}"


def calibrated(scores: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The forecasters whose calibration is shown: the market, then the combiners."""
    return [each for each in scores["forecasters"] if each["kind"] != "signal"]


def _reliability(scores: Mapping[str, Any]) -> Iterator[Table]:
    shown = calibrated(scores)
    starts = sorted({one["from"] for each in shown for one in each["reliability"]})
    if not starts:
        return
    yield Table(
        "reliability", "Calibration: how often UP came true",
        (Column("chance given"), *(Column(each["name"], True) for each in shown)),
        tuple((f"{start:.1f} to {start + 0.1:.1f}", *(_bin(each, start) for each in shown)) for start in starts),
        note="By the chance that was given; in brackets evaluations. Who means what it says stays inside the row's "
        "range.",
    )


def _bin(each: Mapping[str, Any], start: float) -> str:
    found = next((one for one in each["reliability"] if one["from"] == start), None)
    return "-" if found is None else f"{found['came_true']:.2f} ({found['evaluations']})"


def verdicts(report: Mapping[str, Any]) -> Sequence[str]:
    scores = report["opinions"]["scores"]
    return () if scores is None else scores["verdicts"]


def worst_lines(each: Mapping[str, Any]) -> Iterable[str]:
    """Why a window lost, in a few lines: what was bought and sold for which reason, and how it ended."""
    why = each["why"]
    if why is not None:
        won = why["winner"] or ("50-50" if why["settled"] else "undecided")
        yield f"{won} won; {why['entries']} entries, {why['exits']} exits"
        for order in why["orders"]:
            if order["matched"] != "0":
                yield (
                    f"{order['purpose']}: {order['action']} {order['matched']} {order['side']}, limit "
                    f"{order['price']}, by {order['why'].get('plugin') or 'host'}: {order['why'].get('reason', '')}"
                )
    for close in each["closes"]:
        side = f"{close['side']} " if close["side"] else ""
        yield f"{side}ended at {moment_text(close['at'])}, {_text(close['pnl'])}: {close['reason']}"
