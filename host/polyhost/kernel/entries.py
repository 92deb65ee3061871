"""From a plugin's candidate to an intended order: the gates in order, the size, the reservation.

Every candidate leaves exactly one explanation: the order it became, or the first gate that refused it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from msgspec import UNSET

from polyhost.kernel.blocks import Blocks
from polyhost.kernel.core import Core
from polyhost.kernel.depth import fit, whole
from polyhost.kernel.legality import LAST_ORDER_MS
from polyhost.kernel.lifetimes import resting_type
from polyhost.kernel.orders_flow import OrderFlow
from polyhost.kernel.promises import promise
from polyhost.kernel.slots import pending, slot_refusal
from polyhost.kernel.state import MarketState, State
from polyhost.kernel.studies import opinions_why
from polyhost.kernel.volatile import MarketData
from polyhost.model.events import Candidate, Evaluated
from polyhost.model.gateway import OrderDraft
from polyhost.model.market import Market
from polyhost.model.money import (
    FEE_STEP,
    LOT,
    MICRO,
    ONE,
    Micros,
    Ticks,
    money_text,
    notional,
    price_text,
    size_text,
)
from polyhost.model.proposals import Enter, Estimate
from polyhost.model.records import Slot
from polyhost.model.rounding import market_step, safe_price
from polyhost.model.series import window_of
from polyhost.model.words import Action, OrderType, Purpose, Side

REVERSAL_WAIT_MS: Final = 5_000
"""Quotes stay away so long after a reversal was held up by what rests, market ms (ORD-08)."""
CLOSED_IN_TIME: Final = frozenset({Purpose.ENTRY, Purpose.SCALE_IN, Purpose.GRID_LEVEL})
"""Purposes that buy nothing after the time by which a position must be closed, unless it is to be held on purpose."""
ENTRY_PURPOSES = (Purpose.ENTRY, Purpose.SCALE_IN, Purpose.HEDGE, Purpose.GRID_LEVEL)


class Sized(NamedTuple):
    """Shares of an entry."""

    size: Micros
    bought: Micros
    """What the stake would have bought."""
    limited: str
    """What of the book reduced it; empty: nothing."""


class EntryRefused(Exception):  # noqa: N818 a decision, not a fault
    """The first gate that refused a candidate."""

    def __init__(self, gate: str, text: str) -> None:
        super().__init__(f"{gate}: {text}")
        self.gate = gate
        self.text = text


def worst_cost(size: Micros, price: Ticks, market: Market) -> Micros:
    """Most a buy of ``size`` at ``price`` or better can cost, fees included, micro-units.

    Price plus fee rises with the price (its slope is 1 + rate * (1 - 2p) > 0), so the limit price is the worst.
    """
    return notional(size, price) + market.fees.most(size, price)


def affordable(stake: Micros, price: Ticks, step: Micros, market: Market) -> Micros:
    """The largest multiple of ``step`` whose worst cost is at most ``stake``."""
    fees = market.fees
    scale: int = MICRO * (ONE * ONE) ** fees.exponent
    taker, maker = (0, 0) if fees.builder is UNSET else (fees.builder.taker, fees.builder.maker)
    platform = ONE * fees.rate * (price * (ONE - price)) ** fees.exponent
    exact = price * scale + max(platform + price * scale * taker // MICRO, price * scale * maker // MICRO)
    if exact <= 0:
        return 0
    # Rounding makes a cost at most two fee steps less than price and rates say: from here only few steps lead down.
    count: int = (stake + 2 * FEE_STEP) * ONE * scale // (step * exact) + 1
    while count > 0 and worst_cost(count * step, price, market) > stake:
        count -= 1
    return count * step


class Entries:
    """Decides on candidates."""

    def __init__(self, core: Core, flow: OrderFlow, blocks: Blocks) -> None:
        self.core = core
        self.flow = flow
        self.blocks = blocks

    def consider(self, event: Evaluated, candidate: Candidate) -> EntryRefused | None:
        """Place the candidate's order (None), or return the first gate that refused it."""
        core = self.core
        entry = core.state.markets[event.condition_id]
        data = core.data[event.condition_id]
        wish = candidate.proposed.answer
        assert isinstance(wish, Enter)
        try:
            self.may_trade(entry, data, wish.purpose)
            self.same_view(entry, data, event)
            self._may_enter(entry, wish, candidate)
            self._others_over(data, entry.market.condition_id, wish)
            self._order(entry, data, event, candidate, wish)
        except EntryRefused as refusal:
            return refusal
        return None

    # --- gates --------------------------------------------------------------------------------------------------------

    def may_trade(self, entry: MarketState, data: MarketData, purpose: Purpose, reserved: Micros = 0) -> None:
        """New exposure is allowed, in this market and on this book, now. Raises EntryRefused with the first gate.

        ``reserved``: collateral that is reserved already for just this order (a pair's second leg).
        """
        core = self.core
        for name, reason in self.blocks.against(purpose, reserved):
            raise EntryRefused(name, reason)
        market = entry.market
        if not entry.accepting or core.now > market.end - LAST_ORDER_MS:
            raise EntryRefused("market_closed", "the market takes no more orders")
        if market.start is not None and core.now < market.start:
            raise EntryRefused("not_open", "the window has not begun")
        if (wrong := self.blocks.book(data, purpose)) is not None:
            raise EntryRefused(*wrong)

    def same_view(self, entry: MarketState, data: MarketData, event: Evaluated) -> None:
        """What the plugin saw still holds: orders, positions and the book's continuity."""
        if event.state_rev != entry.rev:
            raise EntryRefused("stale_answer", "orders or positions changed since the view")
        if data.book.epoch != event.book_epoch:
            raise EntryRefused("book_lost", "the book's continuity was lost since the view")

    def _may_enter(self, entry: MarketState, wish: Enter, candidate: Candidate) -> None:
        if wish.purpose not in ENTRY_PURPOSES:
            raise EntryRefused("purpose", f"{wish.purpose.value} is no purpose of an entry")
        for plugin, reason in candidate.vetoes:
            raise EntryRefused("veto", f"{plugin}: {reason}")
        condition_id = entry.market.condition_id
        if wish.purpose in CLOSED_IN_TIME and not wish.to_settlement and self.core.now >= self.flow.due(condition_id):
            raise EntryRefused("past_deadline", "what it would buy had to be closed at once")
        if condition_id in self.core.state.open_pairs:
            raise EntryRefused("pair", "two legs are under way in this market")
        refusal = slot_refusal(self.core, condition_id, wish)
        if refusal:
            raise EntryRefused("slot", refusal)

    def _others_over(self, data: MarketData, condition_id: str, wish: Enter) -> None:
        """ORD-08: before a reversal or re-open everything else that could still buy is cancelled and its fate known."""
        waiting = pending(self.core.state, condition_id, wish)
        if not waiting:
            return
        data.reversing_until = self.core.now + REVERSAL_WAIT_MS
        for order in waiting:
            self.flow.cancel(order, for_good=True)
        raise EntryRefused("pending_orders", f"{len(waiting)} orders of this market are not over yet")

    # --- size ---------------------------------------------------------------------------------------------------------

    def _order(
        self, entry: MarketState, data: MarketData, event: Evaluated, candidate: Candidate, wish: Enter
    ) -> None:
        core = self.core
        market = entry.market
        bid, ask = data.book.best(wish.side)
        price = _price(market, wish, ask)
        asked, stake, limited = self._stake(market, candidate, wish)
        sized = self._size(market, data, wish, price, (stake, limited))
        size = sized.size
        order_type, expiration_s, until = OrderType(wish.order_type), 0, 0
        if order_type is OrderType.GTD and wish.valid_s > 0:  # one without a life is refused for its expiration
            until = core.now + round(wish.valid_s * 1_000)
            order_type, expiration_s = resting_type(core.now, until)
        slot = Slot(market.condition_id, wish.side, wish.purpose, wish.key)
        draft = OrderDraft(
            self.flow.next_ref(), market.token(wish.side), Action.BUY, order_type, price, size, market.tick,
            market.neg_risk, wish.post_only, expiration_s,
        )
        why = {
            "plugin": candidate.proposed.plugin, "reason": wish.reason, "view_seq": str(event.view_seq),
            "bid": price_text(bid), "ask": price_text(ask), "book_epoch": str(data.book.epoch),
            "book_age_ms": str(core.now - data.book.changed_at), "price_source": data.book.source,
            "stake": money_text(stake),
            "sized_by": candidate.sized_by or wish.purpose.value, "limited": sized.limited or limited,
            "balance_age_ms": str(core.wall - core.fresh.collateral_wall),
            **opinions_why(event, data.answered_view),
            **{f"parts_{name}": _parts(estimate) for name, estimate in event.estimates if estimate.parts},
            **{f"value_{name}": f"{value:.6g}" for name, value in wish.values.items()},
        }
        why |= _shrunk(candidate, wish, price, (asked, stake, limited), sized)
        illegal = self.flow.place(slot, draft, worst_cost(size, price, market), why, valid_until=until)
        if illegal is not None:
            raise EntryRefused(illegal.rule.replace(" ", "_"), illegal.text)
        promise(core, candidate.proposed.plugin, wish.remember, draft.ref)

    def _size(
        self, market: Market, data: MarketData, wish: Enter, price: Ticks, sized: tuple[Micros, str]
    ) -> Sized:
        """Shares for a stake, and what of the book reduced them (ENT-04).

        Raises EntryRefused below the venue's minimums.
        """
        stake, limited = sized
        order_type = OrderType(wish.order_type)
        step = LOT if order_type.rests else market_step(Action.BUY, price)
        bought = size = affordable(stake, price, step, market)
        fitted = fit(self.core.settings.depth, market, data, wish.side, price, size)
        if fitted.refused:
            raise EntryRefused("spread", fitted.refused)
        if order_type is OrderType.FOK:
            all_of_it = whole(data, wish.side, price, fitted.size)
            fitted = all_of_it if all_of_it.limited else fitted
        size, limited = fitted.size - fitted.size % step, fitted.limited or limited
        why_small = f"stake {money_text(stake)}" + (f" ({limited})" if limited else "")
        by_depth = "depth" if fitted.limited else ""
        if size < market.min_size:
            raise EntryRefused(by_depth or "minimum", f"{size_text(size)} shares for {why_small} is below the minimum")
        if notional(size, price) < market.min_value:
            raise EntryRefused(by_depth or "minimum_value", f"{why_small} is below the venue's minimum value")
        return Sized(size, bought, fitted.limited)

    def _stake(self, market: Market, candidate: Candidate, wish: Enter) -> tuple[Micros, Micros, str]:
        """Collateral that was asked for this entry, what is left of it, and what reduced it (ENT-04)."""
        stakes = [amount for amount in (candidate.stake, wish.stake) if amount is not None]
        if not stakes:
            raise EntryRefused("size", "no plugin sized the entry")
        return min(stakes), *funded(self.core, market, min(stakes))


