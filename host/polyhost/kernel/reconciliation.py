"""Host and venue are compared all the time (POS-10), and what differs is explained before anything is changed.

Balances of open positions in turn, one a second; orders and trades of the key every minute. Where a balance differs it
is *doubted*: trades are asked for first, then the venue's own count of positions, and the balance is read again. Only
what two readings, apart, agree on is written (POS-02): shares that are gone leave at cost, shares too many are held
apart as unexplained and never become part of a position (POS-11). A pass that finds nothing writes nothing.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from polyhost.kernel import ledger
from polyhost.kernel.core import Core
from polyhost.kernel.exits import Exits
from polyhost.kernel.orders_flow import OrderFlow
from polyhost.kernel.pairs import Pairs
from polyhost.kernel.state import OrderEntry, PositionEntry
from polyhost.model.commands import QueryOrder, QueryPositions, QueryResult
from polyhost.model.events import PositionsSeen, SweepDone, TokenBalanceSeen
from polyhost.model.money import LOT, Micros, money_text, size_text
from polyhost.model.records import PositionCorrected, UnexplainedSeen
from polyhost.model.words import OrderState

SECOND_MS: Final = 1_000
"""One balance of an open position is read in this time, wall ms (POS-10)."""
PASS_EVERY_MS: Final = 60_000
"""Orders and trades of the key are compared this often, wall ms, give or take PASS_JITTER_MS."""
PASS_JITTER_MS: Final = 6_000
"""By so much, wall ms, a pass comes earlier or later: many hosts do not ask in the same second."""
PRIME: Final = 999_983
"""Spreads names over the jitter."""
POSITIONS_EVERY: Final = 5
"""Every so many passes the venue's own count of positions is read too."""
LOOK_BACK_S: Final = 120
"""A pass asks for trades since this long before the last whole one: venues show trades late."""
DOUBT_STEPS_MS: Final = (2_000, 3_000, 5_000, 10_000, 20_000, 30_000)
"""A doubted balance is read again after these, wall ms, then after the last one for good. Before the first nothing is
asked about it: right after a fill a balance lags (POS-02)."""
AGREE_MS: Final = 10_000
"""POS-02: two readings this far apart, wall ms, must agree before anything is written."""
ALONE_MS: Final = 300_000
"""Without the venue's count of positions, balances alone must agree for so long, wall ms (POS-05)."""
NAMED_MAX: Final = 10_000
"""Rows that are not ours and remembered by id, so that each is counted once."""


class Doubt:
    """A balance that differs from the ledger, and what is known about it."""

    __slots__ = ("balance", "positions", "result_asked", "since", "size", "step", "swept")

    def __init__(self, balance: Micros, size: Micros, since: int) -> None:
        self.balance = balance
        self.size = size
        """Of the position, when the doubt began."""
        self.since = since
        """The first reading of it, wall ms."""
        self.step = 0
        self.swept = False
        """Trades and orders were compared since, and explain nothing."""
        self.positions: Micros | None = None
        """What the venue's count of positions says, asked since; None: no whole answer yet."""
        self.result_asked = False


