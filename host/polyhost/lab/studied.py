"""Settled evaluations as samples to score: from a data folder, from tapes, or from a table of trades.

Evaluations are taken on a grid: of each window the first in every one of ``PARTS`` equal parts, so that a window
counts by its time and not by how often it was looked at. All forecasters are scored on the same evaluations: those at
which the market had a price and every combiner that ever answers did; a signal is scored on those of them at which it
had an opinion, always beside the market on just these.
"""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, Final, TextIO

import msgspec
import numpy as np
from msgspec import Struct, field

from polyhost.configuration import Loaded
from polyhost.errors import PolyhostError
from polyhost.journal.evaluations import evaluations, results
from polyhost.journal.status import ANALYSIS_FILE, JOURNAL_FILE
from polyhost.lab.backtest import Backtest
from polyhost.lab.plugins import running
from polyhost.lab.scoring import MARKET, Floats, Sample
from polyhost.lab.tape import Tape
from polyhost.model.commands import Analyse
from polyhost.model.market import Fees
from polyhost.model.money import ONE
from polyhost.model.study import Evaluation
from polyhost.model.times import NEVER
from polyhost.model.words import Side

PARTS: Final = 20
"""Of a window: every 15 s of five minutes, every 45 s of fifteen."""
COLUMNS: Final = ("model_prob_of_side", "entry_price", "won")
"""Of a table of trades; others are ignored but for the window's name."""
WINDOW_COLUMNS: Final = ("window", "market", "slug", "condition_id")
"""The first of these that there is names the window of a row; without any each row is its own."""
ASSUMED_FEES: Final = Fees(70_000)
"""Of a table of trades, which tells none: the venue's schedule for crypto markets."""
WON: Final[Mapping[str, float]] = {"1": 1.0, "0": 0.0, "true": 1.0, "false": 0.0, "1.0": 1.0, "0.0": 0.0}


class CompareError(PolyhostError):
    """What was given cannot be scored. Exit code 2."""

    exit_code = 2


class BadRow(Struct, frozen=True):
    """A row of a table that was left out."""

    line: int
    problem: str


class Studied(Struct):
    """What is scored, and what is not and why."""

    source: str
    """live, tapes or csv."""
    sample: Sample | None
    """None: nothing to score."""
    combiners: list[str] = field(default_factory=list)
    signals: list[str] = field(default_factory=list)
    trading: str = ""
    windows: int = 0
    """Settled windows with an evaluation that is scored."""
    unsettled: int = 0
    """Windows with evaluations and without a result: left out."""
    void: int = 0
    """Windows with a 50-50 result: left out."""
    evaluations: int = 0
    """All that there were, on the grid or not."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Why → how many evaluations of settled windows on the grid are not scored."""
    bad_rows: list[BadRow] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


# --- evaluations ------------------------------------------------------------------------------------------------------


def live(folder: Path, since: int = 0, until: int = NEVER) -> Studied:
    """What a data folder holds; a run may be active. ``since``, ``until``: only windows whose first evaluation is in
    [since, until), market ms. Raises JournalError."""
    won = results(folder / JOURNAL_FILE)
    rows: list[Evaluation] = []
    total = 0
    with evaluations(folder / ANALYSIS_FILE) as reader:
        if reader is None:
            return Studied("live", None)
        for market in reader.markets():
            first = next(reader.rows(market), None)
            if first is not None and not since <= first.at < until:
                continue
            total += reader.count(market)
            if first is not None:
                rows += reader.first_of_parts(market, *_bounds(first), PARTS)
        older = reader.older
    studied = sampled("live", rows, won)
    studied.evaluations = total
    if older:
        studied.left_out["written by an older host"] = older
    return studied


def tapes(paths: Sequence[Path], loaded: Loaded) -> Studied:
    """The host over tapes, with this configuration's plugins. Raises TapeError, ConfigError, PluginError."""
    studying = Studying()
    with running(loaded) as plugins:
        run = Backtest(loaded.configuration, plugins, loaded.config_hash, study=studying.take)
        run.run([Tape(path) for path in paths])
    return studying.studied(run)


