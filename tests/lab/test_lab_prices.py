"""Every spelling of a reference price becomes the same exact integer."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyhost.lab.prices import Candle, Price, e8, reference, symbol_of
from polyhost.model.messages import Message


def _of(text: str) -> Price | Candle | None:
    return reference(msgspec.json.decode(text, type=Message))


def test_topics_and_channels_name_one_feed_symbol_and_exact_price() -> None:
    topic = '{"topic":"%s","type":"update","timestamp":5,"payload":{"symbol":"%s","timestamp":1784851200000,%s}}'
    plain = '"value":61035.86,"full_accuracy_value":"61035.86000000"'
    assert _of(topic % ("crypto_prices", "btcusdt", plain)) == Price(
        "binance", "BTC", 6_103_586_000_000, 1_784_851_200_000
    )
    scaled = '"value":65048.078902260626,"full_accuracy_value":"65048078902260626000000"'
    assert _of(topic % ("crypto_prices_chainlink", "btc/usd", scaled)) == Price(
        "chainlink", "BTC", 6_504_807_890_226, 1_784_851_200_000
    )
    assert _of(topic % ("crypto_prices_twap_sixty", "eth/usd", '"value":71485.23965784832')) == Price(
        "twap_60", "ETH", 7_148_523_965_784, 1_784_851_200_000
    )
    channel = (
        '{"v":1,"channel":"price.crypto.twap","seq":3,"ts":1,"payload":{"symbol":"btcusd","value":78803.71,'
        '"full_accuracy_value":"78803.715261094101516288","timestamp":7,"window_seconds":60,"source":"chainlink"}}'
    )
    assert _of(channel) == Price("twap_60", "BTC", 7_880_371_526_109, 7)


def test_other_averages_and_other_topics_are_no_price() -> None:
    payload = '{"symbol":"btcusd","value":1.0,"timestamp":7,"window_seconds":30}'
    channel = f'{{"channel":"price.crypto.twap","payload":{payload}}}'
    assert _of(channel) is None
    assert _of('{"topic":"equity_prices","payload":{"symbol":"AAPL","value":1.0,"timestamp":7}}') is None
    assert _of('{"event_type":"book","asset_id":"1","bids":[],"asks":[]}') is None


def test_binance_trades_and_candles() -> None:
    trade = '{"e":"trade","E":9,"s":"ETHUSDT","t":1,"p":"3051.12000000","q":"0.5","T":8,"m":true}'
    assert _of(trade) == Price("binance", "ETH", 305_112_000_000, 8)
    kline = (
        '{"e":"kline","E":9,"s":"BTCUSDT","k":{"t":60000,"T":119999,"o":"1.5","c":"2","h":"2.5","l":"1","v":"0.1",'
        '"x":true}}'
    )
    assert _of(kline) == Candle("BTC", 60_000, 150_000_000, 250_000_000, 100_000_000, 200_000_000, 10_000_000, True)


@pytest.mark.parametrize("text", ["btcusdt", "btc/usd", "BTCUSD", "BTC", "btcusdc"])
def test_one_name_for_a_symbol(text: str) -> None:
    assert symbol_of(text) == "BTC"


@given(st.integers(0, 10**15), st.integers(0, 12))
def test_a_decimal_text_is_read_exactly_and_never_rounded_up(digits: int, places: int) -> None:
    text = f"{digits // 10**places}.{digits % 10**places:0{places}}" if places else str(digits)
    assert e8(text) == digits * 10**8 // 10**places


def test_what_is_no_decimal_is_refused() -> None:
    for text in ("", "1e5", "NaN", "1.2.3", "٣"):
        with pytest.raises(ValueError, match="no decimal"):
            e8(text)
