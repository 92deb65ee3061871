"""Version 1: the first tables. A migration is history: it never changes, whatever becomes of the models."""

from __future__ import annotations

from typing import Final

from polyhost.journal.migrations.migration import Migration

JOURNAL: Final = Migration(
    1,
    "first tables",
    (
        """
        CREATE TABLE "journal" (
            "seq" INTEGER NOT NULL PRIMARY KEY, "time" INTEGER NOT NULL, "account" TEXT NOT NULL,
            "market" TEXT NOT NULL, "kind" TEXT NOT NULL, "body" TEXT NOT NULL
        )
        """,
        """
        CREATE TABLE "runs" (
            "run_id" TEXT NOT NULL PRIMARY KEY, "account" TEXT NOT NULL, "version" TEXT NOT NULL,
            "mode" TEXT NOT NULL, "config_hash" TEXT NOT NULL, "started_at" INTEGER NOT NULL, "ended_at" INTEGER,
            "end_reason" TEXT
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE "markets" (
            "market" TEXT NOT NULL PRIMARY KEY, "slug" TEXT NOT NULL, "symbol" TEXT NOT NULL, "opens_at" INTEGER,
            "ends_at" INTEGER NOT NULL, "tick" INTEGER NOT NULL, "accepting" INTEGER NOT NULL, "strike" INTEGER,
            "from_open" INTEGER NOT NULL, "added_at" INTEGER NOT NULL
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE "orders" (
            "ref" TEXT NOT NULL PRIMARY KEY, "account" TEXT NOT NULL, "market" TEXT NOT NULL, "side" TEXT NOT NULL,
            "purpose" TEXT NOT NULL, "key" TEXT NOT NULL, "token_id" TEXT NOT NULL, "action" TEXT NOT NULL,
            "order_type" TEXT NOT NULL, "price" INTEGER NOT NULL, "size" INTEGER NOT NULL,
            "reserve" INTEGER NOT NULL, "released" INTEGER NOT NULL, "state" TEXT NOT NULL, "cause" TEXT NOT NULL,
            "matched" INTEGER NOT NULL, "present" INTEGER NOT NULL, "order_id" TEXT, "why" TEXT NOT NULL,
            "intended_at" INTEGER NOT NULL, "prepared_at" INTEGER, "moved_at" INTEGER NOT NULL
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE "trades" (
            "trade_id" TEXT NOT NULL, "ref" TEXT NOT NULL, "account" TEXT NOT NULL, "market" TEXT NOT NULL,
            "side" TEXT NOT NULL, "token_id" TEXT NOT NULL, "action" TEXT NOT NULL, "price" INTEGER NOT NULL,
            "size" INTEGER NOT NULL, "money" INTEGER NOT NULL, "fee" INTEGER NOT NULL, "status" TEXT NOT NULL,
            "maker" INTEGER NOT NULL, "booked_at" INTEGER NOT NULL, "moved_at" INTEGER NOT NULL,
            PRIMARY KEY ("trade_id", "ref")
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE "ledger_entries" (
            "seq" INTEGER NOT NULL, "leg" INTEGER NOT NULL, "at" INTEGER NOT NULL, "account" TEXT NOT NULL,
            "cause" TEXT NOT NULL, "ref" TEXT NOT NULL, "ledger" TEXT NOT NULL, "asset" TEXT NOT NULL,
            "delta" INTEGER NOT NULL, PRIMARY KEY ("seq", "leg")
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE "positions" (
            "account" TEXT NOT NULL, "market" TEXT NOT NULL, "side" TEXT NOT NULL, "size" INTEGER NOT NULL,
            "bought" INTEGER NOT NULL, "sold" INTEGER NOT NULL, "cost" INTEGER NOT NULL, "proceeds" INTEGER NOT NULL,
            "fees" INTEGER NOT NULL, "opened_at" INTEGER, "due" INTEGER, "met" TEXT, "held_kind" TEXT,
            "held_reason" TEXT, "exit_reason" TEXT, "forced" INTEGER, "sell_failed" INTEGER, "entry_price" INTEGER,
            "exit_price" INTEGER, "closed_size" INTEGER, "closed_at" INTEGER, "pnl" INTEGER NOT NULL,
            "moved_at" INTEGER NOT NULL, PRIMARY KEY ("account", "market", "side")
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE "settlements" (
            "market" TEXT NOT NULL PRIMARY KEY, "winner" TEXT, "final" INTEGER, "source" TEXT NOT NULL,
            "at" INTEGER NOT NULL
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE "notices" (
            "notice_id" TEXT NOT NULL PRIMARY KEY, "account" TEXT NOT NULL, "at" INTEGER NOT NULL,
            "level" TEXT NOT NULL, "topic" TEXT NOT NULL, "text" TEXT NOT NULL, "market" TEXT NOT NULL
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE "plugin_state" (
            "plugin" TEXT NOT NULL, "key" TEXT NOT NULL, "value" TEXT NOT NULL, "at" INTEGER NOT NULL,
            PRIMARY KEY ("plugin", "key")
        ) WITHOUT ROWID
        """,
    ),
)

ANALYSIS: Final = Migration(
    1,
    "first tables",
    (
        """
        CREATE TABLE "evaluations" (
            "id" INTEGER NOT NULL PRIMARY KEY, "time" INTEGER NOT NULL, "wall" INTEGER NOT NULL,
            "market" TEXT NOT NULL, "body" TEXT NOT NULL
        )
        """,
        """
        CREATE TABLE "quotes" (
            "id" INTEGER NOT NULL PRIMARY KEY, "time" INTEGER NOT NULL, "wall" INTEGER NOT NULL,
            "market" TEXT NOT NULL, "body" TEXT NOT NULL
        )
        """,
        """
        CREATE TABLE "marks" (
            "id" INTEGER NOT NULL PRIMARY KEY, "time" INTEGER NOT NULL, "wall" INTEGER NOT NULL,
            "market" TEXT NOT NULL, "body" TEXT NOT NULL
        )
        """,
    ),
)
