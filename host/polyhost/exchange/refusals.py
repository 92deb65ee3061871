"""The venue's words: what it answers to an order it does not take (polymarket.md 4.4, read 2026-11)."""

from __future__ import annotations

from typing import Final, NamedTuple

from polyhost.model.money import Micros, show_fixed, size_text


class Refusal(NamedTuple):
    """An HTTP status and the text of ``{"error": …}``."""

    http: int
    text: str


INVALID_PAYLOAD: Final = Refusal(400, "Invalid order payload")
INVALID_TOKEN: Final = Refusal(400, "Invalid token id")
NOT_READY: Final = Refusal(400, "the market is not yet ready to process new orders")
MARKET_NOT_FOUND: Final = Refusal(404, "market not found")
INVALID_EXPIRATION: Final = Refusal(400, "invalid expiration")
POST_ONLY_TYPE: Final = Refusal(400, "invalid post-only order: only GTC and GTD orders can be post-only")
POST_ONLY_CROSSES: Final = Refusal(400, "invalid post-only order: order crosses book")
FOK_KILLED: Final = Refusal(400, "order couldn't be fully filled. FOK orders are fully filled or killed.")
FAK_KILLED: Final = Refusal(
    400, "no orders found to match with FAK order. FAK orders are partially filled or killed if no match is found."
)

SERVER_ERROR: Final = Refusal(500, "Internal server error")
ROUNDING: Final = Refusal(500, "the trade contains rounding issues")
RESTARTING: Final = Refusal(425, "service not ready")
POST_ONLY_MODE: Final = Refusal(503, "post-only mode: only post-only orders and cancels are allowed")
POST_ONLY_CODE: Final = "post_only_mode"
CANCEL_ONLY: Final = Refusal(
    503, "Trading is currently cancel-only. New orders are not accepted, but cancels are allowed."
)
TOO_MANY: Final = Refusal(429, "Too Many Requests")

NOT_FOUND: Final = "order not found"
GONE: Final = "already canceled or matched"
DELAYED: Final = "order is delayed and can't be canceled yet"

CANCELED: Final = "CANCELED"
CANCELED_RESOLVED: Final = "CANCELED_MARKET_RESOLVED"
CANCELED_BALANCE: Final = "CANCELED_NOT_ENOUGH_BALANCE"
CANCELED_EXPIRED: Final = "CANCELED_EXPIRED_ORDER"


def duplicated(order_id: str) -> Refusal:
    return Refusal(400, f"order {order_id} is invalid. Duplicated.")


def off_tick(order_id: str, numerator: int, denominator: int, tick: str) -> Refusal:
    """The price is told as the exact fraction it is, to eight places."""
    price = show_fixed(numerator * 10**8 // denominator, 8)
    return Refusal(400, f"order {order_id} is invalid. Price ({price}) breaks minimum tick size rule: {tick}")


def too_small(order_id: str, size: Micros, least: Micros) -> Refusal:
    return Refusal(
        400, f"order {order_id} is invalid. Size ({size_text(size)}) lower than the minimum: {size_text(least)}"
    )


def too_precise(kind: str, maker_decimals: int, taker_decimals: int) -> Refusal:
    return Refusal(
        400,
        f"invalid amounts, the {kind} orders maker amount supports a max accuracy of {maker_decimals} decimals, "
        f"taker amount a max of {taker_decimals} decimals",
    )


def too_little_value(action: str, value: Micros, least: Micros) -> Refusal:
    return Refusal(
        400, f"invalid amount for a marketable {action} order (${size_text(value)}), min size: ${size_text(least)}"
    )


def short_of_balance(balance: Micros, in_orders: Micros, amount: Micros, locked: Micros = 0) -> Refusal:
    """The sum of active (and of matched) orders is told only when there are some: so it differs from being truly short.
    """
    active = f"sum of active orders: {in_orders}, " if in_orders else ""
    matched = f"sum of matched orders: {locked}, " if locked else ""
    return Refusal(
        400,
        "not enough balance / allowance: the balance is not enough -> "
        f"balance: {balance}, {active}{matched}order amount: {amount}",
    )


def short_of_allowance(amount: Micros) -> Refusal:
    return Refusal(
        400, f"not enough balance / allowance: the allowance is not enough -> allowance: 0, order amount: {amount}"
    )
