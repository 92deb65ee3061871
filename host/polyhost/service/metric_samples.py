"""The figures of this moment, from what the host keeps anyway: taken once a second beside trading (LOG-05)."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from msgspec import Struct

from polyhost import __version__
from polyhost.kernel.entries import at_risk
from polyhost.kernel.state import State
from polyhost.service.logs import lines_lost
from polyhost.service.metric_table import BY_NAME
from polyhost.service.metric_tally import Buckets, Noted, Tally, symbol_of
from polyhost.service.phases import Phase
from polyhost.service.presence import Condition, stuck

if TYPE_CHECKING:
    from polyhost.service.account import AccountRun
    from polyhost.service.supervision import Supervisor

Labels: TypeAlias = tuple[str, ...]
Samples: TypeAlias = Mapping[str, Mapping[Labels, "float | Buckets"]]
NOTED_MAX: Final = 100_000
"""Steps that were noted and not counted yet; while nobody counts, the oldest are lost."""
SHARED: Final = ""
"""The account of requests that are made once for all of them."""
MICROS: Final = 1_000_000
RUNNING: Final = frozenset({"inline", "process"})
"""States of a plugin that is asked."""


class Hosted(Protocol):
    """A session, as metrics see it."""

    run_id: str
    accounts: list[AccountRun]

    def conditions(self) -> list[Condition]: ...


class Health(Struct, frozen=True):
    """How the host is, for who decides whether to send it work or to end it."""

    at: float
    """When that was (monotonic seconds)."""
    stuck: str
    """Which of its own loops is dead; empty: none."""
    unready: Mapping[str, str]
    """Account → why it may not enter; empty: it may."""


class Sampler:
    """Counts for every account of a session from ``begin`` on."""

    def __init__(self, host: Hosted) -> None:
        self._host = host
        self._tallies: dict[str, tuple[deque[Noted], Tally]] = {}

    def begin(self) -> None:
        """From here on each account's engine notes what it does."""
        for account in self._begun():
            noted: deque[Noted] = deque(maxlen=NOTED_MAX)
            account.engine.noted = noted
            state = account.kernel.state
            known = {symbol_of(state, condition_id) for condition_id in state.markets}
            self._tallies[account.name] = (noted, Tally(symbols=known))

    def _begun(self) -> list[AccountRun]:
        living = {condition.name for condition in self._host.conditions()}
        return [account for account in self._host.accounts if account.name in living]

    def health(self) -> Health:
        """An account that failed is not among the conditions, and is not ready."""
        found = {condition.name: condition for condition in self._host.conditions()}
        unready = {account.name: _unready(found.get(account.name)) for account in self._host.accounts}
        return Health(time.monotonic(), stuck(list(found.values())), unready)

    def samples(self) -> Samples:
        """Every figure of the table that there is something to say about."""
        found = _Samples()
        self._process(found)
        for account in self._begun():
            if account.name in self._tallies:
                self._account(account, found.of(account.name))
        return found.values

    def _process(self, found: _Samples) -> None:
        found.set("polyhost_info", 1, __version__, self._host.run_id)
        found.set("polyhost_collected_at_seconds", time.time())
        found.set("polyhost_log_lines_lost_total", lines_lost())
        market = self._host.accounts[0].market
        found.set("polyhost_standstills_total", market.supervisor.standstills)
        _calls(market.budget.calls, sum(market.budget.refused.values()), found.of(SHARED))

    def _account(self, account: AccountRun, found: _Account) -> None:
        noted, tally = self._tallies[account.name]
        new = [noted.popleft() for _ in range(len(noted))]
        tally.see(new, account.kernel.state, account.clock.wall_seconds)
        _condition(account, found)
        _loops(account.supervisor, found)
        _latencies(tally, found)
        _venue(account, found)
        _orders(tally, account.kernel.state, found)
        _plugins(account.plugins.rows(), found)
        _money(tally, account.kernel.state, found)
        found.set("polyhost_markets_followed", len(account.kernel.followed()))
        found.set("polyhost_market_messages_total", account.engine.messages)
        found.set("polyhost_evaluations_total", account.kernel.evaluations)


class _Samples:
    """Figures by metric and labels; a name that is not in the table is a fault of ours."""

    def __init__(self) -> None:
        self.values: dict[str, dict[Labels, float | Buckets]] = {name: {} for name in BY_NAME}

    def set(self, name: str, value: float | Buckets, *labels: str) -> None:
        assert len(labels) == len(BY_NAME[name].all_labels), f"{name} has other labels"
        self.values[name][labels] = value

    def of(self, account: str) -> _Account:
        return _Account(self, account)


class _Account:
    """The figures of one account."""

    def __init__(self, samples: _Samples, account: str) -> None:
        self._samples = samples
        self._account = account

    def set(self, name: str, value: float | Buckets, *labels: str) -> None:
        self._samples.set(name, value, self._account, *labels)

    def each(self, name: str, values: Mapping[str, float]) -> None:
        for label, value in values.items():
            self.set(name, value, label)


def _unready(condition: Condition | None) -> str:
    """Why an account may not enter; empty: it may."""
    if condition is None:
        return "it failed and ended"
    if not condition.begun:
        return "it is starting"
    if condition.stopping:
        return "it is stopping"
    if condition.sealed:
        return f"sealed: {condition.sealed}"
    if condition.ready:
        return ""
    return f"not alive: {', '.join(condition.dead)}"


