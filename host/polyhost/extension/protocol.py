"""The messages between the host and a plugin's process: plain data as msgpack, each with the number it belongs to."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec
from msgspec import Struct, field

from polyhost.extension.answers import SealedDict, plain
from polyhost.extension.setups import Surroundings
from polyhost.extension.sources import Source
from polyhost.extension.table import Inputs
from polyhost.model.days import DayFigures
from polyhost.model.market import Market
from polyhost.model.proposals import Answer, Enter, Estimate, Notice, Signal
from polyhost.model.reading import FeedConfig, Reading
from polyhost.model.records import AuditTaken, CloseRecorded, FillBooked, MarketSettled, NoticeRaised, OrderMoved
from polyhost.model.view import Funds, View
from polyhost.secret import Handed


class Facts(Struct, frozen=True, omit_defaults=True):
    """Arguments of ``on_…`` hooks by name; those a hook does not have stay None."""

    at: int | None = None
    market: Market | None = None
    order: OrderMoved | None = None
    fill: FillBooked | None = None
    result: MarketSettled | None = None
    closes: tuple[CloseRecorded, ...] | None = None
    notice: NoticeRaised | None = None
    report: AuditTaken | None = None
    day: DayFigures | None = None
    funds: Funds | None = None


class _Message(Struct, frozen=True, tag_field="message"):
    seq: int


class Build(_Message, tag="build", frozen=True):
    """Become this plugin. The answer is ``Hello``."""

    name: str
    source: Source
    table: dict[str, Any]
    state: dict[str, str]
    memory_bytes_max: int
    secrets: dict[str, Handed] = field(default_factory=dict)
    """What the references in ``table`` stand for, resolved by the host; nobody else is sent it."""
    describe: bool = False
    """Send the JSON Schema of the settings, too."""
    around: Surroundings | None = None
    """What the settings are to be held against for contradictions; None: nothing, it runs already."""


class Ask(_Message, tag="ask", frozen=True):
    """One question; the answer is ``Answers``."""

    view_seq: int
    phase: str
    view: View
    inputs: Inputs


class TellPlugin(_Message, tag="tell", frozen=True):
    """Run an ``on_…`` hook, ``start`` or ``stop``; the answer is ``Told``."""

    hook: str
    facts: Facts


class Notify(_Message, tag="notify", frozen=True):
    """Deliver a notice, beside everything else; the answer is ``Notified``, when it is done."""

    notice: NoticeRaised
    channel: str = ""


class LoadState(_Message, tag="load_state", frozen=True):
    """Replace the durable state. No answer."""

    state: dict[str, str]


class Remember(_Message, tag="remember", frozen=True):
    """Change the durable state; None deletes. No answer."""

    changes: dict[str, str | None]


class RunFeeds(_Message, tag="run_feeds", frozen=True):
    """Run the plugin's feeds from now on; the answer is ``FeedsBegan``, then ``FeedTold`` again and again."""

    config: FeedConfig


class Refusal(Struct, frozen=True):
    """Why a plugin could not be built: the parts of a ConfigError (``config``) or PluginError."""

    config: bool
    problem: str
    hook: str = ""
    remedy: str = ""
    key: str = ""
    value: str = ""
    allowed: tuple[str, ...] = ()
    nearest: str = ""
    table: str = ""


class Hello(_Message, tag="hello", frozen=True):
    """The plugin is built, or refused."""

    hooks: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    timer_s: float | None = None
    description: str = ""
    refusal: Refusal | None = None
    channels: tuple[str, ...] = ("",)
    secrets: tuple[str, ...] = ()
    """The references that are settings for secrets: what they stand for is kept out of the host's logs."""
    schema: dict[str, Any] = field(default_factory=dict)


class Said(Struct, frozen=True):
    """One answer, and about which entry or target of the question."""

    subject: int
    answer: Answer


class Failure(Struct, frozen=True):
    hook: str
    subject: int
    problem: str


class LogLine(Struct, frozen=True):
    level: str
    text: str


class Answers(_Message, tag="answers", frozen=True):
    view_seq: int
    phase: str
    plugin: str
    answers: tuple[Said, ...] = ()
    failures: tuple[Failure, ...] = ()
    used_ns: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    log: tuple[LogLine, ...] = ()


class Told(_Message, tag="told", frozen=True):
    changes: dict[str, str | None] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()
    used_ns: int = 0
    problem: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    log: tuple[LogLine, ...] = ()


class Notified(_Message, tag="notified", frozen=True):
    problem: str = ""
    log: tuple[LogLine, ...] = ()


class FeedsBegan(_Message, tag="feeds_began", frozen=True):
    """The feeds run, each with the longest silence (wall seconds) that is its way; or ``problem`` says why not."""

    sources: dict[str, float] = field(default_factory=dict)
    problem: str = ""


class FeedTold(_Message, tag="feed_told", frozen=True):
    """What the feeds said since the last time, and that they live."""

    readings: tuple[Reading, ...] = ()
    items: dict[str, int] = field(default_factory=dict)
    """Source → how many items it has yielded so far."""
    dropped: int = 0
    refused: int = 0
    problem: str = ""
    """The first refusal since the last time."""
    ended: str = ""
    """Which feed ended, and how; empty: all run."""
    log: tuple[LogLine, ...] = ()


ToChild: TypeAlias = Build | Ask | TellPlugin | Notify | LoadState | Remember | RunFeeds
FromFeeds: TypeAlias = Hello | FeedsBegan | FeedTold
FromChild: TypeAlias = Hello | Answers | Told | Notified

ENCODE = msgspec.msgpack.Encoder(enc_hook=plain).encode
TO_CHILD = msgspec.msgpack.Decoder(ToChild).decode
FROM_FEEDS = msgspec.msgpack.Decoder(FromFeeds).decode
FROM_CHILD = msgspec.msgpack.Decoder(FromChild).decode


def sealed(inputs: Inputs) -> Inputs:
    """Inputs as they came off the wire, read-only for the plugin as they are in the host's own process."""
    return Inputs(
        tuple((name, _sealed_signal(signal)) for name, signal in inputs.signals),
        tuple((name, _sealed_estimate(estimate)) for name, estimate in inputs.estimates),
        None if inputs.estimate is None else _sealed_estimate(inputs.estimate),
        tuple(_sealed_entry(entry) for entry in inputs.entries),
        inputs.targets,
    )


def _sealed_signal(signal: Signal) -> Signal:
    return msgspec.structs.replace(signal, features=SealedDict(signal.features))


def _sealed_estimate(estimate: Estimate) -> Estimate:
    return msgspec.structs.replace(estimate, parts=SealedDict(estimate.parts))


def _sealed_entry(entry: Enter) -> Enter:
    return msgspec.structs.replace(entry, values=SealedDict(entry.values))
