"""Triggers for a midpoint: the hot path compares best bids and asks alone, and two of those compares bound their mean.

When the midpoint has to move by so much, the sum of bid and ask has to move by twice that, and then at least one of the
two moves by half of it. So a trigger on each, half the way, cannot miss the midpoint; when one is reached the market is
evaluated, and triggers set from there are closer. They are set anew at every evaluation.
"""

from __future__ import annotations

from polyhost.model.money import ONE, Ticks
from polyhost.model.proposals import Trigger
from polyhost.model.view import Quote
from polyhost.model.words import Side


def midpoint_triggers(side: Side, quote: Quote, direction: str, price: Ticks) -> tuple[Trigger, ...]:
    """Wake when ``quote``'s midpoint may be at or below (``below``), or at or above (``above``), ``price`` ticks.

    ``quote`` is that of ``side`` now. None when the midpoint is there already: then it is time to act.
    """
    total = quote.bid + quote.ask
    # Midpoints are rounded down: one half a tick above a price is still at it.
    gap = total - (2 * price + 1) if direction == "below" else 2 * price - total
    if gap <= 0:
        return ()
    half = (gap + 1) // 2
    move = -half if direction == "below" else half
    levels = (("bid", quote.bid + move), ("ask", quote.ask + move))
    return tuple(Trigger(side, name, direction, level) for name, level in levels if 0 < level < ONE)
