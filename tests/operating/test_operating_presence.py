"""A host shows that it lives, to systemd's watchdog and to a health check, and only while it does (OPS-01, OPS-11)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from loguru import logger

from polyhost.errors import VenueError
from polyhost.service.presence import Condition, Presence, line_of
from polyhost.service.systemd import ServiceManager
from polyhost.venue.health_ping import ping

WELL = Condition("main", True, False, True, ())


class Host:
    """Stands in for a session: says what it is told to say."""

    def __init__(self, *conditions: Condition) -> None:
        self.said = list(conditions)

        self.failed: dict[str, str] = {}

    def conditions(self) -> list[Condition]:
        return self.said

    def failures(self) -> dict[str, str]:
        return self.failed


class Heard:
    """The manager's end of the socket."""

    def __init__(self, path: Path | str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)

    def words(self) -> list[str]:
        """Everything that came since the last time, without the status lines."""
        found = []
        while True:
            try:
                found += self.socket.recv(4_096).decode().split("\n")
            except BlockingIOError:
                return [word for word in found if not word.startswith("STATUS=")]


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[Heard]:
    manager = Heard(tmp_path / "notify")
    yield manager
    manager.socket.close()


def manager(tmp_path: Path, **more: str) -> ServiceManager:
    return ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify"), **more}, pid=7)


def changed(**values: object) -> Condition:
    return msgspec.structs.replace(WELL, **values)


def test_ops_01_ready_is_said_once_every_account_has_begun(tmp_path: Path, heard: Heard) -> None:
    host = Host(WELL, changed(name="second", begun=False))
    presence = Presence(host, manager=manager(tmp_path))
    presence.look()
    assert heard.words() == []
    host.said = [WELL, changed(name="second")]
    presence.look()
    presence.look()
    assert heard.words() == ["READY=1"]


def test_ops_01_the_watchdog_is_fed_only_while_the_hosts_own_loops_live(tmp_path: Path, heard: Heard) -> None:
    host = Host(WELL)
    presence = Presence(host, manager=manager(tmp_path, WATCHDOG_USEC="30000000"))
    presence.look()
    assert heard.words() == ["READY=1", "WATCHDOG=1"]
    for loop, fed in (("user stream", True), ("gateway", True), ("kernel", False), ("exits", False)):
        host.said = [changed(ready=False, dead=(loop,))]
        presence.look()
        assert heard.words() == ["WATCHDOG=1"] * fed, loop
    host.said = [changed(sealed="disk full", ready=False)]
    presence.look()
    assert heard.words() == ["WATCHDOG=1"], "it exits, and must not be killed meanwhile"


def test_ops_01_a_stop_is_said_once_and_the_watchdog_is_fed_until_the_end(tmp_path: Path, heard: Heard) -> None:
    host = Host(changed(stopping=True))
    presence = Presence(host, manager=manager(tmp_path, WATCHDOG_USEC="30000000"))
    presence.look()
    presence.look()
    assert heard.words() == ["READY=1", "STOPPING=1", "WATCHDOG=1", "WATCHDOG=1"]
    asyncio.run(presence.close())
    assert heard.words() == []


def test_ops_01_an_end_without_a_stop_is_said_too(tmp_path: Path, heard: Heard) -> None:
    asyncio.run(Presence(Host(WELL), manager=manager(tmp_path)).close())
    assert heard.words() == ["STOPPING=1"]


def test_ops_01_a_watchdog_of_another_process_is_not_ours(tmp_path: Path) -> None:
    assert manager(tmp_path, WATCHDOG_USEC="30000000", WATCHDOG_PID="8").watchdog_s == 0
    assert manager(tmp_path, WATCHDOG_USEC="30000000", WATCHDOG_PID="7").watchdog_s == 30


