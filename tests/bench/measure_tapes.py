"""Figures of real recordings and of the simulated exchange, measured by the same code.

    python tests/bench/measure_tapes.py [--tapes DIR] [--simulated] [--seed S] [--hours H] [--json]

Prints a table: books (spread, depth, update rate, quote life, moves of the midpoint) by time left in the window, trades
and reference prices. Recordings are looked for in ``--tapes``, $POLYHOST_TAPES, then ../shared/tapes.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from polyhost.model.money import ONE, micros, ticks

BOOK_TAPES = {
    "cronos": "cronos_btc5m_20260416_a.jsonl.gz",
    "resolvedkit": "resolvedkit_btc15m_20260928_a.jsonl.gz",
    "frederick": "frederick_btc15m_20260401_top.jsonl.gz",
}
QUOTE_TAPE = "polybot_btc5m_20260820_w1.jsonl.gz"
CHAINLINK_TAPE = "ligengxin_chainlink_gamma_20260724_am.jsonl.gz"
PHASES: tuple[tuple[str, float, float], ...] = (
    ("early", 240.0, 900.0),
    ("240-120", 120.0, 240.0),
    ("120-60", 60.0, 120.0),
    ("60-30", 30.0, 60.0),
    ("30-10", 10.0, 30.0),
    ("10-0", 0.0, 10.0),
)
"""Time left in the window, in seconds."""
PROFILE = (0, 1, 2, 4, 9, 19)
"""Ranks of levels whose sizes are shown: best is 0."""
NEAR = 200
"""Near depth: within 0.02 of the best price, in ticks."""

Levels = list[tuple[int, int]]


def phase_of(left_s: float) -> str | None:
    for name, low, high in PHASES:
        if low <= left_s < high:
            return name
    return None


def share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def deviation(values: list[float]) -> float:
    """Standard deviation of the population; nan without values."""
    middle = mean(values)
    return math.sqrt(mean([(value - middle) ** 2 for value in values])) if values else math.nan


def quantile(values: list[float], q: float) -> float:
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


class BookFigures:
    """Figures of books of one window length, by time left. Prices in ticks, sizes in shares, times in ms."""

    def __init__(self) -> None:
        self.spreads: dict[str, list[float]] = defaultdict(list)
        self.tops: dict[str, list[float]] = defaultdict(list)
        self.near: dict[str, list[float]] = defaultdict(list)
        self.levels: dict[str, list[float]] = defaultdict(list)
        self.ranks: dict[int, list[float]] = defaultdict(list)
        self.moves: dict[str, list[float]] = defaultdict(list)
        self.lives: dict[str, list[float]] = defaultdict(list)
        self.extremes: dict[str, list[float]] = defaultdict(list)
        self.books: dict[str, int] = defaultdict(int)
        self.seconds: dict[str, set[tuple[str, int]]] = defaultdict(set)
        self.one_sided = 0
        self.crossed = 0
        self.total = 0
        self._mid: dict[str, tuple[int, float]] = {}
        self._best: dict[str, tuple[int, int]] = {}
        self._last: dict[str, int] = {}

    def book(self, key: str, at: int, end: int, bids: Levels, asks: Levels) -> None:
        """A full book, levels best first, as it was at ``at``; ``key`` names the token of one window."""
        left = (end - at) / 1_000
        phase = phase_of(left)
        if phase is None:
            return
        self.total += 1
        self.books[phase] += 1
        self.seconds[phase].add((key, at // 1_000))
        if not bids or not asks:
            self.one_sided += 1
            return
        if bids[0][0] >= asks[0][0]:
            self.crossed += 1
            return
        self._shape(phase, bids, asks)
        self._motion(key, at, phase, bids[0][0], asks[0][0])

    def _shape(self, phase: str, bids: Levels, asks: Levels) -> None:
        self.spreads[phase].append(asks[0][0] - bids[0][0])
        for side in (bids, asks):
            best = side[0][0]
            self.tops[phase].append(side[0][1] / 1e6)
            self.near[phase].append(sum(size for price, size in side if abs(price - best) <= NEAR) / 1e6)
            self.levels[phase].append(len(side))
            if phase in ("early", "240-120") and 3_000 <= best <= 7_000:
                for rank in PROFILE:
                    if rank < len(side):
                        self.ranks[rank].append(side[rank][1] / 1e6)

    def _motion(self, key: str, at: int, phase: str, bid: int, ask: int) -> None:
        mid = (bid + ask) / 2
        self.extremes[phase].append(max(mid, ONE - mid))
        before = self._mid.get(key)
        if before is None or at - before[0] >= 1_000:
            if before is not None and at - before[0] < 2_500:
                # A gap of a little over a second counts as the second it nearly is.
                self.moves[phase].append((mid - before[1]) / math.sqrt((at - before[0]) / 1_000))
            self._mid[key] = (at, mid)
        best = self._best.get(key)
        gap = at - self._last.get(key, at)
        self._last[key] = at
        if best is None or best[0] != bid or gap > 5_000:
            if best is not None and gap <= 5_000:
                self.lives[phase].append((at - best[1]) / 1_000)
            self._best[key] = (bid, at)

    def rows(self) -> Iterator[tuple[str, float]]:
        for name, _, _ in PHASES:
            if not self.books[name]:
                continue
            spreads = self.spreads[name]
            yield f"{name} spread median ticks", quantile(spreads, 0.5)
            yield f"{name} spread mean ticks", mean(spreads)
            yield f"{name} spread p90 ticks", quantile(spreads, 0.9)
            yield f"{name} top size median shares", quantile(self.tops[name], 0.5)
            yield f"{name} top size p90 shares", quantile(self.tops[name], 0.9)
            yield f"{name} near depth median shares", quantile(self.near[name], 0.5)
            yield f"{name} levels a side median", quantile(self.levels[name], 0.5)
            yield f"{name} books a second and token", share(self.books[name], len(self.seconds[name]))
            yield f"{name} best bid life median s", quantile(self.lives[name], 0.5)
            yield f"{name} mid move sd ticks a second", deviation(self.moves[name])
            yield f"{name} seconds without mid move", share(
                sum(1 for move in self.moves[name] if move == 0), len(self.moves[name])
            )
            yield f"{name} favourite price mean ticks", mean(self.extremes[name])
            yield f"{name} favourite at 0.95 or more", share(
                sum(1 for value in self.extremes[name] if value >= 9_500), len(self.extremes[name])
            )
        for rank in PROFILE:
            if self.ranks[rank]:
                yield f"level {rank + 1} size median shares", quantile(self.ranks[rank], 0.5)
        yield "one-sided share of books", share(self.one_sided, self.total)
        yield "crossed share of books", share(self.crossed, self.total)


class TradeFigures:
    """Prints of one market: rate by time left, sizes, spacing."""

    def __init__(self) -> None:
        self.sizes: list[float] = []
        self.counts: dict[str, int] = defaultdict(int)
        self.seconds: dict[str, set[tuple[str, int]]] = defaultdict(set)
        self.busy: dict[str, set[tuple[str, int]]] = defaultdict(set)

    def second(self, key: str, at: int, end: int) -> None:
        """This second of this market was observed."""
        phase = phase_of((end - at) / 1_000)
        if phase is not None:
            self.seconds[phase].add((key, at // 1_000))

    def trade(self, key: str, at: int, end: int, size: float) -> None:
        phase = phase_of((end - at) / 1_000)
        if phase is None:
            return
        self.sizes.append(size)
        self.counts[phase] += 1
        self.busy[phase].add((key, at // 1_000))

    def rows(self) -> Iterator[tuple[str, float]]:
        for name, _, _ in PHASES:
            if self.seconds[name]:
                yield f"{name} prints a second", self.counts[name] / len(self.seconds[name])
                yield f"{name} seconds with a print", len(self.busy[name]) / len(self.seconds[name])
        for q in (0.1, 0.25, 0.5, 0.75, 0.9, 0.99):
            yield f"print size p{round(q * 100)} shares", quantile(self.sizes, q)
        yield "print size mean shares", mean(self.sizes)
        whole = sum(1 for size in self.sizes if size == int(size))
        yield "whole-share prints", share(whole, len(self.sizes))


class PriceFigures:
    """Reference prices at 1 Hz, by second: volatility over horizons, memory, TWAP rule, basis."""

    def __init__(self) -> None:
        self.feeds: dict[str, dict[int, float]] = defaultdict(dict)

    def tick(self, feed: str, second: int, price: float) -> None:
        self.feeds[feed][second] = price

    def _returns(self, feed: str, step: int) -> list[float]:
        prices = self.feeds[feed]
        return [
            math.log(prices[second + step] / price) * 1e4 for second, price in prices.items() if second + step in prices
        ]

    def rows(self) -> Iterator[tuple[str, float]]:
        for feed in sorted(self.feeds):
            for step in (1, 5, 15, 60, 300):
                moves = self._returns(feed, step)
                if len(moves) > 30:
                    yield f"{feed} {step} s move sd bps", deviation(moves)
                if len(moves) > 30 and step == 1:
                    sd = deviation(moves)
                    yield f"{feed} 1 s moves beyond 4 sd", share(
                        sum(1 for move in moves if abs(move) > 4 * sd), len(moves)
                    )
                    yield f"{feed} 1 s unchanged", share(sum(1 for move in moves if move == 0), len(moves))
        yield from self._volatility_of_volatility()
        yield from self._twap()
        yield from self._basis()

    def _volatility_of_volatility(self) -> Iterator[tuple[str, float]]:
        """Spread of the local volatility: sd of 1 s moves within five-minute blocks."""
        blocks: dict[int, list[float]] = defaultdict(list)
        prices = self.feeds.get("chainlink", {})
        for second, price in prices.items():
            if second + 1 in prices:
                blocks[second // 300].append(math.log(prices[second + 1] / price) * 1e4)
        local = [deviation(moves) for moves in blocks.values() if len(moves) > 100]
        if len(local) > 5:
            yield "chainlink 5 m block volatility p10 bps", quantile(local, 0.1)
            yield "chainlink 5 m block volatility p50 bps", quantile(local, 0.5)
            yield "chainlink 5 m block volatility p90 bps", quantile(local, 0.9)

    def _twap(self) -> Iterator[tuple[str, float]]:
        spot = self.feeds.get("chainlink", {})
        errors = {0: [], 1: []}  # type: dict[int, list[float]]
        for second, value in self.feeds.get("twap_60", {}).items():
            for lag, found in errors.items():
                window = [spot[s] for s in range(second - 59 - lag, second + 1 - lag) if s in spot]
                if len(window) >= 57:
                    found.append(abs(value / mean(window) - 1) * 1e4)
        for lag, found in errors.items():
            if found:
                yield f"twap_60 against mean of 60 ticks, lag {lag}: median error bps", quantile(found, 0.5)
                yield f"twap_60 against mean of 60 ticks, lag {lag}: p90 error bps", quantile(found, 0.9)

    def _basis(self) -> Iterator[tuple[str, float]]:
        spot, other = self.feeds.get("chainlink", {}), self.feeds.get("binance", {})
        for lag in (0, 1, 2):
            gaps = [(other[s - lag] / spot[s] - 1) * 1e4 for s in spot if s - lag in other]
            if len(gaps) < 60:
                continue
            if lag == 0:
                yield "basis mean bps", mean(gaps)
            yield f"basis sd bps, Binance {lag} s earlier", deviation(gaps)
            changes = [
                math.log(spot[s + 1] / spot[s]) - math.log(other[s + 1 - lag] / other[s - lag])
                for s in spot
                if s + 1 in spot and s - lag in other and s + 1 - lag in other
            ]
            if len(changes) > 30:
                yield f"1 s change of basis sd bps, Binance {lag} s earlier", deviation(changes) * 1e4


# --- reading ----------------------------------------------------------------------------------------------------------


def lines_of(path: Path) -> Iterator[dict[str, object]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def iso_ms(text: str) -> int:
    from datetime import datetime

    return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1_000)


def ends_of(msg: dict[str, object], ends: dict[str, int]) -> None:
    """Remember the end of each token's window."""
    end = iso_ms(str(msg["endDate"]))
    for token in json.loads(str(msg.get("clobTokenIds", "[]"))):
        ends[token] = end


