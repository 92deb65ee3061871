"""Tables for other programs: the journal's projections and the analysis data, as CSV or Parquet, a batch at a time.

Numbers leave as exact decimals in the trader's units (collateral and shares with six places, prices with four), times
as UTC; nothing goes through a float that is not one already. ``fills`` is for accounting: a row a trade with what it
moved.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from polyhost.files import sync_folder
from polyhost.journal.connection import Connection
from polyhost.journal.errors import JournalError
from polyhost.journal.export_files import BATCH, WRITERS, Kind, Row
from polyhost.journal.migrations import ANALYSIS, JOURNAL
from polyhost.journal.opening import inspect, reading


class Table(Struct, frozen=True):
    """One table that can be exported: its columns with their kinds, and the SELECT that gives them.

    ``source`` holds ``{when}`` where a condition on ``when`` (a column, market ms) belongs.
    """

    columns: dict[str, Kind]
    source: str
    when: str
    numbered: str = ""
    """Of analysis data: the column of row numbers that it is read by, range after range; empty: read at once."""
    owner: str = ""
    """The table whose numbers these are."""


def _columns(**groups: str) -> dict[str, Kind]:
    """Kinds by group of names: ``text="a b", money="c"``; the order is given by the SELECT, not here."""
    return {name: kind for kind, names in groups.items() for name in names.split()}  # type: ignore[misc]


def _plain(table: str, when: str, order: str, kinds: dict[str, Kind], wanted: str) -> Table:
    names = wanted.split()
    chosen = ", ".join(f'"{name}"' for name in names)
    source = f'SELECT {chosen} FROM "{table}" WHERE {{when}} ORDER BY {order}'
    return Table({name: kinds[name] for name in names}, source, f'"{when}"')


_KINDS: Final = _columns(
    text="run_id account version mode config_hash end_reason market slug symbol ref side purpose key token_id action"
    " order_type state cause order_id why trade_id status ledger asset met held_kind held_reason exit_reason winner"
    " source notice_id level topic text",
    money="size reserve released matched money fee delta bought sold cost proceeds fees closed_size pnl cash",
    price="tick price entry_price exit_price",
    reference="strike final",
    time="started_at ended_at opens_at ends_at added_at intended_at prepared_at moved_at booked_at at opened_at due"
    " closed_at",
    flag="accepting from_open present maker forced sell_failed",
    count="seq leg",
)
_FILLS: Final = Table(
    {
        "time": "time", "trade_id": "text", "order_id": "text", "account": "text", "market": "text",
        "condition_id": "text", "side": "text", "action": "text", "price": "price", "shares": "money",
        "money": "money", "fee": "money", "cash": "money", "status": "text", "maker": "flag", "purpose": "text",
        "token_id": "text", "ref": "text",
    },
    """
    SELECT t."booked_at", t."trade_id", o."order_id", t."account", coalesce(m."slug", ''), t."market", t."side",
        t."action", t."price", t."size", t."money", t."fee",
        CASE WHEN t."status" = 'FAILED' THEN 0 WHEN t."action" = 'BUY' THEN -t."money" - t."fee"
            ELSE t."money" - t."fee" END,
        t."status", t."maker", coalesce(o."purpose", ''), t."token_id", t."ref"
    FROM "trades" t LEFT JOIN "orders" o ON o."ref" = t."ref" LEFT JOIN "markets" m ON m."market" = t."market"
    WHERE {when} ORDER BY t."booked_at", t."trade_id", t."ref"
    """,
    't."booked_at"',
)
_SEEN: Final = _columns(count="id", time="time wall", text="market body")


def _seen(table: str) -> Table:
    source = f'SELECT "id", "time", "wall", "market", "body" FROM "{table}" WHERE {{when}}'
    return Table(_SEEN, source, '"time"', '"id"', table)


def _said(path: str) -> str:
    return f"""json_extract("body", '$.{path}')"""


_EVALUATIONS: Final = Table(
    {
        "id": "count", "time": "time", "wall": "time", "market": "text", "slug": "text", "time_left_ms": "count",
        "bid": "price", "ask": "price", "prior": "number", "spot": "number", "strike": "number",
        "reference": "number", "trading": "text", "gate": "text", "gate_text": "text", "body": "text",
    },
    'SELECT "id", "time", "wall", "market", ' + ", ".join(map(_said, (
        "slug", "time_left_ms", "bid", "ask", "prior", "spot", "strike", "reference", "trading", "gate", "gate_text"
    ))) + ', "body" FROM "evaluations" WHERE {when}',
    '"time"', '"id"', "evaluations",
)
_OPINIONS: Final = Table(
    {
        "evaluation": "count", "time": "time", "market": "text", "role": "text", "plugin": "text", "p_up": "number",
        "weight": "number", "confidence": "number", "bias": "text", "abstained": "text", "prior": "number",
        "time_left_ms": "count", "spot": "number", "trading": "text",
    },
    'SELECT "evaluation", "time", "market", "role", "plugin", "p_up", "weight", "confidence", "bias", "abstained",'
    ' "prior", "time_left_ms", "spot", "trading" FROM "opinions" WHERE {when}',
    '"time"', '"evaluation"', "evaluations",
)
JOURNAL_EXPORTS: Final[dict[str, Table]] = {
    "fills": _FILLS,
    "orders": _plain("orders", "intended_at", '"intended_at", "ref"', _KINDS,
        "ref account market side purpose key token_id action order_type price size reserve released state cause matched"
        " present order_id why intended_at prepared_at moved_at"),
    "ledger": _plain("ledger_entries", "at", '"seq", "leg"', _KINDS,
        "seq leg at account cause ref ledger asset delta"),
    "positions": _plain("positions", "moved_at", '"account", "market", "side"', _KINDS,
        "account market side size bought sold cost proceeds fees opened_at due met held_kind held_reason exit_reason"
        " forced sell_failed entry_price exit_price closed_size closed_at pnl moved_at"),
    "settlements": _plain("settlements", "at", '"at", "market"', _KINDS, "market winner final source at"),
    "notices": _plain("notices", "at", '"at", "notice_id"', _KINDS, "notice_id account at level topic text market"),
    "markets": _plain("markets", "added_at", '"added_at", "market"', _KINDS,
        "market slug symbol opens_at ends_at tick accepting strike from_open added_at"),
    "runs": _plain("runs", "started_at", '"started_at", "run_id"', _KINDS,
        "run_id account version mode config_hash started_at ended_at end_reason"),
}
ANALYSIS_EXPORTS: Final[dict[str, Table]] = {
    "evaluations": _EVALUATIONS, "opinions": _OPINIONS, "quotes": _seen("quotes"), "marks": _seen("marks"),
    "explanations": _seen("explanations"),
}
TABLES: Final = (*JOURNAL_EXPORTS, *ANALYSIS_EXPORTS)


def export_table(
    name: str, journal: Path, analysis: Path, target: Path, format: str, since: int | None = None,
    until: int | None = None,
) -> int:
    """Write one table of ``TABLES`` to ``target``, rows from ``since`` up to before ``until`` (market ms); how many.

    ``format`` is one of ``WRITERS``. The file has its name when it is whole. Raises JournalError: nothing readable is
    there, or it cannot be written.
    """
    table = JOURNAL_EXPORTS.get(name) or ANALYSIS_EXPORTS[name]
    path, family = (journal, JOURNAL) if name in JOURNAL_EXPORTS else (analysis, ANALYSIS)
    version = inspect(path, family).version
    if version < family.version:
        found = "there is nothing to export" if not version else f"its schema version {version} is an older one's"
        remedy = "`polyhost run` makes it" if not version else "Run `polyhost db migrate` first"
        raise JournalError(path, found, remedy)
    part = target.with_name(target.name + ".part")
    try:
        with reading(path) as connection:
            count = WRITERS[format](part, table.columns, _batches(connection, table, since, until))
        os.replace(part, target)
        sync_folder(target.parent)
    except OSError as error:
        raise JournalError(target, f"it cannot be written ({error.strerror})", "Free space, or name another") from error
    finally:
        part.unlink(missing_ok=True)
    return count


def _batches(connection: Connection, table: Table, since: int | None, until: int | None) -> Iterator[list[Row]]:
    conditions, values = ["1 = 1"], []
    for sign, bound in ((">=", since), ("<", until)):
        if bound is not None:
            conditions.append(f"{table.when} {sign} ?")
            values.append(bound)
    if table.numbered:
        return _by_number(connection, table, conditions, values)
    return _at_once(connection, table.source.format(when=" AND ".join(conditions)), values)


def _at_once(connection: Connection, sql: str, values: Sequence[Any]) -> Iterator[list[Row]]:
    # A session of PostgreSQL gives a large answer piece by piece only when asked to.
    stream: Callable[..., Iterator[Row]] | None = getattr(connection, "stream", None)
    rows = iter(connection.execute(sql, values)) if stream is None else stream(sql, values)
    while batch := list(islice(rows, BATCH)):
        yield batch


def _by_number(
    connection: Connection, table: Table, conditions: list[str], values: list[Any]
) -> Iterator[list[Row]]:
    """Range after range of row numbers: no read lock stands while a file is written, and memory is bounded."""
    name = table.numbered
    source = table.source.format(when=" AND ".join([*conditions, f"{name} >= ?", f"{name} < ?"]))
    first, last = connection.execute(f'SELECT min("id"), max("id") FROM "{table.owner}"').fetchone()
    for start in range(first or 0, (last or -1) + 1, BATCH):
        if rows := connection.execute(f"{source} ORDER BY {name}", [*values, start, start + BATCH]).fetchall():
            yield rows
