"""What can be wrong with stored data, told so that a person can mend it."""

from __future__ import annotations

from pathlib import Path

from polyhost import errors


class JournalError(errors.JournalError):
    """A database or file of ours cannot be used: which one, what was found, and what to do about it."""

    def __init__(self, path: Path | str, found: str, remedy: str) -> None:
        super().__init__(f"{found}. {remedy}.", path=str(path))
        self.found = found
        self.remedy = remedy


class RecordingError(JournalError):
    """A recording cannot be read."""
