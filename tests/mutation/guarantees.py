"""The guarantees that are broken on purpose, one at a time: which line gives each, and what it is replaced by.

A mutation that no longer applies fails ``test_mutation_applies.py``: whoever moves the line moves the mutation with it.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Mutation(NamedTuple):
    """One guarantee taken away. ``old`` stands exactly once in ``file`` (below ``host/polyhost``)."""

    name: str
    promise: str
    """The rule or row that the line keeps."""
    file: str
    old: str
    new: str
    tests: str = "tests/kernel"
    """Where a test should notice, separated by spaces."""


MUTATIONS: Final[tuple[Mutation, ...]] = (
    Mutation(
        "send before commit", "ORD-01", "service/engine.py",
        "while self._gated and self._gated[0][0] <= seq and self.sealed is None:",
        "while self._gated:",
        "tests/service/test_service_engine.py",
    ),
    Mutation(
        "send before commit, in the simulated shell", "ORD-01", "lab/sim_run.py",
        "            if isinstance(command, GATED):",
        "            if not isinstance(command, object):",
        "tests/simulation/test_simulation_checks.py",
    ),
    Mutation(
        "resend on timeout", "U1, U5", "kernel/orders_flow.py",
        """        if order.state is OrderState.PREPARED:
            self._unknown(order, "no answer in time")
""",
        """        if order.state is OrderState.PREPARED:
            assert order.request is not None
            self.core.command(Post(order.request))
            self._unknown(order, "no answer in time")
""",
    ),
    Mutation(
        "drop trades found by a reconciliation", "ORD-10", "kernel/orders_flow.py",
        """        for trade in event.trades:
            self._trade(trade)
        listed = set()
""",
        """        listed = set()
""",
    ),
    Mutation(
        "round instead of truncate", "ORD-04", "model/rounding.py",
        "    return size - size % LOT\n",
        "    return (size + LOT // 2) // LOT * LOT\n",
        "tests/kernel tests/model",
    ),
    Mutation(
        "size a sale by money", "ORD-04", "kernel/exits.py",
        "        room = self._cover(position, sells) - counted\n",
        "        room = position.cost * 10_000 // max(position.average, 1) - counted\n",
    ),
    Mutation(
        "skip the obligation", "W: unmanaged expiry", "kernel/exits.py",
        """        self.now(condition_id, ExitNow(side, OBLIGATION, "forced_close"), forced=True)
""",
        "",
        "tests/kernel tests/plugins",
    ),
    Mutation(
        "write no obligation at entry", "W: unmanaged expiry", "kernel/orders_flow.py",
        "            core.record(ObligationSet(core.now, slot.condition_id, slot.side, due))\n",
        "",
    ),
    Mutation(
        "treat 404 as failure", "U4", "kernel/orders_flow.py",
        """        if order is not None and order.open and order.slot.condition_id not in self._ladders:
            self.core.command(Sweep(order.slot.condition_id, self._since(order)))
""",
        """        if order is not None and order.state is OrderState.UNKNOWN:
            self._close(order, "absent")
""",
    ),
    Mutation(
        "forget FAILED", "POS-01", "kernel/orders_flow.py",
        """        elif known.status not in (TradeStatus.CONFIRMED, TradeStatus.FAILED) and _later(known.status, status):
""",
        """        elif known.status not in (TradeStatus.CONFIRMED, TradeStatus.FAILED) and status.value != "FAILED":
""",
    ),
    Mutation(
        "ignore the reservation", "ORD-03", "kernel/core.py",
        "        return max(min(free, self.fresh.collateral - self.state.balance(\"reserved\")), 0)\n",
        "        return max(free + self.state.balance(\"reserved\"), 0)\n",
    ),
    Mutation(
        "release a slot that was unknown", "U7", "kernel/state.py",
        """            state.slots_locked.setdefault(slot_key(order.slot), "an order of it was unknown")
""",
        "            pass\n",
    ),
    Mutation(
        "sell what an earlier sell may still sell", "T3", "kernel/exits.py",
        "        room = floor_lot(self._cover(position, every) - sum(order.open_upper for order in every))\n",
        "        room = floor_lot(self._cover(position, every))\n",
    ),
    Mutation(
        "cancel a rest below the minimum", "T6", "kernel/exits.py",
        "            if order.open_upper < entry.market.min_size:\n",
        "            if order.open_upper < 0:\n",
    ),
)
"""In the order of the table."""

SEEDS: Final = "0:12"
HOURS: Final = "0.25"
"""What the simulation gets to find each with."""
