"""Frames of the market, price and Binance streams as typed messages: only the fields that are needed.

A frame is one object or an array of them. A bad frame is counted and described, never an exception in a stream's loop;
of an array with one bad object the others are kept.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from polyhost.model.messages import Message
from polyhost.model.money import parse_fixed

E18: Final = 18
E8_OF_E18: Final = 10**10
SHOWN: Final = 120
"""Characters of a bad frame that are told."""
FEEDS: Final = {
    "crypto_prices": "binance",
    "crypto_prices_chainlink": "chainlink",
    "crypto_prices_twap_sixty": "twap_60",
    "price.crypto": "chainlink",
    "price.crypto.twap": "twap_60",
}
"""Topic or channel → feed."""
INTEGER_E18: Final = ("crypto_prices_chainlink", "crypto_prices_twap_sixty")
"""Legacy topics whose full accuracy value is an integer of 1e-18 units when it has no point."""

_FRAME: Final = msgspec.json.Decoder(Message | list[Message])
_ONE: Final = msgspec.json.Decoder(Message)
_RAWS: Final = msgspec.json.Decoder(list[msgspec.Raw])


class FrameDecoder:
    """Decodes frames and counts the ones that cannot be read; ``problem`` describes the last of them."""

    def __init__(self) -> None:
        self.frames = 0
        self.bad = 0
        self.problem = ""

    def decode(self, raw: bytes) -> list[Message]:
        """The frame's messages; an empty list when none can be read. Compare ``bad`` to know of a loss."""
        self.frames += 1
        try:
            found = _FRAME.decode(raw)
        except msgspec.DecodeError as error:
            return self._piecemeal(raw, error)
        return found if isinstance(found, list) else [found]

    def _piecemeal(self, raw: bytes, first: msgspec.DecodeError) -> list[Message]:
        try:
            parts = _RAWS.decode(raw)
        except msgspec.DecodeError:
            self._tell(raw, first)
            return []
        found: list[Message] = []
        for part in parts:
            try:
                found.append(_ONE.decode(part))
            except msgspec.DecodeError as error:
                self._tell(bytes(part), error)
        return found

    def _tell(self, raw: bytes, error: Exception) -> None:
        self.bad += 1
        self.problem = f"{error}: {raw[:SHOWN].decode('utf-8', 'replace')}"


class ReferencePrice(NamedTuple):
    """A price of a reference feed: ``feed`` chainlink, twap_60 or binance; ``price`` in 1e-8; ``stamp`` market ms."""

    feed: str
    symbol: str
    price: int
    stamp: int


def reference_price(message: Message) -> ReferencePrice | None:
    """The price that a topic or channel message carries, or None when it carries none.

    Raises ValueError when its full accuracy value is no number.
    """
    name = message.topic or message.channel
    feed = FEEDS.get(name)
    payload = message.payload
    if feed is None or payload is None or not payload.timestamp or not payload.symbol:
        return None
    if feed == "twap_60" and payload.window_seconds not in (0, 60):
        return None
    price = exact_e8(payload.full_accuracy_value, payload.value, integer_e18=name in INTEGER_E18)
    return ReferencePrice(feed, symbol_of(payload.symbol), price, payload.timestamp)


def exact_e8(text: str, value: float, *, integer_e18: bool = False) -> int:
    """A full accuracy value in 1e-8, cut off below; without one the number as it was written."""
    if not text:
        return parse_fixed(f"{value:.8f}" if "e" in repr(value) else repr(value), E18, "price") // E8_OF_E18
    if integer_e18 and "." not in text:
        return int(text) // E8_OF_E18
    return parse_fixed(text, E18, "price") // E8_OF_E18


def symbol_of(text: str) -> str:
    """``btc/usd``, ``btcusd`` and ``BTCUSDT`` as ``BTC``."""
    word = text.upper().replace("/", "")
    return word.removesuffix("USDT") if word.endswith("USDT") else word.removesuffix("USD")
