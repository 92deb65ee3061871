"""Double-entry postings: each function builds one balanced posting with its cause. Nothing else moves money or shares.

Cash accounts: free, reserved, unredeemed; outside: deposit, rewards, ``market:<condition>`` (what a market took net),
``fees:<condition>``, by_hand. Share accounts per ``condition:SIDE``: in_flight (matched, not settled), settled;
outside: market.
"""

from __future__ import annotations

from polyhost.model.money import Micros
from polyhost.model.records import Entry, FillBooked, LedgerPosted
from polyhost.model.words import Action, TradeStatus

CASH = "cash"
BY_HAND = "by_hand"
"""Outside: the cost of shares that came or went without a trade of ours."""


def _post(at: int, cause: str, ref: str, *legs: tuple[str, str, int]) -> LedgerPosted:
    return LedgerPosted(at, cause, ref, tuple(Entry(*leg) for leg in legs if leg[2]))


def deposit(at: int, account: str, amount: Micros) -> LedgerPosted:
    """Collateral found at the first balance report: the start of the books."""
    return _post(at, "deposit", account, ("free", CASH, amount), ("deposit", CASH, -amount))


def reserve(at: int, ref: str, amount: Micros) -> LedgerPosted:
    return _post(at, "reserve", ref, ("free", CASH, -amount), ("reserved", CASH, amount))


def release(at: int, ref: str, amount: Micros) -> LedgerPosted:
    return _post(at, "release", ref, ("reserved", CASH, -amount), ("free", CASH, amount))


def fill(fill: FillBooked) -> LedgerPosted:
    """A trade: money and fee against shares. A buy spends its reservation first, and what lacks from free cash."""
    condition = fill.slot.condition_id
    asset = f"{condition}:{fill.slot.side.value}"
    market, fees = f"market:{condition}", f"fees:{condition}"
    if fill.action is Action.BUY:
        cost = fill.money + fill.fee
        into = "settled" if fill.status is TradeStatus.CONFIRMED else "in_flight"
        return _post(
            fill.at, "fill", f"{fill.trade_id}/{fill.ref}",
            ("reserved", CASH, -fill.release), ("free", CASH, fill.release - cost),
            (market, CASH, fill.money), (fees, CASH, fill.fee),
            (into, asset, fill.size), ("market", asset, -fill.size),
        )
    return _post(
        fill.at, "fill", f"{fill.trade_id}/{fill.ref}",
        ("free", CASH, fill.money - fill.fee), (market, CASH, -fill.money), (fees, CASH, fill.fee),
        ("settled", asset, -fill.size), ("market", asset, fill.size),
    )


def settle(at: int, fill: FillBooked) -> LedgerPosted:
    """A buy is CONFIRMED: its shares are inventory."""
    asset = f"{fill.slot.condition_id}:{fill.slot.side.value}"
    return _post(
        at, "settle", f"{fill.trade_id}/{fill.ref}", ("in_flight", asset, -fill.size), ("settled", asset, fill.size)
    )


def void(at: int, fill: FillBooked) -> LedgerPosted:
    """A trade FAILED: the exact reverse of its posting; the money is free again."""
    condition = fill.slot.condition_id
    asset = f"{condition}:{fill.slot.side.value}"
    market, fees = f"market:{condition}", f"fees:{condition}"
    ref = f"{fill.trade_id}/{fill.ref}"
    if fill.action is Action.BUY:
        return _post(
            at, "void", ref,
            ("free", CASH, fill.money + fill.fee), (market, CASH, -fill.money), (fees, CASH, -fill.fee),
            ("in_flight", asset, -fill.size), ("market", asset, fill.size),
        )
    return _post(
        at, "void", ref,
        ("free", CASH, fill.fee - fill.money), (market, CASH, fill.money), (fees, CASH, -fill.fee),
        ("settled", asset, fill.size), ("market", asset, -fill.size),
    )


def merge(at: int, ref: str, condition: str, size: Micros) -> LedgerPosted:
    """So many UP and DOWN are collateral again, 1.00 a pair."""
    up, down = f"{condition}:UP", f"{condition}:DOWN"
    return _post(
        at, "merge", ref, ("free", CASH, size), (f"market:{condition}", CASH, -size),
        ("settled", up, -size), ("market", up, size), ("settled", down, -size), ("market", down, size),
    )


def split(at: int, ref: str, condition: str, size: Micros) -> LedgerPosted:
    """Reserved collateral became so many UP and DOWN."""
    up, down = f"{condition}:UP", f"{condition}:DOWN"
    return _post(
        at, "split", ref, ("reserved", CASH, -size), (f"market:{condition}", CASH, size),
        ("settled", up, size), ("market", up, -size), ("settled", down, size), ("market", down, -size),
    )


def redeem(at: int, condition: str, money: Micros) -> LedgerPosted:
    """What a decided market pays has arrived: it can be used again."""
    return _post(at, "redeem", condition, ("unredeemed", CASH, -money), ("free", CASH, money))


def reward(at: int, ref: str, amount: Micros) -> LedgerPosted:
    """Liquidity rewards that the venue paid."""
    return _post(at, "reward", ref, ("free", CASH, amount), ("rewards", CASH, -amount))


def correction(at: int, condition: str, asset: str, size: Micros, cost: Micros) -> LedgerPosted:
    """Shares are gone without a trade of ours: they leave at cost, so that no profit or loss is made up."""
    return _post(
        at, "correction", asset,
        (f"market:{condition}", CASH, -cost), (BY_HAND, CASH, cost), ("settled", asset, -size), ("market", asset, size),
    )


def adoption(at: int, condition: str, asset: str, size: Micros, cost: Micros) -> LedgerPosted:
    """Shares that were there before us come in at cost: that money was spent before our books began."""
    return _post(
        at, "adoption", asset,
        (f"market:{condition}", CASH, cost), (BY_HAND, CASH, -cost), ("settled", asset, size), ("market", asset, -size),
    )


def payout(at: int, condition: str, asset: str, settled: Micros, in_flight: Micros, money: Micros) -> LedgerPosted:
    """The market is resolved: the shares are gone, what they pay is cash not yet redeemed."""
    return _post(
        at, "payout", asset,
        ("unredeemed", CASH, money), (f"market:{condition}", CASH, -money),
        ("settled", asset, -settled), ("in_flight", asset, -in_flight), ("market", asset, settled + in_flight),
    )
