"""Order flow: who leans on the book, and who has been taking from it (SIG-04).

Both tokens are one book in UP terms (a bid for DOWN is an offer of UP), so both are counted once.

- ``book`` = (bids - asks) / (bids + asks), shares resting within ``near`` of the best price of each side (order-book
  imbalance: Cont, Kukanov and Stoikov, *The price impact of order book events*, 2014);
- ``flow`` = (bought - sold) / (bought + sold), shares that takers traded in the last ``flow_s`` seconds.

An imbalance at or beyond ``full_strength_imbalance`` counts 1 (or -1), smaller ones in proportion; the answer is the
mean of the parts that are known, by weight. The book is not known when one side is empty or sizes are not told; the
flow is not when fewer than ``prints_min`` prints told their side. Neither known: the signal abstains.
"""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from polyhost import Abstain, Plugin, Price, Settings, Signal, View, hookimpl


class OrderFlowSettings(Settings):
    weight_book: float = Field(default=0.5, ge=0)
    """Weight of the imbalance of what rests near the best prices."""
    weight_flow: float = Field(default=0.5, ge=0)
    """Weight of the imbalance of what was traded."""
    near: Price = Price("0.03")
    """Levels at most this far from the best price of their side count (collateral a share)."""
    flow_s: float = Field(default=60.0, ge=10, le=300)
    """Prints of so many last seconds of market time count, in whole buckets of ten seconds."""
    prints_min: int = Field(default=5, ge=1)
    """Fewer prints than this are no flow."""
    full_strength_imbalance: float = Field(default=0.6, gt=0, le=1)
    """An imbalance of this size has full strength; 0.6 is four to one."""

    @field_validator("near")
    @classmethod
    def _not_negative(cls, value: Price) -> Price:
        if value < 0:
            raise ValueError("must be 0 or more")
        return value

    @model_validator(mode="after")
    def _some_weight(self) -> OrderFlowSettings:
        if not self.weight_book + self.weight_flow > 0:
            raise ValueError("all weights are 0: the signal could never answer")
        return self


class OrderFlow(Plugin):
    name = "order_flow"
    description = "Imbalance of the book near the touch, and of what takers traded, over both tokens."
    Settings = OrderFlowSettings
    settings: OrderFlowSettings

    def __init__(self, settings: OrderFlowSettings) -> None:
        super().__init__(settings)
        self._near = int(settings.near)
        self._flow_ms = round(settings.flow_s * 1_000)
        self._full = settings.full_strength_imbalance

    @hookimpl
    def signal(self, view: View) -> Signal | Abstain:
        """The weighted mean of the known parts; abstains when there is none."""
        settings = self.settings
        parts = (
            ("book", settings.weight_book, self._of_book(view)),
            ("flow", settings.weight_flow, self._of_flow(view)),
        )
        total = score = 0.0
        features: dict[str, float] = {}
        told = []
        for name, weight, found in parts:
            if isinstance(found, str):
                told.append(found)
            elif weight:
                total += weight
                score += weight * min(max(found / self._full, -1.0), 1.0)
                features[name] = found
                told.append(f"{name} {found:+.2f}")
        if not total:
            return Abstain(", ".join(told))
        score /= total
        return Signal.of_direction((score > 0) - (score < 0), abs(score), ", ".join(told), features)

    def _of_book(self, view: View) -> float | str:
        """In -1 to 1, or why it is not known."""
        if not view.up.complete:
            return "no complete quote"
        bids = _near(view.bids, self._near)
        asks = _near(view.asks, self._near)
        if bids < 0 or asks < 0:
            return "sizes are not told"
        return _imbalance(bids, asks) or 0.0

    def _of_flow(self, view: View) -> float | str:
        """In -1 to 1, or why it is not known."""
        since = view.now - self._flow_ms
        bought = sold = prints = 0
        for bucket in reversed(view.flow):
            if bucket.start < since:
                break
            bought += bucket.bought
            sold += bucket.sold
            prints += bucket.trades
        found = _imbalance(bought, sold) if prints >= self.settings.prints_min else None
        return "too few trades" if found is None else found


def _near(levels: tuple[tuple[int, int], ...], near: int) -> int:
    """Micro-shares within ``near`` ticks of the best level, which comes first; -1: some size is not told."""
    if not levels:
        return -1
    best = levels[0][0]
    total = 0
    for price, size in levels:
        if abs(price - best) > near:
            break
        if size < 0:
            return -1
        total += size
    return total


def _imbalance(ours: int, theirs: int) -> float | None:
    """Of two sizes, -1 to 1; None when both are nothing."""
    return (ours - theirs) / (ours + theirs) if ours + theirs > 0 else None
