"""The seeded tape of the benchmarks: 70 % price changes, 20 % trades, 10 % spot trades in 16 fifteen-minute windows.

BTC and ETH, eight windows each, two at a time; messages are as long as the venue's (about 500 bytes). The same seed
gives the same bytes. Books are never crossed: a price moves by one message that empties a level and fills it anew.
"""

from __future__ import annotations

import heapq
import json
import random
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Final

SEED: Final = 20_261_121
EVENTS: Final = 500_000
START: Final = 1_790_586_000_000
WINDOW_MS: Final = 900_000
WINDOWS: Final = 8
LEVELS: Final = 20
RESOLVE_MS: Final = 8_000
SPOT: Final = {"BTC": 71_000.0, "ETH": 3_050.0}


class Window:
    """One generated market: a ladder of bids below and asks above a boundary that walks in cents."""

    def __init__(self, symbol: str, index: int, rng: random.Random) -> None:
        self.symbol = symbol
        self.start = START + index * WINDOW_MS
        self.slug = f"{symbol.lower()}-updown-15m-{self.start // 1_000}"
        self.condition = f"0x{rng.getrandbits(256):064x}"
        self.up, self.down = (str(rng.getrandbits(255) | 1 << 254) for _ in range(2))
        self.rng = rng
        self.bid = 50
        """Best UP bid in cents; the best ask is one above."""

    def opening(self, **more: object) -> str:
        return json.dumps(
            {
                "slug": self.slug,
                "conditionId": self.condition,
                "outcomes": '["Up", "Down"]',
                "clobTokenIds": json.dumps([self.up, self.down]),
                "closed": False,
                "orderPriceMinTickSize": 0.01,
                "orderMinSize": 5,
                "feeSchedule": {"rate": 0.07, "exponent": 1},
                **more,
            }
        )

    def result(self) -> str:
        return self.opening(closed=True, outcomePrices='["1", "0"]' if self.bid >= 50 else '["0", "1"]')

    def books(self, at: int) -> list[str]:
        """Full books of both tokens, mirrors of each other."""
        bids = {cents: self._size() for cents in range(max(self.bid - LEVELS + 1, 1), self.bid + 1)}
        asks = {cents: self._size() for cents in range(self.bid + 1, min(self.bid + LEVELS, 99) + 1)}
        down_bids = {100 - cents: size for cents, size in asks.items()}
        down_asks = {100 - cents: size for cents, size in bids.items()}
        return [self._book(at, self.up, bids, asks), self._book(at, self.down, down_bids, down_asks)]

    def change(self, at: int) -> str:
        """One level's new size; one time in forty the price moves by a cent."""
        if self.rng.random() < 0.025:
            moves = self._move()
        else:
            distance = min(int(self.rng.expovariate(0.5)), LEVELS - 2)
            buy = self.rng.random() < 0.5
            cents = max(self.bid - distance, 1) if buy else min(self.bid + 1 + distance, 99)
            moves = [(cents, self._size(), buy)]
        best = f'"best_bid":"{self.bid / 100:g}","best_ask":"{(self.bid + 1) / 100:g}"'
        mirrored = f'"best_bid":"{(99 - self.bid) / 100:g}","best_ask":"{(100 - self.bid) / 100:g}"'
        changes = [self._change(self.up, cents, size, buy, best) for cents, size, buy in moves]
        changes += [self._change(self.down, 100 - cents, size, not buy, mirrored) for cents, size, buy in moves]
        return (
            f'{{"market":"{self.condition}","price_changes":[{",".join(changes)}],"timestamp":"{at}",'
            '"event_type":"price_change"}'
        )

    def trade(self, at: int) -> str:
        buy = self.rng.random() < 0.5
        cents = self.bid + 1 if buy else self.bid
        return (
            f'{{"market":"{self.condition}","asset_id":"{self.up}","price":"{cents / 100:g}","size":"{self._size()}",'
            f'"fee_rate_bps":"0","side":"{"BUY" if buy else "SELL"}","timestamp":"{at}",'
            f'"event_type":"last_trade_price","transaction_hash":"0x{self.rng.getrandbits(256):064x}"}}'
        )

    def _move(self) -> list[tuple[int, str, bool]]:
        up = self.rng.random() < 0.5 if 6 < self.bid < 93 else self.bid <= 6
        if up:
            taken = self.bid + 1
            self.bid += 1
            return [(taken, "0", False), (taken, self._size(), True), (min(taken + LEVELS, 99), self._size(), False)]
        taken = self.bid
        self.bid -= 1
        return [(taken, "0", True), (taken, self._size(), False), (max(taken - LEVELS, 1), self._size(), True)]

    def _size(self) -> str:
        return f"{self.rng.randrange(500, 400_000) / 100:g}"

    def _book(self, at: int, token: str, bids: dict[int, str], asks: dict[int, str]) -> str:
        low, high = (
            ",".join(f'{{"price":"{cents / 100:g}","size":"{size}"}}' for cents, size in levels)
            for levels in (sorted(bids.items()), sorted(asks.items(), reverse=True))
        )
        return (
            f'{{"market":"{self.condition}","asset_id":"{token}","timestamp":"{at}",'
            f'"hash":"{self.rng.getrandbits(160):040x}","bids":[{low}],"asks":[{high}],"event_type":"book"}}'
        )

    def _change(self, token: str, cents: int, size: str, buy: bool, best: str) -> str:
        return (
            f'{{"asset_id":"{token}","price":"{cents / 100:g}","size":"{size}","side":"{"BUY" if buy else "SELL"}",'
            f'"hash":"{self.rng.getrandbits(160):040x}",{best}}}'
        )


