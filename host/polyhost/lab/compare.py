"""``polyhost compare``: who was right, who would have earned, and whether the data can tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import isnan
from typing import Any, Final

from polyhost import __version__
from polyhost.lab.scoring import (
    LEVEL,
    MARKET,
    RESAMPLES,
    Bet,
    Interval,
    Pairing,
    Sample,
    Scores,
    paired,
    scored,
    verdict,
)
from polyhost.lab.studied import PARTS, Studied
from polyhost.model.money import Micros, money_text

SEED: Final = 1
"""Of the bootstrap."""
SHOWN_ROWS: Final = 20
"""Bad rows that are named one by one."""
POWER: Final = "n = ((1.960 + 0.842) s / d)^2: s the standard deviation of the windows' differences, d their mean"


def compared(studied: Studied, stake: Micros, edge_min: float, seed: int = SEED) -> dict[str, Any]:
    """The report. ``stake`` of each bet, fee included; ``edge_min``: probability less cost, collateral a share."""
    sample = studied.sample
    report: dict[str, Any] = {
        "source": studied.source, "windows": studied.windows, "unsettled": studied.unsettled, "void": studied.void,
        "evaluations": studied.evaluations, "scored": 0 if sample is None else len(sample.unit),
        "left_out": studied.left_out, "parts": 0 if studied.source == "csv" else PARTS,
        "weight": "every window weighs the same", "baseline": MARKET, "trading": studied.trading,
        "combiners": studied.combiners, "signals": studied.signals,
        "bet": {"stake": money_text(stake), "edge_min": edge_min, "at": "recorded ask and taker fee, to the result"},
        "bootstrap": {"unit": "window", "resamples": RESAMPLES, "level": LEVEL, "seed": seed},
        "power": POWER, "forecasters": [], "pairs": [], "verdicts": [],
        "bad_rows": [{"line": row.line, "problem": row.problem} for row in studied.bad_rows[:SHOWN_ROWS]],
        "bad_row_count": len(studied.bad_rows), "assumed": studied.assumed, "notes": studied.notes,
        "version": __version__,
    }
    if sample is not None:
        _score(report, studied, sample, Bet(stake / 1e6, edge_min), seed)
    return report


def _score(report: dict[str, Any], studied: Studied, sample: Sample, bet: Bet, seed: int) -> None:
    found = scored(sample, bet, seed)
    pairs = [paired(sample, *names, seed) for names in combinations(studied.combiners, 2)]
    report["forecasters"] = [_forecaster(each, studied) for each in found]
    report["pairs"] = [_pair(pair) for pair in pairs]
    report["verdicts"] = [pair_verdict(pair) for pair in pairs] + [
        market_verdict(each) for each in found if each.name in studied.combiners
    ]


def pair_verdict(pair: Pairing) -> str:
    return verdict(pair.first, pair.second, pair.windows, pair.difference, pair.windows_needed)


def market_verdict(each: Scores) -> str:
    return verdict(each.name, "the market's price", each.windows, each.brier_difference, each.windows_needed)


def _forecaster(each: Scores, studied: Studied) -> dict[str, Any]:
    kind = "baseline" if each.name == MARKET else "combiner" if each.name in studied.combiners else "signal"
    market = each.name == MARKET
    return {
        "name": each.name, "kind": kind, "windows": each.windows, "evaluations": each.evaluations,
        "abstained": each.abstained, "brier": interval(each.brier), "log_loss": interval(each.log_loss),
        "hit_rate": interval(each.hit_rate),
        "brier_difference": None if market else interval(each.brier_difference),
        "log_loss_difference": None if market else interval(each.log_loss_difference),
        "windows_needed": None if market else each.windows_needed, "bets": each.bets,
        "pnl": f"{each.pnl:.6f}", "pnl_window": interval(each.pnl_window),
        "reliability": [
            {
                "from": one.low, "to": one.high, "evaluations": one.evaluations, "said": round(one.said, 6),
                "came_true": round(one.came_true, 6),
            }
            for one in each.reliability
        ],
        "verdict": "" if market else market_verdict(each),
    }


def _pair(pair: Pairing) -> dict[str, Any]:
    return {
        "first": pair.first, "second": pair.second, "windows": pair.windows, "evaluations": pair.evaluations,
        "brier_difference": interval(pair.difference), "windows_needed": pair.windows_needed,
        "verdict": pair_verdict(pair),
    }


def interval(found: Interval) -> dict[str, float | None] | None:
    """None: there was nothing to average; without ends: there was one window."""
    if isnan(found.value):
        return None
    ends = {name: None if isnan(end) else round(end, 6) for name, end in (("low", found.low), ("high", found.high))}
    return {"value": round(found.value, 6), **ends}


# --- for people -------------------------------------------------------------------------------------------------------

HEAD: Final = ("", "windows", "evals", "Brier", "less market's", "log loss", "hit rate", "bets", "P&L", "P&L a window")


def text_lines(report: Mapping[str, Any]) -> list[str]:
    """The report in words and tables."""
    lines = _about(report)
    if report["forecasters"]:
        lines += ["", *_aligned([HEAD, *(_row(each) for each in report["forecasters"])])]
        lines += ["", *_reliability_lines(report["forecasters"])]
        count = len(report["forecasters"]) - 1 + len(report["pairs"])
        lines += ["", *report["verdicts"]]
        lines.append(f"{count} comparisons at 95 %: about one in twenty looks like something by chance alone.")
        lines.append(f"Windows that would tell: {report['power']} (5 % two-sided, power 80 %).")
    else:
        lines.append("Nothing to score: no settled window has an evaluation with a price and an estimate.")
    return lines


def _about(report: Mapping[str, Any]) -> list[str]:
    parts = f", the first in each {report['parts']}th of a window" if report["parts"] else ""
    scored = f"{report['windows']} windows, {report['scored']} evaluations scored of {report['evaluations']}{parts}"
    lines = [
        f"{scored}; {report['unsettled']} windows without a result, {report['void']} without a winner are left out"
    ]
    lines += [f"left out: {why}: {count}" for why, count in report["left_out"].items()]
    lines += [f"line {row['line']} left out: {row['problem']}" for row in report["bad_rows"]]
    if (more := report["bad_row_count"] - len(report["bad_rows"])) > 0:
        lines.append(f"and {more} more lines")
    lines += [*report["notes"]]
    if report["assumed"]:
        lines.append(f"assumed, because the source does not tell: {', '.join(report['assumed'])}")
    bet = report["bet"]
    lines.append(
        f"every window weighs the same; intervals: 95 %, bootstrap over windows; bets of {bet['stake']} where "
        f"probability less ask and fee is {bet['edge_min']:g} or more, the first in a window, held to the result"
    )
    return lines


def _row(each: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"{each['name']}", str(each["windows"]), str(each["evaluations"]), _shown(each["brier"]),
        _shown(each["brier_difference"], "+"), _shown(each["log_loss"]), _shown(each["hit_rate"], digits=3),
        str(each["bets"]), f"{float(each['pnl']):+.2f}", _shown(each["pnl_window"], "+", digits=2),
    )


def _shown(found: Mapping[str, Any] | None, sign: str = "", digits: int = 4) -> str:
    if found is None:
        return "-"
    form = f"{sign}.{digits}f"
    if found["low"] is None:
        return f"{found['value']:{form}}"
    return f"{found['value']:{form}} ({found['low']:{form}} to {found['high']:{form}})"


def _reliability_lines(forecasters: Sequence[Mapping[str, Any]]) -> list[str]:
    """How often UP came true where it was said to have a chance of 0 to 0.1, 0.1 to 0.2, …; evaluations in brackets."""
    starts = sorted({one["from"] for each in forecasters for one in each["reliability"]})
    rows = [("said", *(each["name"] for each in forecasters))]
    for start in starts:
        cells = []
        for each in forecasters:
            one = next((one for one in each["reliability"] if one["from"] == start), None)
            cells.append("-" if one is None else f"{one['came_true']:.3f} ({one['evaluations']})")
        rows.append((f"{start:.1f} to {start + 0.1:.1f}", *cells))
    return ["came true, by what was said (evaluations):", *_aligned(rows)]


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Columns under each other, the first to the left, the others to the right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
