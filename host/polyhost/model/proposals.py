"""What plugins answer: opinions (signals, estimates) and wishes (proposals). None of them is an order.

Probabilities, weights and strengths are floats; prices and amounts are exact (``Price``, ``Money``, ``Shares``).
"""

from __future__ import annotations

from math import copysign, sqrt
from typing import TypeAlias

from msgspec import Struct, field

from polyhost.model.money import Micros, Ticks
from polyhost.model.words import Action, Bias, Purpose, Side


class Signal(Struct, frozen=True, tag="signal", tag_field="kind"):
    """An opinion on one market. ``p_up`` in (0, 1), ``weight`` in [0, 1]: how much the plugin itself trusts it now."""

    p_up: float
    weight: float
    reason: str = ""
    features: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of_direction(
        cls, direction: int, strength: float, reason: str = "", features: dict[str, float] | None = None
    ) -> Signal:
        """+1 (up), -1 (down) or 0 with a strength in [0, 1]; full strength is p_up 0.99 or 0.01, weight = strength."""
        bounded = min(max(strength, 0.0), 1.0)
        return cls(0.5 + 0.49 * direction * bounded, bounded, reason, features or {})

    @property
    def strength(self) -> float:
        """Signed, in [-1, 1]: the geometric mean of the distance from even and of the plugin's own trust.

        For ``of_direction`` that is the strength it was given (0.99 of it).
        """
        lean = 2 * self.p_up - 1
        return copysign(sqrt(abs(lean) * self.weight), lean)


class Abstain(Struct, frozen=True, tag="abstain", tag_field="kind"):
    """No opinion now, and what is missing for one: shown by ``why`` and kept with the evaluation."""

    reason: str


class Estimate(Struct, frozen=True, tag="estimate", tag_field="kind"):
    """A combiner's view of one market: ``p_up`` in (0, 1); ``confidence`` in [0, 1]."""

    p_up: float
    confidence: float
    bias: Bias
    reason: str = ""
    parts: dict[str, float] = field(default_factory=dict)
    """Contribution of each signal, for explanations."""

    @classmethod
    def of_probability(
        cls, p_up: float, reason: str = "", parts: dict[str, float] | None = None, bias_confidence_min: float = 0.05
    ) -> Estimate:
        """The one definition of confidence, ``abs(2 p_up - 1)``, and of bias: NONE below a confidence (SIG-10)."""
        confidence = abs(2 * p_up - 1)
        bias = Bias.NONE
        if confidence >= bias_confidence_min and confidence > 0:
            bias = Bias.UP if p_up > 0.5 else Bias.DOWN
        return cls(p_up, confidence, bias, reason, parts or {})

    @property
    def favoured(self) -> Side:
        """The side more likely to win (UP when even)."""
        return Side.UP if self.p_up >= 0.5 else Side.DOWN

    def probability(self, side: Side) -> float:
        return self.p_up if side is Side.UP else 1.0 - self.p_up


Remembered: TypeAlias = str | int | float | bool | None
"""What a plugin may keep with an order; None forgets the key."""
ORDER_REF = "$order"
"""As a remembered value: the ref of the order (or pair) that the wish became."""


class Enter(Struct, frozen=True, tag="enter", tag_field="kind"):
    """Buy one side at ``price_max`` ticks or better.

    ``order_type``: FAK takes what is there, FOK all of it or nothing; GTC rests what it does not take at ``price_max``,
    GTD does so for ``valid_s``. ``edge`` (collateral a share after fees, an opinion) decides between opposite sides.
    """

    side: Side
    price_max: Ticks
    reason: str = ""
    purpose: Purpose = Purpose.ENTRY
    order_type: str = "FAK"
    stake: Micros | None = None
    """Collateral to spend; None leaves it to the ``size`` hooks."""
    edge: float = 0.0
    key: str = ""
    values: dict[str, float] = field(default_factory=dict)
    remember: dict[str, Remembered] = field(default_factory=dict)
    """Kept in the plugin's state if, and only if, the wish becomes an order; durable before the order is signed."""
    to_settlement: bool = False
    """It is bought to be held to the market's result: only then may it be bought after the time by which a position
    must be closed. Its plugin declares the position held itself (``HoldToSettlement``)."""
    valid_s: float = 0.0
    """GTD only: seconds of market time it may rest. The venue ends lives of two minutes and more, the host shorter
    ones by its own cancel."""
    post_only: bool = False
    """GTC and GTD only: it never takes. The host moves a price that would to one tick below the ask; what the book
    does afterwards the venue refuses."""


