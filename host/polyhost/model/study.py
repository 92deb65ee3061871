"""What one evaluation leaves for studies: everybody's opinion of a market at one instant, and the market's own.

Every field is stated at every evaluation. Who had no opinion says so (``abstained``), and so does a market without a
price (``no_prior``): nothing is left out, so that a comparison never rests on what somebody forgot to fill (SIG-09).
Probabilities and reference prices are floats, being opinions and their input; prices are ticks, sizes micro-shares.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct


class SignalSaid(Struct, frozen=True):
    """One signal at one evaluation. ``p_up`` and ``weight`` are None exactly when ``abstained`` says why."""

    p_up: float | None
    weight: float | None
    abstained: str = ""


class EstimateSaid(Struct, frozen=True):
    """One combiner at one evaluation. All three are None exactly when ``abstained`` says why."""

    p_up: float | None
    confidence: float | None
    bias: str | None
    abstained: str = ""


class Evaluation(Struct, frozen=True):
    """One row of analysis.db's ``evaluations``: prices and inputs as the plugins saw them, then what they said."""

    at: int
    """Market ms of the view."""
    condition_id: str
    slug: str
    view_seq: int
    opens_at: int | None
    """The window's start, market ms; None: a market without a window."""
    time_left_ms: int
    bid: int | None
    """Best UP bid, ticks; None: nobody bids. The DOWN ask is 10,000 less it."""
    ask: int | None
    """Best UP ask, ticks; None: nobody offers."""
    bid_size: int | None
    """Micro-shares at the best bid; None: nobody bids, or the source tells no sizes."""
    ask_size: int | None
    book_age_ms: int
    fee_ppm: int
    """The market's taker fee: ppm of (p * (1 - p)) ** fee_exponent a share."""
    fee_exponent: int
    prior: float | None
    """The market's own probability of UP: the midpoint. None exactly when ``no_prior`` says why."""
    no_prior: str
    spot: float | None
    """None: no spot feed, or none yet."""
    spot_age_ms: int
    strike: float | None
    """None: not known yet."""
    reference: float | None
    """Latest value of the settlement feed; None: none."""
    trading: str
    """The combiner that trades."""
    gate: str
    """What kept an entry out; empty: an entry was placed."""
    signals: dict[str, SignalSaid]
    estimates: dict[str, EstimateSaid]
    gate_text: str = ""
    """What that gate compared, or its refusal in words; empty with an empty gate."""

    def omissions(self) -> Iterator[str]:
        """What should have been said and was not; nothing when the row can be compared."""
        if (self.prior is None) is not bool(self.no_prior):
            yield "prior"
        if not self.trading:
            yield "trading"
        elif self.trading not in self.estimates:
            yield f"estimates.{self.trading}"
        for name, signal in self.signals.items():
            if _unsaid((signal.p_up, signal.weight), signal.abstained):
                yield f"signals.{name}"
        for name, estimate in self.estimates.items():
            if _unsaid((estimate.p_up, estimate.confidence, estimate.bias), estimate.abstained):
                yield f"estimates.{name}"


class Explained(Struct, frozen=True):
    """What became of one entry that a plugin wanted: a row of analysis.db's ``explanations`` (EVD-03)."""

    at: int
    """Market ms of the end."""
    condition_id: str
    slug: str
    view_seq: int
    """Of the view that it answers; counted anew by every run."""
    plugin: str
    purpose: str
    side: str
    """UP or DOWN; empty: a pair that leaves it to the host which leg goes first."""
    key: str
    price_max: int | None
    """Ticks; None: a pair."""
    stake: int | None
    """Micro-units of collateral; None: nobody sized it."""
    outcome: str
    """order, veto, refused, stale (what was seen holds no more), late, outbid or merged."""
    gate: str
    """The first gate that refused it; empty: none did."""
    by: str
    """Who decided: the guard that vetoed, the plugin that it lost to, who sized the order; host for gates."""
    text: str
    order: str = ""
    """Our reference of the order that it became."""
    vetoes: tuple[str, ...] = ()
    """Every guard's refusal, also where another gate came first."""


def _unsaid(values: tuple[object, ...], abstained: str) -> bool:
    """Some value is missing without a word, or stands beside an abstention."""
    return any((value is None) is not bool(abstained) for value in values)
