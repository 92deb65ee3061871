"""SIG-09: every evaluation leaves every opinion and the market's own, and an entry's record keeps them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from polyhost.kernel.studies import evaluation_row, prior_of
from polyhost.model.commands import Analyse
from polyhost.model.events import Abstained, Candidate, Evaluated, Proposed
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import Enter, Estimate, Signal
from polyhost.model.records import OrderIntended
from polyhost.model.study import EstimateSaid, Evaluation, SignalSaid
from polyhost.model.view import Quote
from polyhost.model.words import Bias, Side

from .rig import START, Rig


def opened(book: str = "0.40/0.42") -> Rig:
    rig = Rig()
    rig.kernel.analyse = True
    rig.to(START + 60_000)
    rig.kernel.price("binance", "BTC", 6_412_350_000_000, START + 59_000, rig.now)
    rig.book(book)
    return rig


def evaluated(rig: Rig, **more: Any) -> Evaluated:
    view = rig.ask().view
    return Evaluated(
        view.view_seq, view.book_epoch, view.state_rev, view.market.condition_id,
        signals=(("s", Signal(0.7, 0.5)),),
        estimates=(("additive", Estimate(0.62, 0.24, Bias.UP)), ("bayesian", Estimate(0.45, 0.1, Bias.DOWN))),
        trading="additive", **more,
    )


def row_of(rig: Rig) -> Evaluation:
    """The last row as it comes back from the database."""
    rows = [command.row for command in rig.commands if isinstance(command, Analyse) and command.table == "evaluations"]
    return msgspec.json.decode(msgspec.json.encode(rows[-1]), type=Evaluation)


def test_sig_09_the_row_of_an_evaluation_says_what_everybody_said_and_what_the_market_said() -> None:
    rig = opened()
    event = evaluated(rig, abstained=(Abstained("signal", "sentiment"), Abstained("combine", "third", "is away")))
    rig.do(event)
    row = row_of(rig)
    assert list(row.omissions()) == []
    assert (row.prior, row.no_prior, row.bid, row.ask) == (0.41, "", 4_000, 4_200)
    assert (row.bid_size, row.ask_size, row.fee_ppm, row.fee_exponent) == (1_000_000_000, 1_000_000_000, 70_000, 1)
    assert (row.spot, row.opens_at, row.time_left_ms) == (64_123.5, START, START + 900_000 - row.at)
    assert (row.trading, row.view_seq, row.gate) == ("additive", event.view_seq, "no_proposal")
    assert row.signals == {"s": SignalSaid(0.7, 0.5), "sentiment": SignalSaid(None, None, "no opinion")}
    assert row.estimates == {
        "additive": EstimateSaid(0.62, 0.24, "UP"), "bayesian": EstimateSaid(0.45, 0.1, "DOWN"),
        "third": EstimateSaid(None, None, None, "is away"),
    }


def test_sig_09_an_entry_keeps_the_opinions_it_came_from() -> None:
    rig = opened()
    wish = Proposed("policy", Enter(Side.UP, ticks("0.42"), "cheap"))
    rig.do(
        evaluated(rig, candidates=(Candidate(wish, micros("25"), "sizer"),), abstained=(Abstained("signal", "mute"),))
    )
    (intended,) = (record for record in rig.records if isinstance(record, OrderIntended))
    why = intended.why
    assert (why["combiner"], why["prior"], why["abstained"]) == ("additive", "0.41000", "mute (no opinion)")
    assert why["signals"] == "s 0.7000/0.500"
    assert why["estimates"] == "additive 0.6200/0.240/UP, bayesian 0.4500/0.100/DOWN"
    left_s = (START + 900_000 - rig.now) / 1_000
    assert (why["spot"], why["strike"], why["time_left_s"]) == ("64123.5", "", f"{left_s:.3f}")
    assert row_of(rig).gate == ""


def test_sig_09_the_row_is_about_the_view_that_was_answered_whatever_came_since() -> None:
    """The book moves between question and answer: prior and prices are still those that the plugins saw."""
    rig = opened()
    event = evaluated(rig)
    rig.book("0.60/0.62")
    rig.do(event)
    row = row_of(rig)
    assert (row.prior, row.view_seq) == (0.41, event.view_seq)


@pytest.mark.parametrize(
    ("bid", "ask", "prior", "why"),
    [
        (4_000, 4_200, 0.41, ""),
        (4_000, 4_100, 0.405, ""),
        (0, 4_200, None, "one side of the book is empty"),
        (4_000, 10_000, None, "one side of the book is empty"),
        (0, 10_000, None, "the book is empty"),
        (4_200, 4_200, None, "the book is crossed"),
    ],
)
def test_a_market_without_a_price_says_why_it_has_none(bid: int, ask: int, prior: float | None, why: str) -> None:
    assert prior_of(Quote(bid, ask, 1, 1)) == (prior, why)


def test_an_empty_side_has_neither_price_nor_size_and_unknown_sizes_stay_unknown() -> None:
    rig = opened()
    view = rig.ask().view
    event = Evaluated(view.view_seq, 1, 1, view.market.condition_id, trading="additive")
    one_sided = msgspec.structs.replace(view, up=Quote(0, 4_200, 0, -1))
    row = evaluation_row(event, one_sided, "")
    assert (row["bid"], row["bid_size"], row["ask"], row["ask_size"]) == (None, None, 4_200, None)


def test_a_combiner_that_should_trade_and_does_not_run_is_no_gap() -> None:
    rig = opened()
    view = rig.ask().view
    rig.do(Evaluated(view.view_seq, view.book_epoch, view.state_rev, view.market.condition_id, trading="additive"))
    row = row_of(rig)
    assert row.estimates == {"additive": EstimateSaid(None, None, None, "not running")}
    assert list(row.omissions()) == []


def test_sig_09_whatever_is_left_out_of_a_row_is_found() -> None:
    rig = opened()
    rig.do(evaluated(rig))
    whole = row_of(rig)
    change = msgspec.structs.replace
    for broken, name in (
        (change(whole, prior=None), "prior"),
        (change(whole, trading=""), "trading"),
        (change(whole, estimates={"bayesian": whole.estimates["bayesian"]}), "estimates.additive"),
        (change(whole, signals={"s": SignalSaid(0.7, None)}), "signals.s"),
        (change(whole, estimates=whole.estimates | {"bayesian": EstimateSaid(0.4, None, "UP")}), "estimates.bayesian"),
        (change(whole, signals={"s": SignalSaid(0.7, 0.5, "mute")}), "signals.s"),
    ):
        assert list(broken.omissions()) == [name]
