"""Views and loaded plugins for the tests of this part, built from a few words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from polyhost import Candle, Funds, Market, PositionView, Quote, Side, View
from polyhost.extension import Deadlines, LoadedPlugin, Runner, discover
from polyhost.model.times import MarketMs
from polyhost.settings import Configuration

MINUTE = 60_000
SHARE = 1_000_000
PATIENT = Deadlines(answer_ms=60_000, life_ms=80_000, start_ms=60_000, deliver_ms=60_000)
"""Deadlines that any test machine meets; tests of missed deadlines set their own."""


def be_patient(runner: Runner) -> None:
    """From here on no deadline is missed that is not meant to be."""
    runner._deadlines = PATIENT
    for foreign in runner._foreign.values():
        foreign.deadlines = PATIENT


def view(seq: int = 1, *, positions: Sequence[PositionView] = (), **changes: Any) -> View:
    """A BTC window half way through, quoted 0.50/0.51."""
    market = Market("btc-updown-15m-900", "0xabc", "11", "12", MarketMs(30 * MINUTE), MarketMs(15 * MINUTE), "BTC", 900)
    up, down = Quote(5_000, 5_100, SHARE, SHARE), Quote(4_900, 5_000, SHARE, SHARE)
    plain = View(
        view_seq=seq,
        state_rev=7,
        book_epoch=3,
        now=22 * MINUTE,
        market=market,
        up=up,
        down=down,
        bids=((5_000, SHARE),),
        asks=((5_100, SHARE),),
        book_age_ms=5,
        mids=((21 * MINUTE, 5_050),),
        spot=100_000.5,
        spot_age_ms=20,
        spot_open=100_000.0,
        candles=(Candle(21 * MINUTE, 1.0, 2.0, 0.5, 1.5, 10.0),),
        strike=100_000.0,
        reference=None,
        positions=tuple(positions),
        orders=(),
        funds=Funds(1_000 * SHARE, 0, 0, 0),
    )
    return msgspec.structs.replace(plain, **changes)


def position(side: Side = Side.UP) -> PositionView:
    return PositionView(side, 10 * SHARE, 10 * SHARE, 5_000, 5 * SHARE, 20 * MINUTE)


HEADER = '''
from __future__ import annotations
import os, sys, time
from polyhost import *
'''


def plugin_file(folder: Path, name: str, body: str, header: str = HEADER) -> Path:
    """A single-file plugin: ``body`` is the inside of its class, without indentation."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    path = folder / f"{name}.py"
    path.write_text(f'{header}\nclass Made(Plugin):\n    name = "{name}"\n{lines}\n')
    return path


def load(
    folder: Path, tables: dict[str, dict[str, Any]], combiner: str = "additive", deadlines: Deadlines = PATIENT
) -> tuple[LoadedPlugin, ...]:
    """Discover in a folder of single files and nowhere else; those not named are left out."""
    configuration = Configuration.model_validate(
        {"plugin_paths": [str(folder)], "plugins": tables, "evaluation": {"combiner": combiner}}, strict=False
    )
    found = discover(configuration, folder, "polyhost.toml", points=(), deadlines=deadlines)
    return tuple(plugin for plugin in found if plugin.state != "available")


def runner(
    folder: Path,
    bodies: dict[str, str],
    *,
    inline: bool = True,
    combiner: str = "additive",
    deadlines: Deadlines = PATIENT,
    foreign: Sequence[str] = (),
    **more: Any,
) -> Runner:
    """A runner of plugins given by their class bodies, in this order; ``foreign`` ones run in processes always."""
    for name, body in bodies.items():
        plugin_file(folder, name, body)
    tables = {name: {"trusted": inline and name not in foreign} for name in bodies}
    return Runner(load(folder, tables, combiner, deadlines), combiner, deadlines, **more)
