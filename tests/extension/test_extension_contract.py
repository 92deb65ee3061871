"""The contract of the runners: the same plugin and the same views give the same ``Evaluated``, wherever it runs."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import extension_builders as make
import msgspec
import pytest
from loguru import logger

from polyhost import Action, ExitTarget, OrderView, Purpose, QuoteTarget, Reprice, Side, Skip
from polyhost.extension import Runner
from polyhost.model.events import Evaluated, PluginUse
from polyhost.model.proposals import Enter, Stake
from polyhost.model.view import View

SIGNAL = '@hookimpl\ndef signal(self, view): return Signal(0.7, 0.5, "up", {"a": 1.0})'
COMBINE = """
@hookimpl
def combine(self, signals, view):
    total = sum(signal.p_up for _, signal in signals) / len(signals)
    return Estimate(total, 0.8, Bias.UP, "mean", {name: signal.weight for name, signal in signals})
"""
ENTRY = """
@hookimpl
def entry(self, view, estimate):
    return Enter(estimate.favoured, Price("0.52"), "cheap", edge=0.03, values={"p": estimate.p_up})
"""
SIZE = '@hookimpl\ndef size(self, entry): return Stake(Money("25"), "fixed")'
EXIT = '@hookimpl\ndef exit(self, position): return ExitTarget(position.side, Price("0.90"), "plan")'
QUOTE = '@hookimpl\ndef quote(self, target): return ExitTarget(target.side, target.price + 100, "rewards")'
REVIEW = '@hookimpl\ndef review(self, entry): return Veto("too much") if entry.stake > 24_000_000 else None'
PROPOSE = """
@hookimpl
def propose(self, view, estimates):
    yield Skip("seen", {"estimates": len(estimates)})
    yield Trigger(Side.UP, "bid", "above", 6_000)
    yield Notice("hello")
