from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyhost.model.messages import Message
from polyhost.model.money import show_fixed
from polyhost.venue.polymarket.decode import FrameDecoder, ReferencePrice, exact_e8, reference_price, symbol_of


def test_a_frame_is_one_object_or_an_array() -> None:
    decoder = FrameDecoder()
    one = b'{"event_type":"book","asset_id":"1","bids":[{"price":"0.48","size":"30"}],"asks":[],"timestamp":"5"}'
    (message,) = decoder.decode(one)
    assert message.asset_id == "1"
    assert [part.asset_id for part in decoder.decode(b"[" + one + b"," + one + b"]")] == ["1", "1"]
    assert decoder.bad == 0


@pytest.mark.parametrize("raw", [b"", b"hello", b"{", b"5", b'"text"', b'{"event_type":7}', b"\xff\xfe"])
def test_a_bad_frame_is_counted_and_described_never_raised(raw: bytes) -> None:
    decoder = FrameDecoder()
    assert decoder.decode(raw) == []
    assert decoder.bad == 1
    assert decoder.problem


def test_of_an_array_with_one_bad_object_the_others_are_kept() -> None:
    decoder = FrameDecoder()
    found = decoder.decode(b'[{"event_type":"book","asset_id":"1"},{"event_type":7},{"asset_id":"2"}]')
    assert [message.asset_id for message in found] == ["1", "2"]
    assert decoder.bad == 1
    assert '{"event_type":7}' in decoder.problem


def test_unknown_kinds_and_fields_are_no_error() -> None:
    decoder = FrameDecoder()
    (message,) = decoder.decode(b'{"event_type":"sleeping","new_thing":{"a":[1]}}')
    assert message.event_type == "sleeping"
    assert decoder.bad == 0


@given(st.binary(max_size=200))
def test_no_bytes_raise(raw: bytes) -> None:
    FrameDecoder().decode(raw)


@given(st.integers(min_value=0, max_value=10**24))
def test_a_full_accuracy_value_is_cut_to_1e_8_exactly(value: int) -> None:
    assert exact_e8(show_fixed(value, 18), 0.0) == value // 10**10
    assert exact_e8(str(value), 0.0, integer_e18=True) == value // 10**10


def test_a_number_alone_keeps_the_decimals_it_was_written_with() -> None:
    assert exact_e8("", 61035.86) == 6_103_586_000_000
    assert exact_e8("", 1e-07) == 10


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (('{"v":1,"channel":"price.crypto.twap","seq":3,"ts":1788886177000,"payload":{"symbol":"btcusd",'
         '"value":78803.71,"full_accuracy_value":"78803.715261094101516288","timestamp":1788886177000,'
         '"window_seconds":60}}'), ReferencePrice("twap_60", "BTC", 7_880_371_526_109, 1788886177000)),
        (('{"topic":"crypto_prices_chainlink","type":"update","timestamp":1784851201160,"payload":{"symbol":"btc/usd",'
         '"timestamp":1784851200000,"value":65048.07,"full_accuracy_value":"65048078902260626000000"}}'),
         ReferencePrice("chainlink", "BTC", 6_504_807_890_226, 1784851200000)),
        (('{"topic":"crypto_prices","type":"update","payload":{"symbol":"ethusdt","timestamp":1780730269000,'
         '"value":61035.86,"full_accuracy_value":"61035.86000000"}}'),
         ReferencePrice("binance", "ETH", 6_103_586_000_000, 1780730269000)),
        ('{"channel":"price.crypto.twap","payload":{"symbol":"btcusd","value":1,"timestamp":5,"window_seconds":30}}',
         None),
        ('{"event_type":"book"}', None),
    ],
)  # fmt: skip
def test_price_messages_of_both_generations(text: str, wanted: ReferencePrice | None) -> None:
    assert reference_price(msgspec.json.decode(text, type=Message)) == wanted


def test_symbols_have_one_spelling() -> None:
    assert {symbol_of(text) for text in ("btc/usd", "btcusd", "BTCUSDT", "BTC")} == {"BTC"}
