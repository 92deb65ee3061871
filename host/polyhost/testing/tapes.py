"""A small tape, written in the words of a window: what the market and the spot price did, second by second."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from polyhost.model.words import Side
from polyhost.testing.builders import OPENS

UP_TOKEN: Final = "101"
CONDITION: Final = "0xc1"
SECOND: Final = 1_000
"""Market ms."""


class TapeBuilder:
    """The tape of one BTC window that opens at ``OPENS``; times are seconds since then. ``write`` makes the file."""

    def __init__(self, path: Path, minutes: int = 15) -> None:
        self.path = path
        self.minutes = minutes
        self.slug = f"btc-updown-{minutes}m-{OPENS // SECOND}"
        self._rows: list[tuple[int, dict[str, Any]]] = []
        self._line(-1.0, "gamma", self._market())

    def quotes(
        self, up: str | Callable[[float], str], *, since_s: float = 0.0, until_s: float | None = None,
        every_s: float = 1.0, shares: int = 500,
    ) -> TapeBuilder:
        """UP's best bid and ask, ``"0.40/0.41"``, or as a function of the second, until the end of the window."""
        for second in self._seconds(since_s, until_s, every_s):
            bid, ask = (up(second) if callable(up) else up).split("/")
            self._line(second, "polymarket", {
                "event_type": "book", "asset_id": UP_TOKEN, "timestamp": str(self._at(second)),
                "bids": [{"price": bid, "size": str(shares)}] if bid else [],
                "asks": [{"price": ask, "size": str(shares)}] if ask else [],
            })
        return self

    def spot(
        self, price: float | Callable[[float], float], *, since_s: float = -300.0, until_s: float | None = None,
        every_s: float = 1.0,
    ) -> TapeBuilder:
        """The spot price, or as a function of the second."""
        return self._prices("crypto_prices", "btcusdt", price, since_s, until_s, every_s)

    def oracle(
        self, price: float | Callable[[float], float], *, since_s: float = -1.0, until_s: float | None = None,
        every_s: float = 1.0,
    ) -> TapeBuilder:
        """The settlement feed's price, under both its names: the one of second 0 is the strike."""
        for topic in ("crypto_prices_chainlink", "crypto_prices_twap_sixty"):
            self._prices(topic, "btc/usd", price, since_s, until_s, every_s)
        return self

    def settle(self, winner: Side, at_s: float | None = None) -> TapeBuilder:
        """The result, a few seconds after the end unless told otherwise."""
        prices = '["1", "0"]' if winner is Side.UP else '["0", "1"]'
        second = self.minutes * 60 + 8.0 if at_s is None else at_s
        return self._line(second, "gamma", self._market() | {"closed": True, "outcomePrices": prices})

    def altered_after(self, second: float, path: Path) -> Path:
        """The same tape with everything after that second turned round: UP's prices are DOWN's, spot falls as it rose.

        What comes before is the same to the byte.
        """
        limit = self._at(second)
        return _written(path, [(at, row if at <= limit else _turned(row)) for at, row in self._rows])

    def write(self) -> Path:
        """The tape, in order of time."""
        return _written(self.path, self._rows)

    def _prices(
        self, topic: str, symbol: str, price: float | Callable[[float], float], since_s: float,
        until_s: float | None, every_s: float,
    ) -> TapeBuilder:
        for second in self._seconds(since_s, until_s, every_s):
            value = price(second) if callable(price) else price
            payload = {"symbol": symbol, "timestamp": self._at(second), "value": value}
            self._line(second, "polymarket", {"topic": topic, "type": "update", "payload": payload})
        return self

    def _seconds(self, since_s: float, until_s: float | None, every_s: float) -> list[float]:
        end = self.minutes * 60.0 if until_s is None else until_s
        return [since_s + step * every_s for step in range(int((end - since_s) / every_s))]

    def _market(self) -> dict[str, Any]:
        return {
            "slug": self.slug, "conditionId": CONDITION, "outcomes": '["Up", "Down"]',
            "clobTokenIds": json.dumps([UP_TOKEN, "202"]), "closed": False,
        }

    def _line(self, second: float, source: str, msg: dict[str, Any]) -> TapeBuilder:
        self._rows.append((self._at(second), {"source": source, "msg": msg}))
        return self

    @staticmethod
    def _at(second: float) -> int:
        return OPENS + round(second * SECOND)


def _written(path: Path, rows: list[tuple[int, dict[str, Any]]]) -> Path:
    ordered = sorted(rows, key=lambda row: row[0])
    path.write_text("".join(json.dumps({"ts": at, **row}) + "\n" for at, row in ordered), encoding="utf-8")
    return path


def _turned(row: dict[str, Any]) -> dict[str, Any]:
    msg = dict(row["msg"])
    if "bids" in msg:
        bids, asks = msg["bids"], msg["asks"]
        msg["bids"] = [_mirror(level) for level in asks]
        msg["asks"] = [_mirror(level) for level in bids]
    elif "payload" in msg:
        msg["payload"] = msg["payload"] | {"value": msg["payload"]["value"] * 0.97}
    elif msg.get("closed"):
        msg["outcomePrices"] = '["0", "1"]' if msg["outcomePrices"] == '["1", "0"]' else '["1", "0"]'
    return row | {"msg": msg}


def _mirror(level: dict[str, str]) -> dict[str, str]:
    return {"price": f"{1 - float(level['price']):.2f}", "size": level["size"]}
