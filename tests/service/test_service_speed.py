"""The two classes of time, in whole stories: the same market at speed 1 and 60, and what may differ between the two.

Kernel, exchange and books are the lab's; the wall clock of the fast run does a sixtieth of the market's steps, so the
kernel gets the same facts at the same market times. What runs on **market time** (windows, cadence, entries, targets,
stops, obligations, holds, T9, taker delay, settlement) then decides the same at the same market ms: compared one by
one. What runs on **transport time** (U1, the ladder U4, T7, T8, ORD-19's waits) keeps its distance *on the wall*, and
is therefore sixty times longer in the market.

Two differences are meant, and said where they are tested: what is waited for in transport time is decided later in the
window, and of what is tried again and again there are fewer tries in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from polyhost.exchange.gateway import InProcessGateway
from polyhost.kernel.kernel import Kernel
from polyhost.lab.backtest import Backtest
from polyhost.lab.tape import Tape
from polyhost.model.commands import Command, Post, QueryOrder, Tell
from polyhost.model.events import Candidate, Evaluated, Event, PluginStruck, PluginTold, PostAnswered, Proposed
from polyhost.model.money import micros, price_text, size_text, ticks
from polyhost.model.proposals import Answer, Enter, ExitNow, ExitTarget
from polyhost.model.records import CloseRecorded, FillBooked, HeldDeclared, MarketSettled, OrderIntended, OrderMoved
from polyhost.model.step import Step
from polyhost.model.times import NEVER, MarketMs
from polyhost.model.view import View
from polyhost.model.words import Action, OrderState, OrderType, Side
from polyhost.settings import Configuration

SPEEDS: Final = (1, 60)
START: Final = 1_786_406_400_000
"""A full quarter of an hour: windows of 5 and 15 minutes begin. The wall clock is the same at this instant."""
Row = dict[str, Any]
Script = Callable[[View], list[Answer]]


# --- the stage --------------------------------------------------------------------------------------------------------


class KernelAtSpeed(Kernel):
    """A kernel whose wall clock goes slower than the market by the speed; its driver knows market time only."""

    speed = 1

    def wall(self, now: int) -> int:
        return START + (now - START) // self.speed

    @property
    def next_wall_due(self) -> int:
        due = super().next_wall_due
        return due if due == NEVER else START + (due - START) * self.speed

    def turn(self, now: int, wall: int) -> Step:
        return super().turn(now, self.wall(now))

    def handle(self, event: Event, now: int, wall: int) -> Step:
        return super().handle(event, now, self.wall(now))


class Troubled(InProcessGateway):
    """Notes what the kernel asks of the venue, and when; ``trouble`` may answer a command in the venue's place."""

    trouble: Callable[[Command], list[Event] | None] = staticmethod(lambda command: None)

    def execute(self, command: Command, now: MarketMs) -> list[Event]:
        self.asked.append((now, command))
        answer = self.trouble(command)
        return super().execute(command, now) if answer is None else answer

    asked: list[tuple[int, Command]]


class Plugins:
    """One script of the view; the views are kept."""

    told_hooks: frozenset[str] = frozenset()

    def __init__(self, script: Script) -> None:
        self.script = script
        self.views: list[View] = []

    def evaluate(self, view: View) -> Evaluated:
        self.views.append(view)
        answers = self.script(view)
        return Evaluated(
            view.view_seq, view.book_epoch, view.state_rev, view.market.condition_id,
            candidates=tuple(
                Candidate(Proposed("script", each), micros("10")) for each in answers if isinstance(each, Enter)
            ),
            proposals=tuple(Proposed("script", each) for each in answers if not isinstance(each, Enter)),
        )

    def tell(self, command: Tell) -> list[PluginTold]:
        raise AssertionError(command.hook)

    def struck(self) -> list[PluginStruck]:
        return []


class Decision(NamedTuple):
    """What the host decided: an order it wants, a cancel, a hold, a close."""

    at: int
    """Market ms since START."""
    what: str


