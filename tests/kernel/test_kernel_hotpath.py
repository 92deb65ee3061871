"""The hot path: what a message changes, what it never does, and how lost continuity shows."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import polyhost.kernel
from polyhost.kernel import hotpath
from polyhost.kernel.hotpath import ALIASES_MAX, MIRROR_CHECK, Feed
from polyhost.model.market import normal_token
from polyhost.model.messages import Change, Level, Message
from polyhost.model.money import micros, ticks


def feed() -> Feed:
    made = Feed()
    made.add("0xc0", "101", "102")
    made.apply(Message("book", "101", bids=[Level("0.40", "10")], asks=[Level("0.42", "10")]), 1)
    return made


def pair(price: str, size: str, mirror_size: str | None = None) -> Message:
    """A bid for UP and the ask for DOWN that mirrors it, as the venue sends both."""
    other = f"{(10_000 - ticks(price)) / 10_000}"
    return Message("price_change", price_changes=[
        Change("101", price, size, "BUY"), Change("102", other, mirror_size or size, "SELL"),
    ])  # fmt: skip


def test_one_of_two_mirrored_changes_is_applied() -> None:
    made = feed()
    made.apply(pair("0.41", "5"), 2)
    book = made.lanes["101"].book
    assert book.best_bid == ticks("0.41")
    assert book.bids[ticks("0.41")] == micros("5")
    assert book.changed_at == 2


def test_con_02_a_mirror_that_differs_spoils_the_epoch_when_it_is_checked() -> None:
    made = feed()
    book = made.lanes["101"].book
    for _ in range(MIRROR_CHECK - 1):
        made.apply(pair("0.41", "5", "6"), 2)
    assert book.ready
    made.apply(pair("0.41", "5", "6"), 2)
    assert not book.ready
    assert (book.epoch, made.mirror_faults) == (1, 1)


def test_changes_before_the_first_full_book_are_nothing() -> None:
    made = Feed()
    book = made.add("0xc0", "101", "102")
    made.apply(pair("0.41", "5"), 2)
    assert book.bids == {}
    assert not book.ready


def test_a_value_that_is_no_number_spoils_the_epoch_and_is_counted() -> None:
    made = feed()
    made.apply(pair("0.41", "five"), 2)
    assert made.bad_values == 1
    assert not made.lanes["101"].book.ready


def test_changes_that_are_no_mirror_are_all_applied() -> None:
    made = feed()
    made.apply(Message("price_change", price_changes=[
        Change("101", "0.39", "1", "BUY"), Change("101", "0.38", "1", "BUY"), Change("102", "0.57", "4", "BUY"),
    ]), 2)  # fmt: skip
    assert made.lanes["101"].book.asks[ticks("0.43")] == micros("4")


def test_messages_of_unknown_tokens_and_kinds_are_counted() -> None:
    made = feed()
    made.apply(Message("book", "999", bids=[], asks=[]), 2)
    made.apply(Message("something_new", "101"), 2)
    assert (made.unknown_tokens, made.unknown_kinds) == (1, 1)


def test_ord_05_a_token_in_hex_is_the_decimal_one_of_the_catalogue() -> None:
    made = feed()
    made.apply(Message("book", "0x65", bids=[Level("0.50", "7")], asks=[Level("0.52", "7")]), 2)
    made.apply(Message("price_change", price_changes=[
        Change("0x66", "0.49", "3", "BUY"), Change("0x65", "0.51", "3", "SELL"),
    ]), 3)  # fmt: skip
    book = made.lanes["101"].book
    assert (book.best_bid, book.best_ask, book.asks[ticks("0.51")]) == (ticks("0.50"), ticks("0.51"), micros("3"))
    made.apply(Message("tick_size_change", "0X66", new_tick_size="0.001"), 4)
    assert made.tick_changes == [("0xc0", ticks("0.001"))]
    assert made.unknown_tokens == 0


def test_ord_05_the_mirror_in_hex_is_checked_and_applied_like_any() -> None:
    made = feed()
    made.apply(Message("price_change", price_changes=[
        Change("101", "0.39", "1", "BUY"), Change("101", "0.38", "1", "BUY"), Change("0x66", "0.57", "4", "BUY"),
    ]), 2)  # fmt: skip
    assert made.lanes["101"].book.asks[ticks("0.43")] == micros("4")
    wrong = Message("price_change", price_changes=[
        Change("0x65", "0.41", "5", "BUY"), Change("0x66", "0.59", "6", "SELL"),
    ])  # fmt: skip
    for _ in range(MIRROR_CHECK):
        made.apply(wrong, 2)
    assert made.mirror_faults == 1


def test_ord_05_a_spelling_is_normalised_once_and_few_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def reading(text: str) -> str:
        read.append(text)
        return normal_token(text)

    monkeypatch.setattr(hotpath, "normal_token", reading)
    made = feed()
    spellings = [f"0x{'0' * zeros}65" for zeros in range(ALIASES_MAX + 2)]
    for _ in range(3):
        for text in ("101", "102", *spellings):
            made.apply(Message("book", text, bids=[Level("0.50", "7")], asks=[]), 2)
    assert made.lanes["101"].aliases == spellings[:ALIASES_MAX]
    assert read == spellings + 2 * spellings[ALIASES_MAX:]
    assert made.unknown_tokens == 0
    made.remove("101", "102")
    assert made.lanes == {}, "its other spellings go with it"
    made.apply(Message("book", "0x65", bids=[], asks=[]), 2)
    assert made.unknown_tokens == 1


def test_ord_05_what_is_no_number_is_one_token_as_it_stands() -> None:
    made = Feed()
    made.add("0xc0", "up-token", "0xno-hex")
    made.apply(Message("book", "0xno-hex", bids=[Level("0.40", "1")], asks=[]), 1)
    made.apply(Message("book", "UP-TOKEN", bids=[Level("0.40", "1")], asks=[]), 1)
    assert (made.lanes["up-token"].book.ready, made.unknown_tokens) == (True, 1)


def test_con_09_a_tick_change_is_told_to_the_kernel() -> None:
    made = feed()
    made.apply(Message("tick_size_change", "102", new_tick_size="0.001"), 2)
    assert made.tick_changes == [("0xc0", ticks("0.001"))]


def test_durable_state_is_changed_by_the_reducer_alone() -> None:
    """No module of the kernel but state.py assigns to, or calls a mutating method of, anything reached from a state."""
    guilty = []
    for path in sorted(Path(polyhost.kernel.__path__[0]).glob("*.py")):
        if path.name != "state.py":
            guilty += [f"{path.name}:{line}" for line in mutations(ast.parse(path.read_text(encoding="utf-8")))]
    assert guilty == []


def test_the_check_of_the_reducer_can_fail() -> None:
    for bad in ("core.state.opened = True", "self.core.state.orders.pop('x')", "state.ledger['a'] += 1",
                "order.reserve = 0", "position.held = 'x'", "entry.settled = True"):
        assert mutations(ast.parse(bad)), bad
    assert not mutations(ast.parse("plan.urgent = None; x = core.state.orders['a']"))


ENTITIES = {"state", "order", "position", "entry"}
MUTATORS = {"pop", "clear", "update", "append", "remove", "setdefault", "extend", "insert", "popitem", "add"}


def mutations(tree: ast.AST) -> list[int]:
    """Lines that assign into, or mutate, something whose access path goes through durable state."""
    lines = []
    for node in ast.walk(tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets = [node.target]
        elif isinstance(node, ast.Delete):
            targets = node.targets
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
            targets = [node.func]
        lines += [node.lineno for target in targets if reaches_state(target)]  # type: ignore[attr-defined]
    return lines


def reaches_state(target: ast.expr) -> bool:
    """True for ``state.x``, ``core.state.orders[…]``, ``order.x`` …: an attribute or item below a durable entity."""
    inner = target
    while isinstance(inner, ast.Attribute | ast.Subscript):
        inner = inner.value
        name = inner.attr if isinstance(inner, ast.Attribute) else inner.id if isinstance(inner, ast.Name) else ""
        if name in ENTITIES:
            return True
    return False
