"""Answers just inside and just outside what a hook allows; state and strikes."""

from __future__ import annotations

import pytest

from polyhost import (
    Action,
    Bias,
    CancelOrders,
    Defer,
    Enter,
    Estimate,
    ExitNow,
    ExitTarget,
    Notice,
    Purpose,
    QuoteTarget,
    Reprice,
    Side,
    Signal,
    Stake,
    Trigger,
    Veto,
)
from polyhost.errors import PluginError
from polyhost.extension.answers import ANSWERS_MAX, FEATURES_MAX, TEXT_MAX, AnswerError, checked, listed
from polyhost.extension.state import KEYS_MAX, VALUE_BYTES_MAX, PluginState, check_texts
from polyhost.extension.strikes import FORGIVEN_AFTER, Strikes

FINE = [
    ("signal", Signal(1e-9, 0.0)),
    ("signal", Signal(0.999999, 1.0, "x" * TEXT_MAX, {str(n): 1.0 for n in range(FEATURES_MAX)})),
    ("signal", Signal.of_direction(-1, 5.0)),
    ("combine", Estimate(0.5, 1.0, Bias.NONE)),
    ("entry", Enter(Side.UP, 1)),
    ("entry", Enter(Side.UP, 9_999, stake=1, order_type="GTC")),
    ("entry", Enter(Side.UP, 5_000, order_type="FOK")),
    ("entry", Enter(Side.UP, 5_000, order_type="GTC", post_only=True)),
    ("entry", Enter(Side.UP, 5_000, order_type="GTD", valid_s=0.001, post_only=True)),
    ("exit", Enter(Side.DOWN, 5_000, purpose=Purpose.HEDGE)),
    ("exit", ExitNow(Side.UP, "stop", "floor", 1)),
    ("exit", Defer(Side.UP, "stop", 5, "wait")),
    ("propose", CancelOrders(None, "far")),
    ("propose", Trigger(Side.UP, "ask", "below", 1)),
    ("size", Stake(1)),
    ("review", Veto("no")),
    ("quote", ExitTarget(Side.UP, 9_999)),
    ("quote", QuoteTarget(Side.UP, Action.BUY, 1, 1)),
    ("propose", QuoteTarget(Side.UP, Action.BUY, 9_999, stake=1, valid_until=1, tolerance=1, size_tolerance=1)),
    ("propose", QuoteTarget(Side.UP, Action.SELL, 5_000)),
    ("propose", Reprice("o000001", 9_999)),
    ("exit", ExitTarget(Side.UP, 5_000, least=1, valid_until=1)),
    ("on_fill", Notice("x", "critical")),
]
WRONG = [
    ("signal", Signal(0.0, 0.5)),
    ("signal", Signal(0.5, -0.001)),
    ("signal", Signal(0.5, 0.5, "x" * (TEXT_MAX + 1))),
    ("signal", Signal(0.5, 0.5, "", {str(n): 1.0 for n in range(FEATURES_MAX + 1)})),
    ("signal", Signal(True, 0.5)),
    ("signal", Veto("no")),
    ("combine", Estimate(0.5, 1.001, Bias.NONE)),
    ("combine", Estimate(0.5, 0.5, "sideways")),  # type: ignore[arg-type]
    ("entry", Enter(Side.UP, 0)),
    ("entry", Enter(Side.UP, 10_000)),
    ("entry", Enter(Side.UP, 52.5)),  # type: ignore[arg-type]
    ("entry", Enter(Side.UP, 5_000, stake=0)),
    ("entry", Enter(Side.UP, 5_000, order_type="IOC")),
    ("entry", Enter(Side.UP, 5_000, order_type="GTD")),
    ("entry", Enter(Side.UP, 5_000, order_type="GTD", valid_s=-1.0)),
    ("entry", Enter(Side.UP, 5_000, order_type="GTD", valid_s=float("inf"))),
    ("entry", Enter(Side.UP, 5_000, order_type="GTC", valid_s=1.0)),
    ("entry", Enter(Side.UP, 5_000, order_type="FOK", post_only=True)),
    ("entry", Enter(Side.UP, 5_000, post_only=True)),
    ("entry", Enter(Side.UP, 5_000, edge=float("inf"))),
    ("entry", Enter(Side.UP, 5_000, purpose=Purpose.EXIT)),
    ("entry", ExitNow(Side.UP, "stop")),
    ("exit", ExitNow(Side.UP, "stop", "soon")),
    ("exit", ExitNow(Side.UP, "stop", "stop", 0)),
    ("exit", Defer(Side.UP, "floor", 5, "wait")),
    ("exit", Defer(Side.UP, "forced_close", 5, "wait")),
    ("propose", Trigger(Side.UP, "mid", "below", 1)),
    ("propose", Trigger(Side.UP, "bid", "under", 1)),
    ("propose", Stake(5)),
    ("size", Stake(0)),
    ("review", "no"),
    ("quote", ExitTarget(Side.UP, 10_000)),
    ("quote", QuoteTarget(Side.UP, Action.BUY, 10_000, 1)),
    ("propose", QuoteTarget(Side.UP, Action.BUY, 5_000)),
    ("propose", QuoteTarget(Side.UP, Action.BUY, 5_000, 1, 1)),
    ("propose", QuoteTarget(Side.UP, Action.BUY, 5_000, 0)),
    ("propose", QuoteTarget(Side.UP, Action.BUY, 5_000, stake=0)),
    ("propose", QuoteTarget(Side.UP, Action.SELL, 5_000, stake=1)),
    ("propose", QuoteTarget(Side.UP, Action.BUY, 5_000, 1, valid_until=-1)),
    ("propose", QuoteTarget(Side.UP, Action.BUY, 5_000, 1, tolerance=-1)),
    ("propose", QuoteTarget(Side.UP, Action.BUY, 5_000, 1, size_tolerance=-1)),
    ("propose", Reprice("o000001", 0)),
    ("exit", QuoteTarget(Side.UP, Action.BUY, 5_000, 1)),
    ("exit", ExitTarget(Side.UP, 5_000, least=0)),
    ("exit", ExitTarget(Side.UP, 5_000, valid_until=-1)),
    ("quote", ExitTarget(Side.UP, 5_000, tolerance=-1)),
    ("on_fill", Notice("x", "loud")),
    ("on_fill", Signal(0.5, 0.5)),
]