class Pair(Struct, frozen=True, tag="pair", tag_field="kind"):
    """Buy UP and DOWN of this market, the same number of shares of each, one leg after the other (ORD-13).

    Funds of both legs are reserved first; the second leg is bought when the first is settled, for what the first got;
    what stays without a partner is sold again. The two legs are held until they are merged or the market is settled.
    """

    up_price_max: Ticks
    down_price_max: Ticks
    stake: Micros
    """Collateral for both legs together, fees included, micro-units."""
    reason: str = ""
    first: Side | None = None
    """The leg to buy first; None: the one of which fewer shares are offered."""
    values: dict[str, float] = field(default_factory=dict)
    remember: dict[str, Remembered] = field(default_factory=dict)
    """As of ``Enter``; ``ORDER_REF`` is the pair's ref."""

    def price_max(self, side: Side) -> Ticks:
        return self.up_price_max if side is Side.UP else self.down_price_max

    def leg(self, side: Side) -> Enter:
        """One leg as an entry, for the plugins that review entries; it may cost the whole stake."""
        return Enter(side, self.price_max(side), self.reason, Purpose.LEG, stake=self.stake, values=self.values)


class Merge(Struct, frozen=True, tag="merge", tag_field="kind"):
    """Turn UP and DOWN of this market back into collateral, 1.00 a pair; ``size`` None: all that pairs off and is free.

    Only settled shares can be merged; exits that rest stand aside for a moment, once a minute: wish for it again then.
    """

    size: Micros | None = None
    reason: str = ""


class Split(Struct, frozen=True, tag="split", tag_field="kind"):
    """Turn collateral into as many UP and DOWN, 1.00 a pair (inventory for quotes); ``size`` micro-shares of each."""

    size: Micros
    reason: str = ""


class Skip(Struct, frozen=True, tag="skip", tag_field="kind"):
    """No entry, and the reason why: the first failed gate of a window without a trade."""

    reason: str
    values: dict[str, float] = field(default_factory=dict)


class Stake(Struct, frozen=True, tag="stake", tag_field="kind"):
    """Collateral to spend on an entry (the ``size`` hook), fees included; micro-units."""

    amount: Micros
    reason: str = ""


class Veto(Struct, frozen=True, tag="veto", tag_field="kind"):
    reason: str


class ExitTarget(Struct, frozen=True, tag="exit_target", tag_field="kind"):
    """A sell of the whole position should rest at ``price`` ticks. Equal targets are no change."""

    side: Side
    price: Ticks
    reason: str = ""
    tolerance: Ticks = 0
    """The host does not move a resting order for less than this."""
    valid_until: int = 0
    """Market ms from which it no longer stands unless it is proposed again; 0: as long as its owner proposes it."""
    least: Ticks | None = None
    """How low ``quote`` hooks may move it (REW-02); None: not below ``price``."""
    not_before: int = 0
    """Market ms before which nothing rests: until then it is pending, and shown with its ``reason``."""
    passive: bool = False
    """It is placed at least a tick above the best bid of that moment: it never takes."""


class QuoteTarget(Struct, frozen=True, tag="quote_target", tag_field="kind"):
    """An order that should rest at ``price`` ticks or more careful, always post-only: it never takes.

    A buy is sized by ``size`` (micro-shares) or ``stake`` (collateral); a sell is of shares that are held, all of them
    when ``size`` is None. ``key`` tells several quotes of one side apart. It stands while its owner proposes it;
    equal targets are no change. What a buy gets is a position like any other, with its exit and its obligation.
    """

    side: Side
    action: Action
    price: Ticks
    size: Micros | None = None
    stake: Micros | None = None
    key: str = ""
    valid_until: int = 0
    """Market ms from which it no longer stands unless it is proposed again; 0: the host's own limit alone."""
    tolerance: Ticks = 0
    """The host does not move a resting order for less than this."""
    size_tolerance: Micros = 0
    """Nor replace it for a size that differs by less than this."""
    reason: str = ""


