"""``docs/evidence.md``: the shipped strategies over recordings, every combination, the figures as they are.

``python -m polyhost.lab.evidence TAPES [-c FILE] > docs/evidence.md`` writes the page anew from a folder of recordings.
Nothing here chooses: all signals that answer, each alone and together, under each combiner, over every tape.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from polyhost.configuration import Loaded, load_configuration
from polyhost.extension.discovery import discover
from polyhost.lab.accounts import CENTRAL, FATES, joined
from polyhost.lab.backtest import Backtest, together
from polyhost.lab.compare import SEED, compared, interval
from polyhost.lab.plugins import running
from polyhost.lab.scoring import WINDOWS_MIN, intervals
from polyhost.lab.studied import Studying, table, tapes
from polyhost.lab.tape import Tape
from polyhost.model.money import Micros, money_text
from polyhost.model.records import CloseRecorded

STAKE: Final[Micros] = 25_000_000
"""Of each bet, collateral: the shipped stake."""
EDGE: Final = 0.02
"""The shipped edge."""
FIGURES: Final = re.compile(r"\b(UP|DOWN)\b|[-+]?\d+(\.\d+)?")
"""What differs between two exits for the same reason."""
ALL: Final = "all"
"""The signal set that leaves none out."""


class Recording(NamedTuple):
    """A tape that has books, and how the page calls it."""

    name: str
    title: str


RECORDINGS: Final = (
    Recording("cronos_btc5m_20260416_a", "BTC 5 m, 26 windows, 2026-04-16: full books, mostly of DOWN; no spot"),
    Recording("resolvedkit_btc15m_20260928_a", "BTC 15 m, 10 windows, 2026-09-28: top 20 of both tokens; no spot"),
    Recording("polybot_btc5m_20260820_w1", "BTC 5 m, 1 window, 2026-08-20: spot, TWAP, prints; quotes at its end"),
    Recording("frederick_btc15m_20260401_top", "BTC 15 m, 5 windows, 2026-04-01: top of book; no result, no spot"),
)
TRADES: Final = "calibration_trades.csv.gz"


class Combination(NamedTuple):
    """One configuration over one tape."""

    signals: str
    """``all``, or the one that is on."""
    combiner: str
    report: Mapping[str, Any]
    """The three accounts of the backtest."""
    estimate: Mapping[str, Any] | None
    """How the trading combiner scores under this set; None: it never answered."""


# --- figures ----------------------------------------------------------------------------------------------------------


def opinions(path: Path, config: Path | None) -> dict[str, Any]:
    """Every opinion of one tape, scored."""
    return compared(tapes([path], _loaded(config)), STAKE, EDGE)


def together_scored(paths: Sequence[Path], config: Path | None) -> dict[str, Any]:
    """All tapes as one sample, each run by itself: months lie between them, which a host would wait through."""
    studying, runs = Studying(), []
    for path in paths:
        loaded = _loaded(config)
        with running(loaded) as plugins:
            run = Backtest(loaded.configuration, plugins, loaded.config_hash, study=studying.take)
            run.run([Tape(path)])
        runs.append(run)
    return compared(studying.studied(*runs), STAKE, EDGE)


def trades(path: Path) -> dict[str, Any]:
    """The recorded trades of another bot."""
    return compared(table(path), STAKE, EDGE)


def combinations(path: Path, config: Path | None, answering: Sequence[str]) -> Iterator[Combination]:
    """All signals together and each that answers on this tape alone, under every combiner."""
    signals, combiners = _named(config, "signal"), _named(config, "combine")
    for kept in (ALL, *(answering if len(answering) > 1 else ())):
        for combiner in combiners:
            off = [name for name in signals if kept not in (ALL, name)]
            yield _combination(path, config, kept, combiner, off)


def _combination(path: Path, config: Path | None, kept: str, combiner: str, off: Sequence[str]) -> Combination:
    loaded = _loaded(config, {"evaluation.combiner": combiner} | {f"plugins.{name}.enabled": False for name in off})
    studying = Studying()
    with ExitStack() as stack:
        passes = [
            Backtest(
                loaded.configuration, stack.enter_context(running(loaded)), loaded.config_hash,
                study=studying.take if fate is CENTRAL else None, fate=fate,
            )
            for fate in FATES
        ]
        reports = together(passes, [Tape(path)])
    report = joined({each.fate.name: found for each, found in zip(passes, reports, strict=True)})
    central = next(each for each in passes if each.fate is CENTRAL)
    report["closes"], report["window"] = closes(central), a_window(report)
    scored = compared(studying.studied(central), STAKE, EDGE)
    estimate = next((each for each in scored["forecasters"] if each["name"] == combiner), None)
    return Combination(kept, combiner, report, estimate)


def a_window(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """The central account's P&L a settled window, with its interval over windows."""
    made = [float(each["pnl"]) for each in report["by_window"] if each["outcome"] and each["pnl"] is not None]
    return interval(intervals(np.array(made)[:, None], SEED)[0]) if made else None