def _shrunk(
    candidate: Candidate, wish: Enter, price: Ticks, stake: tuple[Micros, Micros, str], sized: Sized
) -> dict[str, str]:
    """What the order kept less of than was wanted, and whom it stands for or has outbid; nothing where nothing was."""
    asked, left, limited = stake
    told = {}
    if len(candidate.stakes) > 1:
        told["stakes"] = ", ".join(f"{name} {money_text(amount)}" for name, amount in candidate.stakes)
    if left < asked:
        told["stake_wanted"] = f"{money_text(asked)}, reduced by {limited}"
    if sized.limited:
        told["size_wanted"] = f"{size_text(sized.bought)}, reduced by {sized.limited}"
    if price < wish.price_max:
        told["price_wanted"] = price_text(wish.price_max)
    for how in dict.fromkeys(lost.how for lost in candidate.lost):
        told[how] = ", ".join(lost.plugin for lost in candidate.lost if lost.how == how)
    return told


def _price(market: Market, wish: Enter, ask: Ticks) -> Ticks:
    """The order's limit on the market's grid; raises EntryRefused when there is none that does what is wished."""
    price = safe_price(Action.BUY, wish.price_max, market.tick)
    if not OrderType(wish.order_type).rests and (ask >= ONE or ask > price):
        raise EntryRefused("price", f"the ask {price_text(ask)} is above the worst price {price_text(price)}")
    if not wish.post_only or price < ask:
        return price
    if ask - market.tick < market.tick:
        raise EntryRefused("post_only", f"no price is left below the ask {price_text(ask)}")
    # The venue would refuse it; a tick below the ask is no worse for us, and rests.
    return safe_price(Action.BUY, ask - market.tick, market.tick)


