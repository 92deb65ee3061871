"""The journal is looked over once an hour while the host runs: damage stops new exposure (ORD-16, NOT-05)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from loguru import logger

from polyhost.journal.status import journal_status
from polyhost.model.events import JournalChecked
from polyhost.service.supervision import Beat

CHECK_EVERY_S: Final = 3_600.0
"""Wall seconds from one look to the next; the first comes that long after the start, which folded the journal."""
CHECK_SILENT_S: Final = 3_900.0
"""The loop goes round once an hour, wall seconds; a look may take five minutes."""


class JournalWatch:
    """Looks from a thread, on a connection of its own that only reads."""

    def __init__(
        self, journal: Path, tell: Callable[[JournalChecked], None], sealed: Callable[[], bool], *,
        every_s: float = CHECK_EVERY_S,
    ) -> None:
        """``tell`` gets what each look found; while ``sealed`` nobody looks: that is told louder already."""
        self._journal = journal
        self._tell = tell
        self._sealed = sealed
        self._every_s = every_s

    async def run(self, beat: Beat) -> None:
        """Look for ever."""
        while True:
            beat()
            await asyncio.sleep(self._every_s)
            if self._sealed():
                continue
            found = await asyncio.to_thread(journal_status, self._journal)
            problem = "; ".join(found.problems)
            logger.debug("the journal was looked over: {}", problem or "it is whole")
            if not self._sealed():
                self._tell(JournalChecked(problem))
