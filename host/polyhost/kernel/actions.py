"""Merge, redeem and split: what the chain does with shares and collateral beside trades. Durable first, done once.

An action whose outcome is unknown is never done a second time: the venue's balances are asked until they agree with it
having happened or, after a long time, with it not having happened. Shares that are being merged are held as pairs
meanwhile, so that nobody sells them; trading goes on beside it (SET-03).
"""

from __future__ import annotations

from typing import Final

from polyhost.kernel import ledger
from polyhost.kernel.core import Core
from polyhost.kernel.entries import Entries, EntryRefused, exposure_rooms, need_fresh_balance
from polyhost.kernel.exits import OBLIGATION_NEAR_MS, Exits, close_record
from polyhost.kernel.orders_flow import OrderFlow
from polyhost.kernel.pairs import Pairs
from polyhost.kernel.state import PAIR_KIND, ActionEntry, MarketState, PositionEntry
from polyhost.model.commands import Act
from polyhost.model.events import ActionAnswered
from polyhost.model.gateway import ActionRequest
from polyhost.model.money import Micros, money_text, size_text
from polyhost.model.records import ActionIntended, ActionMoved, HeldDeclared, ObligationMet
from polyhost.model.rounding import floor_lot
from polyhost.model.words import ActionKind, ActionState, Purpose, Side

ACTION_WAIT_MS: Final = 240_000
"""A relayer is asked for so long before its client gives up (2 s, 100 times); then the outcome is unknown, wall ms."""
ACTION_ASK_MS: Final = 10_000
"""Balances are asked this often while an outcome is unknown, wall ms: two readings in a row must agree (POS-02)."""
ACTION_ABSENT_MS: Final = 300_000
"""Balances prove that an action did not happen only this long after it was unknown, wall ms."""
ROOM_AGAIN_MS: Final = 60_000
"""Exits stand aside for a merge once in this time, wall ms, however often it is wished for."""
ACTION_AGAIN_MS: Final = 60_000
"""After a refusal a plugin's next action in that market waits, wall ms; the operator's does not."""