"""
WHOLE = {
    "momentum": SIGNAL,
    "second": SIGNAL.replace("0.7", "0.5"),
    "additive": COMBINE,
    "policy": ENTRY,
    "sizer": SIZE,
    "plan": EXIT,
    "rewards": QUOTE,
    "guard": REVIEW,
    "wishes": PROPOSE,
}
Ask = Callable[[Runner, View], Evaluated]


def blocking(runner: Runner, view: View) -> Evaluated:
    return runner.evaluate_inline(view)


def in_a_loop(runner: Runner, view: View) -> Evaluated:
    return asyncio.run(runner.evaluate(view))


def unclocked(evaluated: Evaluated) -> Evaluated:
    """Without the only thing that may differ between runners."""
    uses = tuple(msgspec.structs.replace(use, used_us=0) for use in evaluated.used)
    return msgspec.structs.replace(evaluated, used=uses)


class Bench:
    """Starts runners of one kind and stops them all."""

    def __init__(self, kind: str, folder: Path, stack: ExitStack) -> None:
        self.kind = kind
        self._folder = folder
        self._stack = stack
        self.ask: Ask = in_a_loop if kind == "mixed" else blocking

    def __call__(self, bodies: dict[str, str], **more: object) -> Runner:
        foreign = ("policy", "guard", "second", "bad", "vandal") if self.kind == "mixed" else ()
        inline = self.kind != "process"
        runner = make.runner(self._folder, bodies, inline=inline, foreign=foreign, **more)  # type: ignore[arg-type]
        self._stack.callback(runner.stop)
        runner.start()
        return runner


@pytest.fixture(params=["inline", "process", "mixed"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(request.param, tmp_path, stack)


def test_the_whole_chain_gives_the_same_answers_wherever_plugins_run(bench: Bench, tmp_path: Path) -> None:
    runner = bench(WHOLE)
    evaluated = bench.ask(runner, make.view(5, positions=(make.position(),)))
    assert (evaluated.view_seq, evaluated.book_epoch, evaluated.state_rev) == (5, 3, 7)
    assert evaluated.condition_id == "0xabc"
    assert [(name, signal.p_up) for name, signal in evaluated.signals] == [("momentum", 0.7), ("second", 0.5)]
    (name, estimate), = evaluated.estimates
    assert (name, estimate.p_up, estimate.parts) == ("additive", 0.6, {"momentum": 0.5, "second": 0.5})
    candidate, = evaluated.candidates
    assert candidate.proposed.plugin == "policy"
    assert candidate.proposed.answer == Enter(Side.UP, 5_200, "cheap", edge=0.03, values={"p": 0.6})
    assert (candidate.stake, candidate.sized_by) == (25_000_000, "sizer")
    assert candidate.vetoes == (("guard", "too much"),)
    said = [(proposed.plugin, type(proposed.answer).__name__) for proposed in evaluated.proposals]
    assert said == [("plan", "ExitTarget"), ("wishes", "Skip"), ("wishes", "Trigger"), ("wishes", "Notice")]
    assert evaluated.proposals[0].answer == ExitTarget(Side.UP, 9_100, "plan")
    assert [(use.plugin, use.failed) for use in evaluated.used] == [(name, "") for name in WHOLE]
    reference = make.runner(tmp_path, WHOLE)
    for seq, positions in enumerate([(), (make.position(),), (make.position(), make.position(Side.DOWN))], start=6):
        seen = make.view(seq, positions=positions)
        assert unclocked(bench.ask(runner, seen)) == unclocked(reference.evaluate_inline(seen))
        assert unclocked(in_a_loop(runner, seen)) == unclocked(reference.evaluate_inline(seen))


def test_sig_07_who_abstains_says_why_and_is_no_opinion(bench: Bench) -> None:
    """A signal and a combiner that lack something: neither reaches the next question."""
    runner = bench({
        "bad": '@hookimpl\ndef signal(self, view): return Abstain("no spot price")',
        "additive": '@hookimpl\ndef combine(self, view, signals): return Abstain(f"{len(signals)} signals")',
    })
    evaluated = bench.ask(runner, make.view(5))
    assert (evaluated.signals, evaluated.estimates) == ((), ())
    said = [(each.hook, each.plugin, each.reason) for each in evaluated.abstained]
    assert said == [("signal", "bad", "no spot price"), ("combine", "additive", "0 signals")]
    assert [use.failed for use in evaluated.used] == ["", ""]


MISBEHAVIOUR = {
    "raises": ('raise ValueError("no data")', "ValueError: no data"),
    "raises an exception whose text raises": (
        'raise type("Odd", (Exception,), {"__str__": lambda self: 1 / 0})()',
        "Odd: (its text cannot be made)",
    ),
    "exits": ("sys.exit(3)", "SystemExit: 3"),
    "raises what is no Exception": ('raise type("Odd", (BaseException,), {})("who knows")', "Odd: who knows"),
    "raises an exception whose text ends everything": (
        'raise type("Odd", (BaseException,), {"__str__": lambda self: sys.exit(1)})()',
        "Odd: (its text cannot be made)",
    ),
    "interrupts": ('raise KeyboardInterrupt("by hand")', "KeyboardInterrupt: by hand"),
    "interrupts from below": ("list(self.never())", "KeyboardInterrupt: below"),
    "cancels": ('raise __import__("asyncio").CancelledError', "CancelledError"),
    "closes": ("raise GeneratorExit", "GeneratorExit"),
    "answers a number that cannot be read": (
        'return Signal(type("Own", (float,), {"__float__": lambda self: sys.exit(4)})(0.5), 0.5)', "SystemExit: 4",
    ),
    "answers NaN": ('return Signal(float("nan"), 0.5)', "p_up is nan; it must be above 0 and below 1"),
    "answers certainty": ("return Signal(1.0, 0.5)", "p_up is 1.0; it must be above 0 and below 1"),
    "weighs too much": ("return Signal(0.5, 1.01)", "weight is 1.01; it must be from 0 to 1"),
    "answers text for a number": ('return Signal("0.5", 0.5)', "Signal: Expected `float`, got `str` - at `$.p_up`"),
    "answers another type": ("return 0.7", "answered float; allowed: Signal, Abstain or None"),
    "answers infinite features": (
        'return Signal(0.5, 0.5, "", {"x": float("inf")})',
        "features['x'] is inf, not a finite number",
    ),
    "mutates the view": ("view.now = 1", "AttributeError: immutable type: 'View'"),
    "mutates the market": ('view.market.slug = "x"', "AttributeError: immutable type: 'Market'"),
    "writes its state": (
        'self.state["x"] = 1',
        ("PluginError: plugin 'bad': state['x'] written in an answering hook; self.state is read-only there; "
        "write it in an on_… hook"),
    ),
}
NEVER = """
def never(self):
    try:
        yield "x"
        raise KeyboardInterrupt("below")
    finally:
        self.metrics["tidied"] = 1