def _condition(account: AccountRun, found: _Account) -> None:
    found.set("polyhost_ready", not _unready(account.condition(begun=True)))
    for phase in Phase:
        found.set("polyhost_phase", phase is account.phase, phase.value)
    for cause, _ in account.kernel.blocks():
        found.set("polyhost_entries_blocked", 1, cause)
    found.set("polyhost_faults_total", account.engine.faults)
    found.set("polyhost_timer_lag_seconds", max(account.engine.lateness, default=0.0) / 1_000)


def _loops(supervisor: Supervisor, found: _Account) -> None:
    for name, figures in supervisor.figures().items():
        found.set("polyhost_loop_alive", figures["alive"], name)
        found.set("polyhost_loop_restarts_total", figures["restarts"], name)
        if figures["age_s"] is not None:
            found.set("polyhost_loop_age_seconds", figures["age_s"], name)


def _latencies(tally: Tally, found: _Account) -> None:
    # Copies: they are read by another thread, at its leisure.
    found.set("polyhost_tick_to_order_seconds", tally.tick_to_order.copy())
    found.set("polyhost_decision_to_order_seconds", tally.decision_to_order.copy())
    found.set("polyhost_exit_latency_seconds", tally.exit_latency.copy())
    found.set("polyhost_end_to_resolved_seconds", tally.end_to_resolved.copy())
    found.set("polyhost_resolved_to_released_seconds", tally.resolved_to_released.copy())
    found.set("polyhost_orphans_total", tally.watch.orphans)
    found.set("polyhost_unmanaged_expiries_total", tally.watch.unmanaged)


def _venue(account: AccountRun, found: _Account) -> None:
    engine, comparing = account.engine, account.kernel.reconciliation
    sweeps = engine.requests["Sweep"]
    scheduled = min(comparing.passes, sweeps)
    found.set("polyhost_comparisons_total", scheduled, "scheduled")
    found.set("polyhost_comparisons_total", sweeps - scheduled, "extra")
    found.set("polyhost_balances_doubted", comparing.doubted)
    found.each("polyhost_disconnects_total", {"market": 0, "user": 0} | engine.disconnects)
    if account.process is not None:
        _calls(account.process.calls, account.process.calls_refused, found)
    ages = {name.removesuffix("_ms"): ms for name, ms in comparing.ages().items()}
    found.each("polyhost_cache_age_seconds", {name: ms / 1_000 for name, ms in ages.items() if ms is not None})
    if (book := oldest_book(account)) is not None:
        found.set("polyhost_cache_age_seconds", book, "book")


def _calls(calls: Mapping[tuple[str, str], int], refused: int, found: _Account) -> None:
    for (endpoint, purpose), count in calls.items():
        found.set("polyhost_api_calls_total", count, endpoint, purpose)
    found.set("polyhost_api_calls_refused_total", refused)


def oldest_book(account: AccountRun) -> float | None:
    """Wall seconds since the oldest book of a running window changed; None: no window runs."""
    state, now = account.kernel.state, account.clock.now()
    ages = []
    for condition_id in account.kernel.followed():
        entry, book = state.markets[condition_id], account.kernel.book(condition_id)
        running = entry.market.start is None or entry.market.start <= now
        if book is not None and book.changed_at and entry.accepting and running and now < entry.market.end:
            ages.append(now - book.changed_at)
    return account.clock.wall_seconds(max(ages)) if ages else None


def _orders(tally: Tally, state: State, found: _Account) -> None:
    watch = tally.watch
    confirmed, failed = watch.trades()
    found.set("polyhost_orders_total", watch.sent)
    found.set("polyhost_orders_open", sum(len(refs) for refs in state.open_refs.values()))
    found.each("polyhost_rejects_total", watch.refused)
    found.each("polyhost_trades_total", {"confirmed": confirmed, "failed": failed})
    found.set("polyhost_pairs_total", watch.pairs)
    if confirmed + failed:
        found.set("polyhost_trade_success_ratio", confirmed / (confirmed + failed))
    if watch.pairs:
        found.set("polyhost_pair_rollback_ratio", watch.rolled_back / watch.pairs)


def _plugins(rows: Iterable[Mapping[str, Any]], found: _Account) -> None:
    for row in rows:
        found.set("polyhost_plugin_seconds_total", row["used_us"] / MICROS, row["name"])
        found.set("polyhost_plugin_evaluations_total", row["asked"], row["name"])
        found.set("polyhost_plugin_slowest_seconds", row["slowest_us"] / MICROS, row["name"])
        found.set("polyhost_plugin_errors_total", row["strikes"], row["name"])
        found.set("polyhost_plugin_running", row["state"] in RUNNING, row["name"])


def _money(tally: Tally, state: State, found: _Account) -> None:
    exposure, positions = Counter[str](), Counter[str]()
    for condition_id, amount in at_risk(state):
        exposure[symbol_of(state, condition_id)] += amount
    for symbol in _open(state):
        positions[symbol] += 1
    for symbol in tally.symbols:
        found.set("polyhost_exposure", exposure[symbol] / MICROS, symbol)
        found.set("polyhost_positions_open", positions[symbol], symbol)
        found.set("polyhost_pnl_realised", tally.pnl[symbol] / MICROS, symbol)
    for of in ("free", "reserved", "unredeemed"):
        found.set("polyhost_balance", state.balance(of) / MICROS, of)
    found.set("polyhost_pnl_day", state.day_pnl / MICROS)
    found.set("polyhost_fees_total", tally.fees / MICROS)


def _open(state: State) -> Iterator[str]:
    """The symbol of each position of an undecided market."""
    for condition_id in state.exposed:
        for side in ("UP", "DOWN"):
            position = state.positions.get(f"{condition_id}:{side}")
            if position is not None and position.size > 0:
                yield symbol_of(state, condition_id)
