"""The conformance suite: every shipped plugin keeps every promise, each bad one breaks its own and no other."""

from __future__ import annotations

import json
import random
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from pydantic import Field

from polyhost import Enter, Estimate, NoticeRaised, Plugin, Secret, Settings, Signal, Skip, View, hookimpl
from polyhost.cli import main as front
from polyhost.configuration.shipped import SHIPPED_PLUGINS, shipped_class
from polyhost.extension.sources import Source, found_sources
from polyhost.testing import Conformance, Report, check, conformance, samples
from polyhost.testing.conformance import Examination, compared
from polyhost.testing.conformance_child import Subject, digests_elsewhere, examined
from polyhost.testing.given import built_alone
from polyhost.testing.report import GRADES, RULES, report_lines
from polyhost.testing.spies import FROZEN, Sightings, watched

BAD = Path(__file__).parents[1] / "plugins_for_tests" / "bad"
REASONS = {
    "by_set_order": ("determinism", "F", "the order of a set"),
    "forgetful": ("state", "D", "what it must know belongs into self.state"),
    "impure": ("determinism", "F", "answering hooks are pure"),
    "looks_ahead": ("lookahead", "F", "with another future"),
    "misfit": ("contract", "F", "is async"),
    "needs_spot": ("missing", "D", "raised without spot"),
    "out_of_bounds": ("types", "F", "p_up is 1.0"),
    "reads_a_file": ("io", "F", "at reads_a_file.py:"),
    "slow": ("speed", "C", "of CPU a view, at most 5,000"),
    "undocumented": ("settings", "B", "threshold has no description"),
    "unseeded": ("randomness", "F", "random.random() at unseeded.py:"),
    "wall_clock": ("clock", "F", "datetime.now() at wall_clock.py:"),
}
"""Bad plugin → the one promise that it breaks, its grade and what is said of it."""


def source_of(name: str) -> Source:
    (source,) = found_sources([str(BAD / f"{name}.py")], Path(), ())[name]
    return source


# --- shipped plugins --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def elsewhere() -> dict[str, list[int] | None]:
    """What all of them answer in another process, whose texts hash differently; one process for all."""
    sources = found_sources()
    digests = digests_elsewhere([Subject(sources[name][0], name) for name in SHIPPED_PLUGINS])
    return dict(zip(SHIPPED_PLUGINS, digests, strict=True))


@pytest.mark.parametrize("name", SHIPPED_PLUGINS)
def test_plg_03_every_shipped_plugin_has_the_top_grade(name: str, elsewhere: dict[str, list[int] | None]) -> None:
    examination = Examination(found_sources()[name][0], name)
    report = examination.run()
    others = elsewhere[name]
    assert bool(examination.digests) is (others is not None)
    compared(report, examination.digests, others or [])
    assert not report.findings
    assert (report.grade, report.skipped) == ("A", {})


def test_plg_03_the_questions_make_the_shipped_plugins_answer_not_only_abstain() -> None:
    """A suite that asks nothing of interest would give everybody the top grade."""
    asked = {
        name: [
            conformance._call(plugin, question)
            for view in samples.complete() for question in samples.questions(plugin.hooks, view)
        ]
        for name in ("binance_momentum", "order_flow", "indicators", "entry_policy", "stop_loss", "trailing_stop")
        for plugin in [built_alone(shipped_class(name))]
    }
    for name in ("binance_momentum", "order_flow", "indicators"):
        assert all(isinstance(answer, Signal) for answer in asked[name]), name
    several = [one for answers in asked.values() for each in answers if isinstance(each, list) for one in each]
    wished = {type(one).__name__ for one in several}
    assert wished >= {"Enter", "Skip", "ExitNow", "Trigger", "Keep"}
    assert len({view.market.duration_s for minutes in (5, 15) for view in samples.complete(minutes)}) == 2


# --- bad plugins ------------------------------------------------------------------------------------------------------


def test_every_bad_plugin_has_its_reason() -> None:
    assert set(REASONS) == {file.stem for file in BAD.glob("*.py")}
    # What has no end is a test of its own, below: these are examined whole.
    assert {rule for rule, _, _ in REASONS.values()} >= {rule.name for rule in RULES} - {"description", "end"}


