"""What a calm run may not bring: a log line of level ERROR or above, or a warning that nothing explains.

Where no fault is made, each of these is one of ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Final

from loguru import logger

from polyhost.model.records import NoticeRaised, Record

EXPLAINED: Final = (
    "Breaker daily_loss:", "Breaker drawdown:", "Breaker emergency_stops:",  # the market went against the plugins
    "Emergency stop: ",  # a stop was reached
    "Forced close of ",  # the plugins of the configuration close nothing in time
    "Pair ",  # its second leg became dearer than its plugin wants to pay
)
"""How the texts of notices begin that a calm market explains."""
KEPT: Final = 20
"""Alarms remembered; one is enough for a finding."""


class Alarms:
    """Listens to the log while it is entered; the caller hands it the records."""

    def __init__(self) -> None:
        self.found: list[str] = []
        """What was heard, the oldest first."""
        self._sink = -1

    def __enter__(self) -> Alarms:
        self._sink = logger.add(self._keep, level="ERROR", format="{level} {name}: {message}", diagnose=False)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        logger.remove(self._sink)

    def records(self, records: Iterable[Record]) -> None:
        """Notices of level warning and critical are alarms, but for those with an explanation."""
        for record in records:
            if isinstance(record, NoticeRaised) and record.level != "info" and not _explained(record.text):
                self._keep(f"{record.level} notice: {record.text}")

    def _keep(self, line: str) -> None:
        if len(self.found) < KEPT:
            self.found.append(str(line).strip())


def _explained(text: str) -> bool:
    """A notice about a market names that first."""
    return text.startswith(EXPLAINED) or text.partition(": ")[2].startswith(EXPLAINED)
