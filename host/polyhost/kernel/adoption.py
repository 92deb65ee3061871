"""What the wallet holds when the host starts: settled, adopted or named, before new entries (POS-04).

The venue's count of positions is read once the trades are compared, so that nothing of ours is taken for somebody
else's. What we do not know in a market of the configured series is adopted, if its balance says the same; the rest is
*foreign* (OPS-06): told once, counted in exposure, never managed. While the host runs nothing is adopted any more.
"""

from __future__ import annotations

from typing import Final

from polyhost.kernel import ledger
from polyhost.kernel.core import Core
from polyhost.kernel.orders_flow import OrderFlow
from polyhost.model.commands import FindMarket, QueryPositions
from polyhost.model.events import PositionsSeen, TokenBalanceSeen
from polyhost.model.gateway import PositionRow
from polyhost.model.market import Market
from polyhost.model.money import ONE, Micros, money_text, price_text, size_text
from polyhost.model.records import ForeignSeen, PositionAdopted
from polyhost.model.series import DURATIONS

POSITIONS_RETRY_MS: Final = 5_000
"""The venue's count of positions is asked for again after this, wall ms, until it comes back whole."""
CHECK_MS: Final = 3_000
"""What is to be adopted is looked at again after this, wall ms: its market, its balance."""
CHECKS_MAX: Final = 5
"""After so many looks it is foreign."""
CANDIDATES_MAX: Final = 50
"""More positions than this are not looked up at a start: the others are foreign."""


