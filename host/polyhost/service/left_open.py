"""What a run leaves behind at its end, by name: nobody watches it until the next start."""

from __future__ import annotations

from polyhost.kernel.state import State
from polyhost.model.money import money_text, price_text, size_text
from polyhost.service.status import open_orders, open_positions


def left_open(state: State) -> list[str]:
    """One line for each order, position and amount that is still open; empty: nothing is."""
    return [*unfinished(state), *_unredeemed(state)]


def unfinished(state: State) -> list[str]:
    """Of it what wants a running host: orders, and positions of undecided markets."""
    return [*_orders(state), *_positions(state)]


def _orders(state: State) -> list[str]:
    return [
        f"order {order.ref}: {order.draft.action.value} {size_text(order.open_upper)} {order.slot.side.value} at "
        f"{price_text(order.draft.price)}, {_slug(state, order.slot.condition_id)} ({order.state.value})"
        for order in open_orders(state)
    ]


def _positions(state: State) -> list[str]:
    found = []
    for position in open_positions(state):
        duty = f"held to settlement ({position.held})" if position.held else "not held"
        found.append(
            f"position: {size_text(position.size)} {position.side.value} at {price_text(position.average)}, "
            f"{_slug(state, position.condition_id)}, {duty}"
        )
    return found


def _unredeemed(state: State) -> list[str]:
    amount = state.balance("unredeemed")
    return [f"unredeemed: {money_text(amount)}"] if amount else []


def _slug(state: State, condition_id: str) -> str:
    return state.markets[condition_id].market.slug