class Played(NamedTuple):
    """A story at one speed."""

    kernel: KernelAtSpeed
    records: list[Any]
    views: list[View]
    asked: list[tuple[int, Command]]

    @property
    def decisions(self) -> list[Decision]:
        return [Decision(record.at - START, text) for record in self.records if (text := decision(record))]

    def wall_of(self, instants: Iterable[int]) -> list[int]:
        return [self.kernel.wall(at) for at in instants]

    def sells(self) -> list[OrderIntended]:
        return [one for one in self.of(OrderIntended) if one.draft.action is Action.SELL]

    def of(self, kind: type) -> list[Any]:
        return [record for record in self.records if isinstance(record, kind)]


def decision(record: object) -> str:
    match record:
        case OrderIntended(slot=slot, draft=draft):
            return (
                f"{slot.condition_id} {slot.purpose.value} {draft.action.value} {size_text(draft.size)} "
                f"{slot.side.value} at {price_text(draft.price)} {draft.order_type.value}"
            )
        case OrderMoved(state=OrderState.CANCELLING, ref=ref):
            return f"cancel {ref}"
        case HeldDeclared(condition_id=condition_id, side=side, kind=kind):
            return f"{condition_id} {side.value} held: {kind}"
        case CloseRecorded(condition_id=condition_id, side=side, exit_reason=reason, size=size, pnl=pnl):
            return f"{condition_id} {side.value} closed: {reason}, {size_text(size)}, P&L {pnl}"
        case MarketSettled(condition_id=condition_id, winner=winner):
            return f"{condition_id} settled {winner}"
        case _:
            return ""


def play(
    speed: int, tape: Path, script: Script, trouble: Callable[[Command], list[Event] | None] | None = None,
    **tables: dict[str, Any],
) -> Played:
    """One story at one speed. ``trouble``: events in place of what the venue would do and say, or None."""
    settings = Configuration.model_validate(tables)
    plugins = Plugins(script)
    run = Backtest(settings, plugins)
    run.kernel = kernel = KernelAtSpeed(settings)
    kernel.analyse = False
    kernel.speed = speed
    old = run._gateway
    run._gateway = gateway = Troubled(old.exchange, old.address, old.api_key, seed=1)
    gateway.asked = []
    if trouble is not None:
        gateway.trouble = trouble
    report = run.run([Tape(tape)])
    assert report["invariants"]["broken"] == 0, report["invariants"]
    return Played(kernel, [record for _, record in run.journal.read()], plugins.views, gateway.asked)


def found(at: int, number: int, start: int, minutes: int, winner: str = "") -> Row:
    msg: Row = {
        "slug": f"btc-updown-{minutes}m-{start // 1_000}", "conditionId": f"0xc{number}",
        "outcomes": '["Up", "Down"]', "clobTokenIds": json.dumps([f"{number}01", f"{number}02"]),
        "orderPriceMinTickSize": 0.01, "closed": bool(winner),
    }
    if winner:
        msg["outcomePrices"] = '["1", "0"]' if winner == "UP" else '["0", "1"]'
    return {"ts": at, "source": "gamma", "msg": msg}


def quote(at: int, number: int, up: str, size: str = "500") -> Row:
    bid, _, ask = up.partition("/")
    msg = {
        "event_type": "book", "asset_id": f"{number}01", "timestamp": str(at),
        "bids": [{"price": bid, "size": size}], "asks": [{"price": ask, "size": size}],
    }
    return {"ts": at, "source": "polymarket", "msg": msg}


def window(number: int, start: int, minutes: int, winner: str, quotes: dict[int, str], size: str = "500") -> list[Row]:
    """A window with a book a second; ``quotes``: from this second on the UP book is so."""
    rows = [found(start - 1_000, number, start, minutes)]
    for second in range(minutes * 60):
        now = quotes[max(since for since in quotes if since <= second)]
        rows.append(quote(start + second * 1_000, number, now, size))
    return [*rows, found(start + minutes * 60_000 + 8_000, number, start, minutes, winner)]


def write(path: Path, rows: list[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in sorted(rows, key=lambda row: int(row["ts"]))))
    return path


