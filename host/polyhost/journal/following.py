"""Following a journal while a host writes it: what is open, what it brought, and what was said last.

The first look asks the projections; every later one reads only the records that are new, and of the projections only
the rows that these touched: what a look costs does not grow with the journal. Nothing is written, and no lock is held
between two looks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, TypeAlias

from peewee import Model

from polyhost.journal.connection import Connection
from polyhost.journal.migrations import JOURNAL
from polyhost.journal.opening import inspect, reading
from polyhost.journal.place import elsewhere, pointer_path
from polyhost.journal.recovery import read_journal
from polyhost.journal.schema import (
    LedgerEntries,
    Markets,
    Notices,
    Orders,
    Positions,
    Runs,
    Settlements,
    Trades,
    columns_of,
    table_of,
)
from polyhost.journal.status import READ_MS
from polyhost.model.records import (
    CloseRecorded,
    FillBooked,
    FillMoved,
    LedgerPosted,
    NoticeRaised,
    OrderIntended,
    OrderMoved,
    OrderPrepared,
    Record,
    RunEnded,
    RunStarted,
)
from polyhost.model.words import OrderState

Row: TypeAlias = dict[str, Any]

OURS: Final = ("free", "reserved", "in_flight", "settled", "unredeemed")
"""Ledger accounts that are followed."""
NOTICES_KEPT: Final = 60
CLOSED_KEPT: Final = 30
"""Orders that ended last."""
CLOSES_KEPT: Final = 5_000
"""Closed positions with their time; older ones are in the sum before them."""
MARKETS_KEPT: Final = 200
"""Markets, the latest by their end; those with something open stay beside them."""


def _identity_of(path: Path) -> tuple[int, int, int]:
    """Device, inode, and of a file that only names the journal when it was written: a file system gives the inode of
    one that is gone to the next."""
    if elsewhere(path) is None:
        file = path.stat()
        return file.st_dev, file.st_ino, 0
    pointer = pointer_path(path).stat()
    return pointer.st_dev, pointer.st_ino, pointer.st_mtime_ns


class Following:
    """One journal as it grows. Not for several threads at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._identity: tuple[int, int, int] | None = None
        self._forget()

    def _forget(self) -> None:
        self.seq = 0
        """Number of the last record seen; 0: none yet."""
        self.at = 0
        """Its market ms."""
        self.run: Row | None = None
        self.markets: dict[str, Row] = {}
        """Condition id → row, with ``winner`` and ``settled_at`` (None: not settled)."""
        self.positions: dict[tuple[str, str], Row] = {}
        """(condition id, side) → row with ``entry_fees``; only those with shares."""
        self.orders: dict[str, Row] = {}
        """Ref → row; only those that are not closed."""
        self.closed: deque[Row] = deque(maxlen=CLOSED_KEPT)
        """Orders that ended last, the latest at the end."""
        self.notices: deque[Row] = deque(maxlen=NOTICES_KEPT)
        self.closes: deque[tuple[int, int, str]] = deque(maxlen=CLOSES_KEPT)
        """(market ms, P&L in micro-units, condition id) of closed positions, oldest first."""
        self.pnl = 0
        """Of all closed positions, those before ``closes`` included; micro-units."""
        self.brought: dict[str, int] = {}
        """Condition id → what its closed positions brought, of the markets that are kept."""
        self.ledger: dict[tuple[str, str], int] = {}
        """(ledger account, asset) → balance; only what is not zero."""

    def balance(self, account: str) -> int:
        """Cash in one of our accounts, micro-units."""
        return self.ledger.get((account, "cash"), 0)

    def look(self) -> bool:
        """Take in what is new; False: nothing was. Raises JournalError for what cannot be read."""
        if inspect(self.path, JOURNAL, READ_MS).version == 0:
            self._identity = None
            self._forget()
            return False
        identity = _identity_of(self.path)
        if self._identity != identity:
            # Another journal stands there: a first look, or `run --fresh`.
            self._forget()
            with reading(self.path, READ_MS) as connection:
                connection.execute("BEGIN")
                self._begin(connection)
            self._identity = identity
            return True
        return self._go_on()

    # --- the first look -----------------------------------------------------------------------------------------------

    def _begin(self, connection: Connection) -> None:
        last = connection.execute("SELECT seq, time FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
        self.seq, self.at = (0, 0) if last is None else last
        self._read_run(connection)
        for row in _rows(connection, Orders, "state <> ?", (OrderState.CLOSED.value,)):
            self.orders[row["ref"]] = row
        closed = "state = ? ORDER BY moved_at DESC LIMIT ?"
        self.closed.extend(reversed(_rows(connection, Orders, closed, (OrderState.CLOSED.value, CLOSED_KEPT))))
        for row in _rows(connection, Positions, "size <> 0"):
            self.positions[row["market"], row["side"]] = row
        self.notices.extend(reversed(_rows(connection, Notices, "1 = 1 ORDER BY at DESC LIMIT ?", (NOTICES_KEPT,))))
        self._read_closes(connection)
        marks = ", ".join("?" * len(OURS))
        for account, asset, amount in connection.execute(
            f'SELECT "ledger", "asset", sum("delta") FROM "{table_of(LedgerEntries)}" WHERE "ledger" IN ({marks}) '
            'GROUP BY "ledger", "asset"', OURS,
        ):
            self._post(account, asset, int(amount))
        latest = _rows(connection, Markets, "1 = 1 ORDER BY ends_at DESC LIMIT ?", (MARKETS_KEPT,))
        needed = {row["market"] for row in (*self.orders.values(), *self.positions.values())}
        for row in latest:
            self._take_market(connection, row)
        self._read_markets(connection, needed - self.markets.keys())
        self._read_fees(connection, {market for market, _ in self.positions})

    def _read_closes(self, connection: Connection) -> None:
        where = "closed_at IS NOT NULL ORDER BY closed_at DESC LIMIT ?"
        for row in reversed(_rows(connection, Positions, where, (CLOSES_KEPT,))):
            self.closes.append((row["closed_at"], row["pnl"], row["market"]))
            self.brought[row["market"]] = self.brought.get(row["market"], 0) + row["pnl"]
        total = connection.execute(f'SELECT coalesce(sum("pnl"), 0) FROM "{table_of(Positions)}"').fetchone()
        self.pnl = 0 if total is None else int(total[0])  # PostgreSQL sums whole numbers into a decimal

    # --- every later look ---------------------------------------------------------------------------------------------

    def _go_on(self) -> bool:
        refs: set[str] = set()
        markets: set[str] = set()
        filled: set[str] = set()
        began = self.seq
        ran = False
        for seq, record in read_journal(self.path, self.seq):
            self.seq, self.at = seq, max(self.at, record.at)
            self._take(record)
            refs |= _refs_of(record)
            markets |= _markets_of(record)
            if isinstance(record, FillBooked | FillMoved):
                filled.add(record.ref)
            ran = ran or isinstance(record, RunStarted | RunEnded)
        if self.seq == began:
            return False
        with reading(self.path, READ_MS) as connection:
            connection.execute("BEGIN")
            if ran:
                self._read_run(connection)
            markets |= self._read_orders(connection, refs)
            self._read_markets(connection, markets)
            self._read_positions(connection, markets)
            # Only fills change what was paid in fees, and they are rare: this one asks the whole table.
            if filled:
                self._read_fees(connection, {market for market, _ in self.positions})
        self._drop_old()
        return True

    def _take(self, record: Record) -> None:
        match record:
            case LedgerPosted():
                for entry in record.entries:
                    if entry.account in OURS:
                        self._post(entry.account, entry.asset, entry.delta)
            case CloseRecorded():
                self.closes.append((record.at, record.pnl, record.condition_id))
                self.pnl += record.pnl
                self.brought[record.condition_id] = self.brought.get(record.condition_id, 0) + record.pnl
            case NoticeRaised():
                self.notices.append({
                    "notice_id": record.notice_id, "at": record.at, "level": record.level, "topic": record.topic,
                    "text": record.text, "market": record.condition_id,
                })

    def _post(self, account: str, asset: str, amount: int) -> None:
        key = (account, asset)
        balance = self.ledger.get(key, 0) + amount
        if balance:
            self.ledger[key] = balance
        else:
            self.ledger.pop(key, None)

    def _read_run(self, connection: Connection) -> None:
        found = _rows(connection, Runs, "1 = 1 ORDER BY started_at DESC, run_id DESC LIMIT 1")
        self.run = found[0] if found else None

    def _read_orders(self, connection: Connection, refs: Iterable[str]) -> set[str]:
        """The rows of these orders; their markets."""
        markets = set()
        for ref in sorted(refs):
            for row in _rows(connection, Orders, "ref = ?", (ref,)):
                markets.add(row["market"])
                if row["state"] != OrderState.CLOSED.value:
                    self.orders[ref] = row
                    continue
                self.orders.pop(ref, None)
                if row not in self.closed:
                    self.closed.append(row)
        return markets

    def _read_markets(self, connection: Connection, markets: Iterable[str]) -> None:
        for market in sorted(markets):
            for row in _rows(connection, Markets, "market = ?", (market,)):
                self._take_market(connection, row)

    def _take_market(self, connection: Connection, row: Row) -> None:
        settled = _rows(connection, Settlements, "market = ?", (row["market"],))
        found = settled[0] if settled else {"winner": None, "at": None}
        self.markets[row["market"]] = row | {"winner": found["winner"], "settled_at": found["at"]}

    def _read_positions(self, connection: Connection, markets: Iterable[str]) -> None:
        for market in sorted(markets):
            for side in ("UP", "DOWN"):
                before = self.positions.pop((market, side), None)
                account = "" if self.run is None else self.run["account"]
                where = "account = ? AND market = ? AND side = ? AND size <> 0"
                for row in _rows(connection, Positions, where, (account, market, side)):
                    fees = 0 if before is None else before.get("entry_fees", 0)
                    self.positions[market, side] = row | {"entry_fees": fees}

    def _read_fees(self, connection: Connection, markets: Iterable[str]) -> None:
        """What was paid in fees for what was bought, of the positions that are open."""
        for row in self.positions.values():
            row["entry_fees"] = 0
        wanted = sorted(set(markets))
        if not wanted:
            return  # an empty list is no SQL in PostgreSQL
        marks = ", ".join("?" * len(wanted))
        for market, side, fees in connection.execute(
            f'SELECT "market", "side", sum("fee") FROM "{table_of(Trades)}" WHERE "market" IN ({marks}) '
            "AND \"action\" = 'BUY' AND \"status\" <> 'FAILED' GROUP BY 1, 2", wanted,
        ):
            if (market, side) in self.positions:
                self.positions[market, side]["entry_fees"] = int(fees)

    def _drop_old(self) -> None:
        """The markets that ended first go, once nothing of them is open."""
        if len(self.markets) <= 2 * MARKETS_KEPT:
            return
        needed = {row["market"] for row in (*self.orders.values(), *self.positions.values())}
        latest = sorted(self.markets.values(), key=lambda row: int(row["ends_at"]), reverse=True)[:MARKETS_KEPT]
        kept = needed | {row["market"] for row in latest}
        self.markets = {market: row for market, row in self.markets.items() if market in kept}
        self.brought = {market: pnl for market, pnl in self.brought.items() if market in kept}


def _refs_of(record: Record) -> set[str]:
    """The orders whose row a record changed."""
    match record:
        case OrderIntended():
            return {record.draft.ref}
        case OrderPrepared() | OrderMoved() | FillBooked() | FillMoved():
            return {record.ref}
        case _:
            return set()


def _markets_of(record: Record) -> set[str]:
    """The markets that it names."""
    match record:
        case LedgerPosted():
            named = {entry.asset.rpartition(":")[0] for entry in record.entries if entry.account in OURS}
            return named - {""}
        case _:
            market = getattr(record, "market", None)
            found = getattr(market, "condition_id", None) or getattr(record, "condition_id", None)
            return {found} if found else set()


def _rows(connection: Connection, model: type[Model], where: str, values: tuple[Any, ...] = ()) -> list[Row]:
    columns = columns_of(model)
    names = ", ".join(f'"{name}"' for name in columns)
    found = connection.execute(f'SELECT {names} FROM "{table_of(model)}" WHERE {where}', values)
    return [dict(zip(columns, row, strict=True)) for row in found]
