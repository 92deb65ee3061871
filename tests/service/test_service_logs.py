"""What the log never says (LOG-04): neither in a message nor in the traceback below it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from loguru import logger

from polyhost.service.logs import HIDDEN, Redactor

HORSE = "correct-horse-battery"


def fails(text: str) -> None:
    raise ValueError(text)


def fails_because(text: str) -> None:
    try:
        fails(text)
    except ValueError as error:
        raise RuntimeError("the delivery failed") from error


def logged(act: Callable[[str], None], text: str) -> str:
    redactor = Redactor()
    redactor.add(HORSE, "")
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message}", backtrace=True, diagnose=False)
    try:
        act(text)
    except Exception:
        logger.patch(redactor).exception("told with {}", text)
    finally:
        logger.remove(sink)
    return "".join(str(line) for line in lines)


@pytest.mark.parametrize("act", [fails, fails_because])
def test_log_04_a_secret_is_neither_in_the_message_nor_in_the_traceback(act: Callable[[str], None]) -> None:
    said = logged(act, f"no answer from {HORSE}")
    assert HORSE not in said
    assert said.startswith(f"told with no answer from {HIDDEN} (")
    assert "traceback left out" in said


def test_log_07_a_traceback_without_a_secret_is_whole() -> None:
    said = logged(fails_because, "no answer")
    assert "Traceback" in said
    assert "RuntimeError: the delivery failed" in said
    assert "left out" not in said