"""


def test_plg_05_a_plugin_that_misbehaves_abstains_and_its_neighbours_do_not_notice(bench: Bench) -> None:
    """Each view brings out another misbehaviour of one plugin."""
    lines = [NEVER, "@hookimpl", "def signal(self, view):"]
    for seq, (body, _) in enumerate(MISBEHAVIOUR.values()):
        lines.append(f"    if view.view_seq == {seq}: {body}")
    bodies = {"momentum": SIGNAL, "bad": "\n".join(lines), "additive": COMBINE}
    runner = bench(bodies, strikes_max=100)
    for seq, (how, (_, problem)) in enumerate(MISBEHAVIOUR.items()):
        evaluated = bench.ask(runner, make.view(seq))
        assert [name for name, _ in evaluated.signals] == ["momentum"], how
        assert [name for name, _ in evaluated.estimates] == ["additive"], how
        assert unclocked(evaluated).used == (
            PluginUse("momentum", 0),
            PluginUse("bad", 0, "signal", problem),
            PluginUse("additive", 0),
        ), how
        struck, = runner.take_struck()
        assert (struck.plugin, struck.reason, struck.quarantined) == ("bad", f"signal: {problem}", False)


def test_plg_05_what_a_plugin_raises_when_it_is_told_something_is_a_strike(bench: Bench) -> None:
    from polyhost.model.records import NoticeRaised

    odd = '@hookimpl\ndef on_notice(self): self.state["x"] = 1; raise type("Odd", (BaseException,), {})("late")'
    runner = bench({"bad": odd, "momentum": SIGNAL})
    told, = runner.tell("on_notice", notice=NoticeRaised(9, "n1", "info", "t", "rain"), at=10)
    assert (told.plugin, told.changes, told.problem) == ("bad", {}, "Odd: late")
    assert [struck.reason for struck in runner.take_struck()] == ["on_notice: Odd: late"]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT does what it does in a program without an event loop."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("body", [
    "signal.raise_signal(signal.SIGINT)",
    "try: signal.raise_signal(signal.SIGINT)\n    finally: self.metrics['tidied'] = 1",
])
@pytest.mark.usefixtures("interruptible")
def test_plg_05_a_persons_control_c_is_not_taken_for_the_answer_of_the_plugin_that_runs(
    tmp_path: Path, body: str
) -> None:
    busy = f"@hookimpl\ndef signal(self):\n    import signal\n    {body}"
    runner = make.runner(tmp_path, {"busy": busy})
    with pytest.raises(KeyboardInterrupt):
        runner.evaluate_inline(make.view())
    assert runner.take_struck() == []


def test_plg_05_too_many_answers_are_none(bench: Bench) -> None:
    endless = "@hookimpl\ndef propose(self):\n    while True: yield Skip('again')"
    runner = bench({"bad": endless, "wishes": PROPOSE})
    evaluated = bench.ask(runner, make.view())
    assert [proposed.plugin for proposed in evaluated.proposals] == ["wishes"] * 3
    assert evaluated.used[0].problem == "more than 64 answers to one question"


def test_plg_05_one_bad_answer_spoils_its_whole_question_and_no_other(bench: Bench) -> None:
    half = "@hookimpl\ndef propose(self): return [Skip('fine'), Enter(Side.UP, 10_000)]\n" + EXIT
    evaluated = bench.ask(bench({"bad": half}), make.view(positions=(make.position(),)))
    assert [type(proposed.answer) for proposed in evaluated.proposals] == [ExitTarget]
    assert evaluated.candidates == ()
    assert (evaluated.used[0].failed, evaluated.used[0].problem) == (
        "propose",
        "price_max is 10000 ticks; it must be above 0 and below 10000",
    )


def test_plg_05_a_combiner_cannot_change_the_signals_that_others_see(bench: Bench) -> None:
    vandal = "@hookimpl\ndef combine(self, signals): signals[0][1].features.clear()"
    evaluated = bench.ask(bench({"momentum": SIGNAL, "vandal": vandal, "additive": COMBINE}), make.view())
    assert evaluated.signals[0][1].features == {"a": 1.0}
    assert [name for name, _ in evaluated.estimates] == ["additive"]
    assert evaluated.used[1].problem == "TypeError: answers are read-only"


def test_a_failing_size_hook_means_no_entry(bench: Bench) -> None:
    bad = "@hookimpl\ndef size(self): return Stake(0)"
    wants = "@hookimpl\ndef propose(self): return [Enter(Side.UP, 5_000, stake=9_000_000)]"
    evaluated = bench.ask(bench({"wants": wants, "bad": bad, "sizer": SIZE, "guard": REVIEW}), make.view())
    candidate, = evaluated.candidates
    assert (candidate.stake, candidate.sized_by, candidate.vetoes) == (None, "", ())


def test_a_failing_review_is_a_veto(bench: Bench) -> None:
    bad = "@hookimpl\ndef review(self, entry): raise KeyError('x')"
    wants = "@hookimpl\ndef propose(self): return [Enter(Side.UP, 5_000, stake=9_000_000)]"
    evaluated = bench.ask(bench({"wants": wants, "bad": bad, "guard": REVIEW}), make.view())
    candidate, = evaluated.candidates
    assert candidate.stake == 9_000_000
    assert candidate.vetoes == (("bad", "review failed: KeyError: 'x'"),)


def test_a_failing_quote_hook_leaves_the_target_as_it_was(bench: Bench) -> None:
    bad = "@hookimpl\ndef quote(self, target): return ExitTarget(target.side, 0)"
    evaluated = bench.ask(bench({"plan": EXIT, "bad": bad}), make.view(positions=(make.position(),)))
    assert evaluated.proposals[0].answer == ExitTarget(Side.UP, 9_000, "plan")
    assert evaluated.used[1].failed == "quote"


def test_plg_05_the_fifth_strike_quarantines_and_an_absent_guard_still_refuses(bench: Bench) -> None:
    bad = "@hookimpl\ndef review(self, entry): raise KeyError('x')"
    wants = "@hookimpl\ndef propose(self): return [Enter(Side.UP, 5_000, stake=9_000_000)]"
    runner = bench({"wants": wants, "guard": bad}, strikes_max=2)
    for seq in (1, 2):
        bench.ask(runner, make.view(seq))
    assert [struck.quarantined for struck in runner.take_struck()] == [False, True]
    evaluated = bench.ask(runner, make.view(3))
    assert evaluated.candidates[0].vetoes == (("guard", "review failed: is quarantined"),)
    assert runner.take_struck() == []
    assert [status.state for status in runner.status()][1] == "quarantined"


def test_plg_05_answers_of_less_than_a_microsecond_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polyhost.extension.table.perf_counter_ns", itertools.count(step=300).__next__)
    runner = make.runner(tmp_path, {"quick": SIGNAL})
    for seq in range(10):
        runner.evaluate_inline(make.view(seq))
    status, = runner.status()
    assert (status.asked, status.used_us, status.slowest_us) == (10, 3, 0)


def test_plg_07_state_written_in_an_on_hook_is_told_and_read_later(bench: Bench) -> None:
    body = """
