"""Orders and trades as the venue reports them, over REST or the user stream, in our own terms.

The two sources differ in spelling only (prefixed statuses, ``match_time`` or ``matchtime``, seconds or milliseconds,
empty strings for what is not known); one parser serves both. Raises ValueError naming the field and its value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final, Protocol

from polyhost.model.events import AuditRow, EarnedRow
from polyhost.model.gateway import MakerSlice, OrderRow, PositionRow, TradeRow
from polyhost.model.market import normal_token
from polyhost.model.money import MICRO, ONE, Micros, Ticks, parse_fixed
from polyhost.model.words import Action

ORDER_PREFIX: Final = "ORDER_STATUS_"
TRADE_PREFIX: Final = "TRADE_STATUS_"
MS_SINCE: Final = 10**11
"""Epoch numbers from here on are milliseconds (as seconds they would be after the year 5138)."""
PRICE_DIGITS: Final = 18
"""Decimals accepted in a price before it is brought to ticks."""


class Holding(Protocol):
    """A position as a client parsed it: what of it we read."""

    @property
    def asset_id(self) -> object: ...
    @property
    def condition_id(self) -> object: ...
    @property
    def current_size(self) -> Decimal: ...
    @property
    def total_size(self) -> Decimal: ...
    @property
    def avg_price(self) -> Decimal: ...
    @property
    def entry_fees_usdc(self) -> Decimal: ...
    @property
    def total_pnl(self) -> Decimal: ...
    @property
    def slug(self) -> str | None: ...
    @property
    def redeemable(self) -> bool: ...
    @property
    def status(self) -> str: ...


class Rewarded(Protocol):
    """A day's reward of one market and asset."""

    @property
    def condition_id(self) -> object: ...
    @property
    def earnings(self) -> Decimal: ...
    @property
    def asset_rate(self) -> Decimal: ...


class Rebated(Protocol):
    """A day's rebate of one market."""

    @property
    def condition_id(self) -> object: ...
    @property
    def rebated_fees_usdc(self) -> Decimal: ...


def order_row(data: Mapping[str, Any]) -> OrderRow:
    """One order. An empty ``size_matched`` is None: the venue did not say."""
    action = _action(data)
    matched = data.get("size_matched")
    return OrderRow(
        order_id=_text(data, "id"),
        condition_id=_text(data, "market"),
        token_id=normal_token(_text(data, "asset_id")),
        action=action,
        price=_price(data, action) if data.get("price") not in (None, "") else 0,
        original_size=_size(data, "original_size") if data.get("original_size") not in (None, "") else 0,
        size_matched=None if matched in (None, "") else _size(data, "size_matched"),
        status=str(data.get("status") or "").removeprefix(ORDER_PREFIX),
        kind=str(data.get("type") or "") if data.get("type") in ("PLACEMENT", "UPDATE", "CANCELLATION") else "",
    )


def trade_row(data: Mapping[str, Any]) -> TradeRow:
    """One trade with all its maker orders; the caller takes the slice of its own order."""
    action = _action(data)
    return TradeRow(
        trade_id=_text(data, "id"),
        condition_id=_text(data, "market"),
        token_id=normal_token(_text(data, "asset_id")),
        taker_order_id=_text(data, "taker_order_id"),
        action=action,
        price=_price(data, action),
        size=_size(data, "size"),
        status=str(data.get("status") or "").removeprefix(TRADE_PREFIX),
        matched_s=_matched_s(data),
        makers=tuple(_maker(entry, data) for entry in data.get("maker_orders") or ()),
    )


def position_row(position: Holding) -> PositionRow:
    """What the wallet holds of one token; sizes rounded down, costs up, to what we count in."""
    if position.current_size < 0 or position.avg_price < 0:
        raise ValueError(f"a size of {position.current_size} at {position.avg_price}")
    size = int(position.current_size * MICRO)
    held = position.current_size / position.total_size if position.total_size > 0 else Decimal(0)
    return PositionRow(
        token_id=normal_token(str(position.asset_id)),
        condition_id=str(position.condition_id),
        size=size,
        average=min(_up(position.avg_price * ONE), ONE),
        fees=max(_up(position.entry_fees_usdc * min(held, Decimal(1)) * MICRO), 0),
        slug=position.slug or "",
        resolved=position.redeemable or position.status == "REDEEMABLE",
    )


def audit_row(position: Holding) -> AuditRow:
    """What a token brought after fees: the venue counts those of sells in its P&L, and those of buys beside it."""
    net = position.total_pnl - position.entry_fees_usdc
    return AuditRow(normal_token(str(position.asset_id)), int((net * MICRO).to_integral_value()))


def _up(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_CEILING))


def _maker(entry: Mapping[str, Any], trade: Mapping[str, Any]) -> MakerSlice:
    # Before V2 maker entries had no side: it is the opposite of the taker's on the same token, and the same on the
    # other token (a mint or a merge).
    token = normal_token(_text(entry, "asset_id"))
    if entry.get("side") in ("BUY", "SELL"):
        action = Action(entry["side"])
    else:
        same = token == normal_token(_text(trade, "asset_id"))
        taker = _action(trade)
        action = taker if not same else Action.SELL if taker is Action.BUY else Action.BUY
    return MakerSlice(
        order_id=_text(entry, "order_id"),
        token_id=token,
        action=action,
        price=_price(entry, action),
        size=_size(entry, "matched_amount"),
    )


def _text(data: Mapping[str, Any], field: str) -> str:
    value = data.get(field)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{field} is {value!r}")
    return value


def _action(data: Mapping[str, Any]) -> Action:
    value = data.get("side")
    if value not in ("BUY", "SELL"):
        raise ValueError(f"side is {value!r}")
    return Action(value)


def _size(data: Mapping[str, Any], field: str) -> Micros:
    return parse_fixed(str(data.get(field)), 6, field)


def _price(data: Mapping[str, Any], action: Action) -> Ticks:
    """In ticks; a price between two ticks (an average over several makers) is taken as the one worse for us."""
    exact = parse_fixed(str(data.get("price")), PRICE_DIGITS, "price")
    unit: int = 10 ** (PRICE_DIGITS - 4)
    return -(-exact // unit) if action is Action.BUY else exact // unit


def _matched_s(data: Mapping[str, Any]) -> int:
    for field in ("match_time", "matchtime", "timestamp", "last_update"):
        value = data.get(field)
        if value not in (None, ""):
            return epoch_s(value, field)
    return 0


def epoch_s(value: object, field: str = "time") -> int:
    """Unix seconds from a number or text in seconds or milliseconds, or from an ISO time."""
    text = str(value)
    if text.isascii() and text.isdigit():
        number = int(text)
        return number // 1_000 if number >= MS_SINCE else number
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{field} is {value!r}") from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def earned_rows(rewards: Iterable[Rewarded], rebates: Iterable[Rebated]) -> tuple[EarnedRow, ...]:
    """By market what a day brought; several rows of a market (one an asset) are summed. Parts of a micro-unit go."""
    found: dict[str, list[Decimal]] = {}
    for earning in rewards:
        found.setdefault(str(earning.condition_id), [Decimal(), Decimal()])[0] += earning.earnings * earning.asset_rate
    for rebate in rebates:
        found.setdefault(str(rebate.condition_id), [Decimal(), Decimal()])[1] += rebate.rebated_fees_usdc
    return tuple(
        EarnedRow(condition_id, int(rewarded * MICRO), int(rebated * MICRO))
        for condition_id, (rewarded, rebated) in found.items()
    )
