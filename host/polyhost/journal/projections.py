"""What people read: orders, trades, ledger, positions and the rest, folded from the records as they are written.

The projector keeps the rows it touched lately and fetches others from the database. It decides nothing: the kernel
folds the journal for itself. A record about something it has never seen changes no projection, and is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias, get_args

import msgspec
from loguru import logger
from peewee import Model

from polyhost.journal.connection import Connection
from polyhost.journal.schema import (
    LedgerEntries,
    Markets,
    Notices,
    Orders,
    PluginState,
    Positions,
    Runs,
    Settlements,
    Trades,
    columns_of,
    delete_sql,
    insert_sql,
    select_sql,
    upsert_sql,
)
from polyhost.model import records as r
from polyhost.model.words import Action, OrderState, TradeStatus

Row: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[str, ...]

OURS: Final = frozenset({"free", "reserved", "in_flight", "settled", "unredeemed"})
"""Ledger accounts whose shares are ours; the others are the outside."""
ROWS_MAX: Final = 1_000
"""Rows kept in memory, 1 to 3 kB each; past it all are dropped and fetched again when needed: what a day of eight
markets has open at once is a tenth of it."""
_ROW_TABLES: Final[tuple[type[Model], ...]] = (
    Runs, Markets, Orders, Trades, Positions, Settlements, Notices, PluginState
)
_BLANK: Final[dict[type[Model], Row]] = {model: dict.fromkeys(columns_of(model)) for model in _ROW_TABLES}
_UPSERT: Final[dict[type[Model], str]] = {model: upsert_sql(model) for model in _ROW_TABLES}
_SELECT: Final[dict[type[Model], str]] = {model: select_sql(model) for model in _ROW_TABLES}
_INSERT_LEDGER: Final = insert_sql(LedgerEntries)
_DELETE_STATE: Final = delete_sql(PluginState)


class Projector:
    """Turns records into rows; ``flush`` writes what was touched. Not for several threads."""

    def __init__(self, account: str) -> None:
        self.account = account
        self._connection: Connection | None = None
        self._rows: dict[type[Model], dict[Key, Row | None]] = {model: {} for model in _ROW_TABLES}
        self._touched: dict[type[Model], dict[Key, Row]] = {}
        self._ledger: list[tuple[Any, ...]] = []
        self._count = 0

    def use(self, connection: Connection) -> None:
        """Fetch rows from here."""
        self._connection = connection

    def forget(self) -> None:
        """The transaction was rolled back: what is in memory is not what is in the database."""
        for rows in self._rows.values():
            rows.clear()
        self._touched.clear()
        self._ledger.clear()
        self._count = 0

    def apply(self, seq: int, record: r.Record) -> str:
        """Fold one record; the market it belongs to, empty for none."""
        return _FOLDS[type(record)](self, seq, record)

    def flush(self, connection: Connection) -> None:
        """Write the touched rows inside the caller's transaction."""
        for model, rows in self._touched.items():
            if model is PluginState:
                connection.executemany(_DELETE_STATE, [key for key, row in rows.items() if row["value"] is None])
                kept = [tuple(row.values()) for row in rows.values() if row["value"] is not None]
                connection.executemany(_UPSERT[model], kept)
            else:
                connection.executemany(_UPSERT[model], [tuple(row.values()) for row in rows.values()])
        if self._ledger:
            connection.executemany(_INSERT_LEDGER, self._ledger)
            self._ledger.clear()
        self._touched.clear()
        if self._count > ROWS_MAX:
            self.forget()

    # --- rows ---------------------------------------------------------------------------------------------------------

    def _find(self, model: type[Model], key: Key) -> Row | None:
        rows = self._rows[model]
        if key in rows:
            return rows[key]
        row: Row | None = None
        if self._connection is not None:
            found = self._connection.execute(_SELECT[model], key).fetchone()
            row = dict(zip(columns_of(model), found, strict=True)) if found is not None else None
        rows[key] = row
        self._count += 1
        return row

    def _touch(self, model: type[Model], key: Key, row: Row) -> None:
        touched = self._touched.get(model)
        if touched is None:
            touched = self._touched[model] = {}
        touched[key] = row

    def _new(self, model: type[Model], name: Key, /, **values: Any) -> Row:
        row = {**_BLANK[model], **values}
        self._rows[model][name] = row
        self._count += 1
        self._touch(model, name, row)
        return row

    def _known(self, model: type[Model], key: Key, record: r.Record) -> Row | None:
        row = self._find(model, key)
        if row is None:
            logger.warning("journal: {} about unknown {}", type(record).__name__, "/".join(key))
        else:
            self._touch(model, key, row)
        return row

    def _position(self, market: str, side: str, at: int) -> Row:
        key = (self.account, market, side)
        row = self._find(Positions, key)
        if row is None:
            return self._new(
                Positions, key, account=self.account, market=market, side=side, size=0, bought=0, sold=0, cost=0,
                proceeds=0, fees=0, pnl=0, moved_at=at,
            )
        row["moved_at"] = at
        self._touch(Positions, key, row)
        return row

    # --- folds --------------------------------------------------------------------------------------------------------

    def run_started(self, seq: int, record: r.RunStarted) -> str:
        self._new(
            Runs, (record.run_id,), run_id=record.run_id, account=record.account, version=record.version,
            mode=record.mode, config_hash=record.config_hash, started_at=record.at,
        )
        return ""

    def run_ended(self, seq: int, record: r.RunEnded) -> str:
        row = self._known(Runs, (record.run_id,), record)
        if row is not None:
            row["ended_at"], row["end_reason"] = record.at, record.reason
        return ""

    def market_added(self, seq: int, record: r.MarketAdded) -> str:
        market = record.market
        self._new(
            Markets, (market.condition_id,), market=market.condition_id, slug=market.slug, symbol=market.symbol,
            opens_at=market.start, ends_at=market.end, tick=market.tick, accepting=market.accepting,
            from_open=record.from_open, added_at=record.at,
        )
        return market.condition_id

    def market_changed(self, seq: int, record: r.MarketChanged) -> str:
        row = self._known(Markets, (record.condition_id,), record)
        if row is not None:
            for name in ("tick", "accepting", "strike"):
                value = getattr(record, name)
                if value is not None:
                    row[name] = value
        return record.condition_id

    def market_settled(self, seq: int, record: r.MarketSettled) -> str:
        self._new(
            Settlements, (record.condition_id,), market=record.condition_id,
            winner=record.winner.value if record.winner is not None else None, final=record.final,
            source=record.source, at=record.at,
        )
        return record.condition_id

    def order_intended(self, seq: int, record: r.OrderIntended) -> str:
        slot, draft = record.slot, record.draft
        self._new(
            Orders, (draft.ref,), ref=draft.ref, account=self.account, market=slot.condition_id, side=slot.side.value,
            purpose=slot.purpose.value, key=slot.key, token_id=draft.token_id, action=draft.action.value,
            order_type=draft.order_type.value, price=draft.price, size=draft.size, reserve=record.reserve, released=0,
            state=OrderState.INTENDED.value, cause="", matched=0, present=False, why=_json(record.why),
            intended_at=record.at, moved_at=record.at,
        )
        return slot.condition_id

    def order_prepared(self, seq: int, record: r.OrderPrepared) -> str:
        row = self._known(Orders, (record.ref,), record)
        if row is None:
            return ""
        row["order_id"] = record.request.order_id
        row["state"] = OrderState.PREPARED.value
        row["prepared_at"] = row["moved_at"] = record.at
        return str(row["market"])

    def order_moved(self, seq: int, record: r.OrderMoved) -> str:
        row = self._known(Orders, (record.ref,), record)
        if row is None:
            return ""
        row["state"], row["cause"], row["moved_at"] = record.state.value, record.cause, record.at
        row["matched"] = max(row["matched"], record.matched)
        row["released"] += record.release
        row["present"] = bool(row["present"]) or record.present
        return str(row["market"])

    def order_reposted(self, seq: int, record: r.OrderReposted) -> str:
        """In the journal alone; it belongs to its order's market."""
        row = self._known(Orders, (record.ref,), record)
        return "" if row is None else str(row["market"])

    def slot_released(self, seq: int, record: r.SlotReleased) -> str:
        """In the journal alone."""
        return record.slot.condition_id

    def fill_booked(self, seq: int, record: r.FillBooked) -> str:
        market, side = record.slot.condition_id, record.slot.side.value
        self._new(
            Trades, (record.trade_id, record.ref), trade_id=record.trade_id, ref=record.ref, account=self.account,
            market=market, side=side, token_id=record.token_id, action=record.action.value, price=record.price,
            size=record.size, money=record.money, fee=record.fee, status=record.status.value, maker=record.maker,
            booked_at=record.at, moved_at=record.at,
        )
        position = self._position(market, side, record.at)
        if record.action is Action.BUY and (position["opened_at"] is None or position["closed_at"] is not None):
            position["opened_at"], position["closed_at"] = record.at, None
        _count_fill(position, record.action.value, record.size, record.money, record.fee, 1)
        order = self._find(Orders, (record.ref,))
        if order is not None and record.release:
            order["released"] += record.release
            self._touch(Orders, (record.ref,), order)
        return market

    def fill_moved(self, seq: int, record: r.FillMoved) -> str:
        row = self._known(Trades, (record.trade_id, record.ref), record)
        if row is None:
            return ""
        if record.status is TradeStatus.FAILED and row["status"] != TradeStatus.FAILED.value:
            position = self._position(row["market"], row["side"], record.at)
            _count_fill(position, row["action"], row["size"], row["money"], row["fee"], -1)
        row["status"], row["moved_at"] = record.status.value, record.at
        return str(row["market"])

    def ledger_posted(self, seq: int, record: r.LedgerPosted) -> str:
        market = ""
        for leg, entry in enumerate(record.entries):
            self._ledger.append(
                (seq, leg, record.at, self.account, record.cause, record.ref, entry.account, entry.asset, entry.delta)
            )
            condition_id, _, side = entry.asset.rpartition(":")
            if condition_id:
                market = condition_id
                if entry.account in OURS:
                    self._position(condition_id, side, record.at)["size"] += entry.delta
        if market or not record.ref:
            return market
        order = self._find(Orders, (record.ref,))
        if order is not None:
            return str(order["market"])
        return record.ref if self._find(Markets, (record.ref,)) is not None else ""

    def obligation_set(self, seq: int, record: r.ObligationSet) -> str:
        position = self._position(record.condition_id, record.side.value, record.at)
        position["due"], position["met"] = record.due, None
        return record.condition_id

    def obligation_met(self, seq: int, record: r.ObligationMet) -> str:
        self._position(record.condition_id, record.side.value, record.at)["met"] = record.how
        return record.condition_id

    def held_declared(self, seq: int, record: r.HeldDeclared) -> str:
        position = self._position(record.condition_id, record.side.value, record.at)
        position["held_kind"], position["held_reason"] = record.kind, record.reason
        return record.condition_id

    def position_corrected(self, seq: int, record: r.PositionCorrected) -> str:
        position = self._position(record.condition_id, record.side.value, record.at)
        position["sold"] += record.size
        position["proceeds"] += record.cost
        return record.condition_id

    def position_adopted(self, seq: int, record: r.PositionAdopted) -> str:
        position = self._position(record.condition_id, record.side.value, record.at)
        position["opened_at"], position["closed_at"] = record.at, None
        position["bought"] += record.size
        position["cost"] += record.cost
        return record.condition_id

    def of_its_market(self, seq: int, record: r.UnexplainedSeen | r.ForeignSeen | r.EarningsReported) -> str:
        """In the journal alone, under its market."""
        return record.condition_id

    def close_recorded(self, seq: int, record: r.CloseRecorded) -> str:
        position = self._position(record.condition_id, record.side.value, record.at)
        position["exit_reason"], position["forced"] = record.exit_reason, record.forced
        position["sell_failed"] = record.sell_failed
        position["entry_price"], position["exit_price"] = record.entry_price, record.exit_price
        position["closed_size"], position["closed_at"] = record.size, record.at
        position["pnl"] += record.pnl
        return record.condition_id

    def plugin_state_set(self, seq: int, record: r.PluginStateSet) -> str:
        for key, value in record.changes.items():
            name = (record.plugin, key)
            self._new(PluginState, name, plugin=record.plugin, key=key, value=value, at=record.at)
        return ""

    def notice_raised(self, seq: int, record: r.NoticeRaised) -> str:
        self._new(
            Notices, (record.notice_id,), notice_id=record.notice_id, account=self.account, at=record.at,
            level=record.level, topic=record.topic, text=record.text, market=record.condition_id,
        )
        return record.condition_id

    def pair_opened(self, seq: int, record: r.PairOpened) -> str:
        """In the journal alone; its legs are orders, its shares positions."""
        return record.condition_id

    def action_intended(self, seq: int, record: r.ActionIntended) -> str:
        """In the journal alone; what it moves is in the ledger's entries."""
        return record.condition_id

    def unprojected(self, seq: int, record: r.Record) -> str:
        """In the journal alone: operator's words and blocks."""
        return ""


