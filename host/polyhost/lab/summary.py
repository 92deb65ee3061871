"""The summary of a run: one JSON object, built from what is durably true. ``run`` and ``backtest`` share its shape.

Money is shown as decimal strings with six places, times are ms UTC. Whatever may differ between two equal runs is under
``wall`` and nowhere else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, field

from polyhost import __version__
from polyhost.kernel.kernel import Kernel
from polyhost.kernel.state import MarketState, State
from polyhost.lab.builders import builder_line
from polyhost.model.money import Micros, money_text
from polyhost.model.times import day_text
from polyhost.model.words import TradeStatus

SIDES = ("UP", "DOWN")


class Extras(Struct):
    """What the durable state does not hold; the driver gathers it."""

    evaluations: int = 0
    orphans: int = 0
    """Live orders of ours at the venue that nobody wants."""
    gates: dict[str, dict[str, int]] = field(default_factory=dict)
    """Condition id → first failed gate → how often."""
    answers: dict[str, int] = field(default_factory=dict)
    strikes: dict[str, int] = field(default_factory=dict)
    vetoes: dict[str, int] = field(default_factory=dict)
    checked: int = 0
    """Invariants checked, each time counted."""
    broken: list[str] = field(default_factory=list)
    config_hash: str = ""
    builder: dict[str, Any] | None = None
    """The builder code and what it cost; None: none."""
    wall: dict[str, Any] = field(default_factory=dict)


def gather(kernel: Kernel, extras: Extras) -> Extras:
    """Take the kernel's own counters."""
    extras.evaluations = kernel.evaluations
    extras.answers, extras.strikes, extras.vetoes = kernel.answers, kernel.strikes, kernel.vetoes
    return extras


def summary(state: State, extras: Extras) -> dict[str, Any]:
    """The whole object. ``windows`` counts settled ones, ``unsettled`` those without a result (out of P&L)."""
    markets = list(state.markets.values())
    cash_start = -state.balance("deposit")
    unredeemed = state.balance("unredeemed")
    cash_end = state.balance("free") + state.balance("reserved") + unredeemed
    central = sum(pnl for market in markets if (pnl := market_pnl(state, market)) is not None)
    fees = sum(amount for key, amount in state.ledger.items() if key.startswith("fees:"))
    names = sorted(set(extras.broken))
    return {
        "windows": sum(market.settled for market in markets),
        "unsettled": sum(not market.settled for market in markets),
        "evaluations": extras.evaluations,
        "orders": len(state.orders),
        "fills": _fills(state),
        "positions_open": len(_open_positions(state)),
        "orphans": extras.orphans,
        "cash_start": money_text(cash_start),
        "cash_end": money_text(cash_end),
        "fees": money_text(fees),
        "rewards": money_text(-state.balance("rewards")),
        "earned": earned_rows(state),
        "pnl": {"central": money_text(central)},
        "by_window": [_window(state, market, extras.gates) for market in markets],
        "by_plugin": _plugins(extras),
        "invariants": {"checked": extras.checked, "broken": len(names), "broken_names": names},
        "unredeemed": money_text(unredeemed),
        "held": dict(sorted(Counter(each.held for each in state.positions.values() if each.held).items())),
        "assumed": _assumed(markets),
        "version": __version__,
        "config_hash": extras.config_hash,
        "builder": extras.builder,
        "wall": extras.wall,
    }


def earned_rows(state: State) -> list[dict[str, Any]]:
    """What each day (UTC) and market brought in liquidity rewards and maker rebates, as the venue tells it.

    Earned, whether or not it is paid: ``rewards`` of the summary is what was paid.
    """
    rows = []
    for key, (rewards, rebates) in state.earned.items():
        day, _, condition_id = key.partition(":")
        entry = state.markets.get(condition_id)
        rows.append({
            "day": day_text(int(day)), "slug": None if entry is None else entry.market.slug,
            "condition_id": condition_id, "rewards": money_text(rewards), "rebates": money_text(rebates),
        })
    return rows


def earned_by_day(state: State) -> dict[str, dict[str, str]]:
    """The same summed by day, oldest first."""
    days: dict[int, tuple[Micros, Micros]] = {}
    for key, (rewards, rebates) in state.earned.items():
        day = int(key.partition(":")[0])
        before = days.get(day, (0, 0))
        days[day] = (before[0] + rewards, before[1] + rebates)
    return {
        day_text(day): {"rewards": money_text(rewards), "rebates": money_text(rebates)}
        for day, (rewards, rebates) in sorted(days.items())
    }


