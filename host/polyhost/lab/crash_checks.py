"""What must be true after any crash: nothing lost, nothing doubled, nothing orphaned, nothing unmanaged."""

from __future__ import annotations

from collections import Counter
from typing import Final

from msgspec import Struct, field

from polyhost.exchange.api import GetOpenOrders, GetTrades, OrdersReply, StoredOrder, TradesReply
from polyhost.exchange.core import Exchange
from polyhost.kernel.invariants import broken
from polyhost.kernel.state import State
from polyhost.lab.sim_checks import at_the_venue
from polyhost.model.gateway import OrderRequest
from polyhost.model.money import money_text, size_text
from polyhost.model.times import MarketMs
from polyhost.model.words import Action, Purpose

AGAIN_MAX: Final = 3
"""U5: the same bytes may be posted again so often …"""
AGAIN_MS: Final = 2_000
"""… and not sooner than this after the last time."""
TIME_TO_CLOSE_MS: Final = 8_000
"""A host that is back so long before the end closes what it holds, or declares it held."""
STILL_TRYING_MS: Final = 10_000
"""A position whose sale is tried this close to the end, in vain, is being closed, not forgotten."""
TOLD_WITHIN_MS: Final = 10_000
"""A notice is told within this, market ms: the messenger refuses none for longer."""
OPERATORS: Final = frozenset({"pause", "killed"})
"""Blocks that a person set: they stay until a person lifts them."""


class Posted(Struct):
    at: int
    request: OrderRequest
    sealed: bool


class Seen(Struct):
    """What the venue saw of the host."""

    posts: list[Posted] = field(default_factory=list)
    sealed_at: int = -1
    told: dict[str, list[int]] = field(default_factory=dict)
    """Notice id → the lives whose delivery of it the messenger took."""
    raised: list[str] = field(default_factory=list)
    """Notice ids of the final journal."""
    up_since: int = 0
    """When the last life began."""

    def posted(self, at: int, request: OrderRequest) -> None:
        self.posts.append(Posted(at, request, self.sealed_at >= 0 and at > self.sealed_at + 50))


def look_problems(state: State, exchange: Exchange, key: str, address: str, now: int) -> list[str]:
    """While it runs: live orders that nobody wants, and shares that the host does not know of."""
    wanted = {order.order_id for refs in state.open_refs.values() for order in (state.orders[ref] for ref in refs)}
    problems = [
        f"at {now}: order {live.row.order_id[:12]} rests at the venue and the host does not hold it open"
        for live in _open_orders(exchange, key, now)
        if live.row.order_id not in wanted
    ]
    if not state.unsettled and not state.open_actions and not any(state.open_refs.values()):
        problems += _share_problems(state, exchange, address)
    return problems


def kill_problems(exchange: Exchange, key: str, now: int) -> list[str]:
    """A kill was said to a sealed host: nothing of ours rests any more."""
    return [
        f"order {live.row.order_id[:12]} still rests {now} after a kill, the journal being sealed"
        for live in _open_orders(exchange, key, now)
    ]


def final_problems(state: State, exchange: Exchange, key: str, address: str, seen: Seen, now: int) -> list[str]:
    """When all is settled."""
    return [
        *(f"invariant {name} is broken" for name in broken(state)),
        *(f"exchange: {problem}" for problem in exchange.audit()),
        *_end_problems(state, seen.up_since),
        *_post_problems(seen),
        *_order_problems(state, exchange, key, seen, now),
        *_trade_problems(state, exchange, key, now),
        *_money_problems(state, exchange, address),
        *_share_problems(state, exchange, address),
        *_notice_problems(state, seen, now),
    ]


def _notice_problems(state: State, seen: Seen, now: int) -> list[str]:
    """NOT-02: no notice is owed for long, and none is told twice by one life of the host."""
    late = [
        f"notice {notice_id} of {outgoing.notice.at} is not told at {now}"
        for notice_id, outgoing in state.outbox.items() if outgoing.notice.at <= now - TOLD_WITHIN_MS
    ]
    lost = [notice_id for notice_id in seen.raised if notice_id not in seen.told and notice_id not in state.outbox]
    twice = [notice_id for notice_id, lives in seen.told.items() if len(set(lives)) < len(lives)]
    return [
        *late, *(f"notice {notice_id} was never told" for notice_id in lost),
        *(f"notice {notice_id} was told twice without a kill in between" for notice_id in twice),
    ]


def _end_problems(state: State, up_since: int) -> list[str]:
    """Everything has ended, and what went to its result was meant to."""
    problems = [f"market {key} is not settled" for key, entry in state.markets.items() if not entry.settled]
    problems += [f"order {ref} is {order.state.value} at the end" for ref, order in state.orders.items() if order.open]
    problems += [f"fill {key} is neither confirmed nor failed" for key in state.unsettled]
    problems += [f"entries are still blocked: {name} ({why})" for name, why in state.blocked.items()
                 if name not in OPERATORS]  # fmt: skip
    problems += [f"the obligation of {key} was never met" for key in state.obligations]
    for key, position in state.positions.items():
        end = state.markets[position.condition_id].market.end
        known = max(up_since, position.opened_at)  # a split whose answer was lost may be known after the result only
        if position.loose > 0 and not position.held and known <= end - TIME_TO_CLOSE_MS and not _closing(state, key):
            problems.append(f"position {key} of {size_text(position.size)} went to its result unmanaged")
        if position.bought and not position.closed:
            problems.append(f"position {key} has no recorded end")
    return problems


