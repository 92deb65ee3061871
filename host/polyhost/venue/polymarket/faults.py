"""Every error of the venue by name: whether the request may be made again, by whom, and when (CON-06).

The outcome table says what an answer *means*; this page says what may be *repeated*. Two rules stand behind it. An
order is never sent again because of an error: only its fate is asked for, and only U5 sends the same bytes again. And
whoever has a ladder of its own (unknown orders, sweeps, balances, results, streams) is not retried below it as well,
because two ladders multiply. What nobody asks again, reads at the start, is retried here after 1, 2 and 4 s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Final, TypeVar

from loguru import logger
from msgspec import Struct

from polyhost.errors import VenueError
from polyhost.venue.polymarket.outcomes import ACCEPTED, REFUSED, TABLES, UNKNOWN, Answer, Row, classify

RETRY_WAITS_S: Final = (1.0, 2.0, 4.0)
"""Before the second, third and fourth try of a read that nobody else repeats, wall seconds."""
T = TypeVar("T")


class Again(StrEnum):
    """Whether the same request may be made once more."""

    NO = "no: it worked"
    MEND = "no: it would be refused again until something is mended"
    ASK = "never sent anew: its fate is asked for by its id"
    DECIDE = "by a new decision, later"
    REPEAT = "yes: a repeat changes nothing"


class Fault(Struct, frozen=True):
    """An answer by name. ``name`` is ``kind.code``; ``meaning`` and ``remedy`` are the outcome table's."""

    name: str
    again: Again
    meaning: str
    remedy: str

    @property
    def retryable(self) -> bool:
        """The very same request may be sent again without a new decision."""
        return self.again is Again.REPEAT


DECIDED_ANEW: Final = frozenset({
    "funds_matched", "funds_active", "balance", "funds", "tick", "post_only_cross", "cross", "fok_killed", "fak_killed",
    "not_ready", "no_market", "no_book", "rate_limit", "budget", "min_value",
})  # fmt: skip
"""Refusals of an order that another moment, book or balance may turn into an acceptance: a new order, newly decided."""
MENDED_FIRST: Final = frozenset({"unauthorized"})
"""Answers to cancels and queries that repeating does not change."""


def fault(kind: str, answer: Answer) -> Fault:
    """The name of an answer to a ``post``, ``cancel`` or ``query``; every answer has one."""
    return _fault(kind, classify(kind, answer))


def _fault(kind: str, row: Row) -> Fault:
    return Fault(f"{kind}.{row.code}", _again(kind, row), row.meaning, row.remedy)


def _again(kind: str, row: Row) -> Again:
    if row.code in MENDED_FIRST:
        return Again.MEND
    if kind != "post":
        worked = row.http == 200 or row.meaning in ("not_found", "absent")
        return Again.NO if worked and row.meaning != UNKNOWN else Again.REPEAT
    if row.meaning == ACCEPTED:
        return Again.NO
    if row.meaning == REFUSED:
        return Again.DECIDE if row.code in DECIDED_ANEW else Again.MEND
    return Again.ASK


async def retried(
    ask: Callable[[], Awaitable[T]],
    what: str,
    *,
    waits_s: tuple[float, ...] = RETRY_WAITS_S,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> T:
    """Read something, again after each pause when there was no usable answer. Raises the last VenueError.

    Only for requests that change nothing, and that nobody else repeats.
    """
    for wait in waits_s:
        try:
            return await ask()
        except VenueError as error:
            logger.warning("{} not read, again in {:g} s: {}", what, wait, error)
            await sleep(wait)
    return await ask()


def table_text() -> str:
    """The names as Markdown, for the documentation."""
    lines = ["| name | meaning | again? |", "| --- | --- | --- |"]
    for kind, rows in TABLES.items():
        for row in rows:
            named = _fault(kind, row)
            lines.append(f"| `{named.name}` | {named.meaning} | {named.again.value} |")
    return "\n".join([*lines, ""])
