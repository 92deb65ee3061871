"""The worker: one client's gateway, its policy and the account's streams, serving the host that started it.

It serves one connection of one process, and ends when that connection does: nothing is cancelled at the venue by that.
Every request is a task of its own, so a cancel waits for no query; who goes first is the budget's matter.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import struct
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
from loguru import logger

from polyhost.allocator import give_back
from polyhost.collecting import rarely_collecting
from polyhost.errors import ConfigError, VenueError
from polyhost.model.clients import FIRST
from polyhost.model.events import Event
from polyhost.model.market import Market
from polyhost.model.relayer import RelayerKey
from polyhost.model.wallet_kinds import WalletKind
from polyhost.venue.budget import Budget
from polyhost.venue.clients import guarded_gateway, load, rehearsed, tell_of_the_dead_client
from polyhost.venue.clock import VenueClock
from polyhost.venue.contract import ClientGateway
from polyhost.venue.gatekeeper.guarded import executed
from polyhost.venue.gatekeeper.launch import PROTOCOL, Launch
from polyhost.venue.gatekeeper.link import Wire
from polyhost.venue.gatekeeper.policy import Guard
from polyhost.venue.gatekeeper.protocol import (
    ENCODE,
    REQUEST,
    Alive,
    Answer,
    AskBalance,
    AskBuilder,
    AskCredited,
    AskExamination,
    AskFigures,
    AskNotifications,
    BuilderSaid,
    CreditedSaid,
    Did,
    Do,
    DropNotifications,
    Examined,
    Heard,
    HeartbeatSaid,
    Listen,
    Logged,
    NotificationsSaid,
    Open,
    Opened,
    Reconnect,
    Refresh,
    Request,
    SendHeartbeat,
    Ticked,
    Told,
    Warm,
    command_of,
    failure,
)
from polyhost.venue.gatekeeper.spent import FILE, Spent
from polyhost.venue.polymarket.endpoints import LIVE, Endpoints, endpoints_at
from polyhost.venue.polymarket.http import budget_scale
from polyhost.venue.polymarket.streams import PriceStream, UserStream
from polyhost.venue.polymarket.wire_gateway import address_of
from polyhost.venue.rotation import Turnover

if TYPE_CHECKING:
    from loguru import Message

    from polyhost.venue.polymarket.selftest import Rehearsal

ALIVE_EVERY_S: Final = 1.0
"""A sign of life this often, wall seconds."""
PEER: Final = struct.Struct("3i")
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
SECRET_CHARS_MIN: Final = 6
"""Shorter texts are not looked for in what is said: they are in every sentence."""


class KeyLike(Protocol):
    """A key, or why there is none."""

    @property
    def value(self) -> str: ...

    @property
    def problem(self) -> str: ...

    @property
    def remedy(self) -> str: ...


class Made(Protocol):
    """Makes the gateway of the configured client."""

    def __call__(
        self, launch: Launch, endpoints: Endpoints, key: str, clock: VenueClock, budget: Budget,
        relayer: RelayerKey | None,
    ) -> ClientGateway: ...


def made(
    launch: Launch, endpoints: Endpoints, key: str, clock: VenueClock, budget: Budget, relayer: RelayerKey | None,
    rehearsal: Rehearsal | None = None,
) -> ClientGateway:
    """The gateway of the client that the configuration names, with the other client standing by (CON-19)."""
    return guarded_gateway(
        launch.client or FIRST, endpoints, key, wallet=WalletKind(launch.wallet), clock=clock, budget=budget,
        selftest=launch.selftest, relayer=relayer, fast=True, rehearsal=rehearsal,
    )


def _loaded(client: str) -> None:
    """Import the client. What does not import is told when it is opened."""
    with suppress(ConfigError, VenueError):
        load(client)


def work(told: bytes, key: KeyLike, relayer: Mapping[str, KeyLike]) -> int:
    """Serve one host to the end of its connection; returns the exit code."""
    launch = msgspec.msgpack.decode(told, type=Launch)
    with socket.socket(fileno=launch.socket) as listener:
        listener.setblocking(False)
        worker = Worker(launch, key, relayer)
        logger.remove()
        logger.add(worker.say, level="DEBUG", format="{message}", diagnose=False, backtrace=False)
        asyncio.run(worker.serve(listener))
    return 0


class Worker:
    """Serves one connection. ``relayer``: the parts of the relayer key, by their names; ``make`` stands in for the
    client in tests."""

    def __init__(self, launch: Launch, key: KeyLike, relayer: Mapping[str, KeyLike], make: Made = made) -> None:
        self._launch = launch
        self._key = key
        self._relayer = relayer
        self._make = make
        self._clock = VenueClock()
        self._budget = Budget(scale=lambda: budget_scale(self._clock) * launch.share)
        self._gateway: ClientGateway | None = None
        self._endpoints: Endpoints | None = None
        self._spent = Spent(Path(launch.folder) / FILE, self._clock.now)
        self._guard = Guard(launch.policy, self._spent)
        self._wire: Wire | None = None
        self._ended = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._user: UserStream | None = None
        self._prices: PriceStream | None = None
        self._beats: dict[str, float] = {}
        self._masked = [key.value, key.value.removeprefix("0x"), *(part.value for part in relayer.values())]

    # --- life ---------------------------------------------------------------------------------------------------------

    async def serve(self, listener: socket.socket) -> None:
        """Until the host's connection ends."""
        loop = asyncio.get_running_loop()
        if self._make is made:
            # The client is loaded and tested while the host does other things.
            connection, _ = await asyncio.gather(self._admitted(listener), self._loaded())
        else:
            connection = await self._admitted(listener)
        _, wire = await loop.connect_accepted_socket(lambda: Wire(self._arrived, self._ended.set), connection)
        self._wire = wire
        self._start(self._live(), "sign of life")
        self._start(give_back(), "memory")
        await self._ended.wait()
        wire.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._gateway is not None:
            await self._gateway.close()
        self._spent.close()

    async def _loaded(self) -> None:
        """Have the client here, and its self-tests made; what is wrong with it is told when it is opened."""
        launch = self._launch
        client = launch.client or FIRST
        with rarely_collecting():
            await asyncio.get_running_loop().run_in_executor(None, _loaded, client)
            if not launch.selftest or self._key.problem:
                return
            with suppress(ConfigError, VenueError):
                rehearsal = await rehearsed(client, self._key.value, WalletKind(launch.wallet))
                self._make = partial(made, rehearsal=rehearsal)

    async def _admitted(self, listener: socket.socket) -> socket.socket:
        """The host's connection; anybody else's is closed without a word."""
        while True:
            connection, _ = await asyncio.get_running_loop().sock_accept(listener)
            problem = stranger(connection, self._launch.host_pid)
            if not problem:
                return connection
            connection.close()
            sys.stderr.write(f"gateway: a connection of {problem} was refused\n")

    async def _live(self) -> None:
        while True:
            self._tell(self._alive())
            await asyncio.sleep(ALIVE_EVERY_S)

    def _alive(self) -> Alive:
        now = time.monotonic()
        calls = tuple((name, purpose, count) for (name, purpose), count in self._budget.calls.items())
        silent = {name: round(now - at, 3) for name, at in self._beats.items()}
        return Alive(silent, calls, sum(self._budget.refused.values()), self._guard.refused)

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # A stream, or this process itself: whatever broke, the next worker begins anew.
            logger.opt(exception=error).error("{} failed in the gateway process: {}", task.get_name(), error)
            self._ended.set()

    # --- to the host --------------------------------------------------------------------------------------------------

    def _tell(self, message: Answer | Told) -> None:
        if self._wire is not None:
            body = ENCODE(message)
            # Whatever put a secret into it: a text of the same length keeps the message whole.
            for secret in self._masked:
                raw = secret.encode()
                if len(raw) >= SECRET_CHARS_MIN and raw in body:
                    body = body.replace(raw, b"*" * len(raw))
            self._wire.send(body)

    def _heard(self, event: Event) -> None:
        self._guard.seen(event)
        self._tell(Heard(event))  # type: ignore[arg-type]  # what a venue's stream tells is a venue's event

    def _ticked(self, feed: str, symbol: str, price: int, stamp: int) -> None:
        self._tell(Ticked(feed, symbol, price, stamp))

    def say(self, message: Message) -> None:
        """The host writes this process's log; before there is one, standard error does."""
        text = masked(str(message).rstrip("\n"), self._masked)
        if self._wire is not None and self._wire.up:
            self._tell(Logged(message.record["level"].name, text))
        else:
            sys.stderr.write(f"{message.record['level'].name} {text}\n")

    # --- from the host ------------------------------------------------------------------------------------------------

    def _arrived(self, body: bytes) -> None:
        request = REQUEST(body)
        if isinstance(request, Refresh):
            if self._prices is not None:
                self._prices.refresh()
            return
        if isinstance(request, Warm):
            # At once: an order for it may be the very next message.
            self._guard.follow(request.market)
        self._start(self._answer(request), type(request).__name__)

    async def _answer(self, request: Request) -> None:
        try:
            answer = await self._done(request)
        except Exception as error:  # whatever it is, the host waits for an answer, and raises it where it asked
            answer = failure(request.seq, error)
        self._tell(answer)

    async def _done(self, request: Request) -> Answer:
        if isinstance(request, Open):
            return await self._open(request)
        gateway = self._gateway
        if gateway is None:
            raise VenueError("it is not connected yet", endpoint="gateway")
        match request:
            case Do():
                found = await executed(gateway, self._guard, command_of(request))
                return Did(request.seq, tuple(found))  # type: ignore[arg-type]  # a gateway tells only these
            case Warm():
                if not await gateway.warm(request.market):
                    raise VenueError(f"the facts of {request.market.slug} were not read", endpoint="gateway")
                return Did(request.seq)
            case AskBalance():
                return Did(request.seq, (await gateway.balance(),))  # type: ignore[arg-type]  # as above
            case AskBuilder():
                return BuilderSaid(request.seq, await gateway.builder(request.code))
            case AskCredited():
                return CreditedSaid(request.seq, await gateway.credited(request.code, request.since_s))
            case SendHeartbeat():
                return HeartbeatSaid(request.seq, await gateway.heartbeat(request.shown))
            case AskNotifications():
                return NotificationsSaid(request.seq, [dict(row) for row in await gateway.notifications()])
            case DropNotifications():
                await gateway.drop_notifications(request.ids)
            case AskExamination():
                return Examined(request.seq, await gateway.examine(request.symbols))
            case Reconnect():
                await gateway.reconnect()
                self._mask(gateway)
            case Listen():
                self._listen(request, gateway)
            case AskFigures():
                self._tell(self._alive())
            case Refresh():
                pass
        return Did(request.seq)

    async def _open(self, request: Open) -> Answer:
        if request.protocol != PROTOCOL:
            problem = f"the host speaks version {request.protocol}, the gateway process {PROTOCOL}: restart the host"
            raise VenueError(problem, endpoint="gateway")
        if self._key.problem:
            raise ConfigError(f"no key: {self._key.problem}", key="key", remedy=self._key.remedy)
        relayer = self._relayer_key()
        require_place(self._launch.place, request.endpoints)
        tell_of_the_dead_client()
        self._masked = [self._key.value, self._key.value.removeprefix("0x"), *(relayer.secrets if relayer else ())]
        gateway = self._make(self._launch, request.endpoints, self._key.value, self._clock, self._budget, relayer)
        try:
            await gateway.connect()
        except BaseException:
            await gateway.close()
            raise
        self._mask(gateway)
        self._gateway, self._endpoints = gateway, request.endpoints
        self._guard.wallet = gateway.wallet
        for market in request.markets:
            self._guard.follow(market)
        self._start(self._warm(gateway, [each for each in request.markets if each.end > self._clock.now()]), "warming")
        fast = bool(getattr(gateway, "signs_fast", False))
        return Opened(request.seq, PROTOCOL, os.getpid(), gateway.wallet, fast, address_of(self._key.value))

    def _relayer_key(self) -> RelayerKey | None:
        """Raises ConfigError: a part of it is not where the configuration says."""
        if self._launch.relayer is None:
            return None
        for name, part in self._relayer.items():
            if part.problem:
                raise ConfigError(f"no relayer key: {part.problem}", key=f"relayer.{name}", remedy=part.remedy)
        parts = {name: part.value for name, part in self._relayer.items()}
        return RelayerKey(address=self._launch.relayer.address, **parts)

    async def _warm(self, gateway: ClientGateway, markets: list[Market]) -> None:
        """What an earlier worker had ready. One that cannot be read now is read with its first order."""
        for market in markets:
            await gateway.warm(market)

    def _mask(self, gateway: ClientGateway) -> None:
        given = gateway.credentials
        self._masked += [given.secret, given.passphrase]

    # --- streams ------------------------------------------------------------------------------------------------------

    def _listen(self, request: Listen, gateway: ClientGateway) -> None:
        """The account's own stream, and reference prices when symbols are wanted; each once for a connection."""
        assert self._endpoints is not None, "whoever has a gateway has addresses"
        if request.own and self._user is None:
            self._user = user = UserStream(
                self._endpoints.user_ws, gateway.credentials, on_event=self._heard, clock=self._clock,
                turnover=Turnover(every_s=request.rotate_s), jitter=random.Random(request.seed).random,
            )
            self._start(user.run(self._beat("user stream")), "user stream")
        if request.symbols and self._prices is None:
            self._prices = prices = PriceStream(
                self._endpoints.price_ws, gateway.credentials, request.symbols, on_price=self._ticked,
                on_event=self._heard, clock=self._clock,
            )
            self._start(prices.run(self._beat("reference prices")), "reference prices")

    def _beat(self, name: str) -> Callable[[], None]:
        self._beats[name] = time.monotonic()
        return partial(self._beaten, name)

    def _beaten(self, name: str) -> None:
        self._beats[name] = time.monotonic()


