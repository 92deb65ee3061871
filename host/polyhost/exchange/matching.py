"""Matching: a taker walks the opposite side, best price first, oldest order first, at the resting orders' prices.

Two orders meet whatever their tokens: a buy of UP at p and a buy of DOWN at 1 - p mint a pair, two sells merge one, a
buy and a sell of one token exchange it. One trade is made for each price level. Money is rounded down for each party;
the taker's fee is charged in collateral on top of (BUY) or out of (SELL) the trade's money, and so is what an order's
builder code costs, the taker's and the maker's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from polyhost.exchange.accounts import Bank
from polyhost.exchange.orders import resting_cost
from polyhost.model.money import LOT, ONE, Micros, Ticks, taker_fee
from polyhost.model.words import Action, Side

if TYPE_CHECKING:
    from polyhost.exchange.market import MarketState
    from polyhost.exchange.orders import Order


class Fill:
    """A trade in the making: one taker at one price, with a slice for each resting order it met."""

    __slots__ = ("builder_fee", "fee", "maker_fees", "money", "price", "size", "slices", "taker", "up_price")

    def __init__(self, taker: Order, up_price: Ticks) -> None:
        self.taker = taker
        self.up_price = up_price
        self.price: Ticks = up_price if taker.side is Side.UP else ONE - up_price
        """In ticks of the taker's token."""
        self.size: Micros = 0
        self.money: Micros = 0
        self.fee: Micros = 0
        """Charged to the taker, its builder's fee included."""
        self.builder_fee: Micros = 0
        """Of it, the builder's."""
        self.maker_fees: list[Micros] = []
        """What each slice's maker was charged for its builder."""
        self.slices: list[tuple[Order, Micros]] = []

    def costs(self, size: Micros) -> tuple[Micros, Micros]:
        """What the taker's money and fee come to with ``size`` more."""
        total = self.size + size
        money = total * self.price // ONE
        fees = self.taker.state.market.fees
        fee = taker_fee(total, self.price, fees.rate, fees.exponent)
        builder = self.taker.builder
        return money, fee if builder is None else fee + builder.fee(money, maker=False)


def own_price(order: Order, up_price: Ticks) -> Ticks:
    return up_price if order.side is Side.UP else ONE - up_price


def payable(fill: Fill, maker: Order, size: Micros) -> Micros:
    """How much of a slice the taker can pay: usually all of it.

    A BUY was taken with its fee at the limit, but each trade's fee is rounded by itself: the last 0.01 share of a sweep
    may be some micro-units too dear for an account that was exactly rich enough.
    """
    taker = fill.taker
    if taker.account.house:
        return size
    if taker.action is Action.SELL:
        return min(size, taker.account.shares.get(taker.token_id, 0))
    while size > 0:
        short = _cost(fill, maker, size) - taker.account.collateral
        if short <= 0:
            return size
        lots = -(-short // fill.price)  # One lot (0.01 share) costs as many micro-units as its price has ticks.
        size -= lots * LOT
    return 0


def _cost(fill: Fill, maker: Order, size: Micros) -> Micros:
    """What a slice costs its BUY taker: money, fee and, when it meets an order of its own, that one too."""
    money, fee = fill.costs(size)
    cost = money - fill.money + fee - fill.fee
    if maker.account is fill.taker.account and maker.action is Action.BUY:
        cost += resting_cost(size * own_price(maker, fill.up_price) // ONE, maker.builder)
    return cost


def maker_can_pay(maker: Order, up_price: Ticks, size: Micros) -> bool:
    account = maker.account
    if account.house:
        return True
    if maker.action is Action.BUY:
        return account.collateral >= resting_cost(size * own_price(maker, up_price) // ONE, maker.builder)
    return account.shares.get(maker.token_id, 0) >= size


def settle(bank: Bank, fill: Fill, maker: Order, size: Micros) -> None:
    """Move shares and money of one slice; both parties can pay (see above)."""
    taker, state = fill.taker, fill.taker.state
    money, fee = fill.costs(size)
    taker_money, taker_cost = money - fill.money, fee - fill.fee
    maker_money = size * own_price(maker, fill.up_price) // ONE
    paid = received = minted = 0
    for order, amount in ((taker, taker_money), (maker, maker_money)):
        if order.action is Action.BUY:
            bank.buy(order.account, state, order.token_id, size, amount)
            paid += amount
            minted += size
        else:
            bank.sell(order.account, state, order.token_id, size, amount)
            received += amount
            minted -= size
    # Both bought: a pair was minted. Both sold: a pair was merged. One each: shares changed hands.
    bank.balance_pot(state, minted // 2 if minted else 0, paid, received)
    bank.charge(taker.account, taker_cost)
    if taker.builder is not None:
        due = taker.builder.fee(money, maker=False)
        bank.credit(taker.builder.code, due - fill.builder_fee)
        fill.builder_fee = due
    fill.maker_fees.append(_charge_maker(bank, maker, maker_money))
    fill.money, fill.fee = money, fee
    fill.size += size
    fill.slices.append((maker, size))
    taker.left -= size
    maker.left -= size


def _charge_maker(bank: Bank, maker: Order, money: Micros) -> Micros:
    """What the maker's builder code costs it."""
    if maker.builder is None:
        return 0
    fee = maker.builder.fee(money, maker=True)
    bank.charge(maker.account, fee)
    bank.credit(maker.builder.code, fee)
    return fee


def reachable(state: MarketState, taker: Order) -> list[tuple[Ticks, Micros]]:
    """What an order could match now, best first: (UP price, size), in all at most what is left of it."""
    found: list[tuple[Ticks, Micros]] = []
    book, left = state.displayed, taker.left
    if not book.ready:
        return found
    bids = not taker.is_bid
    levels = book.bids if bids else book.asks
    for price in sorted(levels, reverse=bids):
        if not left or (price > taker.up_price if taker.is_bid else price < taker.up_price):
            break
        held = min(left, levels[price]) if state.mirror is None else state.mirror.available(bids, price, left)
        if held > 0:
            found.append((price, held))
            left -= held
    return found


def can_fill_whole(state: MarketState, taker: Order) -> bool:
    """Is there enough for a FOK, and can its account pay every level of it, fees and its other orders included?"""
    levels = reachable(state, taker)
    if sum(size for _, size in levels) < taker.left:
        return False
    if taker.action is Action.SELL or taker.account.house:
        return True
    cost = sum(sum(Fill(taker, price).costs(size)) for price, size in levels)
    others = taker.account.buying.get(state.condition_id, 0) - taker.reserved
    return cost + others <= taker.account.collateral