@hookimpl
def on_notice(self, notice, at):
    self.state["seen"] = self.state.get("seen", 0) + 1
    self.state["gone"] = 1
    del self.state["gone"]
    self.metrics["heard"] = 2
    self.log.info("heard {}", notice.text)
    return [Notice(f"heard {notice.text} at {at}")]
@hookimpl
def signal(self, view): return Signal(0.5, 0.5, "", {"seen": self.state["seen"]})
"""
    runner = bench({"policy": body})
    runner.load_state("policy", {"seen": "41"})
    from polyhost.model.records import NoticeRaised

    told, = runner.tell("on_notice", notice=NoticeRaised(9, "n1", "info", "t", "rain"), at=10)
    assert (told.plugin, told.hook, told.changes, told.problem) == ("policy", "on_notice", {"seen": "42"}, "")
    assert [notice.text for notice in told.notices] == ["heard rain at 10"]
    evaluated = bench.ask(runner, make.view())
    assert evaluated.signals[0][1].features == {"seen": 42.0}
    assert runner.status()[0].metrics == {"heard": 2.0}


def test_plg_05_a_metric_that_is_no_plain_number_is_left_out_and_told_once(bench: Bench) -> None:
    body = """
@hookimpl
def on_notice(self, notice, at):
    self.metrics.update({"heard": 2, "huge": 10 ** 400, "none": float("nan"), "yes": True, 7: 1, "text": "x"})