def require_place(place: str, endpoints: Endpoints) -> None:
    """Raises VenueError when these are not the addresses that the process was started for."""
    if place == "live":
        wrong = endpoints != LIVE
    elif place == "loopback":
        wrong = endpoints.live or not all(_on_loopback(address) for address in msgspec.structs.astuple(endpoints)[:-1])
    else:
        wrong = endpoints_at(place) != endpoints
    if wrong:
        raise VenueError(f"it was started for another venue ({place}) than {endpoints.clob}", endpoint="gateway")


def _on_loopback(address: str) -> bool:
    host = address.partition("://")[2].partition("/")[0].rpartition(":")[0].strip("[]")
    return host in LOOPBACK


def stranger(connection: socket.socket, host_pid: int) -> str:
    """Who is at the other end of a connection, if it is not the host; empty: it is."""
    if not hasattr(socket, "SO_PEERCRED"):
        return ""  # the socket's file is this user's alone
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size)
    pid, uid, _ = PEER.unpack(raw)
    if uid != os.geteuid():
        return f"user {uid}"
    return "" if pid == host_pid else f"process {pid}"


def masked(text: str, secrets: list[str]) -> str:
    """The text without the secrets."""
    for secret in secrets:
        if len(secret) >= SECRET_CHARS_MIN:
            text = text.replace(secret, "<secret>")
    return text


