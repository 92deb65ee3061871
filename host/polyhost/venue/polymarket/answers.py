"""From what a venue's client was told to the events of a gateway: the same for every client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from polyhost.model import events
from polyhost.model.gateway import OrderDraft, OrderRow, TradeRow
from polyhost.model.money import price_text, size_text
from polyhost.model.rounding import floor_lot, legal_price
from polyhost.model.words import OrderType
from polyhost.venue.polymarket.account import Pages
from polyhost.venue.polymarket.outcomes import NO_ANSWER, Answer, Row, classify

_RowT = TypeVar("_RowT", OrderRow, TradeRow)


def illegal(draft: OrderDraft) -> str:
    """Why a draft is not signed by anybody; empty: it may be."""
    if not legal_price(draft.price, draft.tick):
        return f"price {price_text(draft.price)} is not on the tick {price_text(draft.tick)}"
    if draft.size <= 0 or draft.size != floor_lot(draft.size):
        return f"size {size_text(draft.size)} is not a positive multiple of 0.01"
    if (draft.order_type is OrderType.GTD) != (draft.expiration_s > 0):
        return f"{draft.order_type} with expiration {draft.expiration_s}"
    return ""


def post_answered(order_id: str, answer: Answer) -> events.PostAnswered:
    """A post's answer by the outcome table."""
    row: Row = classify("post", answer)
    return events.PostAnswered(
        order_id, row.meaning, answer.status, row.code, answer.text, row.blocks, http=answer.http,
        retry_after_ms=round(answer.retry_after_s * 1_000),
    )


def cancel_answered(order_id: str, answer: Answer) -> events.CancelAnswered:
    """A cancel's answer by the outcome table."""
    return events.CancelAnswered(order_id, classify("cancel", answer).meaning, answer.text, answer.http)


def too_few_or_many(answers: int, orders: int) -> list[Answer]:
    """The answer to each order of a batch whose answers cannot be told apart."""
    return [Answer(NO_ANSWER, f"malformed: {answers} answers to {orders} orders")] * orders


def with_pause(error: object, retry_after_s: float | None) -> str:
    """The text of an answer, with the pause that the venue named."""
    return str(error) if retry_after_s is None else f"{error} (again after {retry_after_s:g} s)"


def rows_of(pages: Pages, parse: Callable[[Mapping[str, Any]], _RowT]) -> tuple[tuple[_RowT, ...], str]:
    """The rows that can be read, and what is missing."""
    rows: list[_RowT] = []
    problems = [pages.problem] if pages.problem else []
    for data in pages.rows:
        try:
            rows.append(parse(data))
        except (ValueError, AttributeError) as error:
            problems.append(f"a row that cannot be read: {error}")
    return tuple(rows), "; ".join(problems[:3])