@hookimpl
def signal(self, view): return Signal(0.5, 0.5)
"""
    said: list[str] = []
    sink = logger.add(said.append, format="{message}", level="WARNING")
    try:
        runner = bench({"policy": body})
        from polyhost.model.records import NoticeRaised

        for seq in (1, 2):
            runner.tell("on_notice", notice=NoticeRaised(9, "n1", "info", "t", "rain"), at=10)
            assert bench.ask(runner, make.view(seq)).signals[0][1].p_up == 0.5
            assert runner.status()[0].metrics == {"heard": 2.0}
    finally:
        logger.remove(sink)
    told = [line for line in said if "metric" in line]
    assert len(told) == 2
    assert "its metric huge is left out: OverflowError" in told[0]
    assert "its metric none is left out: ValueError: no number" in told[1]


def test_pos_12_what_came_true_with_an_order_is_in_the_plugins_state_at_once(bench: Bench) -> None:
    body = """
@hookimpl
def signal(self, view):
    return Signal(0.5, 0.5, "", {key: float(value) for key, value in self.state.items()})
"""
    runner = bench({"policy": body})
    runner.load_state("policy", {"kept": "1", "gone": "2"})
    runner.remember("policy", {"hedge": "7", "gone": None})
    runner.remember("nobody", {"x": "1"})
    evaluated = bench.ask(runner, make.view())
    assert evaluated.signals[0][1].features == {"kept": 1.0, "hedge": 7.0}


def test_a_failing_on_hook_changes_nothing_and_is_a_strike(bench: Bench) -> None:
    body = 'timer_s = 2.0\n@hookimpl\ndef on_timer(self, at):\n    self.state["x"] = 1\n    raise RuntimeError("late")'
    runner = bench({"policy": body})
    assert runner.tell("on_timer", at=1_000) == []
    assert runner.tell("on_timer", at=2_999) == []
    told, = runner.tell("on_timer", at=3_000)
    assert (told.changes, told.problem) == ({}, "RuntimeError: late")
    assert [struck.reason for struck in runner.take_struck()] == ["on_timer: RuntimeError: late"]
    assert runner.tell("on_timer", at=4_999) == []


def test_both_ways_of_telling_are_alike(bench: Bench) -> None:
    body = '@hookimpl\ndef on_market(self, market, at):\n    self.state["slug"] = market.slug'
    runner = bench({"policy": body})
    market = make.view().market
    told, = asyncio.run(runner.tell_async("on_market", market=market, at=5))
    assert told.changes == {"slug": '"btc-updown-15m-900"'}
    assert runner.tell("on_market", market=market, at=6) == [], "an equal value is no change"


def test_ntf_a_notice_is_delivered_beside_the_trading_path_and_failures_are_named(bench: Bench) -> None:
    from polyhost.model.records import NoticeRaised

    good = "@hookimpl\ndef notify(self, notice): pass"
    bad = """
