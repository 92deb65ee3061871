"""A FAK that the stream showed before its post was answered: without a usable answer its end is asked for (found by
simulation: it stayed open for ever, its position neither sold nor settled)."""

from __future__ import annotations

import pytest

from polyhost.model.commands import QueryOrder
from polyhost.model.events import PostAnswered
from polyhost.model.proposals import ExitNow
from polyhost.model.words import OrderState, Side

from .rig import START, Rig


@pytest.mark.parametrize("answered", [True, False])
def test_u1_a_fak_that_works_without_a_usable_answer_is_asked_for_until_it_is_closed(answered: bool) -> None:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    rig.enter()
    post = rig.posted(rig.answer(ExitNow(Side.UP, "test", "stop")))
    order = rig.order(post)
    rig.see(order, "LIVE", "10", "PLACEMENT")
    assert order.state is OrderState.WORKING
    if answered:
        rig.do(PostAnswered(order.order_id, "unknown", code="server_error", text="Internal server error", http=500))
    asked = [c for c in rig.wait(3_000) if isinstance(c, QueryOrder) and c.order_id == order.order_id]
    assert asked
    rig.trade(order, "10", "0.40")
    rig.see(order, "CANCELED", "10", source="query")
    assert not order.open
