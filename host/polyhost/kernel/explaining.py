"""What becomes of every entry that a plugin wanted: one explanation each, whatever the end (EVD-03).

An entry that was handed to the kernel ends as an order, a veto, the first gate that refused it, or stale or late
answers; one that never got so far lost to another plugin's, which outbid it or took it in. Nothing here decides.
"""

from __future__ import annotations

from collections.abc import Iterator

from polyhost.kernel.entries import EntryRefused
from polyhost.model.events import Candidate, Evaluated
from polyhost.model.money import price_text
from polyhost.model.proposals import Enter, Pair
from polyhost.model.study import Explained
from polyhost.model.words import Purpose

STALE = frozenset({"stale_answer", "book_lost"})
"""Gates that say: what the plugin saw holds no more."""


def explained(
    event: Evaluated, candidate: Candidate, at: int, slug: str, refusal: EntryRefused | None, order: str
) -> Iterator[Explained]:
    """The candidate's explanation, then those of the entries that lost to it. ``order``: the one it became."""
    wish, plugin = candidate.proposed.answer, candidate.proposed.plugin
    if refusal is None:
        text = f"at most {price_text(wish.price_max)}" if isinstance(wish, Enter) else "the first leg of a pair"
        yield _row(event, candidate, at, slug, "order", "", candidate.sized_by, text, order)
    else:
        yield _row(
            event, candidate, at, slug, _ending(refusal.gate), refusal.gate, _by(candidate, refusal.gate), refusal.text
        )
    for lost in candidate.lost:
        entry = lost.entry
        yield Explained(
            at, event.condition_id, slug, event.view_seq, lost.plugin, entry.purpose.value, entry.side.value, entry.key,
            entry.price_max, entry.stake, lost.how, "", plugin, entry.reason,
        )


def late(event: Evaluated, at: int, slug: str, gate: str) -> Iterator[Explained]:
    """Every entry of an answer that was not taken at all."""
    refusal = EntryRefused(gate, "the answer came too late" if gate == "late_answer" else "its market is over")
    for candidate in event.candidates:
        yield from explained(event, candidate, at, slug, refusal, "")


def _row(
    event: Evaluated, candidate: Candidate, at: int, slug: str, outcome: str, gate: str, by: str, text: str,
    order: str = "",
) -> Explained:
    wish, plugin = candidate.proposed.answer, candidate.proposed.plugin
    if isinstance(wish, Pair):
        purpose, side, key, price = Purpose.LEG.value, "" if wish.first is None else wish.first.value, "", None
    else:
        assert isinstance(wish, Enter)
        purpose, side, key, price = wish.purpose.value, wish.side.value, wish.key, wish.price_max
    return Explained(
        at, event.condition_id, slug, event.view_seq, plugin, purpose, side, key, price, candidate.stake, outcome, gate,
        by, text, order, tuple(f"{name}: {reason}" for name, reason in candidate.vetoes),
    )


def _ending(gate: str) -> str:
    if gate == "veto":
        return "veto"
    if gate in ("late_answer", "market_over"):
        return "late"
    return "stale" if gate in STALE else "refused"


def _by(candidate: Candidate, gate: str) -> str:
    """Who refused: the first guard that vetoed; else the host."""
    return candidate.vetoes[0][0] if gate == "veto" else "host"
