"""What an operator sees on a terminal while the host runs: windows, positions, orders, P&L, the last lines."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from loguru import logger
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from polyhost.kernel.state import MarketState
from polyhost.lab.summary import market_pnl
from polyhost.model.money import money_text, price_text, size_text
from polyhost.model.times import moment_text
from polyhost.model.words import Side
from polyhost.service.account import AccountRun
from polyhost.service.session import Session
from polyhost.service.status import open_orders, open_positions

if TYPE_CHECKING:
    from loguru import Message

REFRESH_S: Final = 0.25
LINES_MAX: Final = 12
LINES_MIN: Final = 3
"""Log lines shown: as many as the terminal has room for, between these."""
ROWS_MAX: Final = 12
ROWS_MIN: Final = 2
"""Rows of one table: more would push the others off the screen."""
HEAD: Final = 5
"""Lines of an account's head, one more than it has while it does not wrap."""
TABLES: Final = 6
"""Titles and columns of an account's tables."""
LOG_FRAME: Final = 3
"""The frame of the log, and the cursor."""
_STYLES: Final = {"WARNING": "yellow", "ERROR": "bold red", "CRITICAL": "bold red"}


class Said(NamedTuple):
    """A line of the log."""

    level: str
    text: str


async def shown(session: Session, console: Console | None = None) -> dict[str, Any]:
    """Run the session with a live view; returns its summary."""
    lines: deque[Said] = deque(maxlen=LINES_MAX)

    def keep(message: Message) -> None:
        lines.append(Said(message.record["level"].name, str(message).rstrip()))

    sink = logger.add(keep, level="INFO", format="{time:HH:mm:ss!UTC} {message}", diagnose=False)
    try:
        with Live(Text("starting …"), console=console, auto_refresh=False) as live:
            task = asyncio.ensure_future(session.run())
            try:
                while not task.done():
                    await asyncio.wait({task}, timeout=REFRESH_S)
                    live.update(screen(session.accounts, list(lines), live.console.height), refresh=True)
                return await task
            finally:
                if not task.done():
                    task.cancel()
    finally:
        logger.remove(sink)


