"""When exits of one position disagree (EXI-07): pure functions of what the plugins want, in configured order.

The order of urgency is data (``URGENCY``): forced close, floor, stop, reversal, scale-in, exit plan, reward re-quote.
What stands above the scale-in is urgent: it begins before anything is bought. What stands below is planned: it follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from polyhost.kernel.state import State
from polyhost.model.events import Candidate, Proposed
from polyhost.model.proposals import URGENCY, Defer, Enter, ExitNow, ExitTarget, HoldToSettlement
from polyhost.model.words import Purpose, Side

NEVER_DEFERRED = frozenset({"forced_close", "floor"})
"""Urgencies that no plugin can hold back."""


class Arbitrated(Struct, frozen=True):
    """What comes of one position's wishes. ``sale``: the most urgent one that is not held back, and its plugin."""

    sale: ExitNow | None
    sold_by: str
    hold: HoldToSettlement | None
    targets: tuple[Proposed, ...]

    @property
    def urgent(self) -> bool:
        """The sale goes before a scale-in."""
        return self.sale is not None and not is_planned(self.sale)

    def target(self, present_owner: str) -> Proposed | None:
        """T1: at equal urgency the present owner keeps the slot, then the configured order decides."""
        return next((p for p in self.targets if p.plugin == present_owner), next(iter(self.targets), None))


class Planned(Struct, frozen=True):
    """The planned part of one side's exits, to be carried out after what is bought."""

    side: Side
    wanted: Arbitrated


def arbitrated(proposed: Sequence[Proposed], now: int, void: Callable[[str], bool]) -> Arbitrated:
    """One position's wishes, in configured order, at market ms ``now``.

    ``void(plugin)``: the plugin's ``Defer`` waits for what will not come, and counts no more.
    """
    deferred = {
        p.answer.urgency for p in proposed
        if isinstance(p.answer, Defer) and p.answer.until > now and p.answer.urgency not in NEVER_DEFERRED
        and not void(p.plugin)
    }
    sales = [
        (p.answer, p.plugin) for p in proposed
        if isinstance(p.answer, ExitNow) and p.answer.urgency not in deferred
    ]
    holds = (p.answer for p in proposed if isinstance(p.answer, HoldToSettlement))
    # Of equal ones ``min`` takes the first: the configured order.
    sale, sold_by = min(sales, key=lambda each: _rank(each[0]), default=(None, ""))
    return Arbitrated(
        sale=sale, sold_by=sold_by,
        hold=next(holds, None),
        targets=tuple(p for p in proposed if isinstance(p.answer, ExitTarget)),
    )


def adds_to(candidates: Iterable[Candidate], side: Side) -> bool:
    """Somebody wants a scale-in of the side."""
    wishes = (candidate.proposed.answer for candidate in candidates)
    return any(isinstance(w, Enter) and w.purpose is Purpose.SCALE_IN and w.side is side for w in wishes)


def adds_now(state: State, condition_id: str, side: Side) -> bool:
    """A scale-in of the side is on its way (one that rests does not count: it may never fill)."""
    return any(
        order.slot.purpose is Purpose.SCALE_IN and order.slot.side is side and not order.draft.order_type.rests
        for order in state.open_orders(condition_id)
    )


def is_planned(sale: ExitNow) -> bool:
    """No emergency: it follows what is bought, keeps to its floor, and gives way to anything more urgent."""
    return _rank(sale) >= URGENCY["scale_in"]


def _rank(sale: ExitNow) -> int:
    return URGENCY.get(sale.urgency, len(URGENCY))
