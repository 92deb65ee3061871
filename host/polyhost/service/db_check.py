"""A data folder's databases read to the last row: schema, records, fold, invariants, NULLs (``polyhost db check``)."""

from __future__ import annotations

from pathlib import Path

from polyhost.journal import JournalError, read_journal
from polyhost.journal.evaluations import evaluations
from polyhost.journal.schema import ANALYSIS_TABLES, JOURNAL_TABLES
from polyhost.journal.status import DatabaseStatus, analysis_status, journal_status, null_problems
from polyhost.kernel.invariants import broken
from polyhost.kernel.state import fold


def checked(journal: Path, analysis: Path) -> tuple[int, list[str]]:
    """How many records there are, and every problem with its remedy; nothing is changed, a run may be active."""
    found = journal_status(journal)
    problems = [f"{journal.name}: {problem}" for problem in found.problems]
    if not found.exists:
        return 0, [f"{journal}: there is nothing to check; `polyhost run` makes it"]
    records, more = folded(journal)
    problems += more + _nulls(journal, found)
    other = analysis_status(analysis)
    if other.exists:
        problems += [f"{analysis.name}: {problem}" for problem in other.problems]
        problems += _nulls(analysis, other) + _omissions(analysis, other)
    return records, list(dict.fromkeys(problems))


def folded(journal: Path) -> tuple[int, list[str]]:
    """Every record decoded and applied: how many there are, and every problem with its remedy."""
    count = 0
    try:
        records = []
        for _, record in read_journal(journal):
            count += 1
            records.append(record)
        state = fold(records)
    except JournalError as error:
        return count, [f"{journal.name}: {error.found}. {error.remedy}."]
    except (AssertionError, KeyError, ValueError) as error:
        # A record that fits no state: written by a host with a bug, or changed by hand.
        remedy = "Restore a backup"
        return count, [f"{journal.name}: the records cannot be folded ({type(error).__name__}: {error}). {remedy}."]
    return count, [f"{journal.name}: invariant {name} does not hold. Report this." for name in broken(state)]


def _nulls(path: Path, found: DatabaseStatus) -> list[str]:
    if not found.readable:
        return []
    tables = JOURNAL_TABLES if "journal" in found.rows else ANALYSIS_TABLES
    try:
        return [f"{path.name}: {problem}" for problem in null_problems(path, tables)]
    except JournalError as error:
        return [f"{path.name}: {error.found}. {error.remedy}."]


def _omissions(path: Path, found: DatabaseStatus) -> list[str]:
    """Opinions that an evaluation should hold and does not (SIG-09)."""
    if not found.readable:
        return []
    try:
        with evaluations(path) as reader:
            left_out = {} if reader is None else reader.omissions()
    except JournalError as error:
        return [f"{path.name}: {error.found}. {error.remedy}."]
    return [f"{path.name}: {name} is missing in {count} evaluations. Report this." for name, count in left_out.items()]