@hookimpl
def notify(self, notice):
    raise KeyboardInterrupt if notice.text == "sun" else ConnectionError("no route for " + notice.text)
"""
    runner = bench({"policy": good, "guard": bad})
    notice, other = NoticeRaised(9, "n1", "info", "t", "rain"), NoticeRaised(9, "n2", "info", "t", "sun")

    async def scenario() -> list[str]:
        said = [await runner.deliver(notice, channel) for channel in ("policy", "guard", "nobody")]
        return [*said, await runner.deliver(other, "guard")]

    assert asyncio.run(scenario()) == [
        "", "ConnectionError: no route for rain", "there is no such channel", "KeyboardInterrupt",
    ]
    assert runner.take_struck() == [], "an unreachable messenger is not the plugin's misbehaviour"


def test_start_and_stop_are_called_once(bench: Bench, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    body = f"""
@hookimpl
def start(self): open({str(marks / "started")!r}, "x").close()
@hookimpl
def stop(self): open({str(marks / "stopped")!r}, "x").close()
"""
    runner = bench({"policy": body})
    assert [path.name for path in marks.iterdir()] == ["started"]
    assert runner.stop() == []
    assert sorted(path.name for path in marks.iterdir()) == ["started", "stopped"]
    (marks / "stopped").unlink()


def test_stakes_are_integers_whatever_the_plugin_wrote(bench: Bench) -> None:
    from polyhost.extension.answers import checked

    assert type(checked("size", Stake(25_000_000)).amount) is int  # type: ignore[union-attr]
    wants = '@hookimpl\ndef propose(self): return Enter(Side.UP, Price("0.5"), stake=Money("9"))'
    candidate, = bench.ask(bench({"policy": wants}), make.view()).candidates
    assert isinstance(candidate.proposed.answer, Enter)
    assert (type(candidate.proposed.answer.price_max), type(candidate.stake)) == (int, int)


def test_a_quote_is_asked_about_and_adjusted_like_an_exit(bench: Bench) -> None:
    quotes = (
        "@hookimpl\ndef propose(self): return [QuoteTarget(Side.UP, Action.BUY, 4_900, 10_000_000)]"
    )
    lower = (
        "@hookimpl\ndef quote(self, target): "
        "return QuoteTarget(target.side, target.action, target.price - 100, 5_000_000)"
    )
    bad = "@hookimpl\ndef quote(self, target): raise KeyError('x')"
    evaluated = bench.ask(bench({"quotes": quotes, "lower": lower, "bad": bad}), make.view())
    assert evaluated.proposals[0].answer == QuoteTarget(Side.UP, Action.BUY, 4_800, 5_000_000)
    assert evaluated.used[2].failed == "quote"


@pytest.mark.parametrize(("price", "vetoed"), [(4_000, False), (4_100, True)])
def test_a_re_price_that_pays_more_is_reviewed_like_an_entry(bench: Bench, price: int, vetoed: bool) -> None:
    """The order rests at 0.40 and 10 shares of it are left."""
    order = OrderView("o1", Side.UP, Action.BUY, Purpose.ENTRY, 4_000, 12_000_000, 2_000_000, "working", 1, "mover")
    moves = f"@hookimpl\ndef propose(self): return [Reprice('o1', {price}), Reprice('o2', 9_000)]"
    guard = "@hookimpl\ndef review(self, entry): return Veto(f'{entry.stake} at {entry.price_max}')"
    evaluated = bench.ask(bench({"mover": moves, "guard": guard}), make.view(orders=(order,)))
    said = [proposed.answer for proposed in evaluated.proposals]
    assert said[0] == (Skip("re-price vetoed by guard: 4100000 at 4100") if vetoed else Reprice("o1", price))
    assert said[1] == Reprice("o2", 9_000), "the kernel refuses what does not exist"


def test_sig_09_who_has_no_opinion_is_named_with_the_reason(bench: Bench) -> None:
    """In configured order: one that answers nothing, one that raises, one that is out of service."""
    mute = '@hookimpl\ndef signal(self, view): return None'
    silent = '@hookimpl\ndef combine(self, view, signals): return None'
    runner = bench({
        "mute": mute, "bad": '@hookimpl\ndef signal(self, view): raise ValueError("no data")', "momentum": SIGNAL,
        "additive": COMBINE, "second": silent,
    }, strikes_max=2)
    told = [
        [(each.hook, each.plugin, each.reason) for each in bench.ask(runner, make.view(seq)).abstained]
        for seq in (1, 2, 3)
    ]
    failing = [("signal", "mute", ""), ("signal", "bad", "ValueError: no data"), ("combine", "second", "")]
    assert told[:2] == [failing, failing]
    assert told[2] == [("signal", "mute", ""), ("signal", "bad", "is quarantined"), ("combine", "second", "")]
    assert bench.ask(bench({"momentum": SIGNAL, "additive": COMBINE}), make.view(4)).abstained == ()


ENTRY_BY_ESTIMATE = """
@hookimpl
def size(self, entry, estimate):
    return Stake(Money("10"), f"sized at {estimate.confidence:.2f}") if estimate.p_up == 0.7 else None