def enter(view: View, side: Side = Side.UP, after_s: int = 30) -> list[Answer]:
    if view.elapsed_s < after_s or view.taken or view.orders:
        return []
    return [Enter(side, view.side(side).ask, "script")]


# --- market time ------------------------------------------------------------------------------------------------------

FIVE: Final = 300_000
OBLIGATION_S: Final = 260
"""40 s before the end of a 5-minute window (120 s of 15 minutes, scaled)."""


def five_windows() -> list[Row]:
    """Sold at a target that was moved; stopped; forced out; held ahead; held by its plugin to a loss."""
    return [
        *window(1, START, 5, "UP", {0: "0.40/0.41", 200: "0.56/0.57"}),
        *window(2, START + FIVE, 5, "DOWN", {0: "0.40/0.41", 100: "0.29/0.31"}),
        *window(3, START + 2 * FIVE, 5, "DOWN", {0: "0.40/0.41", 240: "0.35/0.37"}),
        *window(4, START + 3 * FIVE, 5, "UP", {0: "0.40/0.41", 240: "0.93/0.94"}),
        *window(5, START + 4 * FIVE, 5, "UP", {0: "0.40/0.41", 280: "0.70/0.72"}),
    ]


def five_scripts(view: View) -> list[Answer]:
    """Each window's plugin; what is wanted changes only at market times, and rarely enough for T7 at any speed."""
    number = (view.market.end - START) // FIVE
    if not view.positions:
        return enter(view, Side.DOWN if number == 5 else Side.UP)
    if number == 1:
        return [ExitTarget(Side.UP, ticks("0.60") if view.elapsed_s < 150 else ticks("0.55"), "plan")]
    if number == 2 and view.up.mid <= ticks("0.30"):
        return [ExitNow(Side.UP, "stop loss")]
    if number == 5:
        return [ExitTarget(Side.DOWN, ticks("0.99"), "plan")]
    return []


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Played]:
    tape = write(tmp_path_factory.mktemp("speed") / "five.jsonl", five_windows())
    return {speed: play(speed, tape, five_scripts) for speed in SPEEDS}


def test_the_same_market_at_speed_1_and_60_is_decided_the_same_at_the_same_market_time(five: dict[int, Played]) -> None:
    slow, fast = (five[speed].decisions for speed in SPEEDS)
    assert fast == slow
    assert five[60].kernel.wall(START + 60_000) == START + 1_000, "the wall did go slower"


def test_the_story_holds_every_kind_of_decision(five: dict[int, Played]) -> None:
    """Else the comparison would prove little."""
    told = "\n".join(what for _, what in five[1].decisions)
    for words in (
        "0xc1 entry BUY 23 UP at 0.41 FAK", "0xc1 exit SELL 23 UP at 0.6 GTC", "cancel o000002",
        "0xc1 exit SELL 23 UP at 0.55 GTC", "0xc1 UP closed: plan, 23", "0xc2 UP closed: stop loss, 23",
        "0xc3 emergency SELL 23 UP", "0xc3 UP closed: obligation, 23", "0xc4 UP held: ahead", "0xc4 settled UP",
        "0xc5 entry BUY", "0xc5 exit SELL", "0xc5 emergency SELL", "0xc5 settled UP",
    ):  # fmt: skip
        assert words in told, f"{words!r} is not in\n{told}"


def test_cadence_and_obligations_are_market_time(five: dict[int, Played]) -> None:
    for played in five.values():
        third = [view.now - START - 2 * FIVE for view in played.views if view.market.condition_id == "0xc3"]
        assert set(gaps(third[:200])) == {1_000}
        (forced,) = [d for d in played.decisions if d.what.startswith("0xc3 emergency")]
        # Two cadences after the deadline the host acts for plugins that did not.
        assert forced.at - 2 * FIVE == (OBLIGATION_S + 2) * 1_000
        (held,) = [d for d in played.decisions if "held: ahead" in d.what]
        assert held.at - 3 * FIVE == (OBLIGATION_S + 2) * 1_000


