"""How several plugins' wishes become one: pure functions of answers and the configured order, nothing else.

A plugin is its position in the configuration (an index): the earlier one wins what is otherwise a tie.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from polyhost.model.money import Micros
from polyhost.model.proposals import Enter, ExitTarget, QuoteTarget, Stake, StandingTarget
from polyhost.model.words import Action, Purpose, Side

OUTBID: Final = "outbid"
MERGED: Final = "merged"
Bid: TypeAlias = tuple[int, Enter]
"""A plugin's index and the entry that it wants."""


class Chosen(Struct, frozen=True):
    """An entry that came out of arbitration: whose it is, and whom it outbid."""

    plugin: int
    entry: Enter
    outbid: tuple[int, ...] = ()
    lost: tuple[tuple[int, Enter, str], ...] = ()
    """Every other entry, with whose it is and how it lost: outbid or merged."""


def merged(bids: Sequence[Bid]) -> Bid:
    """Entries for one slot as one: the lowest ``price_max``'s entry, with the smallest stake that anybody named."""
    plugin, entry = bids[_most_careful(bids)]
    stakes = [bid[1].stake for bid in bids if bid[1].stake is not None]
    stake = min(stakes, default=None)
    return plugin, entry if stake == entry.stake else replace(entry, stake=stake)


def _most_careful(bids: Sequence[Bid]) -> int:
    """The place of the entry that the others are merged into."""
    return min(range(len(bids)), key=lambda place: (bids[place][1].price_max, bids[place][0]))


def _merged_away(bids: Sequence[Bid]) -> list[tuple[int, Enter, str]]:
    """The entries of one slot that another one stands for, in configured order."""
    kept = _most_careful(bids)
    lost = [(plugin, entry, MERGED) for place, (plugin, entry) in enumerate(bids) if place != kept]
    return sorted(lost, key=itemgetter(0))


def arbitrated(bids: Sequence[Bid]) -> list[Chosen]:
    """Entries that go on: at most one first entry a market (opposite sides: the higher edge), then the other purposes.

    Scale-ins, hedges and the like are candidates of their own, one a slot (purpose, side, key).
    """
    if len(bids) == 1:
        return [Chosen(*bids[0])]
    sides: dict[Side, list[Bid]] = {}
    others: dict[tuple[Purpose, Side, str], list[Bid]] = {}
    for bid in bids:
        entry = bid[1]
        if entry.purpose is Purpose.ENTRY:
            sides.setdefault(entry.side, []).append(bid)
        else:
            others.setdefault((entry.purpose, entry.side, entry.key), []).append(bid)
    first = [_higher_edge(sides)] if sides else []
    return first + [Chosen(*merged(group), (), tuple(_merged_away(group))) for group in others.values()]


def _higher_edge(sides: dict[Side, list[Bid]]) -> Chosen:
    best = {side: merged(group) for side, group in sides.items()}
    winner = min(best, key=lambda side: (-best[side][1].edge, best[side][0]))
    losers = {plugin for side, group in sides.items() if side is not winner for plugin, _ in group}
    plugin, entry = best[winner]
    lost = _merged_away(sides[winner])
    lost += [(*bid, OUTBID) for side, group in sides.items() if side is not winner for bid in group]
    return Chosen(plugin, entry, tuple(sorted(losers)), tuple(sorted(lost, key=itemgetter(0))))


def stakes_of(chosen: Chosen, stakes: Iterable[tuple[int, Stake]]) -> list[tuple[Micros, int]]:
    """Who sized the entry and with how much, the smallest first: it counts. Its own stake and the size hooks' answers.
    """
    offers = [(stake.amount, plugin) for plugin, stake in stakes]
    if chosen.entry.stake is not None:
        offers.append((chosen.entry.stake, chosen.plugin))
    return sorted(offers)


def careful(target: StandingTarget, adjusted: Iterable[StandingTarget]) -> StandingTarget:
    """A standing target after its adjustments, merged towards the more careful; answers about another slot are none."""
    if isinstance(target, ExitTarget):
        return _careful_exit(target, adjusted)
    return _careful_quote(target, adjusted)


def _careful_exit(target: ExitTarget, adjusted: Iterable[StandingTarget]) -> ExitTarget:
    """The highest price of all adjustments, never below what its owner asked (or allowed by ``least``)."""
    others = [other for other in adjusted if isinstance(other, ExitTarget) and other.side is target.side]
    if not others:
        return target
    bound = target.price if target.least is None else min(target.least, target.price)
    highest = max(others, key=lambda other: other.price)
    price = max(bound, highest.price)
    until = _earliest([target.valid_until, *(other.valid_until for other in others)])
    passive = target.passive or any(other.passive for other in others)
    reason = highest.reason if price < target.price and highest.reason else target.reason
    return replace(target, price=price, valid_until=until, passive=passive, reason=reason)


def _careful_quote(target: QuoteTarget, adjusted: Iterable[StandingTarget]) -> QuoteTarget:
    """The lowest price of a buy, the highest of a sell, the smallest size and stake, the shortest life."""
    slot = (target.side, target.action, target.key)
    every = [target] + [
        other for other in adjusted
        if isinstance(other, QuoteTarget) and (other.side, other.action, other.key) == slot
    ]
    prices = [one.price for one in every]
    return replace(
        target,
        price=min(prices) if target.action is Action.BUY else max(prices),
        size=_smallest([one.size for one in every]),
        stake=_smallest([one.stake for one in every]),
        valid_until=_earliest([one.valid_until for one in every]),
    )


def _smallest(amounts: Iterable[Micros | None]) -> Micros | None:
    return min((amount for amount in amounts if amount is not None), default=None)


def _earliest(moments: Iterable[int]) -> int:
    return min((moment for moment in moments if moment), default=0)