def closes(run: Backtest) -> dict[str, tuple[int, Micros]]:
    """Why positions ended, without its figures → how many, and their P&L."""
    found: dict[str, tuple[int, Micros]] = defaultdict(lambda: (0, 0))
    for _, record in run.journal.read():
        if isinstance(record, CloseRecorded):
            why = FIGURES.sub("…", record.exit_reason)
            count, pnl = found[why]
            found[why] = count + 1, pnl + record.pnl
    return dict(sorted(found.items()))


def _loaded(config: Path | None, overrides: Mapping[str, object] | None = None) -> Loaded:
    return load_configuration(config, overrides or {}, env={})


def _named(config: Path | None, hook: str) -> list[str]:
    """Plugins that run and have this hook."""
    loaded = _loaded(config)
    found = discover(loaded.configuration, loaded.base, str(loaded.path or ""), places=loaded.place)
    return [plugin.name for plugin in found if plugin.runs and hook in plugin.hooks]


# --- the page ---------------------------------------------------------------------------------------------------------

HEAD: Final = """\
# Evidence

What the shipped plugins, with their shipped settings, did on recordings of the real market: every combination of
signals and combiners, the figures as they came out, losses included. No setting was chosen on these recordings.
Written by

    python -m polyhost.lab.evidence TAPES -c config/polyhost.toml > docs/evidence.md

where `TAPES` is the folder of recordings; a test runs a part of it again and compares. How scores and intervals are
made: [compare.md](compare.md).

## What this sample can and can't say
- {windows} settled windows in all, of one symbol, on three days. With so many, `compare` would tell a difference to
  the market's Brier score of about {detectable:.3f}. A good signal's would be a tenth of that: this sample can show
  that something is badly wrong; it cannot show that something is good.
- Spot is on one tape alone, of a single window. What needs spot (`binance_momentum`, `divergence`, `indicators`) is
  silent on the others and says so: nothing here speaks for or against it.
- Trade prints are on one tape, and both tokens' books on some: `order_flow` often sees less than it could.
- The queue is not on a tape: how a resting order would have fared is unknown. So every profit is told three times
  (pessimistic, central, optimistic), and called *not evidence* where its sign differs. Orders of ours move nobody.
- A profit *however orders fare* is none that can be counted on: it says that the queue does not decide its sign, no
  more. Beside it stands the P&L a window with its interval over windows; where that holds 0, luck explains it.
- {unsettled} windows have no result on their tape. They are counted, and in no figure.
- Breakers are as shipped: after a day's loss of 50 or a drawdown of 5 % a backtest enters no more, so a worse
  strategy may lose less on the longer tape.
- Many figures stand side by side. One in twenty comparisons looks like something by chance alone.
"""


def page(folder: Path, config: Path | None) -> str:
    """The whole page; tapes are worked on side by side."""
    paths = [_path(folder, each.name) for each in RECORDINGS]
    with ProcessPoolExecutor() as pool:
        tapes_told = [pool.submit(_recorded, path, config) for path in paths]
        whole = pool.submit(together_scored, paths, config).result()
        told = [each.result() for each in tapes_told]
    parts = [
        HEAD.format(windows=whole["windows"], unsettled=whole["unsettled"], detectable=_detectable(whole)),
        "## All recordings together\n", scores(whole),
    ]
    for each, text in zip(RECORDINGS, told, strict=True):
        parts += [f"## {each.title}\n", text]
    parts += ["## Trades of another bot\n", traded(folder)]
    return "\n".join(parts).rstrip() + "\n"


def _recorded(path: Path, config: Path | None) -> str:
    return "\n".join(recorded(path, config))