def levels(raw: Iterable[dict[str, str]], best_high: bool) -> Levels:
    found = [(ticks(level["price"]), micros(level["size"])) for level in raw]
    return sorted(((price, size) for price, size in found if size), reverse=best_high)


def measure_books(path: Path) -> BookFigures:
    figures, ends = BookFigures(), {}  # type: BookFigures, dict[str, int]
    for line in lines_of(path):
        msg = line["msg"]
        assert isinstance(msg, dict)
        if line["source"] == "gamma":
            ends_of(msg, ends)
        elif "bids" in msg and msg.get("asset_id") in ends:
            end, at = ends[msg["asset_id"]], int(str(line["ts"]))
            figures.book(msg["asset_id"], at, end, levels(msg["bids"], True), levels(msg["asks"], False))
    return figures


TOPICS = {"crypto_prices": "binance", "crypto_prices_chainlink": "chainlink", "crypto_prices_twap_sixty": "twap_60"}


def measure_quotes(path: Path) -> tuple[BookFigures, TradeFigures, PriceFigures]:
    """A tape of best prices, prints and reference prices; quotes that repeat the last one are no updates."""
    books, trades, prices = BookFigures(), TradeFigures(), PriceFigures()
    ends: dict[str, int] = {}
    seen: dict[str, tuple[str, str]] = {}
    for line in lines_of(path):
        msg, at = line["msg"], int(str(line["ts"]))
        assert isinstance(msg, dict)
        kind = msg.get("event_type") or msg.get("topic")
        for end in set(ends.values()):
            trades.second("w", at, end)
        if line["source"] == "gamma":
            ends_of(msg, ends)
        elif kind in TOPICS:
            payload = msg["payload"]
            prices.tick(TOPICS[str(kind)], payload["timestamp"] // 1_000, payload["value"])
        elif kind == "last_trade_price":
            trades.trade("w", at, ends[msg["asset_id"]], float(msg["size"]))
        elif kind == "best_bid_ask":
            token, quote = msg["asset_id"], (msg["best_bid"], msg["best_ask"])
            if seen.get(token) != quote:
                seen[token] = quote
                bid, ask = (ticks(text) if text else 0 for text in quote)
                books.book(token, at, ends[token], [(bid, 0)] if bid else [], [(ask, 0)] if ask else [])
    return books, trades, prices


def measure_chainlink(path: Path) -> PriceFigures:
    figures = PriceFigures()
    for line in lines_of(path):
        msg = line["msg"]
        assert isinstance(msg, dict)
        if msg.get("topic") == "crypto_prices_chainlink":
            figures.tick("chainlink", msg["payload"]["timestamp"] // 1_000, msg["payload"]["value"])
    return figures


def measure_simulated(seed: int, hours: float, density: float = 20.0) -> dict[str, dict[str, float]]:
    """The same figures of a simulated world with BTC windows of 5 and 15 minutes, over ``hours`` of market time.

    A book is taken at every instant that changed it, as the venue's frames are.
    """
    from polyhost.exchange.api import BookChanged, PriceTick, Printed
    from polyhost.exchange.rules import ExchangeRules
    from polyhost.exchange.world import World, WorldSettings
    from polyhost.model.times import MarketMs

    start = MarketMs(1_795_219_200_000)
    settings = WorldSettings(symbols=("BTC",), density=density, rules=ExchangeRules(snapshots=False))
    world = World(settings, seed, start)
    books = {duration_s: BookFigures() for duration_s in settings.durations_s}
    trades = {duration_s: TradeFigures() for duration_s in settings.durations_s}
    prices = PriceFigures()
    seen: set[int] = set()
    for at, outputs in world.instants(MarketMs(start + int(hours * 3_600_000))):
        touched: dict[str, None] = {}
        for output in outputs:
            if isinstance(output, PriceTick):
                second = output.stamp // 1_000
                if output.feed != "binance" or second not in seen:
                    prices.tick(output.feed, second, output.price)
                    if output.feed == "binance":
                        seen.add(second)
            elif isinstance(output, BookChanged | Printed):
                market = world.market_by_condition(output.condition_id)
                if market is None or market.start is None or not market.start <= at < market.end:
                    continue
                touched[output.condition_id] = None
                if isinstance(output, Printed):
                    trades[market.duration_s].trade(output.condition_id, at, market.end, output.size / 1e6)
        for condition_id in touched:
            market = world.market_by_condition(condition_id)
            assert market is not None
            trades[market.duration_s].second(condition_id, at, market.end)
            book = world.exchange.book(condition_id)
            bids, asks = sorted(book.bids.items(), reverse=True), sorted(book.asks.items())
            books[market.duration_s].book(condition_id, at, market.end, bids, asks)
    found = {
        f"simulated {duration_s // 60}m": {**dict(books[duration_s].rows()), **dict(trades[duration_s].rows())}
        for duration_s in settings.durations_s
    }
    found["simulated 5m"] |= dict(prices.rows())
    return found


def tapes_folder(given: str | None = None) -> Path:
    return Path(given or os.environ.get("POLYHOST_TAPES") or Path(__file__).parents[2].parent / "shared" / "tapes")


def measure_all(folder: Path) -> dict[str, dict[str, float]]:
    """Every figure of every recording present: tape name to figure to value."""
    found: dict[str, dict[str, float]] = {}
    for name, file in BOOK_TAPES.items():
        if (folder / file).exists():
            found[name] = dict(measure_books(folder / file).rows())
    if (folder / QUOTE_TAPE).exists():
        books, trades, prices = measure_quotes(folder / QUOTE_TAPE)
        found["polybot"] = {**dict(books.rows()), **dict(trades.rows()), **dict(prices.rows())}
    if (folder / CHAINLINK_TAPE).exists():
        found["ligengxin"] = dict(measure_chainlink(folder / CHAINLINK_TAPE).rows())
    return found


def table(found: dict[str, dict[str, float]]) -> str:
    names = list(found)
    rows = list(dict.fromkeys(row for figures in found.values() for row in figures))
    out = ["figure".ljust(62) + "".join(name.rjust(14) for name in names)]
    for row in rows:
        cells = (f"{found[name][row]:14.4g}" if row in found[name] else "-".rjust(14) for name in names)
        out.append(row.ljust(62) + "".join(cells))
    return "\n".join(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tapes", help="folder of the recordings")
    parser.add_argument("--simulated", action="store_true", help="measure the simulated exchange, too")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hours", type=float, default=3.0, help="market time to simulate")
    parser.add_argument("--density", type=float, default=20.0, help="population events a second and symbol")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    options = parser.parse_args()
    found = measure_all(tapes_folder(options.tapes))
    if options.simulated:
        found |= measure_simulated(options.seed, options.hours, options.density)
    print(json.dumps(found) if options.json else table(found))


if __name__ == "__main__":
    main()
