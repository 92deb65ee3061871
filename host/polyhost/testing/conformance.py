"""The conformance suite: the promises of a plugin, checked on anyone's.

``check(MyPlugin)`` gives a graded report; ``class TestMine(Conformance): plugin = MyPlugin`` makes each promise a test;
``polyhost plugins check NAME`` does the same in a process of its own. What is asked is in polyhost.testing.samples, the
promises and grades are in polyhost.testing.report. Only the answering hooks are watched for input and output; a clock
or a draw without a seed is a fault in ``on_…`` hooks and in the constructor, too, because what they leave behind
decides. ``notify`` and ``feeds`` may use all of it, and are not called.
"""

from __future__ import annotations

import inspect
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from statistics import median
from types import FrameType, ModuleType
from typing import Any, ClassVar, Final
from zlib import crc32

import msgspec

from polyhost.configuration.options import options_of
from polyhost.errors import ConfigError, PluginError
from polyhost.extension.answers import MANY, AnswerError, checked, listed
from polyhost.extension.building import Built, built
from polyhost.extension.containing import contained
from polyhost.extension.sources import Source
from polyhost.extension.telling import told
from polyhost.hooks import ANSWERING, TELLING, Hooks
from polyhost.model.proposals import Enter, Keep, Pair, Remembered
from polyhost.model.view import View
from polyhost.plugin import Plugin
from polyhost.secret import Handed, references_in
from polyhost.testing import samples
from polyhost.testing.builders import up
from polyhost.testing.given import DISTRIBUTION, given_source
from polyhost.testing.lookahead import assert_no_lookahead, walk
from polyhost.testing.report import RULES, Report
from polyhost.testing.samples import Question
from polyhost.testing.spies import Sightings, watched

CPU_BUDGET_US: Final = 5_000.0
"""CPU microseconds that all answers of one plugin to one view may take, the median over a window. The host gives 50 ms
of wall time and asks once a second for each market; the shipped plugins take less than 200."""
ENDLESS: Final = 2.0
"""CPU seconds after which a single answer is taken to have no end."""
TIMED_VIEWS: Final = 9
PLACEHOLDER: Final = "handed-over-for-the-examination"
"""Stands for every secret that the settings name: nobody's own is looked up for an examination."""
FOUND_MAX: Final = 3
"""Findings told of one rule; the first ones say it all."""
UNITS_SAID: Final = (
    "second", " ms", "millisecond", "minute", "hour", "day", "tick", "share", "collateral", "fraction", "%",
    "percent", "factor", "weight", "probability", "confidence", "strength", "times", "number", "exponent", " to ",
    "ratio", "multipl", "of the price", "points",
)
"""Words in a number's description that tell what it is measured in."""
_ENCODE: Final = msgspec.json.Encoder(order="deterministic").encode


ASKED: Final = "the examination ended before it was asked this"


class EndlessError(BaseException):
    """A call that does not end; no ``except Exception`` of a plugin stops it."""