def lines(events: int = EVENTS, seed: int = SEED) -> Iterator[tuple[int, str, str]]:
    """(ts, source, message) in order of time. ``events`` counts changes, trades and spot trades."""
    pairs = [_pair(index, events // WINDOWS, random.Random(f"{seed}:{index}")) for index in range(WINDOWS)]
    return heapq.merge(*pairs, key=itemgetter(0))


def _pair(index: int, events: int, rng: random.Random) -> Iterator[tuple[int, str, str]]:
    """One window of each symbol, from a second before the start to the result."""
    windows = [Window(symbol, index, rng) for symbol in SPOT]
    spot = dict(SPOT)
    start = windows[0].start
    for window in windows:
        yield start - 1_000, "gamma", window.opening()
    for window in windows:
        yield from ((start - 900, "polymarket", text) for text in window.books(start - 900))
    for number in range(events):
        at = start + number * WINDOW_MS // events
        yield _event(at, windows[number % 2], spot, rng)
    for window in windows:
        yield start + WINDOW_MS + RESOLVE_MS, "gamma", window.result()


def crowd(windows: int, each: int, seed: int = SEED) -> Iterator[tuple[int, str, str]]:
    """So many windows at once, each of a symbol and a spot price of its own, with ``each`` changes and trades."""
    return heapq.merge(*(_alone(index, each, seed) for index in range(windows)), key=itemgetter(0))


def crowd_symbols(windows: int) -> list[str]:
    """The symbols of a crowd: made up, as there are not so many real ones."""
    return [f"Q{index:02}" for index in range(windows)]


def _alone(index: int, events: int, seed: int) -> Iterator[tuple[int, str, str]]:
    rng = random.Random(f"{seed}:{index}")
    window = Window(f"Q{index:02}", 0, rng)
    spot = {window.symbol: 100.0}
    yield window.start - 1_000, "gamma", window.opening()
    yield from ((window.start - 900, "polymarket", text) for text in window.books(window.start - 900))
    for number in range(events):
        at = window.start + number * WINDOW_MS // events
        yield _event(at, window, spot, rng)
    yield window.start + WINDOW_MS + RESOLVE_MS, "gamma", window.result()


def _event(at: int, window: Window, spot: dict[str, float], rng: random.Random) -> tuple[int, str, str]:
    """A change (70 %), a trade (20 %), or a spot trade of the window's symbol, whose price moves on."""
    kind = rng.random()
    if kind < 0.7:
        return at, "polymarket", window.change(at)
    if kind < 0.9:
        return at, "polymarket", window.trade(at)
    spot[window.symbol] *= 1 + rng.gauss(0, 0.00004)
    return at, "binance", _spot_trade(at, window.symbol, spot[window.symbol], rng)


def _spot_trade(at: int, symbol: str, price: float, rng: random.Random) -> str:
    return (
        f'{{"e":"trade","E":{at},"s":"{symbol}USDT","t":{rng.getrandbits(33)},"p":"{price:.8f}",'
        f'"q":"{rng.random():.8f}","T":{at},"m":false,"M":true}}'
    )


def write(path: Path, events: int = EVENTS, seed: int = SEED) -> Path:
    """The tape as a plain ``.jsonl`` file."""
    return write_lines(path, lines(events, seed))


def write_lines(path: Path, tape: Iterator[tuple[int, str, str]]) -> Path:
    with path.open("w") as file:
        for ts, source, text in tape:
            file.write(f'{{"ts":{ts},"source":"{source}","msg":{text}}}\n')
    return path
