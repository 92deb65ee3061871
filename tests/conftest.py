"""How the tests are shared out to processes: ``make test`` runs them on every core, and a few alone after that.

Tests of one file stay together, in order: they share what was costly to set up (those of the journal a database).
Those that start the host and the exchange as processes are one group, so that no two such pairs ever compete for a
core. What measures the wall clock or takes every core for itself is marked ``alone`` and runs in a second call, when
nothing else does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "tests", deadline=None, derandomize=True, database=None, print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tests")  # the same examples everywhere, and none that a busy machine can fail

HERE: Final = Path(__file__).parent
ALONE: Final = "alone"
"""The mark of what needs the machine for itself."""
PROCESSES: Final = "service"
"""The folder whose tests start processes …"""
DATABASE: Final = "journal"
"""The folder whose tests share one PostgreSQL, …"""
FIRST: Final = (PROCESSES, "crash", "acceptance", "simulation", "venue", "lab", "wire")
"""… and the folders whose tests take longest: begun first, they are not what everybody waits for at the end."""


def group_of(nodeid: str) -> str:
    """Tests of one group run one after the other in one process: a folder of ``tests``, or a file."""
    file = nodeid.partition("::")[0]
    folder = file.removeprefix("tests/").partition("/")[0]
    return folder if folder in (PROCESSES, DATABASE) else file


def _rank(item: pytest.Item) -> int:
    folder = item.path.relative_to(HERE).parts[0]
    return FIRST.index(folder) if folder in FIRST else len(FIRST)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The call for the tests marked alone reads only the files that hold one."""
    if config.getoption("-m") != ALONE or not collection_path.match("test_*.py"):
        return None
    return None if f"mark.{ALONE}" in collection_path.read_text(encoding="utf-8") else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_rank)  # stable: within a folder the order stays


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """The groups by a scheduler of our own: pytest-xdist's marker of groups does nothing with this pytest."""
    from xdist.scheduler import LoadScopeScheduling

    class InGroups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return InGroups(config, log)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A call that was left with nothing, because all that was asked for belongs to the other one, has not failed."""
    chosen = session.config.getoption("-m")
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and chosen:
        session.exitstatus = pytest.ExitCode.OK
