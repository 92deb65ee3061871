"""What the conformance suite found of one plugin, as a grade with its reasons."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final

from msgspec import Struct, field

GRADES: Final[dict[str, str]] = {
    "A": "it keeps every promise",
    "B": "it is safe to run; a person cannot tell from its texts what it does",
    "C": "it is safe to run; it is too slow to be asked every second",
    "D": "it fails when something is missing, or forgets with a restart",
    "F": "it breaks the contract: the host would count strikes, or its results could not be repeated",
}
"""From best to worst, with what each means. A and B pass."""
PASSING: Final = ("A", "B")


class Rule(Struct, frozen=True):
    """One promise that is checked."""

    name: str
    grade: str
    """The best grade of a plugin that breaks it."""
    promise: str


RULES: Final = (
    Rule("contract", "F", "is derived from Plugin, and its hooks, settings and version fit the host"),
    Rule("types", "F", "answers what its hooks may answer, within bounds, and does not raise"),
    Rule("end", "F", "ends every call by itself: a host would have to kill its process"),
    Rule("determinism", "F", "answers the same when asked the same, also in another process"),
    Rule("clock", "F", "reads no clock: view.now is the time"),
    Rule("randomness", "F", "draws nothing without a seed of its own"),
    Rule("io", "F", "touches no file, socket, process or terminal in answering hooks"),
    Rule("lookahead", "F", "answers the same about the past whatever the future brings"),
    Rule("missing", "D", "copes with views in which something is missing"),
    Rule("state", "D", "knows after a restart what it knew before"),
    Rule("speed", "C", "answers a view within the budget of CPU time"),
    Rule("settings", "B", "documents each setting: meaning, unit, default"),
    Rule("description", "B", "says in one sentence what it does, and what each hook answers"),
)


class Finding(Struct, frozen=True):
    """One way in which a plugin breaks a promise."""

    rule: str
    text: str


class Report(Struct):
    """The result for one plugin."""

    plugin: str
    origin: str
    hooks: tuple[str, ...] = ()
    findings: list[Finding] = field(default_factory=list)
    questions: int = 0
    """How often it was asked."""
    cpu_us: float = 0.0
    """CPU microseconds a view, the median."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Rule → why it was not examined, or not to the end."""

    def add(self, rule: str, text: str) -> None:
        """Note a finding; equal ones once."""
        finding = Finding(rule, text)
        if finding not in self.findings:
            self.findings.append(finding)

    def leave(self, why: str, examined: Collection[str] = ()) -> None:
        """The examination ended here: what was not ``examined`` by then is not known to be kept."""
        for rule in RULES:
            if rule.name not in examined and not self.of(rule.name):
                self.skipped.setdefault(rule.name, why)

    def of(self, rule: str) -> list[str]:
        """What was found against one rule."""
        return [finding.text for finding in self.findings if finding.rule == rule]

    @property
    def broken(self) -> tuple[str, ...]:
        """The rules that it breaks."""
        return tuple(rule.name for rule in RULES if self.of(rule.name))

    @property
    def grade(self) -> str:
        return max((rule.grade for rule in RULES if rule.name in self.broken), default="A")

    @property
    def passed(self) -> bool:
        return self.grade in PASSING

    def described(self) -> dict[str, Any]:
        """Plain data, for ``plugins check --json``."""
        return {
            "plugin": self.plugin, "origin": self.origin, "grade": self.grade, "meaning": GRADES[self.grade],
            "passed": self.passed, "hooks": list(self.hooks), "questions": self.questions,
            "cpu_us": round(self.cpu_us, 1),
            "checks": [
                {
                    "name": rule.name, "grade": rule.grade, "promise": rule.promise,
                    "result": "broken" if found else "not examined" if rule.name in self.skipped else "kept",
                    "found": found or ([self.skipped[rule.name]] if rule.name in self.skipped else []),
                }
                for rule in RULES for found in [self.of(rule.name)]
            ],
        }


def report_lines(told: dict[str, Any]) -> Iterator[str]:
    """A described report for people."""
    yield f"{told['plugin']} ({told['origin']}): grade {told['grade']}, {told['meaning']}"
    if told["hooks"]:
        yield f"  hooks: {', '.join(told['hooks'])}; asked {told['questions']} times, {told['cpu_us']} us CPU a view"
    for check in told["checks"]:
        yield f"  {check['result']:<14}{check['name']:<13}{check['promise']}"
        for text in check["found"]:
            yield f"          - {text}"