class Actions:
    """Carries merges, redeems and splits out, one a market at a time."""

    def __init__(self, core: Core, flow: OrderFlow, exits: Exits, entries: Entries, pairs: Pairs) -> None:
        self.core = core
        self.flow = flow
        self.exits = exits
        self.entries = entries
        self.pairs = pairs
        self._unknown_since: dict[str, int] = {}
        """Action ref → when this run began to ask about it, wall ms."""
        self._agreed: dict[str, tuple[bool, int]] = {}
        """Action ref → what the last readings said (happened or not), and when the newest was read, wall ms."""
        self._next: dict[str, int] = {}
        """Action ref → when its balances are looked at next, wall ms: earlier deadlines of it say nothing."""
        self._quiet_until: dict[str, int] = {}
        """Condition id → wall ms until which no plugin's action is begun after a refusal."""
        self._room_again: dict[str, int] = {}
        """Condition id → wall ms until which its exits do not stand aside again for a merge."""

    # --- wishes -------------------------------------------------------------------------------------------------------

    def merge(self, condition_id: str, size: Micros | None, by: str, reason: str, *, operator: bool = False) -> str:
        """Merge ``size`` pairs, or all that can be; the answer is why not, empty when it is on its way."""
        core = self.core
        entry = core.market(condition_id)
        if entry is None or entry.settled:
            return "the market is decided: its shares are redeemed, not merged"
        refused = self._idle(condition_id, operator)
        if refused:
            return refused
        most = self.mergeable(condition_id)
        wanted = most if size is None else size
        if not operator and self._make_room(entry, size, most):
            return "its shares rest in sells, which stand aside for it"
        if wanted <= 0 or wanted > most:
            return f"{size_text(max(most, 0))} of both sides are settled, visible and in no order"
        paired = min(
            position.paired for side in Side if (position := core.state.position(condition_id, side)) is not None
        )
        for side in Side:
            if paired < wanted:
                core.record(HeldDeclared(core.now, condition_id, side, PAIR_KIND, "being merged", wanted))
        self._begin(ActionKind.MERGE, condition_id, wanted, by, reason, paired)
        return ""

    def _make_room(self, entry: MarketState, size: Micros | None, free: Micros) -> bool:
        """What is to be merged rests in sells: they stand aside for a moment (True), and the next wish finds it free.

        Not near the deadline of what is held, and not again at once when the moment was not enough.
        """
        core, condition_id = self.core, entry.market.condition_id
        visible = []
        for side in Side:
            position = core.state.position(condition_id, side)
            visible.append(0 if position is None else floor_lot(min(position.size, core.sellable(position))))
        held = min(visible) if size is None else min(*visible, size)
        if held <= max(free, 0) or core.wall < self._room_again.get(condition_id, 0):
            return False
        if core.now >= self.flow.due(condition_id) - OBLIGATION_NEAR_MS:
            return False
        self._room_again[condition_id] = core.wall + ROOM_AGAIN_MS
        for side in Side:
            self.exits.stand_aside(condition_id, side)
        return True

    def split(self, condition_id: str, size: Micros, by: str, reason: str) -> str:
        """Split ``size`` of collateral; the answer is why not, empty when it is on its way."""
        core = self.core
        entry, data = core.market(condition_id), core.data.get(condition_id)
        refused = self._idle(condition_id, False)
        if refused or entry is None or data is None:
            return refused or "the market is not followed"
        try:
            self.entries.may_trade(entry, data, Purpose.QUOTE)
            need_fresh_balance(core)
        except EntryRefused as refusal:
            return str(refusal)
        if core.now >= self.flow.due(condition_id):
            return "positions of this market are being closed for its end"
        for name, room in exposure_rooms(core, entry.market):
            if room < size:
                return f"{name}: {money_text(max(room, 0))} is left"
        self._begin(ActionKind.SPLIT, condition_id, size, by, reason)
        return ""

    def redeem(self, condition_id: str, by: str, reason: str) -> str:
        """Redeem what a decided market pays; the answer is why not, empty when it is on its way."""
        refused = self._idle(condition_id, True)
        if refused:
            return refused
        pays = self.core.state.unredeemed.get(condition_id, 0)
        if pays <= 0:
            return "nothing is to be redeemed"
        self._begin(ActionKind.REDEEM, condition_id, pays, by, reason)
        return ""

    def operator(self, word: str, slug: str, who: str) -> None:
        """``merge`` or ``redeem``, of one market or (empty slug) of all; told when a named one cannot be."""
        core = self.core
        by, found = who or "the operator", False
        if core.cannot_act:
            core.notice("action_refused", f"{word}:{slug}", f"No {word}: {core.cannot_act}")
            return
        for condition_id, entry in list(core.state.markets.items()):
            if slug not in ("", entry.market.slug):
                continue
            if word == "merge":
                refused = self.merge(condition_id, None, by, "operator", operator=True)
            else:
                refused = self.redeem(condition_id, by, "operator")
            found = found or not refused
            if slug and refused:
                core.notice(
                    "action_refused", f"{word}:{condition_id}", f"No {word}: {refused}", condition_id
                )
                return
        if not found:
            where = f"in {slug}" if slug else "anywhere"
            core.notice("action_empty", f"{word}:{slug}", f"No {word}: nothing to {word} {where}")

    def _idle(self, condition_id: str, operator: bool) -> str:
        core = self.core
        if core.shadow:
            return "a shadow account only watches: it would have been done"
        if core.cannot_act:
            return core.cannot_act
        if condition_id in core.state.open_actions:
            return "another merge, redeem or split of this market is under way"
        if condition_id in core.state.open_pairs:
            return "two legs are under way in this market"
        if not operator and core.ending:
            return core.ending
        if not operator and core.wall < self._quiet_until.get(condition_id, 0):
            return "the last one was refused just now"
        return ""

    def mergeable(self, condition_id: str) -> Micros:
        """Pairs that could be merged now."""
        return min(self._free(condition_id, side) for side in Side)

    def _free(self, condition_id: str, side: Side) -> Micros:
        """Shares of one side that are settled, visible and in no sell."""
        core = self.core
        position = core.state.position(condition_id, side)
        if position is None:
            return 0
        sells = core.open_sells(condition_id, side)
        taken = sum(order.open_upper + max(order.done - order.traded, 0) for order in sells)
        return min(position.size, core.sellable(position)) - taken

    def _begin(
        self, kind: ActionKind, condition_id: str, size: Micros, by: str, reason: str, paired_before: Micros = 0
    ) -> None:
        core = self.core
        ref = f"a{len(core.state.actions) + 1:05d}"
        core.record(ActionIntended(core.now, ref, kind, condition_id, size, by, reason, paired_before))
        if kind is ActionKind.SPLIT:
            core.record(ledger.reserve(core.now, ref, size))
        core.command(Act(ActionRequest(ref, kind, condition_id, 0 if kind is ActionKind.REDEEM else size)))
        core.at_wall(core.wall + ACTION_WAIT_MS, "action", ref)

    # --- answers ------------------------------------------------------------------------------------------------------

    def answered(self, event: ActionAnswered) -> None:
        """The gateway's answer; one that comes late counts."""
        action = self.core.state.actions.get(event.ref)
        if action is None or not action.open:
            return
        if event.outcome == "done":
            self._done(action, event.text or "answered", event.transaction)
        elif event.outcome == "refused":
            self._refused(action, event.text or "refused")
        else:
            self._unknown(action, event.text or "no usable answer", event.transaction)

    def recover(self) -> None:
        """After a restart an action under way may have been sent or not: it is unknown until balances tell."""
        for ref in list(self.core.state.open_actions.values()):
            self._unknown(self.core.state.actions[ref], "the host restarted before its answer")

    def due(self, ref: str) -> None:
        """No answer in time, or the next look at the balances."""
        action = self.core.state.actions[ref]
        if not action.open or self.core.wall < self._next.get(ref, 0):
            return
        if ref not in self._unknown_since:
            self._unknown(action, "no answer in time")
            return
        self._weigh(action)
        if action.open:
            self._ask(action)

    def _unknown(self, action: ActionEntry, reason: str, transaction: str = "") -> None:
        core = self.core
        if action.state is ActionState.INTENDED:
            core.record(ActionMoved(core.now, action.ref, ActionState.UNKNOWN, reason, transaction))
            core.notice(
                "action_unknown", action.ref,
                f"Nobody knows whether {describe(action)} happened ({reason}): balances are asked, it is not repeated",
                action.condition_id,
            )
        self._unknown_since.setdefault(action.ref, core.wall)
        self._ask(action)

    def _ask(self, action: ActionEntry) -> None:
        core = self.core
        market = core.state.markets[action.condition_id].market
        for side in Side:
            core.ask_balance(market.token(side))
        core.ask_collateral()
        self._next[action.ref] = core.wall + ACTION_ASK_MS
        core.at_wall(core.wall + ACTION_ASK_MS, "action", action.ref)

    def _weigh(self, action: ActionEntry) -> None:
        """What the balances say: two readings of both tokens in a row must say the same."""
        core = self.core
        readings = self._readings(action)
        if readings is None:
            return
        happened = all(seen == after for seen, _, after, _ in readings)
        missed = all(seen == before for seen, before, _, _ in readings)
        if happened is missed:  # something in between, or a figure that says neither
            self._agreed.pop(action.ref, None)
            return
        known = self._agreed.get(action.ref)
        if known is not None and min(at for *_, at in readings) <= known[1]:
            return  # one of them was weighed already
        self._agreed[action.ref] = (happened, max(at for *_, at in readings))
        if known is None or known[0] is not happened:
            return
        if happened:
            self._done(action, "the balances show it")
        elif core.wall - self._unknown_since[action.ref] >= ACTION_ABSENT_MS:
            self._refused(action, "the balances show that it did not happen")

    def _readings(self, action: ActionEntry) -> list[tuple[Micros, Micros, Micros, int]] | None:
        """(seen, without it, with it, when it was read) of each token that tells.

        None while a reading is older than the last question.
        """
        core = self.core
        market = core.state.markets[action.condition_id].market
        found = []
        for side in Side:
            position = core.state.position(action.condition_id, side)
            held = 0 if position is None else position.inventory
            after = {
                ActionKind.MERGE: held - action.size, ActionKind.SPLIT: held + action.size, ActionKind.REDEEM: 0,
            }[action.kind]
            if after == held:
                continue
            seen = core.fresh.tokens.get(market.token(side))
            if seen is None or core.wall - seen[1] > ACTION_ASK_MS:
                return None
            found.append((seen[0], held, after, seen[1]))
        return found or None

    # --- ends ---------------------------------------------------------------------------------------------------------

    def _done(self, action: ActionEntry, cause: str, transaction: str = "") -> None:
        core = self.core
        condition_id = action.condition_id
        up, down = self._shares_of(action)
        free = core.state.balance("free")
        core.record(ActionMoved(core.now, action.ref, ActionState.DONE, cause, transaction, up, down))
        match action.kind:
            case ActionKind.MERGE if core.state.markets[condition_id].settled:
                # Its pairs were booked as payouts meanwhile: the same money, which is here already.
                paid = min(action.size, core.state.unredeemed.get(condition_id, 0))
                core.record(ledger.redeem(core.now, condition_id, paid))
            case ActionKind.MERGE:
                core.record(ledger.merge(core.now, action.ref, condition_id, action.size))
            case ActionKind.SPLIT:
                core.record(ledger.split(core.now, action.ref, condition_id, action.size))
            case ActionKind.REDEEM:
                core.record(ledger.redeem(core.now, condition_id, core.state.unredeemed.get(condition_id, 0)))
        self._over(action)
        released = "" if action.kind is ActionKind.SPLIT else (
            f": {money_text(core.state.balance('free') - free)} released, {money_text(core.state.balance('free'))} free"
        )
        core.notice(
            "action_done", action.ref, f"{describe(action)} is done{released}", condition_id
        )
        if action.kind is not ActionKind.REDEEM:
            settled = core.state.markets[condition_id].settled
            for side in Side:
                if settled:
                    self.flow.settle_late(condition_id, side)
                else:
                    self._closed(core.state.position(condition_id, side))
            self.pairs.drive(condition_id)
        core.ask_collateral()

    def _shares_of(self, action: ActionEntry) -> tuple[Micros, Micros]:
        """What of a merge's or split's collateral counts to UP and to DOWN: by what each cost, or by the midpoint."""
        if action.kind is ActionKind.REDEEM:
            return 0, 0
        core = self.core
        if action.kind is ActionKind.MERGE:
            weights = [
                0 if (position := core.state.position(action.condition_id, side)) is None else position.average
                for side in Side
            ]
        else:
            data = core.data.get(action.condition_id)
            weights = [sum(data.book.best(side)) if data is not None and data.book.ready else 1 for side in Side]
        up = action.size * weights[0] // max(sum(weights), 1)
        return up, action.size - up

    def _closed(self, position: PositionEntry | None) -> None:
        """All of a side was merged: its close is recorded, its obligation met."""
        if position is None or position.size > 0 or position.closed:
            return
        core = self.core
        core.record(close_record(core, position, "merged", forced=False, sell_failed=False))
        if f"{position.condition_id}:{position.side.value}" in core.state.obligations:
            core.record(ObligationMet(core.now, position.condition_id, position.side, "merged"))
        data = core.data.get(position.condition_id)
        if data is not None:
            data.exits.pop(position.side, None)

    def _refused(self, action: ActionEntry, cause: str) -> None:
        core = self.core
        core.record(ActionMoved(core.now, action.ref, ActionState.REFUSED, cause))
        condition_id = action.condition_id
        if action.kind is ActionKind.SPLIT:
            core.record(ledger.release(core.now, action.ref, action.size))
        elif action.kind is ActionKind.MERGE and action.paired_before < action.size:
            for side in Side:
                core.record(
                    HeldDeclared(core.now, condition_id, side, PAIR_KIND, "not merged", action.paired_before)
                )
            self.pairs.drive(condition_id)
        self.pairs.close_on(condition_id)
        self._over(action)
        self._quiet_until[condition_id] = core.wall + ACTION_AGAIN_MS
        core.notice(
            "action_failed", f"{action.kind.value}:{condition_id}",
            f"{describe(action)} did not happen: {cause}", condition_id,
        )

    def _over(self, action: ActionEntry) -> None:
        self._unknown_since.pop(action.ref, None)
        self._agreed.pop(action.ref, None)
        self._next.pop(action.ref, None)


def describe(action: ActionEntry) -> str:
    """An action in a trader's words."""
    amount = money_text(action.size) if action.kind is ActionKind.REDEEM else f"{size_text(action.size)} of both sides"
    return f"{action.kind.value} {action.ref} ({amount})"