"""
REVIEW_BY_ESTIMATE = """
@hookimpl
def review(self, estimate, view):
    return Veto(f"only {estimate.confidence:.2f} for {estimate.favoured.value}")
"""
NO_COMBINER = """
@hookimpl
def propose(self, view, estimates):
    yield Enter(Side.UP, Price("0.52"))
@hookimpl
def size(self, estimate):
    return Stake(Money("10")) if estimate is None else None
@hookimpl
def review(self, estimate):
    return Veto("no estimate") if estimate is None else None
"""


def test_size_and_review_hear_the_trading_estimate_of_this_evaluation(bench: Bench) -> None:
    """Not the one in the view, which is of an earlier one."""
    bodies = {
        "up": SIGNAL, "additive": COMBINE, "policy": ENTRY, "sizer": ENTRY_BY_ESTIMATE, "guard": REVIEW_BY_ESTIMATE,
    }
    (candidate,) = bench.ask(bench(bodies), make.view()).candidates
    assert (candidate.stake, candidate.sized_by) == (10_000_000, "sizer")
    assert candidate.vetoes == (("guard", "only 0.80 for UP"),)


def test_without_an_estimate_size_and_review_hear_none(bench: Bench) -> None:
    (candidate,) = bench.ask(bench({"wishes": NO_COMBINER}), make.view()).candidates
    assert (candidate.stake, candidate.vetoes) == (10_000_000, (("wishes", "no estimate"),))


def test_ent_03_on_timer_hears_the_funds(bench: Bench) -> None:
    body = 'timer_s = 1.0\n@hookimpl\ndef on_timer(self, funds, at):\n    self.state["free"] = funds and funds.free'
    runner = bench({"guard": body})
    assert runner.tell("on_timer", at=1_000, funds=None) == []
    (told,) = runner.tell("on_timer", at=2_000, funds=make.view().funds)
    assert told.changes == {"free": "1000000000"}
