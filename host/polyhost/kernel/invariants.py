"""What must always be true of the durable state. Checked at every end of a run, in simulations after each step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from polyhost.kernel.ledger import BY_HAND
from polyhost.kernel.state import PositionEntry, State
from polyhost.model.money import Micros
from polyhost.model.words import Action, ActionKind, Side


def _balanced(state: State) -> bool:
    """Double entry: over all accounts every asset sums to nothing."""
    sums: dict[str, int] = {}
    for key, amount in state.ledger.items():
        asset = key.partition("/")[2]
        sums[asset] = sums.get(asset, 0) + amount
    return not any(sums.values())


def _cash_not_negative(state: State) -> bool:
    return all(state.balance(account) >= 0 for account in ("reserved", "unredeemed"))


def _reserved_is_orders(state: State) -> bool:
    """What is reserved is what open orders, legs to come and splits under way reserve, to the micro-unit."""
    orders = sum(order.reserve for order in state.orders.values())
    to_come = sum(pair.reserve for pair in state.pairs.values())
    to_come += sum(action.reserve for action in state.actions.values())
    return state.balance("reserved") == orders + to_come


def _closed_reserve_nothing(state: State) -> bool:
    return all(order.open or order.reserve == 0 for order in state.orders.values())


def _positions_are_ledger(state: State) -> bool:
    """A position's size is the sum of its rows (POS-01), until a settled market has paid it out."""
    for asset, position in state.positions.items():
        held = state.balance("settled", asset) + state.balance("in_flight", asset)
        market = state.markets.get(position.condition_id)
        expected = 0 if market is not None and market.settled else position.size
        if held != expected:
            return False
    return True


def _positions_are_fills(state: State) -> bool:
    """A position grows by trades and adoptions alone, and shrinks by trades and corrections (POS-11)."""
    sizes: dict[str, int] = {}
    for entry in state.fills.values():
        if entry.status.value != "FAILED":
            fill = entry.fill
            key = f"{fill.slot.condition_id}:{fill.slot.side.value}"
            sizes[key] = sizes.get(key, 0) + (fill.size if fill.action is Action.BUY else -fill.size)
    return all(
        sizes.get(key, 0) + position.put_away + position.adopted - position.taken
        == position.size + position.merged - position.split
        for key, position in state.positions.items()
    )


def _one_live_buy_a_slot(state: State) -> bool:
    """ORD-02: at most one live buy a slot; one that was proved absent and lives again is cancelled, and apart (U7)."""
    seen = set()
    for refs in state.open_refs.values():
        for ref in refs:
            order = state.orders[ref]
            if order.draft.action is Action.BUY and not order.was_absent:
                if order.slot in seen:
                    return False
                seen.add(order.slot)
    return True


def _two_live_sells(state: State) -> bool:
    """ORD-02: at most two sells rest for a position, and one market sale is under way (T8); unknown ones apart (U8)."""
    resting: dict[tuple[str, str], int] = {}
    market: dict[tuple[str, str], int] = {}
    for condition_id, refs in state.open_refs.items():
        for ref in refs:
            order = state.orders[ref]
            # One that was unknown may have another beside it (U8), and may turn out to rest after all.
            if order.draft.action is Action.SELL and not order.was_unknown and order.open_upper:
                key = (condition_id, order.slot.side.value)
                if order.draft.order_type.rests:
                    resting[key] = resting.get(key, 0) + 1
                else:
                    market[key] = market.get(key, 0) + 1
    return all(count <= 2 for count in resting.values()) and all(count <= 1 for count in market.values())


def _never_oversold(state: State) -> bool:
    """No more was sold than was bought, shares of open buys included whose trades are not known yet.

    Near the deadline an unknown sell no longer counts (U8), and the venue refuses what would oversell: it knows those
    buys before we do.
    """
    return all(
        position.size + _may_have_bought(state, position) >= 0
        for position in state.positions.values() if position.size < 0
    )


def _may_have_bought(state: State, position: PositionEntry) -> Micros:
    orders = state.open_orders(position.condition_id)
    buys = [o for o in orders if o.slot.side is position.side and o.draft.action is Action.BUY]
    return sum(order.draft.size - order.traded for order in buys)


def _pnl_is_cash(state: State) -> bool:
    """Cash now is cash at the start plus what markets gave, fees took and rewards brought.

    What a person moved by hand counts at its cost.
    """
    cash = state.balance("free") + state.balance("reserved") + state.balance("unredeemed") + state.balance(BY_HAND)
    outside = sum(
        amount for key, amount in state.ledger.items()
        if key.endswith("/cash") and key.startswith(("market:", "fees:"))
    )
    return cash + outside == -state.balance("deposit") - state.balance("rewards")


def _open_refs_are_open(state: State) -> bool:
    listed = {ref for refs in state.open_refs.values() for ref in refs}
    return listed == {ref for ref, order in state.orders.items() if order.open}


def _positions_have_obligations(state: State) -> bool:
    """Every open position of an undecided market is closed by a deadline or declared held."""
    for key, position in state.positions.items():
        market = state.markets.get(position.condition_id)
        undecided = market is not None and not market.settled
        if position.loose > 0 and undecided and not position.held and key not in state.obligations:
            return False
    return True


def _pairs_pair_off(state: State) -> bool:
    """POS-07: what is held as a pair is there, of both sides the same."""
    for position in state.positions.values():
        if position.paired:
            other = state.position(position.condition_id, position.side.other)
            market = state.markets.get(position.condition_id)
            if market is not None and market.settled:
                continue
            if position.paired > position.size or other is None or other.paired != position.paired:
                return False
    return True


def _unredeemed_is_markets(state: State) -> bool:
    return state.balance("unredeemed") == sum(state.unredeemed.values())


def _one_action_a_market(state: State) -> bool:
    """What is merged is held as pairs meanwhile, and actions that are under way are one a market."""
    under_way = [action for action in state.actions.values() if action.open]
    for action in under_way:
        if action.kind is ActionKind.MERGE:
            for side in Side:
                position = state.position(action.condition_id, side)
                if position is None or position.paired < action.size:
                    return False
    return {action.ref for action in under_way} == set(state.open_actions.values())


def _one_pair_a_market(state: State) -> bool:
    """ORD-13: pairs that are under way are one a market, and only they reserve."""
    under_way = {pair.ref for pair in state.pairs.values() if pair.open}
    return under_way == set(state.open_pairs.values()) and all(
        pair.open or pair.reserve == 0 for pair in state.pairs.values()
    )


INVARIANTS: Final[dict[str, Callable[[State], bool]]] = {
    "ledger_balances": _balanced,
    "cash_not_negative": _cash_not_negative,
    "reserved_equals_open_orders": _reserved_is_orders,
    "closed_orders_reserve_nothing": _closed_reserve_nothing,
    "positions_equal_ledger": _positions_are_ledger,
    "positions_equal_fills": _positions_are_fills,
    "one_live_buy_a_slot": _one_live_buy_a_slot,
    "two_live_sells_an_exit_slot": _two_live_sells,
    "never_oversold": _never_oversold,
    "cash_equals_start_plus_pnl": _pnl_is_cash,
    "open_list_equals_open_orders": _open_refs_are_open,
    "positions_have_obligations": _positions_have_obligations,
    "pairs_pair_off": _pairs_pair_off,
    "one_pair_a_market": _one_pair_a_market,
    "one_action_a_market": _one_action_a_market,
    "unredeemed_by_market": _unredeemed_is_markets,
}


def broken(state: State) -> list[str]:
    """Names of the invariants that do not hold."""
    return [name for name, holds in INVARIANTS.items() if not holds(state)]