def screen(accounts: Sequence[AccountRun], lines: list[Said], height: int) -> Group:
    """The whole view of this moment, at most ``height`` lines when the terminal has at least two dozen.

    Of several accounts each has its head; below are windows, positions and orders of those there is room for.
    """
    begun = [account for account in accounts if hasattr(account, "engine")]
    if not begun:
        return Group(Text("starting …"), _log(lines))
    room = height - LINES_MIN - LOG_FRAME - HEAD * len(begun)
    shown = begun[: max(1, room // (TABLES + 3 * ROWS_MIN))]
    rows = max(ROWS_MIN, min(ROWS_MAX, (room // len(shown) - TABLES) // 3))
    tables = [table(account, rows) for account in shown for table in (_windows, _positions, _orders)]
    used = LOG_FRAME + HEAD * len(begun) + TABLES * len(shown) + sum(table.row_count for table in tables)
    heads = [_head(account) for account in begun]
    return Group(*heads, *tables, _log(lines[-max(LINES_MIN, height - used) :]))


def _head(account: AccountRun) -> Panel:
    kernel, state = account.kernel, account.kernel.state
    cash = state.balance("free") + state.balance("reserved") + state.balance("unredeemed")
    start = -state.balance("deposit")
    done = sum(pnl for entry in state.markets.values() if (pnl := market_pnl(state, entry)) is not None)
    now = moment_text(account.clock.now())
    wanted = "" if account.windows is None else f" of {account.windows}"
    blocks = ", ".join(name for name, _ in kernel.blocks()) or "open"
    text = Text.assemble(
        (f"{now} UTC (market)", "bold"), f"  speed {account.clock.speed:g}  windows {account.settled_here}{wanted}",
        f"  evaluations {kernel.evaluations}  entries {blocks}\n",
        f"cash {money_text(cash)[:-4]} (start {money_text(start)[:-4]})  at risk {money_text(kernel.at_risk())[:-4]}  ",
        "realised P&L ", (money_text(done)[:-4], "green" if done >= 0 else "red"),
    )
    return Panel(text, title=f"polyhost · {_named(account)} · {account.run_id}", title_align="left")


def _named(account: AccountRun) -> str:
    mode = account.settings.host.mode
    return f"{mode} · {account.label}" if account.label else mode


def _windows(account: AccountRun, rows: int) -> Table:
    table = _table("Windows", "window", "left", "UP bid/ask", "strike", "estimate", "gate", "P&L")
    state = account.kernel.state
    now = account.clock.now()
    entries = [entry for entry in state.markets.values() if _running(entry, now)]
    for entry in entries[-rows:]:
        data = account.kernel.data(entry.market.condition_id)
        book = "-" if data is None or not data.book.ready else (
            f"{price_text(data.book.best_bid)}/{price_text(data.book.best_ask)}"
        )
        estimate = "-"
        gate = ""
        if data is not None:
            if data.estimate is not None:
                estimate = f"{data.estimate.p_up:.3f} {data.estimate.bias.value} {data.estimate.confidence:.2f}"
            gate = max(data.gates, key=lambda name: data.gates[name]) if data.gates else ""
        pnl = market_pnl(state, entry)
        table.add_row(
            entry.market.slug, f"{max(entry.market.end - now, 0) // 1_000} s", book,
            "-" if entry.strike is None else f"{entry.strike / 1e8:,.2f}", estimate, gate[:34],
            "open" if pnl is None else money_text(pnl)[:-4],
        )
    _more(table, len(entries), rows)
    return table


def _running(entry: MarketState, now: int) -> bool:
    return not entry.settled and (entry.market.start or 0) <= now


def _positions(account: AccountRun, rows: int) -> Table:
    table = _table("Positions", "window", "side", "size", "average", "bid", "exit", "state")
    state = account.kernel.state
    held = open_positions(state)
    for position in held[-rows:]:
        entry = state.markets[position.condition_id]
        data = account.kernel.data(position.condition_id)
        bid = data.book.best(position.side)[0] if data is not None else 0
        plan = None if data is None else data.exits.get(position.side)
        exit_text = "-"
        status = f"held ({position.held})" if position.held else ""
        if plan is not None:
            if plan.urgent is not None:
                exit_text = f"now: {plan.urgent.reason}"
            elif plan.target is not None:
                exit_text = f"target {price_text(plan.target.price)}"
            status = status or plan.waiting
        table.add_row(
            entry.market.slug, position.side.value, size_text(position.size), price_text(position.average),
            price_text(bid), exit_text[:40], status[:44], style="green" if position.side is Side.UP else "magenta",
        )
    return table


def _orders(account: AccountRun, rows: int) -> Table:
    table = _table("Orders", "order", "window", "what", "matched", "state")
    state = account.kernel.state
    orders = open_orders(state)
    for order in orders[-rows:]:
        draft, slot = order.draft, order.slot
        table.add_row(
            f"{order.ref} {slot.purpose.value}", state.markets[slot.condition_id].market.slug,
            f"{draft.action.value} {size_text(draft.size)} {slot.side.value} at {price_text(draft.price)} "
            f"{draft.order_type.value}", size_text(order.done), order.state.value,
        )
    _more(table, len(orders), rows)
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", expand=True, pad_edge=False, box=None)
    for column in columns:
        table.add_column(column, no_wrap=True, overflow="ellipsis")
    return table


def _more(table: Table, count: int, rows: int) -> None:
    if count > rows:
        table.title = f"{table.title} (the last {rows} of {count})"


def _log(lines: list[Said]) -> Panel:
    text = Text("\n", no_wrap=True, overflow="ellipsis").join(
        Text(line.text, style=_STYLES.get(line.level, "")) for line in lines
    )
    text.no_wrap, text.overflow = True, "ellipsis"
    return Panel(text, title="Log", title_align="left")
