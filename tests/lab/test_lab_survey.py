"""``tape info`` and ``check``: each problem is stated from the data alone, just inside and just outside its limit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from polyhost.cli.tape import app
from polyhost.lab.survey import SILENCE_MS, Survey, report, survey
from polyhost.lab.tape import Tape

START = 1_776_323_400_000
SLUG = f"btc-updown-5m-{START // 1_000}"
UP, DOWN = "101", "202"


def _gamma(ts: int, up: str = UP, down: str = DOWN, **more: object) -> dict[str, Any]:
    msg = {
        "slug": SLUG,
        "conditionId": "0xc1",
        "outcomes": '["Up", "Down"]',
        "clobTokenIds": json.dumps([up, down]),
        "closed": False,
    }
    return {"ts": ts, "source": "gamma", "msg": msg | more}


def _book(ts: int, bid: str, ask: str, token: str = UP, **more: object) -> dict[str, Any]:
    bids = [{"price": bid, "size": "5"}] if bid else []
    asks = [{"price": ask, "size": "5"}] if ask else []
    msg = {"event_type": "book", "asset_id": token, "timestamp": str(ts), "bids": bids, "asks": asks}
    return {"ts": ts, "source": "polymarket", "msg": msg | more}


def _quote(ts: int, bid: str, ask: str, token: str = UP) -> dict[str, Any]:
    msg = {"event_type": "best_bid_ask", "asset_id": token, "best_bid": bid, "best_ask": ask, "timestamp": str(ts)}
    return {"ts": ts, "source": "polymarket", "msg": msg}


def _seen(path: Path, rows: list[dict[str, Any]]) -> Survey:
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return survey(Tape(path))


def _problems(path: Path, rows: list[dict[str, Any]]) -> dict[str, int]:
    return {problem.name: problem.count for problem in _seen(path, rows).problems()}


def test_crossed_one_sided_and_stale_books_are_counted(tmp_path: Path) -> None:
    rows = [
        _gamma(START),
        _book(START, "0.40", "0.41"),
        _book(START + 1, "0.41", "0.41"),
        _book(START + 2, "0.45", ""),
        _book(START + 3, "0.40", "0.42"),
        _book(START + 4, "0.57", "0.58", DOWN),
        _book(START + 5, "0.56", "0.57", DOWN),
        _book(START + 5, "0.56", "0.57", DOWN),
    ]
    found = _problems(tmp_path / "t.jsonl", rows)
    assert (found["crossed"], found["one_sided"], found["stale_other_side"], found["duplicates"]) == (1, 1, 2, 1)


@pytest.mark.parametrize(("silence", "count"), [(SILENCE_MS, 0), (SILENCE_MS + 1, 1)])
def test_a_silence_is_a_gap_only_above_the_limit(tmp_path: Path, silence: int, count: int) -> None:
    inside = [_gamma(START - 1), _book(START + 1, "0.4", "0.5"), _book(START + 1 + silence, "0.4", "0.5")]
    assert _problems(tmp_path / "t.jsonl", inside).get("gaps", 0) == count
    early = START - 100_000
    before = [_gamma(early), _book(early, "0.4", "0.5"), _book(early + silence, "0.4", "0.5")]
    assert _problems(tmp_path / "t.jsonl", before).get("gaps_before", 0) == count
    assert "gaps" not in _problems(tmp_path / "t.jsonl", before)


def test_quotes_without_sizes_that_repeat_are_told(tmp_path: Path) -> None:
    rows = [_gamma(START), _quote(START, "0.40", "0.41"), _quote(START + 1, "0.40", "0.41")]
    found = _problems(tmp_path / "t.jsonl", rows)
    assert (found["no_sizes"], found["repeated_quotes"], found["partial_windows"]) == (2, 1, 1)
    rows += [_quote(START + 2, "0.40", "0.42"), _quote(START + 3, "0.40", "0.43")]
    assert "repeated_quotes" not in _problems(tmp_path / "t.jsonl", rows)


def test_catalogue_problems_are_told(tmp_path: Path) -> None:
    rows = [_gamma(START, up=f"{SLUG}:UP"), _book(START, "0.4", "0.5", DOWN)]
    found = _problems(tmp_path / "t.jsonl", rows)
    assert (found["placeholder_ids"], found["unresolved"], found["one_token"]) == (1, 1, 1)
    end = START + 300_000
    metadata = {"priceToBeat": 10.5, "finalPrice": 10.25}
    rows.append(_gamma(end, f"{SLUG}:UP", closed=True, outcomePrices='["0", "1"]', eventMetadata=metadata))
    found = _problems(tmp_path / "t.jsonl", rows)
    assert not {"unresolved", "no_strike", "contradiction"} & set(found)
    rows[-1] = _gamma(end, f"{SLUG}:UP", closed=True, outcomePrices='["1", "0"]', eventMetadata=metadata)
    assert _problems(tmp_path / "t.jsonl", rows)["contradiction"] == 1


def test_unknown_kinds_strange_tokens_and_host_gaps_are_counted(tmp_path: Path) -> None:
    rows = [
        _gamma(START),
        {"ts": START, "source": "host", "msg": {"kind": "gap", "reason": "reconnect"}},
        _book(START, "0.4", "0.5", "999"),
        _book(START, "0.4", "many"),
        {"ts": START, "source": "polymarket", "msg": {"event_type": "comet"}},
        {"ts": START, "source": "elsewhere", "msg": {"x": 1}},
    ]
    seen = _seen(tmp_path / "t.jsonl", rows)
    found = {problem.name: problem.count for problem in seen.problems()}
    assert (found["unknown_kinds"], found["unknown_tokens"], found["host_gaps"], found["bad_values"]) == (2, 1, 1, 1)
    assert seen.unknown_kinds == {"comet": 1, "elsewhere": 1}


def _run(*args: str) -> int:
    with pytest.raises(SystemExit) as caught:
        app(list(args), prog_name="tape")
    return int(caught.value.code or 0)


def test_check_exits_0_readable_1_broken_promise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = tmp_path / "good.jsonl"
    _seen(good, [_gamma(START), _book(START, "0.4", "0.5")])
    assert _run("check", str(good), "--json") == 0
    (tape,) = json.loads(capsys.readouterr().out)["tapes"]
    assert tape["lines"] == 2
    bad = tmp_path / "bad.jsonl"
    _seen(bad, [_gamma(START), _book(START - 1, "0.4", "0.5")])
    assert _run("check", str(bad), "--json") == 1
    (tape,) = json.loads(capsys.readouterr().out)["tapes"]
    assert tape["broken_promises"] == [f"{bad}:2: out of order: ts {START - 1} after {START}"]
    good.write_text(good.read_text() + "{half a li")
    assert _run("check", str(good)) == 1
    assert "1 broken lines, the first is line 3" in capsys.readouterr().out
    assert _run("info", str(bad)) == 0


KNOWN = {
    "cronos_btc5m": {
        "placeholder_ids": 16, "unresolved": 1, "inferred": 25, "no_trades": 1, "no_spot": 1, "gaps": 3, "one_token": 1,
        "clock": 1,
    },
    "resolvedkit": {"placeholder_ids": 20, "no_trades": 1, "no_spot": 1, "crossed": 4, "one_sided": 1_658},
    "polybot": {"no_trade_side": 3_588, "no_sizes": 113_918, "repeated_quotes": 111_782, "partial_windows": 1},
    "frederick": {"unresolved": 5, "stale_other_side": 30, "partial_windows": 3, "no_spot": 1},
    "ligengxin": {"no_books": 145, "no_strike": 12, "no_settlement_feed": 1},
}


@pytest.mark.parametrize("start", KNOWN)
def test_each_recordings_known_problems_are_found(recording: Callable[[str], Path], start: str) -> None:
    seen = survey(Tape(recording(start)))
    found = {problem.name: problem.count for problem in seen.problems()}
    assert {name: found.get(name) for name in KNOWN[start]} == KNOWN[start]
    assert seen.broken == []


def test_the_longest_silences_of_the_recordings(recording: Callable[[str], Path]) -> None:
    gaps = report(survey(Tape(recording("resolvedkit"))))["gaps"]
    assert (gaps["inside"], gaps["inside_longest_ms"] // 1_000, gaps["before_longest_ms"] // 1_000) == (3, 17, 77)
    gaps = report(survey(Tape(recording("cronos_btc5m"))))["gaps"]
    assert (gaps["inside"], gaps["inside_longest_ms"]) == (3, 13_784)