class Reprice(Struct, frozen=True, tag="reprice", tag_field="kind"):
    """Move a resting entry of one's own (``OrderView.ref``) to another price: cancelled, proved, placed with the rest.

    It goes on resting: a price that would take is moved to one tick away from it.
    """

    ref: str
    price: Ticks
    reason: str = ""


class ExitNow(Struct, frozen=True, tag="exit_now", tag_field="kind"):
    """Sell the whole position at market, never below ``floor`` ticks in the first attempt.

    ``urgency`` is one of forced_close, floor, stop, reversal, exit_plan; the most urgent exit wins. One of exit_plan is
    planned: it waits while a scale-in of the position is bought, is no emergency, and keeps to its ``floor`` in every
    attempt; where nobody bids that any more it is given up, until a plugin wants it anew.
    """

    side: Side
    reason: str
    urgency: str = "stop"
    floor: Ticks | None = None


class Defer(Struct, frozen=True, tag="defer", tag_field="kind"):
    """Hold back exits of one named urgency (never ``floor`` or ``forced_close``) until a deadline in market ms."""

    side: Side
    urgency: str
    until: int
    reason: str


class HoldToSettlement(Struct, frozen=True, tag="hold", tag_field="kind"):
    """Declare the position knowingly held to the market's result; it meets the obligation to close."""

    side: Side
    reason: str


class CancelOrders(Struct, frozen=True, tag="cancel", tag_field="kind"):
    """Cancel our resting buys of this market (one side, or both when None), or one order by its ``ref``."""

    side: Side | None
    reason: str
    ref: str = ""
    """Of ``OrderView.ref``; empty: every buy of the side."""


class Trigger(Struct, frozen=True, tag="trigger", tag_field="kind"):
    """Ask again at once when this token's best bid or ask reaches a price: integers on the hot path.

    ``quote`` is bid or ask, ``direction`` above or below (reached counts), ``price`` in ticks of that token. For a
    midpoint see ``midpoint_triggers``.
    """

    side: Side
    quote: str
    direction: str
    price: Ticks


class Keep(Struct, frozen=True, tag="keep", tag_field="kind"):
    """Write these values into the plugin's own state, durable with this answer; equal ones are no change.

    For what an answering hook learns from a view and must still know after a restart (a high-water mark): rarely, since
    each change is a record.
    """

    values: dict[str, Remembered]
    """None forgets the key."""


class Notice(Struct, frozen=True, tag="notice", tag_field="kind"):
    """Something a person should know. ``level``: info, warning, critical."""

    text: str
    level: str = "info"
    topic: str = "plugin"


Proposal: TypeAlias = (
    Enter | Pair | Skip | ExitTarget | ExitNow | Defer | HoldToSettlement | QuoteTarget | Reprice | CancelOrders
    | Merge | Split | Trigger | Keep | Notice
)
EntryAnswer: TypeAlias = Enter | Skip
StandingTarget: TypeAlias = ExitTarget | QuoteTarget
ExitAnswer: TypeAlias = ExitTarget | ExitNow | Enter | Defer | HoldToSettlement | Trigger | Keep | Notice
Answer: TypeAlias = (
    Signal | Abstain | Estimate | Enter | Pair | Skip | Stake | Veto | ExitTarget | ExitNow | Defer | HoldToSettlement
    | QuoteTarget | Reprice | CancelOrders | Merge | Split | Trigger | Keep | Notice
)
URGENCY: dict[str, int] = {
    "forced_close": 0, "floor": 1, "stop": 2, "reversal": 3, "scale_in": 4, "exit_plan": 5, "reward_requote": 6,
}
"""Exits in order of urgency, the most urgent first (EXI-07)."""
