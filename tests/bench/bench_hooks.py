"""B11: one hook call with five implementations, guarded and clocked, against the same call through pluggy.

Both sides are timed in interleaved rounds of one run; the medians of the rounds are compared.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from statistics import median
from time import perf_counter_ns
from typing import Any, Final

import pluggy

from polyhost import Plugin, Settings, Signal, View, hookimpl
from polyhost.extension.specification import implementations
from polyhost.extension.table import Failed, Table
from polyhost.hooks import NAMESPACE, Hooks

IMPLEMENTATIONS: Final = 5
ROUNDS: Final = 15
CALLS: Final = 4_000
BUDGET: Final = 0.5


class Quiet(Plugin):
    """Answers at once: what is measured is the call, not the answer."""

    name = "quiet"
    answer = Signal(0.5, 0.5)

    @hookimpl
    def signal(self, view: View) -> Signal:
        return self.answer


def timed(call: Callable[[], Any]) -> float:
    """Microseconds a call, over one round."""
    begin = perf_counter_ns()
    for _ in range(CALLS):
        call()
    return (perf_counter_ns() - begin) / CALLS / 1_000


def measure() -> dict[str, Any]:
    """The budget's figures: microseconds a hook call with five implementations, and their ratio."""
    plugins = [Quiet(Settings()) for _ in range(IMPLEMENTATIONS)]
    manager = pluggy.PluginManager(NAMESPACE)
    manager.add_hookspecs(Hooks)
    for number, plugin in enumerate(plugins):
        manager.register(plugin, f"quiet_{number}")
    table = Table([implementations(plugin, f"quiet_{number}") for number, plugin in enumerate(plugins)])
    used = [0] * IMPLEMENTATIONS
    failed: list[Failed] = []
    signal: Any = manager.hook.signal
    view: Any = object()
    assert len(signal(view=view)) == len(table.ask("signal", view, None, used, failed)) == IMPLEMENTATIONS
    through_pluggy: list[float] = []
    through_table: list[float] = []
    for _ in range(ROUNDS):
        through_pluggy.append(timed(lambda: signal(view=view)))
        through_table.append(timed(lambda: table.ask("signal", view, None, used, failed)))
    pluggy_us, table_us = median(through_pluggy), median(through_table)
    ratio = table_us / pluggy_us
    return {
        "id": "B11",
        "pluggy_us": round(pluggy_us, 3),
        "table_us": round(table_us, 3),
        "ratio": round(ratio, 3),
        "budget": BUDGET,
        "ok": ratio <= BUDGET,
    }


if __name__ == "__main__":
    print(json.dumps(measure()))
