"""Host and gateway process over their socket (SEC-01, ORD-10), both ends in one process and a client that is scripted.

What needs real processes (the key, kill -9, the environment) is in test_venue_gate_process.py.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from loguru import logger
from msgspec import structs

from polyhost.errors import ConfigError, VenueError
from polyhost.model import commands, events
from polyhost.model.builder import Builder, Credited
from polyhost.model.examination import Approving, Examination
from polyhost.model.gateway import ActionRequest, OrderDraft, OrderRequest, OrderRow, SignedFields
from polyhost.model.market import Market
from polyhost.model.relayer import RelayerKey
from polyhost.model.times import MarketMs
from polyhost.model.unanswered import AWAY
from polyhost.model.wallet_kinds import WalletKind
from polyhost.model.words import Action, ActionKind, OrderType
from polyhost.venue.budget import Budget
from polyhost.venue.contract import Gateway
from polyhost.venue.gatekeeper import client as host_side
from polyhost.venue.gatekeeper import worker as process_side
from polyhost.venue.gatekeeper.__main__ import Key
from polyhost.venue.gatekeeper.client import ABSENT, GatewayProcess, unsent
from polyhost.venue.gatekeeper.launch import PROTOCOL, Launch, Policy, RelayerSource, listening
from polyhost.venue.gatekeeper.protocol import COMMANDS, VenueEvent, failure, raised
from polyhost.venue.gatekeeper.worker import Worker, masked, require_place, stranger
from polyhost.venue.polymarket.account import Credentials, ReadError
from polyhost.venue.polymarket.endpoints import LIVE, endpoints_at
from polyhost.venue.polymarket.heartbeats import Beaten
from polyhost.venue.polymarket.wire_gateway import address_of

from ..unhurried import PATIENCE_S

PLACES = endpoints_at("http://127.0.0.1:9", "ws://127.0.0.1:9")
KEY = "0x" + "17" * 32
UP, DOWN = str(71 << 200), str(72 << 200)
MARKET = Market("btc", "0x" + "ab" * 32, UP, DOWN, MarketMs(4 * 10**12))
RELAYER_KEY = "0197b2c4-11d2-7f00-9c55-1f2e3d4c5b6a"
POLICY = Policy(50_000_000, 100_000_000, 150_000_000)


class Scripted:
    """A client's gateway whose every answer the test gives."""

    def __init__(self, clock: Any, budget: Budget) -> None:
        self.clock = clock
        self.budget = budget
        self.wallet = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
        self.credentials = Credentials("key-1", "s3cr3t-of-the-api", "p4ssphrase")
        self.done: list[commands.Command] = []
        self.warmed: list[Market] = []
        self.hold = asyncio.Event()
        self.signs_fast = True
        self.closed = False
        self.refuses: Exception | None = None

    async def connect(self) -> None:
        if self.refuses is not None:
            raise self.refuses

    async def reconnect(self) -> None:
        raise VenueError("still not there", endpoint="/auth")

    async def close(self) -> None:
        self.closed = True

    async def warm(self, market: Market) -> bool:
        self.warmed.append(market)
        return market.slug != "unread"

    async def execute(self, command: commands.Command) -> list[events.Event]:
        self.done.append(command)
        match command:
            case commands.Sweep():
                await self.hold.wait()
                return [events.SweepDone("", (), (), True)]
            case commands.Cancel(order_id=order_id):
                return [events.CancelAnswered(order_id, "canceled")]
            case commands.QueryOrder():
                raise RuntimeError(f"a fault with {KEY} in it")
            case _:
                return []

    async def balance(self) -> events.Event:
        return events.BalanceSeen(5_000_000, True)

    async def builder(self, code: str) -> Builder:
        raise ConfigError("is no builder code", table="venue", key="builder_code", value=code)

    async def credited(self, code: str, since_s: int) -> Credited:
        return Credited(1, 2, 3, 4, True)

    async def examine(self, symbols: Sequence[str]) -> Examination:
        return Examination(self.wallet, WalletKind.EOA, self.wallet, 5, True, (), (), None, None, None, {"a": "b"})

    async def approve(self) -> Approving:
        raise AssertionError("nobody can ask for that")

    async def heartbeat(self, shown: str) -> Beaten:
        return Beaten(True, shown + "1")

    async def notifications(self) -> list[Mapping[str, Any]]:
        return [{"id": 7, "payload": {"order_id": "0x1"}}]

    async def drop_notifications(self, ids: Sequence[int]) -> None:
        raise ReadError("it did not say")


