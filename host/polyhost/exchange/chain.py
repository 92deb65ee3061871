"""The chain behind the venue, as far as a trader touches it: splits, merges, redemptions, and the transactions of them.

A transaction is sent, mined ``ExchangeRules.mined_ms`` later (all its calls happen then, or none) and confirmed. Cash
is conserved: what leaves an account enters the market's pot, and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import structs

from polyhost.exchange.accounts import Account, Bank
from polyhost.exchange.agenda import Agenda
from polyhost.exchange.api import ChainCall, Transact, Transaction
from polyhost.exchange.market import MarketState
from polyhost.exchange.rules import ExchangeRules
from polyhost.exchange.trades import transaction_hash_of
from polyhost.model.money import Micros
from polyhost.model.words import Side

NEW: Final = "NEW"
MINED: Final = "MINED"
CONFIRMED: Final = "CONFIRMED"
FAILED: Final = "FAILED"
NOT_FOUND: Final = "not found"


def payout_of(account: Account, state: MarketState) -> Micros:
    """What an account's shares of a decided market are worth; 50-50 pays half of all, rounded down."""
    up, down = account.shares.get(state.market.up, 0), account.shares.get(state.market.down, 0)
    assert state.decision is not None
    match state.decision.winner:
        case Side.UP:
            return up
        case Side.DOWN:
            return down
        case None:
            return (up + down) // 2


class Chain:
    """Transactions by id, and what their calls do to accounts and pots."""

    def __init__(
        self, bank: Bank, states: Mapping[str, MarketState], agenda: Agenda, rules: ExchangeRules
    ) -> None:
        self._bank = bank
        self._states = states
        self._agenda = agenda
        self._rules = rules
        self.transactions: dict[str, Transaction] = {}
        """In the order in which they were sent."""
        self._mined: dict[str, int] = {}
        """Mined transactions of each wallet, forgotten ones too."""

    # --- transactions -------------------------------------------------------------------------------------------------

    def send(self, request: Transact, now: int) -> Transaction:
        """Take a transaction in; one whose id is known is the known one."""
        known = self.transactions.get(request.transaction_id)
        if known is not None:
            return known
        plain = request.transaction_id.startswith("0x")
        made = request.transaction_id if plain else transaction_hash_of(request.transaction_id)
        sent = Transaction(request.transaction_id, request.account, request.calls, NEW, made, now)
        self.transactions[sent.transaction_id] = sent
        self._agenda.add(now + self._rules.mined_ms, "chain_mined", sent.transaction_id)
        return sent

    def mine(self, transaction_id: str, now: int) -> Transaction:
        """Let its calls happen: it is MINED, or FAILED and nothing happened."""
        sent = self.transactions[transaction_id]
        self._mined[sent.account] = self._mined.get(sent.account, 0) + 1
        problem, paid = self._all_or_none(sent)
        state = FAILED if problem else MINED
        done = structs.replace(sent, state=state, error=problem, paid=paid, at=now)
        self.transactions[transaction_id] = done
        if not problem:
            later = max(self._rules.confirmed_ms - self._rules.mined_ms, 0)
            self._agenda.add(now + later, "chain_confirmed", transaction_id)
        return done

    def record(self, transaction_id: str, account: str, call: ChainCall, paid: Micros, now: int) -> Transaction:
        """Keep what happened to a wallet otherwise than by a transaction that was sent for it."""
        made = transaction_hash_of(transaction_id)
        done = Transaction(transaction_id, account, (call,), CONFIRMED, made, now, (paid,))
        self.transactions[transaction_id] = done
        return done

    def confirm(self, transaction_id: str) -> None:
        mined = self.transactions.get(transaction_id)
        if mined is not None:
            self.transactions[transaction_id] = structs.replace(mined, state=CONFIRMED)

    def nonce(self, address: str, *, pending: bool = False) -> int:
        """How many transactions of a wallet were mined; with ``pending`` those on their way too."""
        waiting = sum(1 for each in self.transactions.values() if each.account == address and each.state == NEW)
        return self._mined.get(address, 0) + (waiting if pending else 0)

    def mined(self, address: str) -> list[Transaction]:
        """A wallet's transactions that happened, oldest first."""
        happened = (MINED, CONFIRMED)
        return [each for each in self.transactions.values() if each.account == address and each.state in happened]

    def forget(self, condition_id: str) -> None:
        """Drop what concerned a forgotten market (and what waits: it is mined as a failure)."""
        self.transactions = {
            key: each
            for key, each in self.transactions.items()
            if each.state == NEW or condition_id not in {call.condition_id for call in each.calls}
        }

    def _all_or_none(self, sent: Transaction) -> tuple[str, tuple[Micros, ...]]:
        account = self._bank.accounts.get(sent.account)
        if account is None:
            return NOT_FOUND, ()
        before = (account.collateral, account.approved, dict(account.shares), dict(account.pending))
        pots = dict(self._bank.pots)
        amounts = []
        for call in sent.calls:
            problem, paid = self.act(sent.account, call)
            if problem:
                account.collateral, account.approved, account.shares, account.pending = before
                self._bank.pots = pots
                return problem, ()
            amounts.append(paid)
        return "", tuple(amounts)

    # --- calls --------------------------------------------------------------------------------------------------------

    def act(self, address: str, call: ChainCall) -> tuple[str, Micros]:
        """Do one call: why it cannot be (empty when done), and the collateral it paid out (negative: took)."""
        account, state = self._bank.accounts.get(address), self._states.get(call.condition_id)
        if account is None:
            return NOT_FOUND, 0
        if call.kind == "approve":
            account.approved = True
            return "", 0
        if state is None:
            return NOT_FOUND, 0
        match call.kind:
            case "split":
                return self._split(account, state, call.size)
            case "merge":
                return self._merge(account, state, call.size)
            case "redeem":
                return self._redeem(account, state)
            case _:
                return f"unknown call {call.kind}", 0

    def _split(self, account: Account, state: MarketState, size: Micros) -> tuple[str, Micros]:
        if state.decision is not None:
            return "the market is resolved", 0
        if not account.approved:
            return "not enough allowance", 0
        if not 0 < size <= account.collateral:
            return f"not enough balance: {account.collateral} of collateral, {size} asked", 0
        self._bank.split(account, state, size)
        return "", -size

    def _merge(self, account: Account, state: MarketState, size: Micros) -> tuple[str, Micros]:
        if state.decision is not None:
            return "the market is resolved", 0
        pairs = min(account.visible(state.market.up), account.visible(state.market.down))
        if not 0 < size <= pairs:
            return f"not enough balance: {pairs} pairs, {size} asked", 0
        self._bank.merge(account, state, size)
        return "", size

    def _redeem(self, account: Account, state: MarketState) -> tuple[str, Micros]:
        if state.decision is None:
            return "the market is not resolved", 0
        payout = payout_of(account, state)
        self._bank.redeem(account, state, payout)
        return "", payout

    # --- durable state ------------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        return {"transactions": list(self.transactions.values()), "mined": self._mined}

    def restore(self, data: Mapping[str, Any]) -> None:
        """Take what ``save`` gave; a state from before there were transactions has none."""
        for sent in msgspec.convert(data.get("transactions", []), list[Transaction]):
            self.transactions[sent.transaction_id] = sent
        self._mined = dict(data.get("mined", {}))
