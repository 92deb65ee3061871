from __future__ import annotations

from pathlib import Path

import pytest

from polyhost.venue.polymarket.outcomes import (
    ACCEPTED,
    CANCEL_ROWS,
    NO_ANSWER,
    POST_ROWS,
    QUERY_ROWS,
    REFUSED,
    UNKNOWN,
    Answer,
    Row,
    classify,
    table_text,
)

EVERY = [(kind, row) for kind, rows in (("post", POST_ROWS), ("cancel", CANCEL_ROWS), ("query", QUERY_ROWS))
         for row in rows]  # fmt: skip
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "order-outcomes.md"


@pytest.mark.parametrize(("kind", "row"), EVERY, ids=[f"{kind}-{row.code}" for kind, row in EVERY])
def test_con_06_every_row_of_the_outcome_table_is_reached_by_its_own_answer(kind: str, row: Row) -> None:
    assert classify(kind, row.sample).code == row.code


def test_con_06_codes_are_unique_and_every_row_says_what_happens() -> None:
    for rows in (POST_ROWS, CANCEL_ROWS, QUERY_ROWS):
        assert len({row.code for row in rows}) == len(rows)
        assert all(row.remedy for row in rows)


@pytest.mark.parametrize("row", POST_ROWS, ids=[row.code for row in POST_ROWS])
def test_u3_only_a_parsed_4xx_that_names_a_rule_refuses(row: Row) -> None:
    if row.meaning == REFUSED and row.code not in ("not_sent", "budget"):
        assert row.http in (400, 401, 404, 429)
        assert row.text or row.http == 429


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, "Internal server error"), Answer(502, "<html>"), Answer(503, "anything"), Answer(504),
        Answer(NO_ANSWER, "transport: timed out"), Answer(NO_ANSWER, "malformed: x"), Answer(200, "", "unmatched"),
        Answer(400, "words nobody has seen"), Answer(418, "teapot"), Answer(425, "restarting"),
        Answer(NO_ANSWER, "silence"), Answer(200, "words nobody has seen"), Answer(200, "", "sleeping"),
    ],
)  # fmt: skip
def test_u1_what_the_table_does_not_prove_is_unknown(answer: Answer) -> None:
    assert classify("post", answer).meaning == UNKNOWN


def test_a_200_that_refuses_means_what_its_text_means() -> None:
    """In batches a refused leg is a 200 with the reason in errorMsg."""
    text = "order 0xab is invalid. Size (3) lower than the minimum: 5"
    assert classify("post", Answer(200, text)).code == "min_size"
    assert classify("post", Answer(200, "there are no matching orders")).meaning == UNKNOWN


@pytest.mark.parametrize(
    ("suffix", "code"),
    [
        (": the balance is not enough -> balance: 1, sum of active orders: 2", "funds_active"),
        (": the balance is not enough -> balance: 1, sum of matched orders: 2", "funds_matched"),
        (": the balance is not enough -> balance: 4893500, order amount: 5000000", "balance"),
        (": the allowance is not enough -> allowance: 0, order amount: 5000000", "allowance"),
        ("", "funds"),
    ],
)
def test_ord_19_balance_refusals_are_told_apart(suffix: str, code: str) -> None:
    assert classify("post", Answer(400, "not enough balance / allowance" + suffix)).code == code


def test_duplicated_proves_presence() -> None:
    assert classify("post", Answer(400, "order 0xab is invalid. Duplicated.")).meaning == ACCEPTED


def test_a_missing_approval_blocks_entries() -> None:
    assert classify("post", Answer(400, "the allowance is not enough")).blocks == "approval"


def test_ord_07_a_cancel_of_an_unknown_order_is_no_proof() -> None:
    assert classify("cancel", Answer(200, "order not found")).meaning == "not_found"
    assert classify("cancel", Answer(404, "")).meaning == "not_found"
    assert classify("cancel", Answer(200, "already canceled or matched")).meaning == "gone"
    assert classify("cancel", Answer(200, "a reason nobody has seen")).meaning == UNKNOWN


def test_the_documented_table_is_the_table() -> None:
    assert DOCUMENT.read_text("utf-8").endswith(table_text()), "write docs/order-outcomes.md anew from table_text()"
