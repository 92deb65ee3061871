"""The control socket (OPS-08, SEC-03): people and tools speak to the running host, a line of JSON each way.

A Unix-domain socket in the data folder (mode 0600) and a token beside it, new at every start. The server reads, hands
each word to whoever does it and writes the answer: sizes, connections and times are bounded, and nothing here waits for
a client, so that no client can hold up trading. The words are in docs/control.md.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
from loguru import logger
from msgspec import structs

from polyhost.errors import PolyhostError
from polyhost.files import short_path
from polyhost.service.control_client import (
    ANSWER_BYTES_MAX,
    REQUEST_BYTES_MAX,
    SOCKET,
    TOKEN,
    Request,
)
from polyhost.service.supervision import Beat

CONNECTIONS_MAX: Final = 16
"""Clients at once; one more is told so and let go."""
IDLE_S: Final = 60.0
"""A connection that says nothing for so long, wall seconds, is closed."""
DONE_WITHIN_S: Final = 20.0
"""A word that takes longer, wall seconds, is answered with that; what it began goes on."""
SEND_S: Final = 2.0
"""A client that does not read its answer for so long, wall seconds, is let go."""
ANSWERED_WITHIN_S: Final = 1.0
"""When the host ends, answers under way have so long, wall seconds: who said kill hears that it was taken."""
LOOK_EVERY_S: Final = 1.0
"""The socket's file is looked at this often, wall seconds: one that was deleted is made anew."""
WORDS_MAX: Final = 500
"""Characters of ``who`` and ``why`` that are kept."""

Word: TypeAlias = Callable[[Request], Awaitable[dict[str, Any]]]
"""Does what a request asks for; raises a PolyhostError to refuse it."""


