"""The policy in front of the key (SEC-01): what is refused, by which rule, and sums that nobody sets back."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from polyhost.model import events
from polyhost.model.builder import Builder
from polyhost.model.commands import Act, Cancel, Post, PostMany, Prepare
from polyhost.model.gateway import ActionRequest, OrderDraft, OrderRequest, OrderRow, SignedFields
from polyhost.model.market import Fees, Market
from polyhost.model.money import notional
from polyhost.model.order_hash import NEG_RISK_EXCHANGE, STANDARD_EXCHANGE, exchange_address, order_id
from polyhost.model.times import MarketMs
from polyhost.model.words import Action, ActionKind, OrderType
from polyhost.venue.gatekeeper import policy as policy_module
from polyhost.venue.gatekeeper.launch import Policy
from polyhost.venue.gatekeeper.policy import DAY_MS, HOUR_MS, Guard, refused
from polyhost.venue.gatekeeper.spent import BUCKET_MS, FILE, Spent

UP, DOWN = str(71 << 200), str(72 << 200)
WALLET = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
MARKET = Market("btc", "0x" + "ab" * 32, UP, DOWN, MarketMs(10**12), fees=Fees(0))
POLICY = Policy(order_max=50_000_000, hour_max=100_000_000, day_max=150_000_000)


class Bench:
    """A guard with its clock in hand."""

    def __init__(self, folder: Path, policy: Policy = POLICY, market: Market = MARKET) -> None:
        self.now = 1_000_000_000_000
        self.path = folder / FILE
        self.policy = policy
        self.market = market
        self.begin()

    def begin(self) -> None:
        """As a new process does."""
        self.spent = Spent(self.path, lambda: self.now)
        self.guard = Guard(self.policy, self.spent)
        self.guard.wallet = WALLET
        self.guard.follow(self.market)

    def again(self) -> None:
        self.spent.close()
        self.begin()

    def buy(self, ref: str, money: int) -> str:
        """A buy at 0.50 that costs so many micro-units."""
        return self.guard.prepare(draft(ref, size=money * 2))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def draft(ref: str = "o1", **changes: Any) -> OrderDraft:
    base: dict[str, Any] = {
        "ref": ref, "token_id": UP, "action": Action.BUY, "order_type": OrderType.GTC, "price": 5_000,
        "size": 10_000_000, "tick": 100, "neg_risk": False,
    }
    return OrderDraft(**base | changes)


def request(money: int = 5_000_000, *, neg_risk: bool = False, **changes: Any) -> OrderRequest:
    base: dict[str, Any] = {
        "salt": money, "maker": WALLET, "signer": WALLET, "token_id": UP, "maker_amount": money,
        "taker_amount": money * 2, "action": Action.BUY, "signature_type": 0, "timestamp_ms": 5,
        "metadata": "0x" + "00" * 32, "builder": "0x" + "00" * 32,
    }
    fields = SignedFields(**base | changes)
    return OrderRequest(order_id(fields, neg_risk=neg_risk), fields, "0xab", OrderType.GTC, False, 0, "key", neg_risk)


def row(order_id: str, status: str, matched: int | None, original: int = 10_000_000) -> OrderRow:
    return OrderRow(order_id, MARKET.condition_id, UP, Action.BUY, 5_000, original, matched, status)


# --- what is refused --------------------------------------------------------------------------------------------------


def test_sec_01_only_markets_that_the_host_follows_are_traded(bench: Bench) -> None:
    assert "(market)" in bench.guard.prepare(draft(token_id="123"))
    assert "(market)" in bench.guard.prepare(draft(token_id="123", action=Action.SELL))
    assert "(market)" in bench.guard.post(request(token_id="123"))
    assert bench.guard.prepare(draft(token_id=DOWN)) == ""


def test_sec_01_the_only_contracts_are_the_two_exchanges_and_an_order_goes_to_its_markets_own(bench: Bench) -> None:
    assert {exchange_address(neg_risk) for neg_risk in (False, True)} == {STANDARD_EXCHANGE, NEG_RISK_EXCHANGE}
    assert "(contract)" in bench.guard.prepare(draft(neg_risk=True))
    assert "(contract)" in bench.guard.post(request(neg_risk=True))
    other = structs.replace(request(), order_id="0x" + "12" * 32)
    assert "(contract)" in bench.guard.post(other), "the id is not of these bytes"
    bench.guard.follow(structs.replace(MARKET, neg_risk=True))
    assert bench.guard.prepare(draft(neg_risk=True)) == ""


def test_sec_01_bytes_that_were_changed_after_they_were_signed_here_are_not_sent(bench: Bench) -> None:
    """What was signed here is sent without hashing it anew: that is, exactly what was signed."""
    signed = request()
    for changes in ({"maker_amount": 4_999_999}, {"builder": "0x" + "11" * 32}, {"salt": 7}):
        bench.guard.seen(events.Prepared("o1", signed))
        changed = structs.replace(signed, fields=structs.replace(signed.fields, **changes))
        assert "(contract)" in bench.guard.post(changed)
    bench.guard.seen(events.Prepared("o1", signed))
    bench.guard.follow(structs.replace(MARKET, neg_risk=True))
    assert "(contract)" in bench.guard.post(signed), "its market is the other contract's by now"
    bench.guard.follow(MARKET)
    assert bench.guard.post(signed) == bench.guard.post(signed) == "", "once more it is hashed"


def test_sec_01_what_was_signed_and_never_sent_is_forgotten(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_module, "SIGNED_MAX", 3)
    for number in range(1, 11):
        bench.guard.seen(events.Prepared(f"o{number}", request(number)))
    assert len(bench.guard._signed) == 3
    assert bench.guard.post(request(1)) == "", "and is hashed when it is sent all the same"


def test_sec_01_an_order_of_another_wallet_is_not_sent(bench: Bench) -> None:
    assert "(wallet)" in bench.guard.post(request(maker="0x" + "99" * 20))


def test_sec_01_the_largest_order_is_the_last_one_allowed(bench: Bench) -> None:
    assert bench.buy("a", 50_000_000) == ""
    said = bench.buy("b", 50_010_000)
    assert said == "the gateway's policy refuses it (order_max): it may cost 50.010000, the limit is 50.000000"
    assert bench.guard.refused == 1


def test_sec_01_fees_of_market_and_builder_count(tmp_path: Path) -> None:
    """50 shares at 0.50: 25 of money, a fee of 0.07 · 0.25 a share, and 1 % of the money to the builder."""
    bench = Bench(tmp_path, market=structs.replace(MARKET, fees=Fees(70_000)))
    coded = draft(size=50_000_000, builder=Builder("0x" + "12" * 32, 0, 10_000))
    assert bench.guard.prepare(coded) == ""
    assert bench.spent.within(HOUR_MS) == 25_000_000 + 875_000 + 250_000


@pytest.mark.parametrize(("span", "rule", "limit"), [(HOUR_MS, "hour_max", 100), (DAY_MS, "day_max", 150)])
def test_sec_01_sums_by_the_hour_and_the_day(bench: Bench, span: int, rule: str, limit: int) -> None:
    for number in range(limit // 25):
        assert bench.buy(f"a{number}", 25_000_000) == ""
        bench.now += 0 if span == HOUR_MS else HOUR_MS
    said = bench.buy("b", 10_000)
    assert f"({rule}): {limit}.000000 spent and 0.010000 more, the limit is {limit}.000000" in said
    bench.now += span + BUCKET_MS
    assert bench.buy("c", 10_000) == ""


def test_sec_01_a_sell_is_never_refused_for_its_size(bench: Bench) -> None:
    assert bench.buy("a", 50_000_000) == ""
    assert bench.buy("b", 50_000_000) == ""
    assert bench.guard.prepare(draft(action=Action.SELL, size=10**12)) == ""
    assert bench.guard.post(request(10**12, action=Action.SELL)) == ""
    assert bench.spent.within(HOUR_MS) == 100_000_000


def test_sec_01_chain_actions_are_those_of_the_policy_in_followed_markets(tmp_path: Path) -> None:
    bench = Bench(tmp_path, structs.replace(POLICY, actions=("merge", "split")))
    act = ActionRequest("r", ActionKind.SPLIT, MARKET.condition_id, 30_000_000)
    assert bench.guard.act(act) == ""
    assert bench.spent.within(HOUR_MS) == 30_000_000, "a split spends"
    assert "(order_max)" in bench.guard.act(structs.replace(act, ref="r2", size=50_000_001))
    assert bench.guard.act(structs.replace(act, kind=ActionKind.MERGE, size=10**12)) == ""
    assert "(actions)" in bench.guard.act(structs.replace(act, kind=ActionKind.REDEEM))
    assert "(market)" in bench.guard.act(structs.replace(act, condition_id="0x" + "cd" * 32))


def test_sec_01_what_is_refused_is_answered_as_refused_and_the_rest_goes_on(bench: Bench) -> None:
    good, bad = request(), request(7_000_000, token_id="123")
    told, left = refused(PostMany((good, bad)), bench.guard)
    assert left == PostMany((good,))
    assert [(event.order_id, event.outcome, event.code) for event in told] == [(bad.order_id, "refused", "policy")]  # type: ignore[union-attr]
    told, left = refused(Post(bad), bench.guard)
    assert left is None
    told, left = refused(Prepare(draft(token_id="123")), bench.guard)
    assert left is None
    assert isinstance(told[0], events.PrepareFailed)
    assert not told[0].configuration, "other orders are signed all the same"
    elsewhere = ActionRequest("r", ActionKind.SPLIT, "0x00", 5)
    told, left = refused(Act(elsewhere), bench.guard)
    assert left is None
    assert told == [events.ActionAnswered("r", "refused", bench.guard.act(elsewhere))]
    assert refused(Cancel("0x1"), bench.guard) == ([], Cancel("0x1")), "a cancel is never refused"


# --- what counts ------------------------------------------------------------------------------------------------------


def test_sec_01_an_order_counts_once_from_its_signature_to_its_end(bench: Bench) -> None:
    assert bench.buy("o1", 5_000_000) == ""
    signed = request()
    bench.guard.seen(events.Prepared("o1", signed))
    assert bench.guard.post(signed) == ""
    assert bench.spent.within(HOUR_MS) == 5_000_000
    bench.guard.seen(events.OrderSeen(row(signed.order_id, "LIVE", 0), "stream"))
    assert bench.spent.within(HOUR_MS) == 5_000_000
    bench.guard.seen(events.OrderSeen(row(signed.order_id, "CANCELED", None), "stream"))
    assert bench.spent.within(HOUR_MS) == 5_000_000, "the venue did not say how much was filled"
    bench.guard.seen(events.SweepDone("", (row(signed.order_id, "CANCELED_EXPIRED_ORDER", 2_500_000),), (), True))
    assert bench.spent.within(HOUR_MS) == 1_250_000, "a quarter was filled"


@pytest.mark.parametrize("end", ["not signed", "refused"])
def test_sec_01_what_never_came_to_the_venue_gives_its_money_back(bench: Bench, end: str) -> None:
    assert bench.buy("o1", 5_000_000) == ""
    if end == "not signed":
        bench.guard.seen(events.PrepareFailed("o1", "no"))
    else:
        bench.guard.seen(events.Prepared("o1", request()))
        bench.guard.seen(events.PostAnswered(request().order_id, "unknown"))
        assert bench.spent.within(HOUR_MS) == 5_000_000
        bench.guard.seen(events.PostAnswered(request().order_id, "refused"))
    assert bench.spent.within(HOUR_MS) == 0


def test_sec_01_bytes_signed_before_this_file_count_when_they_are_sent(bench: Bench) -> None:
    assert bench.guard.post(request(40_000_000)) == ""
    assert bench.spent.within(HOUR_MS) == 40_000_000
    assert bench.guard.post(request(40_000_000)) == "", "the same bytes again (U9)"
    assert bench.spent.within(HOUR_MS) == 40_000_000
    assert "(order_max)" in bench.guard.post(request(60_000_000))


def test_sec_01_sums_outlive_the_process_and_torn_lines(bench: Bench) -> None:
    assert bench.buy("o1", 20_000_000) == ""
    assert bench.buy("o2", 30_000_000) == ""
    bench.guard.seen(events.PrepareFailed("o2", "no"))
    with bench.path.open("ab") as file:
        file.write(b'[1000000,"o3",')
    bench.again()
    assert bench.spent.within(HOUR_MS) == 20_000_000
    assert bench.path.stat().st_mode & 0o777 == 0o600
    bench.now += DAY_MS + 1
    bench.again()
    assert bench.path.read_bytes() == b"", "what is older than a day is forgotten"


def test_sec_01_a_file_that_has_grown_is_written_anew(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polyhost.venue.gatekeeper.spent.LINES_MAX", 10)
    for number in range(30):
        bench.spent.put("same", number + 1)
    assert len(bench.path.read_bytes().splitlines()) <= 11
    assert bench.spent.within(HOUR_MS) == 30


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 2 * HOUR_MS)), max_size=30))
def test_sec_01_a_sum_is_never_less_than_what_was_spent_within_its_time(
    tmp_path_factory: pytest.TempPathFactory, puts: list[tuple[int, int, int]]
) -> None:
    bench = Bench(tmp_path_factory.mktemp("spent"))
    true: dict[str, tuple[int, int]] = {}
    for ref, money, later in puts:
        bench.now += later
        at = true[str(ref)][0] if true.get(str(ref), (0, 0))[1] else bench.now
        true[str(ref)] = (at, money)
        bench.spent.put(str(ref), money)
        for span in (HOUR_MS, DAY_MS):
            within = sum(money for at, money in true.values() if at > bench.now - span)
            loose = sum(money for at, money in true.values() if at > bench.now - span - 2 * BUCKET_MS)
            assert within <= bench.spent.within(span) <= loose
    before = bench.spent.within(DAY_MS)
    bench.again()
    assert bench.spent.within(HOUR_MS) <= before
    bench.spent.close()


def test_sec_01_markets_that_are_remembered_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polyhost.venue.gatekeeper.policy.MARKETS_MAX", 1)
    bench.guard.follow(structs.replace(MARKET, condition_id="0x02", up="5", down="6"))
    assert "(market)" in bench.guard.prepare(draft())
    assert bench.guard.prepare(draft(token_id="5")) == ""


def test_the_test_counts_as_the_kernel_does() -> None:
    assert notional(10_000_000, 5_000) == 5_000_000


# --- a disk that takes nothing ----------------------------------------------------------------------------------------


def test_sec_01_a_full_disk_refuses_buys_and_nothing_else_and_ends_no_process(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exits must leave while the disk is full, also by a worker that begins then."""
    resting = request()
    assert bench.guard.post(resting) == ""

    def full(*args: object, **more: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("polyhost.venue.gatekeeper.spent.os.write", full)
        disk.setattr("polyhost.venue.gatekeeper.spent.write_atomically", full)
        for _ in ("the worker that was there", "one that begins now"):
            assert "(disk)" in bench.buy("a", 5_000_000)
            assert bench.guard.prepare(draft("s", action=Action.SELL)) == ""
            assert bench.spent.within(HOUR_MS) == 5_000_000, "what was refused counts for nothing"
            bench.guard.seen(events.OrderSeen(row(resting.order_id, "LIVE", 0), "stream"))
            bench.again()
        # Cancelled when the journal was sealed: the user stream that tells of it goes on.
        bench.guard.seen(events.OrderSeen(row(resting.order_id, "CANCELED", 0), "stream"))
        assert bench.spent.within(HOUR_MS) == 0
    assert bench.buy("b", 7_000_000) == ""
    bench.again()
    assert bench.spent.within(HOUR_MS) == 7_000_000, "what stood in the file before is as it was counted last"


def test_sec_01_a_line_of_which_the_disk_took_a_part_spoils_none_after_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    with monkeypatch.context() as disk:
        disk.setattr("polyhost.venue.gatekeeper.spent.os.write", lambda file, text: real(file, text[:9]))
        assert "(disk)" in bench.buy("a", 5_000_000)
    assert bench.buy("b", 7_000_000) == ""
    bench.again()
    assert bench.spent.within(HOUR_MS) == 7_000_000
