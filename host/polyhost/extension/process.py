"""A plugin in a process of its own, seen from the host: start it, ask it with a deadline, kill it, start it again.

It knows one plugin's process and its wire; who is asked when, and what a strike leads to, is the runner's matter.
Deadlines are transport time: the wall clock at any speed of the market.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, Final

import msgspec
from loguru import logger
from msgspec import Struct

from polyhost.errors import ConfigError, PluginError
from polyhost.extension.delivery import BUSY
from polyhost.extension.handing import handed_over
from polyhost.extension.protocol import (
    ENCODE,
    FROM_CHILD,
    Answers,
    Build,
    FromChild,
    Hello,
    LoadState,
    LogLine,
    Notified,
    Notify,
    Refusal,
    Remember,
    ToChild,
    Told,
)
from polyhost.extension.setups import Surroundings
from polyhost.extension.sources import Source
from polyhost.frames import FrameError, Frames, framed, receive
from polyhost.model.records import NoticeRaised

if TYPE_CHECKING:
    from loguru import Logger

MEMORY_BYTES_MAX: Final = 2 * 1024**3
"""Address space of one plugin's process."""
ENVIRONMENT: Final = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "SYSTEMROOT")
"""All that a plugin's process inherits: nothing that could hold a secret."""
END_S_MAX: Final = 1.0
"""Wall seconds a process has to end by itself before it is killed."""
HELLO_LOOK_S: Final = 0.005
"""How often a start is looked at in an event loop, wall seconds."""
CHANGED: Final = "its files changed since it was started; `polyhost plugins accept {}`"
EXIT_S_MAX: Final = 0.05
"""Wall seconds to learn the exit code of a process whose socket has closed."""
_LEVELS: Final = ("TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL")


class Deadlines(Struct, frozen=True):
    """How long a plugin's process may take, in wall ms."""

    answer_ms: int = 50
    """For an answer: after it the chain goes on without."""
    life_ms: int = 250
    """For a sign of life since it was asked: after it the process is killed and started again."""
    start_ms: int = 10_000
    """From its start to its hello."""
    deliver_ms: int = 10_000
    """For delivering one notice."""


