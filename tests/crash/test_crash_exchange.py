"""SIM-06: the simulated exchange killed at any write of its state goes on with everything it told anyone."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from polyhost.exchange import api
from polyhost.exchange.server import ServerSettings, store
from polyhost.exchange.server.engine import Engine
from polyhost.exchange.world import WorldSettings
from polyhost.model.money import micros
from polyhost.model.times import MarketMs
from polyhost.model.wallet_kinds import WalletKind
from polyhost.model.wallets import wallet_of
from polyhost.model.words import Action, OrderType

SETTINGS = ServerSettings(world=WorldSettings(symbols=("BTC",), durations_s=(300,), density=0.0))
OWNER = wallet_of("0x" + "0d" * 20, WalletKind.EOA)
ORDERS = 6
SAVE_AFTER = (1, 4)
"""Snapshots are taken after these orders, besides the one at the start."""


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _kill_at(what: str, number: int) -> None:
    """Let the ``number``-th write of the log, or replacement of a file, be this process's last."""
    seen = 0
    kind, _, how = what.partition(" ")

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen != number:
                return real(*args)
            if how == "torn":
                real(args[0], args[1][: len(args[1]) // 2])
            elif how == "after":
                real(*args)
            return _die()

        return call

    name = {"log": "write", "file": "replace"}[kind]
    setattr(os, name, counted(getattr(os, name)))


async def _trade(engine: Engine, prefix: str, tell: Callable[[str], object]) -> None:
    """Rest some orders, cancel every other one; what the exchange answers is told on."""
    market = engine.world.listing(False)[-1]
    if not engine.world.exchange.has_account(OWNER):
        engine.create_key(OWNER, 0)
        tell("key")
    for number in range(ORDERS):
        order = api.NewOrder(
            f"{prefix}{number}", OWNER, "key", market.up, Action.BUY, micros("1"), micros("10"), OrderType.GTC
        )
        posted = await engine.ask(api.Posted, lambda ident, order=order: api.PostOrder(ident, order))  # type: ignore[misc]
        assert posted.http == 200, posted
        tell(f"live {order.order_id}")
        if number % 2:
            await engine.ask(
                api.Canceled,
                lambda ident, order=order: api.CancelOrders(ident, "key", (order.order_id,)),  # type: ignore[misc]
            )
            tell(f"canceled {order.order_id}")
        await _split(engine, f"{prefix}{number}", tell)
        if number in SAVE_AFTER:
            engine.save()


async def _split(engine: Engine, name: str, tell: Callable[[str], object]) -> None:
    """Have the key's Safe split a share: what was told to be on its way is there after a kill."""
    market = engine.world.listing(False)[-1]
    safe = engine.wallets.of(OWNER, WalletKind.SAFE)
    calls = (api.ChainCall("split", market.condition_id, micros("1")),)
    reply = await engine.ask(
        api.TransactionReply, lambda ident: api.Transact(ident, f"0x{name}", safe, calls)
    )
    assert reply.transaction is not None
    tell(f"sent {name}")


def _life(state: Path, prefix: str, what: str = "", number: int = 0) -> tuple[list[str], int]:
    """One life of an exchange in a process of its own: what it told, and how it ended."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            # Told on by a pipe's own end: os.write may be the one that kills.
            with os.fdopen(write, "w", buffering=1) as said:
                if what:
                    _kill_at(what, number)
                engine = Engine(SETTINGS, 1, 1.0, state)
                asyncio.run(_trade(engine, prefix, lambda text: said.write(f"{text}\n")))
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read) as told:
        lines = told.read().splitlines()
    return lines, os.waitpid(pid, 0)[1]


def _statuses(engine: Engine) -> dict[str, str]:
    """Every order of the owner that the exchange knows."""
    found = {}
    for prefix in ("a", "b"):
        for number in range(ORDERS):
            ask = api.GetOrder(engine.world.exchange.request_id(), "key", f"{prefix}{number}")
            for reply in engine.world.handle(ask, MarketMs(engine.clock.now)):
                if isinstance(reply, api.OrderReply) and reply.order is not None:
                    found[f"{prefix}{number}"] = reply.order.row.status
    return found


def _expected(told: list[str]) -> dict[str, str]:
    status = {"live": "LIVE", "canceled": "CANCELED"}
    said = [words for line in told if len(words := line.split()) == 2 and words[0] in status]
    return {name: status[word] for word, name in said}


def _lost(engine: Engine, told: list[str]) -> list[str]:
    """Transactions that somebody was told of and that the exchange does not know."""
    ids = ["0x" + line.split()[1] for line in told if line.startswith("sent ")]
    assert engine.wallets.known() == engine.wallets.all_of(OWNER)
    chain = engine.world.exchange._chain.transactions
    return [name for name in ids if name not in chain]


@pytest.mark.parametrize(
    ("what", "number"),
    [
        ("log before", 2), ("log torn", 1), ("log torn", 4), ("log after", 3), ("log after", 9),
        ("file before", 1), ("file after", 1), ("file before", 2), ("file after", 2),
        ("file before", 3), ("file after", 3), ("file before", 4), ("file after", 4),
    ],
)  # fmt: skip
def test_sim_06_killed_at_a_write_the_exchange_keeps_what_it_told(tmp_path: Path, what: str, number: int) -> None:
    """The log before, in the middle of and after a line; snapshot and new log before and after each takes its place."""
    state = tmp_path / "exchange.json"
    told, status = _life(state, "a", what, number)
    assert os.WIFSIGNALED(status), "the point was never reached"
    assert os.WTERMSIG(status) == signal.SIGKILL
    more, status = _life(state, "b")
    assert status == 0
    assert len(_expected(more)) == ORDERS
    engine = Engine(SETTINGS, 1, 1.0, state)
    try:
        found = _statuses(engine)
        expected = _expected(told) | _expected(more)
        unsure = {f"a{len(_expected(told))}", *list(_expected(told))[-1:]}
        assert {name: found[name] for name in expected if name not in unsure} == {
            name: status for name, status in expected.items() if name not in unsure
        }
        assert expected.keys() <= found.keys() <= expected.keys() | unsure
        assert engine.world.exchange.audit() == []
        assert _lost(engine, told + more) == []
        live = sum(status == "LIVE" for status in found.values())
        account = engine.world.exchange._bank.accounts[OWNER]
        assert sum(account.buying.values()) == live * micros("1"), "what rests is reserved, once"
    finally:
        engine.store.close()


def test_an_exchange_that_forgets_its_log_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.Store, "append", lambda self, entry: None)
    state = tmp_path / "exchange.json"
    told, status = _life(state, "a", "file before", 5)
    assert os.WIFSIGNALED(status)
    assert _expected(told)
    _life(state, "b")
    engine = Engine(SETTINGS, 1, 1.0, state)
    engine.store.close()
    assert not (_expected(told).keys() <= _statuses(engine).keys())
    assert _lost(engine, told) != []
