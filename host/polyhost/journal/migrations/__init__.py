"""The schema's versions, in order. A new one is a new file and one more entry here; an old one never changes."""

from __future__ import annotations

from typing import Final

from polyhost.journal.migrations import v0001_first, v0002_opinions, v0003_explanations
from polyhost.journal.migrations.migration import Family, Migration

JOURNAL: Final = Family("journal", 0x706F6C6A, (v0001_first.JOURNAL,))
ANALYSIS: Final = Family(
    "analysis data", 0x706F6C61, (v0001_first.ANALYSIS, v0002_opinions.ANALYSIS, v0003_explanations.ANALYSIS)
)

__all__ = ["ANALYSIS", "JOURNAL", "Family", "Migration"]
