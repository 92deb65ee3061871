"""What the kernel leaves for studies: a row an evaluation, the quote at it, and once a minute what a position is worth.

Prices are ticks of 1e-4, sizes and money micro-units; null is "unknown". None of it decides anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import asdict

from polyhost.kernel.state import MarketState, PositionEntry
from polyhost.kernel.volatile import MarketData
from polyhost.model.events import Evaluated
from polyhost.model.money import ONE
from polyhost.model.proposals import Skip
from polyhost.model.study import EstimateSaid, Evaluation, SignalSaid
from polyhost.model.view import Quote, View

NO_OPINION = "no opinion"
"""Why a plugin abstained that answered nothing and gave no reason."""


def evaluation_row(event: Evaluated, view: View, gate: str, gate_text: str = "") -> dict[str, Any]:
    """The evaluation as the plugins saw it and what all of them said, those that abstained too (SIG-09)."""
    signals = {name: SignalSaid(said.p_up, said.weight) for name, said in event.signals}
    estimates = {
        name: EstimateSaid(said.p_up, said.confidence, said.bias.value) for name, said in event.estimates
    }
    for missing in event.abstained:
        why = missing.reason or NO_OPINION
        if missing.hook == "signal":
            signals[missing.plugin] = SignalSaid(None, None, why)
        else:
            estimates[missing.plugin] = EstimateSaid(None, None, None, why)
    if event.trading not in estimates:
        estimates[event.trading] = EstimateSaid(None, None, None, "not running")
    up, market = view.up, view.market
    prior, no_prior = prior_of(up)
    return asdict(Evaluation(
        view.now, event.condition_id, market.slug, view.view_seq, market.start,
        market.end - view.now,
        up.bid or None, up.ask if up.ask < ONE else None, _told(up.bid, up.bid_size), _told(ONE - up.ask, up.ask_size),
        view.book_age_ms, market.fees.rate, market.fees.exponent, prior, no_prior,
        view.spot, view.spot_age_ms, view.strike, view.reference, event.trading, gate, signals, estimates,
        gate_text,
    ))


def skip_text(skip: Skip) -> str:
    """What a plugin compared when it skipped."""
    return _listed(f"{name} {value:.6g}" for name, value in skip.values.items())


def prior_of(up: Quote) -> tuple[float | None, str]:
    """The market's own probability of UP, or None and why it has none."""
    if up.complete:
        return (up.bid + up.ask) / (2 * ONE), ""
    if up.bid <= 0 and up.ask >= ONE:
        return None, "the book is empty"
    return None, "one side of the book is empty" if up.bid <= 0 or up.ask >= ONE else "the book is crossed"


def opinions_why(event: Evaluated, view: View | None) -> dict[str, str]:
    """What an order's record keeps of the evaluation it came from: every opinion, the market's, and their input.

    Signals read ``name p_up/weight``, estimates ``name p_up/confidence/bias``. Empty texts: there was none.
    """
    told = {
        "combiner": event.trading,
        "signals": _listed(f"{name} {said.p_up:.4f}/{said.weight:.3f}" for name, said in event.signals),
        "estimates": _listed(
            f"{name} {said.p_up:.4f}/{said.confidence:.3f}/{said.bias.value}" for name, said in event.estimates
        ),
        "abstained": _listed(f"{each.plugin} ({each.reason or NO_OPINION})" for each in event.abstained),
    }
    if view is None:
        return told
    prior, no_prior = prior_of(view.up)
    return told | {
        "prior": no_prior if prior is None else f"{prior:.5f}",
        "spot": _number(view.spot), "strike": _number(view.strike), "time_left_s": f"{view.time_left_s:.3f}",
    }


def quote_row(now: int, entry: MarketState, data: MarketData) -> dict[str, object]:
    """Both best prices of the UP token with their sizes, as they were when the answer was taken."""
    book = data.book
    return {
        "at": now, "condition_id": entry.market.condition_id, "slug": entry.market.slug,
        "bid": book.best_bid or None, "bid_size": book.bids.get(book.best_bid),
        "ask": book.best_ask if book.best_ask < ONE else None, "ask_size": book.asks.get(book.best_ask),
        "book_epoch": book.epoch, "book_age_ms": now - book.changed_at,
    }


def mark_row(now: int, entry: MarketState, data: MarketData, position: PositionEntry) -> dict[str, object]:
    """An open position at its token's best prices; ``worth`` at the bid, None without one."""
    bid, ask = data.book.best(position.side) if data.book.ready else (0, ONE)
    return {
        "at": now, "condition_id": position.condition_id, "slug": entry.market.slug, "side": position.side.value,
        "size": position.size, "cost": position.cost, "bid": bid or None, "ask": ask if ask < ONE else None,
        "worth": position.size * bid // ONE if bid else None,
    }


def _told(price: int, size: int) -> int | None:
    """A size that there is; 0 or less: an empty side, or a source without sizes."""
    return size if price > 0 and size > 0 else None


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(texts)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.8g}"
