from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from polyhost.model.market import Fees
from polyhost.model.words import SettlementRule, Side
from polyhost.venue.polymarket.gamma import GammaError, Resolution, market_of, resolution_of

TAPES = Path(os.environ.get("POLYHOST_TAPES") or Path(__file__).resolve().parents[2].parent / "shared" / "tapes")


def _objects(name: str) -> Iterator[dict[str, Any]]:
    path = TAPES / name
    if not path.exists():
        pytest.skip(f"no recording {path}")
    with gzip.open(path, "rt") as lines:
        for line in lines:
            if '"source":"gamma"' in line:
                yield json.loads(line)["msg"]


def test_reading_market_objects_loads_neither_the_client_nor_asyncio() -> None:
    """Backtests read them too, and must not pay for a venue."""
    code = (
        "import sys, polyhost.venue.polymarket.gamma; "
        "sys.exit(bool({'polymarket', 'asyncio', 'httpx', 'websockets'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_con_09_a_window_as_gamma_describes_it(gamma_object: dict[str, Any]) -> None:
    market = market_of(gamma_object)
    assert market.slug == "btc-updown-5m-1795225800"
    assert (market.start, market.end, market.duration_s) == (1_795_225_800_000, 1_795_226_100_000, 300)
    assert market.up == json.loads(gamma_object["clobTokenIds"])[0]
    assert (market.symbol, market.tick, market.min_size) == ("BTC", 100, 5_000_000)
    assert market.fees == Fees(70_000, 1)
    assert (market.reward_min_size, market.reward_max_spread) == (50_000_000, 450)
    assert market.rule is SettlementRule.TWAP_60
    assert market.accepting
    assert not market.neg_risk
    assert market.assumed == ()


def test_outcomes_in_the_other_order_swap_the_tokens(gamma_object: dict[str, Any]) -> None:
    straight = market_of(gamma_object)
    swapped = market_of(gamma_object | {"outcomes": '["Down", "Up"]'})
    assert (swapped.up, swapped.down) == (straight.down, straight.up)


def test_what_an_object_does_not_state_is_assumed_by_name(gamma_object: dict[str, Any]) -> None:
    sparse = {key: gamma_object[key] for key in ("slug", "outcomes", "clobTokenIds")}
    market = market_of(sparse)
    assert market.assumed == ("start", "end", "condition_id", "tick", "min_size", "fees", "rule")
    assert (market.tick, market.min_size, market.fees.rate) == (100, 5_000_000, 70_000)
    assert (market.start, market.end) == (1_795_225_800_000, 1_795_226_100_000)
    assert market.condition_id == market.slug


def test_a_market_without_fees_has_none(gamma_object: dict[str, Any]) -> None:
    assert market_of(gamma_object | {"feesEnabled": False}).fees.rate == 0


def test_con_15_a_plain_binary_market_has_neither_start_nor_symbol(gamma_object: dict[str, Any]) -> None:
    plain = gamma_object | {"slug": "will-it-rain", "outcomes": '["Yes", "No"]', "resolutionSource": ""}
    del plain["eventStartTime"]
    market = market_of(plain)
    assert (market.start, market.symbol, market.duration_s) == (None, "", 0)
    assert market.rule is SettlementRule.ORACLE
    assert not market.taker_delay


@pytest.mark.parametrize(
    ("stated", "rule"),
    [
        ({"cryptoMarketConfig": {"twapEnabled": False}}, SettlementRule.SPOT),
        ({"resolutionSource": "https://data.chain.link/streams/btc-usd"}, SettlementRule.SPOT),
        ({"resolutionSource": "", "description": "the Binance 1 hour candle closes"}, SettlementRule.CANDLE),
        ({"resolutionSource": "", "cryptoMarketConfig": {"twapEnabled": True}}, SettlementRule.TWAP_60),
        ({"resolutionSource": ""}, SettlementRule.TWAP_60),
        ({"resolutionSource": "", "eventStartTime": "2026-08-07T00:00:00Z"}, SettlementRule.TWAP_60),
        ({"resolutionSource": "", "eventStartTime": "2026-08-06T23:55:00Z"}, SettlementRule.SPOT),
    ],
)
def test_con_16_the_settlement_rule_is_the_markets_own(
    gamma_object: dict[str, Any], stated: dict[str, Any], rule: SettlementRule
) -> None:
    assert market_of(gamma_object | stated).rule is rule


def test_hex_and_decimal_ids_are_one_token(gamma_object: dict[str, Any]) -> None:
    market = market_of(gamma_object | {"clobTokenIds": ["0x10", "17"]})
    assert (market.up, market.down) == ("16", "17")


def test_a_v2_market_names_its_tokens_elsewhere(gamma_object: dict[str, Any]) -> None:
    market = market_of(gamma_object | {"version": "v2", "positionIds": ["1", "2"]})
    assert (market.up, market.down) == ("1", "2")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("slug", ""), ("clobTokenIds", '["1"]'), ("clobTokenIds", "nonsense"), ("clobTokenIds", '["1", "1"]'),
        ("endDate", "tomorrow"), ("orderPriceMinTickSize", 0.02), ("orderMinSize", "-5"), ("outcomes", '["Up"]'),
        ("endDate", "2026-11-21T01:50:00Z"), ("feeSchedule", {"rate": 0.07, "exponent": 9}),
        ("orderMinSize", "five"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_with_slug_and_value(gamma_object: dict[str, Any], field: str, value: Any) -> None:
    with pytest.raises(GammaError) as caught:
        market_of(gamma_object | {field: value})
    assert caught.value.field == field
    assert caught.value.slug == ("" if field == "slug" else gamma_object["slug"])
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("prices", "winner"), [('["1", "0"]', Side.UP), ('["0", "1"]', Side.DOWN), ('["0.5", "0.5"]', None)]
)
def test_a_result_is_read_from_the_outcome_prices(
    gamma_object: dict[str, Any], prices: str, winner: Side | None
) -> None:
    found = resolution_of(gamma_object | {"closed": True, "outcomePrices": prices})
    assert found == Resolution(gamma_object["conditionId"], gamma_object["slug"], winner)


def test_a_result_follows_the_order_of_the_outcomes(gamma_object: dict[str, Any]) -> None:
    data = gamma_object | {"closed": True, "outcomes": '["Down", "Up"]', "outcomePrices": '["1", "0"]'}
    found = resolution_of(data)
    assert found is not None
    assert found.winner is Side.DOWN


def test_there_is_no_result_while_prices_still_trade(gamma_object: dict[str, Any]) -> None:
    assert resolution_of(gamma_object) is None
    assert resolution_of(gamma_object | {"closed": True}) is None
    assert resolution_of(gamma_object | {"outcomePrices": '["1", "0"]'}) is None


def test_strike_and_final_price_are_exact(gamma_object: dict[str, Any]) -> None:
    details = {"priceToBeat": 71485.23965784832, "finalPrice": 71481.16729031486}
    data = gamma_object | {"closed": True, "outcomePrices": '["0", "1"]', "eventMetadata": details}
    found = resolution_of(data)
    assert found is not None
    assert (found.strike, found.final) == (7_148_523_965_784, 7_148_116_729_031)


def test_verbatim_gamma_objects_of_a_recording_are_understood_with_nothing_assumed() -> None:
    count = 0
    for data in _objects("ligengxin_chainlink_gamma_20260724_am.jsonl.gz"):
        market, found = market_of(data), resolution_of(data)
        assert market.assumed == ()
        assert market.rule is SettlementRule.SPOT
        assert found is not None
        assert found.winner is (Side.UP if data["_outcome_prices"] == ["1", "0"] else Side.DOWN)
        count += 1
    assert count == 145


@pytest.mark.parametrize(
    "name",
    ["resolvedkit_btc15m_20260928_a.jsonl.gz", "polybot_btc5m_20260820_w1.jsonl.gz",
     "cronos_btc5m_20260416_a.jsonl.gz", "frederick_btc15m_20260401_top.jsonl.gz"],
)  # fmt: skip
def test_rebuilt_gamma_objects_of_recordings_are_understood_with_assumptions_named(name: str) -> None:
    for data in _objects(name):
        market = market_of(data)
        assert {"tick", "min_size", "fees", "rule"} <= set(market.assumed)
        assert market.start is not None
        assert market.duration_s == (300 if "5m" in market.slug and "15m" not in market.slug else 900)
        late = market.start >= 1_786_060_800_000
        assert market.rule is (SettlementRule.TWAP_60 if late else SettlementRule.SPOT)
        assert (resolution_of(data) is None) == (not data["closed"])