def _closing(state: State, key: str) -> bool:
    """Sales were tried to the end, and nobody bought."""
    return any(
        order.draft.action is Action.SELL and f"{order.slot.condition_id}:{order.slot.side.value}" == key
        and order.placed_at >= state.markets[order.slot.condition_id].market.end - STILL_TRYING_MS
        for order in state.orders.values()
    )  # fmt: skip


def _post_problems(seen: Seen) -> list[str]:
    """No order twice, but by U5; none while the journal was sealed."""
    problems = []
    last: dict[str, Posted] = {}
    counts: Counter[str] = Counter()
    for post in seen.posts:
        order_id = post.request.order_id
        before = last.get(order_id)
        counts[order_id] += 1
        if before is not None and not post.request.order_type.rests:
            problems.append(f"{post.request.order_type} order {order_id[:12]} was posted twice")
        if before is not None and post.at - before.at < AGAIN_MS:
            problems.append(f"order {order_id[:12]} was posted again after {post.at - before.at} ms")
        if before is not None and before.request != post.request:
            problems.append(f"order {order_id[:12]} was posted again with other bytes")
        if post.sealed and post.request.fields.action is Action.BUY:
            problems.append(f"order {order_id[:12]} was posted although the journal was sealed")
        last[order_id] = post
    problems += [f"order {order_id[:12]} was posted {count} times" for order_id, count in counts.items()
                 if count > 1 + AGAIN_MAX]  # fmt: skip
    return problems


def _order_problems(state: State, exchange: Exchange, key: str, seen: Seen, now: int) -> list[str]:
    """Every order the venue ever got is known; one filled entry a window and side; none rests for nobody."""
    problems = []
    filled: Counter[str] = Counter()
    for order_id in {post.request.order_id for post in seen.posts}:
        order = state.by_order_id(order_id)
        if order is None:
            problems.append(f"order {order_id[:12]} was posted and is not in the journal")
        elif order.draft.action is Action.BUY and order.slot.purpose is Purpose.ENTRY and order.traded:
            filled[f"{order.slot.condition_id} {order.slot.side.value}"] += 1
    problems += [f"{count} filled entries in {where}" for where, count in filled.items() if count > 1]
    left = _open_orders(exchange, key, now)
    return problems + [f"order {live.row.order_id[:12]} still rests at the venue" for live in left]


def _trade_problems(state: State, exchange: Exchange, key: str, now: int) -> list[str]:
    """The journal's fills are the venue's trades: each once, with its size."""
    venue: dict[str, int] = {}
    for reply in exchange.handle(GetTrades(exchange.request_id(), key), MarketMs(now)):
        if isinstance(reply, TradesReply):
            for trade in reply.trades:
                row = trade.row
                for order_id, size in ((row.taker_order_id, row.size), *((m.order_id, m.size) for m in row.makers)):
                    if (order := state.by_order_id(order_id)) is not None:
                        venue[f"{row.trade_id}/{order.ref}"] = size
    ours = {name: entry.fill.size for name, entry in state.fills.items() if entry.status.value != "FAILED"}
    problems = [f"fill {name} of {size_text(size)} is not in the journal" for name, size in venue.items()
                if name not in ours]  # fmt: skip
    problems += [f"fill {name} is not the venue's" for name, size in ours.items() if venue.get(name) != size]
    return problems


def _money_problems(state: State, exchange: Exchange, address: str) -> list[str]:
    """The venue's collateral is the ledger's, to the micro-unit (winnings are not redeemed yet)."""
    ours = state.balance("free") + state.balance("reserved")
    theirs = exchange.collateral(address)
    if ours == theirs:
        return []
    return [f"the venue holds {money_text(theirs)} of collateral, the ledger says {money_text(ours)}"]


def _share_problems(state: State, exchange: Exchange, address: str) -> list[str]:
    """Of every token the venue holds what the positions say."""
    ours = {
        position.token_id: left for position in state.positions.values() if (left := at_the_venue(state, position))
    }
    theirs = exchange.holdings(address)
    both = {token: (theirs.get(token, 0), ours.get(token, 0)) for token in sorted(ours.keys() | theirs.keys())}
    return [
        f"token {token}: the venue holds {size_text(there)}, positions say {size_text(here)}"
        for token, (there, here) in both.items()
        if there != here
    ]


def _open_orders(exchange: Exchange, key: str, now: int) -> list[StoredOrder]:
    replies = exchange.handle(GetOpenOrders(exchange.request_id(), key), MarketMs(now))
    return [order for reply in replies if isinstance(reply, OrdersReply) for order in reply.orders]


