"""What one life of the host was told, as the judge keeps it: what must stop entries, what was looked for and said.

It takes each fact before the kernel does and knows the table of causes (docs/blocks.md) by itself; it never asks the
kernel what blocks. What lasts over restarts is in the durable state, which the judge folds by itself too.
"""

from __future__ import annotations

from typing import Final

from polyhost.kernel.blocks import BUYS_AGAIN, NEW, OPEN_AGAIN, Cell, cause_of
from polyhost.kernel.state import State
from polyhost.model.events import (
    BalanceSeen,
    CancelAnswered,
    Evaluated,
    Event,
    LoopChanged,
    Operator,
    OrderNotFound,
    PostAnswered,
    StreamChanged,
    SweepDone,
)
from polyhost.model.money import Micros
from polyhost.model.proposals import HoldToSettlement, QuoteTarget
from polyhost.model.records import Slot
from polyhost.model.times import NEVER
from polyhost.model.words import Action, Purpose, Side
from polyhost.settings import Configuration

WAITS: Final = frozenset(
    {"restarting", "post_only_mode", "cancel_only", "disabled", "unavailable", "rate_limit", "closed_only"}
)
"""Causes that the venue names and that hold for a time."""


class Heard:
    """The facts of one life; ``born`` when the host starts."""

    def __init__(self, settings: Configuration) -> None:
        self.settings = settings
        self.born()

    def born(self) -> None:
        """A new life: nothing is known of the old one's facts."""
        self.user_up = False
        self._up_at = 0
        self._compared = False
        self._killed = False
        self._loops: set[str] = set()
        self._shut: dict[str, int] = {}
        """Cause that the venue named → until when, ms."""
        self.collateral: Micros | None = None
        """The last balance that was heard."""
        self._approved = True
        self._missing: dict[str, int] = {}
        """Order id → when a query last did not find it."""
        self._listings: list[tuple[int, str, frozenset[str]]] = []
        """Complete sweeps since the last look: when they began, of which market, what they list."""
        self._holds: dict[str, frozenset[Side]] = {}
        """Condition id → sides that a plugin holds, in its last evaluation."""
        self._quotes: dict[str, frozenset[tuple[Side, Action, str]]] = {}
        """Condition id → quotes that plugins wanted in their last evaluation."""

    # --- facts --------------------------------------------------------------------------------------------------------

    def event(self, event: Event, state: State, now: int) -> None:
        """One fact, just before the kernel gets it."""
        match event:
            case Evaluated():
                self._evaluated(event)
            case StreamChanged(stream="user"):
                self.user_up = event.up
                self._compared = False
                self._up_at = now
            case SweepDone():
                self._swept(event)
            case OrderNotFound():
                self._missing[event.order_id] = now
            case PostAnswered():
                self._answered(event, state, now)
            case CancelAnswered():
                if event.outcome in ("canceled", "gone"):
                    self._shut.pop("disabled", None)
            case BalanceSeen():
                self.collateral, self._approved = event.collateral, event.approved
            case LoopChanged():
                if event.safety and not event.alive:
                    self._loops.add(event.name)
                else:
                    self._loops.discard(event.name)
            case Operator(word="kill"):
                self._killed = True
            case _:
                pass

    def _evaluated(self, event: Evaluated) -> None:
        answers = [proposed.answer for proposed in event.proposals]
        self._holds[event.condition_id] = frozenset(a.side for a in answers if isinstance(a, HoldToSettlement))
        self._quotes[event.condition_id] = frozenset(
            (a.side, a.action, a.key) for a in answers if isinstance(a, QuoteTarget)
        )

    def _swept(self, event: SweepDone) -> None:
        if not event.complete:
            return
        if not event.condition_id and self.user_up and event.begun >= self._up_at:
            self._compared = True
        self._listings.append((event.begun, event.condition_id, frozenset(row.order_id for row in event.orders)))
        del self._listings[:-64]

    def _answered(self, event: PostAnswered, state: State, now: int) -> None:
        if event.blocks in WAITS:
            wait = event.retry_after_ms or cause_of(event.blocks).wait_ms
            self._shut[event.blocks] = NEVER if wait >= NEVER else now + wait
        if event.outcome != "accepted" or event.blocks:
            return
        order = state.by_order_id(event.order_id)
        if order is None:
            return
        for name in list(self._shut):
            buy = name in BUYS_AGAIN and order.draft.action is Action.BUY
            taken = name == "post_only_mode" and not order.draft.post_only
            if name in OPEN_AGAIN or buy or taken:
                del self._shut[name]

    # --- questions ----------------------------------------------------------------------------------------------------

    def stops(self, purpose: Purpose, durable: State, now: int) -> str:
        """What of the table forbids an order of this purpose now; empty: nothing. ``durable``: before the order."""
        if purpose not in NEW:
            return ""
        causes = [name for name in durable.blocked if self._forbids(name, purpose)]
        causes += [f"loop:{name}" for name in sorted(self._loops)]
        causes += ["killed in this run"] if self._killed else []
        causes += [name for name, until in self._shut.items() if now < until and self._forbids(name, purpose)]
        if not self.user_up:
            causes.append("user_stream")
        elif not self._compared:
            causes.append("reconciling")
        if not self._approved:
            causes.append("approval")
        if self._poor(durable) and self._forbids("low_balance", purpose):
            causes.append("low_balance")
        return ", ".join(causes)

    def available(self, durable: State) -> Micros:
        """Collateral that may be committed: the books' free cash, or less where the venue shows less (ORD-03)."""
        if self.collateral is None:
            return 0
        return max(min(durable.balance("free"), self.collateral - durable.balance("reserved")), 0)

    def _poor(self, durable: State) -> bool:
        return self.collateral is not None and self.available(durable) < int(self.settings.safety.balance_min)

    def _forbids(self, name: str, purpose: Purpose) -> bool:
        cell = cause_of(name).cells[purpose]
        return cell is Cell.BLOCKED or (cell is Cell.SETTING and not self.settings.safety.hedge_when_blocked)

    def nowhere(self, order_id: str, condition_id: str, since: int) -> bool:
        """U5: asked by its id and not found, and not in a complete list, both since its last post."""
        unlisted = any(
            begun >= since and market in ("", condition_id) and order_id not in listed
            for begun, market, listed in self._listings
        )
        return unlisted and self._missing.get(order_id, -1) >= since

    def holds(self, condition_id: str, side: Side) -> bool:
        """Did a plugin say that this side is held?"""
        return side in self._holds.get(condition_id, ())

    def quoted(self, slot: Slot, action: Action) -> bool:
        """Did a plugin's last word in this market want this quote?"""
        return (slot.side, action, slot.key) in self._quotes.get(slot.condition_id, ())

