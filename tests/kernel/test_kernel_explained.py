"""What an order keeps of the opinions behind it, for ``why`` (EVD-03)."""

from __future__ import annotations

from polyhost.model.commands import Prepare
from polyhost.model.events import Candidate, Evaluated, Proposed
from polyhost.model.money import micros, ticks
from polyhost.model.proposals import Enter, Estimate, Signal
from polyhost.model.words import Bias, Side

from .rig import START, Rig, only


def test_sig_08_an_order_keeps_prior_every_factor_and_posterior() -> None:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book()
    view = rig.ask().view
    parts = {"prior": 0.55, "momentum": 1.2345678, "posterior": 0.6014}
    draft = only(rig.do(Evaluated(
        view.view_seq, view.book_epoch, view.state_rev, view.market.condition_id, (("momentum", Signal(0.7, 0.4)),),
        (("plain", Estimate(0.7, 0.4, Bias.UP)), ("bayesian", Estimate(0.6014, 0.2028, Bias.UP, "", parts))), "plain",
        (Candidate(Proposed("test", Enter(Side.UP, ticks("0.60"))), micros("25"), "sizer"),),
    )), Prepare).draft
    why = rig.kernel.state.orders[draft.ref].why
    assert why["parts_bayesian"] == "prior 0.55, momentum 1.235, posterior 0.6014"
    assert "parts_plain" not in why
