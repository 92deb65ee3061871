"""What a record is about, for the log line that tells it: market, side, purpose, order (LOG-03)."""

from __future__ import annotations

from typing import Any

from polyhost.kernel.state import State
from polyhost.model.commands import Tell


def about(record: object, state: State) -> dict[str, str]:
    """Only what applies. ``record``: one, or another fact with such fields; ``state`` is the state after it."""
    ref = getattr(record, "ref", "") or getattr(getattr(record, "draft", None), "ref", "")
    of = _whole(ref, state)
    slot = getattr(record, "slot", None) or getattr(of, "slot", None)
    named = [each for each in (record, slot, of) if each is not None]
    market = _first("condition_id", named) or getattr(getattr(record, "market", None), "condition_id", "")
    entry = state.markets.get(market)
    side, purpose = _first("side", named), getattr(slot, "purpose", None)
    found = {
        "market": market if entry is None else entry.market.slug,
        "side": getattr(side, "value", ""),
        "purpose": getattr(purpose, "value", ""),
        "order": ref,
        "plugin": getattr(record, "plugin", ""),
    }
    return {name: value for name, value in found.items() if value}


def about_told(command: Tell, state: State) -> dict[str, str]:
    """The same of what plugins are told, whose own lines are about it, too."""
    what = command.what[0] if isinstance(command.what, tuple) else command.what
    market = {} if command.market is None else {"market": command.market.slug}
    return about(what, state) | market


def _whole(ref: str, state: State) -> Any:
    """The order, pair or action of this name; None: there is none."""
    return state.orders.get(ref) or state.pairs.get(ref) or state.actions.get(ref)


def _first(name: str, named: list[Any]) -> Any:
    return next((value for each in named if (value := getattr(each, name, None))), "")
