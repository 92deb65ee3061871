"""The figures of ``polyhost health``, each just inside and just outside its limit (OPS-07)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest

from polyhost.cli.spans import span_ms
from polyhost.model.gateway import OrderDraft, OrderRequest, SignedFields
from polyhost.model.records import (
    CloseRecorded,
    FillBooked,
    FillMoved,
    MarketSettled,
    ObligationMet,
    OrderIntended,
    OrderMoved,
    OrderPrepared,
    PairMoved,
    Record,
    RunEnded,
    RunStarted,
    Slot,
)
from polyhost.model.words import Action, OrderState, OrderType, PairState, Purpose, Side, TradeStatus
from polyhost.service.health import HOUR_MS, Line, failing, lines, watched

START: Final = 1_800_000_000_000
MARKET: Final = "0x" + "ab" * 32


def run(mode: str = "live") -> RunStarted:
    return RunStarted(START, "run", "0.1.0", mode, "hash", "main")


def intended(
    at: int, ref: str, *, action: Action = Action.SELL, kind: OrderType = OrderType.FAK, purpose: Purpose = Purpose.EXIT
) -> OrderIntended:
    draft = OrderDraft(ref, "1", action, kind, 5_000, 10_000_000, 100, False)
    return OrderIntended(START + at, Slot(MARKET, Side.UP, purpose), draft, 0)


def signed(at: int, ref: str, wall: int | None = None) -> OrderPrepared:
    fields = SignedFields(
        1, "0x0", "0x0", "1", 1, 1, Action.SELL, 0, START + at if wall is None else wall, "0x0", "0x0"
    )
    return OrderPrepared(START + at, ref, OrderRequest("0x" + ref, fields, "0x", OrderType.FAK, False, 0, "k", False))


def fill(at: int, ref: str, trade: str = "t1", *, action: Action = Action.SELL) -> FillBooked:
    slot = Slot(MARKET, Side.UP, Purpose.EXIT)
    return FillBooked(
        START + at, trade, ref, slot, "1", action, 5_000, 10_000_000, 5_000_000, 0, TradeStatus.MATCHED, False
    )


def refused(at: int, ref: str, code: str) -> OrderMoved:
    return OrderMoved(START + at, ref, OrderState.CLOSED, "refused", code=code)


def close(at: int) -> CloseRecorded:
    return CloseRecorded(START + at, MARKET, Side.UP, "stop", False, False, 5_000, 4_000, 1, 0, 0, START)


def pair(ref: str, *, rolled: bool, cause: str = "paired") -> Iterator[Record]:
    if rolled:
        yield PairMoved(START, ref, PairState.ROLLBACK, "unequal")
    yield PairMoved(START, ref, PairState.DONE, cause)


def report(*records: Record, since: int = 0, problems: tuple[str, ...] = ()) -> dict[str, Line]:
    found = lines(watched([run(), *records], START + since), list(problems))
    assert failing(found) == any(line.verdict == "failed" for line in found)
    return {line.name: line for line in found}


def verdict(name: str, *records: Record, **options: Any) -> str:
    return report(*records, **options)[name].verdict


def sale(took: int, at: int = 0, ref: str = "o1") -> list[Record]:
    return [intended(at, ref), signed(at, ref), fill(at + took, ref, "t" + ref)]


def test_ops_07_what_never_happened_is_not_called_good() -> None:
    found = report()
    assert {name for name, line in found.items() if line.verdict == "ok"} == {"journal"}
    assert {line.verdict for name, line in found.items() if name != "journal"} == {"no data"}


@pytest.mark.parametrize(("took", "wanted"), [(999, "ok"), (1_000, "failed")])
def test_ops_07_the_mean_exit_latency_is_under_a_second(took: int, wanted: str) -> None:
    others = [record for number in range(3) for record in sale(took, 10_000 * number, f"o{number}")]
    assert verdict("exit latency, mean", *others) == wanted


@pytest.mark.parametrize(("took", "wanted"), [(5_000, "ok"), (5_001, "warning")])
def test_ops_07_one_exit_of_more_than_five_seconds_is_a_warning(took: int, wanted: str) -> None:
    quick = [record for number in range(20) for record in sale(10, 10_000 * number, f"q{number}")]
    found = report(*quick, *sale(took, 900_000, "slow"))
    assert (found["exit latency, longest"].verdict, found["exit latency, mean"].verdict) == (wanted, "ok")


def test_ops_07_an_exit_that_needs_several_orders_is_timed_from_the_first() -> None:
    tried = [intended(0, "o1"), OrderMoved(START + 50, "o1", OrderState.CLOSED, "ended"), *sale(100, 2_000, "o2")]
    assert report(*tried)["exit latency, mean"].figure == "2.10 s of 1"


def test_ops_07_a_resting_exit_and_a_buy_have_no_latency() -> None:
    resting = [intended(0, "o1", kind=OrderType.GTC), fill(60_000, "o1")]
    bought = [intended(0, "o2", action=Action.BUY, purpose=Purpose.ENTRY), fill(9_000, "o2", action=Action.BUY)]
    assert verdict("exit latency, mean", *resting, *bought) == "no data"


def test_ops_07_a_sale_that_never_filled_fails_although_it_took_no_time() -> None:
    settled = MarketSettled(START + 60_000, MARKET, Side.DOWN, None, "gamma")
    found = report(*sale(10), intended(1_000, "o2"), settled)
    assert found["exit latency, mean"].verdict == "failed"
    assert "1 sales at market had no fill" in found["exit latency, mean"].figure
    assert verdict("exit latency, mean", *sale(10), intended(1_000, "o2"), close(2_000), settled) == "ok"


def test_ops_07_a_fast_simulation_is_timed_by_the_wall() -> None:
    """Sixty times as fast: three seconds of the market are fifty milliseconds."""
    stamps = [signed(0, "a", wall=START), signed(600_000, "b", wall=START + 10_000)]
    found = report(*stamps, intended(0, "o1"), fill(3_000, "o1"))
    assert found["exit latency, mean"].figure == "0.05 s of 1"


def test_ops_07_an_order_that_lives_after_its_end_is_an_orphan() -> None:
    ended, back = OrderMoved(START, "o1", OrderState.CLOSED, "absent"), OrderMoved(
        START + 1, "o1", OrderState.WORKING, "reappeared"
    )
    assert verdict("orphans", signed(0, "o1"), ended) == "ok"
    assert verdict("orphans", signed(0, "o1"), ended, back) == "failed"


def test_ops_07_a_position_that_was_neither_closed_nor_held_by_its_end_is_unmanaged() -> None:
    def met(how: str) -> list[Record]:
        return [ObligationMet(START + 1, MARKET, Side.UP, how), close(2)]

    assert [verdict("unmanaged expiries", *met(how)) for how in ("closed", "held", "settled")] == ["ok", "ok", "failed"]


@pytest.mark.parametrize(("rolled", "wanted"), [(0, "ok"), (1, "failed")])
def test_ops_07_fewer_than_one_in_twenty_pairs_is_rolled_back(rolled: int, wanted: str) -> None:
    pairs = [record for number in range(20) for record in pair(f"p{number}", rolled=number < rolled)]
    assert verdict("pair rollbacks", *pairs) == wanted


def test_ops_07_a_pair_of_which_nothing_was_bought_is_no_pair() -> None:
    assert verdict("pair rollbacks", *pair("p1", rolled=False, cause="nothing")) == "no data"
    many = [record for number in range(20) for record in pair(f"p{number}", rolled=False)]
    assert report(*many, *pair("p21", rolled=True))["pair rollbacks"].figure == "4.8% (1 of 21)"


def test_ops_07_one_refusal_for_size_is_too_many() -> None:
    assert verdict("size rejects", signed(0, "o1")) == "ok"
    assert [verdict("size rejects", signed(0, "o1"), refused(1, "o1", code)) for code in ("min_size", "tick")] == [
        "failed", "ok",
    ]


def test_ops_07_less_than_one_refusal_an_hour_for_balance() -> None:
    """Counted by the time in which a host ran: one in two hours passes, two do not."""
    two_hours = [signed(0, "o1"), refused(1, "o1", "balance"), RunEnded(START + 2 * HOUR_MS, "run", "stop")]
    assert verdict("balance rejects", *two_hours) == "ok"
    assert verdict("balance rejects", two_hours[0], refused(1, "o2", "funds"), *two_hours[1:]) == "failed"
    assert verdict("balance rejects", signed(0, "o1"), refused(1, "o1", "balance")) == "failed"


@pytest.mark.parametrize(("failures", "wanted"), [(0, "ok"), (1, "ok"), (2, "failed")])
def test_ops_07_more_than_nineteen_in_twenty_trades_are_confirmed(failures: int, wanted: str) -> None:
    """21 trades: one that failed leaves 95.2 %, two leave 90.5 %."""
    told: list[Record] = [fill(0, "o1", f"t{number}") for number in range(21)]
    told += [
        FillMoved(START, f"t{number}", "o1", TradeStatus.FAILED if number < failures else TradeStatus.CONFIRMED)
        for number in range(21)
    ]
    assert verdict("trade success", *told) == wanted
    if failures == 1:
        assert verdict("trade success", *told[:20], *told[21:41]) == "failed", "19 of 20 are 95 %, and no more"


def test_ops_07_a_damaged_journal_fails() -> None:
    assert verdict("journal", problems=("journal.db: invariant cash does not hold. Report this.",)) == "failed"


def test_ops_07_what_is_older_does_not_count() -> None:
    """An exit that was decided before the time and filled within it does, with its whole duration."""
    old = [*sale(9_000), refused(1, "o9", "min_size"), *pair("p1", rolled=True)]
    assert {line.verdict for line in report(*old, since=10_000).values()} == {"no data", "ok"}
    assert report(*old, since=8_000)["exit latency, mean"].figure == "9.00 s of 1"


@pytest.mark.parametrize(("text", "wanted"), [("24h", 86_400_000), ("30m", 1_800_000), ("1.5d", 129_600_000)])
def test_a_span_of_time_is_read(text: str, wanted: int) -> None:
    assert span_ms(text) == wanted


@pytest.mark.parametrize("text", ["", "24", "h", "-1h", "0h", "1 week"])
def test_what_is_no_span_of_time_is_refused(text: str) -> None:
    import typer

    with pytest.raises(typer.BadParameter, match="24h"):
        span_ms(text)
