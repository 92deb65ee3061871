"""NOT-02 by the wall clock: real plugins that fail, hang or flood, beside orders that leave."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from polyhost.extension.delivery import channels_of
from polyhost.extension.discovery import discover
from polyhost.extension.runner import Runner
from polyhost.journal import MemoryJournal
from polyhost.kernel.kernel import Kernel
from polyhost.model.commands import Command, Post
from polyhost.model.events import Event, LoopChanged, RunBegan
from polyhost.model.records import RunEnded
from polyhost.model.step import Step
from polyhost.service.engine import Engine
from polyhost.settings import Configuration

from .test_service_engine import Clock, post, soon

pytestmark = pytest.mark.alone  # it measures when orders leave

PLUGIN = """
import time
from polyhost import Plugin, hookimpl

class Bad(Plugin):
    name = "bad"

    @hookimpl
    def notify(self, notice, channel):
        if {behaviour!r} == "fails":
            raise ConnectionError("503")
        if {behaviour!r} == "hangs":
            time.sleep({hangs_s})
        for number in range(2_000 if {behaviour!r} == "floods" else 0):
            self.log.debug("flood {{}}", number)
"""
ORDERS = 200
LATE_S = 0.25
"""Far above what an order takes (well under a millisecond), far below what the channel takes: half of the orders …"""
HANGS_S = 30.0
"""… and every one long before a channel that hangs."""


class Gateway:
    """Keeps when each post left, monotonic seconds."""

    def __init__(self) -> None:
        self.left: dict[str, float] = {}

    async def execute(self, command: Command) -> list[Event]:
        if isinstance(command, Post):
            self.left[command.request.order_id] = time.monotonic()
        return []


@pytest.mark.parametrize("behaviour", ["fails", "hangs", "floods"])
@pytest.mark.parametrize("trusted", [True, False])
def test_not_02_orders_leave_at_once_whatever_the_channel_does(tmp_path: Path, behaviour: str, trusted: bool) -> None:
    (tmp_path / "bad.py").write_text(PLUGIN.format(behaviour=behaviour, hangs_s=HANGS_S))
    table = {"plugin_paths": [str(tmp_path)], "plugins": {"bad": {"trusted": trusted}}}
    plugins = discover(Configuration.model_validate(table))
    runner = Runner(plugins, "additive")
    runner.start()
    gateway, wanted = Gateway(), dict[str, float]()
    kernel = Kernel(Configuration(), channels=channels_of(plugins))

    async def body() -> None:
        journal = MemoryJournal()
        engine = Engine(kernel, Clock(), gateway, runner, journal, None, None, follow=lambda command: None)
        engine.event(RunBegan("run-1", "0.1.0", "sim", "hash", "main"))
        for number in range(ORDERS):
            engine.event(LoopChanged(f"loop {number}", False, "test", safety=False))  # a notice each
            order: Any = post(number)
            wanted[order.request.order_id] = time.monotonic()
            engine.carry_out(Step([RunEnded(number, "run", "test")], [order]))
            await soon()
            assert order.request.order_id in gateway.left, "not within a few turns of the event loop"
        assert engine.broken is None
        await engine.close()

    try:
        asyncio.run(body())
    finally:
        runner.stop()
    assert len(gateway.left) == ORDERS
    late = sorted(gateway.left[order_id] - since for order_id, since in wanted.items())
    assert late[len(late) // 2] < LATE_S
    assert late[-1] < HANGS_S / 2
    assert len(kernel.state.outbox) >= (0 if behaviour == "floods" else ORDERS), "the channel took nothing"
