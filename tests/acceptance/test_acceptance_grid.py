"""SIM-07, G: a grid bot with long and short sides, phase by phase: orphans, dropped closes, resync loops, no brake."""

from __future__ import annotations

from pathlib import Path

from polyhost.exchange import api
from polyhost.kernel.state import OrderEntry
from polyhost.model.commands import CancelEverything, Sweep
from polyhost.model.events import PostAnswered, TradeSeen
from polyhost.model.records import EntriesBlocked, FillBooked
from polyhost.model.words import Action, OrderState, OrderType, Purpose, Side

from .acceptance_stage import Stage

GRID = (
    "10..20 level UP 0.38 8 a", "10..20 level UP 0.36 8 b", "10..20 level DOWN 0.55 8 a", "10..20 level DOWN 0.53 8 b",
    "30.. target UP 0.44", "30.. target DOWN 0.80",
)
"""Two levels a side below the market, and a take-profit for each side's total."""


def levels(stage: Stage, side: Side | None = None) -> list[OrderEntry]:
    return stage.orders(purpose=Purpose.GRID_LEVEL, side=side)


def is_sweep(request: api.Request) -> bool:
    return isinstance(request, api.GetOpenOrders | api.GetTrades)


def grid(stage: Stage) -> None:
    """Both sides have bought one level and wait with the other; UP's profit is then taken, DOWN stays."""
    stage.quote("0.40/0.46", "500")
    stage.to(25)
    assert [order.state for order in levels(stage)] == [OrderState.WORKING] * 4
    stage.quote("0.30/0.60")
    stage.house(Action.SELL, "0.38", "500", OrderType.FAK)  # UP's first level
    stage.house(Action.BUY, "0.45", "500", OrderType.FAK)  # DOWN's first level, at 0.55
    stage.quote("0.40/0.46", "500")
    stage.to(50)


# --- phase 1: open both sides, and clear what is pending before a re-open -------------------------------------------


def test_sim_07_g_phase_1_what_is_pending_is_over_before_a_side_is_opened_again(tmp_path: Path) -> None:
    """Every old level is cancelled and its fate known before the new one leaves; the other side's exit stays."""
    stage = Stage(tmp_path, (*GRID, "100..150 level UP 0.37 8 c"))
    grid(stage)
    assert min(stage.held(Side.UP), stage.held(Side.DOWN)) > 0
    down_exit = next(o for o in stage.sells() if o.slot.side is Side.DOWN)
    stage.house(Action.BUY, "0.44", "300", OrderType.FAK)
    stage.to(99)
    assert stage.held(Side.UP) == 0, "UP's profit was taken"
    waiting = [order for order in levels(stage) if order.open]
    assert {(order.slot.side, order.slot.key) for order in waiting} >= {(Side.UP, "b"), (Side.DOWN, "b")}
    with stage.striking("cancel_race"):
        stage.to(140)

    renewed = next(order for order in levels(stage) if order.slot.key == "c")
    ends = {r.ref: r.at for r in stage.records if getattr(r, "state", None) is OrderState.CLOSED}
    for order in waiting:
        assert ends[order.ref] <= renewed.placed_at, f"{order.ref} could still fill when the side was opened again"
    raced = [order for order in waiting if order.traded]
    assert raced, "a level that was filled while its cancel was under way"
    assert stage.held(Side.UP) + stage.held(Side.DOWN) == stage.at_venue(Side.UP) + stage.at_venue(Side.DOWN)
    assert down_exit.open or down_exit.traded == 0
    assert any(o.open for o in stage.sells() if o.slot.side is Side.DOWN), "the exit of what stays remains"
    stage.agree()
    stage.settle()


# --- phase 2: fills faster than answers, closes during a sync -------------------------------------------------------


