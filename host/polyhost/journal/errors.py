"""What can be wrong with stored data, told so that a person can mend it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from polyhost import errors


class JournalError(errors.JournalError):
    """A database or file of ours cannot be used: which one, what was found, and what to do about it."""

    def __init__(self, path: Path | str, found: str, remedy: str) -> None:
        super().__init__(f"{found}. {remedy}.", path=str(path))
        self.found = found
        self.remedy = remedy


class UnreachableError(JournalError):
    """The server of a database does not answer."""


class RecordingError(JournalError):
    """A recording cannot be read."""


class PostgresError(Exception):
    """What PostgreSQL or the way to it said: SQLSTATE (empty: no answer at all) and text, without any password."""

    def __init__(self, state: str, text: str) -> None:
        super().__init__(text)
        self.state = state


DRIVER_ERRORS: Final = (sqlite3.Error, PostgresError)
"""What a connection raises, of whichever kind it is."""
