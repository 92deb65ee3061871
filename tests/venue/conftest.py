"""A loopback venue whose every answer is scripted, for the tests of the venue's clients."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from ..unhurried import PATIENCE_S, unhurried_module  # noqa: F401 a fixture

OnText = Callable[[web.WebSocketResponse, str], Awaitable[None]]
CONDITION = "0x" + "ab" * 32
UP = "71321045679252212594626385532706912750332728571942532289631379312455583992563"
DOWN = "52114319501245915516055106046884209969926127482827954674443846427813813222426"
START = 1_795_225_800


class FakeVenue:
    """HTTP answers by ``"METHOD /path"`` (status, body[, headers]; a list is used up to its last), and websockets."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            "POST /auth/api-key": (200, {"apiKey": "key-1", "secret": "c2VjcmV0", "passphrase": "pass"}),
            f"GET /markets-by-token/{UP}": (200, {"condition_id": CONDITION}),
            f"GET /markets-by-token/{DOWN}": (200, {"condition_id": CONDITION}),
            f"GET /clob-markets/{CONDITION}": (
                200,
                {"t": [{"t": UP, "o": "Up"}, {"t": DOWN, "o": "Down"}], "mos": 5, "mts": 0.01, "nr": False,
                 "fd": {"r": 0.07, "e": 1, "to": True}},
            ),
        }
        self.headers: dict[str, str] = {}
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.on_text: dict[str, OnText] = {}
        self.said: dict[str, list[str]] = defaultdict(list)
        self.opened: dict[str, list[web.WebSocketResponse]] = defaultdict(list)
        self.changed = asyncio.Event()

    async def __aenter__(self) -> FakeVenue:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *error: object) -> None:
        for sockets in self.opened.values():
            for ws in sockets:
                await ws.close()
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def asked(self, key: str) -> list[tuple[dict[str, str], Any]]:
        return [(query, body) for made, query, body in self.requests if made == key]

    async def until(self, true: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
        """Wait until something has become true; fails after a while."""
        async with asyncio.timeout(seconds):
            while not true():
                await asyncio.sleep(0.002)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._socket(request)
        text = await request.text()
        key = f"{request.method} {request.path}"
        self.requests.append((key, dict(request.query), json.loads(text) if text else None))
        answer = self.answers.get(key, (404, {"error": "not found"}))
        if callable(answer):
            answer = answer(self.requests[-1])
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        status, body, *rest = answer
        headers = {**self.headers, **(rest[0] if rest else {})}
        if isinstance(body, str):
            return web.Response(status=status, text=body, headers=headers)
        return web.json_response(body, status=status, headers=headers)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse()
        ws.headers.update(self.headers)
        await ws.prepare(request)
        self.opened[request.path].append(ws)
        async for message in ws:
            if message.type is WSMsgType.TEXT:
                self.said[request.path].append(message.data)
                handler = self.on_text.get(request.path)
                if handler is not None:
                    await handler(ws, message.data)
                elif message.data == "PING":
                    await ws.send_str("PONG")
        return ws


@pytest.fixture
def venue() -> type[FakeVenue]:
    """The class: ``async with venue() as fake: …``."""
    return FakeVenue


@pytest.fixture
def gamma_object() -> dict[str, Any]:
    """A running 5-minute window as Gamma describes it."""
    return {
        "id": "3047949",
        "slug": f"btc-updown-5m-{START}",
        "conditionId": CONDITION,
        "question": "Bitcoin Up or Down",
        "outcomes": '["Up", "Down"]',
        "outcomePrices": '["0.505", "0.495"]',
        "clobTokenIds": json.dumps([UP, DOWN]),
        "eventStartTime": "2026-11-21T01:50:00Z",
        "endDate": "2026-11-21T01:55:00Z",
        "active": True,
        "closed": False,
        "acceptingOrders": True,
        "negRisk": False,
        "orderPriceMinTickSize": 0.01,
        "orderMinSize": 5,
        "rewardsMinSize": 50,
        "rewardsMaxSpread": 4.5,
        "feesEnabled": True,
        "feeSchedule": {"rate": 0.07, "exponent": 1, "takerOnly": True, "rebateRate": 0.2},
        "resolutionSource": "https://data.chain.link/streams/btc-usd-twap-60s-streams",
    }
