"""Who may see the page: every request and every websocket passes here first (SEC-03).

The first visit carries the token in its address and gets a cookie for it; the token itself is in no page, no cookie
and no log. A request must name the address that is served (another name pointing here is refused), what opens a
websocket or changes anything must come from the page itself (Origin), and who is refused is not told why. Answers carry
a policy by which the browser fetches from nowhere else and runs only the scripts that the page itself names.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_CHARACTERS_MIN: Final = 16
"""A token that a person chose is at least so long."""
REFUSED: Final = b"refused\n"
SAFE: Final = frozenset({"GET", "HEAD"})
"""Methods that change nothing."""
LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
_SCRIPT: Final = re.compile(rb"<script(?=[\s>])")
_OTHERS: Final = (
    (b"x-content-type-options", b"nosniff"), (b"x-frame-options", b"DENY"), (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"), (b"cross-origin-resource-policy", b"same-origin"),
)


def policy(nonce: str) -> str:
    """The content security policy of one page. Vue compiles its templates in the browser: it needs 'unsafe-eval'."""
    return "; ".join((
        "default-src 'none'", f"script-src 'self' 'nonce-{nonce}' 'unsafe-eval'", "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:", "font-src 'self'", "connect-src 'self'", "base-uri 'none'", "form-action 'none'",
        "frame-ancestors 'none'",
    ))


class Guard:
    """ASGI: lets through who knows the token. ``names`` are the hosts that the page may be asked for by."""

    def __init__(self, app: ASGIApp, token: str, names: Iterable[str], port: int) -> None:
        self._app = app
        self._token = token.encode()
        # What the cookie holds says nothing about the token, and is worth nothing after this process.
        self._session = secrets.token_urlsafe(32)
        self._cookie = f"polyhost-{port}"
        self._hosts = frozenset(f"{name}:{port}".lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if self._from_elsewhere(scope, headers):
            await _refuse(scope, receive, send)
        elif self._known(headers.get(b"cookie", "")):
            await self._app(scope, receive, _armoured(send) if scope["type"] == "http" else send)
        elif scope["type"] == "http" and scope["path"] == "/" and self._invited(scope["query_string"]):
            await self._welcome(send)
        else:
            await _refuse(scope, receive, send)

    def _from_elsewhere(self, scope: Scope, headers: dict[bytes, str]) -> bool:
        """Another name, or a page of somebody else's."""
        host = headers.get(b"host", "").lower()
        if host not in self._hosts:
            return True
        origin = headers.get(b"origin")
        acts = scope["type"] == "websocket" or scope["method"] not in SAFE
        return (acts or origin is not None) and origin != f"http://{host}"

    def _known(self, header: str) -> bool:
        try:
            morsel = SimpleCookie(header).get(self._cookie)
        except CookieError:
            return False
        return morsel is not None and hmac.compare_digest(morsel.value.encode(), self._session.encode())

    def _invited(self, query: bytes) -> bool:
        given = parse_qs(query.decode("latin-1")).get("token", [""])[0]
        return hmac.compare_digest(given.encode(), self._token)

    async def _welcome(self, send: Send) -> None:
        """The cookie, and on to the page at an address without the token."""
        cookie = f"{self._cookie}={self._session}; Path=/; HttpOnly; SameSite=Strict"
        await _answer(send, 303, b"", ((b"location", b"/"), (b"set-cookie", cookie.encode())))


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()  # the handshake: closed before it is accepted, it becomes a 403
        await send({"type": "websocket.close", "code": 1008})
    else:
        await _answer(send, 403, REFUSED, ((b"content-type", b"text/plain; charset=utf-8"),))


async def _answer(send: Send, status: int, body: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> None:
    given = [*headers, *_OTHERS, (b"cache-control", b"no-store"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": given})
    await send({"type": "http.response.body", "body": body})


def _armoured(send: Send) -> Send:
    """Adds the policy; the scripts of a page get the number that it demands, and the page is not kept."""
    nonce = secrets.token_urlsafe(18)
    begun: list[Message] = []
    parts: list[bytes] = []

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            page = _is_page(message)
            message["headers"] = [
                (name, value) for name, value in message["headers"]
                if not (page and name.lower() in (b"content-length", b"cache-control"))
            ] + [*_OTHERS, (b"content-security-policy", policy(nonce).encode())]
            if page:
                begun.append(message)  # its length is known when all of it is there
                return
        elif begun:
            parts.append(message.get("body", b""))
            if message.get("more_body"):
                return
            body = _SCRIPT.sub(b'<script nonce="' + nonce.encode() + b'"', b"".join(parts))
            start = begun.pop()
            start["headers"] += [(b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
            await send(start)
            message = {"type": "http.response.body", "body": body}
        await send(message)

    return sent


def _is_page(message: Message) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(b"text/html") for name, value in message["headers"]
    )