def test_t9_nothing_is_placed_in_the_last_two_seconds_of_market_time(tmp_path: Path) -> None:
    tape = write(tmp_path / "late.jsonl", window(1, START, 5, "UP", {0: "0.40/0.41"}))
    free = {"close_before_expiry_s": 2.1}  # of 15 minutes: here no obligation comes before the end

    def leaving(view: View) -> list[Answer]:
        return [ExitNow(Side.UP, "late")] if view.positions and view.elapsed_s >= late_s else enter(view)

    def entering(view: View) -> list[Answer]:
        return enter(view, after_s=late_s) if not view.positions else []

    for late_s, in_time in ((297, 1), (299, 0)):
        for speed in SPEEDS:
            assert len(play(speed, tape, entering, safety=free).of(OrderIntended)) == in_time, (late_s, speed)
            assert len(play(speed, tape, leaving, safety=free).sells()) == in_time, (late_s, speed)


# --- transport time ---------------------------------------------------------------------------------------------------


def quarter(tmp_path: Path, quotes: dict[int, str] | None = None, size: str = "500") -> Path:
    return write(tmp_path / "quarter.jsonl", window(1, START, 15, "UP", quotes or {0: "0.40/0.41"}, size))


def gaps(instants: list[int]) -> list[int]:
    return [later - earlier for earlier, later in pairwise(instants)]


def test_u1_and_u4_an_unknown_order_is_asked_for_on_the_wall_clock_at_any_speed(tmp_path: Path) -> None:
    """It is given up by U6's second way, a minute of *market* time after the end and at a step of the ladder.

    Legitimate difference: at speed 60 the same six questions take six minutes of the market.
    """
    tape = quarter(tmp_path)
    played = {speed: play(speed, tape, enter, lost) for speed in SPEEDS}
    for one in played.values():
        (order,) = one.of(OrderIntended)
        (unknown,) = [moved for moved in one.of(OrderMoved) if moved.state is OrderState.UNKNOWN]
        posted = next(at for at, command in one.asked if isinstance(command, Post))
        asked = [at for at, command in one.asked if isinstance(command, QueryOrder) and at < START + 900_000]
        assert gaps(one.wall_of([posted, unknown.at])) == [1_500]
        assert [at - one.wall_of([unknown.at])[0] for at in one.wall_of(asked)][:7] == [
            0, 250, 500, 1_000, 2_000, 4_000, 9_000,
        ]  # fmt: skip
        assert order.at == START + 30_001, "the decision before the trouble is the same"
    slow, fast = ([what for _, what in played[speed].decisions] for speed in SPEEDS)
    assert fast == slow
    assert len(slow) == 2, "one entry, and the window's end: an unknown entry keeps its slot"


def lost(command: Command) -> list[Event] | None:
    """Nothing that is posted arrives, and nobody answers it."""
    return [] if isinstance(command, Post) else None


def test_u1_waits_on_the_wall_for_an_answer_that_comes_on_market_time(tmp_path: Path) -> None:
    """An answer that the taker delay (market time) holds back is late at 1.5 s of the wall: just inside and outside.

    Legitimate difference: at speed 60 the longer delay is 27 ms of the wall and nobody misses the answer. What is
    bought in the end is the same.
    """
    unknown = {}
    for delay_ms in (1_400, 1_600):
        played = {
            speed: play(speed, quarter(tmp_path), enter, exchange={"taker_delay_ms": delay_ms}) for speed in SPEEDS
        }
        for speed, one in played.items():
            states = [moved.state for moved in one.of(OrderMoved)]
            unknown[delay_ms, speed] = states.count(OrderState.UNKNOWN)
        assert played[60].of(FillBooked) == played[1].of(FillBooked)
        assert len(played[1].of(FillBooked)) == 2, "the entry and its forced close"
    assert unknown == {(1_400, 1): 0, (1_400, 60): 0, (1_600, 1): 2, (1_600, 60): 0}


