"""The simulated exchange: one pure, deterministic state machine. ``handle(request, now) -> outputs``.

No clock, no randomness, no I/O: ids come from counters and sha1, time is an argument (market ms) and never goes back.
The same calls give the same outputs to the byte. Callers: the wire server, the population, the lab's backtests.
"""

from __future__ import annotations

from typing import Any

from polyhost.exchange import api
from polyhost.exchange.rules import ExchangeRules
from polyhost.model.book import Book
from polyhost.model.market import Market
from polyhost.model.money import Micros, Ticks
from polyhost.model.times import NEVER, MarketMs
from polyhost.model.words import Action, OrderType, Side


class Exchange:
    """The venue. Every public method that takes ``now`` first runs what is due before it, in order of time."""

    next_due: int
    """Earliest market ms at which ``advance`` has something to do; NEVER when nothing is pending."""

    def __init__(self, rules: ExchangeRules, now: MarketMs) -> None:
        self.rules = rules
        self.now = now
        self.next_due = NEVER

    # --- time and requests --------------------------------------------------------------------------------------------

    def handle(self, request: api.Request, now: MarketMs) -> list[api.Output]:
        """Serve one request of one account. The reply repeats its ``request_id``; a post that could match is answered
        later, by ``advance``, when its taker delay is over."""
        raise NotImplementedError

    def advance(self, now: MarketMs) -> list[api.Output]:
        """Run everything due up to ``now``, each at its own time: taker delays, GTD expiry, trade stages, market ends.
        """
        raise NotImplementedError

    # --- accounts -----------------------------------------------------------------------------------------------------

    def open_account(self, address: str, collateral: Micros, approved: bool = True) -> None:
        """Open an account. Raises ValueError when it exists already."""
        raise NotImplementedError

    def has_account(self, address: str) -> bool:
        raise NotImplementedError

    def collateral(self, address: str) -> Micros:
        """Collateral of an account; 0 for an unknown one."""
        raise NotImplementedError

    def shares(self, address: str, token_id: str) -> Micros:
        """Shares owned, settled or not (``GetBalance`` shows only the visible ones)."""
        raise NotImplementedError

    def holdings(self, address: str) -> dict[str, Micros]:
        """Every token an account owns: token id to micro-shares, none of them 0."""
        raise NotImplementedError

    def redeemable(self, address: str) -> dict[str, Micros]:
        """What ``Redeem`` would pay in each decided market: condition id to collateral, losing positions left out."""
        raise NotImplementedError

    # --- markets ------------------------------------------------------------------------------------------------------

    def add_market(self, market: Market, now: MarketMs) -> list[api.Output]:
        """Create a market that takes orders from now to ``market.end``: MarketOpened. Raises ValueError if known."""
        raise NotImplementedError

    def market(self, condition_id: str) -> Market | None:
        """The market as it stands (its present tick, ``accepting``)."""
        raise NotImplementedError

    def markets(self) -> list[Market]:
        """Every market that was not forgotten, in order of creation."""
        raise NotImplementedError

    def market_of_token(self, token_id: str) -> Market | None:
        raise NotImplementedError

    def end_market(self, condition_id: str, now: MarketMs) -> list[api.Output]:
        """Take no more orders: MarketEnded. Happens by itself at ``market.end``; the second time is nothing."""
        raise NotImplementedError

    def decide(
        self, condition_id: str, winner: Side | None, strike: int | None, final: int | None, now: MarketMs
    ) -> list[api.Output]:
        """Resolve a market: open orders are cancelled (CANCELED_MARKET_RESOLVED), then MarketDecided.

        Winning shares are worth 1.00 (both sides 0.50 when ``winner`` is None) and stay tokens until ``Redeem``.
        Raises ValueError for a market that is unknown or decided.
        """
        raise NotImplementedError

    def decision(self, condition_id: str) -> api.MarketDecided | None:
        """The decision, or None while there is none."""
        raise NotImplementedError

    def set_tick(self, condition_id: str, tick: Ticks, now: MarketMs) -> list[api.Output]:
        """Change the tick as a recording says (mirrored markets never change it by themselves)."""
        raise NotImplementedError

    def forget_market(self, condition_id: str) -> None:
        """Drop a decided market with its orders and trades; shares never redeemed stay redeemable no longer.

        Raises ValueError when it is not decided or an account that is not the house still holds winning shares.
        """
        raise NotImplementedError

    # --- books --------------------------------------------------------------------------------------------------------

    def book(self, condition_id: str) -> Book:
        """The live book with every resting order, in UP ticks; read it, never change it. Raises KeyError."""
        raise NotImplementedError

    def snapshot(self, token_id: str) -> api.BookSnapshot:
        """The full book of one token, with the venue's hash as of now. Raises KeyError for an unknown token."""
        raise NotImplementedError

    def last_trade(self, token_id: str) -> api.Printed | None:
        """The last print of the token's market, as a print of this token; None before the first."""
        raise NotImplementedError

    # --- the house: the population's accounts -------------------------------------------------------------------------

    def open_house(self, name: str) -> None:
        """Open an account without limits for the population: no balance checks; what it sells it mints on the spot."""
        raise NotImplementedError

    def place_house(
        self,
        name: str,
        token_id: str,
        action: Action,
        price: Ticks,
        size: Micros,
        order_type: OrderType,
        now: MarketMs,
    ) -> tuple[str, list[api.Output]]:
        """Place an order of the population at once (no delay, no grid and balance checks): its id, and the outputs.

        GTC rests what does not match; FAK and FOK drop it. The id of an order that does not rest is worth nothing.
        An ended or unknown market takes nothing: ("", []).
        """
        raise NotImplementedError

    def cancel_house(self, order_id: str, now: MarketMs) -> list[api.Output]:
        """Cancel an order of the population; an order that is gone is nothing."""
        raise NotImplementedError

    # --- mirror mode: another venue's displayed book ------------------------------------------------------------------

    def mirror(self, condition_id: str, book: Book) -> None:
        """Take an external book (shared, changed by the driver, UP ticks) as this market's displayed liquidity.

        Takers walk the displayed size after the taker delay; what was taken stays taken until the venue changes that
        level (its displayed size differs from what it was when it was taken, or the epoch rose). A level of
        UNKNOWN_SIZE holds whatever an order wants, every time. Orders of ours do not meet each other.
        """
        raise NotImplementedError

    def watch(self, condition_id: str) -> tuple[Ticks, Ticks]:
        """When to call ``touched``: (bid_high, ask_low) in UP ticks, ``ONE + 1`` and ``-1`` when nothing rests.

        Due when ``best_bid >= bid_high`` or ``best_ask <= ask_low``; a print matters when its UP price is strictly
        above ``bid_high`` or strictly below ``ask_low``. Changes only by calls of this exchange.
        """
        raise NotImplementedError

    def touched(self, condition_id: str, now: MarketMs) -> list[api.Output]:
        """The mirrored book reached a watched price: resting orders it crosses fill at their own price."""
        raise NotImplementedError

    def printed(self, condition_id: str, token_id: str, price: Ticks, size: Micros, now: MarketMs) -> list[api.Output]:
        """The venue reported a trade: resting orders it went through (strictly) fill at their own price, together at
        most its ``size`` (UNKNOWN_SIZE: wholly)."""
        raise NotImplementedError

    # --- durable state ------------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        """Everything, as plain JSON-able data. Mirrored books belong to their driver: it calls ``mirror`` again."""
        raise NotImplementedError

    @classmethod
    def load(cls, state: dict[str, Any]) -> Exchange:
        """The exchange that ``save`` described: it answers every later call alike. Raises ValueError for another
        format version."""
        raise NotImplementedError

    def audit(self) -> list[str]:
        """Broken invariants, by name and value; empty when all is well (conservation, pots, no negative account)."""
        raise NotImplementedError
