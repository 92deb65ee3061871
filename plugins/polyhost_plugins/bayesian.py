"""The Bayesian combiner: the market's price is the prior, every signal one likelihood ratio (SIG-08, SIG-10).

In log-odds evidence adds up (I. J. Good, *Probability and the Weighing of Evidence*, 1950, chapter 6):

    log-odds(posterior) = log-odds(prior) + sum(log(factor))        log-odds(p) = log(p / (1 - p))

- ``prior`` is the UP token's midpoint. Without a complete quote there is none, and the combiner abstains.
- A signal's likelihood ratio is ``ratio_max ** strength``, with the signed strength of ``Signal.strength``: a signal at
  full strength says the odds are ``ratio_max`` times better (or worse) than without it, a silent one says nothing.
- ``factor = ratio ** (reliability * discount)``. The exponent tempers the ratio, as in a logarithmic opinion pool
  (Genest and Zidek, *Combining probability distributions*, 1986): 1 believes it whole, 0 ignores the signal.
- ``discount`` is 1 for the weightiest signal of each direction and ``dependence_discount`` for the others of that
  direction, because signals that look at the same price are not independent witnesses.

Learning (off by default) fits each reliability to settled windows, each signal as if it stood alone beside the price.
One sample a window: the first evaluation at or after ``learning_at`` of the window's length (at most ``SAMPLE_LATE`` of
the length later, else none). At the result, with ``x = strength * log(ratio_max)`` and ``p`` the probability that prior
and signal gave together, one step of sequential logistic regression (Spiegelhalter and Lauritzen, 1990):

    precision += p * (1 - p) * x**2        reliability += (won - p) * x / precision        (kept in 0..reliability_max)

A reliability starts at its setting with ``learning_precision``. State: ``learned`` (version, and for each signal start,
reliability, precision, windows) and ``sample:CONDITION_ID`` for windows without a result yet; written by ``on_timer``
and ``on_settlement``. A setting that changed starts its signal anew. Split results teach nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import exp, log
from typing import Any

from pydantic import Field, field_validator

from polyhost import (
    ONE,
    Abstain,
    CloseRecorded,
    Estimate,
    Market,
    MarketSettled,
    Notice,
    Plugin,
    Settings,
    Side,
    Signal,
    View,
    hookimpl,
)

RELIABILITY = {
    "divergence": 0.5,
    "binance_momentum": 0.5,
    "polymarket_momentum": 0.3,
    "order_flow": 0.3,
    "indicators": 0.2,
    "sentiment": 0.1,
}
LOG_ODDS_MAX = 20.0
"""Beyond it a double's probability is 0 or 1, which no estimate may be."""
STATE_VERSION = 1
"""Of what learning keeps; state of another version is left alone."""
SAMPLE_LATE = 0.25
"""Of the window's length: a sample taken this much after its moment would be of another kind of moment."""
SAMPLES_MAX = 64
"""Windows sampled and not settled; the oldest are given up. Eight markets at a time would be many."""
LEARNED = "learned"
SAMPLE_KEY = "sample:"


class BayesianSettings(Settings):
    reliability: dict[str, float] = Field(default_factory=lambda: dict(RELIABILITY))
    """Exponent of each signal's likelihood ratio by plugin name, 0 to 1. Names given replace or add to the shipped
    ones; a signal without one, or with 0, is ignored."""
    ratio_max: float = Field(default=3.0, gt=1, le=100)
    """Likelihood ratio of a signal at full strength: it makes the odds this many times better."""
    dependence_discount: float = Field(default=0.7, ge=0, le=1)
    """Second and further signals in one direction count this fraction of their reliability."""
    bias_confidence_min: float = Field(default=0.05, ge=0, lt=1)
    """Below this confidence the bias is NONE."""
    learning: bool = False
    """Fit the reliabilities to settled windows. What was learned is kept, and not used, while this is false."""
    learning_at: float = Field(default=0.5, ge=0, le=0.75)
    """Share of a window's length after which its one sample is taken."""
    learning_precision: float = Field(default=5.0, gt=0)
    """How firmly a reliability starts at its setting: the number 1 / variance; 5 is a standard deviation of 0.45."""
    reliability_max: float = Field(default=1.0, gt=0, le=2)
    """Learning takes no reliability (an exponent) above this."""

    @field_validator("reliability", mode="before")
    @classmethod
    def _over_the_shipped(cls, value: object) -> object:
        return RELIABILITY | value if isinstance(value, dict) else value

    @field_validator("reliability")
    @classmethod
    def _exponents(cls, value: dict[str, float]) -> dict[str, float]:
        for name, exponent in value.items():
            if not 0 <= exponent <= 1:
                raise ValueError(f"reliability of {name} is {exponent}; it must be from 0 to 1")
        return value


