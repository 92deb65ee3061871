"""Where an account's collateral is, and in a sentence why little of it is free (SET-04). Changes nothing."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from polyhost.kernel.state import State
from polyhost.model.money import Micros, micros, money_text
from polyhost.model.words import Side

LOW: Final[Micros] = micros("10")
"""Less than this free is worth an explanation (ENT-03)."""


class Release(Struct, frozen=True):
    """Collateral that a command, or time, gives back."""

    what: str
    amount: Micros
    command: str
    """Empty: nobody has to do anything."""


class Funds(Struct, frozen=True):
    """Micro-units of collateral; positions at what they cost, fees included."""

    free: Micros
    in_orders: Micros
    """Reserved for buys that are open or unknown, and for splits under way."""
    in_positions: Micros
    unredeemed: Micros
    """What decided markets pay and nobody has redeemed."""
    positions: int
    releases: tuple[Release, ...]

    @property
    def low(self) -> bool:
        return self.free < LOW


def funds_of(state: State) -> Funds:
    """The picture now."""
    held = [
        position for position in state.positions.values()
        if position.size > 0 and not state.markets[position.condition_id].settled
    ]
    reserved, unredeemed = state.balance("reserved"), state.balance("unredeemed")
    pairs = mergeable(state)
    releases = [
        Release("redeeming decided markets", unredeemed, "polyhost redeem"),
        Release("merging UP and DOWN of one market", pairs, "polyhost merge"),
        Release("the end of buys that do not fill", reserved, ""),
    ]
    return Funds(
        state.balance("free"), reserved, sum(position.cost for position in held), unredeemed, len(held),
        tuple(release for release in releases if release.amount > 0),
    )


def mergeable(state: State) -> Micros:
    """Collateral in pairs of settled shares of undecided markets."""
    total = 0
    for condition_id in state.exposed:
        both = [state.position(condition_id, side) for side in Side]
        total += max(min(0 if each is None else min(each.size, each.inventory) for each in both), 0)
    return total


def explained(funds: Funds) -> str:
    """Why little is free, and what gives some back; empty when enough is."""
    if not funds.low:
        return ""
    tied = [
        (funds.in_orders, "in open orders"),
        (funds.in_positions, f"in {funds.positions} open position{'' if funds.positions == 1 else 's'}"),
        (funds.unredeemed, "in decided markets that are not redeemed"),
    ]
    said = ", ".join(f"{money_text(amount)} {where}" for amount, where in tied if amount > 0)
    text = f"only {money_text(funds.free)} is free: " + (said or "nothing is tied up, the account needs a deposit")
    commands = [release for release in funds.releases if release.command]
    back = [f"`{release.command}` releases {money_text(release.amount)}" for release in commands]
    if funds.in_positions:
        back.append("positions release what they sell or pay when they close")
    return text + ("; " + ", ".join(back) if back else "")
