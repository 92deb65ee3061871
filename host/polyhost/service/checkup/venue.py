"""The venue and the feeds as anybody may ask them: reach, clock, place, version, markets, streams."""

from __future__ import annotations

from typing import Final

from polyhost.errors import VenueError
from polyhost.model.examination import SocketHeard
from polyhost.service.checkup.check import Check, Context, Depends, Fault, failed, ok, skipped, warning
from polyhost.venue import probe
from polyhost.venue.clock import SKEW_WARN_MS
from polyhost.venue.polymarket import surroundings

PROTOCOL: Final = 2
"""The order protocol that this host signs."""
SKEW_FAIL_MS: Final = 30_000.0
"""Further off than this, requests are signed for another time than the venue's and may be refused."""
SLOW_MS: Final = 500.0
"""An answer that takes longer (ms) makes every order late."""
NETWORK: Final = "check the network, the name service and any proxy or firewall of this machine"
STREAM_REMEDY: Final = "the host reconnects by itself; if it stays, a proxy or firewall may hold websockets back"


async def venue(context: Context) -> Check:
    """It answers. Raises VenueError."""
    if problem := context.subject.unreached:
        remedy = "`polyhost exchange serve` by itself tells more; a busy machine needs longer: try again"
        return failed("venue", problem, remedy, Fault.VENUE)
    told = await context.venue_time()
    text = f"{context.subject.endpoints.clob} answers in {told.answered_ms:.0f} ms"
    if told.simulated:
        text += f" (a simulated exchange, speed {context.clock.speed:g})"
    if told.answered_ms > SLOW_MS:
        return warning("venue", text, "run the host nearer to the venue, or on a better line")
    return ok("venue", text)


async def clock(context: Context) -> Check:
    told = await context.needs("venue", context.venue_time())
    whose = "its own market time" if told.simulated else "this machine's"
    apart = abs(told.ahead_ms) / 1_000
    text = f"the venue's clock is {apart:.1f} s {'ahead of' if told.ahead_ms > 0 else 'behind'} {whose}"
    remedy = "set the machine's clock by NTP: `timedatectl set-ntp true`, or restart chronyd"
    if abs(told.ahead_ms) >= SKEW_FAIL_MS:
        return failed("clock", text, remedy)
    if abs(told.ahead_ms) >= SKEW_WARN_MS:
        return warning("clock", f"{text}; windows and GTD keep to the venue's", remedy)
    return ok("clock", f"within a second of the venue's ({whose})")


async def version(context: Context) -> Check:
    await context.needs("venue", context.venue_time())
    found = await surroundings.venue_version(context.subject.endpoints)
    if found != PROTOCOL:
        return failed(
            "version", f"the venue's orders are version {found}, this host signs version {PROTOCOL}",
            "install the polyhost release for it; until then every order is refused (order_version_mismatch)",
        )
    return ok("version", f"the venue's orders are version {found}")


async def geoblock(context: Context) -> Check:
    await context.needs("venue", context.venue_time())
    seen = await surroundings.place(context.subject.endpoints)
    where = " ".join(part for part in (seen.country, seen.region) if part) or "not named"
    if seen.blocked:
        return failed(
            "geoblock", f"the venue takes no orders from here (place: {where})",
            "run the host where you and the venue's terms allow trading; exits are refused from here too, so close "
            "positions on the website first",
        )
    return ok("geoblock", f"orders are taken from here (place: {where})")


async def markets(context: Context) -> Check:
    listed = await context.listed()
    missing = ", ".join(name for name, market in listed.items() if market is None)
    remedy = "check [markets] symbols, durations and slugs; a window is listed some time before it opens"
    if not listed or all(market is None for market in listed.values()):
        problem = f"none of the configured markets is listed ({missing or 'none is configured'})"
        return failed("markets", problem, remedy, Fault.CONFIGURATION)
    if missing:
        return warning("markets", f"not listed: {missing}", remedy)
    return ok("markets", f"all listed: {', '.join(listed)}")


async def market_stream(context: Context) -> Check:
    found = await context.needs("markets", context.market())
    if found is None:
        return skipped("market stream", "no market to subscribe to: see markets")
    heard = await surroundings.market_stream(context.subject.endpoints, found)
    return of_socket("market stream", heard, "its book")


async def user_stream(context: Context) -> Check:
    heard = (await context.examination()).user_stream
    return _asked("user stream", heard, "the answer to its subscription")


async def reference_prices(context: Context) -> Check:
    heard = (await context.examination()).price_stream
    return _asked("reference prices", heard, "a price")


async def spot_prices(context: Context) -> Check:
    endpoints, symbols = context.subject.endpoints, context.subject.symbols
    if not symbols:
        return skipped("spot prices", "no symbol is traded: Binance is not needed")
    if context.subject.unreached:
        raise Depends("venue")
    try:
        for symbol in symbols:
            await surroundings.spot_rest(endpoints, symbol)
    except VenueError as error:
        return failed("spot prices", str(error), _of_binance(str(error)), Fault.VENUE)
    return of_socket("spot prices", await surroundings.spot_stream(endpoints, symbols), "a candle", pings=False)


def _of_binance(problem: str) -> str:
    if "HTTP 451" in problem:
        return "Binance does not serve this country; signals on spot prices abstain without it"
    if "HTTP 400" in problem:
        return "Binance has no pair of this symbol with USDT: see [markets] symbols"
    return NETWORK


def _asked(name: str, heard: SocketHeard | None, what: str) -> Check:
    if heard is None:
        return failed(name, "it was not tried", "see credentials", Fault.VENUE)
    return of_socket(name, heard, what)


def of_socket(name: str, heard: SocketHeard, what: str, *, pings: bool = True) -> Check:
    """A stream is well when it opens, says what it is for, and answers a ping."""
    if heard.opened_ms is None:
        return failed(name, heard.problem, NETWORK, Fault.VENUE)
    if heard.first_ms is None:
        silent = f"it opened in {heard.opened_ms} ms, and {what} did not come within {probe.HEAR_S:g} s"
        return failed(name, f"{silent}; {heard.problem}" if heard.problem else silent, STREAM_REMEDY, Fault.VENUE)
    if pings and heard.pong_ms is None:
        return failed(name, f"{what} came, and no answer to a ping; {heard.problem}", STREAM_REMEDY, Fault.VENUE)
    return ok(name, f"open in {heard.opened_ms} ms, {what} after {heard.first_ms} ms{', pings answered' * pings}")
