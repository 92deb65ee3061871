"""What tables and columns a database has, asked of SQLite or PostgreSQL."""

from __future__ import annotations

import sqlite3

from polyhost.journal.connection import Connection

_COLUMNS = (
    "SELECT column_name, is_nullable FROM information_schema.columns"
    " WHERE table_schema = current_schema() AND table_name = ? ORDER BY ordinal_position"
)


def tables_in(connection: Connection) -> set[str]:
    """Names of the tables; of PostgreSQL those of the connection's schema."""
    sql = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    if isinstance(connection, sqlite3.Connection):
        sql = "SELECT name FROM sqlite_master WHERE type = 'table'"
    return {row[0] for row in connection.execute(sql).fetchall()}


def columns_in(connection: Connection, table: str) -> dict[str, bool]:
    """Column → may it not be NULL, in order; empty: there is no such table."""
    if isinstance(connection, sqlite3.Connection):
        return {row[1]: bool(row[3]) for row in connection.execute(f'PRAGMA table_info("{table}")')}
    return {name: nullable == "NO" for name, nullable in connection.execute(_COLUMNS, (table,))}
