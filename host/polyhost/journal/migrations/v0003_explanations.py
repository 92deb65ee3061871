"""Version 3 of the analysis data: what became of every entry that a plugin wanted, one row each."""

from __future__ import annotations

from typing import Final

from polyhost.journal.migrations.migration import Migration

ANALYSIS: Final = Migration(
    3,
    "explanations of entries",
    (
        """
        CREATE TABLE "explanations" (
            "id" INTEGER NOT NULL PRIMARY KEY, "time" INTEGER NOT NULL, "wall" INTEGER NOT NULL,
            "market" TEXT NOT NULL, "body" TEXT NOT NULL
        )
        """,
        'CREATE INDEX "explanations_market" ON "explanations" ("market", "time")',
    ),
)
