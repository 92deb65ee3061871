"""The chain of questions that one evaluation asks, as a function of the answers; who answers is the runner's matter.

signal → combine → entry, exit, propose → arbitration → size → review → quote. Failures are open (the plugin abstains)
but in ``size`` (no entry) and ``review`` (a veto).
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from operator import itemgetter
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias, cast

from msgspec.structs import replace

from polyhost.extension.merging import Bid, Chosen, arbitrated, careful, stakes_of
from polyhost.extension.table import Failed, Given, Inputs, Outcome, Question, Table
from polyhost.model.events import Abstained, Candidate, Evaluated, Lost, PluginUse, Proposed
from polyhost.model.money import Micros, notional
from polyhost.model.proposals import (
    Abstain,
    Answer,
    Enter,
    Estimate,
    ExitTarget,
    Pair,
    QuoteTarget,
    Reprice,
    Signal,
    Skip,
    Stake,
    StandingTarget,
    Veto,
)
from polyhost.model.view import View
from polyhost.model.words import Action, Side

Chain: TypeAlias = Generator[Question, Outcome, Evaluated]
NOTHING = Inputs()
BY_PLUGIN = itemgetter(0)


class Tally:
    """What a chain cost and who failed in it, by plugin index; the answering side fills ``used`` (ns)."""

    __slots__ = ("failed", "used")

    def __init__(self, plugins: int) -> None:
        self.used = [0] * plugins
        self.failed: list[Failed] = []

    def uses(self, names: Sequence[str], asked: Sequence[int]) -> tuple[PluginUse, ...]:
        used = self.used
        if not self.failed:
            return tuple([PluginUse(names[index], used[index] // 1_000) for index in asked])
        first: dict[int, Failed] = {}
        for failure in self.failed:
            first.setdefault(failure.plugin, failure)
        away = {failure.plugin for failure in self.failed if failure.away}
        uses = []
        for index in asked:
            failure_of = first.get(index)
            used_us = used[index] // 1_000
            uses.append(
                PluginUse(names[index], used_us)
                if failure_of is None
                else PluginUse(names[index], used_us, failure_of.hook, failure_of.problem, index in away)
            )
        return tuple(uses)


class Opinions(NamedTuple):
    """Who is asked for an opinion, by index in configured order; ``out``: why one is out of service."""

    signals: Sequence[int] = ()
    combiners: Sequence[int] = ()
    out: Mapping[int, str] = MappingProxyType({})


NO_OPINIONS: Final = Opinions()


def chain(
    view: View, names: Sequence[str], asked: Sequence[int], combiner: str, tally: Tally,
    opinions: Opinions = NO_OPINIONS,
) -> Chain:
    """Yields questions and takes their outcomes; returns what the kernel gets.

    ``names`` by index in configured order, ``asked`` the indices that answer at all, ``combiner`` the one that trades,
    ``opinions`` who of them is a signal or a combiner.
    """
    lacking: dict[tuple[str, int], str] = {}
    given = _ordered((yield Question("signal", NOTHING)), tally)
    signals = cast("tuple[tuple[str, Signal], ...]", _had("signal", names, given, lacking))
    given = _ordered((yield Question("combine", Inputs(signals))), tally)
    estimates = cast("tuple[tuple[str, Estimate], ...]", _had("combine", names, given, lacking))
    trading = dict(estimates).get(combiner)
    given = _ordered((yield Question("propose", Inputs((), estimates, trading))), tally)
    bids: list[Bid] = []
    pairs: list[tuple[int, Pair]] = []
    wishes: list[tuple[int, Answer]] = []
    targets = reprices = False
    for index, _, answer in given:
        if isinstance(answer, Enter):
            bids.append((index, answer))
        elif isinstance(answer, Pair):
            pairs.append((index, answer))
        else:
            wishes.append((index, answer))
            targets = targets or isinstance(answer, ExitTarget | QuoteTarget)
            reprices = reprices or isinstance(answer, Reprice)
    candidates = (yield from _candidates(names, bids, trading, tally)) if bids else ()
    if pairs:
        candidates += yield from _pairs(names, pairs, trading, tally)
    if reprices:
        wishes = yield from _repriced(view, names, wishes, trading, tally)
    if targets:
        wishes = yield from _quoted(wishes, tally)
    return Evaluated(
        view.view_seq,
        view.book_epoch,
        view.state_rev,
        view.market.condition_id,
        signals,
        estimates,
        combiner,
        candidates,
        tuple([Proposed(names[index], answer) for index, answer in wishes]),
        tally.uses(names, asked),
        _abstained(names, opinions, signals, estimates, lacking, tally),
    )


def _had(
    hook: str, names: Sequence[str], given: Sequence[Given], lacking: dict[tuple[str, int], str]
) -> tuple[tuple[str, Answer], ...]:
    """Who thinks what; what those lack who abstain goes to ``lacking``, by hook and plugin index."""
    had = []
    for index, _, answer in given:
        if isinstance(answer, Abstain):
            lacking[hook, index] = answer.reason
        else:
            had.append((names[index], answer))
    return tuple(had)


def _abstained(
    names: Sequence[str], opinions: Opinions, signals: Sequence[Any], estimates: Sequence[Any],
    lacking: dict[tuple[str, int], str], tally: Tally,
) -> tuple[Abstained, ...]:
    """Who was asked for an opinion and gave none, and why."""
    if len(signals) == len(opinions.signals) and len(estimates) == len(opinions.combiners):
        return ()
    why = {(failure.hook, failure.plugin): failure.problem for failure in tally.failed} | lacking
    said = {"signal": _who(signals), "combine": _who(estimates)}
    return tuple(
        Abstained(hook, names[index], why.get((hook, index)) or opinions.out.get(index, ""))
        for hook, asked in (("signal", opinions.signals), ("combine", opinions.combiners))
        for index in asked if names[index] not in said[hook]
    )


def _who(opinions: Sequence[Any]) -> frozenset[str]:
    return frozenset(name for name, _ in opinions)


def _ordered(outcome: Outcome, tally: Tally) -> list[Given]:
    """The answers in configured order, then in the order in which a plugin said them; the failures are kept."""
    # Nothing may depend on who answered first.
    if len(outcome.given) > 1:
        outcome.given.sort(key=BY_PLUGIN)
    if outcome.failed:
        tally.failed.extend(outcome.failed)
    return outcome.given


def _candidates(
    names: Sequence[str], bids: Sequence[Bid], trading: Estimate | None, tally: Tally
) -> Generator[Question, Outcome, tuple[Candidate, ...]]:
    chosen = arbitrated(bids)
    outcome = yield Question("size", Inputs((), (), trading, tuple([choice.entry for choice in chosen])))
    _ordered(outcome, tally)
    sized = [_sized(choice, subject, outcome) for subject, choice in enumerate(chosen)]
    # A guard sees the entry with its stake; what nobody sized cannot become an order and is not reviewed.
    reviewed = [subject for subject, stakes in enumerate(sized) if stakes]
    entries = tuple(replace(chosen[subject].entry, stake=sized[subject][0][0]) for subject in reviewed)
    vetoes: dict[int, list[tuple[int, str]]] = {}
    if entries:
        outcome = yield Question("review", Inputs((), (), trading, entries))
        for index, position, answer in _ordered(outcome, tally):
            vetoes.setdefault(reviewed[position], []).append((index, cast(Veto, answer).reason))
        for failure in outcome.failed:
            text = f"review failed: {failure.problem}"
            vetoes.setdefault(reviewed[failure.subject], []).append((failure.plugin, text))
    return tuple(
        _candidate(names, choice, sized[subject], vetoes.get(subject, [])) for subject, choice in enumerate(chosen)
    )


def _pairs(
    names: Sequence[str], pairs: Sequence[tuple[int, Pair]], trading: Estimate | None, tally: Tally
) -> Generator[Question, Outcome, tuple[Candidate, ...]]:
    """A pair names its stake itself; guards review each of its legs as an entry, and one refused leg refuses both."""
    legs = tuple(pair.leg(side) for _, pair in pairs for side in Side)
    outcome = yield Question("review", Inputs((), (), trading, legs))
    vetoes: dict[int, list[tuple[int, str]]] = {}
    for index, position, answer in _ordered(outcome, tally):
        vetoes.setdefault(position // 2, []).append((index, cast(Veto, answer).reason))
    for failure in outcome.failed:
        vetoes.setdefault(failure.subject // 2, []).append((failure.plugin, f"review failed: {failure.problem}"))
    return tuple(
        Candidate(
            Proposed(names[plugin], pair), pair.stake, names[plugin],
            tuple((names[index], reason) for index, reason in sorted(vetoes.get(place, []), key=BY_PLUGIN)),
        )
        for place, (plugin, pair) in enumerate(pairs)
    )


def _sized(choice: Chosen, subject: int, outcome: Outcome) -> list[tuple[Micros, int]]:
    """Stakes and whose they are, the smallest first; none: it cannot become an order."""
    if any(failure.subject == subject for failure in outcome.failed):
        return []
    stakes = [(index, cast(Stake, answer)) for index, position, answer in outcome.given if position == subject]
    return stakes_of(choice, stakes)


def _candidate(
    names: Sequence[str], choice: Chosen, sized: list[tuple[Micros, int]], vetoes: list[tuple[int, str]]
) -> Candidate:
    return Candidate(
        Proposed(names[choice.plugin], choice.entry),
        sized[0][0] if sized else None,
        names[sized[0][1]] if sized else "",
        tuple((names[index], reason) for index, reason in sorted(vetoes, key=BY_PLUGIN)),
        tuple(names[index] for index in choice.outbid),
        tuple(Lost(names[index], entry, how) for index, entry, how in choice.lost),
        tuple((names[index], amount) for amount, index in sized) if len(sized) > 1 else (),
    )


def _repriced(
    view: View, names: Sequence[str], wishes: list[tuple[int, Answer]], trading: Estimate | None, tally: Tally
) -> Generator[Question, Outcome, list[tuple[int, Answer]]]:
    """A re-price that pays more than the order did is an entry at that price: guards are asked, any refusal wins."""
    dearer = {
        place: entry for place, (_, answer) in enumerate(wishes)
        if isinstance(answer, Reprice) and (entry := _dearer(view, answer)) is not None
    }
    if not dearer:
        return wishes
    places = list(dearer)
    outcome = yield Question("review", Inputs((), (), trading, tuple(dearer.values())))
    refused = [(subject, index, cast(Veto, answer).reason) for index, subject, answer in _ordered(outcome, tally)]
    refused += [(failure.subject, failure.plugin, f"review failed: {failure.problem}") for failure in outcome.failed]
    for subject, index, reason in refused:
        place = places[subject]
        wishes[place] = (wishes[place][0], Skip(f"re-price vetoed by {names[index]}: {reason}"))
    return wishes


def _dearer(view: View, wish: Reprice) -> Enter | None:
    """The entry that a re-price amounts to; None when it pays no more, or there is no such order."""
    for order in view.orders:
        if order.ref == wish.ref and order.action is Action.BUY and wish.price > order.price:
            stake = notional(order.size - order.matched, wish.price)
            return Enter(order.side, wish.price, wish.reason, order.purpose, "GTC", stake, key=order.key)
    return None


def _quoted(
    wishes: list[tuple[int, Answer]], tally: Tally
) -> Generator[Question, Outcome, list[tuple[int, Answer]]]:
    places = [place for place, (_, answer) in enumerate(wishes) if isinstance(answer, ExitTarget | QuoteTarget)]
    targets = tuple(cast(StandingTarget, wishes[place][1]) for place in places)
    given = _ordered((yield Question("quote", Inputs(targets=targets))), tally)
    adjusted: dict[int, list[StandingTarget]] = {}
    for _, subject, answer in given:
        adjusted.setdefault(subject, []).append(cast(StandingTarget, answer))
    for subject, answers in adjusted.items():
        place = places[subject]
        wishes[place] = (wishes[place][0], careful(targets[subject], answers))
    return wishes


def run_chain(
    view: View, table: Table, names: Sequence[str], combiner: str, asked: Sequence[int] = (),
    opinions: Opinions = NO_OPINIONS,
) -> Evaluated:
    """The whole chain at once, of the plugins in this process alone."""
    tally = Tally(len(names))
    return driven(chain(view, names, asked or range(len(names)), combiner, tally, opinions), table, view, tally)


def driven(steps: Chain, table: Table, view: View, tally: Tally) -> Evaluated:
    """Answer every question of a chain from one table."""
    used = tally.used
    try:
        question = next(steps)
        while True:
            question = steps.send(table.answer(question, view, used))
    except StopIteration as end:
        return cast(Evaluated, end.value)
