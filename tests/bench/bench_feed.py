"""B1: wire message → books of both tokens → dispatch to the kernel, against a bare loop and the SDK's own parser.

The same market messages of the generated tape go through all three in interleaved rounds; ratios are medians over the
rounds. The bare loop decodes typed (the needed fields only) and keeps a dict of levels with cached best prices for
each token, nothing else: no check, no mirror, no caller. The SDK side is ``json.loads`` and its ``parse_events``, as
its read loop does it.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Final

import msgspec
from generate import START, lines

from polyhost.kernel.kernel import Kernel
from polyhost.lab.backtest import rare_collections
from polyhost.model.events import MarketFound
from polyhost.model.messages import Message
from polyhost.settings import Configuration
from polyhost.venue.polymarket.gamma import market_of

ROUNDS: Final = 15
"""Short and many: what else the machine does then hits all sides alike."""
MESSAGES: Final = 20_000
SDK_MESSAGES: Final = 4_000
SHARE: Final = 0.75
"""Budget: of the bare loop."""
TIMES: Final = 4.0
"""Budget: of the SDK's parser."""


class Level(msgspec.Struct):
    price: str
    size: str


class Change(msgspec.Struct):
    asset_id: str
    price: str
    size: str
    side: str


class Bare(msgspec.Struct):
    """Only what two books need."""

    event_type: str
    asset_id: str = ""
    bids: list[Level] = []
    asks: list[Level] = []
    price_changes: list[Change] = []


def wire(count: int) -> tuple[list[str], list[bytes]]:
    """Catalogue objects, and the first market messages of the generated tape."""
    catalogue: list[str] = []
    messages: list[bytes] = []
    for _, source, text in lines():
        if source == "gamma":
            catalogue.append(text)
        elif source == "polymarket":
            messages.append(text.encode())
            if len(messages) == count:
                break
    return catalogue, messages


def bare(messages: Sequence[bytes]) -> None:
    decode = msgspec.json.Decoder(Bare).decode
    books: dict[str, tuple[dict[float, float], dict[float, float], list[float]]] = {}
    for raw in messages:
        message = decode(raw)
        kind = message.event_type
        if kind == "price_change":
            for change in message.price_changes:
                bids, asks, best = books[change.asset_id]
                price, size = float(change.price), float(change.size)
                if change.side == "BUY":
                    if size:
                        bids[price] = size
                        if price > best[0]:
                            best[0] = price
                    elif bids.pop(price, None) is not None and price == best[0]:
                        best[0] = max(bids, default=0.0)
                elif size:
                    asks[price] = size
                    if price < best[1]:
                        best[1] = price
                elif asks.pop(price, None) is not None and price == best[1]:
                    best[1] = min(asks, default=1.0)
        elif kind == "book":
            new_bids = {float(level.price): float(level.size) for level in message.bids}
            new_asks = {float(level.price): float(level.size) for level in message.asks}
            books[message.asset_id] = (new_bids, new_asks, [max(new_bids), min(new_asks)])


def ours(catalogue: Sequence[str], messages: Sequence[bytes]) -> float:
    """Seconds for the messages; the markets are followed before the clock starts."""
    kernel = Kernel(Configuration())
    for text in catalogue:
        kernel.handle(MarketFound(market_of(json.loads(text))), START - 1_000, START - 1_000)
    decode = msgspec.json.Decoder(Message).decode
    begin = time.perf_counter()
    feed = kernel.feed
    due = kernel.next_market_due
    now = START - 1_000
    for raw in messages:
        if now >= due:
            raise AssertionError("the clock stands still in this measurement")
        feed(decode(raw), now)
    seconds = time.perf_counter() - begin
    assert kernel.counters["unknown_tokens"] == 0, kernel.counters
    return seconds


def sdk(messages: Sequence[bytes]) -> None:
    from polymarket._internal.streams.clob.market_protocol import parse_events

    for raw in messages:
        _, dropped = parse_events(json.loads(raw.decode()))
        assert not dropped


def measure() -> list[dict[str, Any]]:
    """Both rows of B1."""
    catalogue, messages = wire(MESSAGES)
    few = list(islice(messages, SDK_MESSAGES))
    rates: dict[str, list[float]] = {"ours": [], "bare": [], "sdk": []}
    sides: list[tuple[str, Callable[[], float], int]] = [
        ("ours", lambda: ours(catalogue, messages), len(messages)),
        ("bare", lambda: _timed(lambda: bare(messages)), len(messages)),
        ("sdk", lambda: _timed(lambda: sdk(few)), len(few)),
    ]
    with rare_collections():
        for number in range(ROUNDS):
            for name, run, count in sides if number % 2 else reversed(sides):
                rates[name].append(count / run())
    return [
        _row("of the bare loop", rates["ours"], rates["bare"], SHARE),
        _row("times the SDK's parser", rates["ours"], rates["sdk"], TIMES),
    ]


def _row(what: str, rates: list[float], bases: list[float], budget: float) -> dict[str, Any]:
    ratio = statistics.median(rate / base for rate, base in zip(rates, bases, strict=True))
    return {
        "id": "B1", "what": f"feed: decode, books, dispatch; {what}", "ours_per_s": round(statistics.median(rates)),
        "base_per_s": round(statistics.median(bases)), "ratio": round(ratio, 3), "budget": budget,
        "ok": ratio >= budget,
    }


def _timed(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


if __name__ == "__main__":
    for figure in measure():
        print(json.dumps(figure))
