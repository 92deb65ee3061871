"""The catalogue's market object in our own terms, whether it comes from Gamma or from a tape that lacks fields.

Pure and synchronous. What an object does not state gets the documented default and is named in ``Market.assumed``.
Raises GammaError naming slug, field and value when a field cannot be what it claims to be.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct

from polyhost.model.market import Fees, Market, normal_token
from polyhost.model.money import ONE, Micros, Ppm, Ticks, parse_fixed
from polyhost.model.rounding import TICK_RULES
from polyhost.model.series import DAY, HOUR, WindowName, window_at, window_of
from polyhost.model.times import MarketMs
from polyhost.model.words import SettlementRule, Side

TICK_DEFAULT: Final[Ticks] = 100
MIN_SIZE_DEFAULT: Final[Micros] = 5_000_000
FEE_DEFAULT: Final[Ppm] = 70_000
"""Tick 0.01, minimum 5 shares, crypto taker rate 0.07: requirements.md, Defaults."""
TWAP_SINCE: Final = 1_786_060_800_000
"""2026-08-07: crypto Up or Down windows settle on a TWAP from here on (docs.polymarket.com changelog)."""
MINUTE_CANDLE: Final = ("1 minute candle", "1-minute candle", "1m candle", "one-minute candle")
"""How a description says that closes of single minutes decide, not the open and close of the window's own candle."""
NAMED_RULES: Final = {
    HOUR: SettlementRule.CANDLE, DAY: SettlementRule.CANDLE_CLOSES, 14_400: SettlementRule.SPOT,
}
"""What settles windows of these lengths when the object does not say (polymarket.md 8.2; 4 h: the TWAP came to 5 m and
15 m only)."""
UP_NAMES: Final = ("up", "yes")
DOWN_NAMES: Final = ("down", "no")
PRICE_E8_PLACES: Final = 18


class GammaError(ValueError):
    """A market object that cannot be understood. ``slug``, ``field`` and ``value`` name the culprit."""

    def __init__(self, slug: str, field: str, value: object, problem: str) -> None:
        super().__init__(f"market {slug or '?'}: {field} {value!r} {problem}")
        self.slug = slug
        self.field = field
        self.value = value


class Resolution(Struct, frozen=True):
    """A market's result. ``winner`` None: 50-50. ``strike`` and ``final`` in 1e-8, None when not told."""

    condition_id: str
    slug: str
    winner: Side | None
    strike: int | None = None
    final: int | None = None


def market_of(data: Mapping[str, Any]) -> Market:
    """The market an object describes. Raises GammaError."""
    slug = _required_text(data, "slug", "")
    window = window_of(slug)
    up, down = _tokens(data, slug)
    assumed: list[str] = []
    untold: list[str] = []
    end = _end(data, slug, untold)
    start = _start(data, slug, end, assumed)
    assumed += untold
    if start is not None and end <= start:
        raise GammaError(slug, "endDate", data.get("endDate"), "is not after the window's start")
    return Market(
        slug=slug,
        condition_id=_condition(data, slug, assumed),
        up=up,
        down=down,
        end=end,
        start=start,
        symbol=window.symbol if window else "",
        duration_s=_duration_s(window, start, end),
        tick=_tick(data, slug, assumed),
        min_size=_size(data, slug, "orderMinSize", MIN_SIZE_DEFAULT, assumed, "min_size"),
        fees=_fees(data, slug, assumed),
        neg_risk=_flag(data, "negRisk", False),
        # Crypto windows hold marketable orders for a moment; others name their delay in seconds.
        taker_delay=window is not None or bool(data.get("secondsDelay")),
        rule=_rule(data, start, window, assumed),
        reward_min_size=_size(data, slug, "rewardsMinSize", 0, [], ""),
        reward_max_spread=_reward_spread(data, slug),
        reward_rate_day=_reward_rate(data, slug),
        accepting=_flag(data, "acceptingOrders", not _flag(data, "closed", False)),
        question=str(data.get("question") or ""),
        assumed=tuple(assumed),
    )