def test_sim_07_g_phase_2_a_fill_that_is_faster_than_its_answer_finds_its_order(tmp_path: Path) -> None:
    """The stream tells of the trade before the post is answered, and before the order itself: tracked all the same."""
    stage = Stage(tmp_path, ("10.. buy UP 20", "20.. target UP 0.45"))
    stage.quote("0.40/0.42")
    heard: dict[str, int] = {}
    listen = stage._handle

    def noted(host: object, event: object) -> None:
        if isinstance(event, PostAnswered | TradeSeen):
            key = event.order_id if isinstance(event, PostAnswered) else event.row.taker_order_id + " trade"
            heard.setdefault(key, stage.now)
        listen(host, event)  # type: ignore[arg-type]

    stage._handle = noted  # type: ignore[method-assign]
    stage.to(9)
    with stage.striking("update_before_response", "trade_before_order"):
        stage.to(18)
    [order] = stage.buys()
    assert heard[order.order_id + " trade"] < heard[order.order_id], "the answer was not late"
    booked = next(r for r in stage.of(FillBooked) if r.ref == order.ref)
    assert booked.at < heard[order.order_id]
    assert stage.held() == stage.at_venue() == order.draft.size
    assert not stage.notices("critical")
    assert not [n for n in stage.notices() if "not ours" in n.text], "an order of ours was taken for a foreign one"
    stage.agree()


def test_sim_07_g_phase_2_a_close_during_a_sync_is_applied_at_once(tmp_path: Path) -> None:
    """The comparison with the venue hangs, the exit is filled meanwhile: the close counts now, not in a minute."""
    stage = Stage(tmp_path, ("10..11 buy UP 20", "20.. target UP 0.45"))
    stage.quote("0.40/0.42")
    stage.to(40)
    bought = stage.held()
    stage.refuse(is_sweep, "Internal server error", http=500)
    stage.lose("user", 2)
    stage.to(45)
    assert stage.kernel.reconciling()
    stage.house(Action.BUY, "0.45", "2000", OrderType.FAK)
    stage.wait(0.25)
    assert stage.kernel.reconciling(), "the sync was over too early to show anything"
    assert stage.held() == 0, "the close waits for the sync"
    assert stage.closes()[0].size == bought
    stage.accept_again()
    stage.until(lambda: not stage.kernel.reconciling(), 5)
    assert len(stage.closes()) == 1
    assert sum(fill.size for fill in stage.fills(Action.SELL)) == bought
    stage.agree()


# --- phase 3: reconciliation under load -----------------------------------------------------------------------------


def test_sim_07_g_phase_3_reconciliation_under_load_reaches_a_fixed_point(tmp_path: Path) -> None:
    """The stream breaks every second while levels fill, and for eight seconds every sweep fails: what arrives meanwhile
    starts no sweep of its own; it ends when that ends, and never loops."""
    stage = Stage(tmp_path, GRID[:4], settings="[breakers]\ndisconnects_hour = 1000\n")
    stage.quote("0.40/0.46", "500")
    stage.to(25)
    before = len([sweep for sweep in stage.sent(Sweep) if not sweep.condition_id])
    breaks = 0
    with stage.striking("dup_trade", "ws_reorder", "late_fill"):
        for number in range(30):
            stage.house(Action.SELL, "0.36", "504", OrderType.FAK)
            stage.house(Action.BUY, "0.47", "504", OrderType.FAK)
            stage.quote("0.40/0.46", "500")
            if number % 2:
                stage.lose("user", 0.3)
                breaks += 1
            if number == 10:
                stage.refuse(is_sweep, "Internal server error", http=500)
            elif number == 26:
                stage.accept_again()
            stage.wait(0.5)
            assert stage.kernel.reconciling() or not 10 < number < 26
    ended = stage.until(lambda: not stage.kernel.reconciling(), 10)
    sweeps = [sweep for sweep in stage.sent(Sweep) if not sweep.condition_id]
    # One for each return of the stream, one in two seconds while one is under way, and the minute's own.
    assert len(sweeps) - before <= breaks + (ended - 25) / 2 + 2
    stage.to(120)
    assert not stage.kernel.reconciling()
    records = len(stage.records)
    stage.to(150)
    assert len(stage.records) == records, "a pass that finds nothing writes nothing"
    filled = [order for order in levels(stage) if order.traded]
    assert len(filled) == 4
    assert all(order.traded == order.draft.size for order in filled), "each level once"
    assert [stage.held(side) for side in Side] == [stage.at_venue(side) for side in Side]
    stage.agree()
    stage.settle()


