"""Two accounts in one host on one exchange: they share the market data and nothing else (CON-13, OPS-06, SEC-04)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from polyhost.configuration import load_configuration
from polyhost.errors import ConfigError
from polyhost.kernel.entries import exposure
from polyhost.model.events import Operator, Prepared
from polyhost.model.gateway import OrderDraft
from polyhost.model.market import Market
from polyhost.model.money import Micros, micros, ticks
from polyhost.model.records import FillBooked, ForeignSeen, NoticeRaised, OrderIntended, OrderPrepared, Record
from polyhost.model.words import Action, OrderType, Side
from polyhost.service import account as account_module
from polyhost.service.account import AccountRun
from polyhost.service.control_client import RefusedError, ask
from polyhost.service.folder import DataFolder
from polyhost.service.gateway_launch import throwaway_key
from polyhost.service.hosted import exit_code
from polyhost.service.lease import Lease
from polyhost.service.session import Session
from polyhost.venue.polymarket.gateway import PolymarketGateway

from .patient_host import be_patient
from .service_runs import EAGER, records

WITHIN_S = 500.0
"""For the whole story, on a machine that does other things."""
BY_HAND = micros("7")
NO_KEY = "a safe wallet has no relayer key; make one"
"""As of an account whose wallet can send nothing."""


class Story(NamedTuple):
    report: dict[str, Any]
    code: int
    good: list[Record]
    bad: list[Record]
    broken_at: int
    """The last record of the account whose kernel failed, when it did."""
    token: str
    """What was bought by hand in the wallet of the good one."""
    at_risk: tuple[Micros, Micros]
    """Collateral at risk in that window, for the limits: without what was bought by hand, and with it."""
    second_host: str
    """Why another host does not take the good one's wallet."""
    frames: tuple[int, int]
    """Messages that each account's engine got."""
    redeem: str
    """What the good one, whose wallet can send nothing, answers to that word."""


async def until(true: Callable[[], object], run: asyncio.Task[Any]) -> None:
    while not true():
        assert not run.done(), run
        await asyncio.sleep(0.02)


def bought(account: AccountRun) -> Market | None:
    """A window in which the account holds shares."""
    for position in account.kernel.state.positions.values():
        entry = account.kernel.state.markets[position.condition_id]
        if position.size > 0 and not entry.settled and entry.accepting:
            return entry.market
    return None


async def buy_by_hand(account: AccountRun, market: Market) -> str:
    """Somebody else's client with the same key buys the side that the account does not hold; the token."""
    held = {p.side for p in account.kernel.state.positions.values() if p.condition_id == market.condition_id}
    side = Side.DOWN if Side.UP in held else Side.UP
    gateway = PolymarketGateway(account.market.endpoints, throwaway_key(1, account.name), selftest=False)
    await gateway.connect()
    try:
        draft = OrderDraft("hand", market.token(side), Action.BUY, OrderType.FAK, ticks("0.99"), BY_HAND, market.tick,
                           market.neg_risk)
        prepared = await gateway.prepare(draft)
        assert isinstance(prepared, Prepared), prepared
        answer = await gateway.post(prepared.request)
        assert answer.outcome == "accepted", answer
    finally:
        await gateway.close()
    return market.token(side)


async def asked_to_redeem(account: AccountRun) -> str:
    """The operator's word, over the socket (its answer) and by file."""
    account.hear(Operator("redeem", "", "a file"))
    with pytest.raises(RefusedError) as refused:
        await asyncio.to_thread(ask, account.folder.path, "redeem", {"window": ""}, within_s=60.0)
    assert refused.value.exit_code == 1
    return str(refused.value)


def held_elsewhere(account: AccountRun) -> str:
    """A second host on the same wallet is refused; with which words?"""
    with pytest.raises(ConfigError) as refused, \
            Lease(account.market.endpoints.clob, account.gateway.wallet, "a second host"):
        raise AssertionError("held twice")
    return str(refused.value)


async def _story(session: Session) -> tuple[Any, ...]:
    good, bad = session.accounts
    run = asyncio.create_task(session.run())
    try:
        await until(lambda: hasattr(good, "kernel") and bought(good), run)
        redeem = await asked_to_redeem(good)
        foreign, token = good.kernel.state.foreign, ""
        while token not in foreign:
            # On a slow machine a window may be decided before the wallet is counted again: then in the next one.
            await until(lambda: bought(good), run)
            market = bought(good)
            assert market is not None
            second_host = held_elsewhere(good)
            token = await buy_by_hand(good, market)
            entry = good.kernel.state.markets[market.condition_id]
            await until(lambda: token in foreign or entry.settled, run)  # noqa: B023 awaited at once
        assert market is not None
        # Both at one moment: the account trades on meanwhile.
        after, seen = exposure(good.kernel._core, market)[0], foreign.pop(token)
        before = exposure(good.kernel._core, market)[0]
        foreign[token] = seen

        def fault(*args: object) -> None:
            raise ArithmeticError("a bug on purpose")

        bad.kernel.turn = fault  # type: ignore[method-assign,assignment]
        await until(lambda: bad.engine.broken is not None, run)
        broken_at = bad.engine.journal.last_seq
        settled = good.settled_here
        await until(lambda: good.settled_here > settled, run)
        frames = good.engine.messages, bad.engine.messages
        # Whoever watches the host from outside hears of it, though the other one trades on.
        assert session.failures() == {"bad": "a bug on purpose"}
        session.stop("the test has seen enough")
        return await run, broken_at, token, (before, after), second_host, frames, redeem
    finally:
        run.cancel()


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    base = tmp_path_factory.mktemp("accounts")
    data = base / "data"
    config = base / "two.toml"
    config.write_text(EAGER.format(data=data) + "[accounts.good]\n[accounts.bad]\n", encoding="utf-8")
    # Few events: what is shown here does not depend on how lively the books are.
    loaded = load_configuration(config, {"exchange.speed": 30.0, "exchange.density": 3.0})
    with ExitStack() as stack:
        lacks = stack.enter_context(pytest.MonkeyPatch.context())
        be_patient(lacks.setattr)
        lacks.setattr(account_module, "without_a_key", lambda each: NO_KEY if each.host.account == "good" else "")
        folder = stack.enter_context(DataFolder(data))
        places = {name: stack.enter_context(DataFolder(data / name)) for name in ("good", "bad")}
        report, *seen = asyncio.run(asyncio.wait_for(_story(Session(loaded, folder, places)), WITHIN_S))
    return Story(report, exit_code(report), records(data / "good"), records(data / "bad"), *seen)