def test_t8_a_sale_at_market_is_tried_again_after_a_quarter_second_of_the_wall(tmp_path: Path) -> None:
    """Nothing is left at the bid after the first five shares, until the level changes.

    Legitimate difference: at speed 60 a quarter of a second is fifteen seconds of the market, so the tries lie further
    apart there and fewer fit into the window. The first one, and its price and size, are the same; the age of the
    balance, which it tells, is the wall's.
    """

    def script(view: View) -> list[Answer]:
        return [ExitNow(Side.UP, "stop loss")] if view.positions and view.elapsed_s >= 60 else enter(view)

    tape = quarter(tmp_path, {0: "0.40/0.41", 45: "0.39/0.41"}, size="25")
    thin = write(
        tmp_path / "thin.jsonl",
        [row | {"msg": row["msg"] | {"bids": [{"price": "0.39", "size": "5"}]}} if is_thin(row) else row
         for row in map(json.loads, tape.read_text().splitlines())],
    )  # fmt: skip
    played = {speed: play(speed, thin, script) for speed in SPEEDS}
    first = {speed: one.sells()[0] for speed, one in played.items()}
    ages = [one.why.pop("balance_age_ms") for one in (first[60], first[1])]
    assert all(0 <= int(age) <= 5_000 for age in ages), ages
    assert first[60] == first[1]
    assert first[1].draft.order_type is OrderType.FAK
    for speed, one in played.items():
        tries = one.wall_of([sell.at for sell in one.sells()][:8])
        assert len(tries) == 8
        # The first was filled in part, the others were answered "no match" after the taker delay, and wait from then.
        assert gaps(tries)[0] == 250
        assert set(gaps(tries)[1:]) <= {250 + late for late in range(150 // speed + 2)}, speed
    second = {speed: one.sells()[1].at - START for speed, one in played.items()}
    assert second == {1: 60_251, 60: 75_000}, "250 ms and 15 s of the market later"


def is_thin(row: Row) -> bool:
    return bool(row["msg"].get("event_type") == "book" and row["ts"] >= START + 45_000)


def test_t7_a_target_that_never_rests_moves_its_order_once_a_second_of_the_wall(tmp_path: Path) -> None:
    """Legitimate difference: its plugin wants another price every second of the market, and gets one a minute of it."""

    def script(view: View) -> list[Answer]:
        price = ticks("0.50") + 100 * (int(view.elapsed_s) % 40)
        return [ExitTarget(Side.UP, price, "restless")] if view.positions else enter(view)

    played = {speed: play(speed, quarter(tmp_path), script) for speed in SPEEDS}
    for speed, one in played.items():
        # Up to the obligation: what is urgent is exempt from T7.
        moves = [moved for moved in one.of(OrderMoved) if moved.at < START + 780_000]
        cancels = [moved.at for moved in moves if moved.state is OrderState.CANCELLING]
        assert len(cancels) > 5, speed
        assert min(gaps(one.wall_of(cancels))) >= 1_000, speed
    assert len(played[1].sells()) > 10 * len(played[60].sells())


def test_ord_19_the_waits_after_a_refusal_for_balance_are_on_the_wall(tmp_path: Path) -> None:
    """Legitimate difference: 1, 2 and 3 s are one, two and three minutes of the market at speed 60."""

    def script(view: View) -> list[Answer]:
        return [ExitNow(Side.UP, "stop loss")] if view.positions and view.elapsed_s >= 60 else enter(view)

    for speed in SPEEDS:
        one = play(speed, quarter(tmp_path), script, short_of_balance())
        assert gaps(one.wall_of([sell.at for sell in one.sells()])) == [1_000, 2_000, 3_000], speed
        assert [what for _, what in one.decisions if "closed" in what] != [], "and then it is sold"


def short_of_balance(times: int = 3) -> Callable[[Command], list[Event] | None]:
    """The venue refuses the first sells: it does not see the shares yet."""
    left = [times]

    def trouble(command: Command) -> list[Event] | None:
        if isinstance(command, Post) and command.request.fields.action is Action.SELL and left[0]:
            left[0] -= 1
            text = "not enough balance / allowance: the balance is not enough"
            return [PostAnswered(command.request.order_id, "refused", code="balance", text=text)]
        return None

    return trouble
