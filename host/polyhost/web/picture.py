"""What the dashboard shows, as plain data: one ``Picture`` of one account at one moment.

Money and sizes are micro-units, prices ticks (1e-4), times ms UTC of market time unless a field says otherwise;
probabilities and reference prices are floats, being opinions and their input.
"""

from __future__ import annotations

from msgspec import Struct

from polyhost.journal.glances import Opinion


class HostSeen(Struct, frozen=True):
    """Whether a host runs on the folder, and how it fares."""

    word: str
    """trading, blocked (no new entries), starting, stopping, sealed, stuck, ended, killed or never."""
    text: str
    """The same in a sentence."""
    running: bool
    pid: int
    """0: none, or not known."""
    run: str
    mode: str
    account: str
    version: str
    speed: float


class Funds(Struct, frozen=True):
    """Where the collateral is."""

    free: int
    in_orders: int
    in_positions: int
    """At cost, fees included."""
    unredeemed: int
    explanation: str
    """Why little is free; empty: enough is."""


class Money(Struct, frozen=True):
    """What it brought so far."""

    equity: int
    """Cash, unredeemed payouts, and open positions at what a sale would bring now (at cost where nobody bids)."""
    realised: int
    """Of all closed positions, fees included."""
    today: int
    """The same of this day, UTC."""
    unrealised: int
    curve: tuple[tuple[int, int], ...]
    """(time, realised so far): at the begin, and after each closed position, oldest first."""


class WindowSeen(Struct, frozen=True):
    condition_id: str
    slug: str
    symbol: str
    opens_at: int | None
    ends_at: int
    phase: str
    """running, upcoming, ended (no result yet) or settled."""
    strike: float | None
    spot: float | None
    bid: int | None
    ask: int | None
    estimates: dict[str, Opinion]
    trading: str
    """The combiner that trades."""
    gate: str
    gate_text: str
    winner: str | None
    """UP, DOWN or 50-50; None: not settled."""
    pnl: int | None
    """Of what was closed in it; None: nothing was."""
    busy: bool
    """A position or an order is open in it."""


class ExitSeen(Struct, frozen=True):
    ref: str
    price: int
    size: int


class PositionSeen(Struct, frozen=True):
    condition_id: str
    slug: str
    side: str
    size: int
    average: int
    """Entry price with fees, ticks."""
    cost: int
    bid: int | None
    worth: int | None
    """At the best bid; None: nobody bids."""
    cover: str
    """covered, held, closing, open, or unmanaged."""
    reason: str
    due: int | None
    """By then it is closed or declared held."""
    exits: tuple[ExitSeen, ...]


class OrderSeen(Struct, frozen=True):
    ref: str
    slug: str
    side: str
    purpose: str
    action: str
    kind: str
    price: int
    size: int
    matched: int
    state: str
    cause: str
    at: int
    """When it was wanted, or ended."""
    scoring: bool | None
    plugin: str


class PluginSeen(Struct, frozen=True):
    name: str
    state: str
    strikes: int
    asked: int
    mean_us: int
    slowest_us: int
    problem: str

    @property
    def words(self) -> tuple[str, ...]:
        """What may be said about it."""
        if self.state == "quarantined":
            return ("release", "disable")
        if self.state == "disabled":
            return ("enable",)
        return ("accept", "disable") if self.state == "refused" else ("disable",)


class BlockSeen(Struct, frozen=True):
    name: str
    reason: str
    clears: str
    lasting: bool
    """Until an operator's resume."""


class LoopSeen(Struct, frozen=True):
    name: str
    alive: bool
    safety: bool
    age_s: float | None
    limit_s: float
    restarts: int
    reason: str


class NoticeSeen(Struct, frozen=True):
    at: int
    level: str
    topic: str
    text: str


class Picture(Struct, frozen=True):
    """One account at one moment."""

    folder: str
    wall: int
    """When it was made, wall ms."""
    now: int
    """Market ms; 0: nothing was ever run."""
    host: HostSeen
    problem: str = ""
    """Why something could not be read; what is shown then is as it was last."""
    funds: Funds = Funds(0, 0, 0, 0, "")
    money: Money = Money(0, 0, 0, 0, ())
    windows: tuple[WindowSeen, ...] = ()
    positions: tuple[PositionSeen, ...] = ()
    orders: tuple[OrderSeen, ...] = ()
    """Open ones."""
    ended: tuple[OrderSeen, ...] = ()
    """Those that ended last, the latest first."""
    blocks: tuple[BlockSeen, ...] = ()
    plugins: tuple[PluginSeen, ...] = ()
    loops: tuple[LoopSeen, ...] = ()
    notices: tuple[NoticeSeen, ...] = ()
    """The latest first."""

    @property
    def paused(self) -> bool:
        """The operator's pause, a kill or a breaker keeps new entries off until a resume."""
        return any(block.lasting for block in self.blocks)

    def knows_order(self, ref: str) -> bool:
        return any(order.ref == ref for order in (*self.orders, *self.ended))

    def knows_window(self, slug: str) -> bool:
        return any(window.slug == slug for window in self.windows)

    def knows_position(self, slug: str, side: str) -> bool:
        return any((each.slug, each.side) == (slug, side) for each in self.positions)
