"""ORD-23: what blocks what, as one table: every cause and every purpose, how long it lasts and how it clears.

Exits, emergency sells and cancels are never blocked. A hedge is an entry: where the table says *by setting*,
``[safety] hedge_when_blocked`` lets it through, and without that the stop sells. Causes that only say that the venue
takes no orders just now clear by themselves; what an operator has to look at lasts over restarts until ``resume``.

``python -m polyhost.kernel.blocks > docs/blocks.md`` writes the page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Final

from msgspec import Struct

from polyhost.kernel.core import Core
from polyhost.kernel.state import OrderEntry
from polyhost.kernel.volatile import MarketData
from polyhost.model.events import CancelAnswered, PostAnswered
from polyhost.model.money import Micros, money_text
from polyhost.model.records import EntriesBlocked
from polyhost.model.times import NEVER
from polyhost.model.words import Action, Purpose

RESTART_MS: Final = 5_000
"""After a 425 without a time orders wait this long, wall ms; the next one asks."""
RATE_MS: Final = 10_000
"""After a 429 without a time, wall ms."""
POST_ONLY_MS: Final = 120_000
"""After a restart the venue takes only post-only orders this long, wall ms, unless it names another time."""
CLOSED_MS: Final = 30_000
"""After a 503 orders wait this long, wall ms; the next one asks. An order that is taken meanwhile clears it at once."""
RECHECK_MS: Final = 600_000
"""ORD-22: a missing approval, and an account in closed-only mode, are tried again after this, wall ms."""


class Cell(Enum):
    """What a cause does to orders of a purpose."""

    BLOCKED = "blocked"
    FREE = "-"
    SETTING = "by setting"
    """Free with `[safety] hedge_when_blocked`, else blocked."""


NEW: Final = (Purpose.ENTRY, Purpose.SCALE_IN, Purpose.GRID_LEVEL, Purpose.LEG, Purpose.QUOTE, Purpose.HEDGE)
"""Purposes that add exposure; the others leave positions and are never blocked."""


def _cells(**other: Cell) -> Mapping[Purpose, Cell]:
    named = {Purpose(name): cell for name, cell in other.items()}
    return {
        purpose: named.get(purpose, Cell.BLOCKED if purpose in NEW else Cell.FREE) for purpose in Purpose
    }


ALL: Final = _cells()
HEDGE: Final = _cells(hedge=Cell.SETTING)
"""The venue would take a hedge: whether it may is the operator's choice."""
NOTHING: Final = _cells(**{purpose.value: Cell.BLOCKED for purpose in Purpose})
"""Not even exits: it is for an account that has no positions of its own."""
QUOTES_PASS: Final = _cells(quote=Cell.FREE)
"""Quotes are post-only (T9)."""


class Cause(Struct, frozen=True):
    """One row. ``lasting``: it stays over restarts until an operator's `resume`."""

    name: str
    what: str
    cells: Mapping[Purpose, Cell]
    lasting: bool
    clears: str
    wait_ms: int = 0
    """How long a cause that the venue named holds when it named no time, wall ms; 0: not such a cause."""
    remedy: str = ""
    """What a person can do."""


_RESUME: Final = "the operator: `polyhost resume --breaker NAME`"
_TAKEN: Final = "; at once when the venue takes an order"

