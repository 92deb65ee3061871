"""SIM-06: the exchange's own durable state; killed at any moment it goes on with what it told its clients."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyhost.exchange import api
from polyhost.exchange.server import ServerSettings, StateError, engine
from polyhost.exchange.server.store import Asked, KeyMade, Reached, Store, asked, request_of
from polyhost.exchange.world import WorldSettings
from polyhost.model.times import MarketMs

from ..unhurried import PATIENCE_S

SERVER = """
import sys
from pathlib import Path
from polyhost.exchange.server import ServerSettings, run_server
from polyhost.exchange.world import WorldSettings
settings = ServerSettings(world=WorldSettings(symbols=("BTC",), durations_s=(300,), density=float(sys.argv[3])))
run_server(settings, speed=float(sys.argv[4]), state=Path(sys.argv[1]), ready_file=Path(sys.argv[2]))
"""


class _Address:
    """What the helpers need of a server in another process."""

    def __init__(self, ready: dict[str, Any]) -> None:
        self.url, self.ws_url = ready["url"], ready["ws_url"]


def _started(tmp_path: Path, density: float = 0.0, speed: float = 20.0) -> tuple[subprocess.Popen[bytes], _Address]:
    ready = tmp_path / "ready.json"
    ready.unlink(missing_ok=True)
    state = tmp_path / "state" / "exchange.json"
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(state), str(ready), str(density), str(speed)], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + PATIENCE_S
    while not ready.exists():
        assert process.poll() is None, "the server ended"
        assert time.monotonic() < deadline, "the server did not come up"
        time.sleep(0.01)
    told = json.loads(ready.read_text())
    assert told["pid"] == process.pid
    return process, _Address(told)


def _ended(process: subprocess.Popen[bytes], by: signal.Signals) -> int:
    process.send_signal(by)
    return process.wait(timeout=PATIENCE_S)


async def _window(wire: Any, up: Any) -> dict[str, Any]:
    """A window that has minutes left, as Gamma shows it."""
    shown = await wire.get(up, "/markets/keyset", limit="50")
    return max((m for m in shown["markets"] if "eventStartTime" in m), key=lambda m: m["endDate"])


def test_sim_06_a_killed_exchange_goes_on_with_orders_trades_balances_and_keys(wire: Any, tmp_path: Path) -> None:
    async def trade(up: Any) -> tuple[str, str, Any, Any]:
        market = await _window(wire, up)
        token, other = json.loads(market["clobTokenIds"])
        async with wire.official(up) as maker, wire.official(up, wire.OTHER_KEY) as taker:
            rests = await maker.post_order(
                await maker.create_limit_order(asset_id=other, price="0.45", size="20", side="BUY")
            )
            bought = await taker.post_order(
                await taker.create_limit_order(asset_id=token, price="0.55", size="10", side="BUY")
            )
            return rests.order_id, bought.trade_ids[0], taker.credentials, market["conditionId"]

    async def look(up: Any, before: tuple[str, str, Any, Any]) -> None:
        order_id, trade_id, credentials, condition = before
        async with wire.official(up) as maker, wire.official(up, wire.OTHER_KEY) as taker:
            assert taker.credentials == credentials
            order = await maker.get_order(order_id=order_id)
            assert (order.status, order.size_matched, order.condition_id) == ("LIVE", 10, condition)
            (seen,) = (await taker.list_account_trades().first_page()).items
            assert (seen.id, seen.size) == (trade_id, 10)
            cash = await taker.get_balance_allowance(asset_type="COLLATERAL")
            assert cash.balance == 1_000_000_000 - 5_500_000 - 173_250
            assert (await maker.cancel_order(order_id=order_id)).canceled

    process, address = _started(tmp_path)
    try:
        before = asyncio.run(trade(address))
        assert _ended(process, signal.SIGKILL) == -signal.SIGKILL
        process, address = _started(tmp_path)
        asyncio.run(look(address, before))
        assert _ended(process, signal.SIGTERM) == 0
        assert not (tmp_path / "ready.json").exists()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _lasting(trade: Any) -> tuple[Any, ...]:
    """What of a trade never changes; its status goes on."""
    return trade.id, trade.price, trade.size, trade.maker_orders, trade.matched_at


def test_sim_06_fills_told_before_a_kill_are_there_after_it(wire: Any, tmp_path: Path) -> None:
    """A busy market fills an order; the kill comes right after the fill was told, long before any snapshot."""

    async def fill(up: Any) -> Any:
        market = await _window(wire, up)
        token = json.loads(market["clobTokenIds"])[0]
        async with wire.official(up) as client:
            posted = await client.post_order(
                await client.create_market_order(asset_id=token, side="BUY", amount="9.5", max_price="0.95")
            )
            seen = (await client.list_account_trades().first_page()).items
            assert {trade.id for trade in seen} == set(posted.trade_ids)
            assert seen
            return seen, await client.get_balance_allowance(asset_type="COLLATERAL")

    async def look(up: Any) -> Any:
        async with wire.official(up) as client:
            seen = (await client.list_account_trades().first_page()).items
            return seen, await client.get_balance_allowance(asset_type="COLLATERAL")

    process, address = _started(tmp_path, density=20.0)
    try:
        before, cash_before = asyncio.run(fill(address))
        _ended(process, signal.SIGKILL)
        process, address = _started(tmp_path, density=20.0)
        after, cash_after = asyncio.run(look(address))
        assert [_lasting(trade) for trade in after] == [_lasting(trade) for trade in before]
        assert cash_after == cash_before
        assert _ended(process, signal.SIGINT) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_sim_06_market_time_goes_on_from_the_state_and_never_back(wire: Any, tmp_path: Path) -> None:
    state = tmp_path / "exchange.json"

    async def run_on(up: Any) -> int:
        until = up.engine.clock.now + 120_000
        async with asyncio.timeout(PATIENCE_S):
            while up.engine.clock.now < until:
                await asyncio.sleep(0.005)
        return int(up.engine.clock.now)

    async def now(up: Any) -> int:
        return int(up.engine.clock.now)

    reached = wire.on_exchange(run_on, speed=400.0, free_running=True, state=state)
    assert reached <= wire.on_exchange(now, state=state) < reached + 60_000


def test_sim_06_unusable_state_is_refused_with_its_reason(wire: Any, tmp_path: Path) -> None:
    async def nothing(up: Any) -> None:
        assert up.port > 0

    state = tmp_path / "exchange.json"
    wire.on_exchange(nothing, state=state)
    with pytest.raises(StateError, match="belongs to seed 1, not 2"):
        wire.on_exchange(nothing, state=state, seed=2)
    other = ServerSettings(world=WorldSettings(symbols=("ETH",), durations_s=(300,), density=0.0))
    with pytest.raises(StateError, match="symbols"):
        wire.on_exchange(nothing, settings=other, state=state)
    state.write_bytes(b"{")
    with pytest.raises(StateError, match="is no state of an exchange"):
        wire.on_exchange(nothing, state=state)
    state.write_bytes(b'{"version": 99}')
    with pytest.raises(StateError, match="state version 99"):
        wire.on_exchange(nothing, state=state)


def test_sim_06_an_exchange_that_was_down_for_long_goes_on_from_the_wall_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The population comes back at the wall clock's time, never before it: market time does not go back."""
    settings = ServerSettings(world=WorldSettings(symbols=("BTC",), durations_s=(300,), density=20.0))
    wall = [1_800_000_000_000]
    monkeypatch.setattr(engine, "wall_ms", lambda: wall[0])
    for away_ms in (0, 120_950, 60_001, 90_400):
        wall[0] += away_ms
        up = engine.Engine(settings, 1, 20.0, tmp_path / "exchange.json")
        assert up.clock.now == wall[0]
        assert up.world.next_due >= up.clock.now
        up.step(MarketMs(wall[0] + 2_000))
        wall[0] = up.clock.now
        up.stop()


