"""What the venue's HTTP answers to the second client mean, in the words of the outcome table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from polyhost.venue.polymarket.account import error_text, parsed
from polyhost.venue.polymarket.answers import too_few_or_many, with_pause
from polyhost.venue.polymarket.outcomes import NO_ANSWER, Answer
from polyhost.venue.polymarket.wire_gateway import Revoked


class AnswerError(Exception):
    """The venue answered, and not with what was asked for."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.text)
        self.answer = answer


def body_of(response: httpx.Response, retry_after_s: float | None) -> Any:
    """The JSON of a 200. Raises AnswerError for every other answer."""
    body = parsed(response)
    if response.status_code != 200:
        text = with_pause(error_text(response, body), retry_after_s)
        raise AnswerError(Answer(response.status_code, text, retry_after_s=retry_after_s or 0.0))
    if body is None:
        raise AnswerError(Answer(NO_ANSWER, "malformed: not JSON"))
    return body


def to_post(sent: str, body: Any) -> Answer:
    """The answer to the order with our id ``sent``."""
    if not isinstance(body, dict):
        return Answer(NO_ANSWER, f"malformed: an answer that is {type(body).__name__}")
    success, error, status, named = (body.get(field) for field in ("success", "errorMsg", "status", "orderID"))
    if not (isinstance(success, bool) and isinstance(error, str) and isinstance(status, str)):
        return Answer(NO_ANSWER, "malformed: an answer without success, errorMsg or status")
    if error or not success:
        return Answer(200, error or "success is false")
    if status == "unmatched":
        return Answer(200, "", status)
    if not isinstance(named, str) or named.lower() != sent.lower():
        return Answer(NO_ANSWER, f"other id: {named}")
    return Answer(200, "", status)


def to_posts(sent: Sequence[str], body: Any) -> list[Answer]:
    """The answers to a batch, in its order."""
    if not isinstance(body, list):
        return [Answer(NO_ANSWER, f"malformed: answers that are {type(body).__name__}")] * len(sent)
    if len(body) != len(sent):
        return too_few_or_many(len(body), len(sent))
    return [to_post(order_id, leg) for order_id, leg in zip(sent, body, strict=True)]


def to_cancel(body: Any) -> Revoked:
    """What a cancel did. Raises AnswerError for a body that does not say."""
    canceled = body.get("canceled") if isinstance(body, dict) else None
    others = body.get("not_canceled") if isinstance(body, dict) else None
    if not isinstance(canceled, list) or not isinstance(others, Mapping):
        raise AnswerError(Answer(NO_ANSWER, "malformed: an answer to a cancel that names no orders"))
    return Revoked([str(order_id) for order_id in canceled], {str(key): str(why) for key, why in others.items()})
