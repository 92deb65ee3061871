"""How many orders a purpose may have (ORD-02), and what must be over before a side is entered anew (ORD-08).

Entry: one a window and side. Hedge: one a window and side, while the other side is held. Scale-in: one at a time, on
what is held. Grid level: as many keys a side as the setting allows, each used again once the side was flat.
"""

from __future__ import annotations

from typing import Final

from polyhost.kernel.core import Core
from polyhost.kernel.state import OrderEntry, State, filled_key, lock_key, slot_key
from polyhost.kernel.views import ENTRY_ATTEMPTS_MAX, entry_slot_refusal
from polyhost.model.proposals import Enter
from polyhost.model.records import Slot
from polyhost.model.times import NEVER
from polyhost.model.words import Purpose

PENDING: Final = frozenset({
    Purpose.ENTRY, Purpose.SCALE_IN, Purpose.HEDGE, Purpose.GRID_LEVEL, Purpose.QUOTE, Purpose.LEG,
})
"""Purposes whose orders must be over before a reversal or re-open; exits of positions that stay remain."""


def slot_refusal(core: Core, condition_id: str, wish: Enter) -> str:
    """Why the wish's slot takes no order now; empty when it does."""
    state = core.state
    slot = Slot(condition_id, wish.side, wish.purpose, wish.key)
    if wish.purpose is Purpose.ENTRY:
        return entry_slot_refusal(state, condition_id, wish.side)
    locked = state.slots_locked.get(lock_key(slot))
    if locked is not None:
        return locked.why
    match wish.purpose:
        case Purpose.HEDGE:
            return _hedge(state, slot)
        case Purpose.SCALE_IN:
            return _scale_in(core, slot)
        case _:
            return _grid_level(core, slot)


def _hedge(state: State, slot: Slot) -> str:
    other = state.position(slot.condition_id, slot.side.other)
    if other is None or other.loose <= 0:
        return f"no {slot.side.other.value} is held that it would hedge"
    if _live(state, slot):
        return "a hedge is in flight"
    if _filled(state, slot):
        return "one hedge a window and side"
    used = state.slots_used.get(slot_key(slot), 0)
    return "" if used < ENTRY_ATTEMPTS_MAX else f"{used} attempts ended without a fill"


def _scale_in(core: Core, slot: Slot) -> str:
    position = core.state.position(slot.condition_id, slot.side)
    if position is None or position.loose <= 0:
        return "nothing is held that it would add to"
    plan = core.data[slot.condition_id].exits.get(slot.side)
    if plan is not None and plan.urgent is not None:
        return "the position is being sold"
    return "one scale-in at a time" if _live(core.state, slot) else ""


def _grid_level(core: Core, slot: Slot) -> str:
    state = core.state
    if not slot.key:
        return "a grid level needs a key"
    keys = {order.slot.key for order in _live(state, slot)}
    if slot.key in keys:
        return "an order of it is in flight"
    held = _filled(state, slot)
    if slot.key in held:
        return "the level is bought, and its side was not flat since"
    most = core.settings.safety.grid_levels_max
    return "" if len(keys | held) < most else f"{most} levels of this side are in use"


def _live(state: State, slot: Slot) -> list[OrderEntry]:
    """Orders of a purpose and side that are not over, whatever their key; unknown ones count."""
    return [
        order for order in state.open_orders(slot.condition_id)
        if order.slot.side is slot.side and order.slot.purpose is slot.purpose
    ]


def _filled(state: State, slot: Slot) -> set[str]:
    """Keys of a purpose and side that bought something."""
    beginning = filled_key(Slot(slot.condition_id, slot.side, slot.purpose))
    bought = (key for key, size in state.slots_filled.items() if size > 0)
    return {key.removeprefix(beginning) for key in bought if key.startswith(beginning)}


def pending(state: State, condition_id: str, wish: Enter) -> list[OrderEntry]:
    """ORD-08: orders of both sides that must be over before this reversal or re-open; none for any other wish.

    A reversal is a hedge, or an entry on a side when the other one was held; a re-open is a grid level on a side that
    was closed. Levels of the re-opened grid itself, placed after that close, do not hinder one another.
    """
    since = _reopened(state, condition_id, wish)
    if since is None:
        return []
    return [
        order for order in state.open_orders(condition_id)
        if order.slot.purpose in PENDING and order.placed_at <= since
    ]


def _reopened(state: State, condition_id: str, wish: Enter) -> int | None:
    """Orders placed until then (market ms) are of the time before; None: this is no reversal and no re-open."""
    if wish.purpose is Purpose.HEDGE:
        return NEVER
    side = wish.side.other if wish.purpose is Purpose.ENTRY else wish.side
    position = state.position(condition_id, side)
    if position is None:
        return None
    if wish.purpose is Purpose.ENTRY and (position.sold or position.merged):
        return NEVER
    if wish.purpose is Purpose.GRID_LEVEL and position.closed:
        return position.closed_at
    return None
