"""What an operator's word is about: a name that means nothing here is refused, before somebody relies on the word.

Who mistypes a window while it has to be closed, or a breaker that is to be cleared, must hear of it at once: the word
itself would be taken, journaled, and do nothing.
"""

from __future__ import annotations

from polyhost.kernel.blocks import BY_NAME
from polyhost.kernel.state import State
from polyhost.service.status import open_positions


def means_nothing(state: State, word: str, target: str) -> str:
    """Why ``word`` about ``target`` would do nothing, and what it may be about; empty: it does something."""
    if not target:
        return ""
    match word:
        case "resume":
            return _blocks_nothing(state, target)
        case "close":
            return _not_open(state, target)
        case "merge" | "redeem":
            known = any(entry.market.slug == target for entry in state.markets.values())
            return "" if known else f"no market of this account is called {target!r}; `polyhost status` has the slugs"
    return ""


def _blocks_nothing(state: State, name: str) -> str:
    if name in state.blocked:
        return ""
    cause = BY_NAME.get(name)
    if cause is not None and not cause.lasting:
        return f"{name} ends {cause.clears}; no word clears it"
    there = ", ".join(state.blocked) or "nothing that an operator clears"
    return f"{name!r} blocks nothing; what does: {there}"


def _not_open(state: State, slug: str) -> str:
    open_slugs = {state.markets[position.condition_id].market.slug for position in open_positions(state)}
    if slug in open_slugs:
        return ""
    return f"no position is open in {slug!r}; open: {', '.join(sorted(open_slugs)) or 'none'}"
