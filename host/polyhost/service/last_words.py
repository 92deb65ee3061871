"""Nothing dies unseen (LOG-07): what nobody caught reaches the log with its traceback, redacted, without values.

Python would print it on standard error, where no secret is taken out and no file keeps it.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from loguru import logger

from polyhost.errors import PolyhostError
from polyhost.service.logs import REDACTOR


class Broke(PolyhostError):  # noqa: N818 it says what happened
    """The host met an error that nobody expected: a fault of ours. The error log has its traceback."""

    exit_code = 1


@contextmanager
def last_words() -> Iterator[None]:
    """While this lasts, errors that nobody catches are logged: of this thread, of others, of objects on their way out.

    Raises Broke for what is no error with a name of its own: its text may hold a secret, and what is printed is not
    redacted.
    """
    threads, objects = threading.excepthook, sys.unraisablehook
    threading.excepthook, sys.unraisablehook = _of_thread, _of_object
    try:
        yield
    except PolyhostError as error:
        # The command line tells the person; the log files keep it too.
        logger.bind(files_only=True).error("the run ended with exit code {}: {}", error.exit_code, error)
        raise
    except Exception as error:
        logger.opt(exception=error).critical("the run ended with exit code {}: {}", Broke.exit_code, error)
        raise Broke(REDACTOR.clean(f"{type(error).__name__}: {error}; logs/errors.log has the traceback")) from None
    except BaseException as error:  # Ctrl-C before anybody listens to it, or an exit
        logger.bind(files_only=True).opt(exception=error).critical("the run was ended: {}", type(error).__name__)
        raise
    finally:
        threading.excepthook, sys.unraisablehook = threads, objects


def of_loop(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """For ``set_exception_handler``: a task's error that nobody asked for, a callback that failed."""
    logger.opt(exception=context.get("exception")).error("in the event loop: {}", context.get("message", ""))


def ended(code: int) -> None:
    """A run came to its end; one that is not well is an error's line."""
    logger.log("ERROR" if code else "INFO", "the run ended with exit code {}", code)


def interrupted(name: str, then: str) -> None:
    """A signal: the error log keeps who ended a run, and when."""
    logger.bind(to_errors=True).warning("{}: {}", name, then)


def _of_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is SystemExit:
        return  # a thread's way to end itself
    name = "unknown" if args.thread is None else args.thread.name
    logger.opt(exception=_raised(args.exc_type, args.exc_value, args.exc_traceback)).error("the thread {} died", name)


def _of_object(args: sys.UnraisableHookArgs) -> None:
    raised = _raised(args.exc_type, args.exc_value, args.exc_traceback)
    logger.opt(exception=raised).error("{}", args.err_msg or "an error where none can be raised")


def _raised(
    kind: type[BaseException], value: BaseException | None, trace: TracebackType | None
) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    return kind, kind() if value is None else value, trace