class Pair(GatewayProcess):
    """The host's end, with the worker as a task beside it."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        given: dict[str, Any] = {
            "account": "main", "key": {"throwaway": KEY}, "policy": POLICY, "place": "loopback",
        }
        super().__init__(Launch.of(folder, **given | changes))
        self.secret = Key(KEY)
        self.relayer_parts = {"key": Key(RELAYER_KEY)}
        self.relayers: list[RelayerKey | None] = []
        """What each worker's gateway was made with."""
        self.peer = os.getpid()
        self.workers: list[Worker] = []
        self.gateways: list[Scripted] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.started = 0
        self.first_refuses: Exception | None = None

    def spawn(self) -> None:
        self.started += 1
        self.listener = listening(self._folder)
        self.listener.setblocking(False)
        self.work()

    def work(self) -> None:
        """What the keeper does: one more worker on the same socket."""
        launch = structs.replace(self._launch, host_pid=self.peer)

        def make(launch: Any, endpoints: Any, key: str, clock: Any, budget: Budget, relayer: Any) -> Any:
            self.relayers.append(relayer)
            self.gateways.append(Scripted(clock, budget))
            self.gateways[-1].refuses = self.first_refuses
            return self.gateways[-1]

        self.workers.append(Worker(launch, self.secret, self.relayer_parts, make))
        self.tasks.append(asyncio.get_running_loop().create_task(self.workers[-1].serve(self.listener)))

    def kill(self) -> None:
        """As kill -9 looks from here: the connection is gone without a word."""
        wire = self.workers[-1]._wire
        assert wire is not None
        wire.abort()

    def restart(self) -> None:
        self.kill()

    def _revive(self) -> None:
        self.work()

    async def close(self) -> None:
        await super().close()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.listener.close()


def running(tmp_path: Path, job: Callable[[Pair], Awaitable[None]], **changes: Any) -> None:
    """A connected pair, and what the test does with it."""

    async def go() -> None:
        pair = Pair(tmp_path, **changes)
        pair.at(PLACES)
        try:
            await pair.connect()
            await job(pair)
        finally:
            await pair.close()

    asyncio.run(go())


async def until(true: Callable[[], object], seconds: float = PATIENCE_S) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.001)


# --- the contract -----------------------------------------------------------------------------------------------------


def test_sec_01_the_process_is_a_gateway_like_any_other(tmp_path: Path) -> None:
    async def job(pair: Pair) -> None:
        assert isinstance(pair, Gateway)
        assert pair.wallet == pair.gateways[0].wallet
        assert pair.owner == address_of(KEY)
        assert await pair.balance() == events.BalanceSeen(5_000_000, True)
        assert await pair.credited("0x", 5) == Credited(1, 2, 3, 4, True)
        assert await pair.examine(("BTC",)) == await pair.gateways[0].examine(("BTC",))
        assert not (await pair.approve()).done
        assert await pair.heartbeat("a") == Beaten(True, "a1")
        assert await pair.notifications() == [{"id": 7, "payload": {"order_id": "0x1"}}]
        assert await pair.execute(commands.Cancel("0x1")) == [events.CancelAnswered("0x1", "canceled")]
        assert await pair.execute(commands.Unfollow(MARKET)) == [], "no gateway's"
        with pytest.raises(ConfigError, match=r"\[venue\] builder_code: is no builder code; given '0x77'"):
            await pair.builder("0x77")
        with pytest.raises(ReadError, match="it did not say"):
            await pair.drop_notifications([1])
        with pytest.raises(VenueError, match=r"^/auth: still not there$"):
            await pair.reconnect()

    running(tmp_path, job)


