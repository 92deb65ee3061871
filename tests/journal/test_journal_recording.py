"""Recordings: the kernel's inputs come back as they went in, whatever kills the process, and without credentials."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyhost.journal import (
    CandleInput,
    FeedInput,
    PriceInput,
    Recorder,
    RecordingError,
    RecordingReader,
    recordings,
    runs,
)
from polyhost.journal.recording import CANDLE, PRICE, TURN
from polyhost.journal.retention import prune_recordings
from polyhost.model import events as e
from polyhost.model.gateway import OrderRequest, SignedFields
from polyhost.model.reading import Reading
from polyhost.model.view import Candle
from polyhost.model.words import Action, OrderType, Side

NOW, WALL = 1_790_000_000_000, 1_791_000_000_000
BOOK = b'{"event_type":"book","asset_id":"11","bids":[{"price":"0.40","size":"5"}],"asks":[]}'


def read(folder: Path) -> tuple[list[Any], list[str]]:
    reader = RecordingReader(folder)
    return list(reader), reader.problems


def lines(folder: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for path in sorted(folder.glob("*.gz"))
        for line in gzip.decompress(path.read_bytes()).splitlines()
    ]


def feed(recorder: Recorder, *raws: bytes) -> None:
    for raw in raws:
        recorder.feed("polymarket", raw, NOW, WALL)


def test_evd_04_every_kind_of_input_comes_back_in_the_order_it_was_handled(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "run1")
    began = e.RunBegan("run1", "0.1.0", "sim", "cafe", "main")
    recorder.event(began, NOW, WALL)
    recorder.feed("polymarket", BOOK, NOW + 1, WALL + 2)
    recorder.turn(NOW + 1, WALL + 3)
    recorder.price("binance", "BTC", 77_000 * 10**8, NOW, NOW + 2, WALL + 4)
    candle = Candle(NOW, 77_000.1, 77_001.0, 1e-9, 0.1 + 0.2, 3.5)
    recorder.candle("BTC", candle, True, NOW + 2, WALL + 4)
    recorder.close()
    inputs, problems = read(tmp_path / "recordings" / "run1")
    assert problems == []
    assert inputs == [
        ("event", began, NOW, WALL),
        ("feed", FeedInput("polymarket", BOOK), NOW + 1, WALL + 2),
        ("turn", None, NOW + 1, WALL + 3),
        ("price", PriceInput("binance", "BTC", 77_000 * 10**8, NOW), NOW + 2, WALL + 4),
        ("candle", CandleInput("BTC", candle, True), NOW + 2, WALL + 4),
    ]


def test_the_lines_are_tape_lines(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "run1")
    feed(recorder, BOOK)
    recorder.turn(NOW, WALL)
    recorder.close()
    book, turn = lines(recorder.folder)
    assert book == {"ts": NOW, "wall": WALL, "source": "polymarket", "msg": json.loads(BOOK)}
    assert turn["source"] == "host"


def test_the_hosts_own_tags_are_no_events_tags() -> None:
    tags = {msgspec.inspect.type_info(kind).tag for kind in get_args(e.Event)}  # type: ignore[attr-defined]
    assert not tags & {TURN, PRICE, CANDLE}


NUMBERS = st.integers(0, 2**53)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
FEEDS = st.dictionaries(TEXTS, JSON, max_size=4).flatmap(
    lambda it: st.sampled_from([json.dumps(it).encode(), json.dumps(it, ensure_ascii=False).encode()])
)
JUNK = st.binary(max_size=30).filter(lambda raw: raw[:1] != b"[" and not set(raw) & set(b" \t\r\n"))
EVENTS = st.one_of(
    st.builds(e.RunEnding, TEXTS),
    st.builds(e.StrikeSeen, TEXTS, NUMBERS, TEXTS),
    st.builds(e.MarketResolved, TEXTS, st.none() | st.sampled_from(Side), TEXTS, st.none() | NUMBERS),
    st.builds(e.PluginTold, TEXTS, TEXTS, st.dictionaries(TEXTS, st.none() | TEXTS, max_size=3)),
)
INPUTS = st.one_of(
    st.tuples(st.just("feed"), FEEDS | JUNK),
    st.tuples(st.just("event"), EVENTS),
    st.tuples(st.just("turn"), st.none()),
    st.tuples(st.just("price"), st.tuples(TEXTS, TEXTS, NUMBERS, NUMBERS)),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(story=st.lists(INPUTS, max_size=20), size=st.sampled_from([1, 200, 10**9]))
def test_evd_04_whatever_is_recorded_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, story: list[tuple[str, Any]], size: int
) -> None:
    recorder = Recorder(tmp_path_factory.mktemp("tape"), "r", file_bytes=size, queue_bytes=100)
    expected: list[Any] = []
    for number, (kind, it) in enumerate(story):
        now, wall = NOW + number, WALL - number
        match kind:
            case "feed":
                recorder.feed("polymarket", it, now, wall)
                expected.append((kind, FeedInput("polymarket", it), now, wall))
            case "event":
                recorder.event(it, now, wall)
                expected.append((kind, it, now, wall))
            case "turn":
                recorder.turn(now, wall)
                expected.append((kind, None, now, wall))
            case _:
                name, symbol, price, stamp = it
                recorder.price(name, symbol, price, stamp, now, wall)
                expected.append((kind, PriceInput(name, symbol, price, stamp), now, wall))
    recorder.close()
    inputs, problems = read(recorder.folder)
    assert problems == []
    assert inputs == expected


def test_an_array_is_split_into_its_messages_as_tapes_want_it(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "r")
    feed(recorder, b" [" + BOOK + b", {\"a\": 1}]", b"[]", b"[broken")
    recorder.close()
    raws = [payload.raw for _, payload, _, _ in read(recorder.folder)[0]]
    assert raws == [BOOK, b'{"a": 1}', b"[broken"]


def test_a_message_over_several_lines_stays_one_line(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "r")
    feed(recorder, b'{\r\n "a": "x\\ny"\n}')
    recorder.close()
    (line,) = lines(recorder.folder)
    assert line["msg"] == {"a": "x\ny"}


@pytest.mark.parametrize("junk", [b"", b"PONG", b"\xff\xfe", b"two\nlines", b'{"a":', b'"\xff"', b"[1,"])
def test_what_is_no_json_comes_back_to_the_byte(tmp_path: Path, junk: bytes) -> None:
    recorder = Recorder(tmp_path, "r")
    feed(recorder, junk)
    recorder.close()
    assert read(recorder.folder)[0] == [("feed", FeedInput("polymarket", junk), NOW, WALL)]


SECRET, PASS, KEY = "c2VjcmV0LXNlY3JldA==", "passphrase-1234", "0x" + "4f" * 32


def test_sec_01_no_key_and_no_credential_is_ever_recorded(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "r", secrets=[KEY, SECRET, PASS, ""])
    feed(
        recorder,
        b'{"auth":{"apiKey":"key-1","secret":"s\\"ecret","passphrase":"pass"},"type":"user"}',
        b'{"event_type":"trade","owner": "key-2","trade_owner":"key-3","maker_orders":[{"owner":"key-4"}],"id":"t"}',
        b'{"POLY_SIGNATURE":"sig-1","POLY_PASSPHRASE":"pass-2","private_key":"key-5"}',
        b"garbage " + SECRET.encode(),
    )
    recorder.event(e.QueryFailed("sweep", "x", f"refused {PASS} {KEY}"), NOW, WALL)
    recorder.price(SECRET, "BTC", 1, 2, NOW, WALL)
    recorder.close()
    inputs, _ = read(recorder.folder)
    files = [gzip.decompress(path.read_bytes()) for path in recorder.folder.glob("*.gz")]
    text = repr(inputs).encode() + b"".join(files)
    for secret in (KEY, SECRET, PASS, "key-", 's\\"ecret', "pass-2", "sig-1", '"pass"'):
        assert secret.encode() not in text, secret
    assert b'"id":"t"' in text
    assert len(inputs) == 6


def test_a_prepared_order_comes_back_whole_so_that_a_replay_gives_the_same_records(tmp_path: Path) -> None:
    fields = SignedFields(2**60, "0xaa", "0xaa", "1" * 77, 1, 2, Action.BUY, 0, NOW, "0x00", "0x00")
    event = e.Prepared("o1", OrderRequest("0x1", fields, "0xsig", OrderType.FAK, False, 0, "api-key-id", False))
    recorder = Recorder(tmp_path, "r", secrets=[KEY])
    recorder.event(event, NOW, WALL)
    recorder.close()
    assert read(recorder.folder)[0] == [("event", event, NOW, WALL)]


def test_what_was_flushed_is_read_from_a_file_that_was_never_ended(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "r")
    feed(recorder, BOOK, BOOK)
    recorder.flush()
    inputs, problems = read(recorder.folder)
    assert len(inputs) == 2
    assert "not ended properly" in problems[0]
    recorder.close()
    assert read(recorder.folder) == (inputs, [])


def test_a_torn_tail_is_left_out_and_said_wherever_the_file_was_cut(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "r")
    for number in range(30):
        feed(recorder, b'{"n":%d,"noise":"%b"}' % (number, os.urandom(20).hex().encode()))
        recorder.flush()
    recorder.close()
    (path,) = recorder.folder.glob("*.gz")
    data = path.read_bytes()
    whole, _ = read(path)
    counts = []
    for cut in range(0, len(data), 37):
        path.write_bytes(data[:cut])
        inputs, problems = read(path)
        assert inputs == whole[: len(inputs)]
        assert problems
        counts.append(len(inputs))
    assert counts == sorted(counts)
    assert counts[-1] >= 29


CHILD = """
import sys, threading
from polyhost.journal import Recorder
recorder = Recorder(sys.argv[1], "killed")
for number in range(10**9):
    recorder.turn(number, number)
    if number == 500:
        recorder.flush()
        print("flushed", flush=True)
        sys.stdin.readline()
