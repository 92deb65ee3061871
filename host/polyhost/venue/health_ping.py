"""A ping to a health-check service (healthchecks.io and its like): a host that is dead is noticed by its silence."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import httpx

from polyhost.errors import VenueError
from polyhost.venue.link import on_loopback

TIMEOUT_S: Final = 10.0
"""One ping takes no longer, wall seconds."""


async def ping(url: str, *, well: bool, text: str = "") -> None:
    """Say that all is well, or (with ``/fail`` behind the address) that it is not. Raises VenueError."""
    address = url.rstrip("/") + ("" if well else "/fail")
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=not on_loopback(url)) as http:
            answer = await http.post(address, content=text.encode())
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise VenueError(f"no ping ({type(error).__name__})", endpoint=_host(url)) from None
    if answer.status_code >= 400:
        raise VenueError(f"the ping was answered with HTTP {answer.status_code}", endpoint=_host(url))


def _host(url: str) -> str:
    """The address itself is a password of a kind: whoever has it can say that all is well."""
    return urlsplit(url).hostname or "the health check"
