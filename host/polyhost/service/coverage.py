"""Is every open position covered, and if not, why not yet: as the kernel has it now, for who looks on (POS-06 words).

``covered``: resting sells are as large as what exits have to sell. ``held``: knowingly, to settlement. ``closing``: it
is being sold at market. ``open``: neither yet, with the reason that the kernel has for it.
"""

from __future__ import annotations

from polyhost.kernel.kernel import Kernel
from polyhost.kernel.state import PositionEntry
from polyhost.model.money import size_text
from polyhost.model.words import Action, Side


def coverage(kernel: Kernel) -> dict[str, tuple[str, str]]:
    """``condition_id:SIDE`` → (word, reason) of every position of an undecided market."""
    state, found = kernel.state, {}
    for condition_id in state.exposed:
        for side in Side:
            position = state.position(condition_id, side)
            if position is not None and position.size > 0:
                found[f"{condition_id}:{side.value}"] = _of(kernel, position)
    return found


def _of(kernel: Kernel, position: PositionEntry) -> tuple[str, str]:
    data = kernel.data(position.condition_id)
    plan = None if data is None else data.exits.get(position.side)
    if position.held:
        return "held", position.held
    if position.loose <= 0:
        return "held", "it pairs off with the other side"
    if plan is not None and plan.urgent is not None:
        return "closing", plan.urgent.reason
    sells = [
        order for order in kernel.state.open_orders(position.condition_id)
        if order.slot.side is position.side and order.draft.action is Action.SELL
    ]
    resting = sum(order.open_upper for order in sells)
    if resting >= position.loose:
        return "covered", ""
    waiting = "no plugin has named an exit yet" if plan is None else plan.waiting or "its exit is on the way"
    return "open", waiting if not resting else f"{size_text(position.loose - resting)} of it: {waiting}"
