"""What every HTTP handler shares: answers, the venue's error bodies, who is asking, and the sim-time header."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from aiohttp import web
from loguru import logger

from polyhost.exchange import api
from polyhost.exchange.server.books import WireBook
from polyhost.exchange.server.engine import Engine, TurnedAway, wall_ms
from polyhost.exchange.server.jsons import encode
from polyhost.exchange.server.keys import Credentials, KeyRefused, Unauthorized, prove_key
from polyhost.exchange.server.limits import Standing
from polyhost.exchange.server.orders import OrderRefused
from polyhost.model.market import Market, normal_token

ENGINE: Final = web.AppKey("engine", Engine)
SIM_TIME: Final = "X-Sim-Time"
STANDING: Final = web.RequestKey("standing", Standing)
NO_BOOK: Final = "No orderbook exists for the requested token id"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpError(Exception):
    """A refusal: its status and the venue's text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class TooManyError(Exception):
    """The signer is over its rate limit."""

    def __init__(self, standing: Standing) -> None:
        super().__init__("Too Many Requests")
        self.standing = standing


class NoAnswer(Exception):  # noqa: N818
    """The exchange never answers this request: its connection ends."""


def answer(body: Any, status: int = 200, retry_after_s: int = 0) -> web.Response:
    """A JSON answer; ``retry_after_s`` above 0 goes into its ``Retry-After``."""
    headers = {"Retry-After": str(retry_after_s)} if retry_after_s else None
    return web.Response(body=encode(body), status=status, content_type="application/json", headers=headers)


def refused_answer(refused: api.Refused) -> web.Response:
    """The answer to a request that the exchange did not look at."""
    body: dict[str, Any] = {"error": refused.error}
    if refused.code:
        body |= {"code": refused.code, "retry_after_seconds": refused.retry_after_s}
    return answer(body, refused.http, refused.retry_after_s)


def raw_answer(body: bytes) -> web.Response:
    """An answer that is JSON already."""
    return web.Response(body=body, content_type="application/json")


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refusals as the venue writes them: ``{"error": text}``."""
    try:
        return await handler(request)
    except HttpError as error:
        return answer({"error": error.text}, error.status)
    except (OrderRefused, KeyRefused) as error:
        return answer({"error": str(error)}, 400)
    except Unauthorized as error:
        return answer({"error": str(error)}, 401)
    except TurnedAway as error:
        return refused_answer(error.refused)
    except TooManyError as error:
        return answer({"error": str(error)}, 429, max(error.standing.wait_s, 1))
    except NoAnswer:
        if request.transport is not None:
            request.transport.abort()
        return answer({})  # to nobody
    except web.HTTPException as error:
        return answer({"error": error.reason}, error.status)
    except Exception:
        # A fault of this server: the client learns what the venue would tell (outcome unknown), the log the rest.
        logger.exception("{} {} failed", request.method, request.path)
        return answer({"error": "Internal server error"}, 500)


@web.middleware
async def busy(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Market time waits while a request is handled; websockets are no requests."""
    if request.headers.get("Upgrade", "").lower() == "websocket":
        return await handler(request)
    with request.app[ENGINE].busy():
        return await handler(request)


async def stamp(request: web.Request, response: web.StreamResponse) -> None:
    """Every answer, the handshake of a websocket included, says what time it is at the exchange."""
    response.headers[SIM_TIME] = request.app[ENGINE].clock.header
    standing = request.get(STANDING)
    if standing is not None:
        response.headers["Poly-RateLimit-Remaining"] = str(standing.remaining)
        response.headers["Poly-RateLimit-Reset"] = str(standing.reset_s)
        response.headers["Poly-RateLimit-Tier"] = standing.tier


def charged(request: web.Request, standing: Standing | None) -> None:
    """Tell the signer how it stands. Raises TooManyError when the request is refused."""
    if standing is None:
        return
    request[STANDING] = standing
    if not standing.allowed:
        raise TooManyError(standing)


async def credentials(request: web.Request) -> Credentials:
    """The API key that signed this request (L2). Raises Unauthorized."""
    engine = request.app[ENGINE]
    body = await request.read()
    return prove_key(
        engine.ring,
        request.headers,
        request.method,
        request.rel_url.raw_path,
        body,
        wall_ms() // 1_000,
        engine.clock.now // 1_000,
    )


async def json_body(request: web.Request) -> Any:
    """The body as JSON. Raises HttpError 400."""
    try:
        return msgspec.json.decode(await request.read())
    except msgspec.DecodeError as error:
        raise HttpError(400, "Invalid payload") from error


def query_int(request: web.Request, name: str, default: int) -> int:
    """A whole number from the query. Raises HttpError 400 for anything else."""
    text = request.query.get(name, "")
    if not text:
        return default
    try:
        return int(float(text))
    except (ValueError, OverflowError) as error:
        raise HttpError(400, f"Invalid {name}") from error


def market_of_token(engine: Engine, text: str) -> tuple[str, Market]:
    """The token in its one spelling, and its market. Raises HttpError 404."""
    token = normal_token(text)
    market = engine.world.market_by_token(token)
    if market is None:
        raise HttpError(404, NO_BOOK)
    return token, market


def open_book(engine: Engine, text: str) -> tuple[str, WireBook]:
    """The token and the book of a market that is not resolved. Raises HttpError 404."""
    token, market = market_of_token(engine, text)
    if engine.resolution(market) is not None:
        raise HttpError(404, NO_BOOK)
    return token, engine.books[token]
