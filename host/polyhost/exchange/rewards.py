"""Liquidity rewards: one seeded random sample a minute, each market's pool shared by score, paid at midnight UTC.

A market with a daily rate pays a 1,440th of it for each minute to the makers of that minute, by their part of all
scores. A day's sum below 1.00 is not paid. The population's makers compete; nobody pays them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from polyhost.exchange.accounts import Bank
from polyhost.exchange.agenda import Agenda
from polyhost.exchange.api import RewardPaid
from polyhost.exchange.market import MarketState
from polyhost.exchange.orders import LIVE, Order
from polyhost.exchange.scoring import AGE_MS, maker_score, middle, order_score
from polyhost.exchange.seeds import digest
from polyhost.exchange.trades import transaction_hash_of
from polyhost.model.money import MICRO, Micros

MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
MINUTES: Final = 1_440
LEAST_PAID: Final[Micros] = 1_000_000
"""The venue pays a day's rewards from 1.00 up."""
PICO: Final = 1_000_000
"""Accrued in 1e-12: a minute's part of a small pool is less than a micro-unit."""
PAID_MAX: Final = 10_000
"""Payouts remembered; the oldest is forgotten beyond it."""


class Rewards:
    """What every account has earned today and was paid before."""

    def __init__(self, bank: Bank, states: Mapping[str, MarketState], agenda: Agenda, seed: int) -> None:
        self._bank = bank
        self._states = states
        self._agenda = agenda
        self._seed = seed
        self.earned: dict[str, dict[str, int]] = {}
        """Since midnight: address → condition id → 1e-12 of collateral."""
        self.parts: dict[str, dict[str, int]] = {}
        """Of the last sample: condition id → address → part in 1e-6."""
        self.paid: list[RewardPaid] = []
        """Oldest first."""
        self.minute = -1
        """The minute sampled last; -1: no market ever had a program."""

    # --- time ---------------------------------------------------------------------------------------------------------

    def begin(self, now: int) -> None:
        """A market with a program exists: from the next minute on samples are taken."""
        if self.minute < 0:
            self.minute = now // MINUTE_MS
            self._plan(self.minute + 1)
            self._agenda.add(now - now % DAY_MS + DAY_MS, "rewards", "")

    def _plan(self, minute: int) -> None:
        """The instant of a minute's sample follows from the seed alone."""
        at = minute * MINUTE_MS + digest(self._seed, "reward sample", str(minute)) % MINUTE_MS
        self._agenda.add(at, "sample", str(minute))

    def sample(self, minute: int, now: int) -> None:
        """Take a minute's sample of every market, and share out its part of the pools."""
        assert minute > self.minute, f"minute {minute} was sampled already"
        self.minute = minute
        self._plan(minute + 1)
        self.parts = {}
        for state in self._states.values():
            if state.market.reward_rate_day > 0 and state.market.accepting:
                self._share(state, now)

    def _share(self, state: MarketState, now: int) -> None:
        if state.mirror is not None and not state.mirror.book.ready:
            return  # a book that is out of sight shows nobody's part
        scores = self.scores(state, now)
        total = sum(scores.values())
        if not total:
            return
        self.parts[state.condition_id] = {address: score * MICRO // total for address, score in scores.items()}
        for address, score in scores.items():
            account = self._bank.accounts.get(address)
            if account is not None and not account.house:
                mine = self.earned.setdefault(address, {})
                part = state.market.reward_rate_day * PICO * score // (total * MINUTES)
                mine[state.condition_id] = mine.get(state.condition_id, 0) + part

    def pay(self, now: int) -> list[RewardPaid]:
        """Midnight: pay what the day that ended brought, and begin the next one."""
        self._agenda.add(now - now % DAY_MS + DAY_MS, "rewards", "")
        day = now // DAY_MS - 1
        found = []
        for address, earned in self.earned.items():
            amount = sum(earned.values()) // PICO
            if amount >= LEAST_PAID:
                self._bank.reward(self._bank.accounts[address], amount)
                parts = tuple((condition_id, part // PICO) for condition_id, part in earned.items())
                made = transaction_hash_of(f"reward:{day}:{address}")
                found.append(RewardPaid(address, day, amount, made, parts))
        self.earned = {}
        self.paid = [*self.paid, *found][-PAID_MAX:]
        return found

    # --- scores -------------------------------------------------------------------------------------------------------

    def scores(self, state: MarketState, now: int) -> dict[str, int]:
        """Q_min by address at this instant, those without a score left out; "" is the mirrored book's makers."""
        market = state.market
        spread, least = market.reward_max_spread, market.reward_min_size
        book = state.displayed
        mid = middle(book.bids, book.asks, least)
        if mid is None or spread <= 0:
            return {}
        sums: dict[str, list[int]] = {}
        for order in _near(state, mid, spread):
            if now - order.created_ms >= AGE_MS:
                score = order_score(order.up_price, order.left, mid, spread, least)
                sums.setdefault(order.account.address, [0, 0])[0 if order.is_bid else 1] += score
        if state.mirror is not None:
            for which, levels in enumerate((book.bids, book.asks)):
                theirs = sum(order_score(price, size, mid, spread, least) for price, size in levels.items())
                sums.setdefault("", [0, 0])[which] += theirs
        found = {address: maker_score(bids, asks, mid) for address, (bids, asks) in sums.items()}
        return {address: score for address, score in found.items() if score}

    def scoring(self, order: Order, now: int) -> bool:
        """Does this order score at this instant?"""
        market = order.state.market
        if order.status != LIVE or market.reward_rate_day <= 0 or not market.accepting:
            return False
        if now - order.created_ms < AGE_MS:
            return False
        book = order.state.displayed
        mid = middle(book.bids, book.asks, market.reward_min_size)
        if mid is None:
            return False
        score = order_score(order.up_price, order.left, mid, market.reward_max_spread, market.reward_min_size)
        return score > 0 and order.account.address in self.scores(order.state, now)

    # --- what is known of an account ----------------------------------------------------------------------------------

    def earned_by(self, address: str, day: int, today: int) -> dict[str, Micros]:
        """By condition id what a day brought: of today so far, of a day before what was paid."""
        if day == today:
            return {key: part // PICO for key, part in self.earned.get(address, {}).items()}
        return {key: part for paid in self.paid_to(address) if paid.day == day for key, part in paid.parts}

    def paid_to(self, address: str) -> list[RewardPaid]:
        """Every payout of an account, oldest first."""
        return [paid for paid in self.paid if paid.account == address]

    # --- durable state ------------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        return {
            "earned": self.earned, "parts": self.parts, "paid": [msgspec.to_builtins(paid) for paid in self.paid],
            "minute": self.minute,
        }

    def restore(self, data: Mapping[str, Any]) -> None:
        """Take the state that ``save`` gave; its tasks are in the agenda's own."""
        if data:
            self.earned = {address: dict(parts) for address, parts in data["earned"].items()}
            self.parts = {condition_id: dict(parts) for condition_id, parts in data["parts"].items()}
            self.paid = msgspec.convert(data["paid"], list[RewardPaid])
            self.minute = data["minute"]


def _near(state: MarketState, mid: int, spread: int) -> Iterator[Order]:
    """Resting orders within the spread around the midpoint."""
    for queues in (state.bids, state.asks):
        for price, queue in queues.items():
            if abs(2 * price - mid) < 2 * spread:
                yield from queue.values()
