"""Small synthetic tapes for the lab's tests: readable builders of lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

START = 1_786_406_400_000
"""A full quarter of an hour in August 2026, after windows began to settle by the TWAP."""
UP, DOWN = "101", "202"
Row = dict[str, Any]


def gamma(ts: int, *, start: int = START, number: int = 1, **more: object) -> Row:
    """A market's catalogue line; tokens are 101 and 202 for number 1, 1101 and 1202 for number 2 …"""
    tokens = [str(1_000 * (number - 1) + 101), str(1_000 * (number - 1) + 202)]
    msg: Row = {
        "slug": f"btc-updown-15m-{start // 1_000}",
        "conditionId": f"0xc{number}",
        "outcomes": '["Up", "Down"]',
        "clobTokenIds": json.dumps(tokens),
        "closed": False,
    }
    return {"ts": ts, "source": "gamma", "msg": msg | more}


def resolved(ts: int, winner: str = "UP", **more: object) -> Row:
    prices = '["1", "0"]' if winner == "UP" else '["0", "1"]'
    return gamma(ts, closed=True, outcomePrices=prices, **more)


def book(ts: int, bid: str, ask: str, token: str = UP, size: str = "500") -> Row:
    """``bid`` or ``ask`` empty: that side has no orders."""
    msg = {
        "event_type": "book",
        "asset_id": token,
        "timestamp": str(ts),
        "bids": [{"price": bid, "size": size}] if bid else [],
        "asks": [{"price": ask, "size": size}] if ask else [],
    }
    return {"ts": ts, "source": "polymarket", "msg": msg}


def price(ts: int, topic: str, value: float, stamp: int, symbol: str = "btc/usd") -> Row:
    payload = {"symbol": symbol, "timestamp": stamp, "value": value}
    return {"ts": ts, "source": "polymarket", "msg": {"topic": topic, "type": "update", "payload": payload}}


def trade(ts: int, at: str, size: str = "10", token: str = UP) -> Row:
    msg = {"event_type": "last_trade_price", "asset_id": token, "price": at, "size": size, "side": "SELL"}
    return {"ts": ts, "source": "polymarket", "msg": msg}


def reading(ts: int, name: str, value: object, at: int = 0, source: str = "mood_feed") -> Row:
    """A line of an optional feed."""
    return {"ts": ts, "source": source, "msg": {"name": name, "value": value, "at": at}}


def host(ts: int, kind: str) -> Row:
    return {"ts": ts, "source": "host", "msg": {"kind": kind}}


def quiet_window(bid: str = "0.40", ask: str = "0.41", every_ms: int = 1_000, until_ms: int = 900_000) -> list[Row]:
    """A whole window with one unchanging book a second, opened a second before its start."""
    lines = [gamma(START - 1_000)]
    lines += [book(START + ms, bid, ask) for ms in range(0, until_ms, every_ms)]
    return lines


def write(path: Path, rows: list[Row]) -> Path:
    """The rows as a tape, sorted by time (stably)."""
    rows = sorted(rows, key=lambda row: int(row["ts"]))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