def need_fresh_balance(core: Core) -> None:
    """Nothing is bought on an old balance (CON-14): raises EntryRefused, and the venue is asked."""
    if not core.balance_fresh():
        core.ask_collateral()
        raise EntryRefused("balance_age", "the balance is too old; it was asked for")


def funded(core: Core, market: Market, stake: Micros) -> tuple[Micros, str]:
    """What limits and funds leave of a stake, and the name of the one that reduced it; raises EntryRefused for nothing.
    """
    need_fresh_balance(core)
    limited = ""
    for name, room in exposure_rooms(core, market):
        if room < stake:
            stake, limited = room, name
    if stake <= 0:
        raise EntryRefused(limited or "size", f"nothing left of {limited or 'the stake'}")
    return stake, limited


def exposure_rooms(core: Core, market: Market, reserved: Micros = 0) -> Iterator[tuple[str, Micros]]:
    """(limit, collateral that may still be put at risk under it); the last is the funds.

    ``reserved``: what is reserved already for the order in question: it is at risk as it is.
    """
    limits = core.settings.limits
    window, symbol, total = exposure(core, market)
    yield "limit_window", int(limits.window) - window + reserved
    yield "limit_symbol", int(limits.symbol) - symbol + reserved
    yield "limit_total", int(limits.total) - total + reserved
    yield "funds", core.available(reserved)


