"""Set-ups that are broken in one way each, and what the doctor says of them.

``python tests/operating/doctor_setups.py`` writes ``doctor_setups.toml`` anew: read the difference before you keep it.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import re
import shutil
import sqlite3
import tempfile
import time
import tomllib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, NamedTuple
from unittest.mock import patch

import msgspec
import tomli_w
from loguru import logger
from websockets.asyncio.server import ServerConnection, serve

from polyhost.configuration import load_configuration
from polyhost.errors import VenueError
from polyhost.exchange.server import Running, ServerSettings, running
from polyhost.exchange.server.settings import Troubles
from polyhost.exchange.world import WorldSettings
from polyhost.journal import JournalWriter
from polyhost.service import doctor, live_file, patients
from polyhost.service.checkup import machine, venue
from polyhost.service.doctor import checks, described, exit_code
from polyhost.service.exchange_child import ExchangeChild
from polyhost.service.live_file import Live
from polyhost.service.patients import patient
from polyhost.venue import probe
from polyhost.venue.polymarket.endpoints import endpoints_at

PATIENCE_S: Final = 60.0

SNAPSHOT: Final = Path(__file__).with_name("doctor_setups.toml")
WORLD: Final = ServerSettings(world=WorldSettings(symbols=("BTC",), durations_s=(300,), density=0.0))
SPEED: Final = 20.0
"""Candles come every second of market time."""
LEFT_MS: Final = 150_000
"""A set-up is looked at while the running window has this much market time left: its book stays there meanwhile."""
MARKETS: Final = "[markets]\nsymbols = [{}]\ndurations = [\"{}\"]\n"
Prepare = Callable[[Path, ExitStack], None]


def nothing(folder: Path, stack: ExitStack) -> None:
    """The folder of a first run."""


class SetUp(NamedTuple):
    """One way to be broken."""

    name: str
    troubles: Troubles = Troubles()
    cash: int = 1_000_000_000
    """Of newcomers, micro-units."""
    skew_s: int = 0
    """By which the venue's clock is ahead of its own market time."""
    toml: str = MARKETS.format('"BTC"', "5m")
    prepare: Prepare = nothing
    served: bool = True
    """False: nothing answers at the venue's address."""
    own: bool = False
    """The host is to start an exchange of its own, and that does not come up."""
    silent: bool = False
    """The streams open, and nobody says anything on them."""
    account: str = ""
    """A table ``[accounts.real]``; empty: the simulator's own account."""


def damaged(folder: Path, stack: ExitStack) -> None:
    journal(folder)
    (folder / "journal.db").write_bytes(b"no database, and no journal" * 200)


def newer(folder: Path, stack: ExitStack) -> None:
    """As a later release would leave it."""
    journal(folder)
    with sqlite3.connect(folder / "journal.db") as connection:
        (last,) = connection.execute("SELECT max(version) FROM schema_version").fetchone()
        connection.execute("INSERT INTO schema_version VALUES (?, 'later', 0, '9.9.9')", (last + 1,))
    connection.close()


def journal(folder: Path) -> None:
    folder.mkdir()
    JournalWriter(folder / "journal.db", "main", lambda seq: None, lambda error: None).close()


def no_folder(folder: Path, stack: ExitStack) -> None:
    folder.write_text("a file where the folder should be")


def full(folder: Path, stack: ExitStack) -> None:
    left = SimpleNamespace(free=2**20)
    stack.enter_context(patch.object(shutil, "disk_usage", lambda path: left))


def without_room(folder: Path, stack: ExitStack) -> None:
    stack.enter_context(patch.object(machine, "_synced", side_effect=OSError(errno.ENOSPC, "No space left on device")))


def drifted(folder: Path, stack: ExitStack) -> None:
    stack.enter_context(
        patch.object(machine, "require_version", side_effect=VenueError("version 9 is installed", endpoint="client"))
    )


