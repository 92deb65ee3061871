"""Reading tapes: order, counts, and what each unreadable file is told."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from polyhost.errors import TapeError
from polyhost.lab.tape import Aside, Line, NoTapeError, Part, Tape, merged


def _line(ts: int, source: str = "polymarket", **msg: object) -> str:
    return json.dumps({"ts": ts, "source": source, "msg": msg})


def _tape(path: Path, lines: list[str]) -> Path:
    body = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(body, mtime=0) if path.suffix == ".gz" else body)
    return path


def _flat(parts: list[Part]) -> list[tuple[int, str, str]]:
    """(ts, source, event_type or slug) of every line."""
    out: list[tuple[int, str, str]] = []
    for part in parts:
        if isinstance(part, Aside):
            out.append((part.ts, part.source, str(part.msg.get("slug", ""))))
        else:
            out += [(line.ts, line.source, line.msg.event_type) for line in part]
    return out


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_lines_come_in_file_order_with_catalogue_lines_between_them(tmp_path: Path, name: str) -> None:
    tape = Tape(
        _tape(
            tmp_path / name,
            [
                _line(1, "gamma", slug="a"),
                _line(2, event_type="book", bids=[{"price": "0.4", "size": "5"}], asks=[], asset_id="x"),
                _line(2, event_type="last_trade_price", price="0.41", strange={"deep": [1]}),
                _line(3, "gamma", slug="b", _note="rebuilt"),
                _line(3, "binance", topic="crypto_prices", payload={"symbol": "btcusdt", "value": 1.5}),
            ],
        ),
        count_notes=True,
    )
    assert _flat(list(tape.parts())) == [
        (1, "gamma", "a"),
        (2, "polymarket", "book"),
        (2, "polymarket", "last_trade_price"),
        (3, "gamma", "b"),
        (3, "binance", ""),
    ]
    assert (tape.counts.lines, tape.counts.broken, tape.counts.notes) == (5, 0, 1)
    assert tape.counts.sources == {"gamma": 2, "polymarket": 2, "binance": 1}


def test_a_fast_and_a_careful_reading_give_the_same_messages(tmp_path: Path) -> None:
    rows = [_line(n, event_type="best_bid_ask", asset_id="x", best_bid="0.4", best_ask="0.5") for n in range(2_000)]
    plain = Tape(_tape(tmp_path / "plain.jsonl", rows))
    mixed = Tape(_tape(tmp_path / "mixed.jsonl", [_line(0, "host", kind="connected"), *rows]))
    fast = [line for part in plain.parts() if isinstance(part, list) for line in part]
    careful = [line for part in mixed.parts() if isinstance(part, list) for line in part]
    assert len(fast) == 2_000
    assert fast == careful


def test_a_line_out_of_order_is_refused_with_its_number(tmp_path: Path) -> None:
    rows = [_line(5, event_type="x"), "", _line(6, event_type="x"), _line(5, event_type="x")]
    with pytest.raises(TapeError, match=r"bad\.jsonl:4: out of order: ts 5 after 6") as caught:
        list(Tape(_tape(tmp_path / "bad.jsonl", rows)).parts())
    assert caught.value.line == 4


def test_a_line_out_of_order_is_found_across_pieces_of_a_long_tape(tmp_path: Path) -> None:
    rows = [_line(n, event_type="book", asset_id="y" * 200) for n in range(4_000)]
    rows.append(_line(3_000, event_type="late"))
    with pytest.raises(TapeError) as caught:
        list(Tape(_tape(tmp_path / "bad.jsonl", rows)).parts())
    assert caught.value.line == 4_001


@pytest.mark.parametrize("wrong", ["{nonsense", '{"ts": 2, "source": "polymarket", "msg": [1]}', '{"ts": "2"}', "\x00"])
def test_a_broken_line_is_counted_and_skipped_or_strictly_refused(tmp_path: Path, wrong: str) -> None:
    path = _tape(tmp_path / "t.jsonl", [_line(1, event_type="a"), wrong, _line(3, event_type="b")])
    tape = Tape(path)
    assert [row[2] for row in _flat(list(tape.parts()))] == ["a", "b"]
    assert (tape.counts.lines, tape.counts.broken, tape.counts.first_broken) == (3, 1, 2)
    with pytest.raises(TapeError, match=r"t\.jsonl:2: broken line"):
        list(Tape(path, strict=True).parts())


def test_a_tape_cut_off_by_a_kill_gives_what_it_has(tmp_path: Path) -> None:
    path = _tape(tmp_path / "t.jsonl.gz", [_line(n, event_type="a", hash=str(n * 7919)) for n in range(3_000)])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    tape = Tape(path)
    read = _flat(list(tape.parts()))
    assert 0 < len(read) < 3_000
    assert tape.counts.cut_off
    with pytest.raises(TapeError, match="cut off"):
        list(Tape(path, strict=True).parts())


def test_damaged_gzip_data_is_an_error_and_not_an_end(tmp_path: Path) -> None:
    path = _tape(tmp_path / "t.jsonl.gz", [_line(n, event_type="a", hash=str(n * 7919)) for n in range(3_000)])
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    path.write_bytes(bytes(whole))
    with pytest.raises(TapeError, match="damaged"):
        list(Tape(path).parts())


def _write(path: Path, body: bytes) -> Path:
    path.write_bytes(body)
    return path


def test_each_unreadable_file_gets_its_own_text(tmp_path: Path) -> None:
    texts = []
    for path in (
        tmp_path / "missing.jsonl",
        tmp_path,
        _write(tmp_path / "empty.jsonl", b""),
        _write(tmp_path / "blank.jsonl", b"\n\n"),
        _write(tmp_path / "plain.jsonl.gz", b'{"ts":1,"source":"gamma","msg":{}}\n'),
        _write(tmp_path / "other.jsonl", b'{"a": 1}\n{"b": 2}\n'),
        _write(tmp_path / "noise.jsonl", bytes(range(10, 256)) * 40),
    ):
        with pytest.raises(NoTapeError) as caught:
            list(Tape(path).parts())
        assert caught.value.exit_code == 2
        assert str(path) in str(caught.value)
        texts.append(str(caught.value).removeprefix(f"{path}: "))
    assert texts == [
        "no such file",
        "not a file",
        "empty: not one byte",
        "empty: not one line",
        "named .gz, but not gzip data",
        'not a tape: no line is an object with "ts", "source" and "msg"',
        'not a tape: no line is an object with "ts", "source" and "msg"',
    ]


def test_several_tapes_merge_by_time_then_by_the_order_of_the_arguments(tmp_path: Path) -> None:
    first = Tape(_tape(tmp_path / "1.jsonl", [_line(1, event_type="a1"), _line(5, event_type="a2"), _line(5)]))
    second = Tape(_tape(tmp_path / "2.jsonl", [_line(0, "gamma", slug="g"), _line(5, event_type="b1")]))
    assert [row[2] for row in _flat(list(merged([first, second])))] == ["g", "a1", "a2", "", "b1"]
    assert [row[2] for row in _flat(list(merged([second, first])))] == ["g", "a1", "b1", "a2", ""]


def test_a_long_merge_loses_and_reorders_nothing(tmp_path: Path) -> None:
    left = Tape(_tape(tmp_path / "l.jsonl", [_line(2 * n, event_type="l") for n in range(3_000)]))
    right = Tape(_tape(tmp_path / "r.jsonl", [_line(3 * n, event_type="r") for n in range(2_000)]))
    lines = [line for part in merged([left, right]) if isinstance(part, list) for line in part]
    assert len(lines) == 5_000
    assert all(isinstance(line, Line) for line in lines)
    assert [line.ts for line in lines] == sorted(line.ts for line in lines)