class Bayesian(Plugin):
    name = "bayesian"
    description = "The market's price as prior, each signal a likelihood ratio with its own reliability."
    Settings = BayesianSettings
    settings: BayesianSettings
    timer_s = 10.0

    def __init__(self, settings: BayesianSettings) -> None:
        super().__init__(settings)
        self._starts = {name: exponent for name, exponent in settings.reliability.items() if exponent > 0}
        self._reliability = self._starts
        self._log_ratio = log(settings.ratio_max)
        self._discount = settings.dependence_discount
        self._reliability_max = settings.reliability_max
        self._learns = settings.learning
        self._fresh: dict[str, dict[str, Any]] = {}
        """Samples taken since the last timer, by condition id; the timer makes them durable."""
        self._sampled: dict[str, None] = {}
        """Windows of which there is a sample, the newest last."""

    # --- the estimate -------------------------------------------------------------------------------------------------

    @hookimpl
    def combine(self, view: View, signals: tuple[tuple[str, Signal], ...]) -> Estimate | Abstain:
        """Prior times factors; the prior alone when no signal counts; abstains without a complete quote."""
        up = view.up
        if not up.complete:
            return Abstain("no complete quote, so no prior")
        prior = (up.bid + up.ask) / (2 * ONE)
        known = self._reliability
        scale = self._log_ratio
        # The weight of each signal's evidence, at reliability 1.
        evidence = {name: signal.strength * scale for name, signal in signals if name in known}
        start = log(prior / (1 - prior))
        if self._learns:
            self._sample(view, start, evidence)
        weights = self._discounted({name: known[name] * said for name, said in evidence.items()})
        log_odds = min(max(start + sum(weights.values()), -LOG_ODDS_MAX), LOG_ODDS_MAX)
        posterior = 1 / (1 + exp(-log_odds))
        factors = {name: exp(weight) for name, weight in weights.items()}
        return Estimate.of_probability(
            posterior,
            f"prior {prior:.4f}, posterior {posterior:.4f}",
            {"prior": prior, **factors, "posterior": posterior},
            self.settings.bias_confidence_min,
        )

    def _discounted(self, weights: dict[str, float]) -> dict[str, float]:
        """The weightiest of each direction counts whole, the others of that direction less."""
        if not weights:
            return weights
        most, least = max(weights, key=weights.__getitem__), min(weights, key=weights.__getitem__)
        whole = [name for name, leads in ((most, weights[most] > 0), (least, weights[least] < 0)) if leads]
        discount = self._discount
        return {name: weight if name in whole else weight * discount for name, weight in weights.items()}

    # --- learning -----------------------------------------------------------------------------------------------------

    def _sample(self, view: View, start: float, evidence: dict[str, float]) -> None:
        """Keep what was said at the window's moment: once, and not when that moment is long past."""
        market = view.market
        if market.start is None or market.condition_id in self._sampled:
            return
        passed = (view.now - market.start) / (market.end - market.start) - self.settings.learning_at
        if not 0 <= passed <= SAMPLE_LATE:
            return
        self._sampled[market.condition_id] = None
        self._fresh[market.condition_id] = {
            "version": STATE_VERSION, "at": view.now, "prior_log_odds": start, "evidence": evidence,
        }

    @hookimpl
    def start(self) -> Iterable[Notice] | None:
        """Take up what was learned before; state of another version is told, left alone, and nothing is learned."""
        self._fresh.clear()
        self._learns = self.settings.learning
        if not self._learns:
            return None
        kept = [self.state.get(LEARNED), *(self.state[key] for key in self.state if key.startswith(SAMPLE_KEY))]
        strange = {each.get("version") for each in kept if each is not None} - {STATE_VERSION}
        if strange:
            self._learns = False
            return [Notice(
                f"{self.name} keeps state of version {min(map(str, strange))}, this one knows {STATE_VERSION}: "
                "it trades by its settings and learns nothing", "warning",
            )]
        samples = [(self.state[key]["at"], key) for key in self.state if key.startswith(SAMPLE_KEY)]
        self._sampled = dict.fromkeys(key.removeprefix(SAMPLE_KEY) for _, key in sorted(samples))
        self._use(self._learned())
        return None

    @hookimpl
    def on_timer(self, at: int) -> None:
        """Make the samples taken since the last time durable: only ``on_…`` hooks may write state."""
        for condition_id, sample in self._fresh.items():
            self.state[SAMPLE_KEY + condition_id] = sample
        self._fresh.clear()
        while len(self._sampled) > SAMPLES_MAX:
            oldest = next(iter(self._sampled))
            del self._sampled[oldest]
            self.state.pop(SAMPLE_KEY + oldest, None)

    @hookimpl
    def on_settlement(
        self, market: Market, result: MarketSettled, closes: tuple[CloseRecorded, ...], at: int
    ) -> None:
        """Learn from the window's sample, once."""
        condition_id = market.condition_id
        if not self._learns or condition_id not in self._sampled:
            return
        del self._sampled[condition_id]
        durable = self.state.pop(SAMPLE_KEY + condition_id, None)
        sample = self._fresh.pop(condition_id, durable)
        if sample is None or result.winner is None:
            return
        learned = self._learned()
        for name, said in sample["evidence"].items():
            if name in learned:
                _step(learned[name], sample["prior_log_odds"], said, result.winner is Side.UP, self._reliability_max)
        self.state[LEARNED] = {"version": STATE_VERSION, "signals": learned}
        self._use(learned)

    def _learned(self) -> dict[str, dict[str, float]]:
        """What is known of each signal: as kept, or as its setting starts it."""
        kept = self.state.get(LEARNED, {"signals": {}})["signals"]
        fresh = {"precision": self.settings.learning_precision, "windows": 0}
        return {
            name: kept[name] if name in kept and kept[name]["start"] == start
            else {"start": start, "reliability": start, **fresh}
            for name, start in self._starts.items()
        }

    def _use(self, learned: dict[str, dict[str, float]]) -> None:
        self._reliability = {name: each["reliability"] for name, each in learned.items()}
        self.metrics |= {f"reliability_{name}": value for name, value in self._reliability.items()}


def _step(known: dict[str, float], prior_log_odds: float, said: float, won: bool, most: float) -> None:
    """One window's lesson for one signal, in place; a signal that said nothing taught nothing."""
    if not said:
        return
    p = 1 / (1 + exp(-min(max(prior_log_odds + known["reliability"] * said, -LOG_ODDS_MAX), LOG_ODDS_MAX)))
    known["precision"] += p * (1 - p) * said * said
    moved = known["reliability"] + (won - p) * said / known["precision"]
    known["reliability"] = min(max(moved, 0.0), most)
    known["windows"] += 1
