"""Version 2 of the analysis data: evaluations are found by market, and read as one row an opinion (``opinions``)."""

from __future__ import annotations

from typing import Final

from polyhost.journal.migrations.migration import Migration

ANALYSIS: Final = Migration(
    2,
    "evaluations by market, a view of opinions",
    (
        'CREATE INDEX "evaluations_market" ON "evaluations" ("market", "time")',
        # Rows written by version 1 hold no such fields: they show as NULL in here.
        """
        CREATE VIEW "opinions" AS
        SELECT
            "evaluations"."id" AS "evaluation", "time", "market", 'signal' AS "role", "said"."key" AS "plugin",
            json_extract("said"."value", '$.p_up') AS "p_up", json_extract("said"."value", '$.weight') AS "weight",
            NULL AS "confidence", NULL AS "bias", json_extract("said"."value", '$.abstained') AS "abstained",
            json_extract("body", '$.prior') AS "prior", json_extract("body", '$.time_left_ms') AS "time_left_ms",
            json_extract("body", '$.spot') AS "spot", json_extract("body", '$.trading') AS "trading"
        FROM "evaluations", json_each("body", '$.signals') AS "said"
        UNION ALL
        SELECT
            "evaluations"."id", "time", "market", 'combiner', "said"."key",
            json_extract("said"."value", '$.p_up'), NULL, json_extract("said"."value", '$.confidence'),
            json_extract("said"."value", '$.bias'), json_extract("said"."value", '$.abstained'),
            json_extract("body", '$.prior'), json_extract("body", '$.time_left_ms'),
            json_extract("body", '$.spot'), json_extract("body", '$.trading')
        FROM "evaluations", json_each("body", '$.estimates') AS "said"
        """,
    ),
)
