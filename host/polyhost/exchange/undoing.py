"""A trade that did not happen on the chain: who gives back what, and whether everyone still can."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from polyhost.exchange.accounts import Account, Bank, money_for
from polyhost.exchange.api import StoredTrade
from polyhost.exchange.market import MarketState
from polyhost.model.money import Micros
from polyhost.model.words import Action


class Part(NamedTuple):
    """One party's part of a trade: what it gave and got."""

    account: Account
    token_id: str
    action: Action
    size: Micros
    money: Micros
    fee: Micros
    """All that it was charged."""
    builder: str = ""
    builder_fee: Micros = 0
    """Of ``fee``, what went to the builder."""


def parts(bank: Bank, trade: StoredTrade) -> Iterator[Part]:
    """The taker's part and every maker's, with the money that really moved."""
    row = trade.row
    taker = bank.accounts[trade.taker_account]
    yield Part(
        taker, row.token_id, row.action, row.size, money_for(row.size, row.price), trade.fee, trade.builder,
        trade.builder_fee,
    )
    for index, (address, maker) in enumerate(zip(trade.maker_accounts, row.makers, strict=True)):
        money = money_for(maker.size, maker.price)
        code, fee = trade.maker_charge(index)
        yield Part(bank.accounts[address], maker.token_id, maker.action, maker.size, money, fee, code, fee)


def can_undo(bank: Bank, state: MarketState, trade: StoredTrade) -> bool:
    """Does everyone but the house still own what it got, its market undecided?"""
    if state.decision is not None:
        return False
    money: dict[str, Micros] = {}
    shares: dict[tuple[str, str], Micros] = {}
    for part in parts(bank, trade):
        if part.account.house:
            continue
        buys = part.action is Action.BUY
        address = part.account.address
        money[address] = money.get(address, 0) + part.fee + (part.money if buys else -part.money)
        key = (address, part.token_id)
        shares[key] = shares.get(key, 0) + (-part.size if buys else part.size)
    accounts = bank.accounts
    return all(accounts[address].collateral + back >= 0 for address, back in money.items()) and all(
        accounts[address].shares.get(token_id, 0) + back >= 0 for (address, token_id), back in shares.items()
    )


def undo(bank: Bank, state: MarketState, trade: StoredTrade) -> None:
    """Move every slice back, the fee too. The caller has made sure that all can, and does it once."""
    paid = received = minted = 0
    for part in parts(bank, trade):
        if part.action is Action.BUY:
            bank.undo_buy(part.account, state, part.token_id, part.size, part.money)
            received += part.money
            minted -= part.size
        else:
            bank.undo_sell(part.account, state, part.token_id, part.size, part.money)
            paid += part.money
            minted += part.size
        bank.charge(part.account, -part.fee)
        if part.builder:
            bank.credit(part.builder, -part.builder_fee)
    # What the slices did to the pot (both bought: a mint) and to the dust, with the sign turned.
    bank.balance_pot(state, minted // 2, paid, received)
