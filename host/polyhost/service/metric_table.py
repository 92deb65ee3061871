"""Every metric that the host gives to Prometheus: name, unit, labels, meaning (LOG-05).

One table. docs/metrics.md is made of it (``python -m polyhost.service.metric_table > docs/metrics.md``), and what is
scraped has these names and no others; tests say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct


class Kind(StrEnum):
    GAUGE = "gauge"
    """It goes up and down."""
    COUNTER = "counter"
    """It only rises, from 0 at the start of the process."""
    HISTOGRAM = "histogram"
    """How often up to each bound, how many, and their sum."""


class Metric(Struct, frozen=True):
    name: str
    """A counter's ends in ``_total``."""
    kind: Kind
    unit: str
    meaning: str
    labels: tuple[str, ...] = ()
    """Beside ``account``, which every metric has but those of the process."""
    must: str = ""
    """What it is while all is well, where that can be said."""
    of_process: bool = False

    @property
    def all_labels(self) -> tuple[str, ...]:
        return self.labels if self.of_process else ("account", *self.labels)


LATENCY_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Of latencies of our own, wall seconds: 5 s is where a slow exit is a warning."""
SETTLEMENT_BOUNDS: Final = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 14_400.0, 86_400.0)
"""Of what the venue does after a window's end, market seconds."""

_G, _C, _H = Kind.GAUGE, Kind.COUNTER, Kind.HISTOGRAM
_S, _MONEY, _SHARE, _ONE = "seconds", "collateral (USD)", "0 to 1", ""

METRICS: Final[tuple[Metric, ...]] = (
    # --- the process ---
    Metric("polyhost_info", _G, _ONE, "always 1; what runs", ("version", "run"), of_process=True),
    Metric("polyhost_collected_at_seconds", _G, "Unix seconds", "when these figures were taken: once a second",
           of_process=True),
    Metric("polyhost_log_lines_lost_total", _C, "lines", "lines of the log that could not be written", must="0",
           of_process=True),
    Metric("polyhost_standstills_total", _C, "times", "the event loop stood still for more than 2 s", must="0",
           of_process=True),
    # --- how an account is ---
    Metric("polyhost_ready", _G, "1 or 0", "it may enter: every safety loop lives, the journal takes records, no stop",
           must="1"),
    Metric("polyhost_phase", _G, "1 or 0", "1 for the phase that the run is in", ("phase",)),
    Metric("polyhost_entries_blocked", _G, "1 or 0", "1 for each cause that stops new exposure now", ("cause",)),
    Metric("polyhost_loop_alive", _G, "1 or 0", "a supervised loop lives", ("loop",), must="1"),
    Metric("polyhost_loop_age_seconds", _G, _S, "since its last sign of life", ("loop",)),
    Metric("polyhost_loop_restarts_total", _C, "times", "a loop was started again", ("loop",)),
    Metric("polyhost_faults_total", _C, "times", "a task of the host failed", must="0"),
    Metric("polyhost_timer_lag_seconds", _G, _S, "the worst lateness of the kernel's timer among the latest 4,096"),
    # --- latencies ---
    Metric("polyhost_tick_to_order_seconds", _H, _S,
           "from the last change of the book that a decision was made on until the order, signed and durable, was"
           " handed to the venue's client; what waits for its turn (a cadence, an earlier order) is in it"),
    Metric("polyhost_decision_to_order_seconds", _H, _S,
           "the part of it after the decision: signing and the durable commit"),
    Metric("polyhost_exit_latency_seconds", _H, _S, "from the decision to sell at market until its first fill",
           must="under 1 on average"),
    Metric("polyhost_end_to_resolved_seconds", _H, "market seconds", "from a window's end until its result was known"),
    Metric("polyhost_resolved_to_released_seconds", _H, "market seconds",
           "from its result until what it pays could be used again"),
    # --- what must not happen ---
    Metric("polyhost_orphans_total", _C, "orders", "orders that were live again after their end was proved", must="0"),
    Metric("polyhost_unmanaged_expiries_total", _C, "positions",
           "positions that came to their window's end neither closed nor knowingly held", must="0"),
    # --- the venue ---
    Metric("polyhost_comparisons_total", _C, "times",
           "orders and trades were compared with the venue: in turn (`scheduled`), or because something asked for it"
           " (`extra`: a stream that came back, an order whose fate is unknown, a balance that differs)", ("why",)),
    Metric("polyhost_balances_doubted", _G, "balances", "balances that differ from the ledger, unexplained so far",
           must="0"),
    Metric("polyhost_disconnects_total", _C, "times", "a stream was lost, planned replacements left out", ("stream",)),
    Metric("polyhost_api_calls_total", _C, "requests",
           "requests that left, by class of endpoint and purpose; what is asked once for all accounts has no account",
           ("endpoint", "purpose")),
    Metric("polyhost_api_calls_refused_total", _C, "requests",
           "requests that were not sent because the rate budget had no room in time"),
    Metric("polyhost_cache_age_seconds", _G, _S,
           "age of what was last read: collateral, token balances, orders and trades, positions; the oldest book",
           ("of",)),
    # --- orders and trades ---
    Metric("polyhost_orders_total", _C, "orders", "orders signed to be sent"),
    Metric("polyhost_orders_open", _G, "orders", "orders that are not over"),
    Metric("polyhost_rejects_total", _C, "orders", "orders that the venue refused, by row of docs/order-outcomes.md",
           ("reason",)),
    Metric("polyhost_trades_total", _C, "trades", "trades whose fate is known: confirmed on the chain, or failed",
           ("fate",)),
    Metric("polyhost_trade_success_ratio", _G, _SHARE, "confirmed trades among them; absent before the first",
           must="over 0.95"),
    Metric("polyhost_pairs_total", _C, "pairs", "pairs that ended and had bought a leg"),
    Metric("polyhost_pair_rollback_ratio", _G, _SHARE, "pairs rolled back, among them; absent before the first",
           must="under 0.05"),
    # --- plugins ---
    Metric("polyhost_plugin_seconds_total", _C, _S, "time that a plugin took for evaluations", ("plugin",)),
    Metric("polyhost_plugin_evaluations_total", _C, "evaluations", "evaluations that it was part of", ("plugin",)),
    Metric("polyhost_plugin_slowest_seconds", _G, _S, "the slowest of them", ("plugin",)),
    Metric("polyhost_plugin_errors_total", _C, "strikes", "what it raised, answered wrongly or too late", ("plugin",),
           must="0"),
    Metric("polyhost_plugin_running", _G, "1 or 0", "it is neither quarantined nor being restarted", ("plugin",),
           must="1"),
    # --- money ---
    Metric("polyhost_exposure", _G, _MONEY, "cost of open positions and what open buys reserve", ("symbol",)),
    Metric("polyhost_positions_open", _G, "positions", "positions of undecided markets", ("symbol",)),
    Metric("polyhost_balance", _G, _MONEY, "collateral by the ledger: free, reserved, unredeemed", ("of",)),
    Metric("polyhost_pnl_day", _G, _MONEY, "realised since the day (UTC) began, fees included"),
    Metric("polyhost_pnl_realised", _G, _MONEY, "of the positions closed by this process, fees included", ("symbol",)),
    Metric("polyhost_fees_total", _C, _MONEY, "fees of the fills booked by this process"),
    # --- the market ---
    Metric("polyhost_markets_followed", _G, "markets", "markets with a book"),
    Metric("polyhost_market_messages_total", _C, "messages", "messages of the market stream"),
    Metric("polyhost_evaluations_total", _C, "evaluations", "questions to the plugins that were answered"),
)
BY_NAME: Final[Mapping[str, Metric]] = {metric.name: metric for metric in METRICS}

