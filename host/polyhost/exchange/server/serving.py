"""Starting and ending the server: one loopback port for everything, a ready file, graceful signals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from aiohttp import web
from loguru import logger

from polyhost.allocator import give_back
from polyhost.exchange.server import (
    builders,
    clob_private,
    clob_public,
    data_api,
    gamma,
    others,
    outside,
    relayer,
    rewards,
    rpc,
    streams,
)
from polyhost.exchange.server.engine import Engine
from polyhost.exchange.server.http import ENGINE, busy, errors, stamp
from polyhost.exchange.server.jsons import encode
from polyhost.exchange.server.settings import ServerSettings
from polyhost.exchange.server.store import replace_whole

BODY_BYTES_MAX: Final = 1024 * 1024
SHUTDOWN_S: Final = 2.0
"""Wall seconds that open connections get to end."""


class Running:
    """A server that is up."""

    def __init__(self, engine: Engine, host: str, port: int, drive: asyncio.Task[None]) -> None:
        self.engine = engine
        self.drive = drive
        """Ends only by an error, which leaving the block raises."""
        self.host = host
        self.port = port

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def ws_url(self) -> str:
        """Base of the websocket paths (``/ws/market``, ``/ws/user``, ``/ws/live`` …)."""
        return f"ws://{self.host}:{self.port}"


def application(engine: Engine) -> web.Application:
    """Every path of the exchange."""
    app = web.Application(middlewares=[errors, busy], client_max_size=BODY_BYTES_MAX)
    app[ENGINE] = engine
    for part in (streams, clob_public, clob_private, builders, rewards, gamma, data_api, relayer, rpc, others, outside):
        app.add_routes(part.routes)
    app.on_response_prepare.append(stamp)
    return app


@asynccontextmanager
async def running(
    settings: ServerSettings,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    seed: int = 1,
    speed: float = 1.0,
    state: Path | None = None,
    free_running: bool = False,
) -> AsyncIterator[Running]:
    """A server for the length of the block; ``port`` 0 takes a free one.

    Raises StateError (unusable state file), ValueError (speed) and OSError (port in use).
    """
    engine = Engine(settings, seed, speed, state)
    runner = web.AppRunner(application(engine), access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    server = runner.server
    assert server is not None
    engine.clients = lambda: len(server.connections)
    drive: asyncio.Task[None] | None = None
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound: int = runner.addresses[0][1]
        drive = asyncio.create_task(engine.run(free_running))
        yield Running(engine, host, bound, drive)
    finally:
        await _end(engine, drive, runner)


async def _end(engine: Engine, drive: asyncio.Task[None] | None, runner: web.AppRunner) -> None:
    """Stop market time, close the sockets, keep the state. An error of the driving task is raised here."""
    failure: BaseException | None = None
    if drive is not None:
        drive.cancel()
        failure = (await asyncio.gather(drive, return_exceptions=True))[0]
    engine.stop()
    await runner.cleanup()
    if failure is not None and not isinstance(failure, asyncio.CancelledError):
        raise failure


def _write_ready(path: Path, up: Running) -> None:
    """Tell where the server is, in one step."""
    replace_whole(path, encode({"url": up.url, "ws_url": up.ws_url, "pid": os.getpid()}))


async def serve(
    settings: ServerSettings,
    host: str = "127.0.0.1",
    port: int = 0,
    seed: int = 1,
    speed: float = 1.0,
    state: Path | None = None,
    ready_file: Path | None = None,
    free_running: bool = False,
) -> None:
    """Serve until SIGINT or SIGTERM. Raises as ``running`` does."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    try:
        async with running(
            settings, host=host, port=port, seed=seed, speed=speed, state=state, free_running=free_running
        ) as up:
            logger.info("exchange serves on {} (seed {}, speed {:g})", up.url, seed, speed)
            if ready_file is not None:
                _write_ready(ready_file, up)
            stopped, memory = asyncio.create_task(stop.wait()), asyncio.create_task(give_back())
            await asyncio.wait({stopped, up.drive}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            memory.cancel()
    finally:
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(name)
        if ready_file is not None:
            with contextlib.suppress(FileNotFoundError):
                ready_file.unlink()


def run_server(
    settings: ServerSettings,
    host: str = "127.0.0.1",
    port: int = 0,
    seed: int = 1,
    speed: float = 1.0,
    state: Path | None = None,
    ready_file: Path | None = None,
    free_running: bool = False,
) -> None:
    """As ``serve``, blocking: returns after a graceful stop by signal."""
    asyncio.run(serve(settings, host, port, seed, speed, state, ready_file, free_running))
