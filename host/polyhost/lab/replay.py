"""Replay: a run's recorded inputs through an empty kernel; its records must come out again, byte for byte.

What the run continued (earlier runs in the same journal) is folded first. The plugins are asked again at every question
and their answers compared with the recorded ones; what the kernel gets are the recorded ones. Their durable state is
the journal's: as it was before the run, and then as the run's records change it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct, field, structs

from polyhost.errors import PolyhostError
from polyhost.journal import CandleInput, FeedInput, PriceInput, RecordingReader, encode_record, read_journal, runs
from polyhost.kernel.kernel import Kernel
from polyhost.model.commands import Ask
from polyhost.model.events import Evaluated, Event
from polyhost.model.messages import Message
from polyhost.model.reading import VENUE_SOURCES, Told
from polyhost.model.records import PluginMoved, PluginStateSet, Record, RunEnded, RunStarted
from polyhost.model.step import Step
from polyhost.model.view import View
from polyhost.settings import Configuration

Keep: TypeAlias = Callable[[str, Mapping[str, str | None]], None]
"""Changes the durable state of a plugin that is asked again."""
Moved: TypeAlias = Callable[[PluginMoved, Mapping[str, str]], None]
"""Has the plugins that are asked again come and go as they did."""
DIFFERENCES_MAX: Final = 20
"""Differences that are told one by one; the rest is counted."""
_MESSAGE: Final = msgspec.json.Decoder(Message)
_READING: Final = msgspec.json.Decoder(Told)


class ReplayError(PolyhostError):
    """There is nothing to replay, or not enough."""

    exit_code = 2


class Replayed(Struct):
    """What a replay found."""

    run: str
    inputs: int = 0
    records: int = 0
    identical: bool = True
    differences: list[str] = field(default_factory=list)
    difference_count: int = 0
    asked: int = 0
    answers_differ: int = 0
    answers_away: int = 0
    """Answers that are not compared: a plugin's process was late or being started, then or now."""
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Which configuration and version this was done with, where that is not the run's own."""

    def differ(self, text: str) -> None:
        self.identical = False
        self.difference_count += 1
        if len(self.differences) < DIFFERENCES_MAX:
            self.differences.append(text)

    def described(self) -> dict[str, Any]:
        return structs.asdict(self)


def find_run(name: str | None, data_dir: Path) -> Path:
    """The recording meant by ``RUN``: a folder, a run id, or (None) the last run. Raises ReplayError."""
    if name is not None and Path(name).is_dir():
        return Path(name)
    known = runs(data_dir)
    if name is None:
        if not known:
            raise ReplayError(f"no recorded run in {data_dir}; `polyhost run` makes one unless `record = false`")
        return known[-1]
    for path in known:
        if path.name == name:
            return path
    told = ", ".join(path.name for path in known[-5:]) or "none"
    raise ReplayError(f"no recorded run {name!r} in {data_dir}; the latest are: {told}")


def journal_of(recording: Path) -> Path:
    """The journal beside a recording (``<data_dir>/recordings/<run>``)."""
    return recording.parent.parent / "journal.db"


class Journaled(Struct, frozen=True):
    """What a journal says of one run."""

    before: list[Record]
    """Records before it: what it continued."""
    own: list[Record]

    @property
    def started(self) -> RunStarted:
        return next(record for record in self.own if isinstance(record, RunStarted))

    @property
    def moves(self) -> list[PluginMoved]:
        """What became of plugins in it."""
        return [record for record in self.own if isinstance(record, PluginMoved)]


def replay(
    recording: Path, run: Journaled, settings: Configuration, account: str, told_hooks: frozenset[str],
    ask: Callable[[View], Evaluated] | None, channels: tuple[str, ...] = (), keep: Keep | None = None,
    moved: Moved | None = None,
) -> Replayed:
    """Replay one run and compare.

    ``ask``: the plugins of this process; None leaves them out. ``channels``: who was told of notices.
    ``keep`` gets what becomes of the plugins' state; None: they have none. ``moved`` gets the plugins that came, went
    or were put out of service in the run, with their state.
    Raises RecordingError for a damaged recording.
    """
    found = Replayed(recording.name)
    reader = RecordingReader(recording)
    kernel = Kernel(settings, account, told_hooks, channels)
    kernel.restore(run.before)
    if keep is not None:
        for plugin, state in kernel.state.plugin_state.items():
            keep(plugin, state)
    if moved is not None:
        for plugin, why in kernel.state.quarantined.items():
            moved(PluginMoved(0, plugin, "quarantined", why=why), {})
    player = _Player(kernel, found, run.own, ask, keep, moved)
    for kind, payload, now, wall in reader:
        found.inputs += 1
        player.play(kind, payload, now, wall)
    found.problems += reader.problems
    player.finish()
    return found