@pytest.mark.parametrize("name", sorted(set(REASONS) - {"by_set_order"}))
def test_plg_03_a_bad_plugin_fails_for_its_own_reason_and_no_other(name: str) -> None:
    rule, grade, said = REASONS[name]
    report = Examination(source_of(name), name).run()
    assert report.broken == (rule,)
    assert report.grade == grade
    assert said in report.of(rule)[0]
    assert report.passed is (grade == "B")


def test_plg_03_check_prints_a_graded_report_and_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    """In processes of its own: what the order of a set decides differs between two of them."""
    with pytest.raises(SystemExit) as stop:
        front.main(["plugins", "check", str(BAD / "by_set_order.py"), "--json"])
    assert stop.value.code == 1
    assert "polyhost_file_by_set_order" not in sys.modules, "nothing foreign is imported into the process that asks"
    out = capsys.readouterr().out
    told = json.loads(out)
    assert out.count("\n") == 1
    (plugin,) = told["plugins"]
    assert (told["passed"], plugin["plugin"], plugin["grade"]) == (False, "by_set_order", "F")
    assert {check["name"] for check in plugin["checks"] if check["result"] == "broken"} == {"determinism"}
    lines = list(report_lines(plugin))
    assert lines[0].endswith(f"grade F, {GRADES['F']}")
    assert any("order of a set" in line for line in lines)
    assert len([line for line in lines if line.startswith("  kept ")]) == len(RULES) - 1


@pytest.mark.parametrize("what", ["addtive", "no/such/file.py", str(BAD.parents[1] / "docs")])
def test_plg_03_what_is_no_plugin_ends_with_2(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        front.main(["plugins", "check", what])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert what in error
    assert what != "addtive" or "did you mean 'additive'?" in error


def test_plg_03_a_plugin_that_ends_its_process_loses_only_its_own_report(tmp_path: Path) -> None:
    file = tmp_path / "exits.py"
    file.write_text(
        "import os\nfrom polyhost import *\nprint('to nobody')\nclass Exits(Plugin):\n    name = 'exits'\n"
        "    @hookimpl\n    def signal(self, view):\n        os._exit(3)\n"
    )
    report = examined(Subject(found_sources([str(file)], Path(), ())["exits"][0], "exits"))
    assert report.of("contract") == ["its process ended in the middle of the examination (exit code 3)"]
    assert (report.grade, results(report)) == ("F", {"contract": "broken"} | unexamined("contract"))
    assert "lost with its process" in report.skipped["types"]


def results(report: Report) -> dict[str, str]:
    """What a person, and a program that reads ``--json``, is told of each promise."""
    return {check["name"]: check["result"] for check in report.described()["checks"]}


def unexamined(*but: str) -> dict[str, str]:
    return {rule.name: "not examined" for rule in RULES if rule.name not in but}


def test_plg_03_what_was_never_examined_is_not_said_to_be_kept() -> None:
    report = Examination(source_of("misfit"), "misfit").run()
    assert (report.grade, results(report)) == ("F", {"contract": "broken"} | unexamined("contract"))
    lines = list(report_lines(report.described()))
    assert not [line for line in lines if line.startswith("  kept")]
    assert len([line for line in lines if line.startswith("  not examined ")]) == len(RULES) - 1
    assert "          - the examination ended before it was asked this" in lines


def test_plg_03_a_plugin_that_cannot_be_built_twice_is_told() -> None:
    class Once(Plugin):
        name = "once"
        description = "Is there once."
        built = 0

        def __init__(self, settings: Settings) -> None:
            Once.built += 1
            if Once.built > 1:
                raise KeyboardInterrupt("no more")

    report = check(Once, elsewhere=False)
    assert "cannot be built: KeyboardInterrupt: no more" in report.of("contract")[0]
    assert results(report) == {
        "contract": "broken", "settings": "kept", "description": "kept",
    } | unexamined("contract", "settings", "description")


def test_plg_05_whatever_a_plugin_raises_is_a_finding_and_no_end_of_its_process() -> None:
    class OddError(BaseException):
        pass

    class Odd(Plugin):
        name = "odd"
        description = "Is odd."

        @hookimpl
        def signal(self, view: View) -> None:
            """Nothing."""
            raise OddError("who knows")

        @hookimpl
        def on_timer(self) -> None:
            """Nothing."""
            raise KeyboardInterrupt

    report = check(Odd, elsewhere=False)
    assert report.of("types") == ["signal raised: OddError: who knows"]
    assert (report.grade, report.broken) == ("F", ("types",))


def test_plg_05_a_description_that_is_no_text_is_told_and_no_traceback() -> None:
    class Number(Plugin):
        name = "number"
        description = 7  # type: ignore[assignment]

    assert "could not be examined: AttributeError" in check(Number, elsewhere=False).of("contract")[0]


class Endless(Plugin):
    name = "endless"

    @hookimpl
    def signal(self, view: View) -> None:
        while True:
            pass


class EndlessWhenTold(Plugin):
    name = "endless_when_told"

    @hookimpl
    def on_timer(self) -> None:
        while True:
            pass


def test_plg_03_an_answer_without_an_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conformance, "ENDLESS", 0.2)
    report = check(Endless, elsewhere=False)
    assert report.of("end") == ["one answer took more than 0.2 s of CPU: it has no end"]
    assert (report.grade, results(report)["types"]) == ("F", "not examined")
    report = check(EndlessWhenTold, elsewhere=False)
    assert (report.grade, report.of("end")) == ("F", ["one answer took more than 0.2 s of CPU: it has no end"])
    assert (report.of("types"), results(report)["types"]) == ([], "kept"), "found when all its answers were known"
    assert results(report)["state"] == "not examined"


