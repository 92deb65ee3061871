"""How several wishes become one, whatever the order in which they came."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyhost import Action, Enter, ExitTarget, Purpose, QuoteTarget, Side, Stake
from polyhost.extension.merging import MERGED, OUTBID, Bid, Chosen, arbitrated, careful, merged, stakes_of

ENTRIES = st.builds(
    Enter,
    side=st.sampled_from(Side),
    price_max=st.integers(1, 9_999),
    purpose=st.sampled_from([Purpose.ENTRY, Purpose.ENTRY, Purpose.HEDGE, Purpose.SCALE_IN]),
    stake=st.none() | st.integers(1, 10**9),
    edge=st.sampled_from([0.0, 0.01, 0.02]),
)
BIDS = st.lists(st.tuples(st.integers(0, 5), ENTRIES), min_size=1, max_size=8, unique_by=lambda bid: bid[0])


def up(price: int, *, edge: float = 0.0, stake: int | None = None, purpose: Purpose = Purpose.ENTRY) -> Enter:
    return Enter(Side.UP, price, edge=edge, stake=stake, purpose=purpose)


def down(price: int, *, edge: float = 0.0) -> Enter:
    return Enter(Side.DOWN, price, edge=edge)


def test_entries_of_one_side_merge_to_the_lowest_price_and_the_smallest_stake() -> None:
    bids = [(0, up(5_200, stake=3)), (1, up(5_100, stake=9)), (2, up(5_300))]
    assert merged(bids) == (1, up(5_100, stake=3))


def test_of_opposite_sides_the_higher_edge_wins_and_the_losers_are_named() -> None:
    bids = [(0, up(5_200, edge=0.02)), (1, down(4_000, edge=0.03)), (2, up(5_100, edge=0.01))]
    lost = ((0, bids[0][1], OUTBID), (2, bids[2][1], OUTBID))
    assert arbitrated(bids) == [Chosen(1, down(4_000, edge=0.03), (0, 2), lost)]


def test_evd_03_of_one_side_the_others_are_merged_and_both_ways_of_losing_are_told_apart() -> None:
    bids = [(0, up(5_200)), (1, down(4_000)), (2, up(5_100, edge=0.01)), (3, up(5_300))]
    (chosen,) = arbitrated(bids)
    assert (chosen.plugin, chosen.entry) == (2, up(5_100, edge=0.01))
    assert [(plugin, how) for plugin, _, how in chosen.lost] == [(0, MERGED), (1, OUTBID), (3, MERGED)]


@given(st.lists(st.tuples(st.integers(0, 3), ENTRIES), min_size=1, max_size=8))
def test_evd_03_every_entry_goes_on_or_is_named_as_lost_once(bids: list[Bid]) -> None:
    """Also where one plugin wants several things at once."""
    def key(plugin: int, entry: Enter) -> tuple[object, ...]:
        return plugin, entry.side, entry.price_max, entry.purpose, entry.edge

    chosen = arbitrated(bids)
    told = Counter(key(each.plugin, each.entry) for each in chosen)
    told += Counter(key(plugin, entry) for each in chosen for plugin, entry, _ in each.lost)
    assert told == Counter(key(*bid) for bid in bids)


def test_equal_edges_go_to_the_plugin_that_is_configured_first() -> None:
    assert arbitrated([(3, up(5_000)), (1, down(5_000))])[0].plugin == 1


def test_a_hedge_is_a_candidate_of_its_own() -> None:
    hedge = up(4_000, purpose=Purpose.HEDGE)
    assert arbitrated([(0, down(5_000)), (1, hedge)]) == [Chosen(0, down(5_000)), Chosen(1, hedge)]


@pytest.mark.parametrize(
    ("own", "answers", "expected"),
    [
        (None, [], []),
        (None, [(1, 30), (2, 20)], [(20, 2), (30, 1)]),
        (10, [(1, 30)], [(10, 0), (30, 1)]),
        (40, [(1, 30)], [(30, 1), (40, 0)]),
        (40, [], [(40, 0)]),
    ],
)
def test_the_smallest_stake_wins(
    own: int | None, answers: list[tuple[int, int]], expected: list[tuple[int, int]]
) -> None:
    stakes = [(plugin, Stake(amount)) for plugin, amount in answers]
    assert stakes_of(Chosen(0, up(5_000, stake=own)), stakes) == expected


@pytest.mark.parametrize(
    ("adjusted", "price"), [([], 9_000), ([8_900], 9_000), ([9_001], 9_001), ([9_100, 9_200], 9_200)]
)
def test_a_target_is_adjusted_upwards_only(adjusted: list[int], price: int) -> None:
    target = ExitTarget(Side.UP, 9_000, "plan", tolerance=5)
    answers = [ExitTarget(Side.UP, one, "other") for one in adjusted]
    assert careful(target, answers) == ExitTarget(Side.UP, price, "plan", tolerance=5)


def test_an_adjustment_for_the_other_side_is_none() -> None:
    target = ExitTarget(Side.UP, 9_000)
    assert careful(target, [ExitTarget(Side.DOWN, 9_900)]) == target


@given(BIDS, st.randoms())
def test_arbitration_does_not_depend_on_the_order_of_the_answers(bids: list[Bid], random: object) -> None:
    shuffled = list(bids)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    def key(choice: Chosen) -> tuple[str, str]:
        return choice.entry.purpose, choice.entry.side

    assert sorted(arbitrated(bids), key=key) == sorted(arbitrated(shuffled), key=key)


@given(BIDS)
def test_arbitration_never_pays_more_nor_stakes_more_than_anybody_asked(bids: list[Bid]) -> None:
    chosen = arbitrated(bids)
    firsts = [choice for choice in chosen if choice.entry.purpose is Purpose.ENTRY]
    assert len(firsts) <= 1
    for choice in chosen:
        entry = choice.entry
        rivals = [bid for _, bid in bids if (bid.purpose, bid.side, bid.key) == (entry.purpose, entry.side, entry.key)]
        assert entry.price_max == min(rival.price_max for rival in rivals)
        stakes = [rival.stake for rival in rivals if rival.stake is not None]
        assert entry.stake == min(stakes, default=None)


@pytest.mark.parametrize(
    ("least", "adjusted", "price"),
    [(None, [8_000], 9_000), (8_500, [8_000], 8_500), (8_500, [8_600], 8_600), (8_500, [8_600, 8_700], 8_700),
     (8_500, [], 9_000), (9_500, [8_000], 9_000)],
)
def test_rew_02_an_exit_moves_nearer_only_as_far_as_its_owner_allows(
    least: int | None, adjusted: list[int], price: int
) -> None:
    """Of several who move it the more careful, the higher, wins."""
    target = ExitTarget(Side.UP, 9_000, "plan", least=least)
    assert careful(target, [ExitTarget(Side.UP, one) for one in adjusted]) == ExitTarget(
        Side.UP, price, "plan", least=least
    )


def test_quotes_are_adjusted_towards_the_more_careful() -> None:
    """Lower for a buy, higher for a sell, smaller and shorter for both; what speaks of another slot is none."""
    buy = QuoteTarget(Side.UP, Action.BUY, 5_000, 20, key="a", valid_until=900, reason="mine")
    adjusted = [
        QuoteTarget(Side.UP, Action.BUY, 4_900, 30, key="a"), QuoteTarget(Side.UP, Action.BUY, 5_100, 10, key="a"),
        QuoteTarget(Side.UP, Action.BUY, 5_000, 20, key="a", valid_until=800),
        QuoteTarget(Side.UP, Action.BUY, 1, 1, key="b"), QuoteTarget(Side.DOWN, Action.BUY, 1, 1, key="a"),
        ExitTarget(Side.UP, 1),
    ]
    assert careful(buy, adjusted) == QuoteTarget(
        Side.UP, Action.BUY, 4_900, 10, key="a", valid_until=800, reason="mine"
    )
    sell = QuoteTarget(Side.UP, Action.SELL, 5_000)
    raised = [QuoteTarget(Side.UP, Action.SELL, 5_100, 7), QuoteTarget(Side.UP, Action.SELL, 4_000)]
    assert careful(sell, raised) == QuoteTarget(Side.UP, Action.SELL, 5_100, 7)
