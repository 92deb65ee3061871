"""A kill's own hands: what of ours is live at the venue is cancelled there, and that nothing is left is proved.

Without a host this is the whole kill. With one it is the proof: the host has a few seconds to cancel its own, then what
still lives is cancelled straight at the venue, whatever the host is busy with. Nothing is journaled here: a host that
runs, or the next one, finds its orders gone by asking, as after any cancel that it did not make. Nothing is sold.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Final

from msgspec import Struct, field

from polyhost.configuration import Loaded
from polyhost.errors import JournalError, VenueError
from polyhost.journal import JOURNAL_FILE, read_journal
from polyhost.kernel.state import State, folding
from polyhost.model.commands import CancelEverything, CancelMany, Sweep
from polyhost.model.events import CancelAnswered, QueryFailed, SweepDone
from polyhost.model.gateway import OrderRow
from polyhost.model.money import price_text, size_text
from polyhost.service.emergency import emergency_gateway, endpoints_of
from polyhost.service.folder import running_pid
from polyhost.service.left_open import left_open
from polyhost.service.status import open_orders
from polyhost.venue.contract import ClientGateway

HOST_S: Final = 5.0
"""A host that took the word has so long, wall seconds, to cancel its own orders before they are cancelled for it."""
WITHIN_S: Final = 20.0
"""And after so long it is said what still lives, wall seconds."""
POLL_S: Final = 0.5
"""Between two looks at the venue, wall seconds."""
GONE: Final = ("canceled", "gone", "not_found")
"""Answers after which nothing of that order rests."""
UNSURE: Final = "the journal cannot be read to its end: it may be ours or a person's; `polyhost kill --all` cancels it"
UNKNOWN: Final = (
    "nothing was ever run in this data folder, so nobody knows whose it is: is --data-dir right? `polyhost kill --all` "
    "cancels it"
)


class Killed(Struct):
    """What came of it."""

    by: str = ""
    """Client that asked the venue; ``journal``: there is none to ask (any more), the journal is the proof."""
    cancelled: list[str] = field(default_factory=list)
    """Ids of orders that were cancelled here."""
    failed: list[tuple[str, str]] = field(default_factory=list)
    """(order id or empty, why) of what may still live."""
    live: list[dict[str, str]] = field(default_factory=list)
    """What the venue still shows, of ours (or, with --all, of the key)."""
    left: list[str] = field(default_factory=list)
    """What the journal says is open besides orders; nobody sells it but a host."""
    proved: bool = False
    """Nothing is live: the venue's whole list was read, or the host's end is in the journal without an open order."""


async def kill_at_the_venue(
    loaded: Loaded, folder: Path, *, everything: bool, host_s: float = 0.0, within_s: float = WITHIN_S
) -> Killed:
    """Cancel what is ours (or every order of the key) until the venue shows none; at most ``within_s``.

    ``host_s``: so long a running host may do it by itself. Raises VenueError when the venue is not reached.
    """
    killed = Killed()
    endpoints = endpoints_of(loaded, folder)
    if endpoints is None or loaded.configuration.host.mode in ("paper", "shadow"):  # nothing of theirs is there
        return await by_the_journal(folder, within_s)
    ours = Ours(folder)
    try:
        async with emergency_gateway(loaded, endpoints) as (killed.by, gateway):
            await _until_none(gateway, ours, killed, everything, host_s, within_s)
    except VenueError:
        if loaded.configuration.venue.url or endpoints.live:
            raise
        # The host's own exchange ends with it, and keeps what it knows for the next one.
        return await by_the_journal(folder, within_s)
    killed.left = [line for line in left_open(ours.state) if not line.startswith("order ")]
    if ours.error is not None:
        killed.left.append(f"what the journal does not tell: {ours.error}")
    return killed


async def _until_none(
    gateway: ClientGateway, ours: Ours, killed: Killed, everything: bool, host_s: float, within_s: float
) -> None:
    began, tried = time.monotonic(), False
    while True:
        rows = await _shown(gateway)
        killed.live = [_line(row) for row in rows if everything or ours.has(row.order_id)]
        if not killed.live:
            killed.failed = [] if everything or not ours.doubt else [(row.order_id, ours.doubt) for row in rows]
            killed.proved = not killed.failed
            return
        spent = time.monotonic() - began
        if spent >= within_s and tried:
            return
        if spent >= host_s:
            tried = True
            await _cancel(gateway, [row["order_id"] for row in killed.live], killed, everything=everything)
        await asyncio.sleep(POLL_S)


async def _shown(gateway: ClientGateway) -> list[OrderRow]:
    """Every open order of the key. Raises VenueError when the whole list was not read: it would prove nothing."""
    problem = "no answer"
    for event in await gateway.execute(Sweep("", int(time.time()))):
        match event:
            case SweepDone(complete=True):
                return list(event.orders)
            case SweepDone():
                problem = event.problem
            case QueryFailed():
                problem = event.reason
    raise VenueError(f"its open orders were not read: {problem}", endpoint="/data/orders")


async def _cancel(gateway: ClientGateway, ids: list[str], killed: Killed, *, everything: bool) -> None:
    killed.failed = []
    for event in await gateway.execute(CancelEverything() if everything else CancelMany(tuple(ids))):
        if isinstance(event, CancelAnswered):
            if event.outcome in GONE:
                if event.order_id not in killed.cancelled:
                    killed.cancelled.append(event.order_id)
            else:
                killed.failed.append((event.order_id, event.text or event.outcome))


class Ours:
    """The ids of every order that the folder's journal has ever given out, read again when an unknown one is live.

    A journal that cannot be read stops no kill: what it says before the damage counts, and ``error`` tells the rest.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / JOURNAL_FILE
        self.state = State()
        self.error: JournalError | None = None
        self._read()

    def has(self, order_id: str) -> bool:
        """An order's record is durable before it is sent: what is not in the journal by now is not ours."""
        if self.state.by_order_id(order_id) is None:
            self._read()
        return self.state.by_order_id(order_id) is not None

    @property
    def doubt(self) -> str:
        """Why an order that is not among them may be ours all the same; empty: it is not."""
        if self.error is not None:
            return UNSURE
        return "" if self.state.runs else UNKNOWN

    def _read(self) -> None:
        self.state, self.error = State(), None
        try:
            for _, state in folding(record for _, record in read_journal(self._path)):
                self.state = state
        except JournalError as error:
            self.error = error


async def by_the_journal(folder: Path, within_s: float) -> Killed:
    """The proof where there is no venue to ask: the host's journal, waited for while the host is ending."""
    deadline = time.monotonic() + within_s
    while True:
        ours = Ours(folder)
        if ours.error is not None:
            raise ours.error
        state = ours.state
        orders = open_orders(state)
        running = running_pid(folder) is not None
        if not orders or not running or time.monotonic() >= deadline:
            break
        await asyncio.sleep(POLL_S)
    live = [
        {"order_id": order.order_id or order.ref, "what": f"{order.draft.action.value} {size_text(order.open_upper)} "
         f"{order.slot.side.value} at {price_text(order.draft.price)} ({order.state.value})"}
        for order in orders
    ]
    left = [line for line in left_open(state) if not line.startswith("order ")]
    return Killed(by="journal", live=live, left=left, proved=not live)


def _line(row: OrderRow) -> dict[str, str]:
    return {
        "order_id": row.order_id,
        "what": f"{row.action.value} {size_text(row.original_size)} at {price_text(row.price)} ({row.status})",
    }