class Studying:
    """Takes the rows of a backtest and keeps the first evaluation of each part of each window."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, int], Evaluation] = {}
        self._bounds: dict[str, tuple[int, int]] = {}

    def take(self, command: Analyse) -> None:
        """A backtest's ``study``."""
        if command.table != "evaluations":
            return
        row = msgspec.convert(command.row, Evaluation)
        start, end = self._bounds.setdefault(row.condition_id, _bounds(row))
        self._rows.setdefault((row.condition_id, (row.at - start) * PARTS // (end - start)), row)

    def studied(self, *runs: Backtest) -> Studied:
        """After the run, or after all runs that it has taken rows from."""
        markets = [entry for run in runs for entry in run.kernel.state.markets.values()]
        won = {entry.market.condition_id: entry.winner for entry in markets if entry.settled}
        studied = sampled("tapes", self._rows.values(), won)
        studied.evaluations = sum(run.kernel.evaluations for run in runs)
        studied.assumed = sorted({name for entry in markets for name in entry.market.assumed})
        return studied


def _bounds(first: Evaluation) -> tuple[int, int]:
    """[start, end) of a window in market ms; a market without a window begins with its first evaluation."""
    end = first.at + first.time_left_ms
    return (first.at if first.opens_at is None else first.opens_at), end


def sampled(source: str, rows: Iterable[Evaluation], won: Mapping[str, Side | None]) -> Studied:
    """Evaluations on the grid (a window's in order of time) and results as what is scored."""
    rows = list(rows)
    markets = {row.condition_id for row in rows}
    studied = Studied(
        source, None, unsettled=sum(market not in won for market in markets),
        void=sum(won.get(market, Side.UP) is None for market in markets),
    )
    if rows:
        studied.trading = rows[-1].trading
    settled = [row for row in rows if won.get(row.condition_id) is not None]
    studied.combiners = _answering(row.estimates for row in settled)
    studied.signals = _answering(row.signals for row in settled)
    left_out: Counter[str] = Counter()
    kept = []
    for row in settled:
        why = _unfit(row, studied.combiners)
        if why:
            left_out[why] += 1
        else:
            kept.append(row)
    studied.left_out = dict(sorted(left_out.items()))
    if kept:
        studied.sample = _sample(kept, won, studied)
        studied.windows = studied.sample.units
    return studied


def _answering(said: Iterator[Mapping[str, Any]] | Iterable[Mapping[str, Any]]) -> list[str]:
    """Names that gave a probability at least once, by name."""
    return sorted({name for each in said for name, opinion in each.items() if opinion.p_up is not None})


def _unfit(row: Evaluation, combiners: Sequence[str]) -> str:
    if row.prior is None:
        return f"the market had no price: {row.no_prior}"
    for name in combiners:
        said = row.estimates.get(name)
        if said is None or said.p_up is None:
            return f"{name} abstained"
    return ""


def _sample(rows: Sequence[Evaluation], won: Mapping[str, Side | None], studied: Studied) -> Sample:
    places = {market: place for place, market in enumerate(dict.fromkeys(row.condition_id for row in rows))}
    opinions = {
        name: _array(row.estimates[name].p_up for row in rows) for name in studied.combiners
    }
    for name in studied.signals:
        # One plugin may be both, or be called like the baseline.
        shown = f"{name} (signal)" if name in opinions or name == MARKET else name
        opinions[shown] = _array(
            said.p_up if (said := row.signals.get(name)) is not None else None for row in rows
        )
    return Sample(
        len(places), np.array([places[row.condition_id] for row in rows], dtype=np.int64),
        _array(float(won[row.condition_id] is Side.UP) for row in rows), _array(row.prior for row in rows),
        _array(_cost(row.ask, row) for row in rows),
        _array(_cost(None if row.bid is None else ONE - row.bid, row) for row in rows), opinions,
    )


def _array(values: Iterable[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _cost(price: int | None, row: Evaluation) -> float | None:
    return None if price is None else cost(price / ONE, Fees(row.fee_ppm, row.fee_exponent))


def cost(price: float, fees: Fees) -> float:
    """What a share costs a taker, fee included, collateral."""
    return float(price + fees.rate / 1e6 * (price * (1 - price)) ** fees.exponent)


# --- a table of trades ------------------------------------------------------------------------------------------------


def table(path: Path) -> Studied:
    """Trades of one model, plain or gzip: its probability of the side it bought, the price, and whether that side won.

    Bad rows are left out and named. Raises CompareError when the file is no such table.
    """
    studied = Studied("csv", None)
    try:
        with _opened(path) as lines:
            reader = csv.DictReader(lines)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise CompareError(f"{path.name} lacks the column {', '.join(missing)}; needed: {', '.join(COLUMNS)}")
            window = next((name for name in WINDOW_COLUMNS if name in (reader.fieldnames or ())), None)
            rows = list(_trades(reader, window, studied))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise CompareError(f"{path} cannot be read as a table: {error}") from error
    studied.evaluations = len(rows) + len(studied.bad_rows)
    studied.combiners = ["model"]
    studied.trading = "model"
    studied.assumed = ["fees"]
    studied.notes.append(
        f"the column {window} names a row's window" if window else "no column names the window: each row is its own"
    )
    if rows:
        studied.sample = _trade_sample(rows)
        studied.windows = studied.sample.units
    return studied


def _opened(path: Path) -> TextIO:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rt", newline="", encoding="utf-8") if zipped else path.open(newline="", encoding="utf-8")


def _trades(
    reader: csv.DictReader[str], window: str | None, studied: Studied
) -> Iterator[tuple[str, float, float, float]]:
    """(window, the model's probability, price, won) of each good row."""
    for row in reader:
        try:
            model, price = (_probability(row, name) for name in COLUMNS[:2])
            if not 0 < price < 1:
                raise ValueError(f"entry_price is {row['entry_price']!r}: nothing is sold at that")
            won = WON[(row["won"] or "").strip().lower()]
        except (ValueError, KeyError) as error:
            studied.bad_rows.append(BadRow(reader.line_num, _problem(error, row)))
            continue
        yield (row[window] or "" if window else str(reader.line_num)), model, price, won


def _probability(row: Mapping[str, str | None], name: str) -> float:
    value = float(row[name] or "nan")
    if not (isfinite(value) and 0 <= value <= 1):
        raise ValueError(f"{name} is {row[name]!r}, not from 0 to 1")
    return value


def _problem(error: Exception, row: Mapping[str, str | None]) -> str:
    return f"won is {row['won']!r}, neither 1 nor 0" if isinstance(error, KeyError) else str(error)


def _trade_sample(rows: Sequence[tuple[str, float, float, float]]) -> Sample:
    places = {name: place for place, name in enumerate(dict.fromkeys(row[0] for row in rows))}
    price = _array(row[2] for row in rows)
    return Sample(
        len(places), np.array([places[row[0]] for row in rows], dtype=np.int64), _array(row[3] for row in rows), price,
        _array(cost(row[2], ASSUMED_FEES) for row in rows), np.full(len(rows), np.nan),
        {"model": _array(row[1] for row in rows)},
    )
