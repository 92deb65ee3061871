"""CON-06: the venue's token buckets, a signer at a time. Times are wall seconds."""

from __future__ import annotations

import pytest

from polyhost.exchange.server.limits import TIERS, Limits


def test_con_06_a_burst_is_allowed_and_the_next_order_waits() -> None:
    limits = Limits("standard")
    told = [limits.orders("0xa", 1, 100.0) for _ in range(60)]
    assert all(one is not None and one.allowed for one in told)
    refused = limits.orders("0xa", 1, 100.0)
    assert refused is not None
    assert (refused.allowed, refused.remaining, refused.wait_s, refused.tier) == (False, 0, 1, "standard")
    after = limits.orders("0xa", 1, 100.0 + 1 / 40)
    assert after is not None
    assert after.allowed, "forty come back a second"
    other = limits.orders("0xb", 1, 100.0)
    assert other is not None
    assert other.remaining == 59, "another signer's bucket is its own"


def test_con_06_a_batch_costs_its_orders_all_or_nothing() -> None:
    limits = Limits("standard")
    limits.orders("0xa", 50, 100.0)
    refused = limits.orders("0xa", 11, 100.0)
    assert refused is not None
    assert (refused.allowed, refused.remaining) == (False, 10)
    last = limits.orders("0xa", 10, 100.0)
    assert last is not None
    assert (last.allowed, last.remaining) == (True, 0)


def test_con_06_cancels_have_a_bucket_of_their_own_and_may_leave_a_debt() -> None:
    limits = Limits("standard")
    limits.orders("0xa", 60, 100.0)
    first = limits.cancels("0xa", 1, 100.0)
    assert first is not None
    assert first.allowed, "orders do not use up the cancels"
    owed = limits.ended("0xa", 200, 100.0)
    assert owed is not None
    assert owed.remaining == 119 - 200
    later = limits.cancels("0xa", 1, 101.0)
    assert later is not None
    assert (later.allowed, later.wait_s) == (False, 1)
    paid = limits.cancels("0xa", 1, 101.1)
    assert paid is not None
    assert paid.allowed


def test_con_06_the_highest_tier_owes_nothing() -> None:
    limits = Limits("platinum")
    left = limits.ended("0xa", 5_000, 100.0)
    assert left is not None
    assert left.remaining == 0


def test_without_a_tier_nobody_is_limited() -> None:
    assert Limits("").orders("0xa", 10_000, 1.0) is None
    assert Limits("").ended("0xa", 10_000, 1.0) is None


def test_a_tier_that_is_none_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="no rate limit tier 'wood': standard, copper"):
        Limits("wood")
    assert TIERS["gold"].orders_most == 600
