"""The frozen table: each hook's implementations in configured order, each called in its own guard and clock.

It knows nothing of processes or merging: it asks one question and collects what came back, checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter_ns
from typing import Any, Final, NamedTuple, TypeAlias

from msgspec import Struct

from polyhost.extension.answers import MANY, checked, listed
from polyhost.extension.containing import contained
from polyhost.extension.specification import Bound
from polyhost.hooks import ANSWERING
from polyhost.model.proposals import Answer, Enter, Estimate, Signal, StandingTarget
from polyhost.model.view import View

Slot: TypeAlias = tuple[int, Callable[..., Any]]
"""A plugin's index in configured order, and its implementation."""
Given: TypeAlias = tuple[int, int, Answer]
"""A plugin's index, the subject asked about (an entry's or target's position in the question), and the answer."""
PHASES: Final[dict[str, tuple[str, ...]]] = {
    "signal": ("signal",),
    "combine": ("combine",),
    "propose": ("entry", "exit", "propose"),
    "size": ("size",),
    "review": ("review",),
    "quote": ("quote",),
}
"""The questions of a chain, in order, and the hooks that answer each."""
CLOSED: Final = ("size", "review")
"""Hooks whose absence must not open a gate: a plugin out of service fails in them."""


class Failed(NamedTuple):
    """An implementation that raised, overran or answered nonsense. ``strike``: it counts against the plugin."""

    plugin: int
    subject: int
    hook: str
    problem: str
    strike: bool = True
    away: bool = False
    """Its process did not answer: late, dead or being started."""


class Inputs(Struct, frozen=True):
    """What a question carries besides the view."""

    signals: tuple[tuple[str, Signal], ...] = ()
    estimates: tuple[tuple[str, Estimate], ...] = ()
    estimate: Estimate | None = None
    """The trading combiner's."""
    entries: tuple[Enter, ...] = ()
    targets: tuple[StandingTarget, ...] = ()


class Question(NamedTuple):
    phase: str
    inputs: Inputs


class Outcome:
    """What came back for one question."""

    __slots__ = ("failed", "given")

    def __init__(self) -> None:
        self.given: list[Given] = []
        self.failed: list[Failed] = []


class Table:
    """Implementations of the plugins that run in this process, by hook, in configured order."""

    __slots__ = ("_absent", "_silent", "_slots", "size")

    def __init__(
        self,
        plugins: Sequence[Mapping[str, Bound] | None],
        absent: Mapping[int, tuple[str, Sequence[str]]] | None = None,
    ) -> None:
        """``plugins``: implementations by index; None for one that is asked elsewhere or not at all.

        ``absent``: (why, its hooks) of each plugin that is out of service; it fails in the hooks that close.
        """
        self.size = len(plugins)
        self._slots: dict[str, tuple[Slot, ...]] = {
            hook: tuple(
                (index, _answering(bound[hook]))
                for index, bound in enumerate(plugins)
                if bound is not None and hook in bound
            )
            for hook in ANSWERING
        }
        self._absent: dict[str, tuple[tuple[int, str], ...]] = {
            hook: tuple((index, why) for index, (why, hooks) in (absent or {}).items() if hook in hooks)
            for hook in CLOSED
        }
        self._silent = frozenset(hook for hook in ANSWERING if not self._slots[hook] and not self._absent.get(hook))
        """Hooks that nobody answers here, and that nobody is missed in."""

    def ask(
        self, hook: str, view: View, about: Any, used: list[int], failed: list[Failed], subject: int = 0,
        estimate: Estimate | None = None,
    ) -> list[tuple[int, Any]]:
        """Call every implementation, guarded and clocked; the raw answers but None. Adds nanoseconds to ``used``.

        ``about`` is the hook's second argument; None for ``signal``, which has none. ``estimate``: the third one of the
        hooks about an entry.
        """
        judges = hook in CLOSED
        raw: list[tuple[int, Any]] = []
        clock = perf_counter_ns
        begin = clock()
        for index, call in self._slots[hook]:
            try:
                # Spelt out, because unpacking arguments costs a fifth of a guarded call.
                if judges:
                    answer = call(view, about, estimate)
                elif about is None:
                    answer = call(view)
                else:
                    answer = call(view, about)
            except BaseException as error:  # a plugin may raise anything; its neighbours must not notice
                failed.append(Failed(index, subject, hook, contained(error)))
                answer = None
            end = clock()
            used[index] += end - begin
            begin = end
            if answer is not None:
                raw.append((index, answer))
        return raw

    def answer(self, question: Question, view: View, used: list[int]) -> Outcome:
        """Put one question to every implementation of its hooks and collect the answers, checked."""
        phase, inputs = question
        outcome = Outcome()
        match phase:
            case "signal":
                self._collect("signal", view, None, used, outcome)
            case "combine":
                self._collect("combine", view, inputs.signals, used, outcome)
            case "propose":
                if inputs.estimate is not None:
                    self._collect("entry", view, inputs.estimate, used, outcome)
                for position in view.positions:
                    self._collect("exit", view, position, used, outcome)
                self._collect("propose", view, inputs.estimates, used, outcome)
            case "size" | "review":
                for subject, entry in enumerate(inputs.entries):
                    self._collect(phase, view, entry, used, outcome, subject, inputs.estimate)
            case "quote":
                for subject, target in enumerate(inputs.targets):
                    self._collect("quote", view, target, used, outcome, subject)
            case _:
                raise AssertionError(f"no question is called {phase!r}")
        return outcome

    def _collect(
        self, hook: str, view: View, about: Any, used: list[int], outcome: Outcome, subject: int = 0,
        estimate: Estimate | None = None,
    ) -> None:
        if hook in self._silent:
            return
        given, failed = outcome.given, outcome.failed
        many = hook in MANY
        for index, answer in self.ask(hook, view, about, used, failed, subject, estimate):
            try:
                if many:
                    given.extend([(index, subject, checked(hook, one)) for one in answer])
                else:
                    given.append((index, subject, checked(hook, answer)))
            except BaseException as error:  # its numbers may be of classes of its own, which may raise anything
                failed.append(Failed(index, subject, hook, contained(error)))
        if hook in self._absent:
            failed.extend(Failed(index, subject, hook, why, strike=False) for index, why in self._absent[hook])


def _answering(bound: Bound) -> Callable[..., Any]:
    call = bound.positional()
    if bound.hook not in MANY:
        return call
    hook = bound.hook
    return lambda *args: listed(hook, call(*args))
