"""Breaks every guarantee in a copy of the source, runs tests and simulation against it, and says who noticed.

    python tests/mutation/check.py [NAME …] [--write]

Nothing in the tree is changed but, with ``--write``, the table in ``docs/decisions/``. Exit code 1: somebody noticed
nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))
from guarantees import HOURS, MUTATIONS, SEEDS, Mutation

ROOT: Final = Path(__file__).resolve().parents[2]
TABLE: Final = ROOT / "docs" / "decisions" / "0009-guarantees-broken-on-purpose.md"
TESTS_S: Final = 300
SIMULATION_S: Final = 600
"""Wall seconds that one mutation's tests and simulation may take; a host that hangs is noticed too."""


class Noticed(NamedTuple):
    """Who noticed; empty: nobody."""

    test: str
    simulation: str


def broken_copy(mutation: Mutation, into: Path) -> None:
    """The source with one guarantee less. Raises LookupError when the line is not there exactly once."""
    for part in ("host", "plugins", "tests", "config", "docs", "pyproject.toml", "README.md"):
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, into / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, into / part)
    file = into / "host" / "polyhost" / mutation.file
    file.write_text(applied(mutation, file.read_text(encoding="utf-8")), encoding="utf-8")


def applied(mutation: Mutation, text: str) -> str:
    if text.count(mutation.old) != 1:
        raise LookupError(f"{mutation.name!r}: its line stands {text.count(mutation.old)} times in {mutation.file}")
    return text.replace(mutation.old, mutation.new)


def run(command: list[str], tree: Path, within_s: int) -> tuple[int, str]:
    """Exit code and standard output; 124 when it took too long."""
    paths = os.pathsep.join([str(tree / "host"), str(tree / "plugins")])
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [sys.executable, *command], cwd=tree, env=environment, capture_output=True, text=True, timeout=within_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 124, ""
    return done.returncode, done.stdout


def noticed_by_tests(mutation: Mutation, tree: Path) -> str:
    command = ["-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", "-rf", *mutation.tests.split()]
    code, told = run(command, tree, TESTS_S)
    if code == 0:
        return ""
    failed = [line.split(" - ")[0].split("::")[-1] for line in told.splitlines() if line.startswith("FAILED")]
    return f"`{failed[0].partition('[')[0]}`" if failed else "the tests did not end"


def noticed_by_simulation(tree: Path) -> str:
    command = [
        "-m", "polyhost", "simulate", "--seeds", SEEDS, "--hours", HOURS, "--pathologies", "all", "--density", "6",
        "--json",
    ]
    code, told = run(command, tree, SIMULATION_S)
    if code == 0:
        return ""
    try:
        report = json.loads(told)
    except json.JSONDecodeError:
        return "the simulation did not end"
    names = ", ".join(report["invariants"]["broken_names"])
    return f"seed {report['first_failing_seed']}: {names}"


def judge(mutation: Mutation) -> Noticed:
    with tempfile.TemporaryDirectory(prefix="polyhost-mutation-") as folder:
        tree = Path(folder)
        broken_copy(mutation, tree)
        return Noticed(noticed_by_tests(mutation, tree), noticed_by_simulation(tree) if mutation.simulated else "")


def table(found: dict[str, Noticed]) -> str:
    """The page."""
    lines = [
        "# 0009 Each guarantee is broken on purpose, and somebody notices",
        "",
        "## Context",
        "",
        "A promise that no test defends is a wish; which line gives it is soon forgotten.",
        "",
        "## Decision",
        "",
        "`python tests/mutation/check.py --write` takes away the line that gives a guarantee, one at a time, in a copy",
        "of the source, and runs the tests named in `tests/mutation/guarantees.py` and seeds",
        f"{SEEDS} of `polyhost simulate` ({HOURS} h each, all pathologies). What it found:",
        "",
        "| broken | promise | in | noticed by a test | noticed by the simulation |",
        "| --- | --- | --- | --- | --- |",
    ]
    for mutation in MUTATIONS:
        test, simulation = found[mutation.name]
        seeds = simulation or ("nobody" if mutation.simulated else "not asked")
        cells = (mutation.name, mutation.promise, f"`{mutation.file}`", test or "nobody", seeds)
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "## Consequence",
        "",
        "A test checks that every line is still where the table looks for it, and that somebody noticed each. Whoever",
        "moves a line moves its mutation with it.",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    write = "--write" in arguments
    wanted = [word for word in arguments if word != "--write"]
    unknown = set(wanted) - {mutation.name for mutation in MUTATIONS}
    if unknown or (write and wanted):
        print(f"no such mutation: {sorted(unknown)}" if unknown else "--write needs all of them", file=sys.stderr)
        return 2
    found: dict[str, Noticed] = {}
    for mutation in MUTATIONS:
        if not wanted or mutation.name in wanted:
            found[mutation.name] = noticed = judge(mutation)
            print(f"{mutation.name}: {noticed.test or 'no test'}; {noticed.simulation or 'no seed'}", flush=True)
    if write:
        TABLE.write_text(table(found), encoding="utf-8")
    return 0 if all(any(noticed) for noticed in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
