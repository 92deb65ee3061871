"""What the venue checks before it takes an order (polymarket.md 4), in the order of its checks.

A check answers with a refusal or None. The limit price is what the signed amounts imply, as an exact fraction.
"""

from __future__ import annotations

from typing import NamedTuple

from polyhost.exchange import refusals
from polyhost.exchange.accounts import Account, money_for
from polyhost.exchange.api import NewOrder
from polyhost.exchange.market import MarketState
from polyhost.exchange.orders import resting_cost
from polyhost.exchange.refusals import Refusal
from polyhost.exchange.rules import ExchangeRules
from polyhost.model.builder import Builder
from polyhost.model.money import LOT, ONE, Micros, Ticks, price_text, taker_fee
from polyhost.model.rounding import TICK_RULES
from polyhost.model.words import Action, OrderType

COARSE_DECIMALS = 4
"""Decimals of a market order's other amount at ticks of 0.01 and coarser; finer ticks have the tick table's own."""


class Terms(NamedTuple):
    """What the signed amounts say: size in shares, and the limit as the last whole 1e-4 not worse than it."""

    size: Micros
    price: Ticks
    numerator: Micros
    denominator: Micros

    @property
    def exact(self) -> bool:
        return self.price * self.denominator == self.numerator * ONE


def terms_of(order: NewOrder) -> Terms | None:
    """Size and limit of an order; None when an amount is not positive."""
    if order.maker_amount <= 0 or order.taker_amount <= 0:
        return None
    if order.action is Action.BUY:
        price = order.maker_amount * ONE // order.taker_amount
        return Terms(order.taker_amount, price, order.maker_amount, order.taker_amount)
    price = -(-order.taker_amount * ONE // order.maker_amount)
    return Terms(order.maker_amount, price, order.taker_amount, order.maker_amount)


def check_form(order: NewOrder, terms: Terms, state: MarketState, rules: ExchangeRules, now: int) -> Refusal | None:
    """Everything that can be said without accounts and books."""
    return (
        _check_type(order, rules, now)
        or (_check_limit(order, terms, state) if order.order_type.rests else _check_market(order, terms, state))
    )


def _check_type(order: NewOrder, rules: ExchangeRules, now: int) -> Refusal | None:
    if order.post_only and not order.order_type.rests:
        return refusals.POST_ONLY_TYPE
    if order.order_type is OrderType.GTD:
        return None if order.expiration_s * 1_000 >= now + rules.gtd_early_ms else refusals.INVALID_EXPIRATION
    return refusals.INVALID_EXPIRATION if order.expiration_s else None


def _check_limit(order: NewOrder, terms: Terms, state: MarketState) -> Refusal | None:
    market = state.market
    rule = TICK_RULES[market.tick]
    if terms.size % LOT:
        kind = order.action.lower()
        decimals = (rule.amount_decimals, 2) if order.action is Action.BUY else (2, rule.amount_decimals)
        return refusals.too_precise(kind, *decimals)
    in_range = market.tick <= terms.price <= ONE - market.tick
    if not terms.exact or terms.price % market.tick or not in_range:
        return _off_tick(order, terms, state)
    if terms.size < market.min_size:
        return refusals.too_small(order.order_id, terms.size, market.min_size)
    return None


def _check_market(order: NewOrder, terms: Terms, state: MarketState) -> Refusal | None:
    """A FAK or FOK: cents (BUY) or 0.01 shares (SELL) given, four decimals asked; the implied limit may lie between
    ticks, and then meets only what is at least as good."""
    tick = state.market.tick
    decimals = max(COARSE_DECIMALS, TICK_RULES[tick].amount_decimals)
    if order.maker_amount % LOT or order.taker_amount % 10 ** (6 - decimals):
        return refusals.too_precise(f"market {order.action.lower()}", 2, decimals)
    rest = terms.price % tick
    safe = terms.price - rest if order.action is Action.BUY or not rest else terms.price - rest + tick
    return None if tick <= safe <= ONE - tick else _off_tick(order, terms, state)


def _off_tick(order: NewOrder, terms: Terms, state: MarketState) -> Refusal:
    return refusals.off_tick(order.order_id, terms.numerator, terms.denominator, price_text(state.market.tick))


def check_value(order: NewOrder, terms: Terms, state: MarketState) -> Refusal | None:
    """A marketable BUY gives at least 1 unit of collateral; a FAK or FOK SELL is worth that at the best bid.

    The venue's SELL rule is known by its text only; valued at the best bid it cannot be dodged or missed by the limit.
    """
    least = state.market.min_value
    if order.action is Action.BUY:
        return refusals.too_little_value("BUY", order.maker_amount, least) if order.maker_amount < least else None
    if order.order_type.rests:
        return None
    best = _best_bid(state, order.token_id)
    value = money_for(terms.size, best)
    return refusals.too_little_value("SELL", value, least) if best and value < least else None


def _best_bid(state: MarketState, token_id: str) -> Ticks:
    """Best bid of a token; 0 when there is none."""
    book = state.displayed
    return book.best_bid if token_id == state.market.up else ONE - book.best_ask


def check_funds(
    order: NewOrder, terms: Terms, state: MarketState, account: Account, marketable: bool, builder: Builder | None
) -> Refusal | None:
    """Σ open BUY notional of the market <= collateral, Σ open SELLs <= visible shares; a taker's BUY with its fee.

    What a builder code costs is held back too: a resting order at the makers' rate, a taker at its own.
    """
    if order.action is Action.BUY:
        amount = resting_cost(order.maker_amount, builder)
        amount += fee_at_limit(state, terms, builder) if marketable else 0
        has, used = account.collateral, account.buying.get(state.condition_id, 0)
        locked = account.locked
    else:
        amount = terms.size
        has, used, locked = account.visible(order.token_id), account.selling.get(order.token_id, 0), 0
    if not account.approved:
        return refusals.short_of_allowance(amount)
    return refusals.short_of_balance(has, used, amount, locked) if used + locked + amount > has else None


def fee_at_limit(state: MarketState, terms: Terms, builder: Builder | None) -> Micros:
    """The most a taker's BUY can be charged beyond what it would cost resting.

    Price plus fee rises with the price, so it is that at the limit.
    """
    fees = state.market.fees
    fee = taker_fee(terms.size, terms.price, fees.rate, fees.exponent)
    if builder is None:
        return fee
    money = money_for(terms.size, terms.price)
    return fee + max(builder.fee(money, maker=False) - builder.fee(money, maker=True), 0)
