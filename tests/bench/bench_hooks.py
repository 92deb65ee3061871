"""B11: one hook call with five implementations, guarded and clocked, against the same call through pluggy.

Both sides are timed in interleaved rounds of one run; the medians of the rounds are compared. Beside it, without a
budget of its own: what one question costs when the plugin runs in a process, a whole view there and an answer back.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter_ns
from typing import Any, Final

import pluggy

from polyhost import Candle, Funds, Market, Plugin, Quote, Settings, Side, Signal, View, hookimpl
from polyhost.extension import Deadlines, Runner, discover
from polyhost.extension.specification import implementations
from polyhost.extension.table import Failed, Table
from polyhost.hooks import NAMESPACE, Hooks
from polyhost.model.times import MarketMs
from polyhost.settings import Configuration

IMPLEMENTATIONS: Final = 5
ROUNDS: Final = 15
CALLS: Final = 4_000
BUDGET: Final = 0.5
TRIPS: Final = 2_000
SHARE: Final = 1_000_000
FOREIGN: Final = """
from polyhost import Plugin, Signal, hookimpl

class Quiet(Plugin):
    name = "quiet"

    @hookimpl
    def signal(self, view):
        return Signal(0.5, 0.5)
"""


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


def round_trip() -> dict[str, Any]:
    """Microseconds from a question to its answer through the process runner: a view of this shape, one signal back."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "quiet.py").write_text(FOREIGN, encoding="utf-8")
        settings = Configuration.model_validate({"plugin_paths": (folder,), "plugins": {"quiet": {}}})
        runner = Runner(discover(settings, points=()), "none", Deadlines(answer_ms=5_000, life_ms=8_000))
        runner.start()
        try:
            view = a_view()
            took = []
            for _ in range(TRIPS):
                begin = perf_counter_ns()
                evaluated = runner.evaluate_inline(view)
                took.append((perf_counter_ns() - begin) / 1_000)
                assert evaluated.signals, "it answered"
        finally:
            runner.stop()
    took.sort()
    middle = median(took)
    return {
        "id": "B11", "what": f"process runner, round trip: {middle:.0f} us, p99 {took[len(took) * 99 // 100]:.0f} us",
        "round_trip_us": round(middle, 1), "p99_us": round(took[len(took) * 99 // 100], 1),
    }


def a_view() -> View:
    """A quarter-hour window with an hour's figures, as the kernel shows one."""
    market = Market("btc-updown-15m-900", "0xabc", "11", "12", MarketMs(1_800_000), MarketMs(900_000), "BTC", 900)
    quote = Quote(5_000, 5_100, SHARE, SHARE)
    return View(
        view_seq=1, state_rev=1, book_epoch=1, now=1_200_000, market=market, up=quote, down=quote,
        bids=tuple((5_000 - 100 * level, SHARE) for level in range(10)),
        asks=tuple((5_100 + 100 * level, SHARE) for level in range(10)), book_age_ms=5,
        mids=tuple((60_000 * minute, 5_050) for minute in range(15)), spot=100_000.5, spot_age_ms=20,
        spot_open=100_000.0, candles=tuple(Candle(60_000 * n, 1.0, 2.0, 0.5, 1.5, 10.0) for n in range(60)),
        strike=100_000.0, reference=None, positions=(), orders=(), funds=Funds(1_000 * SHARE, 0, 0, 0),
    )


def measure() -> list[dict[str, Any]]:
    """The budget's figures, and the round trip beside it."""
    return [dispatch(), round_trip(), reading()]


def reading() -> dict[str, Any]:
    """Microseconds to read a view as a plugin does: every field once, then what it works out."""
    view = a_view()
    fields = view.__struct_fields__

    def read() -> None:
        for field in fields:
            getattr(view, field)
        view.side(Side.UP), view.position(Side.DOWN), view.time_left_s, view.scaled_s(60.0), view.up.mid

    read_us = median(timed(read) for _ in range(ROUNDS))
    return {"id": "B11", "what": f"reading every field of a view: {read_us:.1f} us", "read_us": round(read_us, 2)}


def dispatch() -> dict[str, Any]:
    """Microseconds a hook call with five implementations, and their ratio."""
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
