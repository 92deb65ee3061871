"""Issue 4, NOT-02: a notification channel that fails, hangs or floods delays no order. In virtual time: by 0."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import pytest

from polyhost.kernel.kernel import Kernel
from polyhost.lab.backtest import Backtest
from polyhost.lab.tape import Tape
from polyhost.model.commands import Act, Cancel, CancelMany, Command, Deliver, Post, PostMany, Prepare
from polyhost.model.events import NoticeTold, PluginTold
from polyhost.model.proposals import Notice
from polyhost.model.records import DeliveryNoted, NoticeRaised

from .lab_tapes import write
from .test_lab_same_as_run import HOOKS, SETTINGS, Trader, story

ORDERS: Final = (Post, PostMany, Prepare, Cancel, CancelMany, Act)
FLOOD: Final = 60
"""Notices that a flooding channel raises at each of its first deliveries."""


class ChannelRun(Backtest):
    """A backtest whose notices go to a channel that behaves in a way; keeps when which order left, in bytes."""

    def __init__(self, behaviour: str) -> None:
        super().__init__(SETTINGS, Trader())
        channels = ("channel",) if behaviour else ()
        self.kernel = Kernel(SETTINGS, SETTINGS.host.account, HOOKS, channels)
        self.kernel.analyse = False
        self.behaviour = behaviour
        self.orders: list[tuple[int, bytes]] = []
        self.delivered = 0

    def _do(self, command: Command) -> None:
        if isinstance(command, ORDERS):
            self.orders.append((self._now, msgspec.json.encode(command)))
        if isinstance(command, Deliver):
            self._channel(command)
        else:
            super()._do(command)

    def _channel(self, command: Deliver) -> None:
        self.delivered += 1
        notice_id = command.notice.notice_id
        match self.behaviour:
            case "works":
                self._queue.append(NoticeTold(notice_id, command.channel))
            case "fails":
                self._queue.append(NoticeTold(notice_id, command.channel, "503"))
            case "floods":
                self._queue.append(NoticeTold(notice_id, command.channel))
                if self.delivered <= 20:
                    more = tuple(Notice(f"flood {self.delivered} {n}", "critical") for n in range(FLOOD))
                    self._queue.append(PluginTold("flood", "on_timer", {}, more))
            case "hangs":
                pass


def played(path: Path, behaviour: str) -> ChannelRun:
    run = ChannelRun(behaviour)
    run.run([Tape(write(path / f"{behaviour or 'none'}.jsonl", story()))])
    return run


def about_trading(run: ChannelRun) -> list[bytes]:
    """Every record but those about notices."""
    return [
        body for record, body in zip((r for _, r in run.journal.read()), run.journal.bodies, strict=True)
        if not isinstance(record, NoticeRaised | DeliveryNoted)
    ]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> ChannelRun:
    """Nobody is told of anything."""
    return played(tmp_path_factory.mktemp("alone"), "")


@pytest.mark.parametrize("behaviour", ["works", "fails", "hangs", "floods"])
def test_not_02_a_channel_delays_no_order_by_a_millisecond(tmp_path: Path, alone: ChannelRun, behaviour: str) -> None:
    """Each order leaves at the same instant with the same bytes, and everything but notices is the same in the journal.
    """
    run = played(tmp_path, behaviour)
    assert len(alone.orders) >= 5
    assert run.delivered >= (1_000 if behaviour == "floods" else 1)
    assert run.orders == alone.orders
    assert about_trading(run) == about_trading(alone)


def test_not_02_what_a_channel_hears_is_what_was_raised(tmp_path: Path) -> None:
    run = played(tmp_path, "works")
    records = [record for _, record in run.journal.read()]
    raised = [record.notice_id for record in records if isinstance(record, NoticeRaised)]
    assert [record.notice_id for record in records if isinstance(record, DeliveryNoted)] == raised != []
    assert run.kernel.state.outbox == {}