def test_per_04_snapshot_and_log_belong_together(tmp_path: Path) -> None:
    """A log of an older snapshot is ignored, a half-written last line too; a broken line in the middle is told."""
    path = tmp_path / "exchange.json"
    store = Store(path)
    assert store.load() is None
    store.save({"a": 1})
    store.append(Reached(5))
    store.mark(5)
    store.append(KeyMade(6, "0xabc", 0))
    store.close()
    again = Store(path)
    loaded = again.load()
    assert loaded is not None
    assert loaded[0]["a"] == 1
    assert loaded[1] == [Reached(5), Reached(5), KeyMade(6, "0xabc", 0)]
    with open(store.log_path, "ab") as log:
        log.write(b'{"type":"reached","at":')
    assert (Store(path).load() or ({}, []))[1] == loaded[1]
    with open(store.log_path, "ab") as log:
        log.write(b'\n{"type":"reached","at":9}\n')
    with pytest.raises(StateError, match="line 5 is broken"):
        Store(path).load()
    old = store.log_path.read_bytes()
    again.save({"a": 2})
    again.close()
    store.log_path.write_bytes(old)
    assert (Store(path).load() or ({}, []))[1] == []


@given(st.integers(0, 2**53), st.lists(st.text(max_size=8), max_size=3), st.booleans())
def test_per_04_logged_requests_come_back_as_they_were(ident: int, ids: list[str], every: bool) -> None:
    request = api.CancelOrders(ident, "key", None if every else tuple(ids), "0x1", "2")
    entry = asked(request, 7)
    assert isinstance(entry, Asked)
    assert request_of(entry) == request
    assert asked(api.GetOrder(1, "key", "0x"), 7) is None
