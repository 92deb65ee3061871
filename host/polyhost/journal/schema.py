"""The tables, as peewee models: the only schema (PER-01).

``journal`` is the truth: one row a record, in the kernel's order. The other tables of the journal's database are
projections for people, written in the same transaction; they can be rebuilt from it at any time. ``analysis.db`` has
tables of its own that may lose their last second in a crash. Prices are ticks (1e-4), money and sizes micro-units,
reference prices 1e-8, times market ms unless a column says otherwise.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from peewee import BigIntegerField, BooleanField, CompositeKey, IntegerField, Model, TextField


class SchemaVersion(Model):
    """History of migrations; the highest version is the schema's."""

    version = IntegerField(primary_key=True)
    name = TextField()
    applied_at = BigIntegerField()
    """Wall ms."""
    host = TextField()
    """Version of the host that migrated."""

    class Meta:
        table_name = "schema_version"


class Journal(Model):
    seq = BigIntegerField(primary_key=True)
    time = BigIntegerField()
    account = TextField()
    market = TextField()
    """Condition id; empty for a record that belongs to no market."""
    kind = TextField()
    body = TextField()
    """The record as tagged JSON."""

    class Meta:
        table_name = "journal"


class Runs(Model):
    run_id = TextField(primary_key=True)
    account = TextField()
    version = TextField()
    mode = TextField()
    config_hash = TextField()
    started_at = BigIntegerField()
    ended_at = BigIntegerField(null=True)
    """NULL: running, or ended without a word (killed)."""
    end_reason = TextField(null=True)

    class Meta:
        table_name = "runs"
        without_rowid = True


class Markets(Model):
    market = TextField(primary_key=True)
    slug = TextField()
    symbol = TextField()
    opens_at = BigIntegerField(null=True)
    """NULL: a market without a window."""
    ends_at = BigIntegerField()
    tick = IntegerField()
    accepting = BooleanField()
    strike = BigIntegerField(null=True)
    """NULL: not known yet."""
    from_open = BooleanField()
    added_at = BigIntegerField()

    class Meta:
        table_name = "markets"
        without_rowid = True


class Orders(Model):
    ref = TextField(primary_key=True)
    account = TextField()
    market = TextField()
    side = TextField()
    purpose = TextField()
    key = TextField()
    token_id = TextField()
    action = TextField()
    order_type = TextField()
    price = IntegerField()
    size = BigIntegerField()
    reserve = BigIntegerField()
    """Collateral reserved when it was intended."""
    released = BigIntegerField()
    """Of it, what was given back or used so far."""
    state = TextField()
    cause = TextField()
    """Why it is in this state."""
    matched = BigIntegerField()
    present = BooleanField()
    """Presence at the venue is proved."""
    order_id = TextField(null=True)
    """The venue's id; NULL until signed."""
    why = TextField()
    """JSON: what the decision saw."""
    intended_at = BigIntegerField()
    prepared_at = BigIntegerField(null=True)
    moved_at = BigIntegerField()

    class Meta:
        table_name = "orders"
        without_rowid = True


class Trades(Model):
    trade_id = TextField()
    ref = TextField()
    account = TextField()
    market = TextField()
    side = TextField()
    token_id = TextField()
    action = TextField()
    price = IntegerField()
    size = BigIntegerField()
    money = BigIntegerField()
    fee = BigIntegerField()
    status = TextField()
    maker = BooleanField()
    booked_at = BigIntegerField()
    moved_at = BigIntegerField()

    class Meta:
        table_name = "trades"
        primary_key = CompositeKey("trade_id", "ref")
        without_rowid = True


class LedgerEntries(Model):
    seq = BigIntegerField()
    """The journal row it belongs to."""
    leg = IntegerField()
    at = BigIntegerField()
    account = TextField()
    cause = TextField()
    ref = TextField()
    ledger = TextField()
    """The ledger's account: free, reserved, in_flight, settled, unredeemed, or one of the outside."""
    asset = TextField()
    delta = BigIntegerField()

    class Meta:
        table_name = "ledger_entries"
        primary_key = CompositeKey("seq", "leg")
        without_rowid = True


