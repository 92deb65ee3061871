"""A simulated exchange that somebody else serves: asked once whether it is there, before anything is sent to it."""

from __future__ import annotations

import httpx

from polyhost.errors import VenueError
from polyhost.venue.clock import HEADER
from polyhost.venue.polymarket.endpoints import Endpoints
from polyhost.venue.polymarket.gateway import http_client


async def require_exchange(endpoints: Endpoints) -> None:
    """Raises VenueError unless a simulated exchange answers there."""
    async with http_client(endpoints.clob, None, live=endpoints.live) as http:
        try:
            answer = await http.get("/time")
        except httpx.HTTPError as error:
            raise VenueError(
                f"no exchange answers ({error or type(error).__name__}); start `polyhost exchange serve`, or leave "
                "--exchange and [venue] url out", endpoint=endpoints.clob,
            ) from error
    if HEADER not in answer.headers:
        raise VenueError(
            f"what answers there is no simulated exchange (HTTP {answer.status_code} without {HEADER})",
            endpoint=endpoints.clob,
        )