def test_ord_01_the_process_has_a_command_before_anybody_waits_for_its_answer(tmp_path: Path) -> None:
    async def job(pair: Pair) -> None:
        asked = pair.execute(commands.Cancel("0x1"))
        await until(lambda: pair.gateways[0].done)
        assert pair.gateways[0].done == [commands.Cancel("0x1")]
        assert await asked == [events.CancelAnswered("0x1", "canceled")]

    running(tmp_path, job)


def test_sec_01_a_cancel_waits_for_no_query(tmp_path: Path) -> None:
    async def job(pair: Pair) -> None:
        asked = asyncio.create_task(pair.execute(commands.Sweep("", 0)))
        await until(lambda: pair.gateways[0].done)
        assert await pair.execute(commands.Cancel("0x1")) == [events.CancelAnswered("0x1", "canceled")]
        assert not asked.done()
        pair.gateways[0].hold.set()
        assert await asked == [events.SweepDone("", (), (), True)]

    running(tmp_path, job)


def test_sec_01_markets_are_known_before_the_next_message_and_to_the_next_worker(tmp_path: Path) -> None:
    draft = OrderDraft("o", UP, Action.SELL, OrderType.GTC, 5_000, 10_000_000, 100, False)

    async def job(pair: Pair) -> None:
        (said,) = await pair.execute(commands.Prepare(draft))
        assert isinstance(said, events.PrepareFailed)
        assert "(market)" in said.reason
        warmed, prepared = await asyncio.gather(pair.warm(MARKET), pair.execute(commands.Prepare(draft)))
        assert warmed
        assert prepared == [], "the policy let it through to the client"
        assert not await pair.warm(structs.replace(MARKET, slug="unread", condition_id="0x05"))
        pair.kill()
        await until(lambda: pair.opened is None)
        await until(lambda: pair.opened is not None)
        assert await pair.execute(commands.Prepare(draft)) == []
        await until(lambda: MARKET in pair.gateways[1].warmed)

    running(tmp_path, job)


# --- who is served ----------------------------------------------------------------------------------------------------


def test_sec_01_the_socket_is_the_users_own_and_serves_the_host_alone(tmp_path: Path) -> None:
    async def go() -> None:
        pair = Pair(tmp_path)
        pair.peer = os.getpid() + 1
        pair.at(PLACES)
        try:
            with pytest.raises(VenueError, match="does not answer"):
                await pair.connect()
            assert (tmp_path / "gateway.sock").stat().st_mode & 0o777 == 0o600
            assert pair.gateways == []
        finally:
            for task in pair.tasks:
                task.cancel()
            await pair.close()

    asyncio.run(go())
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert stranger(ours, os.getpid()) == ""
        assert stranger(ours, 1) == f"process {os.getpid()}"


def test_sec_01_another_version_is_refused_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_side, "PROTOCOL", PROTOCOL + 1)
    with pytest.raises(VenueError, match="restart the host"):
        running(tmp_path, lambda pair: asyncio.sleep(0))


def test_sec_01_what_the_client_refuses_at_the_start_is_raised_here(tmp_path: Path) -> None:
    async def go() -> None:
        pair = Pair(tmp_path)
        pair.at(PLACES)
        pair.first_refuses = ConfigError("the private key is not 32 bytes in hex", key="private key")
        with pytest.raises(ConfigError, match="private key: the private key is not 32 bytes"):
            await pair.connect()
        await pair.close()
        pair.secret = Key(problem="the environment variable KEY is not set", remedy="export KEY=…")
        with pytest.raises(ConfigError, match="no key: the environment variable KEY is not set; export KEY=…"):
            await pair.connect()
        await pair.close()

    asyncio.run(go())


