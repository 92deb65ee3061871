"""Rate limits per signer: one bucket of tokens for orders, one for cancels, as the venue documents them (2026-07-24).

A post costs a token for each of its orders, all or nothing; a cancel one for each id; a cancel of everything (or of a
market) one and one more for each order it ended, which may leave a debt. Wall time.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Tier(NamedTuple):
    """Tokens a second and most tokens, for orders and for cancels."""

    name: str
    orders_s: int
    orders_most: int
    cancels_s: int
    cancels_most: int
    may_owe: bool = True
    """May a cancel of everything leave a debt?"""


TIERS: Final = {
    tier.name: tier
    for tier in (
        Tier("standard", 40, 60, 80, 120), Tier("copper", 60, 90, 120, 180), Tier("bronze", 80, 120, 160, 240),
        Tier("silver", 200, 300, 400, 600), Tier("gold", 400, 600, 800, 1_200),
        Tier("platinum", 450, 675, 900, 1_350, may_owe=False),
    )
}  # fmt: skip


class Standing(NamedTuple):
    """How a signer stands after a request: the ``Poly-RateLimit-…`` headers."""

    allowed: bool
    remaining: int
    """Whole tokens left; below 0 a debt."""
    wait_s: int
    """Whole seconds until the request would be allowed; 0 when it was."""
    reset_s: int
    """Unix second at which that is."""
    tier: str


class Bucket:
    """Tokens that come back with time."""

    __slots__ = ("_at", "_rate", "_tokens", "most")

    def __init__(self, rate: int, most: int, now: float) -> None:
        self._rate = rate
        self.most = most
        self._tokens = float(most)
        self._at = now

    def tokens(self, now: float) -> float:
        return min(self.most, self._tokens + max(now - self._at, 0.0) * self._rate)

    def take(self, cost: int, now: float) -> bool:
        """Take tokens, or none of them when there are not enough."""
        has = self.tokens(now)
        if has < cost:
            return False
        self.owe(cost, now)
        return True

    def owe(self, cost: int, now: float) -> None:
        """Take tokens that may not be there."""
        self._tokens, self._at = self.tokens(now) - cost, now

    def wait_s(self, cost: int, now: float) -> float:
        """Seconds until ``cost`` tokens are there; no more than the bucket holds ever are."""
        return max(min(cost, self.most) - self.tokens(now), 0.0) / self._rate


class Limits:
    """The buckets of every signer; without a tier nobody is limited."""

    def __init__(self, tier: str) -> None:
        """Raises ValueError for a tier that is none."""
        if tier and tier not in TIERS:
            raise ValueError(f"no rate limit tier {tier!r}: {', '.join(TIERS)}")
        self.tier = TIERS.get(tier)
        self._buckets: dict[tuple[str, str], Bucket] = {}

    def orders(self, signer: str, count: int, now: float) -> Standing | None:
        """Charge a post of ``count`` orders, or refuse it; None without limits."""
        return self._charge(signer, "orders", count, now)

    def cancels(self, signer: str, count: int, now: float) -> Standing | None:
        """Charge a cancel of ``count`` orders, or refuse it; None without limits."""
        return self._charge(signer, "cancels", count, now)

    def ended(self, signer: str, count: int, now: float) -> Standing | None:
        """Charge what a cancel of everything turned out to be, besides its first token; None without limits."""
        if self.tier is None:
            return None
        bucket = self._bucket(self.tier, signer, "cancels", now)
        bucket.owe(count if self.tier.may_owe else min(count, int(bucket.tokens(now))), now)
        return self._standing(self.tier, bucket, True, 1, now)

    def _charge(self, signer: str, kind: str, count: int, now: float) -> Standing | None:
        if self.tier is None:
            return None
        bucket = self._bucket(self.tier, signer, kind, now)
        return self._standing(self.tier, bucket, bucket.take(count, now), count, now)

    def _bucket(self, tier: Tier, signer: str, kind: str, now: float) -> Bucket:
        found = self._buckets.get((signer, kind))
        if found is None:
            rate, most = (
                (tier.orders_s, tier.orders_most) if kind == "orders" else (tier.cancels_s, tier.cancels_most)
            )
            found = self._buckets[signer, kind] = Bucket(rate, most, now)
        return found

    def _standing(self, tier: Tier, bucket: Bucket, allowed: bool, cost: int, now: float) -> Standing:
        wait = 0.0 if allowed else bucket.wait_s(cost, now)
        return Standing(allowed, int(bucket.tokens(now) // 1), -int(-wait // 1), int(now + wait), tier.name)
