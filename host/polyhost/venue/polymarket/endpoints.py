"""Where the venue's services are: at the live venue, or all on one other base (a simulated exchange)."""

from __future__ import annotations

from urllib.parse import urlsplit

from msgspec import Struct

from polyhost.errors import VenueError

FOREIGN_HOSTS = ("polymarket.com", "drpc.org", "binance")
"""None of these may remain when everything is aimed elsewhere."""


class Endpoints(Struct, frozen=True):
    """Base addresses without a trailing slash. ``live`` False: one simulated exchange serves all of them."""

    clob: str
    gamma: str
    data: str
    relayer: str
    market_ws: str
    user_ws: str
    price_ws: str
    binance: str
    binance_ws: str
    site: str = "https://polymarket.com"
    """The website: where it is asked whether this place may trade."""
    live: bool = True


LIVE = Endpoints(
    clob="https://clob.polymarket.com",
    gamma="https://gamma-api.polymarket.com",
    data="https://data-api.polymarket.com",
    relayer="https://relayer-v2.polymarket.com",
    market_ws="wss://ws-subscriptions-clob.polymarket.com/ws/market",
    user_ws="wss://ws-subscriptions-clob.polymarket.com/ws/user",
    price_ws="wss://ws-live-v2.polymarket.com/ws",
    binance="https://api.binance.com",
    binance_ws="wss://stream.binance.com:9443",
)
"""Source: polymarket-client 0.14.0 ``environments.PRODUCTION`` and developers.binance.com (read 2026-11)."""


def endpoints_at(url: str, ws_url: str = "") -> Endpoints:
    """All services on one base ``http://host:port`` (and ``ws://host:port``, by default the same host and port).

    Raises VenueError when ``url`` is no http address, or is one of the live venue's.
    """
    base = url.rstrip("/")
    parts = urlsplit(base)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise VenueError(f"{url!r} is no address like http://127.0.0.1:8080", endpoint="venue.url")
    socket = ws_url.rstrip("/") or f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}"
    for address in (base, socket):
        if any(host in address for host in FOREIGN_HOSTS):
            raise VenueError(f"{address!r} is the live venue; leave the address empty to use it", endpoint="venue.url")
    return Endpoints(
        clob=base,
        gamma=base,
        data=base,
        relayer=base,
        market_ws=socket + "/ws/market",
        user_ws=socket + "/ws/user",
        price_ws=socket + "/rt",
        binance=base,
        binance_ws=socket,
        site=base,
        live=False,
    )