def recorded(path: Path, config: Path | None) -> Iterator[str]:
    """One tape's part of the page."""
    scored = opinions(path, config)
    yield f"`{path.name}`\n"
    yield scores(scored)
    answering = [each["name"] for each in scored["forecasters"] if each["kind"] == "signal"]
    if scored["windows"]:
        yield traded_combinations(list(combinations(path, config, answering)))


def traded(folder: Path) -> str:
    """The other bot's part of the page."""
    return (
        f"`{TRADES}`: what its model thought of the side it bought, and what it paid. It entered only where it was\n"
        "above the price, which is where a model is most likely to be wrong.\n\n" + scores(trades(folder / TRADES))
    )


def scores(report: Mapping[str, Any]) -> str:
    """Counts, a table of scores, the verdicts."""
    about = (
        f"Settled windows: {report['windows']}; evaluations scored: {report['scored']} of {report['evaluations']}; "
        f"windows without a result: {report['unsettled']}."
    )
    lines = [about, *(f"Left out, {why}: {count}." for why, count in report["left_out"].items())]
    if not report["forecasters"]:
        return "\n".join([*lines, "Nothing to score.", ""])
    rows = [("", "windows", "Brier", "less market's", "log loss", "hit rate", "bets", "P&L of bets a window")]
    for each in report["forecasters"]:
        rows.append((
            each["name"], str(each["windows"]), _shown(each["brier"]), _shown(each["brier_difference"], "+"),
            _shown(each["log_loss"], digits=3), _shown(each["hit_rate"], digits=2), str(each["bets"]),
            _shown(each["pnl_window"], "+", digits=2),
        ))
    return "\n".join([*lines, "", *_table(rows), "", *(f"- {text}" for text in report["verdicts"]), ""])


def traded_combinations(found: Sequence[Combination]) -> str:
    """What each combination traded, and why its positions ended."""
    names = [fate.name for fate in FATES]
    rows = [("signals", "combiner", "its Brier", "less market's", "fills", *names, "central, a window", "evidence")]
    for each in found:
        pnl, brier = each.report["pnl"], each.estimate or {}
        rows.append((
            each.signals, each.combiner, _shown(brier.get("brier")), _shown(brier.get("brier_difference"), "+"),
            str(each.report["fills"]), *(f"{float(pnl[name]):+.2f}" for name in names),
            _shown(each.report["window"], "+", digits=2), each.report["evidence"].partition(":")[0],
        ))
    endings: dict[str, tuple[int, Micros]] = defaultdict(lambda: (0, 0))
    for each in found:
        for why, (count, pnl) in each.report["closes"].items():
            endings[why] = endings[why][0] + count, endings[why][1] + pnl
    lines = ["Backtests, P&L after fees:", "", *_table(rows), ""]
    if endings:
        told = ", ".join(f"{why} {count} ({money_text(pnl)})" for why, (count, pnl) in sorted(endings.items()))
        lines += [f"Why positions ended, over all of these together (central account; times, P&L): {told}.", ""]
    return "\n".join(lines)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]]


def _shown(found: Mapping[str, Any] | None, sign: str = "", digits: int = 4) -> str:
    if found is None:
        return "-"
    form = f"{sign}.{digits}f"
    if found["low"] is None:
        return f"{found['value']:{form}}"
    return f"{found['value']:{form}} ({found['low']:{form}} to {found['high']:{form}})"


def _detectable(report: Mapping[str, Any]) -> float:
    """The Brier difference to the market that this many windows would tell, at a combiner's spread of differences."""
    windows = report["windows"]
    sizes = [
        abs(each["brier_difference"]["value"]) * (each["windows_needed"] / windows) ** 0.5
        for each in report["forecasters"]
        if each["kind"] == "combiner" and (each["windows_needed"] or 0) > WINDOWS_MIN
    ]
    return max(sizes, default=0.0)


def _path(folder: Path, name: str) -> Path:
    found = sorted(folder.glob(f"{name}*"))
    if not found:
        raise SystemExit(f"no recording {name} in {folder}")
    return found[0]


def main(args: Sequence[str] | None = None) -> None:
    """Write the page to standard output."""
    parser = argparse.ArgumentParser(prog="python -m polyhost.lab.evidence", description="Write docs/evidence.md anew.")
    parser.add_argument("tapes", type=Path, help="the folder of recordings")
    parser.add_argument("-c", "--config", type=Path, default=None)
    chosen = parser.parse_args(args)
    sys.stdout.write(page(chosen.tapes, chosen.config))


if __name__ == "__main__":
    main()