class ForeignPlugin:
    """One plugin's process. ``trouble`` is told the reason whenever it misses a deadline, dies or talks nonsense."""

    def __init__(
        self, name: str, source: Source, table: Mapping[str, Any], deadlines: Deadlines, trouble: Callable[[str], None]
    ) -> None:
        self.name = name
        self.source = source
        self.deadlines = deadlines
        self.hello: Hello | None = None
        self.fingerprint = ""
        """What its files must be when it is started again; empty: that is not looked at."""
        self.describe = False
        """Ask for the schema of its settings when it starts."""
        self.around: Surroundings | None = None
        """What its settings are held against when it starts; None: nothing."""
        self.metrics: dict[str, float] = {}
        self.state: dict[str, str] = {}
        """The last durable state: what a restarted process begins with."""
        self._table = dict(table)
        self._trouble = trouble
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._lifeline = -1
        self._frames = Frames()
        self._seq = 0
        self._hello_seq = 0
        self._open: dict[int, float] = {}
        """Questions sent and not answered: number, and the wall time of sending."""
        self._wanted: set[int] = set()
        """Of them, those whose answer somebody still waits for."""
        self._answered: dict[int, FromChild] = {}
        self._futures: dict[int, asyncio.Future[FromChild | None]] = {}
        self._deliveries: dict[int, asyncio.Future[FromChild | None]] = {}
        self._latest: dict[str, tuple[str, asyncio.Future[FromChild | None]]] = {}
        """Channel → the notice it was last asked to deliver, and what came of it."""
        self._asked_in: dict[int, Context] = {}
        """Questions and deliveries → in whose name they were sent: what is logged over them is about the same."""
        self._launched = 0.0
        self._reason = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._life: asyncio.TimerHandle | None = None
        self._log = logger.bind(plugin=name)

    # --- life ----------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """It has said hello and owes no answer."""
        return self.running and not self._open

    @property
    def running(self) -> bool:
        """Its process runs and has said hello."""
        return self._socket is not None and self.hello is not None and self._hello_seq == 0

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def launch(self) -> None:
        """Start the process; its hello comes later."""
        if self.fingerprint and self.hello is not None and self.source.fingerprint() != self.fingerprint:
            # Started again it would be another plugin than the one that was looked at and accepted.
            self._lost(CHANGED.format(self.name))
            return
        self._process, ours, self._lifeline = launched()
        self._socket, self._frames = ours, Frames()
        if self._loop is not None and not self._loop.is_closed():
            self._loop.add_reader(ours.fileno(), self._arrived)
        self._launched = time.monotonic()
        self._hello_seq = self._seq + 1
        secrets = handed_over(self._table)
        self._send(
            lambda seq: Build(
                seq, self.name, self.source, self._table, self.state, MEMORY_BYTES_MAX, secrets, self.describe,
                self.around,
            )
        )

    def greet(self) -> Hello:
        """Wait for the hello. Raises ConfigError or PluginError when the plugin was refused or did not get that far."""
        deadline = time.monotonic() + self.deadlines.start_ms / 1_000
        while self._hello_seq and self._socket is not None:
            if not self._wait(deadline):
                break
        if self.hello is None or self._hello_seq or self._socket is None:
            late = f"its process did not start within {self.deadlines.start_ms} ms"
            self.kill()
            raise PluginError(
                self._reason or late,
                plugin=self.name,
                origin=self.source.origin,
                remedy=self.source.remedy,
            )
        if self.hello.refusal is not None:
            self.kill()
            raise refusal_error(self.hello.refusal, self.name, self.source)
        return self.hello

    async def greeted(self) -> Hello:
        """As ``greet``, without holding up the event loop that reads the socket."""
        deadline = self._launched + self.deadlines.start_ms / 1_000
        while self._hello_seq and self._socket is not None and time.monotonic() < deadline:
            await asyncio.sleep(HELLO_LOOK_S)
        if self._hello_seq:
            self.kill()
        return self.greet()

    def kill(self) -> None:
        """End the process at once; what it owed is answered with None."""
        if self._life is not None:
            self._life.cancel()
            self._life = None
        if self._socket is not None:
            if self._loop is not None and not self._loop.is_closed():
                self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._open.clear()
        self._wanted.clear()
        self._answered.clear()
        self._asked_in.clear()
        self._hello_seq = 0
        futures = [*self._futures.values(), *self._deliveries.values()]
        self._futures, self._deliveries = {}, {}
        for future in futures:
            if not future.done():
                future.set_result(None)

    def restart(self) -> None:
        """Kill it and start it from its last durable state. It abstains until it has said hello again."""
        self.kill()
        self.launch()

    async def closed(self) -> None:
        """As ``close``, without holding up the event loop."""
        if self._life is not None:
            self._life.cancel()
            self._life = None
        self._detach()
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """A graceful end: the process sees the socket close; it is killed if that does not end it."""
        process = self._process
        if self._socket is not None:
            self._detach()
            self._socket.close()
            self._socket = None
        if process is not None:
            try:
                process.wait(END_S_MAX)
            except subprocess.TimeoutExpired:
                self._log.warning("does not end by itself, killed")
        self.kill()

    def load_state(self, state: Mapping[str, str]) -> None:
        """The durable state from here on."""
        self.state = dict(state)
        if self._socket is not None:
            self._send(lambda seq: LoadState(seq, self.state))

    def remember(self, changes: Mapping[str, str | None]) -> None:
        """These keys of the durable state changed; None deletes."""
        for key, text in changes.items():
            if text is None:
                self.state.pop(key, None)
            else:
                self.state[key] = text
        if self._socket is not None:
            self._send(lambda seq: Remember(seq, dict(changes)))

    # --- asking, blocking --------------------------------------------------------------------------------------------

    def send(self, make: Callable[[int], ToChild]) -> int | None:
        """Send a question that ``make`` builds from its number; None when the plugin cannot be asked now."""
        self._catch_up()
        if self._hello_seq and time.monotonic() - self._launched > self.deadlines.start_ms / 1_000:
            self._lost(f"its process did not start within {self.deadlines.start_ms} ms")
        if not self.ready:
            return None
        seq = self._seq + 1
        self._open[seq] = time.monotonic()
        self._wanted.add(seq)
        self._asked_in[seq] = copy_context()
        self._send(make)
        return seq

    def wait(self, seq: int, within_ms: int) -> FromChild | None:
        """The answer to a question, or None when it did not come in time or the process died."""
        deadline = self._open.get(seq, time.monotonic()) + within_ms / 1_000
        while seq in self._open and self._wait(deadline):
            pass
        self._wanted.discard(seq)
        return self._answered.pop(seq, None)

    def _wait(self, deadline: float) -> bool:
        """Read once something arrived; False when the deadline passed first."""
        if self._socket is None:
            return False
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        left = deadline - time.monotonic()
        if not poll.poll(max(left, 0.0) * 1_000) and left <= 0:
            return False
        self._drain()
        return self._socket is not None

    def _catch_up(self) -> None:
        """Take what came late, without waiting."""
        if self._socket is not None:
            self._drain()

    def owes(self, seq: int) -> bool:
        """The question is not answered, and its process is still the one that was asked."""
        return seq in self._open

    def alive_by(self, seq: int) -> bool:
        """Wait until the time for a sign of life is over; True when the question was answered by then."""
        if seq in self._open:
            self.wait(seq, self.deadlines.life_ms)
        return seq not in self._open

    # --- asking, in an event loop ------------------------------------------------------------------------------------

    def attach(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Let this loop read the socket from now on; False when it does already."""
        if self._loop is loop:
            return False
        self._detach()
        self._loop = loop
        if self._socket is not None:
            loop.add_reader(self._socket.fileno(), self._arrived)
        return True

    def _detach(self) -> None:
        if self._loop is not None and not self._loop.is_closed() and self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
        self._loop = None

    def expect(self, seq: int) -> asyncio.Future[FromChild | None]:
        """A future of the answer; None when the process died."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[FromChild | None] = loop.create_future()
        if seq in self._answered:
            future.set_result(self._answered.pop(seq))
        elif seq not in self._open:
            future.set_result(None)
        else:
            self._futures[seq] = future
        return future

    def deliver(self, notice: NoticeRaised, channel: str) -> asyncio.Future[FromChild | None]:
        """A future of what delivering came to; None when the process died or cannot be asked now.

        As in this process: what is under way, or was delivered after nobody waited any more, is not delivered again.
        """
        future: asyncio.Future[FromChild | None] = asyncio.get_running_loop().create_future()
        self._catch_up()
        latest_id, latest = self._latest.get(channel, ("", None))
        if latest is not None and latest_id == notice.notice_id and not (latest.done() and _failed(latest.result())):
            return latest
        if self._socket is None or self._hello_seq:
            future.set_result(None)
        elif latest is not None and not latest.done():
            future.set_result(Notified(0, BUSY))
        else:
            self._latest[channel] = (notice.notice_id, future)
            self._deliveries[self._seq + 1] = future
            self._asked_in[self._seq + 1] = copy_context()
            self._send(lambda seq: Notify(seq, notice, channel))
        return future

    def watch(self, seq: int, dead: Callable[[], None]) -> None:
        """Call ``dead`` when the question is still open after the time for a sign of life."""
        loop = asyncio.get_running_loop()
        self._futures.pop(seq, None)
        self._wanted.discard(seq)
        left = self._open.get(seq, 0.0) + self.deadlines.life_ms / 1_000 - time.monotonic()

        def look() -> None:
            self._life = None
            self._catch_up()
            if seq in self._open:
                dead()

        if self._life is not None:
            self._life.cancel()
        self._life = loop.call_later(max(left, 0.0), look)

    def _arrived(self) -> None:
        self._drain()

    # --- the wire ----------------------------------------------------------------------------------------------------

    def _send(self, make: Callable[[int], ToChild]) -> None:
        assert self._socket is not None, "only a running process is sent to"
        self._seq += 1
        seq = self._seq
        message = make(seq)
        try:
            # The child owes nothing, so it reads; a full buffer means that it does not, within its own deadline.
            self._socket.settimeout(self.deadlines.answer_ms / 1_000)
            self._socket.sendall(framed(ENCODE(message)))
            self._socket.setblocking(False)
        except OSError as error:
            self._lost(f"its process cannot be reached: {error}")

    def _drain(self) -> None:
        while self._socket is not None:
            data = receive(self._socket)
            if data is None:
                return
            if not data:
                self._lost("its process ended")
                return
            try:
                for body in self._frames.feed(data):
                    self._take(FROM_CHILD(body))
            except (FrameError, msgspec.MsgspecError) as error:
                self._lost(f"its process sent what is no message: {error}")
                return

    def _take(self, message: FromChild) -> None:
        if isinstance(message, Hello):
            self._greeted(message)
            return
        self._heard(message)
        seq = message.seq
        future = self._futures.pop(seq, None) or self._deliveries.pop(seq, None)
        if future is not None and not future.done():
            future.set_result(message)
        elif seq in self._wanted:
            self._answered[seq] = message
        self._open.pop(seq, None)
        self._wanted.discard(seq)

    def _greeted(self, message: Hello) -> None:
        if message.seq != self._hello_seq:
            return
        again = self.hello is not None
        self.hello, self._hello_seq = message, 0
        if again and message.refusal is not None:
            self._lost(f"refused when it was started again: {message.refusal.problem}")

    def _heard(self, message: Answers | Told | Notified) -> None:
        asked_in = self._asked_in.pop(message.seq, None) or copy_context()
        for line in message.log:
            asked_in.run(relayed, self._log, line)
        if not isinstance(message, Notified):
            self.metrics = message.metrics

    def _lost(self, reason: str) -> None:
        ended = self._exit_code()
        self.kill()
        self._reason = reason if ended is None else f"{reason} (exit code {ended})"
        self._trouble(self._reason)

    def _exit_code(self) -> int | None:
        if self._process is None:
            return None
        try:
            # The socket closes a moment before the process is gone.
            return self._process.wait(EXIT_S_MAX)
        except subprocess.TimeoutExpired:
            return None


def launched() -> tuple[subprocess.Popen[bytes], socket.socket, int]:
    """A plugin's process, our end of its socket (non-blocking), and the file descriptor whose closing ends it.

    Its environment is made from nothing but harmless names.
    """
    ours, theirs = socket.socketpair()
    reading, lifeline = os.pipe()
    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    arguments = [sys.executable, "-P", "-m", "polyhost.extension.child", str(theirs.fileno()), str(reading)]
    try:
        process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, env=environment, pass_fds=(theirs.fileno(), reading)
        )
    except OSError:
        ours.close()
        os.close(lifeline)
        raise
    finally:
        theirs.close()
        os.close(reading)
    ours.setblocking(False)
    return process, ours, lifeline