"""


def test_per_05_a_killed_process_leaves_a_readable_recording(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"flushed\n"
        child.send_signal(signal.SIGKILL)
    inputs, problems = read(tmp_path / "recordings" / "killed")
    assert [now for _, _, now, _ in inputs] == list(range(501))
    assert problems


def test_files_are_rotated_and_read_as_one(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "r", file_bytes=2_000)
    for _ in range(20):
        feed(recorder, b'{"noise":"%b"}' % os.urandom(400).hex().encode())
        recorder.flush()
    recorder.close()
    assert len(list(recorder.folder.glob("*.gz"))) > 3
    inputs, problems = read(recorder.folder)
    assert len(inputs) == 20
    assert problems == []


def test_a_file_ends_after_an_hour_so_that_deletion_by_age_can_go_by_files(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "r", file_s=0)
    for number in range(2):
        recorder.turn(number, number)
        recorder.flush()
    recorder.close()
    assert len(list(recorder.folder.glob("*.gz"))) == 3
    assert [now for _, _, now, _ in read(recorder.folder)[0]] == [0, 1]


def test_a_run_id_used_again_goes_on_behind_the_last_file(tmp_path: Path) -> None:
    for number in range(2):
        recorder = Recorder(tmp_path, "r")
        recorder.turn(number, number)
        recorder.close()
    assert [now for _, _, now, _ in read(recorder.folder)[0]] == [0, 1]
    assert runs(tmp_path) == [recorder.folder]


def test_a_deleted_beginning_is_said_and_a_hole_is_refused(tmp_path: Path) -> None:
    for number in range(3):
        recorder = Recorder(tmp_path, "r")
        recorder.turn(number, number)
        recorder.close()
    (recorder.folder / "0001.jsonl.gz").unlink()
    inputs, problems = read(recorder.folder)
    assert [now for _, _, now, _ in inputs] == [1, 2]
    assert "beginning is deleted" in problems[0]
    (recorder.folder / "0001.jsonl.gz").touch()
    (recorder.folder / "0002.jsonl.gz").unlink()
    with pytest.raises(RecordingError, match="0002 is missing"):
        read(recorder.folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not gzip at all", "no gzip file"),
        (gzip.compress(b"{}\n"), "line 1 cannot be read"),
        (gzip.compress(b'{"ts":1,"source":"host","msg":{"event":"never heard of"}}\n'), "line 1 cannot be read"),
    ],
    ids=("not gzip", "no fields", "an event never heard of"),
)
def test_what_is_no_recording_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "0001.jsonl.gz"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=words):
        read(path)


def test_a_recording_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no recording"):
        RecordingReader(tmp_path)
    with pytest.raises(RecordingError, match="no recording"):
        RecordingReader(tmp_path / "0001.jsonl.gz")


@pytest.mark.parametrize("run_id", ["", "..", "a/b", ".hidden", "a b"])
def test_a_run_id_cannot_leave_the_folder(tmp_path: Path, run_id: str) -> None:
    with pytest.raises(ValueError, match="cannot name a folder"):
        Recorder(tmp_path, run_id)


def test_a_failing_disk_ends_the_recording_with_a_word_and_not_the_feed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(tmp_path, "r", queue_bytes=100)

    def full(data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recorder._files, "_put", full)
    for _ in range(50):
        feed(recorder, BOOK)
    recorder.flush()
    assert "No space left" in recorder.problem
    feed(recorder, BOOK)
    recorder.close()


def age(folder: Path, name: str, hours: float, size: int) -> Path:
    path = folder / name / "0001.jsonl.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (WALL / 1_000 - hours * 3_600,) * 2)
    return path


def test_old_recordings_are_deleted_by_age(tmp_path: Path) -> None:
    kept = age(tmp_path, "now", 0, 10)
    old, young = age(tmp_path, "old", 24.1, 10), age(tmp_path, "young", 23.9, 10)
    assert prune_recordings(tmp_path, 24, 1, kept, WALL / 1_000) == [old]
    assert not old.parent.exists()
    assert young.exists()
    assert kept.exists()


def test_the_oldest_recordings_are_deleted_by_size(tmp_path: Path) -> None:
    kept = age(tmp_path, "now", 90, 400)
    first, second, third = (age(tmp_path, name, 3 - number, 300) for number, name in enumerate("abc"))
    assert prune_recordings(tmp_path, 24, 1_000 / 1e9, kept, WALL / 1_000) == [first]
    assert second.exists()
    assert third.exists()
    assert prune_recordings(tmp_path, 24, 999 / 1e9, kept, WALL / 1_000) == [second]


def test_a_new_run_deletes_what_is_too_old(tmp_path: Path) -> None:
    old = age(recordings(tmp_path), "old", 24 * 10_000, 10)
    recorder = Recorder(tmp_path, "r")
    recorder.close()
    assert not old.exists()


def test_con_17_a_reading_is_recorded_as_a_line_of_its_own_source(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "run1")
    recorder.reading(Reading("funding.BTC", -0.00025, NOW - 7, "binance_futures"), NOW, WALL)
    recorder.close()
    (line,) = lines(recorder.folder)
    told = {"name": "funding.BTC", "value": -0.00025, "at": NOW - 7}
    assert line == {"ts": NOW, "wall": WALL, "source": "binance_futures", "msg": told}
    ((kind, payload, now, wall),), problems = read(recorder.folder)
    assert (kind, now, wall, problems) == ("feed", NOW, WALL, [])
    assert payload == FeedInput("binance_futures", b'{"name":"funding.BTC","value":-0.00025,"at":%d}' % (NOW - 7))