def _count_fill(position: Row, action: str, size: int, money: int, fee: int, sign: int) -> None:
    bought = action == Action.BUY.value
    position["bought" if bought else "sold"] += sign * size
    position["cost" if bought else "proceeds"] += sign * money
    position["fees"] += sign * fee


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


_FOLDS: Final[dict[type, Callable[[Projector, int, Any], str]]] = {
    r.RunStarted: Projector.run_started,
    r.RunEnded: Projector.run_ended,
    r.MarketAdded: Projector.market_added,
    r.MarketChanged: Projector.market_changed,
    r.MarketSettled: Projector.market_settled,
    r.OrderIntended: Projector.order_intended,
    r.OrderPrepared: Projector.order_prepared,
    r.OrderMoved: Projector.order_moved,
    r.FillBooked: Projector.fill_booked,
    r.FillMoved: Projector.fill_moved,
    r.LedgerPosted: Projector.ledger_posted,
    r.ObligationSet: Projector.obligation_set,
    r.ObligationMet: Projector.obligation_met,
    r.HeldDeclared: Projector.held_declared,
    r.CloseRecorded: Projector.close_recorded,
    r.PluginStateSet: Projector.plugin_state_set,
    r.NoticeRaised: Projector.notice_raised,
    r.DeliveryNoted: Projector.unprojected,
    r.AuditTaken: Projector.of_its_market,
    r.OperatorSaid: Projector.unprojected,
    r.PluginMoved: Projector.unprojected,
    r.EntriesBlocked: Projector.unprojected,
    r.OrderReposted: Projector.order_reposted,
    r.SlotReleased: Projector.slot_released,
    r.DayBegan: Projector.unprojected,
    r.PositionCorrected: Projector.position_corrected,
    r.PositionAdopted: Projector.position_adopted,
    r.UnexplainedSeen: Projector.of_its_market,
    r.ForeignSeen: Projector.of_its_market,
    r.EarningsReported: Projector.of_its_market,
    r.PairOpened: Projector.pair_opened,
    r.PairMoved: Projector.unprojected,
    r.ActionIntended: Projector.action_intended,
    r.ActionMoved: Projector.unprojected,
}
assert set(_FOLDS) == set(get_args(r.Record)), "every record has a fold"