class Reconciliation:
    """Asks in turn, keeps what is doubted, and writes what is proved."""

    def __init__(self, core: Core, flow: OrderFlow, exits: Exits, pairs: Pairs) -> None:
        self.core = core
        self.flow = flow
        self.exits = exits
        self.pairs = pairs
        self.compared_wall = -1
        """When the last whole comparison of orders and trades began, wall ms; -1: none yet in this run."""
        self.positions_wall = -1
        """The same for the venue's count of positions."""
        self.passes = 0
        self.named: Counter[str] = Counter()
        """Rows of the venue that are not ours, by what they are: each is mapped, or named here."""
        self._seen: set[str] = set()
        self._doubts: dict[str, Doubt] = {}
        self._timed: set[str] = set()
        """Tokens with a next step under way."""
        self._assets: dict[str, str] = {}
        """Token id → key of its position."""
        self._last_asked = ""
        self._compared_s = 0
        """Market second at which the last whole comparison left."""

    # --- in turn ------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Once a run: from here on it never ends."""
        self.core.at_wall(self.core.wall + SECOND_MS, "reconcile", "")
        self.core.at_wall(self._next_pass(), "pass", "")

    def second(self) -> None:
        """The turn of the next balance: what waits for its reading first, else the next open position."""
        core = self.core
        core.at_wall(core.wall + SECOND_MS, "reconcile", "")
        core.serve_balances()
        if core.balance_calls.full(core.wall):
            position = self._next_position()
            if position is not None:
                self._last_asked = f"{position.condition_id}:{position.side.value}"
                core.ask_balance(position.token_id)

    def whole_pass(self) -> None:
        """Orders and trades of the key; now and then what it holds."""
        core = self.core
        core.at_wall(self._next_pass(), "pass", "")
        if not core.user_up:
            return  # its return is compared at once, and entries wait for that
        self.passes += 1
        if self.passes % POSITIONS_EVERY == 0:
            core.command(QueryPositions(core.wall))
        if not core.reconciling:
            since = self._compared_s or core.state.last_match_s or core.now // 1_000
            core.sweep("", max(since - LOOK_BACK_S, 0))

    def _next_pass(self) -> int:
        """A minute from now, jittered by what is different in every host and run, and by nothing random."""
        core = self.core
        who = int.from_bytes(f"{core.account} {core.state.run_id} {self.passes}".encode())
        spread = who % PRIME * PRIME % (2 * PASS_JITTER_MS + 1)
        return core.wall + PASS_EVERY_MS - PASS_JITTER_MS + spread

    def _next_position(self) -> PositionEntry | None:
        """The open position after the one asked last, in the order in which they came to be."""
        first = None
        after = not self._last_asked
        for position in self._open():
            first = first or position
            if after:
                return position
            after = f"{position.condition_id}:{position.side.value}" == self._last_asked
        return first

    def _open(self) -> list[PositionEntry]:
        state = self.core.state
        found = []
        for condition_id in state.exposed:
            for side in ("UP", "DOWN"):
                position = state.positions.get(f"{condition_id}:{side}")
                if position is not None and position.size > 0:
                    found.append(position)
        return found

    # --- ages, for people ---------------------------------------------------------------------------------------------

    def ages(self) -> dict[str, int | None]:
        """How old each kind of comparison is, wall ms; None: never made in this run, or nothing to compare."""
        core = self.core
        seen = [core.fresh.tokens.get(position.token_id) for position in self._open()]
        balances = [core.wall - each[1] for each in seen if each is not None]
        return {
            "collateral_ms": None if core.fresh.collateral is None else core.wall - core.fresh.collateral_wall,
            "balances_ms": max(balances, default=None) if len(balances) == len(seen) else None,
            "orders_and_trades_ms": None if self.compared_wall < 0 else core.wall - self.compared_wall,
            "positions_ms": None if self.positions_wall < 0 else core.wall - self.positions_wall,
        }

    @property
    def doubted(self) -> int:
        """Balances that differ and are not explained yet."""
        return len(self._doubts)

    # --- answers ------------------------------------------------------------------------------------------------------

    def swept(self, event: SweepDone) -> None:
        """A sweep came back; its rows are applied already. What it does not explain stays doubted."""
        self._name_rows(event)
        if not event.complete:
            return
        if not event.condition_id:
            self.compared_wall = max(self.compared_wall, event.begun)
            self._compared_s = max(self._compared_s, (self.core.begun_at(event.begun) or 0) // 1_000)
        listed = {row.order_id for row in event.orders}
        for token_id, doubt in self._doubts.items():
            position = self._position(token_id)
            if position is None or event.begun < doubt.since or event.condition_id not in ("", position.condition_id):
                continue
            unseen = [order for order in self._orders(position) if order.order_id and order.order_id not in listed]
            for order in unseen:
                self.core.command(QueryOrder(order.order_id))  # it may be over, and its shares with it
            doubt.swept = doubt.swept or not unseen

    def positions_seen(self, event: PositionsSeen) -> None:
        """The venue's own count: evidence for what is doubted."""
        if not event.complete:
            return
        self.positions_wall = max(self.positions_wall, event.begun)
        sizes = {row.token_id: row.size for row in event.rows}
        for token_id, doubt in self._doubts.items():
            if event.begun >= doubt.since:
                doubt.positions = sizes.get(token_id, 0)

    def balance_seen(self, event: TokenBalanceSeen) -> None:
        """One reading. Equal to the ledger: nothing. Else it is doubted, or confirms a doubt, or proves it."""
        core = self.core
        token_id, balance = event.token_id, event.balance
        position = self._position(token_id)
        if position is None or core.state.markets[position.condition_id].settled or self._explained(position, balance):
            self._doubts.pop(token_id, None)
            return
        doubt = self._doubts.get(token_id)
        if doubt is None or (doubt.balance, doubt.size) != (balance, position.size):
            self._doubts[token_id] = Doubt(balance, position.size, core.wall)
            if token_id not in self._timed:
                self._timed.add(token_id)
                core.at_wall(core.wall + DOUBT_STEPS_MS[0], "doubt", token_id)
            return
        if doubt.swept and core.wall - doubt.since >= AGREE_MS:
            self._judge(position, doubt)

    def look_again(self, token_id: str) -> None:
        """A doubt's next step: the balance is read again, and what is not known yet is asked for."""
        core = self.core
        doubt, position = self._doubts.get(token_id), self._position(token_id)
        if doubt is None or position is None:
            self._timed.discard(token_id)
            return
        if not doubt.swept:
            since = position.opened_at // 1_000 - LOOK_BACK_S
            core.sweep(position.condition_id, max(since, 0))
        if doubt.positions != doubt.balance and doubt.balance < doubt.size:
            core.command(QueryPositions(core.wall))
        core.ask_balance(token_id)
        doubt.step = min(doubt.step + 1, len(DOUBT_STEPS_MS) - 1)
        core.at_wall(core.wall + DOUBT_STEPS_MS[doubt.step], "doubt", token_id)

    # --- what explains a difference -----------------------------------------------------------------------------------

    def _explained(self, position: PositionEntry, balance: Micros) -> bool:
        """The ledger says the same, or something of ours is under way that changes balances: no reading counts then."""
        extra = balance - position.size
        known = self.core.state.unexplained.get(position.token_id, 0)
        # Less than the smallest order above it is dust: it can neither be sold nor does it matter.
        same = extra == known or (known == 0 and 0 <= extra < LOT)
        return same or self._in_flight(position)

    def _in_flight(self, position: PositionEntry) -> bool:
        state = self.core.state
        if position.inventory != position.size:
            return True  # bought and not settled yet
        for key, where in state.unsettled.items():
            if where == position.condition_id and state.fills[key].fill.slot.side is position.side:
                return True
        if position.condition_id in state.open_pairs or position.condition_id in state.open_actions:
            return True
        return any(
            order.state is not OrderState.WORKING or not order.draft.order_type.rests or order.missing
            or order.done != order.traded
            for order in self._orders(position)
        )

    def _orders(self, position: PositionEntry) -> list[OrderEntry]:
        open_orders = self.core.state.open_orders(position.condition_id)
        return [order for order in open_orders if order.slot.side is position.side]

    # --- what is written ----------------------------------------------------------------------------------------------

    def _judge(self, position: PositionEntry, doubt: Doubt) -> None:
        """Two readings agree and no trade explains it."""
        if doubt.balance >= position.size:
            self._unexplained(position, doubt.balance - position.size)
            self._doubts.pop(position.token_id)
            return
        evidence = self._evidence(position, doubt)
        if evidence:
            self._doubts.pop(position.token_id)
            self._correct(position, doubt.balance, evidence)

    def _evidence(self, position: PositionEntry, doubt: Doubt) -> str:
        """What says that the shares are gone, beside two readings of a balance; empty: not enough yet."""
        core = self.core
        if doubt.positions == doubt.balance:
            return "positions"
        if core.wall - doubt.since < ALONE_MS:
            return ""
        if not doubt.result_asked:
            doubt.result_asked = True  # POS-05: perhaps the market is decided, and the shares were redeemed
            core.command(QueryResult(position.condition_id, core.state.markets[position.condition_id].market.slug))
            return ""
        if doubt.positions is None:
            return "balances alone"
        core.notice(
            "doubt", position.token_id,
            f"The balance of {position.side.value} shows {size_text(doubt.balance)}, the venue's positions "
            f"{size_text(doubt.positions)}, our trades {size_text(position.size)}: nothing is changed until two agree",
            position.condition_id,
        )
        return ""

    def _correct(self, position: PositionEntry, balance: Micros, evidence: str) -> None:
        """POS-03: the shares left without us. They leave at cost, exits shrink, and it is told."""
        core = self.core
        condition_id, side = position.condition_id, position.side
        gone = position.size - balance
        if core.state.unexplained.get(position.token_id):
            core.record(UnexplainedSeen(core.now, position.token_id, condition_id, side, 0))
        if position.paired > balance:
            self.pairs.shrink(condition_id, balance)
        cost = position.cost * gone // position.size
        core.record(PositionCorrected(core.now, condition_id, side, gone, cost, balance, evidence))
        core.record(ledger.correction(core.now, condition_id, f"{condition_id}:{side.value}", gone, cost))
        core.notice(
            "corrected", f"{position.token_id}:{balance}",
            f"{size_text(gone)} {side.value} are gone that no trade of ours sold (two readings of the balance and "
            f"{evidence} agree on {size_text(balance)}): sold or moved by hand. They leave the books at their cost of "
            f"{money_text(cost)}; exits are for what is left",
            condition_id,
        )
        self.exits.left_by_hand(condition_id, side)

    def _unexplained(self, position: PositionEntry, extra: Micros) -> None:
        """POS-11: more shares than our trades bought. They are not ours to sell, and change no average."""
        core = self.core
        core.record(UnexplainedSeen(core.now, position.token_id, position.condition_id, position.side, extra))
        if extra:
            core.notice(
                "unexplained", f"{position.token_id}:{extra}",
                f"The venue shows {size_text(extra)} {position.side.value} more than our trades bought: unexplained, "
                "neither sold nor averaged", position.condition_id,
            )

    # --- rows ---------------------------------------------------------------------------------------------------------

    def _name_rows(self, event: SweepDone) -> None:
        """Every row of a sweep is one of ours, or is named, once."""
        state = self.core.state
        for order in event.orders:
            if state.by_order_id(order.order_id) is None:
                self._name("foreign_order", order.order_id)
        for trade in event.trades:
            parts = (trade.taker_order_id, *(part.order_id for part in trade.makers))
            if not any(state.by_order_id(each) is not None for each in parts):
                self._name("foreign_trade", trade.trade_id)

    def _name(self, what: str, row_id: str) -> None:
        if row_id not in self._seen and len(self._seen) < NAMED_MAX:
            self._seen.add(row_id)
            self.named[what] += 1

    def _position(self, token_id: str) -> PositionEntry | None:
        """The open position of a token."""
        state = self.core.state
        asset = self._assets.get(token_id)
        if asset is None:
            asset = next((key for key, each in state.positions.items() if each.token_id == token_id), None)
            if asset is None:
                return None
            self._assets[token_id] = asset
        position = state.positions[asset]
        return position if position.size > 0 else None
