"""The websocket endpoints: each joins a hub, and leaves it whatever way it ends."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from polyhost.exchange.server.http import ENGINE, HttpError
from polyhost.exchange.server.sockets import OnText, Socket

routes = web.RouteTableDef()


async def _serve(
    request: web.Request, socket: Socket, on_text: OnText, leave: Callable[[Socket], None]
) -> web.StreamResponse:
    crowd = request.app[ENGINE].crowd
    if request.app[ENGINE].unreachable(socket.channel):
        raise HttpError(503, "Service Unavailable")
    crowd.sockets.add(socket)
    try:
        return await socket.serve(request, on_text)
    finally:
        crowd.sockets.discard(socket)
        leave(socket)


@routes.get("/ws/market")
async def market(request: web.Request) -> web.StreamResponse:
    hub, socket = request.app[ENGINE].market_hub, Socket("market")
    return await _serve(request, socket, lambda text: hub.heard(socket, text), hub.leave)


@routes.get("/ws/user")
async def user(request: web.Request) -> web.StreamResponse:
    hub, socket = request.app[ENGINE].user_hub, Socket("user")
    return await _serve(request, socket, lambda text: hub.heard(socket, text), hub.leave)


@routes.get("/ws/live")
@routes.get("/rt")
async def live(request: web.Request) -> web.StreamResponse:
    engine, socket = request.app[ENGINE], Socket()
    hub = engine.live_hub
    return await _serve(request, socket, lambda text: hub.heard(socket, text, engine.clock.now), hub.leave)


@routes.get("/rtds")
async def topics(request: web.Request) -> web.StreamResponse:
    engine, socket = request.app[ENGINE], Socket()
    hub = engine.topic_hub
    return await _serve(request, socket, lambda text: hub.heard(socket, text, engine.clock.now), hub.leave)


@routes.get("/ws")
@routes.get("/ws/{streams:.+}")
async def binance_raw(request: web.Request) -> web.StreamResponse:
    """``/ws/btcusdt@aggTrade``, several separated by slashes."""
    streams = [name for name in request.match_info.get("streams", "").split("/") if name]
    return await _binance(request, streams, combined=False)


@routes.get("/stream")
async def binance_combined(request: web.Request) -> web.StreamResponse:
    """``/stream?streams=btcusdt@aggTrade/btcusdt@kline_1m``."""
    streams = [name for name in request.query.get("streams", "").split("/") if name]
    return await _binance(request, streams, combined=True)


async def _binance(request: web.Request, streams: list[str], *, combined: bool) -> web.StreamResponse:
    hub, socket = request.app[ENGINE].binance_hub, Socket()
    hub.join(socket, streams, combined)
    return await _serve(request, socket, lambda text: hub.heard(socket, text), hub.leave)