# --- each finding, at both of its sides -------------------------------------------------------------------------------


class Seeded(Plugin):
    """Draws from a generator of its own, knows a time that it was given, and remembers as it should."""

    name = "seeded"
    description = "Throws the same coin every time."

    @hookimpl
    def signal(self, view: View) -> Signal:
        """By a seed made of the view."""
        self.log.debug("asked at {}", view.now)
        when = datetime.fromtimestamp(view.now / 1_000, UTC) + timedelta(hours=1)
        assert isinstance(when, datetime)
        return Signal(0.4 + random.Random(view.now).random() / 5, 0.5, time.strftime("%H", time.gmtime(0)))

    @hookimpl
    def entry(self, view: View, estimate: Estimate) -> Enter | Skip:
        """Once, as its state tells."""
        key = view.market.slug
        if self.state.get(key):
            return Skip("once is enough")
        return Enter(estimate.favoured, 5_000, "once", remember={key: True})


def test_plg_03_a_seed_a_given_time_and_durable_state_are_no_faults() -> None:
    report = check(Seeded)
    assert not report.findings
    assert (report.grade, report.hooks, report.skipped) == ("A", ("signal", "entry"), {})


class FloatSettings(Settings):
    one: float = 0.5
    """How much of it."""
    two: float = Field(default=0.5)
    """A fraction of the price."""
    three_s: float = 5.0
    """How long."""
    depth: int = 3
    """Levels it looks at."""


class Undescribed(Plugin):
    name = "undescribed"
    Settings = FloatSettings

    @hookimpl
    def signal(self, view: View) -> None: ...


def test_plg_03_settings_need_a_unit_and_hooks_a_docstring() -> None:
    report = check(Undescribed, elsewhere=False)
    assert report.of("settings") == ["one = 0.5 has no unit, in its name or its description"]
    assert len(report.of("description")) == 2
    assert (report.grade, report.passed) == ("B", True)


class NeedsKey(Settings):
    key: str


class Unset(Plugin):
    name = "unset"
    description = "Needs a key."
    Settings = NeedsKey


def test_plg_03_a_setting_without_a_default_is_told_and_can_be_given() -> None:
    assert "[plugins.unset] key: " in check(Unset, elsewhere=False).of("contract")[0]
    report = check(Unset, {"key": "x"}, elsewhere=False)
    assert report.of("settings") == ["a setting has no default: the plugin cannot be enabled by its name alone"]


class Tokened(Settings):
    token: Secret | None = None
    """Of the service that is told."""


class Tells(Plugin):
    name = "tells"
    description = "Tells a service."
    Settings = Tokened
    settings: Tokened

    @hookimpl
    def notify(self, notice: NoticeRaised) -> None:
        """By its token."""
        assert self.settings.token is not None