def test_sec_01_a_relayer_key_reaches_the_client_whole_or_the_start_says_which_part_is_missing(tmp_path: Path) -> None:
    async def go() -> None:
        nowhere = {"env": "NOWHERE"}
        source = RelayerSource({"key": nowhere, "secret": nowhere, "passphrase": nowhere}, "")
        pair = Pair(tmp_path, relayer=source)
        pair.at(PLACES)
        pair.relayer_parts = {"key": Key("k1"), "secret": Key("s1"), "passphrase": Key("p1")}
        await pair.connect()
        assert pair.relayers == [RelayerKey("k1", secret="s1", passphrase="p1")]
        await pair.close()
        pair.relayer_parts["secret"] = Key(problem="the environment variable S is not set", remedy="export S=…")
        with pytest.raises(ConfigError, match="no relayer key: the environment variable S is not set; expo") as no:
            await pair.connect()
        assert (no.value.key, len(pair.relayers)) == ("relayer.secret", 1)
        await pair.close()

    asyncio.run(go())


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        ("live", PLACES),
        ("loopback", LIVE),
        ("loopback", structs.replace(PLACES, user_ws="ws://somewhere.example/ws")),
        ("http://127.0.0.1:8", PLACES),
    ],
)
def test_sec_01_a_process_that_was_started_for_one_venue_serves_no_other(place: str, wrong: Any) -> None:
    with pytest.raises(VenueError, match="started for another venue"):
        require_place(place, wrong)
    require_place("live", LIVE)
    require_place("loopback", PLACES)
    require_place("http://127.0.0.1:9", PLACES)


# --- the process is gone ----------------------------------------------------------------------------------------------


def test_ord_10_what_was_on_its_way_is_unknown_and_what_comes_later_is_not_sent(tmp_path: Path) -> None:
    async def job(pair: Pair) -> None:
        heard: list[events.Event] = []
        await pair.listen(heard.append)
        asked = asyncio.create_task(pair.execute(commands.Sweep("0xcc", 0)))
        await until(lambda: pair.gateways[0].done)
        pair._revive = lambda: None  # type: ignore[method-assign]
        pair.kill()
        assert await asked == [events.QueryFailed("sweep", "0xcc", "the gateway process ended before the answer")]
        assert pair.down_s() > 0
        assert await pair.execute(commands.Cancel("0x1")) == [events.CancelAnswered("0x1", "unknown", ABSENT)]
        assert await pair.balance() == events.QueryFailed("balance", "", ABSENT)
        assert not await pair.warm(MARKET)
        assert not pair.refresh()
        with pytest.raises(ReadError, match=ABSENT):
            await pair.heartbeat("a")
        with pytest.raises(VenueError, match=ABSENT):
            await pair.credited("0x", 1)
        # The worker ends with its connection, and cancels nothing.
        await until(lambda: pair.gateways[0].closed)
        assert len(pair.gateways[0].done) == 1

    running(tmp_path, job)


def test_ord_10_an_order_that_was_never_handed_over_is_known_not_to_be_there() -> None:
    act = ActionRequest("r", ActionKind.MERGE, "0x1", 5)
    assert unsent(commands.Act(act)) == [events.ActionAnswered("r", "refused", f"not sent: {ABSENT}")]
    draft = OrderDraft("o", UP, Action.SELL, OrderType.GTC, 5_000, 10_000_000, 100, False)
    assert unsent(commands.Prepare(draft)) == [events.PrepareFailed("o", ABSENT, away=True)]
    fields = SignedFields("1", "0xa", "0xa", UP, 1, 1, Action.SELL, 0, 1, "0x", "0x")
    post = commands.Post(OrderRequest("0x1", fields, "0xs", OrderType.GTC, False, 0, "owner", False))
    (said,) = unsent(post)
    assert isinstance(said, events.PostAnswered)
    assert (said.outcome, said.code) == ("refused", AWAY)


