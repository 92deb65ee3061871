"""Every word the venue has for where an order or a trade is, and what the host does about it (CON-12).

Sources: docs.polymarket.com order and trade statuses and polymarket-client 0.14.0 (read 2026-11), user streams recorded
by others. A word that is not here is no guess: the order stays open, its slot and money with it, and is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct

from polyhost.model.words import TradeStatus

ORDER_PREFIX: Final = "ORDER_STATUS_"
TRADE_PREFIX: Final = "TRADE_STATUS_"


class Ends(StrEnum):
    """What a word says of an order's end."""

    NO = "no"
    YES = "yes"
    FULL = "when all of it matched"
    """A FAK or FOK has ended: what did not match was killed. A resting one only when all of it matched."""
    TAKER = "a FAK or FOK only"
    UNCLEAR = "unclear"
    """Proves neither: the order stays open and is asked for by its id and by its trades."""


class OrderWord(Struct, frozen=True):
    ends: Ends
    reaction: str


_ENDED = "closed once its final matched size and the trades of it are here"
_ASKED = "stays open with its slot and its money; asked for by id and by its trades"

ORDER_WORDS: Final[Mapping[str, OrderWord]] = {
    "LIVE": OrderWord(Ends.NO, "rests"),
    "DELAYED": OrderWord(Ends.NO, "waits for the venue's delay; its slot takes no other change (T4)"),
    "MATCHED": OrderWord(Ends.FULL, "its trades are booked; what is left of a resting order rests on"),
    "FILLED": OrderWord(Ends.FULL, "its trades are booked"),
    "UNMATCHED": OrderWord(Ends.TAKER, "a FAK or FOK met nobody; a resting order is asked for"),
    "CANCELED": OrderWord(Ends.YES, _ENDED),
    "CANCELLED": OrderWord(Ends.YES, _ENDED),
    "CANCELED_MARKET_RESOLVED": OrderWord(Ends.YES, _ENDED),
    "CANCELED_NOT_ENOUGH_BALANCE": OrderWord(Ends.YES, _ENDED),
    "CANCELED_MARKET_NOT_FOUND": OrderWord(Ends.YES, _ENDED),
    "CANCELED_EXPIRED_ORDER": OrderWord(Ends.YES, _ENDED),
    "CANCELED_ORDER_TIMED_OUT": OrderWord(Ends.YES, _ENDED),
    "EXPIRED": OrderWord(Ends.YES, _ENDED),
    "INVALID": OrderWord(Ends.YES, _ENDED),
    "NOT_FOUND": OrderWord(Ends.UNCLEAR, "proves nothing (U4); " + _ASKED),
    "ERROR": OrderWord(Ends.UNCLEAR, _ASKED),
}
"""Of an order. ``CANCELED_`` with any other reason (the venue writes free text there) is ``CANCELED``."""
UNKNOWN_WORD: Final = OrderWord(Ends.UNCLEAR, "told once a minute; " + _ASKED)
NOT_SAID: Final = OrderWord(Ends.NO, "an update without a status: its sizes are taken")

TRADE_WORDS: Final[Mapping[str, tuple[TradeStatus, str]]] = {
    "MATCHED": (TradeStatus.MATCHED, "exposure, not yet inventory"),
    "MATCHED_NOT_BROADCASTED": (TradeStatus.MATCHED, "the same; its transaction is not sent yet"),
    "MINED": (TradeStatus.MINED, "on the chain, not final"),
    "CONFIRMED": (TradeStatus.CONFIRMED, "settled: it may be sold; final"),
    "RETRYING": (TradeStatus.RETRYING, "sent again by the venue; still exposure"),
    "FAILED": (TradeStatus.FAILED, "it never happened: the fill is voided exactly once; final"),
}
"""Of a trade. A word that is not here counts as MATCHED (exposure, nothing that may be sold), and is told."""


def order_word(status: str) -> OrderWord | None:
    """What a status of an order means; None for a word nobody has seen."""
    word = status.upper().removeprefix(ORDER_PREFIX)
    if not word:
        return NOT_SAID
    known = ORDER_WORDS.get(word)
    if known is None and word.startswith(("CANCELED_", "CANCELLED_")):
        return ORDER_WORDS["CANCELED"]
    return known


def ends(status: str, size_matched: int | None, size: int, rests: bool) -> bool:
    """True when the venue's word proves that the order has ended."""
    match (order_word(status) or UNKNOWN_WORD).ends:
        case Ends.YES:
            return True
        case Ends.FULL:
            return not rests or (size_matched is not None and size_matched >= size)
        case Ends.TAKER:
            return not rests
        case Ends.NO | Ends.UNCLEAR:
            return False


def unclear(status: str, rests: bool) -> bool:
    """True when the word leaves open whether the order lives: it must be asked for."""
    said = (order_word(status) or UNKNOWN_WORD).ends
    return said is Ends.UNCLEAR or (said is Ends.TAKER and rests)


def trade_status(status: str) -> TradeStatus | None:
    """The status a word of a trade stands for; None for a word nobody has seen."""
    known = TRADE_WORDS.get(status.upper().removeprefix(TRADE_PREFIX))
    return None if known is None else known[0]


def table_text() -> str:
    """Both tables as Markdown, for the documentation."""
    lines = ["## Orders", "", "| word | ends the order | what happens |", "| --- | --- | --- |"]
    lines += [f"| `{word}` | {said.ends.value} | {said.reaction} |" for word, said in ORDER_WORDS.items()]
    lines += [f"| `CANCELED_` and free text | {Ends.YES.value} | {_ENDED} |"]
    lines += [f"| no word | {NOT_SAID.ends.value} | {NOT_SAID.reaction} |"]
    lines += [f"| any other | {UNKNOWN_WORD.ends.value} | {UNKNOWN_WORD.reaction} |", ""]
    lines += ["## Trades", "", "| word | counts as | what happens |", "| --- | --- | --- |"]
    lines += [f"| `{word}` | {status.value} | {said} |" for word, (status, said) in TRADE_WORDS.items()]
    lines += ["| any other | MATCHED | told once a minute; nothing may be sold on it |", ""]
    return "\n".join(lines)
