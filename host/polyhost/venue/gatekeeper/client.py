"""The gateway process as the host sees it: a gateway like any other, that may be gone and comes back by itself.

It keeps the contract of venue/contract.py over the account's socket. While there is no process nothing is sent, and
that is said; what was on its way when it ended is *unknown* (model/unanswered.py). The host holds no key, no API secret
and no client.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
from loguru import logger

from polyhost.errors import PolyhostError, VenueError
from polyhost.files import short_path
from polyhost.model.batching import single
from polyhost.model.builder import Builder, Credited
from polyhost.model.commands import Command
from polyhost.model.events import Event, PostAnswered, PrepareFailed, QueryFailed, StreamChanged
from polyhost.model.examination import Approving, Examination
from polyhost.model.market import Market
from polyhost.model.unanswered import AWAY, never_sent, unanswered
from polyhost.venue.gatekeeper.launch import PROTOCOL, SOCKET, Launch, started
from polyhost.venue.gatekeeper.link import Wire
from polyhost.venue.gatekeeper.policy import MARKETS_MAX
from polyhost.venue.gatekeeper.protocol import (
    ANSWER,
    COMMANDS,
    ENCODE,
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
    Failed,
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
    Warm,
    raised,
)
from polyhost.venue.gatekeeper.secrecy import wipe_environment
from polyhost.venue.polymarket.account import ReadError
from polyhost.venue.polymarket.endpoints import Endpoints
from polyhost.venue.polymarket.heartbeats import Beaten

OPEN_S: Final = 120.0
"""From the connection to the process's word that it is connected to the venue, wall seconds: it loads the client."""
SILENT_S: Final = 15.0
"""Without a sign of life for so long, wall seconds, the worker is ended, and the next one begins (one comes a second).
"""
LOOK_S: Final = 1.0
"""The silence is looked at this often, wall seconds."""
PAUSE_S: Final = 0.1
"""Between two tries to reach it, wall seconds; doubled each time."""
PAUSE_MAX_S: Final = 5.0
"""Longest such pause, wall seconds."""
END_S: Final = 3.0
"""What it has, wall seconds, to end by itself when the host closes it; then it is killed."""
REFRESH_S: Final = 5.0
"""A backlog of prices is asked again at most this often, wall seconds."""
ABSENT: Final = "the gateway process is not there"

_AnswerT = TypeVar("_AnswerT", bound=Answer)
_Asked: TypeAlias = tuple[int, asyncio.Future[Answer]]
"""A request's number, and its answer to come."""


class Gone(Exception):  # noqa: N818 it is named for what happened
    """The connection ended before the answer: nobody knows what became of the request."""


