"""The exchange's whole state as plain data, and back; and the invariants it must always satisfy."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from heapq import heapify
from typing import TYPE_CHECKING, Any, Final

import msgspec

from polyhost.exchange.accounts import Account, Bank
from polyhost.exchange.agenda import Task
from polyhost.exchange.api import MarketDecided, StoredTrade
from polyhost.exchange.market import MarketState
from polyhost.exchange.orders import LIVE, Order
from polyhost.exchange.rules import ExchangeRules
from polyhost.model.builder import Builder
from polyhost.model.market import Market
from polyhost.model.times import NEVER
from polyhost.model.words import Action, OrderType, Side

if TYPE_CHECKING:
    from polyhost.exchange.core import Exchange

VERSION: Final = 1
_ORDER_FIELDS: Final = (
    "order_id", "owner", "token_id", "action", "price", "size", "order_type", "created_ms", "seq", "left", "status",
    "maker_amount", "post_only", "expiration_s", "request_id", "trade_ids",
)  # fmt: skip


def state_of(exchange: Exchange, only: Collection[str] | None = None) -> dict[str, Any]:
    """Everything: accounts, markets, orders, trades, pending tasks, counters. ``only``: of markets, their orders and
    trades those of these markets alone (condition ids)."""
    desk = exchange._desk
    states = [state for key, state in exchange._states.items() if only is None or key in only]
    orders = [o for o in (*desk.orders.values(), *desk.house.values()) if only is None or o.state.condition_id in only]
    trades = [trade for trade in desk.trades.trades.values() if only is None or trade.row.condition_id in only]
    plain: dict[str, Any] = msgspec.to_builtins(
        {
            "version": VERSION,
            "rules": exchange.rules,
            "now": desk.now,
            "seq": desk.seq,
            "house_ids": desk.house_ids,
            "request_ids": exchange._request_ids,
            "bank": _bank_of(desk.bank),
            "markets": [_market_of(state) for state in states],
            "orders": [_order_of(order) for order in orders],
            "trade_count": desk.trades.count,
            "trades": trades,
            "refreshed": sorted(desk.refreshed),
            "chain": exchange._chain.save(),
            "rewards": exchange._rewards.save(),
            "task_number": desk.agenda.number,
            "tasks": sorted(desk.agenda.tasks),
        }
    )
    return plain


def with_part(state: dict[str, Any], part: dict[str, Any], markets: Collection[str]) -> dict[str, Any]:
    """A saved state with what came after it: ``part`` is a later ``state_of`` of these markets only.

    A market that the part does not have was forgotten. Orders come in their order of priority, trades by time.
    """
    fresh = {row["market"]["condition_id"]: row for row in part["markets"]}
    kept = [row for row in state["markets"] if row["market"]["condition_id"] not in markets or
            row["market"]["condition_id"] in fresh]
    known = [fresh.pop(row["market"]["condition_id"], row) for row in kept]
    orders = [row for row in state["orders"] if row["condition_id"] not in markets]
    trades = [row for row in state["trades"] if row["row"]["condition_id"] not in markets]
    return {
        **part,
        "markets": [*known, *fresh.values()],
        "orders": sorted([*orders, *part["orders"]], key=lambda row: int(row["seq"])),
        "trades": sorted([*trades, *part["trades"]], key=lambda row: int(row["row"]["matched_s"])),
    }


def _bank_of(bank: Bank) -> dict[str, Any]:
    accounts = [
        {
            "address": account.address,
            "collateral": account.collateral,
            "approved": account.approved,
            "house": account.house,
            "locked": account.locked,
            "shares": account.shares,
            "pending": account.pending,
        }
        for account in bank.accounts.values()
    ]
    return {
        "accounts": accounts, "pots": bank.pots, "fees": bank.fees, "dust": bank.dust, "deposited": bank.deposited,
        "builders": bank.builders,
    }  # fmt: skip


def _market_of(state: MarketState) -> dict[str, Any]:
    return {
        "market": state.market,
        "decision": state.decision,
        "last": state.last,
        "taken": state.taken_before if state.mirror is None else state.mirror.save(),
    }


def _order_of(order: Order) -> dict[str, Any]:
    row = {name: getattr(order, name) for name in _ORDER_FIELDS}
    if order.ahead:
        row["ahead"] = order.ahead
    return {**row, "account": order.account.address, "condition_id": order.state.condition_id, "builder": order.builder}


def rules_of(state: dict[str, Any]) -> ExchangeRules:
    """The rules of a saved exchange. Raises ValueError for a state of another version."""
    if state.get("version") != VERSION:
        raise ValueError(f"exchange state has version {state.get('version')!r}, this one reads {VERSION}")
    return msgspec.convert(state["rules"], ExchangeRules)


def restore(exchange: Exchange, state: dict[str, Any]) -> None:
    """Fill a new exchange with a saved state."""
    desk = exchange._desk
    desk.now, desk.seq, desk.house_ids = state["now"], state["seq"], state["house_ids"]
    exchange._request_ids = state["request_ids"]
    _restore_bank(desk.bank, state["bank"])
    for row in state["markets"]:
        _restore_market(exchange, row)
    for row in state["orders"]:
        _restore_order(exchange, row)
    for market in exchange._states.values():
        _restore_queues(market, [o for o in (*desk.open.values(), *desk.house.values()) if o.state is market])
    desk.trades.count = state["trade_count"]
    for trade in msgspec.convert(state["trades"], list[StoredTrade]):
        desk.trades.restore(trade)
    desk.refreshed = {(trade_id, address) for trade_id, address in state.get("refreshed", [])}
    exchange._chain.restore(state.get("chain", {}))
    exchange._rewards.restore(state.get("rewards", {}))
    desk.agenda.number = state["task_number"]
    desk.agenda.tasks = [Task(*row) for row in state["tasks"]]
    heapify(desk.agenda.tasks)
    desk.agenda.next_due = desk.agenda.tasks[0].due if desk.agenda.tasks else NEVER


def _restore_bank(bank: Bank, row: dict[str, Any]) -> None:
    for saved in row["accounts"]:
        account = Account(saved["address"], saved["collateral"], approved=saved["approved"], house=saved["house"])
        account.locked = saved.get("locked", 0)
        account.shares, account.pending = dict(saved["shares"]), dict(saved["pending"])
        bank.accounts[account.address] = account
    bank.pots = dict(row["pots"])
    bank.builders = dict(row.get("builders", {}))
    bank.fees, bank.dust, bank.deposited = row["fees"], row["dust"], row["deposited"]


def _restore_market(exchange: Exchange, row: dict[str, Any]) -> None:
    state = MarketState(msgspec.convert(row["market"], Market))
    if row["decision"] is not None:
        state.decision = msgspec.convert(row["decision"], MarketDecided)
    if row["last"] is not None:
        price, size, action = row["last"]
        state.last = (price, size, Action(action))
    state.taken_before = [(is_bid, price, seen, used) for is_bid, price, seen, used in row["taken"]]
    exchange._states[state.condition_id] = state
    exchange._by_token[state.market.up] = exchange._by_token[state.market.down] = state


def _restore_order(exchange: Exchange, row: dict[str, Any]) -> None:
    desk = exchange._desk
    account = desk.bank.accounts[row["account"]]
    order = Order(
        row["order_id"],
        account,
        row["owner"],
        exchange._states[row["condition_id"]],
        row["token_id"],
        Action(row["action"]),
        row["price"],
        row["size"],
        OrderType(row["order_type"]),
        row["created_ms"],
        row["seq"],
    )
    for name in ("left", "status", "maker_amount", "post_only", "expiration_s", "request_id"):
        setattr(order, name, row[name])
    order.ahead = row.get("ahead", 0)
    order.trade_ids = list(row["trade_ids"])
    order.builder = msgspec.convert(row.get("builder"), Builder | None)
    desk.relist(order)


def _restore_queues(state: MarketState, orders: list[Order]) -> None:
    for order in sorted(orders, key=lambda order: order.seq):
        if order.status == LIVE:
            state.add(order)


def broken_invariants(bank: Bank, states: Iterable[MarketState]) -> list[str]:
    """What must always hold, as sentences about what does not."""
    accounts = bank.accounts.values()
    total = sum(account.collateral for account in accounts) + sum(bank.pots.values()) + bank.fees + bank.dust
    total += sum(bank.builders.values())
    broken = [] if total == bank.deposited else [f"collateral {total} is not what was deposited {bank.deposited}"]
    for account in accounts:
        if not account.house and account.collateral < 0:
            broken.append(f"account {account.address} has collateral {account.collateral}")
        broken += [f"account {account.address} has {n} of {token}" for token, n in account.shares.items() if n < 0]
    for state in states:
        broken += _broken_pot(bank, state)
    return broken


def _broken_pot(bank: Bank, state: MarketState) -> list[str]:
    up, down = (
        sum(account.shares.get(state.market.token(side), 0) for account in bank.accounts.values())
        for side in (Side.UP, Side.DOWN)
    )
    pot = bank.pots[state.condition_id]
    if state.decision is None:
        return [] if up == down == pot else [f"market {state.condition_id}: {up} UP, {down} DOWN, pot {pot}"]
    owed = {Side.UP: 2 * up, Side.DOWN: 2 * down, None: up + down}[state.decision.winner]
    return [] if 2 * pot >= owed else [f"market {state.condition_id}: pot {pot} owes {owed / 2}"]
