"""The fixtures of the test kit, found by pytest through the entry point ``pytest11``.

Loaded in every test run where polyhost is installed, also those that have nothing to do with it: so it imports nothing
but pytest, and a fixture imports what it needs when it is used. ``-p no:polyhost`` leaves it out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from polyhost.model.market import Market
    from polyhost.model.view import View
    from polyhost.plugin import Plugin
    from polyhost.testing.bench import Bench, BookStep
    from polyhost.testing.host import HostRun, SimExchange, Under
    from polyhost.testing.tapes import TapeBuilder


@pytest.fixture
def bench() -> Callable[..., Bench]:
    """``bench(MyPlugin, holding=up(12), my_setting=3)``: feed it books and ticks, read its answers."""

    def make(plugin: type[Plugin], **more: Any) -> Bench:
        from polyhost.testing.bench import Bench

        return Bench(plugin, **more)

    return make


@pytest.fixture
def view() -> Callable[..., View]:
    """``view(300, up="0.40/0.41", spot=80_000.0)``: a window 300 s after its start, for hooks called directly."""
    from polyhost.testing.builders import view as make

    return make


@pytest.fixture
def book() -> Callable[..., BookStep]:
    """``book("0.40/0.41", depth=3)``: a book to feed to a bench."""
    from polyhost.testing.bench import book as make

    return make


@pytest.fixture
def window() -> Callable[..., Market]:
    """``window(minutes=5, symbol="ETH")``: a market with its times and rules."""
    from polyhost.testing.builders import market as make

    return make


@pytest.fixture
def tape(tmp_path: Path) -> Callable[..., TapeBuilder]:
    """``tape(minutes=15).quotes("0.40/0.41").spot(80_000.0).settle(Side.UP).write()``: a recording to run over."""

    def make(minutes: int = 15, name: str = "tape") -> TapeBuilder:
        from polyhost.testing.tapes import TapeBuilder

        return TapeBuilder(tmp_path / f"{name}.jsonl", minutes)

    return make


@pytest.fixture
def sim_exchange() -> Callable[..., SimExchange]:
    """``sim_exchange(seed=3)``: the simulated venue with a population and an account of one's own, in virtual time."""

    def make(seed: int = 1, **more: Any) -> SimExchange:
        from polyhost.testing.host import SimExchange

        return SimExchange(seed, **more)

    return make


@pytest.fixture
def running_host() -> Callable[..., HostRun]:
    """``running_host(MyPlugin, tape=path)``: the whole host around it, in virtual time; see polyhost.testing."""

    def make(*plugins: Under, **more: Any) -> HostRun:
        from polyhost.testing.host import running_host as run

        return run(*plugins, **more)

    return make
