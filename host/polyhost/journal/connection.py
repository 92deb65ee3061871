"""What the journal needs of a connection, SQLite's or PostgreSQL's: both take the same SQL with ``?`` for values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol


class Cursor(Protocol):
    @property
    def rowcount(self) -> int:
        """Rows that a change touched."""

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """Nothing happens by itself: transactions begin with ``BEGIN`` and end with ``COMMIT`` or ``ROLLBACK``.

    Raises DRIVER_ERRORS.
    """

    @property
    def in_transaction(self) -> bool: ...

    def execute(self, sql: str, values: Sequence[Any] = ..., /) -> Cursor: ...

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> Cursor: ...

    def close(self) -> None: ...