CAUSES: Final[tuple[Cause, ...]] = (
    # --- breakers (ORD-16, U7)
    Cause("daily_loss", "the day's realised loss", HEDGE, True, _RESUME),
    Cause("drawdown", "the day's drawdown", HEDGE, True, _RESUME),
    Cause("emergency_stops", "too many emergency stops in an hour", HEDGE, True, _RESUME),
    Cause("disconnects", "too many disconnects in an hour", HEDGE, True, _RESUME),
    Cause("exit_failures", "exits failed in a row", HEDGE, True, _RESUME),
    Cause("late_fill", "an order that was proved absent showed up (U7)", HEDGE, True, _RESUME),
    Cause("journal_damage", "damage was found in the journal", HEDGE, True, _RESUME,
          remedy="polyhost db check, then polyhost db restore"),
    Cause("breaker", "any other breaker, by its own name", HEDGE, True, _RESUME),
    # --- the operator and the run
    Cause("pause", "the operator's pause", HEDGE, True, "the operator: `polyhost resume`"),
    Cause("killed", "the operator's kill", ALL, True, "the operator: `polyhost resume`, and a new run"),
    Cause("ending", "the run ends", ALL, False, "the next run"),
    Cause("shadow", "the account only watches: an order is told as one that would have been placed, once everything "
          "else about it is decided", NOTHING, False, "another mode: `[accounts.NAME] mode`"),
    # --- the host's own means
    Cause("loop", "a safety loop is not alive (`loop:NAME`, ORD-15)", ALL, False, "by itself with the loop"),
    Cause("exits_first", "exits are placed again first (dead-man's switch)", ALL, False, "by itself when they rest"),
    Cause("user_stream", "our orders and fills are not streamed", ALL, False, "by itself with the stream"),
    Cause("reconciling", "orders and trades are being compared with the venue", ALL, False,
          "by itself with a complete comparison"),
    Cause("adopting", "what the wallet held at the start is not all settled, adopted or named", ALL, False,
          "by itself with the venue's count of positions"),
    Cause("stale_book", "the market's book is lost, crossed or old (that market only)", ALL, False,
          "by itself with the book"),
    # --- money and permission
    Cause("low_balance", "less collateral is free than `[safety] balance_min`", HEDGE, False,
          "by itself with the funds", remedy="add collateral, or redeem"),
    Cause("approval", "the exchange may not spend the collateral (ORD-22)", ALL, False,
          "by itself with the approval; tried again every 10 minutes", RECHECK_MS,
          "approve the exchange once: polyhost setup approvals (nothing is approved silently)"),
    Cause("signing", "orders cannot be signed, or the venue calls their signature wrong", ALL, True, _RESUME,
          remedy="run polyhost doctor"),
    Cause("credentials", "the venue does not take our API credentials", ALL, False,
          "the next start makes them anew", NEVER, "restart the host"),
    # --- the account at the venue
    Cause("closed_only", "the account may only close positions", ALL, False, "tried again every 10 minutes", RECHECK_MS,
          "look at the account at the venue"),
    Cause("banned", "the account is banned", ALL, True, _RESUME, remedy="ask the venue's support"),
    Cause("geoblock", "HTTP 403 before the venue: place or network", ALL, True, _RESUME, remedy="run polyhost doctor"),
    # --- the venue takes no orders just now
    Cause("restarting", "HTTP 425: the matching engine restarts", ALL, False,
          "by itself after Retry-After (5 s)" + _TAKEN, RESTART_MS),
    Cause("post_only_mode", "HTTP 503: post-only orders and cancels only", QUOTES_PASS, False,
          "by itself after Retry-After (2 minutes); at once when the venue takes an order that is not post-only",
          POST_ONLY_MS),
    Cause("cancel_only", "HTTP 503: cancels only", ALL, False, "tried again after 30 s" + _TAKEN, CLOSED_MS),
    Cause("disabled", "HTTP 503: trading is disabled, cancels too", ALL, False,
          "tried again after 30 s; at once when the venue takes an order or a cancel", CLOSED_MS),
    Cause("unavailable", "HTTP 503 without a reason we know", ALL, False, "tried again after 30 s" + _TAKEN, CLOSED_MS),
    Cause("rate_limit", "HTTP 429: too many requests", ALL, False,
          "by itself after Retry-After (10 s)" + _TAKEN, RATE_MS),
)
"""Every row."""
SHADOW: Final = "shadow"
BY_NAME: Final = {cause.name: cause for cause in CAUSES}
OPEN_AGAIN: Final = frozenset({"restarting", "cancel_only", "disabled", "unavailable", "rate_limit"})
"""Cleared by any order that the venue takes."""
BUYS_AGAIN: Final = frozenset({"closed_only", "approval"})
"""Cleared only by a buy that it takes."""


TURN_AWAY: Final = OPEN_AGAIN | {"post_only_mode"}
"""The venue takes no market orders just now, whosever and however small."""


def cause_of(name: str) -> Cause:
    """The row of a cause's name: loops share one, and so do breakers that have none of their own."""
    if name.startswith("loop:"):
        return BY_NAME["loop"]
    return BY_NAME.get(name, BY_NAME["breaker"])


def book_problem(core: Core, data: MarketData) -> tuple[str, str] | None:
    """Why a market's book is nothing to trade or rest on, (gate, reason); None: it can be trusted."""
    book = data.book
    if not book.ready:
        return "book_lost", "the book's continuity was lost"
    if book.crossed:
        return "book_crossed", "the book is crossed"
    age = core.now - book.changed_at
    return ("book_old", f"the book is {age} ms old") if age > core.settings.safety.book_age_ms_max else None