HEAD: Final = """# Metrics

Generated by `python -m polyhost.service.metric_table > docs/metrics.md`; tests compare the page with the table, and the
table with what a session gives.

`[metrics] port` switches them on (`pip install 'polyhost[metrics]'`). The server listens on this machine only, and has:

| path | answers |
| --- | --- |
| `/metrics` | the metrics below, as Prometheus reads them |
| `/health` | 200 while the host's own loops go round, 503 when it is stuck: a process to be killed and started again |
| `/ready` | 200 while every account may enter, else 503 with the reason |

Both answer with JSON: `ok`, `why`, and of each account `name`, `ready`, `why`.

```yaml
scrape_configs:
  - job_name: polyhost
    static_configs: [{ targets: ["127.0.0.1:9464"] }]
```

Figures are taken once a second beside trading, from what the host keeps anyway. Counters begin at 0 with the process.
Times are wall seconds unless the unit says otherwise; of a simulation that runs faster they are converted by its speed.
Labels are accounts, symbols, plugins, loops and words of the host: never an order, and no more than 200 of a metric;
what is beyond that is summed under `other`.

Good alarms: `polyhost_ready == 0` for a minute, `increase(polyhost_orphans_total[1h]) > 0`,
`increase(polyhost_unmanaged_expiries_total[1h]) > 0`, `polyhost_loop_alive == 0` for a minute, no answer at all.

| metric | kind | unit | labels | meaning | while all is well |
| --- | --- | --- | --- | --- | --- |
"""


def page() -> str:
    """The whole of docs/metrics.md."""
    return HEAD + "".join(f"{_row(metric)}\n" for metric in METRICS)


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.all_labels) or "-"
    cells = (f"`{metric.name}`", metric.kind.value, metric.unit or "-", labels, metric.meaning, metric.must or "-")
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(page(), end="")
