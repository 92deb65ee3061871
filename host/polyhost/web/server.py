"""The dashboard's process: one page behind one token, served until a signal ends it."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import quote

from polyhost.errors import ConfigError
from polyhost.secret import Secret, Unresolved, fetched
from polyhost.web.guard import LOOPBACK, TOKEN_CHARACTERS_MIN, Guard

ASSETS: Final = Path(__file__).parent / "assets"
EXTRA: Final = "the dashboard needs the extra `dashboard`: pip install 'polyhost[dashboard]'"
GRACE_S: Final = 2
"""Browsers that are connected are waited for this long, wall seconds, at the end."""
CONNECTION_GONE_S: Final = 20.0
"""A browser that lost its connection finds its page again within this many wall seconds."""


def token_of(*, env: str = "", file: str = "") -> tuple[str, bool]:
    """The token, and whether it is a new one of this start. Raises ConfigError for a source that gives none."""
    if not env and not file:
        return secrets.token_urlsafe(32), True
    if env and file:
        raise ConfigError("name one source of the token, not two")
    try:
        token = fetched(Secret(env=env, file=file))
    except Unresolved as error:
        raise ConfigError(f"the dashboard's token: {error}; {error.remedy}") from None
    if len(token) < TOKEN_CHARACTERS_MIN:
        raise ConfigError(f"the dashboard's token has less than {TOKEN_CHARACTERS_MIN} characters")
    return token, False


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises ConfigError."""
    listening: socket.socket | None = None
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(where)
    except OSError as error:
        if listening is not None:
            listening.close()
        problem = f"{host}:{port} cannot be served: {error.strerror}; choose another --port or --host"
        raise ConfigError(problem) from error
    return listening


def serve(
    accounts: Mapping[str, tuple[Path, tuple[str, ...]]], listening: socket.socket, host: str, token: str,
    names: tuple[str, ...], began: Callable[[], None],
) -> None:
    """Serve until SIGINT or SIGTERM. ``accounts``: name → folder, and the options of a command that name it.

    ``began`` is called when the page can be asked for. Raises ConfigError when the libraries are not installed.
    """
    # It would make a folder in the working directory for what we never store.
    os.environ.setdefault("NICEGUI_STORAGE_PATH", str(Path(tempfile.gettempdir()) / "polyhost-dashboard"))
    try:
        import uvicorn
        from fastapi import FastAPI
        from fastapi.staticfiles import StaticFiles
        from nicegui import ui
    except ImportError as error:
        raise ConfigError(EXTRA) from error
    from polyhost.web.page import Page, Seat

    port = listening.getsockname()[1]
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/assets", StaticFiles(directory=ASSETS))
    seats: dict[str, Seat] = {}

    @ui.page("/", title="polyhost", response_timeout=30)
    async def page() -> None:
        if not seats:
            seats.update({name: Seat(name, folder, place) for name, (folder, place) in accounts.items()})
        await Page(seats).build()

    ui.run_with(
        app, dark=None, favicon=ASSETS / "icon.svg", tailwind=False, gzip_middleware_factory=None,
        show_welcome_message=False, reconnect_timeout=CONNECTION_GONE_S, binding_refresh_interval=None,
    )
    guarded = Guard(app, token, (*LOOPBACK, host, *names), port)

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            """A signal ends it, and is not raised once more afterwards: that is exit code 0."""
            before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                began()

    config = uvicorn.Config(
        guarded, log_config=None, access_log=False, server_header=False, date_header=False, proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    Server(config).run(sockets=[listening])


def address(host: str, port: int, token: str) -> str:
    """What a person opens."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/" + ("?token=" + quote(token, safe="") if token else "")
