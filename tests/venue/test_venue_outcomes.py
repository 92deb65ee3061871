from __future__ import annotations

from pathlib import Path

import pytest

from polyhost.kernel.blocks import BY_NAME
from polyhost.kernel.shortage import CODES
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
    page,
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
    again = "python -m polyhost.venue.polymarket.outcomes > docs/order-outcomes.md"
    assert DOCUMENT.read_text("utf-8") == page(), again


def test_ord_23_what_an_answer_blocks_is_a_cause_with_a_row() -> None:
    named = {row.blocks for row in POST_ROWS if row.blocks}
    assert named <= set(BY_NAME)
    assert named >= {"restarting", "rate_limit", "post_only_mode", "cancel_only", "disabled", "closed_only", "approval"}
    assert not any(row.blocks for row in (*CANCEL_ROWS, *QUERY_ROWS))


def test_ord_19_each_code_of_a_shortage_is_a_row() -> None:
    assert {row.code for row in POST_ROWS} >= CODES


@pytest.mark.parametrize(
    ("http", "text"),
    [
        (400, "Invalid order payload"), (400, "Invalid orderID"), (400, "Invalid token id"), (400, "Invalid side"),
        (400, "Invalid payload"), (400, "Payload exceeds the limit"), (400, "Invalid market"),
        (400, "invalid order params payload"), (400, "the order owner has to be the owner of the API KEY"),
        (400, "the order signer address has to be the address of the API KEY"), (400, "'0xab' address banned"),
        (400, "'0xab' address in closed only mode"), (400, "order 0xab crosses the book"),
        (400, "order 0xab is invalid. Price (0.123) breaks minimum tick size rule: 0.01"),
        (400, "order 0xab is invalid. Size (3) lower than the minimum: 5"), (400, "order 0xab is invalid. Duplicated."),
        (400, "invalid post-only order: order crosses book"), (400, "not enough balance / allowance"),
        (400, "invalid expiration"), (400, "invalid nonce"), (400, "order canceled in the CTF exchange contract"),
        (400, "order match delayed due to market conditions"),
        (400, "the market is not yet ready to process new orders"), (400, "invalid signature"),
        (400, "order couldn't be fully filled. FOK orders are fully filled or killed."),
        (400, "no orders found to match with FAK order. FAK orders are partially filled or killed"),
        (400, "order_version_mismatch"), (400, "Too many orders in payload: 16, max allowed: 15"),
        (400, "Too many orders in payload, max allowed: 15"),
        (400, "invalid amount for a marketable BUY order ($0.86), min size: $1"),
        (401, "Unauthorized/Invalid api key"), (401, "Invalid L1 Request headers"), (403, "error code: 1010"),
        (404, "market not found"), (404, "No orderbook exists for the requested token id"),
        (425, "matching engine restarting"), (429, "Too Many Requests"), (500, "there are no matching orders"),
        (500, "FOK orders are filled or killed"), (500, "the trade contains rounding issues"),
        (500, "the price of the taker's order has a discrepancy greater than allowed with the worst maker order"),
        (500, "Internal server error"), (503, "Trading is currently disabled. Check polymarket.com for updates"),
        (503, "Trading is currently cancel-only. New orders are not accepted, but cancels are allowed."),
        (503, "post-only mode: only post-only orders and cancels are allowed"),
        *((400, symbol) for symbol in (
            "INVALID_ORDER_MIN_TICK_SIZE", "INVALID_ORDER_MIN_SIZE", "INVALID_ORDER_DUPLICATED",
            "INVALID_ORDER_NOT_ENOUGH_BALANCE", "INVALID_ORDER_EXPIRATION", "INVALID_ORDER_ERROR",
            "INVALID_POST_ONLY_ORDER_TYPE", "INVALID_POST_ONLY_ORDER", "EXECUTION_ERROR", "ORDER_DELAYED",
            "DELAYING_ORDER_ERROR", "FOK_ORDER_NOT_FILLED_ERROR", "MARKET_NOT_READY",
        )),
    ],
)  # fmt: skip
def test_con_06_every_text_the_venue_is_known_to_write_has_a_row_of_its_own(http: int, text: str) -> None:
    """Error strings of the venue's documentation and of its client's tests (read 2026-11)."""
    assert classify("post", Answer(http, text)).code != "unlisted"
