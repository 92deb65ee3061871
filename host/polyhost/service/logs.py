"""Logging: loguru for everything, redacted, never able to break trading (LOG-02, LOG-04, LOG-09)."""

from __future__ import annotations

import logging
import sys
import traceback
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loguru import logger

if TYPE_CHECKING:
    from loguru import Record

LINE: Final = "{time:HH:mm:ss.SSS} {level: <8} {message}"
FILE_LINE: Final = "{time:YYYY-MM-DD HH:mm:ss.SSS} {level: <8} {name}:{line} {message}"
ROTATE_AT: Final = "10 MB"
KEEP: Final = 10
"""Log files kept after rotation."""
HIDDEN: Final = "[hidden]"
SPEAKS_FOR: Final[ContextVar[str]] = ContextVar("SPEAKS_FOR", default="")
"""The account whose work this is, where a host has several: its lines begin with it."""


class Redactor:
    """Replaces known secrets in every message before any sink sees it."""

    def __init__(self) -> None:
        self._secrets: list[str] = []

    def add(self, *secrets: str) -> None:
        """Texts that must never be written; empty ones are ignored."""
        self._secrets += [secret for secret in secrets if secret]

    def clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text

    def __call__(self, record: Record) -> None:
        if account := SPEAKS_FOR.get():
            record["message"] = f"{account}: {record['message']}"
        record["message"] = self.clean(record["message"])
        raised = record["exception"]
        if raised is None or raised.value is None or not self._secrets:
            return
        # The exceptions that led to this one are written, too.
        text = "".join(traceback.format_exception(raised.value))
        if self.clean(text) != text:
            record["exception"] = None
            record["message"] += self.clean(f" ({type(raised.value).__name__}: {raised.value}; traceback left out)")


REDACTOR: Final = Redactor()


class _ToLoguru(logging.Handler):
    """Routes the standard library's loggers into loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            level: str | int = logger.level(record.levelname).name
        except ValueError:
            level = record.levelno
        logger.opt(depth=6, exception=record.exc_info).log(level, record.getMessage())


def set_up(folder: Path | None, *, to_stderr: bool = True, verbose: bool = False) -> None:
    """Install the sinks. ``folder`` None: only standard error.

    ``catch=True``: a sink that fails (full disk, closed stream, encoding) loses its line, and nothing else.
    """
    logger.remove()
    logger.configure(patcher=REDACTOR)
    level = "DEBUG" if verbose else "INFO"
    if to_stderr:
        logger.add(
            sys.stderr, level=level, format=LINE, diagnose=False, backtrace=False, catch=True,
            filter=lambda record: not record["extra"].get("files_only"),
        )
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        logger.add(
            folder / "polyhost.log", level="DEBUG", format=FILE_LINE, rotation=ROTATE_AT, retention=KEEP,
            diagnose=False, backtrace=False, catch=True, encoding="utf-8", errors="backslashreplace",
        )
        logger.add(
            folder / "errors.log", level="ERROR", format=FILE_LINE, rotation=ROTATE_AT, retention=KEEP, diagnose=False,
            backtrace=True, catch=True, encoding="utf-8", errors="backslashreplace",
        )
    logging.basicConfig(handlers=[_ToLoguru()], level=logging.WARNING, force=True)
