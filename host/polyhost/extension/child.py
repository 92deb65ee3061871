"""The program of a plugin's own process: ``python -m polyhost.extension.child SOCKET LIFELINE`` (file descriptors).

It builds one plugin, answers the host's messages one after the other, and ends when the host does. It has no secret of
the host's, neither in its environment nor in any message: only those that its own settings name.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from loguru import logger
from msgspec import structs

from polyhost.errors import ConfigError, PluginError
from polyhost.extension.answers import TEXT_MAX
from polyhost.extension.building import Built, built
from polyhost.extension.containing import contained
from polyhost.extension.feeding import Pump, asked, began, tell_every_s
from polyhost.extension.handing import masked
from polyhost.extension.metrics import Metrics
from polyhost.extension.protocol import (
    ENCODE,
    TO_CHILD,
    Answers,
    Ask,
    Build,
    Facts,
    Failure,
    FeedsBegan,
    FeedTold,
    FromChild,
    Hello,
    LoadState,
    LogLine,
    Notified,
    Notify,
    Refusal,
    Remember,
    RunFeeds,
    Said,
    TellPlugin,
    ToChild,
    Told,
    sealed,
)
from polyhost.extension.setups import refuse_contradictions
from polyhost.extension.table import Question, Table
from polyhost.extension.telling import told
from polyhost.frames import Frames, framed, receive

if TYPE_CHECKING:
    from loguru import Message

FEEDS_NICE: Final = 10
"""How much a process of feeds stands back behind the others."""
LOG_LINES_MAX: Final = 50
"""Log lines kept between two messages; the oldest go first."""


class Child:
    """One plugin and its end of the socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._log: deque[LogLine] = deque(maxlen=LOG_LINES_MAX)
        self._plugin: Built | None = None
        self._table = Table(())
        self._numbers = Metrics(logger.warning)
        self._name = ""
        self._secrets: tuple[str, ...] = ()
        """What leaves this process nowhere."""

    def run(self) -> None:
        """Serve until the host closes the socket."""
        logger.remove()
        logger.add(self._keep, level="DEBUG", format="{message}", diagnose=False)
        frames = Frames()
        while data := receive(self._connection):
            for body in frames.feed(data):
                self._handle(TO_CHILD(body))

    def _handle(self, message: ToChild) -> None:
        match message:
            case Build():
                self._send(self._build(message))
            case Ask():
                self._send(self._answer(message))
            case TellPlugin():
                self._send(self._tell(message))
            case Notify():
                # Delivering may take seconds; questions go on meanwhile.
                threading.Thread(target=self._notify, args=(message,), daemon=True).start()
            case RunFeeds():
                self._feed(message)
            case LoadState():
                self._built.state.load(message.state)
            case Remember():
                self._built.state.apply(message.changes)

    @property
    def _built(self) -> Built:
        assert self._plugin is not None, "the host asks only what said hello"
        return self._plugin

    def _build(self, message: Build) -> Hello:
        self._name = message.name
        self._secrets = tuple(handed.value for handed in message.secrets.values())
        limit_memory(message.memory_bytes_max)
        try:
            plugin = built(message.source, message.name, message.table, handed=message.secrets)
            if message.around is not None:
                refuse_contradictions(plugin.instance.settings, message.name, message.around)
        except ConfigError as error:
            return Hello(message.seq, refusal=_config_refusal(error))
        except PluginError as error:
            refusal = Refusal(False, error.problem, error.hook, error.remedy)
            return Hello(message.seq, refusal=refusal)
        plugin.state.load(message.state)
        self._plugin = plugin
        # What has the form of a reference and is none of its settings for secrets may be said.
        self._secrets = tuple(secret for _, secret in plugin.secrets)
        self._table = Table((plugin.hooks,))
        return Hello(
            message.seq,
            tuple(plugin.hooks),
            plugin.settings,
            plugin.instance.timer_s,
            plugin.instance.description,
            channels=plugin.channels,
            secrets=tuple(reference for reference, _ in plugin.secrets),
            schema=type(plugin.instance).Settings.model_json_schema() if message.describe else {},
        )

    def _answer(self, message: Ask) -> Answers:
        used = [0]
        outcome = self._table.answer(Question(message.phase, sealed(message.inputs)), message.view, used)
        return Answers(
            message.seq,
            message.view_seq,
            message.phase,
            self._name,
            tuple(Said(subject, answer) for _, subject, answer in outcome.given),
            tuple(Failure(failed.hook, failed.subject, failed.problem) for failed in outcome.failed),
            used[0],
            self._metrics(),
            self._said(),
        )

    def _tell(self, message: TellPlugin) -> Told:
        plugin = self._built
        telling = told(plugin.hooks[message.hook], plugin.state, facts_of(message.facts))
        return Told(
            message.seq,
            telling.changes,
            telling.notices,
            telling.used_ns,
            telling.problem,
            self._metrics(),
            self._said(),
        )

    def _notify(self, message: Notify) -> None:
        problem = ""
        try:
            self._built.hooks["notify"].by_name({"notice": message.notice, "channel": message.channel})
        except BaseException as error:  # a plugin may raise anything: it means "ask me again"
            problem = contained(error)
        self._send(Notified(message.seq, problem, self._said()))

    def _feed(self, message: RunFeeds) -> None:
        """Ask for the feeds and run them; from here on this process does nothing else."""
        # Trading comes first on a small machine.
        os.nice(FEEDS_NICE)
        try:
            feeds = asked(self._built.hooks["feeds"], message.config, self._name)
        except BaseException as error:  # a plugin may raise anything: its feeds cannot be run
            self._send(FeedsBegan(message.seq, problem=contained(error)))
            return
        self._send(began(message.seq, feeds))
        every_s = tell_every_s(message.config)
        Pump(feeds, lambda told: self._send(structs.replace(told, log=self._said())), every_s).start()

    def _metrics(self) -> dict[str, float]:
        return self._numbers.of(self._built.instance.metrics)

    def _keep(self, message: Message) -> None:
        self._log.append(LogLine(message.record["level"].name, str(message)[:TEXT_MAX].rstrip("\n")))

    def _said(self) -> tuple[LogLine, ...]:
        lines: list[LogLine] = []
        # Threads of the plugin may add lines meanwhile.
        while self._log and len(lines) < LOG_LINES_MAX:
            lines.append(self._log.popleft())
        return tuple(lines)

    def _send(self, message: FromChild | FeedsBegan | FeedTold) -> None:
        with self._sending:
            self._connection.sendall(framed(masked(ENCODE(message), self._secrets)))


def _config_refusal(error: ConfigError) -> Refusal:
    value = "" if error.value is None else repr(error.value)
    return Refusal(
        True, error.problem, "", error.remedy, error.key, value[:TEXT_MAX], error.allowed, error.nearest, error.table
    )


def facts_of(facts: Facts) -> dict[str, object]:
    """The named arguments that were sent."""
    return {name: value for name in Facts.__struct_fields__ if (value := getattr(facts, name)) is not None}


def limit_memory(size: int) -> None:
    """Bound this process's address space; what does not fit raises MemoryError in the plugin."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size if hard == resource.RLIM_INFINITY else min(size, hard), hard))


def _die_with_the_host(lifeline: int) -> None:
    # The host holds the other end and never writes: reading ends when the host does, however it ended.
    os.read(lifeline, 1)
    os._exit(0)


def main() -> None:
    connection = socket.socket(fileno=int(sys.argv[1]))
    threading.Thread(target=_die_with_the_host, args=(int(sys.argv[2]),), daemon=True).start()
    # Control-C in a terminal reaches every process of its group; the host decides when plugins end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Standard output belongs to the host's own reports.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    Child(connection).run()
    # Threads and exit hooks of the plugin have no say in when its process ends.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
