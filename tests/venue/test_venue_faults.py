"""Every error of the venue has a name and says whether the request may be made again (CON-06)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from polyhost.errors import VenueError
from polyhost.venue.polymarket.faults import DECIDED_ANEW, RETRY_WAITS_S, Again, fault, retried, table_text
from polyhost.venue.polymarket.outcomes import ACCEPTED, NO_ANSWER, REFUSED, TABLES, UNKNOWN, Answer, Row

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "venue-errors.md"
EVERY = [(kind, row) for kind, rows in TABLES.items() for row in rows]


@pytest.mark.parametrize(("kind", "row"), EVERY, ids=[f"{kind}.{row.code}" for kind, row in EVERY])
def test_con_06_every_answer_has_a_name_a_meaning_and_a_word_on_repeating(kind: str, row: Row) -> None:
    named = fault(kind, row.sample)
    assert named.name == f"{kind}.{row.code}"
    assert named.meaning == row.meaning
    assert named.remedy


@pytest.mark.parametrize("row", TABLES["post"], ids=[row.code for row in TABLES["post"]])
def test_con_06_no_answer_to_a_post_lets_the_order_be_sent_again(row: Row) -> None:
    """Three retries were three fills (py-clob-client#273)."""
    named = fault("post", row.sample)
    assert not named.retryable
    wanted = {ACCEPTED: {Again.NO}, UNKNOWN: {Again.ASK}, REFUSED: {Again.DECIDE, Again.MEND}}
    assert named.again in wanted[row.meaning]


def test_con_06_the_refusals_that_another_moment_may_turn_are_all_in_the_table() -> None:
    codes = {row.code for row in TABLES["post"] if row.meaning == REFUSED}
    assert codes >= DECIDED_ANEW


@pytest.mark.parametrize(
    ("kind", "answer", "again"),
    [
        ("cancel", Answer(429, "Too Many Requests"), Again.REPEAT),
        ("cancel", Answer(425, "restarting"), Again.REPEAT),
        ("cancel", Answer(NO_ANSWER, "transport: reset"), Again.REPEAT),
        ("cancel", Answer(404, "order not found"), Again.NO),
        ("cancel", Answer(200, "", "canceled"), Again.NO),
        ("cancel", Answer(200, "not named"), Again.REPEAT),
        ("query", Answer(404, "order not found"), Again.NO),
        ("query", Answer(500, "Internal server error"), Again.REPEAT),
        ("query", Answer(401, "Unauthorized/Invalid api key"), Again.MEND),
        ("query", Answer(418, "nobody has seen this"), Again.REPEAT),
        ("post", Answer(400, "the allowance is not enough"), Again.MEND),
        ("post", Answer(400, "not enough balance / allowance"), Again.DECIDE),
        ("post", Answer(400, "order_version_mismatch"), Again.MEND),
        ("post", Answer(500, "there are no matching orders"), Again.ASK),
    ],
)
def test_con_06_what_may_be_repeated(kind: str, answer: Answer, again: Again) -> None:
    assert fault(kind, answer).again is again


def test_con_06_what_nobody_else_repeats_is_read_again_after_1_2_and_4_seconds() -> None:
    slept: list[float] = []
    tries = 0

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def ask() -> str:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise VenueError("HTTP 502", endpoint="/time")
        return "read"

    assert asyncio.run(retried(ask, "the time", sleep=sleep)) == "read"
    assert tuple(slept) == RETRY_WAITS_S == (1.0, 2.0, 4.0)
    tries = -10
    with pytest.raises(VenueError, match="502"):
        asyncio.run(retried(ask, "the time", sleep=sleep))
    assert len(slept) == 6


def test_con_06_a_fault_of_ours_is_not_retried() -> None:
    async def ask() -> None:
        raise ValueError("a fault of ours")

    async def sleep(seconds: float) -> None:
        raise AssertionError("slept")

    with pytest.raises(ValueError, match="ours"):
        asyncio.run(retried(ask, "the time", sleep=sleep))


def test_con_06_the_documented_names_are_the_names() -> None:
    assert DOCUMENT.read_text("utf-8").endswith(table_text()), "write docs/venue-errors.md anew from table_text()"