def test_ord_10_streams_are_told_in_order_and_epochs_go_on_from_worker_to_worker(tmp_path: Path) -> None:
    order = OrderRow("0x1", "0xcc", UP, Action.BUY, 5_000, 10_000_000, 0, "LIVE")

    async def job(pair: Pair) -> None:
        heard: list[Any] = []
        await pair.listen(heard.append)
        await pair.hear_prices((), lambda *tick: heard.append(tick), heard.append)
        first = pair.workers[0]
        told = [
            events.StreamChanged("user", True, 1), events.StreamChanged("reference", True, 4),
            events.StreamChanged("user", True, 2, "lost"),
        ]
        for event in told:
            first._heard(event)
        for number in range(500):
            first._heard(events.OrderSeen(structs.replace(order, size_matched=number), "stream"))
            first._ticked("chainlink", "BTC", number, number)
        pair.kill()
        await until(lambda: len(pair.workers) == 2 and pair.workers[1]._user is not None)
        ends = [event for event in heard if isinstance(event, events.StreamChanged) and not event.up]
        assert ends[:2] == [
            events.StreamChanged("reference", False, 4, ABSENT), events.StreamChanged("user", False, 2, ABSENT),
        ]
        pair.workers[1]._heard(events.StreamChanged("user", True, 1))
        await until(lambda: events.StreamChanged("user", True, 3) in heard)
        return None

    async def nothing_lost(pair: Pair) -> None:
        heard: list[Any] = []
        await pair.listen(heard.append)
        await pair.hear_prices((), lambda *tick: heard.append(tick), heard.append)
        for number in range(500):
            pair.workers[0]._heard(events.OrderSeen(structs.replace(order, size_matched=number), "stream"))
            pair.workers[0]._ticked("chainlink", "BTC", number, number)
        await until(lambda: len(heard) >= 1_000)
        rows = [event.row.size_matched for event in heard if isinstance(event, events.OrderSeen)]
        ticks = [tick[2] for tick in heard if isinstance(tick, tuple)]
        assert rows == ticks == list(range(500))
        assert [type(each) for each in heard[:4]] == [events.OrderSeen, tuple] * 2

    running(tmp_path, job)
    running(tmp_path, nothing_lost)


def test_ord_10_a_process_that_only_hears_prices_hears_no_account_and_each_stream_runs_once(tmp_path: Path) -> None:
    async def job(pair: Pair) -> None:
        ups: list[Any] = []
        await pair.hear_prices(("BTC",), lambda *tick: None, ups.append)
        worker = pair.workers[0]
        assert worker._user is None
        prices = worker._prices
        assert prices is not None
        await pair.listen(ups.append)
        assert worker._user is not None
        assert worker._prices is prices, "the words are said again, the stream goes on"
        pair.kill()
        await until(lambda: len(pair.workers) == 2 and pair.workers[1]._user and pair.workers[1]._prices)

    running(tmp_path, job)