class GatewayProcess:
    """One account's gateway process. ``spawn`` early, ``connect`` when the venue's addresses are known."""

    def __init__(
        self, launch: Launch, *, hide: Sequence[str] = (), log: Path | None = None,
        begun: subprocess.Popen[bytes] | None = None,
    ) -> None:
        """``hide``: variables of the environment that are no matter of this account. ``log``: file for what it says
        before and after there is a host. ``begun``: the process, where it was started already with all of this.
        """
        self.opened: Opened | None = None
        """What the present worker said of itself; None: there is none that can be asked."""
        self.deaths = 0
        """How often a worker that worked was lost."""
        self._folder = Path(launch.folder)
        self._launch = launch
        self._hide = tuple(hide)
        self._log = log
        self._endpoints: Endpoints | None = None
        self._wallet = ""
        self._owner = ""
        self._wanted = Listen(0, (), 0.0, "", own=False)
        """What is to be heard, of every worker."""
        self._on_event: Callable[[Event], None] = lambda event: None
        self._on_price_event: Callable[[Event], None] = lambda event: None
        self._on_price: Callable[[str, str, int, int], None] = lambda feed, symbol, price, stamp: None
        self._process = begun
        self._wire: Wire | None = None
        self._ended = asyncio.Event()
        self._asked: dict[int, asyncio.Future[Answer]] = {}
        self._seq = 0
        self._markets: dict[str, Market] = {}
        self._keeping: asyncio.Task[None] | None = None
        self._closing = False
        self._down_since: float | None = None
        self._heard_at = 0.0
        self._told_problem = ""
        self._epochs: dict[str, int] = {}
        """Stream → the highest epoch that the host was told."""
        self._before: dict[str, int] = {}
        """Stream → the same when the present worker began: its own count starts at 1."""
        self._streams_up: set[str] = set()
        self._alive = Alive({}, (), 0, 0)
        self._earlier: dict[tuple[str, str], int] = {}
        self._earlier_refused = 0
        self._refreshed_at = float("-inf")

    # --- the process --------------------------------------------------------------------------------------------------

    def spawn(self) -> None:
        """Start the process; it loads its client while the host goes on. Raises OSError."""
        self._process = started(self._launch, hide=self._hide, log=self._log)

    @property
    def pid(self) -> int | None:
        """Of the keeper; None: it was never started."""
        return None if self._process is None else self._process.pid

    def restart(self) -> None:
        """End the worker at once; the keeper starts the next one."""
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.write(b"k")
                self._process.stdin.flush()

    async def close(self) -> None:
        """End the process. Nothing is cancelled at the venue."""
        self._closing = True
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
            self._keeping = None
        if self._wire is not None:
            self._wire.abort()
        process, self._process = self._process, None
        if process is not None:
            if process.stdin is not None:
                with suppress(OSError):
                    process.stdin.close()
            await asyncio.to_thread(_ended, process)
        (self._folder / SOCKET).unlink(missing_ok=True)

    # --- the connection -----------------------------------------------------------------------------------------------

    def at(self, endpoints: Endpoints) -> None:
        """Where the venue is."""
        self._endpoints = endpoints

    def follows(self, markets: Iterable[Market]) -> None:
        """Markets that the host follows already, said before ``connect``: their tokens may be traded and redeemed."""
        for market in markets:
            self._markets.pop(market.condition_id, None)
            self._markets[market.condition_id] = market
        while len(self._markets) > MARKETS_MAX:
            del self._markets[next(iter(self._markets))]

    async def listen(self, on_event: Callable[[Event], None], *, rotate_s: float = 0.0, seed: str = "") -> None:
        """Hear the account's own stream from now on; a new worker goes on.

        A worker that is gone is told as the stream's end, so that everything is asked again when it is back.
        ``rotate_s``: how often its connection is replaced by plan, wall seconds; ``seed`` spreads the moments.
        """
        self._on_event = on_event
        self._wanted = msgspec.structs.replace(self._wanted, own=True, rotate_s=rotate_s, seed=seed)
        await self._listen()

    async def hear_prices(
        self, symbols: Sequence[str], on_price: Callable[[str, str, int, int], None], on_event: Callable[[Event], None]
    ) -> None:
        """Hear reference prices of these symbols from now on, as ``PriceStream`` tells them; a new worker goes on.

        ``on_event``: takes the stream's ups and downs.
        """
        self._on_price, self._on_price_event = on_price, on_event
        self._wanted = msgspec.structs.replace(self._wanted, symbols=tuple(symbols))
        await self._listen()

    async def _listen(self) -> None:
        """Say what is to be heard; without a worker it is said to the next one."""
        if self._wanted.own or self._wanted.symbols:
            with suppress(Gone):
                await self._answer(lambda seq: msgspec.structs.replace(self._wanted, seq=seq), Did)

    async def connect(self) -> None:
        """Start it if need be, and have it connect. VenueError, ConfigError: as for any gateway.

        Keys in the environment are out of the host's own from here on: only this process has it.
        """
        assert self._endpoints is not None, "at() first"
        if self._process is None:
            self.spawn()
        for name in self._launch.variables:
            wipe_environment(name)
        self._closing = False
        first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._keeping = asyncio.get_running_loop().create_task(self._keep(first), name="gateway process")
        await first

    async def _keep(self, first: asyncio.Future[None]) -> None:
        """Stay connected to a worker, whatever becomes of the one before."""
        pause = PAUSE_S
        while not self._closing:
            try:
                await self._session(first)
                pause = PAUSE_S
            except (PolyhostError, OSError, Gone) as error:
                told = error if isinstance(error, PolyhostError) else self._unreachable(error)
                if not first.done():
                    first.set_exception(told)
                    return
                self._tell_problem(str(told))
            finally:
                if self._wire is not None:
                    self._wire.abort()
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_MAX_S)
            self._revive()

    def _revive(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        logger.error("the gateway process is gone ({}): it is started again", self._last_words())
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()  # what was still to be said to the old one
        try:
            self.spawn()
        except OSError as error:
            self._tell_problem(f"the gateway process does not start: {error}")

    def _unreachable(self, error: Exception) -> VenueError:
        why = str(error) or type(error).__name__
        return VenueError(f"the gateway process does not answer ({why}); {self._last_words()}", endpoint="gateway")

    def _last_words(self) -> str:
        code = None if self._process is None else self._process.poll()
        ended = "it runs" if code is None else f"it ended with code {code}"
        if self._log is None:
            return ended
        try:
            lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ended
        return f"{ended}; {' | '.join(lines[-3:])[:500]}" if lines else ended

    def _tell_problem(self, problem: str) -> None:
        """Once, until it is another one."""
        level = "DEBUG" if problem == self._told_problem else "ERROR"
        self._told_problem = problem
        logger.log(level, "no gateway process: {}", problem)

    async def _session(self, first: asyncio.Future[None]) -> None:
        """One worker from its connection to its end. Raises PolyhostError, OSError or Gone when it does not open."""
        self._ended.clear()
        loop = asyncio.get_running_loop()
        with short_path(self._folder, SOCKET) as path:
            _, wire = await loop.create_unix_connection(lambda: Wire(self._arrived, self._lost), path)
        self._wire = wire
        opened = await self._open(first)
        self.opened, self._wallet, self._owner = opened, opened.wallet, opened.owner
        await self._listen()
        self._is_up(opened)
        if not first.done():
            first.set_result(None)
        await self._until_lost()

    async def _open(self, first: asyncio.Future[None]) -> Opened:
        """Have the worker connect to the venue. One that has loaded its client waits for a venue that is away."""
        endpoints, markets = self._endpoints, tuple(self._markets.values())
        assert endpoints is not None, "connect() looked"
        while True:
            try:
                return await asyncio.wait_for(
                    self._answer(lambda seq: Open(seq, PROTOCOL, endpoints, markets), Opened, opening=True), OPEN_S
                )
            except TimeoutError:
                self.restart()
                problem = f"it is not ready within {OPEN_S:g} s; {self._last_words()}"
                raise VenueError(problem, endpoint="gateway") from None
            except VenueError as error:
                if not first.done():
                    raise
                self._tell_problem(str(error))
            await asyncio.sleep(PAUSE_MAX_S)

    def _is_up(self, opened: Opened) -> None:
        how = "without the client" if opened.fast else "by the client"
        logger.info("gateway process {}: connected, orders are signed {}", opened.pid, how)
        if self._down_since is not None:
            logger.warning("the gateway process is back after {:.1f} s", time.monotonic() - self._down_since)
        self._down_since, self._told_problem = None, ""

    async def _until_lost(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), LOOK_S)
            if self._ended.is_set():
                return
            if time.monotonic() - self._heard_at > SILENT_S:
                logger.error("the gateway process gave no sign of life for {:g} s: its worker is ended", SILENT_S)
                self.restart()
                self._heard_at = time.monotonic()

    def _lost(self) -> None:
        """The connection is gone: what was asked is unknown, the streams are down."""
        worked, self.opened, self._wire = self.opened is not None, None, None
        if worked and not self._closing:
            self.deaths += 1
            self._down_since = time.monotonic()
            logger.error("the gateway process is gone: {} requests unanswered, nothing is sent until it is back",
                         len(self._asked))
        for name, purpose, count in self._alive.calls:
            self._earlier[name, purpose] = self._earlier.get((name, purpose), 0) + count
        self._earlier_refused += self._alive.refused
        self._alive = Alive({}, (), 0, 0)
        asked, self._asked = self._asked, {}
        for future in asked.values():
            if not future.done():
                future.set_exception(Gone("the gateway process ended before the answer"))
                future.exception()  # whoever does not wait any more need not be told
        self._before = dict(self._epochs)
        up, self._streams_up = self._streams_up, set()
        for stream in () if self._closing else sorted(up):
            self._tell(StreamChanged(stream, False, self._epochs[stream], ABSENT))
        self._ended.set()

    # --- what it says -------------------------------------------------------------------------------------------------

    def _arrived(self, body: bytes) -> None:
        self._heard_at = time.monotonic()
        message = ANSWER(body)
        match message:
            case Heard(event=event):
                self._tell(self._counted(event) if isinstance(event, StreamChanged) else event)
            case Ticked(feed=feed, symbol=symbol, price=price, stamp=stamp):
                self._on_price(feed, symbol, price, stamp)
            case Alive():
                self._alive = message
            case Logged(level=level, text=text):
                logger.log(level, "gateway: {}", text)
            case _:
                future = self._asked.pop(message.seq, None)
                if future is not None and not future.done():
                    future.set_result(message)

    def _tell(self, event: Event) -> None:
        of_prices = isinstance(event, StreamChanged) and event.stream == "reference"
        (self._on_price_event if of_prices else self._on_event)(event)

    def _counted(self, event: StreamChanged) -> StreamChanged:
        """Epochs go on rising from worker to worker."""
        epoch = self._before.get(event.stream, 0) + event.epoch
        self._epochs[event.stream] = epoch
        (self._streams_up.add if event.up else self._streams_up.discard)(event.stream)
        return msgspec.structs.replace(event, epoch=epoch)

    async def _answer(
        self, make: Callable[[int], Request], kind: type[_AnswerT], *, opening: bool = False
    ) -> _AnswerT:
        """Ask, and wait for the answer. Raises Gone, or what was raised at the other end."""
        return await self._said(self._ask(make, opening=opening), kind)

    def _ask(self, make: Callable[[int], Request], *, opening: bool = False) -> _Asked:
        """Ask: the request is on its way when this returns. Raises Gone."""
        if self._wire is None or not (opening or self.opened is not None):
            raise Gone(ABSENT)
        self._seq += 1
        seq = self._seq
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asked[seq] = future
        self._wire.send(ENCODE(make(seq)))
        return seq, future

    async def _said(self, asked: _Asked, kind: type[_AnswerT]) -> _AnswerT:
        """Wait for the answer. Raises Gone, or what was raised at the other end."""
        seq, future = asked
        try:
            answer = await future
        finally:
            self._asked.pop(seq, None)
        if isinstance(answer, Failed):
            raise raised(answer)
        assert isinstance(answer, kind), answer
        return answer

    # --- figures ------------------------------------------------------------------------------------------------------

    def down_s(self) -> float:
        """For how many wall seconds there has been no process that can be asked; 0: there is one."""
        return 0.0 if self._down_since is None else time.monotonic() - self._down_since

    def silent_s(self, stream: str) -> float:
        """Wall seconds since a stream's loop went round (``user stream``, ``reference prices``); 0 while it is down:
        that is told by ``down_s``."""
        age = self._alive.silent_s.get(stream)
        return 0.0 if age is None or self.opened is None else age + time.monotonic() - self._heard_at

    async def count(self) -> None:
        """Have the figures below as they are now; they are a second old otherwise."""
        with suppress(Gone):
            await self._answer(AskFigures, Did)

    @property
    def calls(self) -> dict[tuple[str, str], int]:
        """(class, purpose) → requests that left, of this and earlier workers."""
        found = dict(self._earlier)
        for name, purpose, count in self._alive.calls:
            found[name, purpose] = found.get((name, purpose), 0) + count
        return found

    @property
    def calls_refused(self) -> int:
        """Requests that were not sent because their turn did not come in time."""
        return self._earlier_refused + self._alive.refused

    @property
    def owner(self) -> str:
        """The key's own address. Only after ``connect``."""
        assert self._owner, "connect() first"
        return self._owner

    @property
    def wallet(self) -> str:
        """Address that holds the funds. Only after ``connect``."""
        assert self._wallet, "connect() first"
        return self._wallet

    # --- the contract -------------------------------------------------------------------------------------------------

    def execute(self, command: Command) -> Coroutine[Any, Any, list[Event]]:
        """Do one command of the kernel; commands that are none of a gateway's give nothing.

        The process has it when this returns: nothing that the host does besides comes before an order.
        """
        name = type(command).__name__
        if name not in COMMANDS:
            return _told([])
        if self.opened is None:
            return _told(unsent(command))
        body = msgspec.Raw(ENCODE(command))
        return self._done(command, self._ask(lambda seq: Do(seq, name, body)))

    async def _done(self, command: Command, asked: _Asked) -> list[Event]:
        try:
            answer = await self._said(asked, Did)
        except Gone as error:
            return [_away(event) for event in unanswered(command, str(error))]
        except (PolyhostError, ReadError) as error:
            return unanswered(command, str(error))
        return [*answer.events]

    async def warm(self, market: Market) -> bool:
        """The host follows this market from now on; True: its facts were read for the first order."""
        self.follows((market,))
        try:
            await self._answer(lambda seq: Warm(seq, market), Did)
        except (Gone, PolyhostError) as error:
            logger.debug("{} was not warmed: {}", market.slug, error)
            return False
        return True

    async def reconnect(self) -> None:
        """Make its connections to the venue anew; VenueError or ConfigError: the old ones stay in use."""
        await self._venues(lambda seq: Reconnect(seq), Did)

    async def builder(self, code: str) -> Builder:
        """What a builder code costs. ConfigError: the venue does not know it; VenueError: no usable answer."""
        return (await self._venues(lambda seq: AskBuilder(seq, code), BuilderSaid)).builder

    async def credited(self, code: str, since_s: int) -> Credited:
        """What the venue credits a builder code with since a unix second. Raises VenueError."""
        return (await self._venues(lambda seq: AskCredited(seq, code, since_s), CreditedSaid)).credited

    async def balance(self) -> Event:
        """``BalanceSeen`` or ``QueryFailed``."""
        try:
            return (await self._answer(AskBalance, Did)).events[0]
        except (Gone, PolyhostError, ReadError) as error:
            return QueryFailed("balance", "", str(error))

    async def examine(self, symbols: Sequence[str]) -> Examination:
        """What the account is at the venue, for ``doctor``. Raises VenueError when there is no process to ask."""
        return (await self._venues(lambda seq: AskExamination(seq, tuple(symbols)), Examined)).examination

    async def approve(self) -> Approving:
        """It approves nothing, whoever asks: its protocol has no such message."""
        return Approving(False, "the gateway process of a host approves nothing", "polyhost setup approvals")

    async def heartbeat(self, shown: str) -> Beaten:
        """Feed the key's dead-man's switch, showing this id. Raises ReadError when the answer is none."""
        return (await self._reads(lambda seq: SendHeartbeat(seq, shown), HeartbeatSaid)).beaten

    async def notifications(self) -> list[Mapping[str, Any]]:
        """What the venue tells the account. Raises ReadError when the answer is none."""
        return [*(await self._reads(AskNotifications, NotificationsSaid)).rows]

    async def drop_notifications(self, ids: Sequence[int]) -> None:
        """Have the venue forget some. Raises ReadError when it did not say that it has."""
        await self._reads(lambda seq: DropNotifications(seq, tuple(ids)), Did)

    def refresh(self) -> bool:
        """Ask the price stream for the last minutes again; False when there is none, or it was asked a moment ago."""
        now = time.monotonic()
        if self._wire is None or self.opened is None or now - self._refreshed_at < REFRESH_S:
            return False
        self._refreshed_at = now
        self._wire.send(ENCODE(Refresh(0)))
        return True

    async def _venues(self, make: Callable[[int], Request], kind: type[_AnswerT]) -> _AnswerT:
        try:
            return await self._answer(make, kind)
        except (Gone, ReadError) as error:
            raise VenueError(str(error), endpoint="gateway") from error

    async def _reads(self, make: Callable[[int], Request], kind: type[_AnswerT]) -> _AnswerT:
        try:
            return await self._answer(make, kind)
        except (Gone, PolyhostError) as error:
            raise ReadError(str(error)) from error


async def _told(told: list[Event]) -> list[Event]:
    return told


def unsent(command: Command) -> list[Event]:
    """The events of a command that was never handed over, as there is nobody: an order is not at the venue by it."""
    told: list[Event] = []
    for one in single(command):
        # What is not sent and never will be; of the others nobody knows more than before.
        found = never_sent(one, f"not sent: {ABSENT}") or unanswered(one, ABSENT)
        told += [
            msgspec.structs.replace(event, code=AWAY) if isinstance(event, PostAnswered) else _away(event)
            for event in found
        ]
    return told


def _away(event: Event) -> Event:
    """An order that was not signed since nobody was there: it says nothing about the order."""
    return msgspec.structs.replace(event, away=True) if isinstance(event, PrepareFailed) else event


def _ended(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        logger.warning("the gateway process does not end by itself and is killed")
        process.kill()
        process.wait()