def test_con_13_the_account_whose_kernel_fails_ends_and_the_other_trades_on(story: Story) -> None:
    good, bad = story.report["accounts"]["good"], story.report["accounts"]["bad"]
    assert bad["problem"] == {"text": "a bug on purpose", "exit_code": 1}
    assert len(story.bad) == story.broken_at, "its journal stands as it was"
    assert good["problem"] is None
    assert good["windows"] >= 1
    assert good["invariants"]["broken_names"] == []
    assert good["orphans"] == 0
    assert story.code == 1, "the exit code tells"


def test_con_13_each_account_has_its_own_wallet_orders_and_money(story: Story) -> None:
    # Not trades: the two may meet in one.
    ids = [
        {record.request.order_id for record in each if isinstance(record, OrderPrepared)}
        for each in (story.good, story.bad)
    ]
    assert ids[0]
    assert ids[1]
    assert not ids[0] & ids[1]
    assert any(isinstance(record, FillBooked) for record in story.good)
    assert {record.account for each in (story.good, story.bad) for record in each
            if hasattr(record, "account")} <= {"good", "bad"}
    assert story.frames[0] > story.frames[1] > 0, "both heard the one stream, until one of them ended"


def test_ops_06_a_trade_by_hand_is_told_once_counted_and_never_managed(story: Story) -> None:
    found = [record for record in story.good if isinstance(record, ForeignSeen) and record.token_id == story.token]
    assert found[0].size == BY_HAND
    assert found[0].reason == "appeared while the host was running"
    told = [record.text for record in story.good if isinstance(record, NoticeRaised) and "not ours" in record.text]
    shares = [text for text in told if "counted in exposure" in text]
    tokens = [record for record in story.good if isinstance(record, ForeignSeen) and record.size > 0]
    assert len(shares) == len({record.token_id for record in tokens}) == len(tokens), "each once"
    orders = [text for text in told if "reported, not managed" in text]
    assert orders
    assert len(set(orders)) == len(orders), "each once"
    before, after = story.at_risk
    assert after - before == found[0].cost > 0, "the limits count it"
    # The account may buy the same side itself, later; what it sells is never more than that.
    held: Micros = 0
    for record in story.good:
        if isinstance(record, FillBooked) and record.token_id == story.token:
            held += record.size if record.action is Action.BUY else -record.size
            assert held >= 0, "shares were sold that are somebody else's"
        if isinstance(record, OrderIntended) and record.draft.token_id == story.token:
            assert record.draft.action is Action.BUY or record.draft.size <= held, "a sale of somebody else's shares"
    assert not [record for record in story.bad if isinstance(record, ForeignSeen)], "it is the other wallet's"


def test_set_03_an_account_whose_wallet_can_send_nothing_says_so_and_trades_on(story: Story) -> None:
    assert story.redeem == f"no redeem: {NO_KEY}"
    told = [record.text for record in story.good if isinstance(record, NoticeRaised) and NO_KEY in record.text]
    assert told == [f"No redeem: {NO_KEY}"]


def test_sec_04_a_second_host_on_the_same_wallet_is_refused(story: Story) -> None:
    assert "already: account good in" in story.second_host


def test_con_13_the_sums_are_of_counts_and_no_money(story: Story) -> None:
    report = story.report
    assert report["orders"] == report["accounts"]["good"]["orders"]
    assert "cash_end" not in report
    assert report["wall"]["killed"] is False


def test_a_journal_is_of_one_mode(tmp_path: Path) -> None:
    """What was simulated is never taken for real money."""
    path = tmp_path / "one.toml"
    path.write_text(EAGER.format(data=tmp_path / "data"), encoding="utf-8")
    with DataFolder(tmp_path / "data") as folder:
        (account,) = Session(load_configuration(path), folder).accounts
        with pytest.raises(ConfigError, match="of a paper account"):
            account._refuse_other_mode("paper")
        account._refuse_other_mode("sim")
    assert account_module.TRADES_WITH_A_KEY == ("sim", "live")