class Examination:
    """One plugin under examination. Use once: ``run`` gives the report."""

    def __init__(self, source: Source, name: str, table: Mapping[str, Any] | None = None) -> None:
        self.source, self.name, self.table = source, name, dict(table or {})
        self._handed = {secret.reference: Handed(PLACEHOLDER) for secret in references_in(self.table)}
        self.report = Report(name, source.origin)
        self.sightings = Sightings()
        self.digests: list[int] = []
        """A number for each answer to the complete views, for comparison with another process."""
        self._kind: type[Plugin] = Plugin
        self._every = 1
        """Of the complete views every so-many-th is asked about: few, where each takes long."""

    def run(self) -> Report:
        """All promises but the comparison with another process."""
        plugin = self._built()
        if plugin is None:
            self.report.leave(ASKED)
            return self.report
        self.report.hooks = tuple(plugin.hooks)
        examined = {"contract"}
        try:
            with limited():
                for step, rules in self._steps():
                    step()
                    examined.update(rules)
                examined.add("end")
        except EndlessError as error:
            self.report.add("end", str(error))
        except (PluginError, ConfigError) as error:  # it was built once, and could not be built again
            self.report.add("contract", str(error))
        except BaseException as error:  # its class is anybody's, too
            self.report.add("contract", f"could not be examined: {contained(error)}")
        self._seen()
        self.report.leave(ASKED, examined)
        return self.report

    def _steps(self) -> Iterator[tuple[Callable[[], None], tuple[str, ...]]]:
        """Each step in order, with the promises that are known to be kept or broken after it."""
        yield self._documented, ("description", "settings")
        yield self._speed, ("speed",)
        yield self._answers, ("types", "determinism", "clock", "randomness", "io")
        yield self._missing, ("missing",)
        yield self._lookahead, ("lookahead",)
        yield self._state, ("state",)

    def digest(self) -> list[int]:
        """Only what another process is compared by; empty when it cannot be built or has no end."""
        try:
            if self._built() is not None:
                with limited():
                    self._answers()
        except BaseException as error:  # whatever it is, the process that examines tells it
            if not isinstance(error, EndlessError):
                contained(error)
            return []
        return self.digests

    # --- contract -----------------------------------------------------------------------------------------------------

    def _built(self) -> Built | None:
        try:
            plugin = built(self.source, self.name, self.table, handed=self._handed)
        except (PluginError, ConfigError) as error:
            self.report.add("contract", str(error))
            return None
        self._kind = type(plugin.instance)
        return plugin

    def _fresh(self) -> Built:
        """A new instance, watched while it is built, but for input and output: a model may be read there."""
        try:
            with watched(self.sightings, self._modules(), outside=False):
                return built(given_source(self._kind), self.name, self.table, handed=self._handed)
        finally:
            _on_time()

    def _modules(self) -> list[ModuleType]:
        """The plugin's own modules: its file's, or its package's."""
        own = {self.source.module.partition(".")[0], self._kind.__module__} - {Plugin.__module__}
        return [module for name, module in list(sys.modules.items()) if name in own or name.partition(".")[0] in own]

    def _documented(self) -> None:
        add, kind = self.report.add, self._kind
        if not kind.description.strip():
            add("description", "has no description: description = \"…\"")
        for hook in self.report.hooks:
            if not own_docstring(kind, hook):
                add("description", f"{hook} has no docstring: say what it answers, and when it answers nothing")
        try:
            options = options_of(kind.Settings)
        except ValueError:
            add("settings", "a setting has no default: the plugin cannot be enabled by its name alone")
            return
        for option in options:
            name, meaning, default = option["name"], option["meaning"], option["default"]
            if not meaning:
                add("settings", f"{name} has no description: a docstring under it, with its unit")
            elif isinstance(default, float) and not option["unit"] and not _says_unit(meaning):
                add("settings", f"{name} = {default} has no unit, in its name or its description")

    # --- answers ------------------------------------------------------------------------------------------------------

    def _answers(self) -> None:
        """Every question of two whole windows, each asked twice: types, bounds, purity, clocks, draws, the outside."""
        plugin = self._fresh()
        views = self._complete(15) + self._complete(5)
        with watched(self.sightings, self._modules()):
            for view in views:
                for question in samples.questions(plugin.hooks, view):
                    self._twice(plugin, question)

    def _twice(self, plugin: Built, question: Question) -> None:
        first = self._asked(plugin, question, "types")
        again = self._asked(plugin, question, "types")
        self.digests.append(crc32(first))
        if first != again:
            self._found(
                "determinism", f"{question.hook} asked twice about one view answered {_short(first)}, then "
                f"{_short(again)}: answering hooks are pure, what changes belongs into on_… hooks"
            )

    def _asked(self, plugin: Built, question: Question, rule: str) -> bytes:
        """One answer as text; what is wrong with it is noted, and its text is the problem."""
        self.report.questions += 1
        try:
            return _ENCODE(_call(plugin, question))
        except AnswerError as error:
            self._found("types", f"{question.hook}: {error}")
            return str(error).encode()
        except BaseException as error:  # the plugin is anybody's, and may raise anything
            problem = _raised(error)
            where = f" without {question.lacking}" if question.lacking else ""
            self._found(rule, f"{question.hook} raised{where}: {problem}")
            return problem.encode()

    def _missing(self) -> None:
        if self.report.of("types"):
            self.report.skipped["missing"] = "it does not even answer complete views"
            return
        plugin = self._fresh()
        views = list(samples.missing())
        with watched(self.sightings, self._modules()):
            for lacking, view in views:
                for question in samples.questions(plugin.hooks, view, lacking):
                    self._asked(plugin, question, "missing")

    def _speed(self) -> None:
        """CPU time without spies, the best of three for each view: other work on the machine does not count."""
        plugin = self._fresh()
        spent: list[float] = []
        for view in list(samples.complete())[:TIMED_VIEWS]:
            asked = list(samples.questions(plugin.hooks, view))
            if asked:
                spent.append(min(_cpu_us(plugin, asked) for _ in range(3)))
        self.report.cpu_us = median(spent) if spent else 0.0
        if self.report.cpu_us > CPU_BUDGET_US:
            self._found("speed", f"{self.report.cpu_us:,.0f} us of CPU a view, at most {CPU_BUDGET_US:,.0f}")
            self._every = 6

    def _complete(self, minutes: int) -> list[View]:
        return list(samples.complete(minutes))[:: self._every]

    def _unsteady(self, rule: str) -> bool:
        """Where answers are wrong or change by themselves, comparing them shows nothing more."""
        for reason, why in (
            ("types", "it does not even answer complete views"), ("determinism", "its answers change by themselves"),
        ):
            if self.report.of(reason):
                self.report.skipped[rule] = why
                return True
        return False

    def _lookahead(self) -> None:
        if self._unsteady("lookahead"):
            return
        _begin()
        try:
            with watched(self.sightings, self._modules(), outside=False):
                assert_no_lookahead(
                    self._kind, self.table, steps=walk(40 // self._every), cuts=(0.5,), estimate=0.7,
                    signals=dict(samples.SIGNALS), handed=self._handed, holding=(up(20, average="0.41"),),
                )
        except AssertionError as error:
            self._found("lookahead", str(error))
        except BaseException as error:  # the plugin is anybody's, and may raise anything
            self._found("types", f"raised in a walk of two minutes: {_raised(error)}")

    # --- state --------------------------------------------------------------------------------------------------------

    def _state(self) -> None:
        """It lives through two windows and is told what happened; a new one with its state must answer the same."""
        if self._unsteady("state"):
            return
        plugin, reborn = self._fresh(), self._fresh()
        with watched(self.sightings, self._modules(), outside=False):
            for number, view in enumerate(self._complete(5) + self._complete(15)):
                for hook in self._due(plugin, number):
                    self._tell(plugin, hook, view.now)
                for question in samples.questions(plugin.hooks, view):
                    self._live(plugin, question)
            reborn.state.load(plugin.state.texts())
            for view in self._complete(15)[-8:]:
                for question in samples.questions(plugin.hooks, view):
                    self._again(plugin, reborn, question)

    def _again(self, plugin: Built, reborn: Built, question: Question) -> None:
        before, after = self._asked(plugin, question, "types"), self._asked(reborn, question, "types")
        if before != after:
            self._found(
                "state", f"{question.hook} answered {_short(before)}, and after a restart {_short(after)}: what it "
                "must know belongs into self.state"
            )

    def _due(self, plugin: Built, number: int) -> Iterator[str]:
        """The facts that are told before the n-th view: a life in order, again and again."""
        order = ("start", *TELLING)
        hook = order[number % len(order)]
        if hook in plugin.hooks and (hook != "start" or number == 0):
            yield hook

    def _tell(self, plugin: Built, hook: str, at: int) -> None:
        for facts in samples.facts(hook, at):
            _begin()
            telling = told(plugin.hooks[hook], plugin.state, facts)
            _on_time()
            if telling.problem:
                self._found("types", f"{hook}: {telling.problem}")

    def _live(self, plugin: Built, question: Question) -> None:
        """An answer is taken as the host takes it: what is to be remembered becomes durable."""
        try:
            answer = _call(plugin, question)
        except BaseException as error:  # noted when the same question was asked for its answer
            _raised(error)
            return
        for one in answer if isinstance(answer, list) else [answer]:
            kept = one.values if isinstance(one, Keep) else one.remember if isinstance(one, Enter | Pair) else {}
            plugin.state.apply({key: _text(value) for key, value in kept.items()})

    # --- findings -----------------------------------------------------------------------------------------------------

    def _seen(self) -> None:
        words = {
            "clock": "asked {}: view.now is the time", "randomness": "drew {}: use random.Random(seed)",
            "io": "did {}",
        }
        for kind, seen in self.sightings.seen.items():
            for what in seen[:FOUND_MAX]:
                self.report.add(kind, words[kind].format(what))

    def _found(self, rule: str, text: str) -> None:
        if len(self.report.of(rule)) < FOUND_MAX:
            self.report.add(rule, text)


def compared(report: Report, mine: list[int], others: list[int] | None) -> None:
    """Note whether another process, whose hashes of texts differ, gave the same answers; None: there was none."""
    if {"contract", "end", "speed"} & set(report.broken):
        # One that is slow is asked less, so the other process was asked something else.
        report.skipped.setdefault("determinism", "its answers were not compared with those of another process")
    elif others is None:
        report.skipped["determinism"] = "no other process could import it to compare its answers"
    elif mine and not others:
        report.skipped["determinism"] = "in another process it gave no answers to compare"
    elif mine != others:
        differing = [number for number, (one, other) in enumerate(zip(mine, others, strict=False)) if one != other]
        first = differing[0] + 1 if differing else min(len(mine), len(others))
        report.add(
            "determinism", f"answer {first} of {len(mine)} is another one in another process: it depends on the "
            "order of a set, on hash() or id()"
        )


def check(plugin: type[Plugin], settings: Mapping[str, Any] | None = None, *, elsewhere: bool = True) -> Report:
    """Examine a plugin class with these settings; the report. Nothing is raised, whatever the plugin does.

    ``elsewhere``: compare its answers with those of another process, which costs half a second.
    """
    source = given_source(plugin)
    examination = Examination(source, source.name, settings)
    report = examination.run()
    if elsewhere and "contract" not in report.broken:
        from polyhost.testing.conformance_child import Subject, digests_elsewhere

        ways = _ways(plugin)
        subjects = [Subject(ways[0], source.name, dict(settings or {}), others=ways[1:])] if ways else []
        compared(report, examination.digests, digests_elsewhere(subjects)[0] if subjects else None)
    return report


class Conformance:
    """Inherit it in a test file and say which plugin: every promise becomes a test.

    ::

        class TestMyPlugin(Conformance):
            plugin = MyPlugin
            settings = {"depth": 3}
    """

    plugin: ClassVar[type[Plugin]]
    settings: ClassVar[Mapping[str, Any]] = {}
    _reports: ClassVar[dict[type[Any], Report]] = {}

    def report(self) -> Report:
        """The report of this plugin, made once."""
        kind = type(self)
        if kind not in Conformance._reports:
            Conformance._reports[kind] = check(self.plugin, self.settings)
        return Conformance._reports[kind]

    def _kept(self, rule: str) -> None:
        found = self.report().of(rule)
        promise = next(each.promise for each in RULES if each.name == rule)
        assert not found, f"{self.plugin.__name__} does not keep: {promise}\n" + "\n".join(found)

    def test_contract(self) -> None:
        """It fits the host."""
        self._kept("contract")

    def test_types(self) -> None:
        """Its answers are of the right types and within bounds."""
        self._kept("types")

    def test_every_call_ends(self) -> None:
        """None of its calls runs forever."""
        self._kept("end")

    def test_determinism(self) -> None:
        """The same question has the same answer."""
        self._kept("determinism")

    def test_no_clock(self) -> None:
        """It reads no clock."""
        self._kept("clock")

    def test_no_randomness_without_seed(self) -> None:
        """It draws nothing without a seed."""
        self._kept("randomness")

    def test_no_io_in_answering_hooks(self) -> None:
        """It touches nothing outside."""
        self._kept("io")

    def test_no_lookahead(self) -> None:
        """The future changes no answer about the past."""
        self._kept("lookahead")

    def test_survives_missing_inputs(self) -> None:
        """It copes with what is missing."""
        self._kept("missing")

    def test_state_survives_a_restart(self) -> None:
        """It forgets nothing with a restart."""
        self._kept("state")

    def test_speed(self) -> None:
        """It answers within the budget."""
        self._kept("speed")

    def test_settings_are_documented(self) -> None:
        """Each setting has a meaning, a unit and a default."""
        self._kept("settings")

    def test_description(self) -> None:
        """It says what it does."""
        self._kept("description")


def own_docstring(kind: type[Any], hook: str) -> str:
    """The docstring that the class itself gives a hook; the contract's own does not count."""
    method = getattr(kind, hook, None)
    text = (inspect.getdoc(method) or "").strip()
    return "" if text == (inspect.getdoc(getattr(Hooks, hook)) or "").strip() else text


def _says_unit(text: str) -> bool:
    words = f" {text.lower()} "
    return any(unit in words for unit in UNITS_SAID)


def _call(plugin: Built, question: Question) -> Any:
    """The answer, checked as the host checks it."""
    hook = question.hook
    _begin()
    answer = plugin.hooks[hook].positional()(*question.arguments)
    if hook in MANY:
        return [checked(hook, one) for one in listed(hook, answer)]
    return None if answer is None else checked(hook, answer)


def _cpu_us(plugin: Built, asked: list[Question]) -> float:
    """CPU microseconds of all answers together."""
    began = time.thread_time_ns()
    for question in asked:
        if question.hook in ANSWERING:
            try:
                _call(plugin, question)
            except BaseException as error:  # noted when the same question was asked for its answer
                _raised(error)
    return (time.thread_time_ns() - began) / 1_000


def _text(value: Remembered) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _short(answer: bytes) -> str:
    text = answer.decode(errors="replace")
    return text if len(text) <= 160 else text[:160] + "…"


def _ways(plugin: type[Plugin]) -> tuple[Source, ...]:
    """The class as another process may load it: by its module, or from its file; none when a function made it."""
    if "<locals>" in plugin.__qualname__:
        return ()
    by_module = Source(plugin.name, plugin.__module__, plugin.__qualname__, DISTRIBUTION)
    try:
        file = inspect.getsourcefile(plugin)
    except TypeError:
        file = None
    if file is None:
        return (by_module,)
    return by_module, Source(plugin.name, "plugin_under_test", plugin.__qualname__, path=file)


@contextmanager
def limited() -> Iterator[None]:
    """A call that uses more CPU than ``ENDLESS`` between two answers raises EndlessError; main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ended(number: int, frame: FrameType | None) -> None:
        _over.append(f"one answer took more than {ENDLESS:g} s of CPU: it has no end")
        _on_time()

    before: Callable[[int, FrameType | None], Any] | int | None = signal.signal(signal.SIGVTALRM, ended)
    _limits.append(ENDLESS)
    try:
        yield
    finally:
        _limits.pop()
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
        _over.clear()


_limits: list[float] = []
"""The limit that holds, while there is one."""
_over: list[str] = []
"""What was said of an answer that had no end, once for each time that it was."""


def _on_time() -> None:
    """Raises EndlessError once an answer had no end, whatever the plugin or a guard around it made of the first one."""
    if _over:
        raise EndlessError(_over[0])


def _raised(error: BaseException) -> str:
    """One line about what the plugin raised. Raises EndlessError, which is not the plugin's."""
    _on_time()
    return contained(error)


def _begin() -> None:
    """The next answer begins: its time runs from now on, and is told again and again once it is over."""
    if _limits:
        signal.setitimer(signal.ITIMER_VIRTUAL, _limits[-1], 0.1)