def resolution_of(data: Mapping[str, Any]) -> Resolution | None:
    """The result an object states, or None while it states none. Raises GammaError."""
    slug = _required_text(data, "slug", "")
    if not _flag(data, "closed", False) or data.get("outcomePrices") in (None, ""):
        return None
    prices = [_fixed(slug, "outcomePrices", price, 6) for price in _list(data, "outcomePrices", slug)]
    up = _up_index(data, slug)
    if len(prices) != 2:
        raise GammaError(slug, "outcomePrices", data.get("outcomePrices"), "are not two prices")
    pair = (prices[up], prices[1 - up])
    results: dict[tuple[int, int], Side | None] = {
        (1_000_000, 0): Side.UP,
        (0, 1_000_000): Side.DOWN,
        (500_000, 500_000): None,
    }
    if pair not in results:
        # Closed, but still showing trading prices: the result is not there yet.
        return None
    details = _metadata(data)
    return Resolution(
        condition_id=_condition(data, slug, []),
        slug=slug,
        winner=results[pair],
        strike=_price_e8(slug, "priceToBeat", details.get("priceToBeat")),
        final=_price_e8(slug, "finalPrice", details.get("finalPrice")),
    )


def _metadata(data: Mapping[str, Any]) -> Mapping[str, Any]:
    events = data.get("events")
    for holder in (data, *(events if isinstance(events, list) else ())):
        details = holder.get("eventMetadata") if isinstance(holder, dict) else None
        if isinstance(details, dict):
            return details
    return {}


def _price_e8(slug: str, field: str, value: object) -> int | None:
    if value in (None, ""):
        return None
    unit: int = 10 ** (PRICE_E8_PLACES - 8)
    return _fixed(slug, field, value, PRICE_E8_PLACES) // unit


def _required_text(data: Mapping[str, Any], field: str, slug: str) -> str:
    value = data.get(field)
    if not isinstance(value, str) or not value.strip():
        raise GammaError(slug, field, value, "is missing")
    return value


def _condition(data: Mapping[str, Any], slug: str, assumed: list[str]) -> str:
    """A tape may lack the condition id: the slug names the market as well."""
    value = data.get("conditionId")
    if isinstance(value, str) and value:
        return value
    assumed.append("condition_id")
    return slug


def _list(data: Mapping[str, Any], field: str, slug: str) -> list[Any]:
    """A field that is a list, or a list as JSON text, as Gamma writes it."""
    value = data.get(field)
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    if not isinstance(found, list):
        raise GammaError(slug, field, value, "is not a list")
    return found


def _up_index(data: Mapping[str, Any], slug: str) -> int:
    """Which of the two outcomes is UP (or Yes, or simply the first)."""
    names = [str(name).strip().lower() for name in _list(data, "outcomes", slug)] if data.get("outcomes") else []
    if names and len(names) != 2:
        raise GammaError(slug, "outcomes", data.get("outcomes"), "are not two")
    return 1 if names and (names[0] in DOWN_NAMES or names[1] in UP_NAMES) else 0


def _tokens(data: Mapping[str, Any], slug: str) -> tuple[str, str]:
    field = "positionIds" if data.get("version") == "v2" and data.get("positionIds") else "clobTokenIds"
    tokens = [normal_token(str(token)) for token in _list(data, field, slug)]
    if len(tokens) != 2 or not all(tokens) or tokens[0] == tokens[1]:
        raise GammaError(slug, field, data.get(field), "are not two token ids")
    up = _up_index(data, slug)
    return tokens[up], tokens[1 - up]


def _moment(slug: str, field: str, value: object) -> MarketMs:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise GammaError(slug, field, value, "is not a time") from error
    return MarketMs(round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000))


def _start(data: Mapping[str, Any], slug: str, end: MarketMs, assumed: list[str]) -> MarketMs | None:
    if data.get("eventStartTime"):
        return _moment(slug, "eventStartTime", data["eventStartTime"])
    window = window_of(slug)
    if window is None:
        return None
    assumed.append("start")
    # Of two hours with one name, and of names without a year, the end tells which is meant.
    return window_at(window.duration_s, end - 1)[0] if window.duration_s in (HOUR, DAY) else window.start


def _end(data: Mapping[str, Any], slug: str, assumed: list[str]) -> MarketMs:
    if data.get("endDate"):
        return _moment(slug, "endDate", data["endDate"])
    window = window_of(slug)
    if window is None or window.start is None:
        raise GammaError(slug, "endDate", data.get("endDate"), "is missing")
    assumed.append("end")
    return window_at(window.duration_s, window.start)[1]


