"""Every entry that a plugin wants has exactly one explanation (EVD-03): one turn of the kernel, looked at by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, TypeAlias

from polyhost.kernel.entries import ENTRY_PURPOSES
from polyhost.model.commands import Analyse
from polyhost.model.events import Evaluated
from polyhost.model.proposals import Enter, Pair
from polyhost.model.records import OrderIntended
from polyhost.model.step import Step
from polyhost.model.words import Purpose

Wish: TypeAlias = tuple[str, str, str, str, int | None]
"""Plugin, purpose, side, key and worst price of an entry."""
MOVED = "moved_from"
"""An order that takes another one's place says so; no new entry was wanted."""


def rows_of(step: Step) -> list[dict[str, Any]]:
    """The explanations that a turn gave."""
    return [each.row for each in step.commands if isinstance(each, Analyse) and each.table == "explanations"]


def unexplained(event: Evaluated, step: Step) -> str:
    """What is wrong with the explanations of an answer and the turn that it caused; empty: nothing."""
    rows = rows_of(step)
    wanted, told = Counter(wishes(event)), Counter(_told(row) for row in rows)
    if wanted != told:
        return f"without an explanation: {dict(wanted - told)}, explained and not wanted: {dict(told - wanted)}"
    named = Counter(row["order"] for row in rows if row["outcome"] == "order")
    intended = {record.draft.ref: record for record in step.records if isinstance(record, OrderIntended)}
    if set(named) - set(intended) or any(count > 1 for count in named.values()):
        return f"explained by orders that are none: {dict(named)}, there are {list(intended)}"
    silent = [
        ref for ref, record in intended.items()
        if record.slot.purpose in ENTRY_PURPOSES and MOVED not in record.why and ref not in named
    ]
    return f"orders that nobody wanted: {silent}" if silent else ""


def wishes(event: Evaluated) -> Iterator[Wish]:
    """Every entry of an answer, those too that lost to another one before the kernel saw them."""
    for candidate in event.candidates:
        yield _wish(candidate.proposed.plugin, candidate.proposed.answer)
        for lost in candidate.lost:
            yield _wish(lost.plugin, lost.entry)


def _wish(plugin: str, wish: object) -> Wish:
    if isinstance(wish, Pair):
        return plugin, Purpose.LEG.value, "" if wish.first is None else wish.first.value, "", None
    assert isinstance(wish, Enter)
    return plugin, wish.purpose.value, wish.side.value, wish.key, wish.price_max


def _told(row: dict[str, Any]) -> Wish:
    return row["plugin"], row["purpose"], row["side"], row["key"], row["price_max"]
