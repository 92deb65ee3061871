"""Before real money trades: a passed doctor, and a person who was told what can be lost."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from polyhost.configuration import Loaded, load_configuration
from polyhost.errors import ConfigError
from polyhost.journal import JournalStore
from polyhost.model.records import RunStarted
from polyhost.service import start_permit
from polyhost.service.start_permit import NotWellError, may_begin, well

LIVE = """\
[limits]
window = "20"
[accounts.real]
mode = "live"
key = { env = "POLYHOST_TEST_KEY" }
[accounts.real.limits]
total = "60"
[accounts.real.breakers]
daily_loss = "15"
"""


@pytest.fixture
def live(tmp_path: Path) -> Loaded:
    path = tmp_path / "live.toml"
    path.write_text(LIVE, encoding="utf-8")
    return load_configuration(path, env={}).for_account("real")


def begin(loaded: Loaded, journal: Path, **how: Any) -> list[str]:
    said: list[str] = []
    may_begin({"real": (loaded, journal)}, tell=said.append, **how)
    return said


def test_the_first_live_start_tells_what_can_be_lost_and_wants_it_confirmed(live: Loaded, tmp_path: Path) -> None:
    said = begin(live, tmp_path / "journal.db", yes=True)
    figures = {line.strip().rsplit("  ", 1)[0].strip(): line.strip().rsplit("  ", 1)[-1] for line in said[1:-1]}
    assert "real" in said[0]
    assert figures == {
        "largest loss of one window": "20", "largest loss of one symbol at a time": "60",
        "loss of a day that stops entries": "15", "largest loss of a day": "75",
        "everything at risk at one time": "60",
    }
    with pytest.raises(ConfigError, match="--yes"):
        begin(live, tmp_path / "journal.db", yes=False, terminal=False)
    with pytest.raises(ConfigError, match="not confirmed"):
        begin(live, tmp_path / "journal.db", yes=False, terminal=True, ask=lambda _: "yes")
    assert begin(live, tmp_path / "journal.db", yes=False, terminal=True, ask=lambda _: " real ") == said


def test_a_live_account_that_traded_before_is_not_asked_again(live: Loaded, tmp_path: Path) -> None:
    journal = tmp_path / "journal.db"
    store = JournalStore(journal, "real")
    store.commit([RunStarted(1, "run-1", "0.1.0", "live", "0", "real")])
    store.close()
    assert begin(live, journal, yes=False, terminal=False) == []


def test_live_does_not_start_without_a_doctor(live: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_permit, "DOCTOR", "polyhost.service.no_such_doctor")
    with pytest.raises(NotWellError, match="live needs a passed `polyhost doctor`"):
        asyncio.run(well(live))


@pytest.mark.parametrize("failed", [True, False])
def test_live_starts_when_the_doctor_found_nothing(
    live: Loaded, monkeypatch: pytest.MonkeyPatch, failed: bool
) -> None:
    """The doctor's own questions have tests of their own; here it is one who says what is wanted."""
    check = SimpleNamespace(name="clock", failed=failed, text="9 s off", remedy="set it")

    async def checks(subject: object) -> list[Any]:
        assert subject is live
        return [check]

    @asynccontextmanager
    async def patient(loaded: Loaded) -> AsyncIterator[Loaded]:
        yield loaded

    for name, module in (("a_doctor", {"checks": checks}), ("his_patients", {"patient": patient})):
        made = ModuleType(name)
        made.__dict__.update(module, __spec__=SimpleNamespace(name=name))
        monkeypatch.setitem(sys.modules, name, made)
    monkeypatch.setattr(start_permit, "DOCTOR", "a_doctor")
    monkeypatch.setattr(start_permit, "PATIENTS", "his_patients")
    if failed:
        with pytest.raises(NotWellError, match=r"clock: 9 s off \(set it\)"):
            asyncio.run(well(live))
    else:
        asyncio.run(well(live))
