"""A test plugin that does what its plays say, every second anew: it remembers nothing and trusts the host.

A play is one line: the seconds of the window in which it holds, what to do, and perhaps when. ``10..30 buy UP 25``,
``60.. add UP 10``, ``40.. stop UP``, ``40..90 target UP 0.99``, ``5.. hedge DOWN 10 when UP<=0.30``, ``20.. hold UP``,
``10.. rest UP 0.38 5``, ``10.. level UP 0.36 5 b``, ``30.. withdraw``, ``10.. pair 40``,
``40.. add UP 10 when short UP 70 and UP>=0.40``. It wants the same again at each evaluation while the play holds: what
must not happen twice is for the host to prevent.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import ge, le

from polyhost import (
    CancelOrders,
    Enter,
    ExitNow,
    ExitTarget,
    HoldToSettlement,
    Money,
    Pair,
    Plugin,
    Price,
    Purpose,
    Settings,
    Shares,
    Side,
    View,
    hookimpl,
)

PURPOSES = {"buy": Purpose.ENTRY, "add": Purpose.SCALE_IN, "hedge": Purpose.HEDGE}
URGENCIES = {"stop": "stop", "close": "forced_close", "floor": "floor"}


class PlaybookSettings(Settings):
    plays: tuple[str, ...] = ()
    """One line each, see the module."""
    symbol: str = "BTC"
    """Only in this symbol's windows."""


class Playbook(Plugin):
    name = "playbook"
    description = "does what its plays say"
    Settings = PlaybookSettings
    settings: PlaybookSettings

    @hookimpl
    def propose(self, view: View) -> Iterator[object]:
        if view.market.symbol != self.settings.symbol:
            return
        for play in self.settings.plays:
            text, _, condition = play.partition(" when ")
            times, what, *rest = text.split()
            begin, _, end = times.partition("..")
            if float(begin) <= view.elapsed_s <= float(end or "1e9") and all(
                holds(view, each) for each in condition.split(" and ") if each
            ):
                yield from wanted(view, what, rest)


def holds(view: View, condition: str) -> bool:
    """``UP<=0.30``: that side's midpoint; ``flat DOWN``, ``long UP``, ``short UP 70``: nothing, something, or less than
    so many shares, is held of it."""
    word, _, rest = condition.partition(" ")
    if word in ("flat", "long", "short"):
        side, _, shares = rest.partition(" ")
        position = view.position(Side(side))
        size = 0 if position is None else position.size
        return size < int(Shares(shares)) if word == "short" else (size > 0) == (word == "long")
    for sign, compare in (("<=", le), (">=", ge)):
        side, found, price = condition.partition(sign)
        if found:
            return view.side(Side(side)).complete and compare(view.side(Side(side)).mid, int(Price(price)))
    raise ValueError(f"{condition!r} is no condition")


def wanted(view: View, what: str, rest: list[str]) -> Iterator[object]:
    if what == "withdraw":
        yield CancelOrders(None, "withdrawn")
    elif what == "pair":
        up, down = view.up, view.down
        if up.complete:
            yield Pair(up.ask + view.market.tick, down.ask + view.market.tick, int(Money(rest[0])), "both sides")
    else:
        yield from _of_side(view, what, Side(rest[0]), rest[1:])


def _of_side(view: View, what: str, side: Side, rest: list[str]) -> Iterator[object]:
    quote, tick, position = view.side(side), view.market.tick, view.position(side)
    if what in PURPOSES:
        if quote.complete:
            yield Enter(side, quote.ask + tick, what, PURPOSES[what], stake=int(Money(rest[0])))
    elif what == "level":
        yield Enter(
            side, int(Price(rest[0])), what, Purpose.GRID_LEVEL, "GTC", stake=int(Money(rest[1])), key=rest[2]
        )
    elif what == "rest":
        yield Enter(side, int(Price(rest[0])), what, order_type="GTC", stake=int(Money(rest[1])))
    elif position is None:
        return
    elif what in URGENCIES:
        yield ExitNow(side, what, URGENCIES[what])
    elif what == "target":
        yield ExitTarget(side, int(Price(rest[0])), what)
    elif what == "hold":
        yield HoldToSettlement(side, what)
    else:
        raise ValueError(f"{what!r} is no play")