def relayed(log: Logger, line: LogLine) -> None:
    """Say in the host's log what a plugin's process said."""
    log.log(line.level if line.level in _LEVELS else "INFO", "{}", line.text)


def refusal_error(refusal: Refusal, name: str, source: Source) -> ConfigError | PluginError:
    """The exception that the plugin's process could not raise here."""
    if refusal.config:
        error = ConfigError(
            refusal.problem, table=refusal.table or f"plugins.{name}", key=refusal.key, allowed=refusal.allowed,
            nearest=refusal.nearest, remedy=refusal.remedy,
        )
        error.value = _Quoted(refusal.value) if refusal.value else None
        return error
    return PluginError(
        refusal.problem, plugin=name, hook=refusal.hook, origin=source.origin, remedy=refusal.remedy
    )


class _Quoted(str):
    """A value as the plugin's process quoted it."""

    def __repr__(self) -> str:
        return str(self)


def _failed(reply: FromChild | None) -> bool:
    return not isinstance(reply, Notified) or bool(reply.problem)


def look(
    name: str, source: Source, table: Mapping[str, Any], deadlines: Deadlines | None = None, describe: bool = False,
    around: Surroundings | None = None,
) -> Hello:
    """What a plugin is, found out in a process of its own; ``describe``: with the JSON Schema of its settings.
    ``around``: what its settings are held against for contradictions.

    Raises ConfigError or PluginError when it is refused.
    """
    foreign = ForeignPlugin(name, source, table, deadlines or Deadlines(), lambda reason: None)
    foreign.describe, foreign.around = describe, around
    foreign.launch()
    try:
        return foreign.greet()
    finally:
        foreign.close()