def recorded_run(journal: Path, run_id: str) -> Journaled:
    """What the journal says of a run. Raises ReplayError when it does not know it, JournalError when it is damaged."""
    before: list[Record] = []
    own: list[Record] = []
    inside = over = False
    for _, record in read_journal(journal):
        if isinstance(record, RunStarted):
            if inside:
                over = True
            inside = inside or record.run_id == run_id
        if over:
            break
        (own if inside else before).append(record)
    if not own:
        raise ReplayError(f"the journal {journal.name} does not know run {run_id!r}")
    return Journaled(before, own)


class _Player:
    """Plays inputs and compares what comes out."""

    def __init__(
        self, kernel: Kernel, found: Replayed, expected: list[Record], ask: Callable[[View], Evaluated] | None,
        keep: Keep | None, moved: Moved | None,
    ) -> None:
        self._moved = moved
        self.kernel = kernel
        self.found = found
        self._expected = iter(expected)
        self._ask = ask
        self._keep = keep
        self._asked: dict[int, Evaluated] = {}

    def play(self, kind: str, payload: object, now: int, wall: int) -> None:
        kernel = self.kernel
        match payload:
            case FeedInput(source="polymarket", raw=raw):
                kernel.feed(_MESSAGE.decode(raw), now)
            case FeedInput(source=source) if source in VENUE_SOURCES:
                pass  # another source's own words: what the kernel took of them is recorded beside them
            case FeedInput(source=source, raw=raw):
                told = _READING.decode(raw)
                kernel.reading(source, told.name, told.value, told.at, now)
            case PriceInput():
                kernel.price(payload.feed, payload.symbol, payload.price, payload.stamp, now)
            case CandleInput():
                kernel.candle(payload.symbol, payload.candle, payload.closed)
            case None if kind == "turn":
                self._compare(kernel.turn(now, wall))
            case _:
                event: Any = payload
                self._check_answers(event)
                self._compare(kernel.handle(event, now, wall))

    def _check_answers(self, event: Event) -> None:
        if not isinstance(event, Evaluated):
            return
        again = self._asked.pop(event.view_seq, None)
        if again is not None:
            compare_answers(self.found, event, again)

    def _compare(self, step: Step) -> None:
        for record in step.records:
            self.found.records += 1
            if isinstance(record, PluginStateSet) and self._keep is not None:
                self._keep(record.plugin, record.changes)
            if isinstance(record, PluginMoved) and self._moved is not None:
                self._moved(record, self.kernel.state.plugin_state.get(record.plugin, {}))
            told = next(self._expected, None)
            if told is None:
                self.found.differ(f"record {self.found.records} is not in the journal: {_short(record)}")
            elif encode_record(record) != encode_record(told):
                self.found.differ(f"record {self.found.records}: {_short(record)} instead of {_short(told)}")
        for command in step.commands:
            if isinstance(command, Ask) and self._ask is not None:
                self.found.asked += 1
                self._asked[command.view.view_seq] = self._ask(command.view)

    def finish(self) -> None:
        """What the journal holds beyond the recording: only the run's last word, or what a kill cut off."""
        for record in self._expected:
            if isinstance(record, RunEnded):
                continue
            if self.found.problems:
                self.found.problems.append("the journal goes on after the torn end of the recording")
                return
            self.found.differ(f"the journal goes on with {_short(record)}")


def compare_answers(found: Replayed, then: Evaluated, now: Evaluated) -> None:
    """The recorded answers to a view and today's. Where a process did not answer, nothing can be compared: what the
    others answered may hang on it (a combiner gets one signal less)."""
    if any(use.away for use in (*then.used, *now.used)):
        found.answers_away += 1
    elif _without_time(now) != _without_time(then):
        found.answers_differ += 1
        found.differ(f"plugins answer view {then.view_seq} differently now")


def _without_time(event: Evaluated) -> Evaluated:
    """The answers alone: not what they cost, nor why there are no others (older recordings do not tell)."""
    used = tuple(structs.replace(use, used_us=0) for use in event.used)
    return structs.replace(event, used=used, abstained=())


def _short(record: Record) -> str:
    text = re.sub(r"\s+", " ", repr(record))
    return text if len(text) <= 160 else text[:157] + "…"