def _duration_s(window: WindowName | None, start: int | None, end: int) -> int:
    """A series' own length (of a day: nominal); of a market without a series the time between its start and end."""
    if window is not None:
        return window.duration_s
    return 0 if start is None else (end - start) // 1_000


def _fixed(slug: str, field: str, value: object, places: int) -> int:
    # repr of a float is its shortest decimal, which is what the JSON text said.
    text = value if isinstance(value, str) else repr(value)
    if "e" in text.lower() and isinstance(value, int | float):
        text = f"{value:.{places}f}"
    try:
        return parse_fixed(text, places, field)
    except ValueError as error:
        raise GammaError(slug, field, value, f"is not a decimal with at most {places} places") from error


def _tick(data: Mapping[str, Any], slug: str, assumed: list[str]) -> Ticks:
    value = data.get("orderPriceMinTickSize")
    if value in (None, ""):
        assumed.append("tick")
        return TICK_DEFAULT
    tick = _fixed(slug, "orderPriceMinTickSize", value, 4)
    if tick not in TICK_RULES:
        raise GammaError(slug, "orderPriceMinTickSize", value, "is no tick size of the venue")
    return tick


def _size(
    data: Mapping[str, Any], slug: str, field: str, default: Micros, assumed: list[str], name: str
) -> Micros:
    value = data.get(field)
    if value in (None, ""):
        assumed.append(name)
        return default
    size = _fixed(slug, field, value, 6)
    if size < 0:
        raise GammaError(slug, field, value, "is negative")
    return size


def _reward_spread(data: Mapping[str, Any], slug: str) -> Ticks:
    """Told in cents, down to a tenth."""
    value = data.get("rewardsMaxSpread")
    return 0 if value in (None, "") else min(_fixed(slug, "rewardsMaxSpread", value, 2), ONE)


def _reward_rate(data: Mapping[str, Any], slug: str) -> Micros:
    """All programs of the market together, a day."""
    programs = data.get("clobRewards")
    rates = [each.get("rewardsDailyRate") for each in programs or () if isinstance(each, dict)]
    return sum(_fixed(slug, "rewardsDailyRate", rate, 6) for rate in rates if rate not in (None, ""))


def _fees(data: Mapping[str, Any], slug: str, assumed: list[str]) -> Fees:
    """Never from makerBaseFee or takerBaseFee: those are a dead schedule's."""
    schedule = data.get("feeSchedule")
    if data.get("feesEnabled") is False:
        return Fees(0)
    if not isinstance(schedule, dict) or schedule.get("rate") is None:
        assumed.append("fees")
        return Fees(FEE_DEFAULT)
    rate = _fixed(slug, "feeSchedule.rate", schedule["rate"], 6)
    exponent = schedule.get("exponent", 1)
    if rate < 0 or exponent not in (0, 1, 2, 3, 4):
        raise GammaError(slug, "feeSchedule", schedule, "is not a fee schedule we know")
    return Fees(rate, int(exponent))


def _flag(data: Mapping[str, Any], field: str, default: bool) -> bool:
    value = data.get(field)
    return value if isinstance(value, bool) else default


def _rule(data: Mapping[str, Any], start: int | None, window: WindowName | None, assumed: list[str]) -> SettlementRule:
    """The settlement rule as the object states it; for a window that states none, the venue's rule of its date.

    The words are read before ``twapEnabled: false``, which says what the rule is not: an hourly window's is a candle.
    """
    config = data.get("cryptoMarketConfig")
    twap = config.get("twapEnabled") if isinstance(config, dict) else None
    words = f"{data.get('resolutionSource') or ''} {data.get('description') or ''}".lower()
    if twap is True or (twap is None and "twap" in words):
        return SettlementRule.TWAP_60
    if "binance" in words and "candle" in words:
        minute = any(name in words for name in MINUTE_CANDLE)
        return SettlementRule.CANDLE_CLOSES if minute else SettlementRule.CANDLE
    if twap is False and (window is None or window.duration_s not in NAMED_RULES):
        return SettlementRule.SPOT
    if "data.chain.link" in words or "chainlink" in words:
        return SettlementRule.SPOT
    if window is None or start is None:
        return SettlementRule.ORACLE
    assumed.append("rule")
    return NAMED_RULES.get(
        window.duration_s, SettlementRule.TWAP_60 if start >= TWAP_SINCE else SettlementRule.SPOT
    )