class Adoption:
    """Goes through the wallet once at the start, and names what appears later."""

    def __init__(self, core: Core, flow: OrderFlow) -> None:
        self.core = core
        self.flow = flow
        self.ignored: dict[str, str] = {}
        """Token id → why a row of the venue's count is neither ours nor foreign."""
        self._rows: tuple[PositionRow, ...] | None = None
        self._candidates: dict[str, PositionRow] = {}
        self._looks = 0

    # --- the start ----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """A run begins: entries wait until the wallet is gone through."""
        self.core.adopting = "what the wallet holds is not gone through yet"
        self._rows = None
        self._candidates.clear()
        self._ask()

    def again(self) -> None:
        """No whole count of the positions came."""
        if self._rows is None:
            self._ask()

    def _ask(self) -> None:
        self.core.command(QueryPositions(self.core.wall))
        self.core.at_wall(self.core.wall + POSITIONS_RETRY_MS, "positions", "")

    def positions_seen(self, event: PositionsSeen) -> None:
        """The venue's count of what the wallet holds."""
        if not event.complete:
            self.core.notice(
                "positions_torn", "",
                f"The venue's count of positions is not whole: {event.problem}",
            )
            return
        if not self.core.adopting:
            self._name_all(event.rows, "appeared while the host was running")
        elif self._rows is None:
            self._rows = event.rows
            self.compared()

    def compared(self) -> None:
        """Trades and orders are compared, or the positions came: with both the wallet is gone through."""
        core = self.core
        if not core.adopting or self._rows is None or core.reconciling or not core.user_up or self._candidates:
            return
        adopts = core.settings.safety.adopt and not core.shadow
        if adopts:
            strangers = [row for row in self._rows if self._stranger(row) and self._why_not(row) == ""]
            self._candidates = {row.token_id: row for row in strangers[:CANDIDATES_MAX]}
        why = "too many at once" if adopts else "a shadow account manages nothing" if core.shadow else (
            "not to be adopted by setting"
        )
        self._name_all(self._rows, why, self._candidates)
        self._looks = 0
        self._look()

    def look(self) -> None:
        """The next look at what is to be adopted."""
        if self._candidates:
            self._look()

    def _look(self) -> None:
        core = self.core
        self._looks += 1
        for row in list(self._candidates.values()):
            entry = core.market(row.condition_id)
            if self._looks > CHECKS_MAX:
                why = "its market was not found" if entry is None else "its balance says otherwise"
                self._give_up(row, why)
            elif entry is None:
                core.command(FindMarket(row.condition_id, row.slug))
            else:
                core.ask_balance(row.token_id)
        if self._candidates:
            core.adopting = f"{len(self._candidates)} positions of the wallet are looked at"
            core.at_wall(core.wall + CHECK_MS, "adopt", "")
        else:
            core.adopting = ""

    def wants(self, market: Market) -> bool | None:
        """Whether to follow a market that was found: None when nobody here asked for it.

        True: something in it is to be adopted, even after its end. False: it was looked up for that and is not of the
        configured series.
        """
        rows = [row for row in self._candidates.values() if row.condition_id == market.condition_id]
        if not rows:
            return None
        if self._configured(market):
            return True
        for row in rows:
            self._give_up(row, "not in a market of the configured series")
        return False

    def found(self, condition_id: str) -> None:
        """Its market is followed now: its balance is the second witness."""
        for row in self._candidates.values():
            if row.condition_id == condition_id:
                self.core.ask_balance(row.token_id)

    def balance_seen(self, event: TokenBalanceSeen) -> None:
        """The balance of what is to be adopted: it must say the same."""
        row = self._candidates.get(event.token_id)
        entry = None if row is None else self.core.market(row.condition_id)
        if row is None or entry is None or event.balance != row.size:
            return
        side = entry.market.side_of(row.token_id)
        if entry.settled or side is None:
            self._give_up(row, "its market is decided" if entry.settled else "not a token of its market")
            return
        core = self.core
        cost = -(-row.size * row.average // ONE) + row.fees
        asset = f"{row.condition_id}:{side.value}"
        core.record(PositionAdopted(core.now, row.condition_id, side, row.token_id, row.size, cost, "positions"))
        core.record(ledger.adoption(core.now, row.condition_id, asset, row.size, cost))
        self.flow.oblige(row.condition_id, side)
        core.notice(
            "adopted", row.token_id,
            f"{size_text(row.size)} {side.value} at {price_text(row.average)} were there before us and are managed "
            "from here on", row.condition_id,
        )
        self._done(row.token_id)

    def _give_up(self, row: PositionRow, why: str) -> None:
        self._foreign(row, why)
        self._done(row.token_id)

    def _done(self, token_id: str) -> None:
        self._candidates.pop(token_id, None)
        if not self._candidates:
            self.core.adopting = ""

    # --- whose it is --------------------------------------------------------------------------------------------------

    def _stranger(self, row: PositionRow) -> bool:
        """Nothing of ours ever touched this token: no order, no position, no split."""
        state = self.core.state
        if row.size <= 0 or any(order.draft.token_id == row.token_id for order in state.orders.values()):
            return False
        if any(action.condition_id == row.condition_id for action in state.actions.values()):
            return False
        return not any(position.token_id == row.token_id for position in state.positions.values())

    def _why_not(self, row: PositionRow) -> str:
        """What forbids adopting a stranger; empty: nothing."""
        entry = self.core.market(row.condition_id)
        if row.resolved or (entry is not None and entry.settled):
            return "its market is decided"
        if row.average <= 0:
            return "its cost is not told"
        if entry is not None and not self._configured(entry.market):
            return "not in a market of the configured series"
        return ""

    def _configured(self, market: Market) -> bool:
        markets = self.core.settings.markets
        durations = {DURATIONS[name] for name in markets.durations}
        return market.slug in markets.slugs or (market.symbol in markets.symbols and market.duration_s in durations)

    # --- what is not ours ---------------------------------------------------------------------------------------------

    def _name_all(
        self, rows: tuple[PositionRow, ...], why: str, besides: dict[str, PositionRow] | None = None
    ) -> None:
        """Each row is ours, decided, to be adopted, or foreign; what was foreign and is gone is forgotten."""
        here = set()
        for row in rows:
            if not self._stranger(row) or (besides and row.token_id in besides):
                continue
            reason = self._why_not(row)
            if reason == "its market is decided":
                self.ignored[row.token_id] = reason
                continue
            here.add(row.token_id)
            self._foreign(row, reason or why)
        for token_id, entry in list(self.core.state.foreign.items()):
            if token_id not in here and not (besides and token_id in besides):
                self.core.record(
                    ForeignSeen(self.core.now, token_id, entry.condition_id, entry.slug, 0, 0, "it is gone")
                )

    def _foreign(self, row: PositionRow, why: str) -> None:
        """OPS-06: counted in exposure, told once, never managed."""
        core = self.core
        known = core.state.foreign.get(row.token_id)
        if known is not None and known.size == row.size:
            return
        cost: Micros = -(-row.size * (row.average or ONE) // ONE)
        core.record(ForeignSeen(core.now, row.token_id, row.condition_id, row.slug, row.size, cost, why))
        core.notice(
            "foreign_shares", row.token_id,
            f"{size_text(row.size)} shares in {row.slug or row.condition_id[:12]} are not ours ({why}): counted in "
            f"exposure with {money_text(cost)}, not managed", row.condition_id,
        )
