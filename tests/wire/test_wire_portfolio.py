"""The data API's positions, folded from trades: sizes, average costs, fees and realized results, to the micro-unit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from polyhost.exchange.api import StoredTrade
from polyhost.exchange.portfolio import Move, holdings_of, parts_of
from polyhost.model.gateway import MakerSlice, TradeRow
from polyhost.model.money import LOT, notional
from polyhost.model.words import Action

ME, THEM = "0xMe", "0xThem"


def _trade(
    number: int, action: Action, price: int, size: int, *, status: str = "CONFIRMED", fee: int = 0
) -> StoredTrade:
    maker = MakerSlice("0xm", "down", action, 10_000 - price, size)
    row = TradeRow(str(number), "0xc", "up", "0xt", action, price, size, status, 1_000 + number, (maker,))
    return StoredTrade(row, ME, "key", (THEM,), ("",), fee, "0x", "Up", 0)


def test_buys_average_and_sells_realize() -> None:
    trades = [
        _trade(1, Action.BUY, 4_000, 10_000_000, fee=100),
        _trade(2, Action.BUY, 6_000, 10_000_000),
        _trade(3, Action.SELL, 7_000, 5_000_000, fee=50),
    ]
    held = holdings_of(parts_of(ME, trades))["up"]
    assert (held.size, held.bought, held.entry_cost, held.cost) == (15_000_000, 20_000_000, 10_000_000, 7_500_000)
    assert (held.fees, held.realized) == (100, 3_500_000 - 50 - 2_500_000)
    assert (held.first_s, held.last_s) == (1_001, 1_003)


def test_a_failed_trade_is_no_trade() -> None:
    assert parts_of(ME, [_trade(1, Action.BUY, 4_000, 10_000_000, status="FAILED")]) == []


def test_a_maker_gets_its_own_token_price_and_no_fee() -> None:
    held = holdings_of(parts_of(THEM, [_trade(1, Action.BUY, 4_000, 10_000_000, fee=100)]))
    assert list(held) == ["down"]
    assert (held["down"].entry_cost, held["down"].fees) == (6_000_000, 0)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 99), st.integers(1, 5_000)), max_size=40))
def test_what_was_paid_is_what_is_held_plus_what_was_given(steps: list[tuple[bool, int, int]]) -> None:
    """Conservation: entry cost = cost of what is held + cost of what was sold; no size and no cost below zero."""
    trades, size, proceeds = [], 0, 0
    for number, (buys, cents, lots) in enumerate(steps):
        amount = lots * LOT if buys else min(lots * LOT, size)
        if amount == 0:
            continue
        action = Action.BUY if buys else Action.SELL
        trades.append(_trade(number, action, cents * 100, amount))
        size += amount if buys else -amount
        proceeds += 0 if buys else notional(amount, cents * 100)
    held = holdings_of(parts_of(ME, trades)).get("up")
    if held is None:
        return
    assert held.size == size
    assert held.cost >= 0
    assert (held.size == 0) <= (held.cost == 0)
    assert held.realized == proceeds - (held.entry_cost - held.cost)


def test_set_02_within_a_second_a_split_comes_before_what_was_sold_of_it_and_a_merge_after_what_was_bought() -> None:
    """Trades tell their second only: what is sold is there, so that its cost is taken off what it brought."""
    sold = _trade(1, Action.SELL, 6_000, 10_000_000)
    split = Move("split", "0xc", ("up", "down"), 10_000_000, 1_001)
    held = holdings_of(parts_of(ME, [sold]), [split])["up"]
    assert (held.size, held.cost, held.realized) == (0, 0, 1_000_000)
    bought = _trade(1, Action.BUY, 6_000, 10_000_000)
    merge = Move("merge", "0xc", ("up", "down"), 10_000_000, 1_001)
    held = holdings_of(parts_of(ME, [bought]), [merge])["up"]
    assert (held.size, held.cost, held.realized) == (0, 0, -1_000_000)
