"""Connections to a journal in PostgreSQL, by psycopg: the same SQL as SQLite's, errors without a password.

Imported only where a journal is in PostgreSQL. A connection is a plain one to the server (a pool that hands each
transaction to another session would lose the account's lease).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from polyhost.journal.errors import JournalError, PostgresError, UnreachableError
from polyhost.journal.place import EXTRA, Postgres

if TYPE_CHECKING:
    import psycopg

CONNECT_S: Final = 10
"""Longest wait for the server to answer a connection, wall time."""
LOST_MS: Final = 10_000
"""What was sent and is not acknowledged for so long ends the connection, wall time."""
STATEMENT_MS: Final = 30_000
"""Longest that one statement of the host may take, wall time; past it the journal counts as failed."""
REMOTE_WAIT_MS: Final = 1_000
"""A table that somebody else locks is waited for in steps of this length, wall time."""
BUSY: Final = "55P03"
ROWS: Final = 2_000
"""Rows fetched at once while streaming."""


@lru_cache(maxsize=256)
def dialect(sql: str) -> str:
    """Our SQL with SQLite's placeholders as psycopg takes it."""
    return sql.replace("%", "%%").replace("?", "%s")


class PgConnection:
    """One session with its schema as search path; see ``Connection`` for what it promises."""

    def __init__(self, raw: psycopg.Connection[Any], secrets: tuple[str, ...]) -> None:
        self._raw = raw
        self._secrets = secrets

    @property
    def in_transaction(self) -> bool:
        """False as well when the connection is lost: there is nothing to roll back then."""
        from psycopg.pq import TransactionStatus

        return self._raw.info.transaction_status in (
            TransactionStatus.ACTIVE, TransactionStatus.INTRANS, TransactionStatus.INERROR
        )

    @property
    def lost(self) -> bool:
        return self._raw.closed

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Any:
        with _errors(self._secrets):
            if values:
                return self._raw.execute(dialect(sql).encode(), tuple(values))
            return self._raw.execute(sql.encode())

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> Any:
        with _errors(self._secrets):
            cursor = self._raw.cursor()
            cursor.executemany(dialect(sql).encode(), rows)
            return cursor

    def stream(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Any]:
        """Rows of a large answer, a few at a time, as they stood when it began."""
        with _errors(self._secrets):
            self._raw.execute(b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            with _errors(self._secrets), self._raw.cursor(name="polyhost_stream") as cursor:
                cursor.itersize = ROWS
                cursor.execute(dialect(sql).encode(), tuple(values) or None)
                yield from cursor
        finally:
            if self.in_transaction:
                self._raw.execute(b"ROLLBACK")

    def close(self) -> None:
        self._raw.close()


@contextmanager
def _errors(secrets: tuple[str, ...]) -> Iterator[None]:
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        # Without the cause: its text may hold the address.
        raise PostgresError(error.sqlstate or "", _clean(str(error), secrets)) from None


def _clean(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, "•••")
    return " ".join(text.split())


def connect(place: Postgres, *, write: bool = False, lock_ms: int = REMOTE_WAIT_MS) -> PgConnection:
    """A session in the account's schema (which need not exist yet).

    Raises JournalError when psycopg is not installed, or the address or its secret cannot be used; PostgresError when
    the server does not answer or refuses.
    """
    try:
        import psycopg
        from psycopg import sql
    except ImportError:
        raise JournalError(place.shown, "PostgreSQL needs the library psycopg", EXTRA) from None
    secrets = place.secrets()
    with _errors(secrets):
        raw = psycopg.connect(
            place.address(), autocommit=True, connect_timeout=CONNECT_S, application_name="polyhost",
            keepalives=1, keepalives_idle=5, keepalives_interval=2, keepalives_count=3, tcp_user_timeout=LOST_MS,
        )
        try:
            raw.adapters.register_dumper(str, _text_dumper())
            raw.adapters.register_dumper(bool, _flag_dumper())
            raw.adapters.register_loader("numeric", _sum_loader())
            settings = {
                "search_path": sql.Identifier(place.schema), "synchronous_commit": sql.SQL("on"),
                "lock_timeout": sql.Literal(lock_ms), "statement_timeout": sql.Literal(STATEMENT_MS),
                "default_transaction_read_only": sql.SQL("off" if write else "on"),
                # A reader that begins a transaction sees one instant, as in SQLite.
                "default_transaction_isolation": sql.Literal("read committed" if write else "repeatable read"),
                "client_min_messages": sql.SQL("warning"),
            }
            raw.execute(sql.SQL("; ").join(
                sql.SQL("SET {} TO {}").format(sql.Identifier(name), value) for name, value in settings.items()
            ))
        except BaseException:
            raw.close()
            raise
    return PgConnection(raw, secrets)


def _text_dumper() -> Any:
    from psycopg.types.string import StrDumper

    class Text(StrDumper):
        """PostgreSQL's text holds no NUL; a stranger's text may."""

        def dump(self, obj: str) -> Any:
            return super().dump(obj.replace("\0", "\ufffd"))

    return Text


def _flag_dumper() -> Any:
    from psycopg.adapt import Dumper
    from psycopg.postgres import types

    class Flag(Dumper):
        """True is 1, as SQLite has it: a row is the same in both."""

        oid = types["int8"].oid

        def dump(self, obj: bool) -> bytes:
            return b"1" if obj else b"0"

    return Flag


def _sum_loader() -> Any:
    from psycopg.adapt import Loader

    class Sum(Loader):
        """A sum of integers is an integer, as SQLite has it; PostgreSQL calls it numeric."""

        def load(self, data: Any) -> int | float:
            text = bytes(data)
            return float(text) if b"." in text else int(text)

    return Sum


def told(place: Postgres, error: PostgresError) -> JournalError:
    """PostgreSQL's error as one that names the database and what to do."""
    state, shown = error.state, place.shown
    if state == BUSY:
        return JournalError(shown, "it is locked by another program", "Stop what uses it, then start again")
    if state.startswith("28"):
        return JournalError(shown, f"the login was refused ({error})", "Check user and password of [host] database")
    if state == "3D000":
        return JournalError(shown, f"there is no such database ({error})", "Create it: `createdb NAME`")
    if state == "42501":
        return JournalError(
            shown, f"a right is missing ({error})", "Let the user create schemas: GRANT CREATE ON DATABASE … TO …"
        )
    if state == "53100":
        return JournalError(shown, "the disk of the database is full", "Free space, then start again")
    if state == "57014":
        return JournalError(shown, f"it did not answer in time ({error})", "Look at the server's load and locks")
    if not state or state.startswith(("08", "57P")):
        return UnreachableError(
            shown, f"the connection is lost or cannot be made ({error})",
            "Check that the server runs and can be reached, then start again",
        )
    return JournalError(shown, f"the database refused ({state}): {error}", "Run `polyhost db status` for more")
