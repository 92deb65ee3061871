"""Logging: loguru for everything, redacted, never able to break trading (LOG-02, LOG-04, LOG-09)."""

from __future__ import annotations

import atexit
import logging
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loguru import logger

from polyhost.service.log_files import LogFiles
from polyhost.service.log_line import Line, as_json, as_short_text, line_of
from polyhost.service.log_writer import LogWriter, Stream, Target
from polyhost.settings import LogTable

if TYPE_CHECKING:
    from loguru import Message, Record

HIDDEN: Final = "[hidden]"
SPEAKS_FOR: Final[ContextVar[str]] = ContextVar("SPEAKS_FOR", default="")
"""The account whose work this is: its lines are bound to it."""


class Redactor:
    """Replaces known secrets in every message before any sink sees it, and says whose work a line is."""

    def __init__(self) -> None:
        self.several = False
        """There are several accounts: a line about one begins with its name."""
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
            record["extra"].setdefault("account", account)
            if self.several:
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
        try:
            text = record.getMessage()
        except Exception as error:  # a library's line whose values do not fit costs nobody but the line
            text = f"{record.msg!r} (its values do not fit: {error})"
        logger.opt(depth=6, exception=record.exc_info).log(level, "{}", text)


class _Sink:
    """Hands lines to the thread that writes them."""

    def __init__(self, target: Target) -> None:
        self._writer = LogWriter(target)
        _WRITERS.append(self._writer)

    def write(self, message: Message) -> None:
        """``message`` is the traceback, if any: that is this sink's format."""
        line = line_of(message.record, REDACTOR.clean(str(message)))
        self._writer.put(_clean(line))

    def stop(self) -> None:
        """Called by loguru when the sink is taken away, at the end of the process at the latest."""
        self._writer.close()


_WRITERS: Final[list[LogWriter]] = []
"""Of the sinks that are installed; files come before standard error, which hears what becomes of them."""


def lines_lost() -> int:
    """Lines that the installed sinks could not write."""
    return sum(writer.lost for writer in _WRITERS)


def _clean(line: Line) -> Line:
    """What it is bound to holds no secret, either."""
    for name, value in line.bound.items():
        line.bound[name] = REDACTOR.clean(value)
    return line


def set_up(
    folder: Path | None, *, to_stderr: bool = True, verbose: bool = False, settings: LogTable | None = None,
    accounts: Mapping[str, Path] | None = None,
) -> None:
    """Install the sinks. ``folder`` None: only standard error. ``accounts``: where each one's own log is.

    Nobody who says a line waits for it to be written. A sink that fails (full disk, closed stream, encoding) loses
    lines, and nothing else.
    """
    settings = settings or LogTable()
    written()
    logger.configure(patcher=REDACTOR)
    if folder is not None:
        logger.add(
            _Sink(LogFiles(folder, accounts or {}, settings)), level="DEBUG", format=_trace, diagnose=False,
            backtrace=True, catch=True,
        )
    if to_stderr:
        text_of = as_json if settings.format == "json" else as_short_text
        logger.add(
            _Sink(Stream(text_of)), level="DEBUG" if verbose else "INFO", format=_trace, diagnose=False,
            backtrace=False, catch=True, filter=lambda record: not record["extra"].get("files_only"),
        )
    logging.basicConfig(handlers=[_ToLoguru()], level=logging.WARNING, force=True)


def _trace(record: Record) -> str:
    """Lines are written from their record; only the traceback is loguru's."""
    return "{exception}"


def written() -> None:
    """Take the sinks away: what was said is written before, within two seconds a sink."""
    # Not under loguru's lock, which a writer needs to tell that it cannot write.
    for writer in _WRITERS:
        writer.close()
    _WRITERS.clear()
    logger.remove()


atexit.register(written)