def test_ops_01_an_abstract_socket_is_heard_and_no_listener_stops_nobody(tmp_path: Path) -> None:
    name = f"polyhost-test-{id(tmp_path)}"
    abstract = Heard(f"\0{name}")
    assert ServiceManager({"NOTIFY_SOCKET": f"@{name}"}).say("READY=1", status="all\n  well")
    assert abstract.socket.recv(100) == b"READY=1\nSTATUS=all well"
    abstract.socket.close()
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), level="WARNING")
    gone = ServiceManager({"NOTIFY_SOCKET": f"@{name}"})
    assert (gone.say("WATCHDOG=1"), gone.say("WATCHDOG=1")) == (False, False)
    assert not ServiceManager({}).listens
    logger.remove(sink)
    assert len(lines) == 1, "told once"


def test_ops_01_the_status_line_names_what_is_wrong() -> None:
    assert line_of([WELL, changed(name="b", dead=("kernel",)), changed(name="c", begun=False)], {}) == (
        "main trading; b not alive: kernel; c starting"
    )
    assert line_of([changed(sealed="disk full"), changed(stopping=True)], {}) == "main SEALED: disk full; main stopping"


class Check:
    """A health-check service on loopback."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.status = 200

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.path, await request.text()))
        return web.Response(status=self.status)


async def serving(check: Check) -> tuple[web.AppRunner, str]:
    app = web.Application()
    app.router.add_post("/{path:.*}", check.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}/uuid"


def test_ops_11_a_health_check_hears_at_most_once_a_minute_and_at_once_when_it_turns_bad() -> None:
    """Each step: seconds since the last look, the host's condition, and what the check heard by then."""
    check, clock, host = Check(), [0.0], Host(WELL)
    steps = [
        (0.0, WELL, 1), (59.0, WELL, 1), (1.0, WELL, 2), (1.0, changed(ready=False, dead=("kernel",)), 3),
        (1.0, changed(ready=False), 3), (60.0, WELL, 4), (90.0, changed(stopping=True), 4),
        (90.0, changed(begun=False), 4),
    ]

    async def whole() -> None:
        runner, url = await serving(check)
        presence = Presence(host, url, ServiceManager({}), now=lambda: clock[0])
        for pause, condition, count in steps:
            clock[0] += pause
            host.said = [condition]
            presence.look()
            if presence._ping is not None:
                await presence._ping
            assert len(check.asked) == count, (pause, condition)
        # An account of several that ended by a failure: the host lives, and all is not well.
        host.said, host.failed = [WELL], {"real": "live does not start"}
        clock[0] += 90.0
        presence.look()
        assert presence._ping is not None
        await presence._ping
        # One that somebody ended: the others are watched on.
        host.said, host.failed = [WELL, changed(name="ended", stopping=True, ready=False)], {}
        clock[0] += 90.0
        presence.look()
        await presence._ping
        await presence.close()
        await runner.cleanup()

    asyncio.run(whole())
    assert [path for path, _ in check.asked] == ["/uuid", "/uuid", "/uuid/fail", "/uuid", "/uuid/fail", "/uuid"]
    assert check.asked[4][1] == "real FAILED: live does not start; main trading"
    assert check.asked[2][1] == "main not alive: kernel"


def test_ops_11_a_ping_that_fails_is_told_once_without_its_address_and_delays_nothing() -> None:
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), level="WARNING")
    clock = [0.0]

    async def whole() -> None:
        presence = Presence(Host(WELL), "http://127.0.0.1:9/secret-uuid", ServiceManager({}), now=lambda: clock[0])
        for _ in range(2):
            presence.look()
            assert presence._ping is not None
            await presence._ping
            clock[0] += 60
        await presence.close()

    asyncio.run(whole())
    logger.remove(sink)
    assert len(lines) == 1
    assert "127.0.0.1: no ping" in lines[0]
    assert "secret-uuid" not in lines[0]


def test_ops_11_a_check_that_refuses_is_a_failure() -> None:
    async def whole() -> None:
        check = Check()
        check.status = 404
        runner, url = await serving(check)
        with pytest.raises(VenueError, match="HTTP 404"):
            await ping(url, well=True)
        await runner.cleanup()

    asyncio.run(whole())


def test_ops_01_nobody_is_looked_for_where_nobody_listens() -> None:
    presence = Presence(Host(WELL), "", ServiceManager({}))
    assert not presence.needed
    asyncio.run(asyncio.wait_for(presence.run(), 5))