def _fills(state: State) -> int:
    """Trades of ours that did not fail."""
    statuses = (*(entry.status for entry in state.fills.values()), *state.final.values())
    return sum(status is not TradeStatus.FAILED for status in statuses)


def market_pnl(state: State, market: MarketState) -> Micros | None:
    """What a market brought, fees included; None while shares of it are open."""
    condition_id = market.market.condition_id
    for side in SIDES:
        asset = f"{condition_id}:{side}"
        if state.balance("settled", asset) or state.balance("in_flight", asset):
            return None
    return -state.balance(f"market:{condition_id}") - state.balance(f"fees:{condition_id}")


def _open_positions(state: State) -> list[str]:
    """Positions that hold shares of an undecided market."""
    return [
        key for key, position in state.positions.items()
        if position.size > 0 and not state.markets[position.condition_id].settled
    ]


def _window(state: State, market: MarketState, gates: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    condition_id = market.market.condition_id
    pnl = market_pnl(state, market)
    outcome = None
    if market.settled:
        outcome = market.winner.value if market.winner is not None else "50-50"
    return {
        "slug": market.market.slug,
        "condition_id": condition_id,
        "outcome": outcome,
        "strike": market.strike,
        "final": market.final,
        "entries": market.entries,
        "exits": market.exits,
        "pnl": None if pnl is None else money_text(pnl),
        "fees": money_text(state.balance(f"fees:{condition_id}")),
        "first_failed_gate": None if market.entries else _usual(gates.get(condition_id, {})),
    }


def _usual(gates: Mapping[str, int]) -> str | None:
    """The gate that failed most often; of equals the one that failed first."""
    return max(gates, key=lambda name: gates[name]) if gates else None


def _plugins(extras: Extras) -> dict[str, dict[str, int]]:
    names = sorted({*extras.answers, *extras.strikes, *extras.vetoes})
    return {
        name: {
            "answers": extras.answers.get(name, 0),
            "strikes": extras.strikes.get(name, 0),
            "vetoes": extras.vetoes.get(name, 0),
        }
        for name in names
    }


def _assumed(markets: Iterable[MarketState]) -> dict[str, int]:
    """Fields that the source did not state → in how many markets a documented default stood in."""
    return dict(sorted(Counter(name for market in markets for name in market.market.assumed).items()))


def text_lines(report: Mapping[str, Any]) -> list[str]:
    """The summary for people: one line a window, then the totals."""
    lines = [_window_text(window) for window in report["by_window"]]
    wall = report["wall"]
    broken = ", ".join(report["invariants"]["broken_names"]) or "none"
    lines += [
        f"windows {report['windows']} settled, {report['unsettled']} unsettled; evaluations {report['evaluations']}",
        f"orders {report['orders']}, fills {report['fills']}, open positions {report['positions_open']}",
        f"orphans {report['orphans']}, held {report['held']}, assumed {report['assumed']}",
        f"cash {report['cash_start']} -> {report['cash_end']}, P&L {_pnl_text(report['pnl'])}, fees {report['fees']}",
        f"rewards paid {report['rewards']}, earned in {len(report['earned'])} markets and days",
        f"invariants broken: {broken}",
    ]
    if report["builder"] is not None:
        lines.append(builder_line(report["builder"]))
    if len(report["pnl"]) > 1:
        lines.append(report["evidence"])
    if "events_per_s" in wall:
        lines.append(f"{wall['events_per_s']} events/s, {wall['duration_s']} s")
    return lines


def _pnl_text(pnl: Mapping[str, str]) -> str:
    if len(pnl) == 1:
        return pnl["central"]
    return ", ".join(f"{name} {amount}" for name, amount in pnl.items())


def _window_text(window: Mapping[str, Any]) -> str:
    if window["pnl"] is None:
        result = "open"
    elif window["entries"]:
        result = f"entries {window['entries']}, exits {window['exits']}, P&L {window['pnl']}"
    else:
        result = f"no entry ({window['first_failed_gate'] or 'never evaluated'})"
    return f"{window['slug']}: {window['outcome'] or 'unsettled'}, {result}"