class Blocks:
    """What blocks now."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._until: dict[str, int] = {}
        """Cause that the venue named → until when, wall ms."""

    # --- questions ----------------------------------------------------------------------------------------------------

    def now(self, reserved: Micros = 0) -> Iterator[tuple[str, str]]:
        """Every cause there is now, but for those of a single market's book: (name, reason).

        ``reserved``: collateral that is reserved already for the order in question, and free for it alone.
        """
        core = self.core
        if core.ending:
            yield "ending", core.ending
        yield from core.state.blocked.items()
        for name, reason in core.loops_down.items():
            yield f"loop:{name}", reason
        if waiting := core.exits_first():
            yield "exits_first", waiting
        if not core.user_up:
            yield "user_stream", "orders and fills are not streamed right now"
        elif core.reconciling:
            yield "reconciling", "orders and trades are being compared with the venue"
        if core.adopting:
            yield "adopting", core.adopting
        if not core.fresh.approved and "approval" not in core.state.shut:
            yield "approval", "the exchange may not spend the collateral (approval missing)"
        yield from core.state.shut.items()
        least = int(core.settings.safety.balance_min)
        free = core.available(reserved)
        if core.fresh.collateral is not None and free < least:
            yield "low_balance", f"{money_text(free)} is free, less than {money_text(least)}"
        if core.shadow:
            yield SHADOW, "the account only watches: nothing is posted"

    def against(self, purpose: Purpose, reserved: Micros = 0) -> Iterator[tuple[str, str]]:
        """What blocks orders of a purpose now: (name, reason). ``reserved`` as in ``now``.

        A shadow account's own block is not among them: it comes last, when the order is whole (``OrderFlow.place``).
        """
        for name, reason in self.now(reserved):
            if name != SHADOW and self.blocks(cause_of(name), purpose):
                yield name, reason

    def book(self, data: MarketData, purpose: Purpose) -> tuple[str, str] | None:
        """What is wrong with a market's book for orders of a purpose: (gate, reason), the rows of ``stale_book``."""
        return book_problem(self.core, data) if self.blocks(BY_NAME["stale_book"], purpose) else None

    def blocks(self, cause: Cause, purpose: Purpose) -> bool:
        cell = cause.cells[purpose]
        return cell is Cell.BLOCKED or (
            cell is Cell.SETTING and not self.core.settings.safety.hedge_when_blocked
        )

    # --- what the venue says ------------------------------------------------------------------------------------------

    def answered(self, order: OrderEntry | None, event: PostAnswered) -> None:
        """An answer to a post names a cause, or shows that there is none any more."""
        if event.blocks:
            self.shut(event.blocks, event.text, event.retry_after_ms)
        elif event.outcome == "accepted" and order is not None:
            self._taken(order)

    def cancel_answered(self, event: CancelAnswered) -> None:
        """Trading that is disabled takes no cancels: one that is taken shows that it is not."""
        if event.outcome in ("canceled", "gone"):
            self.lift("disabled", "the venue took a cancel")

    def shut(self, name: str, text: str, retry_after_ms: int = 0) -> None:
        """A cause begins, or holds on. ``retry_after_ms``: the venue's own word for how long; 0: it named none."""
        core = self.core
        cause = cause_of(name)
        reason = f"{text} ({cause.remedy})" if cause.remedy else text
        known = core.state.blocked if cause.lasting else core.state.shut
        if name not in known:
            core.record(EntriesBlocked(core.now, name, True, reason, cause.lasting))
            core.notice(
                "blocked_lasting" if cause.lasting or cause.remedy else "blocked", name,
                f"New entries are off ({name}): {reason}. Clears: {cause.clears}",
            )
        if not cause.lasting and cause.wait_ms < NEVER:
            self._until[name] = core.wall + (retry_after_ms or cause.wait_ms)
            core.at_wall(self._until[name], "shut", name)

    def due(self, name: str) -> None:
        """The time of a cause has come."""
        if self._until.get(name, NEVER) <= self.core.wall:
            self.lift(name, "its time is over: the next order asks")

    def lift(self, name: str, why: str) -> None:
        """A cause that the venue named is gone."""
        self._until.pop(name, None)
        if name in self.core.state.shut:
            self.core.record(EntriesBlocked(self.core.now, name, False, why, False))

    def approved(self) -> None:
        """The venue shows the approval that was missing."""
        self.lift("approval", "the exchange is approved")

    def _taken(self, order: OrderEntry) -> None:
        for name in list(self.core.state.shut):
            buy = order.draft.action is Action.BUY
            post_only = name == "post_only_mode" and not order.draft.post_only
            if name in OPEN_AGAIN or (name in BUYS_AGAIN and buy) or post_only:
                self.lift(name, "the venue took an order")


HEADING: Final = """# What blocks what

Generated from `polyhost.kernel.blocks`; a test compares the two, and another tries each cause with each purpose. Exits,
emergency sells and cancels are never blocked, but for a shadow account's, which has no positions. *By setting*:
`[safety] hedge_when_blocked` lets a hedge through (by default the stop sells instead). *Lasting* causes stay over
restarts until `polyhost resume`; the others clear by themselves. `polyhost status` shows what blocks now.

A gate in front of a single order (limits, slots, the price) is no cause of this table: it refuses that order alone.
"""


def page() -> str:
    """docs/blocks.md."""
    head = " | ".join(purpose.value.replace("_", " ") for purpose in Purpose)
    lines = [
        HEADING,
        f"| cause | when | {head} | lasting | clears | remedy |",
        f"| --- | --- |{' --- |' * len(Purpose)} --- | --- | --- |",
    ]
    for cause in CAUSES:
        cells = " | ".join(cause.cells[purpose].value for purpose in Purpose)
        lasting = "yes" if cause.lasting else "no"
        lines.append(
            f"| `{cause.name}` | {cause.what} | {cells} | {lasting} | {cause.clears} | {cause.remedy or '-'} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