def exposure(core: Core, market: Market) -> tuple[Micros, Micros, Micros]:
    """Collateral at risk in this window, in its symbol and in all: cost of positions and reserved for buys."""
    window = symbol = total = 0
    state = core.state
    for condition_id, amount in at_risk(core.state):
        total += amount
        if condition_id == market.condition_id:
            window += amount
        entry = state.markets.get(condition_id)
        if market.symbol and entry is not None and entry.market.symbol == market.symbol:
            symbol += amount
    for foreign in state.foreign.values():  # a person's own positions count like ours (OPS-06)
        total += foreign.cost
        if foreign.condition_id == market.condition_id:
            window += foreign.cost
        named = window_of(foreign.slug)
        if market.symbol and named is not None and named.symbol == market.symbol:
            symbol += foreign.cost
    return window, symbol, total


def at_risk(state: State) -> Iterator[tuple[str, Micros]]:
    """(condition id, collateral) of every unsettled market with a position or an open buy."""
    for condition_id in state.exposed:
        amount = sum(order.reserve for order in state.open_orders(condition_id))
        pair = state.open_pair(condition_id)
        if pair is not None:
            amount += pair.reserve  # of the leg that is no order yet
        action = state.open_action(condition_id)
        if action is not None:
            amount += action.reserve  # of a split
        for side in (Side.UP, Side.DOWN):
            position = state.positions.get(f"{condition_id}:{side.value}")
            if position is not None and position.size > 0:
                amount += position.cost
        if amount:
            yield condition_id, amount


def _parts(estimate: Estimate) -> str:
    """What a combiner's estimate is made of, in its own order and units."""
    return ", ".join(f"{name} {value:.4g}" for name, value in estimate.parts.items())
