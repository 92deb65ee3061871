"""A kill without a host: the orders of a data folder are cancelled at the venue, straight through a gateway.

Nothing is journaled: the next start compares everything with the venue anyway. The folder's lock is held meanwhile, so
that no host starts in between.
"""

from __future__ import annotations

from msgspec import Struct, field

from polyhost.configuration import Loaded
from polyhost.errors import PolyhostError
from polyhost.journal import read_journal
from polyhost.kernel.state import State, fold
from polyhost.model.commands import CancelEverything, CancelMany, Command
from polyhost.model.events import CancelAnswered
from polyhost.service.folder import DataFolder
from polyhost.service.gateways import gateway_of
from polyhost.service.left_open import left_open
from polyhost.service.status import open_orders
from polyhost.venue.budget import Budget
from polyhost.venue.clock import VenueClock
from polyhost.venue.contract import Gateway
from polyhost.venue.polymarket.endpoints import endpoints_at
from polyhost.venue.polymarket.reach import require_exchange

GONE = ("canceled", "gone", "not_found")
"""Answers after which nothing of that order rests."""


class Killed(Struct):
    """What came of it."""

    cancelled: list[str] = field(default_factory=list)
    """Order ids that rest no more."""
    failed: list[tuple[str, str]] = field(default_factory=list)
    """(order id or empty, why) of those that may still rest."""
    left: list[str] = field(default_factory=list)
    """What the journal says is open besides; nobody sells it until a host runs."""


async def cancel_without_host(loaded: Loaded, folder: DataFolder, *, everything: bool) -> Killed:
    """Cancel our open orders (or every order of the key). Raises VenueError when the venue is not reached."""
    settings = loaded.configuration
    state = fold(record for _, record in read_journal(folder.journal))
    endpoints = endpoints_at(settings.venue.url)
    await require_exchange(endpoints)
    gateway = gateway_of(settings, endpoints, VenueClock(), Budget()).gateway
    try:
        await gateway.connect()
        return await _cancel(gateway, state, everything=everything)
    finally:
        await gateway.close()


async def _cancel(gateway: Gateway, state: State, *, everything: bool) -> Killed:
    ours = [order.order_id for order in open_orders(state) if order.order_id]
    killed = Killed(left=[line for line in left_open(state) if not line.startswith("order ")])
    command: Command = CancelEverything() if everything else CancelMany(tuple(ours))
    if not everything and not ours:
        return killed
    try:
        answers = await gateway.execute(command)
    except PolyhostError as error:
        killed.failed.append(("", str(error)))
        return killed
    for answer in answers:
        if isinstance(answer, CancelAnswered):
            if answer.outcome in GONE:
                killed.cancelled.append(answer.order_id)
            else:
                killed.failed.append((answer.order_id, answer.text or answer.outcome))
    return killed
