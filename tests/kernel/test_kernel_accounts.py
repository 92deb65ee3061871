"""CON-13: accounts share what the market says and nothing else."""

from __future__ import annotations

from polyhost.kernel.kernel import Kernel
from polyhost.kernel.state import State
from polyhost.model.events import PostAnswered, StreamChanged
from polyhost.model.money import ticks
from polyhost.model.proposals import Enter
from polyhost.model.words import Side

from .rig import START, Rig


def test_con_13_what_befalls_one_account_leaves_the_other_as_it_was() -> None:
    """Two kernels on the same books: one has its signing refused and its stream lost, the other trades on."""
    first, second = Rig(), Rig()
    for rig in (first, second):
        rig.to(START + 60_000)
        rig.book("0.40/0.42")
    untouched = second.kernel.state
    post = first.posted(first.answer(Enter(Side.UP, ticks("0.42"), "test")))
    first.do(PostAnswered(post.request.order_id, "unknown", text="connection lost"))
    first.do(StreamChanged("user", False, 1, "lost"))
    assert first.kernel.blocks()
    assert second.kernel.blocks() == []
    assert second.kernel.state == untouched
    assert second.kernel.state.orders == {}
    order = second.enter()
    assert order.slot.side is Side.UP
    assert first.kernel.state.fills == {}


def test_con_13_no_state_is_kept_beside_the_kernels_own() -> None:
    """A new kernel begins empty however much another has done: nothing lives in a module or a class."""
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    rig.enter()
    assert Kernel(rig.kernel._core.settings, "other").state == State(account="other")
