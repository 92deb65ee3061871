"""Assertions in the words of the domain. Each takes what the bench answered, or a hook's own answer, and returns it.

A failed one says what was answered instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from polyhost.model.money import micros, ticks
from polyhost.model.proposals import (
    Abstain,
    Enter,
    Estimate,
    ExitNow,
    ExitTarget,
    HoldToSettlement,
    QuoteTarget,
    Signal,
    Skip,
    Stake,
    Trigger,
    Veto,
)
from polyhost.model.words import Action, Side
from polyhost.testing.bench import Answered

Found = TypeVar("Found")


def assert_abstains(answer: object, because: str = "") -> str:
    """No opinion; its reason (holding the words ``because``), empty where it said nothing at all."""
    if isinstance(answer, Answered):
        opinion: object = answer.signal or answer.estimate
        reason = answer.abstained
    else:
        opinion = answer if isinstance(answer, Signal | Estimate) else None
        reason = answer.reason if isinstance(answer, Abstain) else ""
    assert opinion is None, f"expected no opinion, got {opinion}"
    assert because in reason, f"expected it to abstain because of {because!r}, it said {reason!r}"
    return reason


def assert_leans(answer: object, toward: Side | None, at_least: float = 0.0, weight_min: float = 0.0) -> Any:
    """An opinion towards a side (None: even) whose probability is at least so far from even; the opinion itself."""
    opinion = (answer.signal or answer.estimate) if isinstance(answer, Answered) else answer
    missing = answer.abstained if isinstance(answer, Answered) else ""
    assert isinstance(opinion, Signal | Estimate), f"expected an opinion, got {missing or opinion!r}"
    lean = opinion.p_up - 0.5
    if toward is None:
        assert abs(lean) < 1e-9, f"expected an even opinion, got p_up {opinion.p_up}"
    else:
        signed = lean if toward is Side.UP else -lean
        assert signed > 0, f"expected it to lean {toward.value}, got p_up {opinion.p_up} ({opinion.reason})"
        assert signed >= at_least, f"expected at least {at_least} from even, got p_up {opinion.p_up}"
    weight = opinion.weight if isinstance(opinion, Signal) else opinion.confidence
    assert weight >= weight_min, f"expected a weight of at least {weight_min}, got {weight}"
    return opinion


def assert_enters(answer: object, side: Side, *, price_max: str = "", because: str = "") -> Enter:
    """One entry of this side (at this worst price), and its reason holds the words ``because``."""
    (entry,) = _exactly_one(Enter, answer, lambda each: each.side is side, f"an entry of {side.value}")
    if price_max:
        assert entry.price_max == ticks(price_max), f"expected {price_max} at most, got {entry.price_max} ticks"
    assert because in entry.reason, f"expected {because!r} in its reason, got {entry.reason!r}"
    return entry


def assert_skips(answer: object, because: str = "") -> Skip:
    """No entry, and the reason holds the words ``because``."""
    entries = _of(answer, Enter)
    assert not entries, f"expected no entry, got {entries}"
    (skip,) = _exactly_one(Skip, answer, lambda each: because in each.reason, f"a skip because of {because!r}")
    return skip


def assert_exits(answer: object, side: Side, *, urgency: str = "", because: str = "") -> ExitNow:
    """It wants to sell the position now."""
    (exit_now,) = _exactly_one(ExitNow, answer, lambda each: each.side is side, f"an exit of {side.value}")
    assert urgency in ("", exit_now.urgency), f"expected urgency {urgency}, got {exit_now.urgency}"
    assert because in exit_now.reason, f"expected {because!r} in its reason, got {exit_now.reason!r}"
    return exit_now


def assert_targets(answer: object, side: Side, price: str = "") -> ExitTarget:
    """It wants a sell of the position to rest (at this price)."""
    (target,) = _exactly_one(ExitTarget, answer, lambda each: each.side is side, f"an exit target of {side.value}")
    assert not price or target.price == ticks(price), f"expected {price}, got {target.price} ticks"
    return target


def assert_holds(answer: object, side: Side) -> HoldToSettlement:
    """It declares the position held to the result."""
    (held,) = _exactly_one(HoldToSettlement, answer, lambda each: each.side is side, f"a hold of {side.value}")
    return held


def assert_quotes(answer: object, side: Side, action: Action = Action.BUY, price: str = "") -> QuoteTarget:
    """It wants a quote of this side to rest (at this price)."""
    (target,) = _exactly_one(
        QuoteTarget, answer, lambda each: each.side is side and each.action is action,
        f"a quote: {action.value} {side.value}",
    )
    assert not price or target.price == ticks(price), f"expected {price}, got {target.price} ticks"
    return target


def assert_quiet(answer: object) -> None:
    """It wants nothing: no proposal but triggers and skips."""
    if isinstance(answer, Answered):
        loud: list[object] = [each for each in answer.proposals if not isinstance(each, Trigger | Skip)]
    else:
        loud = [each for each in _several(answer) if not isinstance(each, Trigger | Skip | Abstain)]
    assert not loud, f"expected nothing, got {loud}"


def assert_vetoes(answer: Veto | None, because: str = "") -> Veto:
    """It refuses the entry, and the reason holds the words ``because``."""
    assert isinstance(answer, Veto), f"expected a veto, got {answer!r}"
    assert because in answer.reason, f"expected {because!r} in its reason, got {answer.reason!r}"
    return answer


def assert_allows(answer: Veto | None) -> None:
    """It does not refuse the entry."""
    assert answer is None, f"expected no veto, got {answer!r}"


def assert_stakes(answer: Stake | None, amount: str) -> Stake:
    """It would spend this much collateral."""
    assert isinstance(answer, Stake), f"expected a stake, got {answer!r}"
    assert answer.amount == micros(amount), f"expected {amount}, got {answer.amount} micro-units ({answer.reason})"
    return answer


def _several(answer: object) -> list[object]:
    if answer is None:
        return []
    return list(answer) if isinstance(answer, Iterable) else [answer]


def _of(answer: object, kind: type[Found]) -> list[Found]:
    given = answer.proposals if isinstance(answer, Answered) else _several(answer)
    return [each for each in given if isinstance(each, kind)]


def _exactly_one(kind: type[Found], answer: object, fits: Any, what: str) -> list[Found]:
    found = [each for each in _of(answer, kind) if fits(each)]
    said = answer.proposals if isinstance(answer, Answered) else answer
    assert len(found) == 1, f"expected {what}, got {said!r}"
    return found
