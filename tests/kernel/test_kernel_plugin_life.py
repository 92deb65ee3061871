"""Plugins that go, come and are put out of service: what stands of them, and what the kernel heeds from then on."""

from __future__ import annotations

from polyhost.model.commands import Cancel, Tell
from polyhost.model.events import PluginChanged, PluginStruck
from polyhost.model.money import ticks
from polyhost.model.proposals import ExitTarget, QuoteTarget
from polyhost.model.records import NoticeRaised, ObligationMet, PluginMoved
from polyhost.model.words import Action, OrderState, Side

from .rig import CONDITION, START, Rig, only


def gone(rig: Rig, *told_hooks: str, channels: tuple[str, ...] = ()) -> None:
    rig.do(PluginChanged("test", "disabled", "ann", "enough", told_hooks, channels, '{"a": 1}', '{"enabled": false}'))


def covered() -> Rig:
    """A position with its exit resting, as plugin ``test`` wants it."""
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    rig.enter()
    rig.accept(rig.posted(rig.answer(ExitTarget(Side.UP, ticks("0.99")))))
    return rig


def resting(rig: Rig) -> list[str]:
    return [
        order.ref for order in rig.kernel.state.open_orders(CONDITION)
        if order.draft.action is Action.SELL and order.state is OrderState.WORKING
    ]


def test_plg_03_who_changed_a_plugin_and_why_is_recorded_with_its_table() -> None:
    rig = Rig()
    gone(rig)
    assert rig.records[-1] == PluginMoved(
        rig.now, "test", "disabled", "ann", "enough", '{"a": 1}', '{"enabled": false}'
    )


def test_plg_05_what_a_plugin_wanted_ends_with_the_next_evaluation_and_the_obligation_stands() -> None:
    rig = covered()
    assert len(resting(rig)) == 1
    gone(rig)
    assert len(resting(rig)) == 1, "a resting exit is no danger: it goes when nobody wants it any more"
    cancel = only(rig.answer(), Cancel)
    order = rig.kernel.state.by_order_id(cancel.order_id)
    assert order is not None
    rig.canceled(order)
    due = rig.kernel.state.obligations[f"{CONDITION}:UP"]
    while rig.now < due + 5_000:
        rig.answer()
    data = rig.kernel.data(CONDITION)
    assert data is not None
    assert data.exit(Side.UP).forced, "the host closes it"
    assert not any(isinstance(record, ObligationMet) for record in rig.records)


def test_plg_05_quotes_of_a_plugin_that_is_gone_are_withdrawn() -> None:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    post = rig.posted(rig.answer(QuoteTarget(Side.UP, Action.BUY, ticks("0.38"), 50_000_000)))
    rig.accept(post)
    gone(rig)
    assert only(rig.answer(), Cancel).order_id == post.request.order_id


def test_plg_03_the_schedules_begin_with_the_first_plugin_that_has_one_and_run_once() -> None:
    rig = Rig()
    assert not any(isinstance(command, Tell) for command in rig.wait(3_000))
    for _ in range(2):
        rig.do(PluginChanged("late", "enabled", "ann", "", ("on_timer",), ()))
    told = [command for command in rig.wait(5_000) if isinstance(command, Tell)]
    assert [command.hook for command in told] == ["on_timer"] * 5


def test_plg_05_a_quarantine_is_a_record_and_a_notice_with_the_way_back_and_a_strike_is_a_notice() -> None:
    rig = Rig()
    rig.do(PluginStruck("wild", "signal: ValueError", False))
    assert rig.kernel.state.quarantined == {}
    rig.do(PluginStruck("wild", "signal: ValueError", True))
    assert rig.kernel.state.quarantined == {"wild": "signal: ValueError"}
    texts = [record.text for record in rig.records if isinstance(record, NoticeRaised)]
    assert texts[-2:] == [
        "Plugin wild has a strike: signal: ValueError",
        "Plugin wild is quarantined: signal: ValueError; let it in again with `polyhost plugins release wild`",
    ]
    for change in ("released", "enabled", "disabled", "set", "accepted"):
        rig.do(PluginStruck("wild", "again", True))
        rig.do(PluginChanged("wild", change, "ann", "", (), ()))
        assert rig.kernel.state.quarantined == {}, change