def test_ord_10_a_worker_waits_for_a_venue_that_is_away_and_is_not_begun_again_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client takes a second of work to load."""
    monkeypatch.setattr(host_side, "PAUSE_MAX_S", 0.001)

    async def job(pair: Pair) -> None:
        pair.first_refuses = VenueError("no connection", endpoint="/auth")
        pair.kill()
        await until(lambda: len(pair.gateways) >= 4)
        assert pair.opened is None
        assert all(each.closed for each in pair.gateways[1:3]), "each try leaves nothing open"
        pair.first_refuses = None
        await until(lambda: pair.opened is not None)
        assert len(pair.workers) == 2

    running(tmp_path, job)


def test_ord_10_a_worker_without_a_sign_of_life_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_side, "LOOK_S", 0.005)
    monkeypatch.setattr(host_side, "SILENT_S", 0.02)
    monkeypatch.setattr(process_side, "ALIVE_EVERY_S", 60.0)

    async def job(pair: Pair) -> None:
        await until(lambda: pair.deaths >= 1)
        await until(lambda: len(pair.workers) >= 2)

    running(tmp_path, job)


def test_sec_01_the_worker_begins_anew_when_something_in_it_breaks(tmp_path: Path) -> None:
    async def job(pair: Pair) -> None:
        async def broken() -> None:
            raise RuntimeError("a stream that cannot go on")

        pair.workers[0]._start(broken(), "user stream")
        await until(lambda: len(pair.workers) == 2 and pair.opened is not None)

    running(tmp_path, job)


# --- figures and secrets ----------------------------------------------------------------------------------------------


def test_log_05_requests_are_counted_over_the_lives_of_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_side, "ALIVE_EVERY_S", 0.002)

    async def job(pair: Pair) -> None:
        for worker in range(2):
            pair.gateways[worker].budget.count("post", "buy")
            pair.gateways[worker].budget.refused["post", "buy"] = 2
            await until(lambda: pair.calls == {("post", "buy"): worker + 1})  # noqa: B023 awaited at once
            pair.kill()
            await until(lambda: len(pair.gateways) == worker + 2 and pair.opened is not None)  # noqa: B023
        assert pair.calls_refused == 4

    async def at_once(pair: Pair) -> None:
        pair.gateways[0].budget.count("cancel", "cancel")
        await pair.count()
        assert pair.calls == {("cancel", "cancel"): 1}

    running(tmp_path, job)
    monkeypatch.setattr(process_side, "ALIVE_EVERY_S", 600.0)
    running(tmp_path, at_once)


def test_log_04_nothing_that_crosses_the_socket_holds_the_key_or_the_api_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crossed: list[bytes] = []
    arrived = GatewayProcess._arrived

    def spied(self: GatewayProcess, body: bytes) -> None:
        crossed.append(body)
        arrived(self, body)

    monkeypatch.setattr(GatewayProcess, "_arrived", spied)

    async def job(pair: Pair) -> None:
        sink = logger.add(pair.workers[0].say, level="DEBUG", format="{message}", diagnose=False)
        try:
            (said,) = await pair.execute(commands.QueryOrder("0x1"))
            logger.info("the key {}, secret {} and phrase {}", KEY, "s3cr3t-of-the-api", "p4ssphrase")
            logger.info("sent by {}", RELAYER_KEY)
        finally:
            logger.remove(sink)
        assert isinstance(said, events.QueryFailed)
        await pair.balance()
        await asyncio.sleep(0)

    running(tmp_path, job, relayer=RelayerSource({"key": {"env": "NOWHERE"}}))
    whole = b"".join(crossed)
    assert b"sent by <secret>" in whole
    assert b"the key <secret>, secret <secret> and phrase <secret>" in whole
    assert b"with 0x" + b"*" * 64 in whole or b"with " + b"*" * 66 in whole
    for secret in (KEY[2:], RELAYER_KEY, "s3cr3t-of-the-api", "p4ssphrase"):
        assert secret.encode() not in whole


def test_log_04_masking_leaves_short_texts_alone() -> None:
    assert masked("a abcdef b", ["a", "abcdef", ""]) == "a <secret> b"


def test_sec_01_every_command_and_event_of_a_venue_has_its_place_in_the_protocol() -> None:
    """What the process can be asked is a closed list without signing, approving or showing; events come back whole."""
    assert set(COMMANDS) == {
        "Post", "PostMany", "Act", "Prepare", "Cancel", "CancelMany", "CancelMarket", "CancelEverything", "QueryOrder",
        "Sweep", "QueryBalance", "QueryTokenBalance", "QueryPositions", "QueryAudit", "QueryScoring", "QueryEarnings",
        "FindMarket", "QueryResult",
    }
    own = {
        "RunBegan", "RunEnding", "MarketClosed", "StrikeSeen", "Evaluated", "PluginTold", "PluginStruck",
        "PluginChanged", "Operator", "PostLeft", "LoopChanged", "NoticeTold", "JournalChecked",
    }
    names = {kind.__name__ for kind in VenueEvent.__args__}  # type: ignore[attr-defined]
    assert {kind.__name__ for kind in events.Event.__args__} - names == own  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("p", table="t", key="k", value="v", remedy="r"), ConfigError("p"), VenueError("p", endpoint="/e"),
        VenueError("p"), ReadError("p"),
    ],
)
def test_what_is_raised_there_is_raised_here(error: Exception) -> None:
    again = raised(failure(1, error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert str(raised(failure(1, ValueError("x")))) == "gateway: a fault in the gateway process: ValueError: x"
