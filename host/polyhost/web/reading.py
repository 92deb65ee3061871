"""Where the dashboard's picture comes from: the journal, the analysis data and the running host's status file.

Everything is read-only and bounded: no host waits for it, whatever happens here. Not for several threads at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import structs

from polyhost.journal import ANALYSIS_FILE, JOURNAL_FILE, JournalError
from polyhost.journal.following import Following, Row
from polyhost.journal.glances import Glance, course, latest
from polyhost.kernel.blocks import cause_of
from polyhost.kernel.funds import Funds as Tied
from polyhost.kernel.funds import Release, explained
from polyhost.model.money import price_text, size_text
from polyhost.model.times import moment_text
from polyhost.service import live_file
from polyhost.service.folder import running_pid
from polyhost.service.live_file import LIVE_OLD_S, Live
from polyhost.web.picture import (
    BlockSeen,
    ExitSeen,
    Funds,
    HostSeen,
    LoopSeen,
    Money,
    NoticeSeen,
    OrderSeen,
    Picture,
    PluginSeen,
    PositionSeen,
    WindowSeen,
)

SETTLED_SHOWN: Final = 8
"""Windows that settled last."""
UPCOMING_SHOWN: Final = 8
WINDOWS_MAX: Final = 40
CURVE_MAX: Final = 400
"""Points of the P&L curve that are shown."""
POINTS: Final = 300
"""Points of a window's chart, about."""
TOPMOST: Final = 100_000_000
"""A reference price's 1e-8."""
ONE: Final = 10_000
"""Ticks of 1.00."""
DAY_MS: Final = 86_400_000
"""A day (UTC)."""


