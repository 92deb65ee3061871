"""The real gateway process (SEC-01, LOG-04): where the key is and is not, and how it comes and goes.

One life of it shows all that needs processes; what the two ends say to each other is in test_venue_gate_link.py.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from polyhost.errors import ConfigError
from polyhost.model import commands, events
from polyhost.venue.gatekeeper.__main__ import keys_of
from polyhost.venue.gatekeeper.client import GatewayProcess
from polyhost.venue.gatekeeper.launch import Launch, Policy, RelayerSource
from polyhost.venue.polymarket.endpoints import endpoints_at
from polyhost.venue.polymarket.selftest import ADDRESS, KEY

VARIABLE = "POLYHOST_TEST_KEY_OF_AN_ACCOUNT"
RELAYER = "POLYHOST_TEST_RELAYER_KEY"
RELAYER_KEY = "0197b2c4-11d2-7f00-9c55-1f2e3d4c5b6a"
ELSEWHERE = "POLYHOST_TEST_KEY_OF_ANOTHER"
POLICY = Policy(50_000_000, 100_000_000, 150_000_000)
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def alive(pid: int) -> bool:
    """Does the process run? A zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def until(true: Callable[[], object], seconds: float = 90.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.01)


def holds(pid: int | str, text: str) -> bool:
    """Does the process show the text in its environment or its arguments?"""
    return any(text.encode() in Path(f"/proc/{pid}/{name}").read_bytes() for name in ("environ", "cmdline"))


@linux_only
def test_sec_01_the_key_is_in_the_process_alone_and_a_killed_worker_comes_back_with_it(
    venue: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As a shell sets it: in the memory that /proc shows, which os.environ alone would not do.
    code = (
        f"import os, sys; sys.path[:0] = {sys.path!r}; from pathlib import Path\n"
        "from polyhost.venue.gatekeeper.secrecy import wipe_environment as wipe\n"
        "environ = lambda: Path('/proc/self/environ').read_bytes()\n"
        f"before = b'{KEY}' in environ(); wipe('{VARIABLE}')\n"
        f"print(before, b'{KEY}' in environ(), '{VARIABLE}' in os.environ)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, VARIABLE: KEY}, capture_output=True, text=True, check=True
    )
    assert shown.stdout.split() == ["True", "False", "False"]

    async def go() -> None:
        async with venue() as fake:
            monkeypatch.setenv(VARIABLE, KEY)
            monkeypatch.setenv(RELAYER, RELAYER_KEY)
            monkeypatch.setenv(ELSEWHERE, "0x" + "77" * 32)
            launch = Launch.of(
                tmp_path, account="main", key={"env": VARIABLE}, policy=POLICY, place=fake.url, selftest=False,
                relayer=RelayerSource({"key": {"env": RELAYER}}),
            )
            mine = GatewayProcess(launch, hide=(ELSEWHERE,), log=tmp_path / "gateway.log")
            mine.at(endpoints_at(fake.url))
            try:
                await mine.connect()
                assert not {VARIABLE, RELAYER} & set(os.environ)
                assert mine.wallet == ADDRESS
                assert mine.opened is not None
                assert mine.opened.fast
                assert mine.pid is not None
                for pid in (mine.pid, mine.opened.pid):
                    assert not holds(pid, KEY[2:])
                    assert not holds(pid, RELAYER_KEY)
                    assert not holds(pid, "77" * 32)
                first = mine.opened.pid
                os.kill(first, signal.SIGKILL)
                await until(lambda: mine.opened is None)
                await until(lambda: mine.opened is not None)
                assert mine.opened is not None
                assert mine.opened.pid != first
                assert mine.wallet == ADDRESS, "the same key, although it is nowhere else any more"
                fake.answers["DELETE /order"] = (200, {"canceled": ["0x1"], "not_canceled": {}})
                assert await mine.execute(commands.Cancel("0x1")) == [events.CancelAnswered("0x1", "canceled", "", 200)]
                # The keeper too: now the key is gone, and that is said.
                os.kill(mine.pid, signal.SIGKILL)
                await until(lambda: mine.opened is None)
                await until(lambda: f"the environment variable {VARIABLE} is not set" in mine._told_problem)
            finally:
                await mine.close()
            said = (tmp_path / "gateway.log").read_text(encoding="utf-8")
            assert KEY[2:] not in said

    asyncio.run(go())


@linux_only
def test_sec_01_when_the_host_dies_the_process_ends_at_once_and_cancels_nothing(venue: Any, tmp_path: Path) -> None:
    """A host of its own process, killed without a word."""
    code = (
        f"import asyncio, sys; sys.path[:0] = {sys.path!r}; from pathlib import Path\n"
        "from polyhost.venue.gatekeeper.client import GatewayProcess\n"
        "from polyhost.venue.gatekeeper.launch import Launch, Policy\n"
        "from polyhost.venue.polymarket.endpoints import endpoints_at\n"
        "async def go(url, folder):\n"
        f"    launch = Launch.of(folder, account='main', key={{'throwaway': '{KEY}'}}, policy=Policy(1, 1, 1),\n"
        "                       place='loopback', selftest=False)\n"
        "    mine = GatewayProcess(launch, log=folder / 'gateway.log')\n"
        "    mine.at(endpoints_at(url))\n"
        "    await mine.connect()\n"
        "    print(mine.pid, mine.opened.pid, flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(go(sys.argv[1], Path(sys.argv[2])))"
    )

    async def go() -> None:
        async with venue() as fake:
            host = await asyncio.create_subprocess_exec(
                sys.executable, "-c", code, fake.url, str(tmp_path), stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            assert host.stdout is not None
            pids = [int(text) for text in (await asyncio.wait_for(host.stdout.readline(), 90)).split()]
            assert len(pids) == 2
            assert all(alive(pid) for pid in pids)
            host.kill()
            await host.wait()
            await until(lambda: not any(alive(pid) for pid in pids))
            assert not [key for key, _, _ in fake.requests if key.startswith("DELETE")]

    asyncio.run(go())


def test_sec_01_a_key_that_is_not_there_stops_the_start_with_the_remedy(tmp_path: Path) -> None:
    async def go() -> None:
        missing = tmp_path / "key"
        launch = Launch.of(
            tmp_path, account="main", key={"file": str(missing)}, policy=POLICY, place="loopback"
        )
        mine = GatewayProcess(launch, log=tmp_path / "gateway.log")
        mine.at(endpoints_at("http://127.0.0.1:9"))
        try:
            with pytest.raises(ConfigError, match=r"no key: .*key cannot be read: No such file or directory; write"):
                await mine.connect()
        finally:
            await mine.close()

    asyncio.run(go())


def test_sec_01_each_part_of_a_key_is_read_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RELAYER, RELAYER_KEY)
    found = keys_of([{"throwaway": KEY}, {"file": str(tmp_path / "none")}, {"env": RELAYER}])
    assert [each.value for each in found] == [KEY, "", RELAYER_KEY]
    assert "none cannot be read" in found[1].problem
    assert "chmod 600" in found[1].remedy
    assert RELAYER_KEY not in repr(found)