def dead_loop(folder: Path, stack: ExitStack) -> None:
    """A host runs, and its timer does not."""
    journal(folder)
    lock = stack.enter_context((folder / "host.lock").open("a+"))
    fcntl.flock(lock, fcntl.LOCK_EX)
    lock.write("pid 4711")
    lock.flush()
    loops = {"kernel": {"alive": False, "safety": True, "reason": "no sign of life for 9.0 s", "restarts": 3}}
    live_file.write(folder, Live("run", time.time_ns() // 1_000_000, False, "", loops, []))


def with_a_key(folder: Path, stack: ExitStack) -> None:
    stack.enter_context(patch.dict(os.environ, {"DOCTORS_KEY": "0x" + "5a" * 32}))


LIVE: Final = '[accounts.real]\nmode = "live"\nwallet = "safe"\nkey = { env = "DOCTORS_KEY" }\n'
SETUPS: Final = (
    SetUp("healthy"),
    SetUp("funds in another wallet of the key", Troubles(funded=("proxy",))),
    SetUp("approvals missing", Troubles(unapproved=True)),
    SetUp("no funds", cash=0),
    SetUp("little funds", cash=5_000_000),
    SetUp("blocked country", Troubles(country="XX")),
    SetUp("closed-only account", Troubles(closed_only=True)),
    SetUp("venue speaks another version", Troubles(protocol=3)),
    SetUp("clock off", skew_s=7),
    SetUp("clock far off", skew_s=-90),
    SetUp("streams say nothing", silent=True),
    SetUp("venue down", served=False),
    SetUp("exchange that does not start", own=True),
    SetUp("symbol that is not listed", toml=MARKETS.format('"BTC", "XRP"', "5m")),
    SetUp("duration that is not listed", toml=MARKETS.format('"BTC"', "4h")),
    SetUp("client of another release", prepare=drifted),
    SetUp("journal damaged", prepare=damaged),
    SetUp("journal of a later release", prepare=newer),
    SetUp("data folder is a file", prepare=no_folder),
    SetUp("disk nearly full", prepare=full),
    SetUp("disk full", prepare=without_room),
    SetUp("a loop of the running host is dead", prepare=dead_loop),
    SetUp("contract wallet without a relayer key", prepare=with_a_key, account=LIVE),
    SetUp(
        "relayer key that is not there", prepare=with_a_key,
        account=f'{LIVE}relayer = {{ key = {{ env = "NOT_THERE" }} }}\n',
    ),
)


async def diagnoses(setups: Sequence[SetUp] = SETUPS, *, deep: bool = False) -> list[dict[str, Any]]:
    """What the doctor says of each, without the lines that say ok and what differs from run to run.

    One exchange serves all of them: each has an account of its own, and it is troubled while that one is looked at.
    """
    with ExitStack() as stack:
        # One self-test of the client is enough; how busy this machine is, and how full, is no part of a set-up.
        stack.enter_context(patch.object(machine, "signing_selftest", _signed))
        stack.enter_context(patch.object(machine, "SYNC_WARN_MS", float("inf")))
        stack.enter_context(patch.object(venue, "SLOW_MS", float("inf")))
        stack.enter_context(patch.object(shutil, "disk_usage", lambda path: SimpleNamespace(free=2**40)))
        # Nor how long it takes: what does come is waited for.
        for where, name in ((probe, "OPEN_S"), (probe, "HEAR_S"), (doctor, "WITHIN_S"), (live_file, "LIVE_OLD_S")):
            stack.enter_context(patch.object(where, name, PATIENCE_S))
        stack.enter_context(patch.object(machine, "LIVE_OLD_S", PATIENCE_S))
        async with running(WORLD, speed=SPEED, free_running=True) as up, serve(_silence, "127.0.0.1", 0) as silent:
            quiet = f"ws://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
            return [await _diagnosis(setup, up, quiet, number, deep) for number, setup in enumerate(setups)]


async def _silence(socket: ServerConnection) -> None:
    await socket.wait_closed()


async def _diagnosis(setup: SetUp, up: Running, quiet: str, number: int, deep: bool) -> dict[str, Any]:
    up.engine.settings = msgspec.structs.replace(WORLD, troubles=setup.troubles, cash=setup.cash)
    end = (up.engine.clock.now // 300_000 + 1) * 300_000
    while end - LEFT_MS < up.engine.clock.now < end:
        await asyncio.sleep(0.01)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        stack.enter_context(patch.object(type(up.engine), "skew_s", setup.skew_s))
        folder, file = Path(name) / "data", Path(name) / "polyhost.toml"
        setup.prepare(folder, stack)
        url = "" if setup.own else up.url if setup.served else "http://127.0.0.1:9"
        stack.enter_context(patch.object(ExchangeChild, "start", side_effect=VenueError("it was not ready")))
        file.write_text(
            f'{setup.toml}[host]\naccount = "a{number}"\ndata_dir = "{folder}"\n[venue]\nurl = "{url}"\n'
            f'{setup.account}'
        )
        # What says nothing is not waited for in full, and what does not is not missed on a slow machine.
        stack.enter_context(patch.object(probe, "HEAR_S", 0.5 if setup.silent else PATIENCE_S))
        stack.enter_context(patch.object(probe, "OPEN_S", PATIENCE_S))
        if setup.silent:
            points = msgspec.structs.replace(
                endpoints_at(url), market_ws=quiet, user_ws=quiet, price_ws=quiet, binance_ws=quiet
            )
            stack.enter_context(patch.object(patients, "endpoints_at", lambda url: points))
        loaded = load_configuration(file, env={})
        async with patient(loaded.for_account("real") if setup.account else loaded) as subject:
            found = await checks(subject, deep=deep)
        report = described(subject, found)
    told = [
        {key: _steady(text, name) for key, text in check.items() if text}
        for check in report["checks"] if check["verdict"] != "ok" and not _idle(check)
    ]
    return {"name": setup.name, "exit_code": exit_code(found), "checks": told}


def _idle(check: dict[str, str]) -> bool:
    """No host runs in most of these."""
    return (check["name"], check["verdict"]) == ("loops", "skipped")


async def _signed() -> None:
    """In place of the self-test."""


def _steady(text: str, folder: str) -> str:
    text = text.replace(folder, "FOLDER")
    text = re.sub(r"127\.0\.0\.1:\d+", "VENUE", text)
    text = re.sub(r"\d[\d.]* ms\b", "N ms", text)
    text = re.sub(r"\d+\.\d s (?=ahead|behind)", "N s ", text)
    return re.sub(r"-\d{10}\b", "-START", text)


def snapshot() -> dict[str, dict[str, Any]]:
    cases = tomllib.loads(SNAPSHOT.read_text(encoding="utf-8"))["setup"]
    return {case["name"]: case for case in cases}


if __name__ == "__main__":
    logger.remove()
    SNAPSHOT.write_text(tomli_w.dumps({"setup": asyncio.run(diagnoses())}), encoding="utf-8")
