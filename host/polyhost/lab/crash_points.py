"""Where a host may be killed: the names of the points, counting them, and dying at the chosen one."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter

from msgspec import Struct

from polyhost.model import commands, events, records
from polyhost.model.commands import Command
from polyhost.model.events import Event
from polyhost.model.records import Record


class Target(Struct, frozen=True):
    """Die at the ``occurrence``-th passing of ``point``, ``delay_us`` later, in the host's ``life``-th life (0 first).

    A delay ends the process from another thread while the first one goes on: in the middle of what follows.
    """

    point: str
    occurrence: int = 1
    life: int = 0
    delay_us: int = 0

    @property
    def label(self) -> str:
        """How it is written on a command line: ``POINT:OCCURRENCE[:LIFE[:DELAY]]``."""
        text = f"{self.point}:{self.occurrence}"
        if self.life or self.delay_us:
            text += f":{self.life}"
        return text + (f":{self.delay_us}" if self.delay_us else "")

    @classmethod
    def parse(cls, text: str) -> Target:
        """Raises ValueError for a text that is no label."""
        point, *numbers = text.split(":")
        if not point or len(numbers) > 3:
            raise ValueError(f"{text!r} is no crash point; write POINT[:OCCURRENCE[:LIFE[:DELAY]]]")
        return cls(point, *(int(number) for number in numbers))


class Points:
    """Counts the points that a host passes, and kills it at its target."""

    def __init__(self, target: Target | None) -> None:
        self.counts: Counter[str] = Counter()
        self._target = target

    def passed(self, name: str) -> None:
        self.counts[name] += 1
        target = self._target
        if target is None or name != target.point or self.counts[name] != target.occurrence:
            return
        if not target.delay_us:
            _die()
        threading.Thread(target=_die_later, args=(target.delay_us,), daemon=True).start()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_later(delay_us: int) -> None:
    time.sleep(delay_us / 1e6)
    _die()


def record_name(record: Record) -> str:
    """The kind of a record, told apart where its meaning differs."""
    detail: object = ""
    match record:
        case records.OrderIntended():
            detail = record.slot.purpose
        case records.OrderMoved() | records.LedgerPosted() | records.MarketChanged():
            detail = record.cause
        case records.FillBooked():
            detail = record.action
        case records.FillMoved():
            detail = record.status
        case records.ObligationMet():
            detail = record.how
        case records.HeldDeclared():
            detail = record.kind
        case records.ActionIntended():
            detail = record.kind
        case records.PairMoved() | records.ActionMoved():
            detail = record.state
        case records.EntriesBlocked():
            detail = "on" if record.on else "off"
        case _:
            pass
    return f"record.{_tag(record)}" + (f".{detail}" if detail else "")


def send_name(command: Command) -> str:
    """What is sent."""
    name = f"send.{type(command).__name__.lower()}"
    if isinstance(command, commands.Post):
        return f"{name}.{command.request.fields.action}.{command.request.order_type}"
    return name


def event_name(event: Event) -> str:
    """What arrived."""
    match event:
        case events.PostAnswered() | events.CancelAnswered():
            detail = event.outcome
        case events.OrderSeen():
            detail = f"{event.source}.{event.row.kind or event.row.status}"
        case events.TradeSeen():
            detail = event.row.status
        case events.StreamChanged():
            detail = event.stream
        case _:
            detail = ""
    return f"event.{_tag(event)}" + (f".{detail}" if detail else "")


def _tag(value: Record | Event) -> str:
    tag = value.__struct_config__.tag
    assert isinstance(tag, str)
    return tag
