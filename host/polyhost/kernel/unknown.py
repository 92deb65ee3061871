"""While nobody knows: asking (U4), the same bytes again (U5), what proves absence (U6), and what stays after it (U7).

It knows unknown orders only. Whether one is still wanted is asked of whoever wanted it; how an order is cancelled,
closed and booked is its flow's. Nothing here is durable: after a restart an order of an earlier run is asked for and
never posted again, because a cancel of it may have left without a trace.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from polyhost.kernel import ledger
from polyhost.kernel.core import Core
from polyhost.kernel.state import OrderEntry, lock_key
from polyhost.model.commands import Post, QueryOrder
from polyhost.model.events import CancelAnswered, PostAnswered, SweepDone
from polyhost.model.money import Micros, notional, size_text
from polyhost.model.records import OrderMoved, OrderReposted, SlotReleased
from polyhost.model.words import Action, OrderState

if TYPE_CHECKING:
    from polyhost.kernel.orders_flow import OrderFlow

LADDER_MS: Final = (0, 250, 500, 1_000, 2_000, 4_000)
"""U4: when an unknown order is asked for, wall ms after it became unknown; then every LADDER_EVERY_MS."""
LADDER_EVERY_MS: Final = 5_000
REPOSTS_MAX: Final = 3
"""U5: so often the same bytes are posted again, over all runs."""
REPOST_EVERY_MS: Final = 2_000
"""U5: and so long after the last time they left, wall ms."""
LEAVE_WITHIN_MS: Final = 5_000
"""U5: a second post that waits for the disk holds a cancel back this long at most, wall ms."""
QUIET_MS: Final = 60_000
"""U6: sweeps count when they begin so long after the last post and the last trouble of the venue, market ms."""
NO_WITNESS_MS: Final = 300_000
"""U6: instead of that when no younger order or trade of ours is seen in the same sweep, market ms."""
SWEEPS_APART_MS: Final = 10_000
"""U6: between the beginnings of two sweeps that count, market ms."""
ABSENT_AFTER_MS: Final = 60_000
"""U6, second way: a market that takes no orders, and one complete sweep begun this long (market ms) after that."""
WATCH_EVERY_MS: Final = 60_000
"""U7: an absent order is asked for this often until its market is resolved, market ms."""
SLOT_KEPT_MS: Final = 900_000
"""U7: a slot of a market without a window is locked at least this long, market ms; then `resume` releases it."""
TROUBLED: Final = (425, 429)
"""HTTP statuses of order endpoints, beside 5xx, after which U6 begins anew."""


class Wish(Enum):
    """Is an unknown order that would rest still wanted?"""

    YES = "yes"
    WAIT = "wait"
    """Yes, but nothing may be posted now (a stream is down, the venue takes none)."""
    NO = "no"


class Posts(Struct):
    """What this run knows of the posts of one order."""

    ours: bool
    """All of them were made in this run."""
    at: int
    """The last one, or the start of the run that found the order; market ms."""
    wall: int
    """The same, wall ms."""
    left_wall: int | None
    """When the last one is known to have left, wall ms; None: it may wait for the disk still."""
    waiting: int = 0
    """Posts whose connection is open: no answer, no error."""
    missing: bool = False
    """Asked by its id since the last post, and not there."""
    unlisted: bool = False
    """A complete sweep begun after the last post does not show it."""
    first: int | None = None
    """When the first sweep that counts for its absence began, market ms."""


class Unknown:
    """Everything that is done about orders whose outcome nobody knows."""

    def __init__(self, core: Core, flow: OrderFlow, reappeared: Callable[[str], None]) -> None:
        self.core = core
        self.flow = flow
        self.wanted: Callable[[OrderEntry], Wish] = lambda order: Wish.WAIT
        """Set by the kernel: is this buy still wanted, by current targets and limits?"""
        self._reappeared = reappeared
        """Called with a text when an order proved absent shows up: a breaker."""
        self._posts: dict[str, Posts] = {}
        """Order ref → its posts, while it is open."""
        self._ladders: dict[str, int] = {}
        """Condition id → step of its ladder."""
        self._trouble_at = -(1 << 60)
        """The last 425, 429 or 5xx of an order endpoint, market ms."""

    # --- posts and their answers --------------------------------------------------------------------------------------

    def posting(self, order: OrderEntry) -> None:
        """A post of it was commanded; it leaves when its record is durable."""
        core = self.core
        posts = self._posts.get(order.ref)
        if posts is None:
            posts = self._posts[order.ref] = Posts(True, core.now, core.wall, None)
        posts.at, posts.wall, posts.left_wall = core.now, core.wall, None
        posts.missing, posts.unlisted, posts.first = False, False, None
        posts.waiting += 1

    def left(self, order: OrderEntry) -> None:
        """The post is on its way: from here on time counts, and a cancel can no longer overtake it."""
        posts = self._posts.get(order.ref)
        if posts is not None and posts.left_wall is None:
            posts.at, posts.wall, posts.left_wall = self.core.now, self.core.wall, self.core.wall

    def answered(self, order: OrderEntry, event: PostAnswered) -> None:
        """An answer, an error or the end of the connection."""
        self.heard(event)
        self.left(order)
        posts = self._posts.get(order.ref)
        if posts is not None:
            posts.waiting = max(posts.waiting - 1, 0)
            # A sweep that began while the venue still worked on the request proves less.
            posts.at, posts.wall, posts.unlisted, posts.first = self.core.now, self.core.wall, False, None

    def heard(self, event: PostAnswered | CancelAnswered) -> None:
        """How the venue's order endpoints fare: 425, 429 and 5xx begin the proof of every absence anew (U6)."""
        if event.http in TROUBLED or event.http >= 500:
            self._trouble_at = self.core.now
            for posts in self._posts.values():
                posts.first = None

    def troubled_since(self, at: int) -> bool:
        """Did an order endpoint answer 425, 429 or 5xx since then (market ms)?"""
        return self._trouble_at >= at

    def found(self, order: OrderEntry) -> None:
        """After a restart: it may have been posted before, perhaps cancelled, and its connection is closed."""
        self._posts[order.ref] = Posts(False, self.core.now, self.core.wall, self.core.wall)

    def only_post(self, order: OrderEntry) -> bool:
        """U3: is this the only post ever made of these bytes?"""
        posts = self._posts.get(order.ref)
        return posts is not None and posts.ours and order.posts == 1

    def leaving(self, order: OrderEntry) -> bool:
        """Do its bytes wait for the disk, to be sent again? A cancel that left now would be ahead of them."""
        posts = self._posts.get(order.ref)
        if posts is None or order.posts == 1 or posts.left_wall is not None:
            return False
        return self.core.wall - posts.wall < LEAVE_WITHIN_MS

    def forget(self, order: OrderEntry) -> None:
        """It is closed."""
        self._posts.pop(order.ref, None)

    # --- asking (U4) --------------------------------------------------------------------------------------------------

    def ask(self, order: OrderEntry) -> None:
        """It became unknown: its market's ladder begins, or it is asked for beside the one under way."""
        condition_id = order.slot.condition_id
        if condition_id not in self._ladders:
            self._ladders[condition_id] = 0
            self.ladder(condition_id)
        else:
            self.core.command(QueryOrder(order.order_id))  # the ladder under way may be at its long steps

    def asking(self, condition_id: str) -> bool:
        return condition_id in self._ladders

    def ladder(self, condition_id: str) -> None:
        """U4: one ladder a market, shared by its unknown orders."""
        unknown = [o for o in self.core.state.open_orders(condition_id) if o.state is OrderState.UNKNOWN]
        if not unknown:
            self._ladders.pop(condition_id, None)
            return
        core = self.core
        step = self._ladders.get(condition_id, 0)
        for order in unknown:
            self._again_or_away(order)
            core.command(QueryOrder(order.order_id))
        core.sweep(condition_id, min(self.flow.since(order) for order in unknown))
        self._ladders[condition_id] = following = step + 1
        wait = LADDER_MS[following] - LADDER_MS[step] if following < len(LADDER_MS) else LADDER_EVERY_MS
        core.at_wall(core.wall + wait, "ladder", condition_id)

    # --- the same bytes again (U5) ------------------------------------------------------------------------------------

    def _again_or_away(self, order: OrderEntry) -> None:
        """What would rest and is wanted may be posted again; what is not wanted is cancelled by its id."""
        if not order.draft.order_type.rests:
            return  # FAK and FOK never: type, post-only and expiration are not signed, a killed rest could revive
        wish = Wish.NO if order.draft.action is Action.SELL else self.wanted(order)
        if wish is Wish.NO:
            self.flow.cancel(order, for_good=order.draft.action is Action.BUY)  # if it turns up later, too
        elif wish is Wish.YES and self._may_repost(order):
            self._repost(order)

    def _may_repost(self, order: OrderEntry) -> bool:
        posts = self._posts.get(order.ref)
        return (
            posts is not None and posts.ours and posts.left_wall is not None
            and self.core.wall - posts.left_wall >= REPOST_EVERY_MS
            and posts.missing and posts.unlisted and not order.present
            and order.posts <= REPOSTS_MAX and not self.flow.cancelled(order)
        )

    def _repost(self, order: OrderEntry) -> None:
        core = self.core
        assert order.request is not None
        core.record(OrderReposted(core.now, order.ref, order.posts + 1))
        core.command(Post(order.request))
        self.posting(order)
        core.notice(
            "repost", order.ref,
            f"Order {order.ref} is nowhere to be found: the same bytes are posted again ({order.posts} posts)",
            order.slot.condition_id,
        )

    # --- absence (U6) -------------------------------------------------------------------------------------------------

    def not_found(self, order: OrderEntry) -> None:
        """Asked by its id and not there. Proves nothing by itself (U4)."""
        posts = self._posts.get(order.ref)
        if posts is not None:
            posts.missing = True

    def not_listed(self, order: OrderEntry, swept: SweepDone, youngest: int) -> bool:
        """A complete sweep does not show it; True when that proves, with what came before, that it is not there.

        ``youngest``: market ms of the youngest order or trade of ours in the same sweep.
        """
        posts = self._posts.get(order.ref)
        entry = self.core.state.markets[order.slot.condition_id]
        begun = self.core.begun_at(swept.begun)
        if order.present or posts is None or begun is None:
            return False
        if swept.begun > posts.wall:
            posts.unlisted = True
        closed = entry.market.end if entry.closed_at is None else min(entry.closed_at, entry.market.end)
        if begun >= closed + ABSENT_AFTER_MS:
            return True
        if posts.waiting or posts.left_wall is None:
            return False
        needed = QUIET_MS if youngest > posts.at else NO_WITNESS_MS
        if begun - max(posts.at, self._trouble_at) < needed:
            return False
        if posts.first is None:
            posts.first = begun
        return begun - posts.first >= SWEEPS_APART_MS

    def youngest(self, swept: SweepDone) -> int:
        """When the youngest order of ours in a sweep was wanted, or the youngest trade of ours matched; market ms."""
        state = self.core.state
        times = [-1]
        for row in swept.orders:
            order = state.by_order_id(row.order_id)
            if order is not None:
                times.append(order.placed_at)
        for trade in swept.trades:
            if any(name in state.by_id for name in (trade.taker_order_id, *(m.order_id for m in trade.makers))):
                times.append(trade.matched_s * 1_000)
        return max(times)

    # --- after absence (U7) -------------------------------------------------------------------------------------------

    def absent(self, order: OrderEntry) -> None:
        """Proved: its reservation was released, its slot is not, and its id stays watched until the result."""
        core = self.core
        core.notice(
            "absent", order.ref,
            f"Order {order.ref} is proved absent: its reservation is free, its slot stays locked",
            order.slot.condition_id,
        )
        core.at_market(core.now + WATCH_EVERY_MS, "absent_watch", order.ref)

    def watch(self, ref: str) -> None:
        """Ask once more for an order that was proved absent."""
        core = self.core
        order = core.state.orders[ref]
        if _gone(order) and not core.state.markets[order.slot.condition_id].settled:
            core.command(QueryOrder(order.order_id))
            core.at_market(core.now + WATCH_EVERY_MS, "absent_watch", ref)

    def resume_watching(self) -> None:
        """After a restart."""
        for order in self.core.state.orders.values():
            if _gone(order):
                self.watch(order.ref)

    def shows_up(self, order: OrderEntry, told: Micros = 0) -> None:
        """Its presence was proved: an order that was proved absent lives again, and that is a fault of the proof."""
        core = self.core
        if not _gone(order) or core.state.markets[order.slot.condition_id].settled:
            return
        again = min(self._worst(order), max(core.state.balance("free"), 0))
        core.record(
            OrderMoved(core.now, order.ref, OrderState.WORKING, "reappeared", max(told, order.told), -again, True)
        )
        if again:
            core.record(ledger.reserve(core.now, order.ref, again))
        text = f"{order.ref} was proved absent and is at the venue, {size_text(max(told, order.traded))} matched"
        core.notice(
            "reappeared", order.ref, f"Order {text}: it is cancelled", order.slot.condition_id
        )
        self._reappeared(text)
        self.flow.cancel(order, for_good=True)  # again whenever it is seen live: nobody else would
        core.sweep(order.slot.condition_id, self.flow.since(order))

    def _worst(self, order: OrderEntry) -> Micros:
        """Most that its rest can still cost, fees included; a sell costs nothing."""
        draft = order.draft
        if draft.action is Action.SELL:
            return 0
        fees = self.core.state.markets[order.slot.condition_id].market.fees.of(draft.builder)
        left = max(draft.size - order.traded, 0)
        return notional(left, draft.price) + fees.most(left, draft.price)

    def release_slots(self) -> None:
        """The operator's `resume`: slots of markets without a window that were locked long enough are free again."""
        core = self.core
        state = core.state
        for key, lock in list(state.slots_locked.items()):
            market = state.markets[lock.slot.condition_id].market
            live = any(lock_key(order.slot) == key for order in state.open_orders(lock.slot.condition_id))
            if market.start is None and core.now - lock.at >= SLOT_KEPT_MS and not live:
                core.record(SlotReleased(core.now, lock.slot))


def _gone(order: OrderEntry) -> bool:
    return not order.open and order.cause == "absent"