class Positions(Model):
    account = TextField()
    market = TextField()
    side = TextField()
    size = BigIntegerField()
    """What is held: the sum of the ledger's entries on our own accounts."""
    bought = BigIntegerField()
    sold = BigIntegerField()
    cost = BigIntegerField()
    """Money paid for what was bought, without fees."""
    proceeds = BigIntegerField()
    fees = BigIntegerField()
    opened_at = BigIntegerField(null=True)
    due = BigIntegerField(null=True)
    """Deadline of its obligation; NULL: it has none."""
    met = TextField(null=True)
    """How the obligation was met; NULL: it stands."""
    held_kind = TextField(null=True)
    held_reason = TextField(null=True)
    exit_reason = TextField(null=True)
    """Of the last close, as are the columns below; NULL: never closed."""
    forced = BooleanField(null=True)
    sell_failed = BooleanField(null=True)
    entry_price = IntegerField(null=True)
    exit_price = IntegerField(null=True)
    closed_size = BigIntegerField(null=True)
    closed_at = BigIntegerField(null=True)
    pnl = BigIntegerField()
    """Of all closes."""
    moved_at = BigIntegerField()

    class Meta:
        table_name = "positions"
        primary_key = CompositeKey("account", "market", "side")
        without_rowid = True


class Settlements(Model):
    market = TextField(primary_key=True)
    winner = TextField(null=True)
    """NULL: a 50-50 result."""
    final = BigIntegerField(null=True)
    """NULL: the source did not tell the price."""
    source = TextField()
    at = BigIntegerField()

    class Meta:
        table_name = "settlements"
        without_rowid = True


class Notices(Model):
    notice_id = TextField(primary_key=True)
    account = TextField()
    at = BigIntegerField()
    level = TextField()
    topic = TextField()
    text = TextField()
    market = TextField()
    """Empty: of no market."""

    class Meta:
        table_name = "notices"
        without_rowid = True


class PluginState(Model):
    plugin = TextField()
    key = TextField()
    value = TextField()
    """JSON text."""
    at = BigIntegerField()

    class Meta:
        table_name = "plugin_state"
        primary_key = CompositeKey("plugin", "key")
        without_rowid = True


class _Analysis(Model):
    id = BigIntegerField(primary_key=True)
    time = BigIntegerField()
    wall = BigIntegerField()
    """Wall ms of writing; pruning goes by it."""
    market = TextField()
    body = TextField()
    """The row as JSON."""


class Evaluations(_Analysis):
    class Meta:
        table_name = "evaluations"


class Quotes(_Analysis):
    class Meta:
        table_name = "quotes"


class Marks(_Analysis):
    class Meta:
        table_name = "marks"


class Explanations(_Analysis):
    class Meta:
        table_name = "explanations"


PROJECTIONS: Final[tuple[type[Model], ...]] = (
    Runs, Markets, Orders, Trades, LedgerEntries, Positions, Settlements, Notices, PluginState
)
JOURNAL_TABLES: Final[tuple[type[Model], ...]] = (SchemaVersion, Journal, *PROJECTIONS)
ANALYSIS_TABLES: Final[tuple[type[Model], ...]] = (SchemaVersion, Evaluations, Quotes, Marks, Explanations)


def _meta(model: type[Model]) -> Any:
    return model._meta


def table_of(model: type[Model]) -> str:
    return str(_meta(model).table_name)


@cache
def columns_of(model: type[Model]) -> tuple[str, ...]:
    """Column names in order."""
    return tuple(field.column_name for field in _meta(model).sorted_fields)


@cache
def key_of(model: type[Model]) -> tuple[str, ...]:
    """Column names of the primary key."""
    key = _meta(model).primary_key
    return tuple(key.field_names) if isinstance(key, CompositeKey) else (str(key.column_name),)


@cache
def nullable_of(model: type[Model]) -> frozenset[str]:
    return frozenset(field.column_name for field in _meta(model).sorted_fields if field.null)


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _where(model: type[Model]) -> str:
    return " AND ".join(f'"{name}" = ?' for name in key_of(model))


def insert_sql(model: type[Model]) -> str:
    """A plain insert of one whole row."""
    columns = columns_of(model)
    return f'INSERT INTO "{table_of(model)}" ({_list(columns)}) VALUES ({", ".join("?" * len(columns))})'


def upsert_sql(model: type[Model]) -> str:
    """Insert one whole row, or replace what its primary key holds."""
    key = key_of(model)
    changes = ", ".join(f'"{name}" = excluded."{name}"' for name in columns_of(model) if name not in key)
    return f"{insert_sql(model)} ON CONFLICT ({_list(key)}) DO UPDATE SET {changes}"


def select_sql(model: type[Model]) -> str:
    """One whole row by its primary key."""
    return f'SELECT {_list(columns_of(model))} FROM "{table_of(model)}" WHERE {_where(model)}'


def delete_sql(model: type[Model]) -> str:
    """One row by its primary key."""
    return f'DELETE FROM "{table_of(model)}" WHERE {_where(model)}'