# --- phase 4: breakers, kill and flatten ----------------------------------------------------------------------------


def test_sim_07_g_phase_4_a_breaker_stops_entries_and_never_exits_and_outlives_a_crash(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path, ("10..11 buy UP 15", "30.. stop UP", "40..41 buy DOWN 15", "60.. stop DOWN", "80.. buy UP 15"),
        settings="[breakers]\nemergency_stops_hour = 1\n", symbols=("BTC", "ETH"),
        plugins='[plugins.other]\nuse = "playbook"\ntrusted = true\nsymbol = "ETH"\nplays = ["50..51 buy UP 15", '
        '"90.. stop UP", "80.. buy DOWN 15"]\n',
    )
    stage.quote("0.40/0.42")
    stage.quote("0.50/0.52", symbol="ETH")
    stage.to(70)
    assert list(stage.state.blocked) == ["emergency_stops"]
    assert stage.held(Side.DOWN) == 0, "the second stop itself was carried out"
    stage.crash(down=3)
    stage.to(150)
    assert list(stage.state.blocked) == ["emergency_stops"], "a restart does not clear it"
    assert len(stage.buys()) == 3, "an entry past a breaker"
    assert stage.held(Side.UP, "ETH") == 0, "exits go on"
    stage.say("resume", "emergency_stops")
    stage.to(160)
    assert len(stage.buys()) > 3
    changes = [(r.name, r.on) for r in stage.of(EntriesBlocked) if r.lasting]
    assert changes[:2] == [("emergency_stops", True), ("emergency_stops", False)]
    stage.settle()


def test_sim_07_g_phase_4_a_stop_of_what_is_too_small_to_sell_counts_once_however_often_it_is_wanted(
    tmp_path: Path,
) -> None:
    """11 shares at 0.05: the venue takes no such order, the plugin says stop every second. One stop, not a hundred."""
    stage = Stage(
        tmp_path, ("10..11 buy UP 5", "30.. stop UP when UP<=0.10"), settings="[breakers]\nemergency_stops_hour = 1\n"
    )
    stage.quote("0.40/0.42")
    stage.to(29)
    bought = stage.held()
    stage.quote("0.05/0.07")
    stage.to(150)
    position = stage.position()
    assert position is not None
    assert (position.held, stage.held()) == ("minimum", bought)
    assert not stage.state.blocked, "one position tripped the breaker by itself"
    stage.agree()


def test_sim_07_g_phase_4_kill_and_flatten_in_the_middle_of_a_sync_leaves_nothing(tmp_path: Path) -> None:
    """Levels rest, both sides are held with exits, the comparison hangs and cancels are lost: all of it goes."""
    stage = Stage(tmp_path, (*GRID, "60..700 level UP 0.37 8 d"))
    grid(stage)
    assert min(stage.held(Side.UP), stage.held(Side.DOWN)) > 0
    assert len([order for order in stage.orders() if order.open]) >= 3
    stage.refuse(is_sweep, "Internal server error", http=500)
    stage.lose("user", 2)
    stage.wait(3)
    assert stage.kernel.reconciling()
    stage.refuse(lambda r: isinstance(r, api.CancelOrders), "Internal server error", http=500, times=3)
    stage.say("kill", "all", flatten=True)
    stage.wait(20)

    assert stage.sent(CancelEverything)
    assert [stage.held(side) for side in Side] == [stage.at_venue(side) for side in Side] == [0, 0]
    assert not stage._venue_orders(), "something rests at the venue"
    assert stage.state.balance("reserved") == 0
    count = len(stage.orders())
    stage.accept_again()
    stage.to(150)
    assert not [order for order in stage.orders()[count:] if order.draft.action is Action.BUY], "an entry after a kill"
    assert all(close.forced for close in stage.closes())
    stage.agree()
