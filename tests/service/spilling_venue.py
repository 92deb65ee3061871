"""A venue that repeats in its errors whatever it knows of who asks: it stands before a simulated exchange.

It passes everything on, and learns the API credentials on the way, as a venue knows them. While it ``spills_requests``,
every authenticated one is refused with a text that holds the request, its headers and the credentials; while it
``spills_sockets``, one that authenticates is told the same and closed with the passphrase as the reason, and the first
request with a relayer key is refused with that key.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import ClientSession, ClientTimeout, WSMessage, WSMsgType, web

MARK: Final = "the-venue-repeats"
"""In each of its texts: whoever has heard one of them shows this."""
HOPS: Final = {"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "host", "upgrade"}
"""Headers that are no matter of the other connection."""
STATUSES: Final = (400, 500, 403)


class SpillingVenue:
    """Serves on loopback in a thread of its own, from ``with`` on."""

    def __init__(self, exchange: str) -> None:
        self.spills_requests = False
        self.spills_sockets = False
        self.credentials: dict[str, str] = {}
        """What it gave out last: secret and passphrase."""
        self.spilled: Counter[str] = Counter()
        """Method and path, or the websocket's path → how often."""
        self._exchange = exchange
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="spilling venue")

    def __enter__(self) -> SpillingVenue:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def _serve(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._asked)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        async with ClientSession(auto_decompress=False, timeout=ClientTimeout(total=None)) as self._session:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self._port = runner.addresses[0][1]
            self._ready.set()
            await self._ended.wait()
            await runner.cleanup()

    # --- requests -----------------------------------------------------------------------------------------------------

    async def _asked(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._socket(request)
        body = await request.read()
        if self.spills_requests and "POLY_PASSPHRASE" in request.headers:
            return self._refused(request, body)
        if self.spills_sockets and "RELAYER_API_KEY" in request.headers and not self.spilled["the relayer"]:
            self.spilled["the relayer"] += 1
            # It is another server than the one that gives API credentials, and knows nothing of them.
            return web.json_response({"error": f"{MARK}: {dict(request.headers)}"}, status=400)
        passed = {name: value for name, value in request.headers.items() if name.lower() not in HOPS}
        address = f"{self._exchange}{request.path_qs}"
        async with self._session.request(request.method, address, headers=passed, data=body) as answer:
            text = await answer.read()
            if request.path.startswith("/auth/") and answer.status == 200:
                self._learn(json.loads(text))
            headers = {name: value for name, value in answer.headers.items() if name.lower() not in HOPS}
            if encoding := answer.headers.get("Content-Encoding"):
                headers["Content-Encoding"] = encoding
            return web.Response(status=answer.status, body=text, headers=headers)

    def _learn(self, given: Any) -> None:
        if isinstance(given, dict) and "passphrase" in given:
            self.credentials = {name: given[name] for name in ("secret", "passphrase")}

    def _refused(self, request: web.Request, body: bytes) -> web.Response:
        self.spilled[f"{request.method} {request.path}"] += 1
        status = STATUSES[sum(self.spilled.values()) % len(STATUSES)]
        told = self._everything(request.headers, body.decode(errors="replace"))
        return web.json_response({"error": told}, status=status)

    def _everything(self, headers: Mapping[str, str], said: str) -> str:
        return f"{MARK}: {self.credentials} {dict(headers)} {said}"

    # --- websockets ---------------------------------------------------------------------------------------------------

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        near = web.WebSocketResponse(autoping=False, max_msg_size=0)
        await near.prepare(request)
        address = f"{self._exchange}{request.path_qs}"
        async with self._session.ws_connect(address, autoping=False, max_msg_size=0) as far:
            async def back() -> None:
                async for message in far:
                    await _passed(message, near)
                await near.close()

            returning = asyncio.create_task(back())
            try:
                async for message in near:
                    if self.spills_sockets and message.type is WSMsgType.TEXT and "passphrase" in message.data:
                        self.spilled[request.path] += 1
                        told = self._everything(request.headers, message.data)
                        await near.send_str(json.dumps({"error": told, "auth": self.credentials}))
                        await near.send_str(told)
                        reason = f"{MARK} {self.credentials.get('passphrase', '')}"
                        await near.close(code=1008, message=reason.encode()[:120])
                        break
                    await _passed(message, far)
            finally:
                await far.close()
                await asyncio.gather(returning, return_exceptions=True)
        return near


async def _passed(message: WSMessage, to: Any) -> None:
    match message.type:
        case WSMsgType.TEXT:
            await to.send_str(message.data)
        case WSMsgType.BINARY:
            await to.send_bytes(message.data)
        case WSMsgType.PING:
            await to.ping(message.data)
        case WSMsgType.PONG:
            await to.pong(message.data)