class ControlServer:
    """Serves one data folder. ``run`` is the loop to supervise."""

    def __init__(self, folder: Path, words: Mapping[str, Word]) -> None:
        self._folder = folder
        self._words = words
        self._token = secrets.token_hex(32)
        self._clients: set[asyncio.Task[None]] = set()
        self._answering: set[asyncio.Task[None]] = set()
        """Those of the clients whose word is being done."""
        self._ending = False
        self._failing = False

    async def run(self, beat: Beat) -> None:
        """Listen until cancelled. A socket that cannot be made is told once and tried again: words go by file then."""
        self._ending = False
        try:
            while True:
                try:
                    await self._serve(beat)
                    self._failing = False
                except OSError as error:
                    level = "DEBUG" if self._failing else "WARNING"
                    logger.log(level, "no control socket in {}: {}; words still go by file", self._folder, error)
                    self._failing = True
                beat()
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            await self._let_go()

    async def _let_go(self) -> None:
        """No request is read any more; answers under way are written, if that is soon."""
        self._ending = True
        for task in self._clients - self._answering:
            task.cancel()
        try:
            if self._answering:
                await asyncio.wait(set(self._answering), timeout=ANSWERED_WITHIN_S)
        finally:
            for task in self._clients:
                task.cancel()
            await asyncio.gather(*self._clients, return_exceptions=True)

    async def _serve(self, beat: Beat) -> None:
        listening = self._bound()
        path = self._folder / SOCKET
        mine = _file_id(path)
        server = await asyncio.start_unix_server(self._connected, sock=listening, limit=REQUEST_BYTES_MAX)
        try:
            while _file_id(path) == mine:
                beat()
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            server.close()
            if _file_id(path) == mine:
                path.unlink(missing_ok=True)
                (self._folder / TOKEN).unlink(missing_ok=True)

    def _bound(self) -> socket.socket:
        """The socket, readable and writable by this user alone from its first moment. Raises OSError."""
        self._write_token()
        path = self._folder / SOCKET
        path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX)
        try:
            # Where this has no effect the file is closed to others a moment later, and the token guards it meanwhile.
            with suppress(OSError):
                os.fchmod(listening.fileno(), 0o600)
            with short_path(self._folder, SOCKET) as short:
                listening.bind(short)
            path.chmod(0o600)
            listening.setblocking(False)
        except OSError:
            listening.close()
            raise
        return listening

    def _write_token(self) -> None:
        path = self._folder / TOKEN
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(self._token + "\n")

    # --- one client ---------------------------------------------------------------------------------------------------

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "asyncio runs this in a task"
        self._clients.add(task)
        try:
            if len(self._clients) > CONNECTIONS_MAX:
                # Its request is read first: who is still sending would not see the answer.
                await asyncio.wait_for(reader.readline(), SEND_S)
                await _send(writer, _refusal(0, f"{CONNECTIONS_MAX} clients are connected already; try again", 1))
            else:
                await self._talk(task, reader, writer)
            writer.close()
            await asyncio.wait_for(writer.wait_closed(), SEND_S)
        except asyncio.CancelledError:
            return  # the host ends; asyncio's streams would tell of it as of an error
        except (OSError, ValueError, TimeoutError):
            logger.debug("a client of the control socket went away, or does not read its answer")
        finally:
            self._clients.discard(task)
            writer.transport.abort()

    async def _talk(
        self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while not self._ending:
            try:
                line = await asyncio.wait_for(reader.readuntil(b"\n"), IDLE_S)
            except asyncio.IncompleteReadError:
                return
            except asyncio.LimitOverrunError:
                await _send(writer, _refusal(0, f"a request of more than {REQUEST_BYTES_MAX} bytes", 2))
                return
            try:
                request = _REQUEST.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                await _send(writer, _refusal(0, f"no request: {error}", 2))
                return
            if not hmac.compare_digest(request.token.encode(), self._token.encode()):
                await _send(writer, _refusal(request.id, f"wrong token; it stands in {self._folder / TOKEN}", 2))
                return
            self._answering.add(task)
            try:
                await _send(writer, await self._done(request))
            finally:
                self._answering.discard(task)

    async def _done(self, request: Request) -> bytes:
        word = self._words.get(request.do)
        if word is None:
            return _refusal(request.id, f"unknown word {request.do!r}; known: {', '.join(self._words)}", 2)
        said = structs.replace(request, who=request.who[:WORDS_MAX], why=request.why[:WORDS_MAX])
        doing = asyncio.ensure_future(word(said))
        done, _ = await asyncio.wait({doing}, timeout=DONE_WITHIN_S)
        if not done:
            doing.add_done_callback(_forgotten)
            return _refusal(request.id, f"{request.do}: not done within {DONE_WITHIN_S:.0f} s; it goes on", 1)
        error = doing.exception()
        if isinstance(error, PolyhostError):
            return _refusal(request.id, str(error), error.exit_code)
        if error is not None:
            logger.opt(exception=error).error("the word {} failed: {}", request.do, error)
            return _refusal(request.id, f"{request.do} failed: {type(error).__name__}: {error}", 1)
        answer = msgspec.json.encode({"id": request.id, "ok": True, "result": doing.result()})
        if len(answer) >= ANSWER_BYTES_MAX:
            return _refusal(request.id, f"{request.do}: the answer has {len(answer)} bytes", 1)
        return answer


_REQUEST: Final = msgspec.json.Decoder(Request)


def _refusal(number: int, message: str, exit_code: int) -> bytes:
    return msgspec.json.encode({"id": number, "ok": False, "error": {"message": message, "exit_code": exit_code}})


async def _send(writer: asyncio.StreamWriter, answer: bytes) -> None:
    writer.write(answer + b"\n")
    await asyncio.wait_for(writer.drain(), SEND_S)


def _forgotten(task: asyncio.Future[Any]) -> None:
    """Nobody waits for it any more: a failure is told in the log."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("a word that nobody waited for failed: {}", error)


def _file_id(path: Path) -> tuple[int, int] | None:
    """Which file stands there now; None: none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