class Reading:
    """One account's folder, looked at again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._journal = Following(folder / JOURNAL_FILE)
        self._glances: dict[str, Glance] = {}
        self._kept: tuple[int, dict[str, str], dict[str, str]] | None = None
        """(last record, blocks, quarantined plugins) of a journal that no host writes."""

    def look(self) -> Picture:
        """The picture of this moment. What cannot be read is said in it."""
        problem = ""
        pid = running_pid(self.folder)
        live = None if pid is None else live_file.newest(self.folder)
        try:
            self._journal.look()
            glances = latest(self.folder / ANALYSIS_FILE, self._undecided())
            self._glances = {**self._glances, **glances}
        except (JournalError, msgspec.DecodeError) as error:
            problem = str(error)
        run = self._journal.run
        live = live if pid is not None and live is not None and run is not None and live.run == run["run_id"] else None
        now = self._now(live)
        self._glances = {market: self._glances[market] for market in self._journal.markets if market in self._glances}
        try:
            blocks, quarantined = self._durable(pid, live)
        except JournalError as error:
            blocks, quarantined, problem = {}, {}, str(error)
        blocked = tuple(_block(name, reason) for name, reason in blocks.items())
        positions = tuple(self._positions(live))
        windows = tuple(self._windows(now, positions))
        return Picture(
            str(self.folder), time.time_ns() // 1_000_000, now, _host(pid, live, run, blocked), problem,
            self._funds(positions), self._money(now, positions), windows, positions,
            tuple(self._order(row, live) for row in self._journal.orders.values()),
            tuple(self._order(row, live) for row in reversed(self._journal.closed)), blocked,
            tuple(self._plugins(live, quarantined)), tuple(_loops(live)),
            tuple(_notice(row) for row in reversed(self._journal.notices)),
        )

    def course(self, condition_id: str, since: int = 0) -> list[Glance]:
        """A window's evaluations after ``since``, thinned to what a chart can show. Raises JournalError."""
        row = self._journal.markets.get(condition_id)
        if row is None:
            return []
        span = row["ends_at"] - (row["opens_at"] or row["added_at"])
        return course(self.folder / ANALYSIS_FILE, condition_id, since, max(span // POINTS, 1_000))

    # --- the journal --------------------------------------------------------------------------------------------------

    def _undecided(self) -> list[str]:
        """Markets whose prices may still change."""
        return [market for market, row in self._journal.markets.items() if row["settled_at"] is None]

    def _now(self, live: Live | None) -> int:
        if live is not None and live.market_ms:
            since = time.time() * 1_000 - live.wall
            return live.market_ms + round(min(max(since, 0), LIVE_OLD_S * 1_000) * live.speed)
        return max((self._journal.at, *(glance.at for glance in self._glances.values())))

    def _durable(self, pid: int | None, live: Live | None) -> tuple[dict[str, str], dict[str, str]]:
        """What blocks entries, and the quarantined plugins: as the host says, or, without one, as the journal does."""
        if live is not None:
            out = {row["name"]: row["problem"] for row in live.plugins if row["state"] == "quarantined"}
            return dict(live.blocks), out
        if pid is not None or self._journal.seq == 0:
            return {}, {}
        if self._kept is None or self._kept[0] != self._journal.seq:
            from polyhost.service.status import look

            state = look(self.folder).state
            self._kept = (self._journal.seq, {**state.blocked, **state.shut}, dict(state.quarantined))
        return self._kept[1], self._kept[2]

    def _slug(self, market: str) -> str:
        row = self._journal.markets.get(market)
        return market if row is None else str(row["slug"])

    # --- windows ------------------------------------------------------------------------------------------------------

    def _windows(self, now: int, positions: Iterable[PositionSeen]) -> list[WindowSeen]:
        busy = {each.condition_id for each in positions} | {row["market"] for row in self._journal.orders.values()}
        seen = [self._window(row, now, row["market"] in busy) for row in self._journal.markets.values()]
        phases: dict[str, list[WindowSeen]] = {"running": [], "ended": [], "upcoming": [], "settled": []}
        for window in seen:
            phases[window.phase].append(window)
        for windows in phases.values():
            windows.sort(key=lambda window: (window.ends_at, window.slug))
        shown = [
            *phases["running"], *phases["ended"], *phases["upcoming"][:UPCOMING_SHOWN],
            *phases["settled"][::-1][:SETTLED_SHOWN],
        ]
        return shown[:WINDOWS_MAX]

    def _window(self, row: Row, now: int, busy: bool) -> WindowSeen:
        market, glance = row["market"], self._glances.get(row["market"])
        if row["settled_at"] is not None:
            phase = "settled"
        elif row["ends_at"] <= now:
            phase = "ended"
        else:
            phase = "upcoming" if (row["opens_at"] or 0) > now else "running"
        strike = None if row["strike"] is None else row["strike"] / TOPMOST
        told = Glance(0) if glance is None else glance
        return WindowSeen(
            market, row["slug"], row["symbol"], row["opens_at"], row["ends_at"], phase, strike, told.spot, told.bid,
            told.ask, told.estimates, told.trading, told.gate, told.gate_text,
            (row["winner"] or "50-50") if phase == "settled" else None, self._journal.brought.get(market), busy,
        )

    # --- positions and orders -----------------------------------------------------------------------------------------

    def _positions(self, live: Live | None) -> list[PositionSeen]:
        found = []
        for (market, side), row in self._journal.positions.items():
            settled = self._journal.markets.get(market, {}).get("settled_at") is not None
            if row["size"] > 0 and not settled:
                found.append(self._position(market, side, row, live))
        return found

    def _position(self, market: str, side: str, row: Row, live: Live | None) -> PositionSeen:
        paid, bought, size = row["cost"] + row["entry_fees"], row["bought"] or 1, row["size"]
        bid = _bid(self._glances.get(market), side)
        exits = tuple(
            ExitSeen(order["ref"], order["price"], order["size"] - order["matched"])
            for order in self._journal.orders.values()
            if (order["market"], order["side"], order["action"]) == (market, side, "SELL")
        )
        cover, reason = _cover(row, exits, None if live is None else live.coverage.get(f"{market}:{side}"))
        return PositionSeen(
            market, self._slug(market), side, size, -(-paid * ONE // bought), -(-paid * size // bought), bid,
            None if bid is None else size * bid // ONE, cover, reason, None if row["met"] else row["due"], exits,
        )

    def _order(self, row: Row, live: Live | None) -> OrderSeen:
        try:
            plugin = str(msgspec.json.decode(row["why"]).get("plugin", ""))
        except (msgspec.DecodeError, AttributeError):
            plugin = ""
        return OrderSeen(
            row["ref"], self._slug(row["market"]), row["side"], row["purpose"], row["action"], row["order_type"],
            row["price"], row["size"], row["matched"], row["state"], row["cause"], row["moved_at"],
            None if live is None else live.scoring.get(row["ref"]), plugin,
        )

    # --- money --------------------------------------------------------------------------------------------------------

    def _funds(self, positions: tuple[PositionSeen, ...]) -> Funds:
        journal = self._journal
        free, orders, unredeemed = (journal.balance(name) for name in ("free", "reserved", "unredeemed"))
        cost = sum(position.cost for position in positions)
        told = [
            Release("redeeming decided markets", unredeemed, "polyhost redeem"),
            Release("merging UP and DOWN of one market", self._mergeable(positions), "polyhost merge"),
        ]
        tied = Tied(free, orders, cost, unredeemed, len(positions), tuple(each for each in told if each.amount > 0))
        return Funds(free, orders, cost, unredeemed, explained(tied) if journal.seq else "")

    def _mergeable(self, positions: Iterable[PositionSeen]) -> int:
        """Collateral in pairs of settled shares of undecided markets."""
        settled = self._journal.ledger
        markets = {position.condition_id for position in positions}
        return sum(
            max(min(settled.get(("settled", f"{market}:{side}"), 0) for side in ("UP", "DOWN")), 0)
            for market in markets
        )

    def _money(self, now: int, positions: tuple[PositionSeen, ...]) -> Money:
        journal = self._journal
        cash = sum(journal.balance(name) for name in ("free", "reserved", "unredeemed"))
        worth = sum(each.cost if each.worth is None else each.worth for each in positions)
        midnight = now - now % DAY_MS
        today = sum(pnl for at, pnl, _ in journal.closes if at >= midnight)
        return Money(
            cash + worth, journal.pnl, today, worth - sum(each.cost for each in positions), _thinned(self._curve())
        )

    def _curve(self) -> list[tuple[int, int]]:
        journal = self._journal
        total = journal.pnl - sum(pnl for _, pnl, _ in journal.closes)
        points: list[tuple[int, int]] = []
        if journal.run is not None:
            began = int(journal.run["started_at"])
            points.append((min(began, journal.closes[0][0]) if journal.closes else began, total))
        for at, pnl, _ in journal.closes:
            total += pnl
            points.append((at, total))
        return points

    # --- plugins ------------------------------------------------------------------------------------------------------

    def _plugins(self, live: Live | None, quarantined: Mapping[str, str]) -> list[PluginSeen]:
        """Of the running host; without one as the last host left them, and nothing of them runs."""
        if live is not None:
            return [_plugin(row) for row in live.plugins]
        last = live_file.read(self.folder)
        rows = [] if last is None else [_plugin(row) for row in last.plugins]
        return [
            structs.replace(
                row, state="quarantined" if row.name in quarantined else (
                    row.state if row.state in ("disabled", "refused") else "not running"
                ), problem=quarantined.get(row.name, ""),
            )
            for row in rows
        ]


def _host(pid: int | None, live: Live | None, run: Row | None, blocks: tuple[BlockSeen, ...]) -> HostSeen:
    word, text = _state(pid, live, run, blocks)
    given = {"run_id": "", "mode": "", "account": "", "version": ""} if run is None else run
    return HostSeen(
        word, text, pid is not None, pid or 0, given["run_id"], given["mode"], given["account"], given["version"],
        1.0 if live is None else live.speed,
    )


def _state(pid: int | None, live: Live | None, run: Row | None, blocks: tuple[BlockSeen, ...]) -> tuple[str, str]:
    if pid is None:
        if run is None:
            return "never", "Nothing was ever run here. Start a host with `polyhost run`."
        if run["ended_at"] is None:
            return "killed", "No host runs; the last one did not end properly. This is what its journal says."
        ended = f"{moment_text(run['ended_at'])} UTC by {run['end_reason']}"
        return "ended", f"No host runs; the last one ended {ended}. This is what its journal says."
    if live is None:
        return "starting", "A host runs, and has said nothing of itself yet."
    if live.age_s > LIVE_OLD_S:
        return "stuck", f"No sign of life of the host for {live.age_s:.0f} s."
    if live.sealed:
        return "sealed", f"Sealed, nothing is entered any more: {live.sealed}"
    if any(block.name == "ending" for block in blocks):
        return "stopping", "The host is ending its run."
    if blocks:
        return "blocked", "New entries are off; exits go on."
    if not live.ready:
        return "blocked", "The host is not ready: a safety loop is not alive, or it is stopping."
    return "trading", "The host trades."


def _block(name: str, reason: str) -> BlockSeen:
    cause = cause_of(name)
    return BlockSeen(name, reason, cause.clears.replace("NAME", name), cause.lasting)


def _bid(glance: Glance | None, side: str) -> int | None:
    """What a sale of a side gets, ticks."""
    if glance is None:
        return None
    if side == "UP":
        return glance.bid
    return None if glance.ask is None else ONE - glance.ask


def _cover(row: Row, exits: tuple[ExitSeen, ...], told: tuple[str, str] | None) -> tuple[str, str]:
    """As the running host says it, else as the journal shows it: (word, reason)."""
    resting = ", ".join(f"{each.ref} sells {size_text(each.size)} at {price_text(each.price)}" for each in exits)
    if told is not None:
        word, reason = told
        return word, reason or resting
    if row["held_kind"] is not None and row["met"] == "held":
        return "held", row["held_reason"] or row["held_kind"]
    if sum(each.size for each in exits) >= row["size"]:
        return "covered", resting
    if row["due"] is None or row["met"]:
        return ("open", resting) if exits else ("unmanaged", "neither exit nor obligation")
    return "open", resting or "no exit rests"


def _thinned(points: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """At most CURVE_MAX of them, the last one always."""
    step = -(-len(points) // CURVE_MAX) or 1
    return tuple(points[(len(points) - 1) % step::step])


def _plugin(row: Mapping[str, Any]) -> PluginSeen:
    asked, used = int(row.get("asked", 0)), int(row.get("used_us", 0))
    return PluginSeen(
        str(row["name"]), str(row["state"]), int(row.get("strikes", 0)), asked, used // asked if asked else 0,
        int(row.get("slowest_us", 0)), str(row.get("problem", "")),
    )


def _loops(live: Live | None) -> list[LoopSeen]:
    return [] if live is None else [
        LoopSeen(
            name, bool(told["alive"]), bool(told["safety"]), told["age_s"], told["limit_s"], told["restarts"],
            told["reason"],
        )
        for name, told in live.loops.items()
    ]


def _notice(row: Row) -> NoticeSeen:
    return NoticeSeen(row["at"], row["level"], row["topic"], row["text"])
