"""Before real money trades: a passed doctor, and a person who was told what can be lost."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from polyhost.configuration import Loaded, load_configuration
from polyhost.errors import ConfigError, VenueError
from polyhost.journal import JournalStore
from polyhost.kernel.kernel import Kernel
from polyhost.model.events import Event, Operator, RunBegan
from polyhost.model.records import RunStarted
from polyhost.service import doctor, patients
from polyhost.service.checkup import account
from polyhost.service.checkup.check import Check, Context, Fault, Subject, Verdict, failed
from polyhost.service.folder import DataFolder
from polyhost.service.session import Session
from polyhost.service.start_permit import ONLY_ENTRIES, NotWellError, may_begin, well
from polyhost.venue.polymarket.endpoints import LIVE as LIVE_VENUE

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


class Reached:
    """An account that starts, as the doctor knows it; it is its own gateway."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    async def reach(self) -> Any:
        if self.error is not None:
            raise self.error
        return self

    def owner(self) -> str:
        return "0xowner"


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
        "largest loss of one window at a time": "20", "largest loss of one symbol at a time": "60",
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


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.WARNING])
def test_live_starts_only_when_the_doctor_found_nothing_wrong(
    live: Loaded, monkeypatch: pytest.MonkeyPatch, verdict: Verdict
) -> None:
    """The doctor's own questions have tests of their own; here it is one who says what is wanted."""
    asked: list[Subject] = []
    reached: Any = Reached()

    async def checks(subject: Subject) -> list[Check]:
        asked.append(subject)
        return [Check("clock", verdict, "9 s off", "set it")]

    monkeypatch.setattr(doctor, "checks", checks)
    if verdict is Verdict.FAILED:
        with pytest.raises(NotWellError, match=r"clock: 9 s off \(set it\)"):
            asyncio.run(well(live, reached))
    else:
        asyncio.run(well(live, reached))
    (subject,) = asked
    assert asyncio.run(subject.open_way()) is reached, "the gateway process that will trade, no second one"
    assert asyncio.run(subject.address()) == "0xowner", "and it knows the key, nobody here does"
    assert (subject.account, subject.mode, subject.starting) == ("real", "live", True)
    assert subject.endpoints is LIVE_VENUE, "nothing is asked there by this test"
    assert subject.key_named == '{ env = "POLYHOST_TEST_KEY" }'


@pytest.mark.parametrize(
    ("found", "guarding", "exit_code"),
    [
        ({"balance": Fault.HOST, "spot prices": Fault.VENUE}, True, None),
        ({"balance": Fault.HOST}, False, 1),
        ({"venue": Fault.VENUE}, True, 3),
        ({"venue": Fault.VENUE, "balance": Fault.HOST}, False, 3),
        ({"key": Fault.CONFIGURATION, "balance": Fault.HOST}, True, 2),
    ],
)
def test_per_05_a_live_host_that_comes_back_to_open_positions_is_not_kept_from_them(
    live: Loaded, monkeypatch: pytest.MonkeyPatch, found: dict[str, Fault], guarding: bool, exit_code: int | None
) -> None:
    """All its money is in positions: too little is free, and nobody else watches them. What is refused is refused with
    the doctor's own exit code: a service manager tries again unless the configuration is wrong (2)."""

    async def checks(subject: Subject) -> list[Check]:
        return [failed(name, "bad", "mend it", fault) for name, fault in found.items()]

    monkeypatch.setattr(doctor, "checks", checks)
    asked = well(live, Reached(), guarding=guarding)  # type: ignore[arg-type]
    if exit_code is None:
        assert asyncio.run(asked) == {"balance": "bad (mend it)", "spot prices": "bad (mend it)"}
    else:
        with pytest.raises(NotWellError, match="live does not start") as refused:
            asyncio.run(asked)
        assert refused.value.exit_code == exit_code


def test_what_may_fail_beside_open_positions_is_what_the_doctor_asks() -> None:
    assert set(doctor.QUESTIONS) > ONLY_ENTRIES


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (VenueError("not reached"), "not asked: see credentials"),
        (ConfigError("the proxy wallet needs more", table="venue", key="wallet"), "not asked: see wallet"),
        (ConfigError("no relayer key: it is not set", key="relayer.secret"), "not asked: see relayer"),
        (ConfigError("no key: it is not set", key="key", remedy="export it"), "no key: it is not set"),
    ],
)
def test_sec_01_a_live_start_asks_its_gateway_process_for_the_key_s_address(
    live: Loaded, error: Exception, told: str
) -> None:
    async def go() -> str:
        async with patients.patient(live, Reached(error)) as subject:
            context = Context(subject)
            try:
                return (await doctor._asked("key", account.key, context)).text
            finally:
                await context.close()

    assert told in asyncio.run(go())


def test_per_05_an_account_that_is_not_well_and_has_positions_begins_without_entries(tmp_path: Path) -> None:
    said: list[Event] = []
    with DataFolder(tmp_path) as folder:
        (begins,) = Session(load_configuration(env={}), folder).accounts
        begins.kernel = Kernel(begins.settings, "main", {}, ())
        begins.runner = SimpleNamespace(start=tuple, stop=tuple)  # type: ignore[assignment]
        begins.market = SimpleNamespace(join=lambda _: None)  # type: ignore[assignment]
        begins.engine = SimpleNamespace(event=said.append)  # type: ignore[assignment]
        begins.unwell = {"balance": "0.40 is free", "clock": "9 s off"}
        begins.begin()
    began, paused = said
    assert isinstance(began, RunBegan)
    assert paused == Operator("pause", "", "the doctor", why="balance, clock (`polyhost doctor`)")
