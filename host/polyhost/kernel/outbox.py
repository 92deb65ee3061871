"""The outbox (NOT-02): every notice reaches every channel at least once, whatever fails, and nobody waits for it.

A notice and what it is owed are durable (``State.outbox``); tries, pauses and who is busy are not. Each channel is told
one notice at a time. A channel that fails rests, longer each time; a notice that failed goes behind those that were
tried less often, so that one which a channel never takes holds no other back. Nothing here touches an order.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

from polyhost.kernel.core import Core
from polyhost.model.commands import Deliver
from polyhost.model.events import NoticeTold
from polyhost.model.records import DeliveryNoted, NoticeRaised

DELIVERY_MS: Final = 30_000
"""A delivery without an answer for so long failed, wall ms; the shell gives up after ten seconds itself."""
REST_FIRST_MS: Final = 1_000
"""A channel that failed rests so long, wall ms; twice as long after each further failure in a row …"""
REST_MAX_MS: Final = 300_000
"""… and never longer than this, wall ms."""
TRIES_MAX: Final = 12
"""A channel that refused one notice so often is not asked about it again: that is told to the others. With the pauses
above that is a quarter of an hour at least."""
WAITING_MAX: Final = 1_000
"""Notices that wait for one channel; beyond it the oldest of the least important ones are dropped, and that is told."""
IMPORTANCE: Final = ("info", "warning", "critical")


class _Channel(Struct):
    """One channel, as this run knows it."""

    waiting: dict[str, int] = field(default_factory=dict)
    """Notice id → how often it was tried, oldest first."""
    busy: str = ""
    """The notice that is being delivered; empty: none."""
    until: int = 0
    """When that delivery counts as failed, or when a rest is over, wall ms."""
    failures: int = 0
    """In a row."""


class Outbox:
    """Has notices delivered, one channel independent of the other."""

    def __init__(self, core: Core) -> None:
        self.core = core
        core.raised = self.raised
        self._channels: dict[str, _Channel] = {name: _Channel() for name in core.channels}

    def serve(self, names: tuple[str, ...]) -> None:
        """From now on these channels are told, and no others: what the others were owed is noted as gone."""
        core = self.core
        core.channels = names
        for name in [known for known in self._channels if known not in names]:
            for notice_id in list(self._channels[name].waiting):
                self._note(name, notice_id, "gone")
            del self._channels[name]
        for name in names:
            self._channels.setdefault(name, _Channel())

    def recover(self) -> None:
        """After a start: what an earlier run did not note as told goes again; channels of the past are owed nothing."""
        for notice_id, outgoing in list(self.core.state.outbox.items()):
            for name in list(outgoing.owed):
                if name in self._channels:
                    self._channels[name].waiting.setdefault(notice_id, 0)
                else:
                    self.core.record(DeliveryNoted(self.core.now, notice_id, name, "gone", 0))
        for name in self._channels:
            self._next(name)

    def raised(self, notice: NoticeRaised) -> None:
        """A notice was raised and is durable before it is told."""
        for name in notice.channels:
            self._channels[name].waiting[notice.notice_id] = 0
            self._next(name)
        for name in notice.channels:
            if len(self._channels[name].waiting) > WAITING_MAX:
                self._drop(name)

    def told(self, event: NoticeTold) -> None:
        """What a delivery came to; of one that nobody waits for any more only a success counts."""
        channel = self._channels.get(event.channel)
        if channel is None or event.notice_id not in channel.waiting:
            return
        if not event.problem:
            channel.failures = 0
            self._note(event.channel, event.notice_id, "told")
        elif channel.busy == event.notice_id:
            self._failed(event.channel, event.problem)
        self._next(event.channel)

    def due(self, name: str) -> None:
        """A rest is over, or a delivery had its time."""
        channel = self._channels.get(name)
        if channel is None:
            return  # its plugin was switched off meanwhile
        if channel.busy and self.core.wall >= channel.until:
            self._failed(name, f"no answer within {DELIVERY_MS // 1_000} s")
        self._next(name)

    def _next(self, name: str) -> None:
        """Tell the next notice, unless one is under way or the channel rests: the least tried, then the oldest."""
        core, channel = self.core, self._channels[name]
        if channel.busy or not channel.waiting or core.wall < channel.until:
            return
        notice_id = min(channel.waiting, key=channel.waiting.__getitem__)
        channel.busy, channel.until = notice_id, core.wall + DELIVERY_MS
        core.command(Deliver(core.state.outbox[notice_id].notice, name))
        core.at_wall(channel.until, "delivery", name)

    def _note(self, name: str, notice_id: str, how: str, problem: str = "") -> None:
        channel = self._channels[name]
        tries = channel.waiting.pop(notice_id)
        if channel.busy == notice_id:
            channel.busy, channel.until = "", 0
        tries += how in ("told", "given_up")
        self.core.record(DeliveryNoted(self.core.now, notice_id, name, how, tries, problem))

    def _failed(self, name: str, problem: str) -> None:
        core, channel = self.core, self._channels[name]
        notice_id, channel.busy = channel.busy, ""
        channel.failures += 1
        channel.until = core.wall + rest_ms(channel.failures, f"{notice_id} {name}")
        core.at_wall(channel.until, "delivery", name)
        if channel.waiting[notice_id] + 1 < TRIES_MAX:
            channel.waiting[notice_id] += 1
            return
        text = core.state.outbox[notice_id].notice.told_text
        self._note(name, notice_id, "given_up", problem)
        core.notice(
            "outbox_given_up", name,
            f"{name} did not take a notice in {TRIES_MAX} tries ({problem}): {text}", not_to=name,
        )

    def _drop(self, name: str) -> None:
        core, channel = self.core, self._channels[name]
        idle = [notice_id for notice_id in channel.waiting if notice_id != channel.busy]
        self._note(name, min(idle, key=self._importance), "dropped")
        core.notice(
            "outbox_full", name,
            f"{WAITING_MAX} notices wait for {name}: the oldest of the least important ones are not told there",
            not_to=name,
        )

    def _importance(self, notice_id: str) -> int:
        level = self.core.state.outbox[notice_id].notice.level
        return IMPORTANCE.index(level) if level in IMPORTANCE else len(IMPORTANCE)


def rest_ms(failures: int, name: str) -> int:
    """How long a channel rests after so many failures in a row: doubling, with up to a quarter more or less of it.

    The kernel has no randomness: what spreads the tries of many channels is the name of what failed.
    """
    whole = min(REST_FIRST_MS << min(failures - 1, 16), REST_MAX_MS)
    spread = failures
    for byte in name.encode():
        spread = (spread * 31 + byte) % 1_000_003
    spread %= 1_000
    return min(whole * 3 // 4 + whole * spread // 2_000, REST_MAX_MS)
