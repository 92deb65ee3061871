"""Before anything is sent to a venue: is it there, and what time is it?"""

from __future__ import annotations

import httpx

from polyhost.errors import VenueError
from polyhost.venue.clock import HEADER, VenueClock
from polyhost.venue.polymarket.endpoints import Endpoints
from polyhost.venue.polymarket.http import http_client


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


async def first_time(clock: VenueClock, http: httpx.AsyncClient) -> None:
    """Set the clock by the venue's before the run begins. Raises VenueError when it does not answer."""
    try:
        await clock.ask(http)
    except httpx.HTTPError as error:
        problem = f"its time was not read: {error or type(error).__name__}"
        raise VenueError(problem, endpoint=str(http.base_url)) from error