def test_sec_03_nobodys_secret_is_looked_up_for_an_examination() -> None:
    """Not even one that is not there: a placeholder is handed over."""
    report = check(Tells, {"token": {"env": "POLYHOST_NO_SUCH_TOKEN"}}, elsewhere=False)
    assert (report.grade, report.findings) == ("A", [])


def test_plg_03_writing_state_in_an_answering_hook_is_a_fault_of_types() -> None:
    class Writes(Plugin):
        name = "writes"
        description = "Writes where it may only read."

        @hookimpl
        def signal(self, view: View) -> None:
            """Nothing, but counts."""
            self.state["asked"] = 1

    report = check(Writes)
    assert "written in an answering hook" in report.of("types")[0]
    assert "determinism" in report.skipped, "made inside a function: no other process can import it"


def test_plg_03_what_is_too_slow_is_not_compared_because_it_was_asked_less() -> None:
    report = Report("slow", "here")
    report.add("speed", "9,999 us")
    compared(report, [1], [1, 2])
    assert (report.broken, results(report)["determinism"]) == (("speed",), "not examined")
    report = Report("mute", "here")
    compared(report, [1], [])
    assert (report.broken, results(report)["determinism"]) == ((), "not examined")
    report.add("determinism", "drawn")
    assert results(report)["determinism"] == "broken", "what was found stays found"


# --- as tests of one's own --------------------------------------------------------------------------------------------


class TestStopLoss(Conformance):
    """How an author uses it: each promise is a test."""

    plugin = shipped_class("stop_loss")
    settings: ClassVar[dict[str, Any]] = {"midpoint_max": "0.35"}


def test_plg_04_the_class_has_a_test_for_each_promise() -> None:
    tests = [name for name in vars(Conformance) if name.startswith("test_")]
    assert len(tests) == len(RULES)

    class Of(Conformance):
        plugin = Undescribed

    made = Of()
    made.test_contract()
    with pytest.raises(AssertionError, match="Undescribed does not keep: says in one sentence"):
        made.test_description()
    with pytest.raises(AssertionError, match=r"one = 0\.5 has no unit"):
        made.test_settings_are_documented()


def test_plg_03_the_worst_broken_promise_is_the_grade() -> None:
    report = Report("x", "here")
    assert (report.grade, report.passed) == ("A", True)
    for rule, grade in (("settings", "B"), ("speed", "C"), ("state", "D"), ("clock", "F"), ("settings", "F")):
        report.add(rule, "so")
        assert report.grade == grade
    assert report.passed is False
    assert report.of("settings") == ["so"], "told once"


# --- spies ------------------------------------------------------------------------------------------------------------


def test_plg_03_spies_see_through_from_imports_and_leave_nothing_behind(tmp_path: Path) -> None:
    own = ModuleType("own")
    exec(
        "from time import monotonic\nfrom random import choice, Random\nfrom datetime import datetime, date\n"
        "from os import urandom\nimport time, secrets, uuid", vars(own),
    )
    before = dict(vars(own))
    seen = Sightings()
    with watched(seen, [own]):
        values = eval("(monotonic(), time.time_ns(), choice([1, 2]), Random().random(), datetime.now(), date.today(),"
                      " urandom(2), secrets.token_hex(), uuid.uuid4())", vars(own))
        assert isinstance(values[4], own.datetime)
        assert own.Random(4).random() == random.Random(4).random()
        (tmp_path / "x").write_text("outside")
        print("seen")
    assert values[0] == FROZEN
    assert values[1] == FROZEN * 10**9
    assert [text.partition(" at ")[0] for text in seen.seen["clock"]] == [
        "time.monotonic()", "time.time_ns()", "datetime.now()", "date.today()",
    ]
    assert len(seen.seen["randomness"]) == 5
    assert [text.partition("(")[0] for text in seen.seen["io"]] == ["open", "print"]
    assert dict(vars(own)) == before
    assert abs(time.time() - datetime.now(UTC).timestamp()) < 5
    (tmp_path / "y").write_text("nobody looks")
    assert len(seen.seen["io"]) == 2