@pytest.mark.parametrize(("hook", "answer"), FINE)
def test_an_answer_just_inside_passes_unchanged(hook: str, answer: object) -> None:
    assert checked(hook, answer) == answer


@pytest.mark.parametrize(("hook", "answer"), WRONG)
def test_an_answer_just_outside_is_refused(hook: str, answer: object) -> None:
    with pytest.raises(AnswerError):
        checked(hook, answer)


def test_an_answer_is_cut_from_what_the_plugin_keeps() -> None:
    features = {"a": 1.0}
    answer = checked("signal", Signal(0.5, 0.5, "", features))
    features["a"] = 2.0
    assert isinstance(answer, Signal)
    assert answer.features == {"a": 1.0}
    with pytest.raises(TypeError, match="read-only"):
        answer.features["a"] = 3.0


def test_several_answers_are_bounded() -> None:
    one = Notice("x")
    assert listed("propose", (one for _ in range(ANSWERS_MAX))) == (one,) * ANSWERS_MAX
    with pytest.raises(AnswerError, match="more than"):
        listed("propose", (one for _ in range(ANSWERS_MAX + 1)))
    assert listed("propose", None) == ()
    with pytest.raises(AnswerError, match="answered str"):
        listed("propose", "skip")


def open_state(texts: dict[str, str] | None = None) -> PluginState:
    state = PluginState("p", texts)
    state.open()
    return state


def test_plg_07_changes_of_a_hook_are_kept_together_or_not_at_all() -> None:
    state = open_state({"a": "1", "b": "2"})
    state["a"] = [1, 2]
    del state["b"]
    state["c"] = {"x": None}
    assert dict(state) == {"a": [1, 2], "c": {"x": None}}
    assert state.close(keep=True) == {"a": "[1,2]", "b": None, "c": '{"x":null}'}
    assert state.texts() == {"a": "[1,2]", "c": '{"x":null}'}
    state.open()
    state["a"] = 0
    assert state.close(keep=False) == {}
    assert state["a"] == [1, 2]


def test_plg_07_what_is_read_is_a_copy() -> None:
    state = open_state({"a": "[1]"})
    state["a"].append(2)
    assert state.close(keep=True) == {}
    assert state["a"] == [1]


def test_plg_07_state_is_bounded_plain_and_read_only_outside_its_hooks() -> None:
    state = open_state()
    with pytest.raises(PluginError, match="cannot be JSON"):
        state["a"] = object()
    with pytest.raises(PluginError, match="at most"):
        state["a"] = "x" * VALUE_BYTES_MAX
    state.update({str(number): 1 for number in range(KEYS_MAX)})
    state["0"] = 2
    with pytest.raises(PluginError, match="one too many"):
        state["more"] = 1
    with pytest.raises(KeyError):
        del state["more"]
    state.close(keep=True)
    with pytest.raises(PluginError, match="read-only there"):
        state["0"] = 1
    with pytest.raises(PluginError, match="read-only there"):
        del state["0"]


@pytest.mark.parametrize(
    "changes", [{"a": "{"}, {"a": '"' + "x" * VALUE_BYTES_MAX + '"'}, dict.fromkeys(map(str, range(KEYS_MAX + 1)))]
)
def test_changes_from_another_process_are_checked_as_if_written_here(changes: dict[str, str | None]) -> None:
    with pytest.raises(AnswerError):
        check_texts(changes)
    check_texts({"a": "[1]", "b": None})


def test_strikes_add_up_are_forgiven_and_end_in_quarantine() -> None:
    strikes = Strikes(2)
    assert strikes.strike("one") is False
    for _ in range(FORGIVEN_AFTER):
        strikes.behaved()
    assert strikes.strike("two") is False
    for _ in range(FORGIVEN_AFTER - 1):
        strikes.behaved()
    assert strikes.strike("three") is True
    assert strikes.strike("four") is False, "it is out once"
    strikes.release()
    assert strikes.strike("five") is False
