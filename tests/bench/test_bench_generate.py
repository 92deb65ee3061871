"""The generated tape is what the budgets say it is."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from polyhost.lab.survey import survey
from polyhost.lab.tape import Tape


def _generate() -> ModuleType:
    """The generator by its path: the benchmarks are scripts, not a package."""
    spec = importlib.util.spec_from_file_location("bench_generate", Path(__file__).with_name("generate.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_generated_tape_has_the_promised_mix_and_no_crossed_book(tmp_path: Path) -> None:
    path = _generate().write(tmp_path / "t.jsonl", events=8_000)
    seen = survey(Tape(path))
    kinds = seen.kinds
    assert seen.broken == []
    assert len(seen.markets) == sum(market.settled is not None for market in seen.markets.values()) == 16
    assert abs(kinds["price_change"] / 8_000 - 0.7) < 0.03
    assert abs(kinds["last_trade_price"] / 8_000 - 0.2) < 0.03
    assert kinds["price_change"] + kinds["last_trade_price"] + kinds["trade"] == 8_000
    names = {problem.name for problem in seen.problems()}
    assert not names & {"crossed", "one_sided", "unknown_tokens", "unknown_kinds", "unresolved", "stale_other_side"}


def test_the_same_seed_gives_the_same_bytes_and_the_books_never_cross(tmp_path: Path) -> None:
    from polyhost.kernel.hotpath import Feed
    from polyhost.lab.catalogue import catalogue_line
    from polyhost.lab.tape import Aside

    generate = _generate()
    first = generate.write(tmp_path / "1.jsonl", events=4_000).read_bytes()
    assert first == generate.write(tmp_path / "2.jsonl", events=4_000).read_bytes()
    assert first != generate.write(tmp_path / "3.jsonl", events=4_000, seed=5).read_bytes()
    feed = Feed()
    books = []
    for part in Tape(tmp_path / "1.jsonl").parts():
        if isinstance(part, Aside):
            line = catalogue_line(part.msg)
            assert line is not None
            if line.opens:
                market = line.market
                books.append(feed.add(market.condition_id, market.up, market.down))
            continue
        for each in part:
            if each.source == "polymarket":
                feed.apply(each.msg, each.ts)
                assert not any(book.ready and (book.crossed or book.one_sided) for book in books[-4:])
    assert (feed.mirror_faults, feed.unknown_tokens, feed.bad_values) == (0, 0, 0)
