"""Accounts and the bank: who owns what, and the one place where money and shares change hands.

For every market the pot holds the collateral behind its shares: it pays when both sides buy (a mint) and is paid back
when both sell (a merge). Rounding goes to ``dust``, fees to ``fees``, what builders get of them to ``builders``; the
sum of everything never changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from polyhost.model.money import ONE, Micros, Ticks

if TYPE_CHECKING:
    from polyhost.exchange.market import MarketState
    from polyhost.exchange.orders import Order


class Account:
    """One wallet. ``pending`` shares are bought but not yet visible; ``buying`` and ``selling`` rest in open orders."""

    __slots__ = (
        "address", "approved", "buying", "collateral", "house", "locked", "orders", "pending", "selling", "shares",
    )  # fmt: skip

    def __init__(self, address: str, collateral: Micros, *, approved: bool = True, house: bool = False) -> None:
        self.address = address
        self.collateral = collateral
        self.approved = approved
        self.house = house
        """Without limits: its collateral may be negative, and what it sells it mints on the spot."""
        self.locked: Micros = 0
        """Collateral that the venue counts as still spent on matched orders: new buys cannot have it."""
        self.shares: dict[str, Micros] = {}
        self.pending: dict[str, Micros] = {}
        self.buying: dict[str, Micros] = {}
        """Open BUY notional by market."""
        self.selling: dict[str, Micros] = {}
        """Open SELL shares by token."""
        self.orders: dict[int, Order] = {}
        """Open orders (delayed ones included) by priority number, oldest first; not kept for a house account."""

    def visible(self, token_id: str) -> Micros:
        """Shares as the venue's balance cache shows them, and as sells are checked against."""
        return self.shares.get(token_id, 0) - self.pending.get(token_id, 0)


def _add(amounts: dict[str, Micros], key: str, change: Micros) -> None:
    """Change one amount; a zero is no entry."""
    value = amounts.get(key, 0) + change
    if value:
        amounts[key] = value
    else:
        amounts.pop(key, None)


class Bank:
    """All accounts, pots, fees and dust."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.pots: dict[str, Micros] = {}
        self.fees: Micros = 0
        self.builders: dict[str, Micros] = {}
        """What each builder code has earned."""
        self.dust: Micros = 0
        self.deposited: Micros = 0
        """Everything ever put in: what the rest must sum to."""

    def open(self, address: str, collateral: Micros, *, approved: bool = True, house: bool = False) -> Account:
        if address in self.accounts:
            raise ValueError(f"account {address} exists already")
        if collateral < 0:
            raise ValueError(f"account {address} cannot start with {collateral}")
        account = self.accounts[address] = Account(address, collateral, approved=approved, house=house)
        self.deposited += collateral
        return account

    def buy(self, account: Account, state: MarketState, token_id: str, size: Micros, money: Micros) -> None:
        """Shares in, ``money`` out."""
        account.collateral -= money
        _add(account.shares, token_id, size)
        if account.house:
            self._fold_pairs(account, state)
        else:
            _add(account.pending, token_id, size)

    def sell(self, account: Account, state: MarketState, token_id: str, size: Micros, money: Micros) -> None:
        """Shares out, ``money`` in. A house account mints what it lacks."""
        if account.house and account.shares.get(token_id, 0) < size:
            self._mint(account, state, size - account.shares.get(token_id, 0))
        _add(account.shares, token_id, -size)
        account.collateral += money

    def charge(self, account: Account, fee: Micros) -> None:
        account.collateral -= fee
        self.fees += fee

    def credit(self, code: str, fee: Micros) -> None:
        """Of the fees charged, so much is a builder's (negative: given back)."""
        self.fees -= fee
        _add(self.builders, code, fee)

    def reward(self, account: Account, amount: Micros) -> None:
        """A payout of the venue's own money."""
        account.collateral += amount
        self.deposited += amount

    def balance_pot(self, state: MarketState, minted: Micros, paid: Micros, received: Micros) -> None:
        """Book what one slice did to the pot (positive: a mint, negative: a merge) and to the dust."""
        if minted:
            self.pots[state.condition_id] += minted
        self.dust += paid - received - minted

    def undo_buy(self, account: Account, state: MarketState, token_id: str, size: Micros, money: Micros) -> None:
        """A buy did not happen: its shares, never visible, leave again, ``money`` is back."""
        if account.house:
            self.sell(account, state, token_id, size, money)
            return
        _add(account.shares, token_id, -size)
        _add(account.pending, token_id, -size)
        account.collateral += money

    def undo_sell(self, account: Account, state: MarketState, token_id: str, size: Micros, money: Micros) -> None:
        """A sell did not happen: its shares are back at once, ``money`` leaves again."""
        account.collateral -= money
        _add(account.shares, token_id, size)
        if account.house:
            self._fold_pairs(account, state)

    def split(self, account: Account, state: MarketState, size: Micros) -> None:
        """``size`` of collateral becomes ``size`` UP and DOWN."""
        self._mint(account, state, size)

    def merge(self, account: Account, state: MarketState, size: Micros) -> None:
        """``size`` UP and DOWN become ``size`` of collateral."""
        _add(account.shares, state.market.up, -size)
        _add(account.shares, state.market.down, -size)
        account.collateral += size
        self.pots[state.condition_id] -= size

    def redeem(self, account: Account, state: MarketState, payout: Micros) -> None:
        """All shares of a decided market become ``payout``."""
        for token_id in (state.market.up, state.market.down):
            account.shares.pop(token_id, None)
            account.pending.pop(token_id, None)
        account.collateral += payout
        self.pots[state.condition_id] -= payout

    def settled(self, account: Account, token_id: str, size: Micros) -> None:
        """Bought shares became visible (nothing to do for shares that were redeemed meanwhile)."""
        if token_id in account.pending:
            _add(account.pending, token_id, -size)

    def _mint(self, account: Account, state: MarketState, size: Micros) -> None:
        _add(account.shares, state.market.up, size)
        _add(account.shares, state.market.down, size)
        account.collateral -= size
        self.pots[state.condition_id] += size

    def _fold_pairs(self, account: Account, state: MarketState) -> None:
        pairs = min(account.shares.get(state.market.up, 0), account.shares.get(state.market.down, 0))
        if pairs:
            self.merge(account, state, pairs)


def money_for(size: Micros, price: Ticks) -> Micros:
    """What a size costs or brings, rounded down (the fast form of model.money.notional)."""
    return size * price // ONE
