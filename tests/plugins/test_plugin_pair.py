"""The pair: UP and DOWN together when they cost less than they pay, each threshold at both of its sides."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs
from plugin_builders import OPEN_MS, SHARES, made, market, position, quote, view
from pydantic import ValidationError

from polyhost import ORDER_REF, Action, Merge, OrderView, Pair, PositionView, Purpose, Side, View
from polyhost_plugins.pair import PairTrade


def seen(up_ask: str, down_ask: str, at_s: float = 400.0, **changes: Any) -> View:
    """A book whose asks are told for each token by itself."""
    return structs.replace(
        view(at_s, **changes), up=quote(f"0.30/{up_ask}"), down=quote(f"0.30/{down_ask}")
    )


def pair(found: View, **settings: Any) -> Pair | None:
    answers = list(made(PairTrade, **settings).propose(found))
    assert all(isinstance(answer, Pair) for answer in answers)
    return answers[0] if answers else None  # type: ignore[return-value]


# Fees of 0.07 p (1 - p): 0.017052 at 0.42, 0.017388 at 0.46, 0.017283 at 0.44.
def test_grd_02_both_are_bought_when_their_asks_and_fees_leave_the_edge() -> None:
    # 1 - 0.46 - 0.50 - 0.01739 - 0.0175 = 0.00511; one cent more is too dear.
    found = pair(seen("0.46", "0.50"))
    assert found is not None
    assert (found.up_price_max, found.down_price_max, found.stake) == (4_600, 5_000, 20 * SHARES)
    assert found.remember == {"pair:" + view().market.slug: ORDER_REF}
    assert pair(seen("0.47", "0.50")) is None


def test_grd_02_without_fees_the_edge_is_what_is_left_of_one() -> None:
    free = market(fees=structs.replace(market().fees, rate=0))
    assert pair(seen("0.495", "0.50", market=structs.replace(free, tick=50))) is not None
    assert pair(seen("0.50", "0.50", market=free)) is None
    assert pair(seen("0.50", "0.50", market=free), edge_min=0.0) is not None
    assert pair(seen("0.50", "0.51", market=free), edge_min=0.0) is None


def test_grd_02_the_edge_is_taken_at_the_worst_price() -> None:
    assert pair(seen("0.46", "0.50"), slack_ticks=1) is None
    found = pair(seen("0.45", "0.49"), slack_ticks=1)
    assert found is not None
    assert (found.up_price_max, found.down_price_max) == (4_600, 5_000)


@pytest.mark.parametrize(("minutes", "last_s"), [(15, 180.0), (5, 60.0)])
def test_grd_02_no_pair_is_begun_near_the_end(minutes: int, last_s: float) -> None:
    end_s = minutes * 60
    assert pair(seen("0.40", "0.40", end_s - last_s - 0.001, minutes=minutes)) is not None
    assert pair(seen("0.40", "0.40", end_s - last_s, minutes=minutes)) is None


def test_grd_02_nothing_is_begun_beside_orders_or_a_position_that_does_not_pair_off() -> None:
    order = OrderView("o1", Side.UP, Action.BUY, Purpose.ENTRY, 4_000, SHARES, 0, "WORKING", OPEN_MS)
    assert pair(seen("0.40", "0.40", orders=(order,))) is None
    assert pair(seen("0.40", "0.40", positions=(position(),))) is None


def both(shares: int) -> tuple[PositionView, PositionView]:
    """So much of both sides, all of it pairing off."""
    up, down = (
        PositionView(side, shares * SHARES, shares * SHARES, 4_000, 0, OPEN_MS, "pair", shares * SHARES)
        for side in Side
    )
    return up, down


def test_grd_02_what_pairs_off_is_merged_before_another_pair() -> None:
    (merge,) = made(PairTrade, merge_min="10").propose(seen("0.40", "0.40", positions=both(10)))
    assert isinstance(merge, Merge)
    assert merge.size is None
    (pair_,) = made(PairTrade, merge_min="10.01").propose(seen("0.40", "0.40", positions=both(10)))
    assert isinstance(pair_, Pair)


def test_grd_02_a_one_sided_book_gives_no_pair() -> None:
    found = seen("0.40", "0.40")
    assert pair(structs.replace(found, up=quote("0.30/"))) is None
    assert pair(structs.replace(found, down=quote("/0.40"))) is None


def test_grd_02_a_settled_window_is_forgotten() -> None:
    plugin = made(PairTrade)
    plugin.state = {f"pair:{market().slug}": "p00001", "pair:other": "p00002"}
    plugin.on_settlement(market(), OPEN_MS)
    assert plugin.state == {"pair:other": "p00002"}


def test_grd_02_a_stake_of_nothing_is_refused() -> None:
    with pytest.raises(ValidationError):
        made(PairTrade, stake="0")
