"""The venue's own hash as the judge of our books."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from polyhost.lab.hashes import Witness
from polyhost.lab.tape import Aside, Tape
from polyhost.model.book import Book
from polyhost.model.messages import Level, Message
from polyhost.model.words import Side

FRAME = Message(
    event_type="book",
    asset_id="7",
    market="0xab",
    timestamp="1776323404879",
    hash="0d3c7b38464bcf9ab2ddd57b5d62b4e0f5d78f7d",
    bids=[Level("0.4", "12.5"), Level("0.41", "3")],
    asks=[Level("0.99", "1000"), Level("0.5", "0.01")],
)


def _rebuilt(frame: Message, side: Side) -> Book:
    book = Book()
    book.replace(side, frame.bids or (), frame.asks or ())
    return book


def _signed(last: str, tick: str) -> Message:
    """The frame with the hash that the venue would give it."""
    import hashlib

    text = (
        '{"market":"0xab","asset_id":"7","timestamp":"1776323404879","hash":"",'
        '"bids":[{"price":"0.4","size":"12.5"},{"price":"0.41","size":"3"}],'
        '"asks":[{"price":"0.99","size":"1000"},{"price":"0.5","size":"0.01"}],'
        f'"min_order_size":"5","tick_size":"{tick}","neg_risk":false,"last_trade_price":"{last}"}}'
    )
    return msgspec.structs.replace(FRAME, hash=hashlib.sha1(text.encode()).hexdigest())


def test_a_book_of_either_token_is_proved_and_the_search_starts_at_the_last_price() -> None:
    witness = Witness()
    for side in Side:
        first = _signed("0.480", "0.01")
        found = witness.verify(first, _rebuilt(first, side), side)
        assert found is not None
        assert (found.last, found.tick) == (480, "0.01")
        again = witness.verify(first, _rebuilt(first, side), side)
        assert again is not None
        assert again.tries == 1


def test_a_trade_in_the_other_token_is_found_near_the_mirror_of_the_last_price() -> None:
    witness = Witness()
    witness.verify(first := _signed("0.200", "0.01"), _rebuilt(first, Side.UP), Side.UP)
    found = witness.verify(then := _signed("0.810", "0.01"), _rebuilt(then, Side.UP), Side.UP)
    assert found is not None
    assert found.last == 810
    assert found.tries < 12


def test_no_trade_yet_and_a_changed_tick_are_found() -> None:
    witness = Witness()
    for last, tick, expected in (("", "0.01", None), ("", "0.001", None), ("0.456", "0.001", 456)):
        frame = _signed(last, tick)
        found = witness.verify(frame, _rebuilt(frame, Side.UP), Side.UP)
        assert found is not None
        assert (found.last, found.tick) == (expected, tick)


def test_one_wrong_level_is_noticed() -> None:
    frame = _signed("0.480", "0.01")
    book = _rebuilt(frame, Side.UP)
    book.set_bid(4_100, 3_010_000)
    assert Witness().verify(frame, book, Side.UP) is None
    assert Witness().verify(FRAME, _rebuilt(FRAME, Side.UP), Side.UP) is None


def test_every_recorded_frame_rebuilds_to_the_venues_own_hash(recording: Callable[[str], Path]) -> None:
    """All 92,048 frames, each hashed from the rebuilt integer book, as the tape's token: DOWN but in some windows."""
    tape = Tape(recording("cronos_btc5m_20260416_a"))
    witness = Witness()
    sides: dict[str, Side] = {}
    books: dict[str, Book] = {}
    verified = 0
    for part in tape.parts():
        if isinstance(part, Aside):
            up, down = msgspec.json.decode(part.msg["clobTokenIds"])
            sides |= {up: Side.UP, down: Side.DOWN}
            continue
        for line in part:
            frame = line.msg
            side = sides[frame.asset_id]
            book = books.setdefault(frame.market, Book())
            book.replace(side, frame.bids or (), frame.asks or ())
            assert witness.verify(frame, book, side) is not None, (frame.asset_id, frame.timestamp)
            verified += 1
    assert verified == 92_048
    assert len(books) == 26
