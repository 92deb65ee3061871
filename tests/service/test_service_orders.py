"""``orders``, ``cancel`` and ``kill``: on a journal with one order of ours, at an exchange of this process."""

from __future__ import annotations

import asyncio
import errno
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from polyhost.cli import kill
from polyhost.cli.main import main
from polyhost.configuration import load_configuration
from polyhost.errors import VenueError
from polyhost.exchange.server import ServerSettings, running
from polyhost.exchange.world import WorldSettings
from polyhost.journal import JournalStore
from polyhost.model.events import Prepared
from polyhost.model.gateway import OrderDraft, OrderRequest
from polyhost.model.market import Market
from polyhost.model.records import MarketAdded, OrderIntended, OrderMoved, OrderPrepared, RunEnded, RunStarted, Slot
from polyhost.model.words import Action, OrderState, OrderType, Purpose, Side
from polyhost.service import direct_kill
from polyhost.service.folder import DataFolder
from polyhost.service.gateway_launch import throwaway_key
from polyhost.venue import clients
from polyhost.venue.polymarket.endpoints import endpoints_at
from polyhost.venue.second.gateway import SecondGateway

from ..unhurried import unhurried

QUIET = ServerSettings(world=WorldSettings(symbols=("BTC",), durations_s=(300,), density=0.0))
WITHIN_S = 60


@contextmanager
def exchange() -> Iterator[Any]:
    """A quiet exchange in a thread of its own: the commands run event loops of theirs."""
    up: list[Any] = []
    ready, done = threading.Event(), threading.Event()

    async def serve() -> None:
        async with running(QUIET) as served:
            up.append(served)
            ready.set()
            while not done.is_set():
                await asyncio.sleep(0.01)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(WITHIN_S)
        with unhurried():
            yield up[0]
    finally:
        done.set()
        thread.join(WITHIN_S)


@contextmanager
def followed(folder: Path, data: str = "") -> Iterator[tuple[Any, Market]]:
    """An exchange, its running window, and a configuration in ``folder`` that names it, and ``data`` if any."""
    with exchange() as up:
        market = max((one for one in up.engine.world.listing(False) if one.start is not None), key=lambda one: one.end)
        host = f'[host]\ndata_dir = "{folder / data}"\n' if data else ""
        (folder / "polyhost.toml").write_text(f'{host}[venue]\nurl = "{up.url}"\n')
        yield up, market


def venue(url: str, job: Callable[[SecondGateway], Any]) -> Any:
    async def go() -> Any:
        gateway = SecondGateway(endpoints_at(url), throwaway_key(1, "main"), selftest=False)
        await gateway.connect()
        try:
            return await job(gateway)
        finally:
            await gateway.close()

    return asyncio.run(go())


def resting(url: str, market: Market, price: int) -> OrderRequest:
    """One order that rests at the venue."""

    async def job(gateway: SecondGateway) -> OrderRequest:
        draft = draft_of(market, price)
        prepared = await gateway.prepare(draft)
        assert isinstance(prepared, Prepared), prepared
        assert (await gateway.post(prepared.request)).outcome == "accepted"
        return prepared.request

    found: OrderRequest = venue(url, job)
    return found


def draft_of(market: Market, price: int) -> OrderDraft:
    return OrderDraft("o000001", market.up, Action.BUY, OrderType.GTC, price, 10_000_000, market.tick, market.neg_risk)


def listed(url: str) -> list[str]:
    async def job(gateway: SecondGateway) -> list[str]:
        return sorted(row.order_id for row in (await gateway.sweep("", 0)).orders)  # type: ignore[union-attr]

    found: list[str] = venue(url, job)
    return found


def journaled(data: Path, market: Market, request: OrderRequest) -> None:
    """A run that was cut off with this order at the venue."""
    slot = Slot(market.condition_id, Side.UP, Purpose.ENTRY)
    store = JournalStore(data / "journal.db", "main")
    store.commit([
        RunStarted(1, "run-1", "0.1.0", "sim", "0", "main"), MarketAdded(2, market, True),
        OrderIntended(3, slot, draft_of(market, 2_000), 0, {"plugin": "grid"}),
        OrderPrepared(4, "o000001", request), OrderMoved(5, "o000001", OrderState.WORKING, "accepted"),
    ])
    store.close()


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict[str, Any]]:
    with pytest.raises(SystemExit) as ended:
        main([*map(str, words), "--json"])
    out = capsys.readouterr().out
    return int(ended.value.code or 0), json.loads(out) if out else {}


def test_ord_17_orders_and_a_kill_without_a_host(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours goes, a person's stays until --all; a broken order client stops nothing; a second kill finds nothing."""
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    with followed(tmp_path, "data") as (up, market):
        ours, persons = resting(up.url, market, 2_000), resting(up.url, market, 1_000)
        journaled(data, market, ours)

        code, told = said(capsys, "orders", "--witness")
        (order,) = told["orders"]
        assert (order["order"], order["order_id"], order["why"], order["venue"]) == (
            "o000001", ours.order_id, "grid", None
        )
        assert told["venue"]["asked"] is False
        assert [line.startswith(("witness", "ledger")) for line in told["witness"]["lines"]] == [True] * 3
        assert (code, told["witness"]["agree"]) == (0, True), told

        code, told = said(capsys, "cancel", "o000001")
        assert (code, told) == (2, {}), "a cancel is journaled by a host"

        real = clients.client_gateway

        def half(client: str, *args: Any, **more: Any) -> Any:
            if client == clients.SECOND:
                raise VenueError("version 9 is installed", endpoint=client)
            return real(client, *args, **more)

        monkeypatch.setattr("polyhost.service.emergency.client_gateway", half)
        code, told = said(capsys, "kill")
        assert (code, told["proved"], told["by"], told["cancelled"]) == (0, True, clients.FIRST, [ours.order_id])
        monkeypatch.undo()
        monkeypatch.chdir(tmp_path)
        assert listed(up.url) == [persons.order_id]
        code, told = said(capsys, "kill")
        assert (code, told["cancelled"], told["live"]) == (0, [], [])
        code, told = said(capsys, "kill", "--all")
        assert (code, told["by"], told["cancelled"]) == (0, clients.SECOND, [persons.order_id])
        assert listed(up.url) == []


def test_ord_17_a_journal_that_cannot_be_read_stops_no_kill(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it says before the damage is cancelled, nobody else's; the rest is named, and --all needs no journal."""
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    with followed(tmp_path, "data") as (up, market):
        ours, whose = resting(up.url, market, 2_000), resting(up.url, market, 1_000)
        journaled(data, market, ours)
        with sqlite3.connect(data / "journal.db") as database:
            database.execute("UPDATE journal SET body = ? WHERE seq = 5", (b"{",))
        database.close()
        code, told = said(capsys, "kill")
        assert (code, told["proved"], told["cancelled"]) == (1, False, [ours.order_id])
        assert told["failed"] == [{"order_id": whose.order_id, "reason": direct_kill.UNSURE}]
        assert any("journal.db" in line for line in told["left"])
        assert listed(up.url) == [whose.order_id]
        (data / "journal.db").write_bytes(b"no database at all" * 100)
        code, told = said(capsys, "kill", "--all")
        assert (code, told["proved"], told["cancelled"]) == (0, True, [whose.order_id])
        assert listed(up.url) == []


def test_con_19_no_client_is_asked_about_orders_of_a_paper_account(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["orders", "--witness", "--set", "host.mode=paper", "--set", "venue.url=http://127.0.0.1:9"])
    assert (ended.value.code, "never leave this machine" in capsys.readouterr().err) == (2, True)


def test_ord_17_a_disk_that_takes_nothing_holds_up_no_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host ended because its disk is full: neither the lock nor a line on the terminal can be written."""
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    with followed(tmp_path, "data") as (up, market):
        ours = resting(up.url, market, 2_000)
        journaled(data, market, ours)

        def full(*args: object, **more: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("polyhost.service.folder.FileIO", type("Full", (FileIO,), {"write": full}))
        monkeypatch.setattr("typer.echo", full)
        with pytest.raises(SystemExit) as ended:
            main(["kill"])
        assert not ended.value.code
        assert listed(up.url) == []
        told: list[str] = []
        monkeypatch.setattr("typer.echo", lambda text, err: told.append(text))
        # The next start says so, and is worth trying again: no wrong configuration (2).
        with pytest.raises(SystemExit) as ended:
            main(["run", "--data-dir", str(data)])
        assert ended.value.code == 1
        assert "the disk takes nothing" in told[-1]


def test_ord_17_in_a_folder_where_nothing_was_run_no_order_is_called_anothers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistyped --data-dir has no journal, so every order of the key looks like a person's: nothing is proved."""
    monkeypatch.chdir(tmp_path)
    with followed(tmp_path) as (up, market):
        ours = resting(up.url, market, 2_000)
        code, told = said(capsys, "kill", "--data-dir", tmp_path / "mistyped")
        assert (code, told["proved"]) == (1, False)
        assert told["failed"] == [{"order_id": ours.order_id, "reason": direct_kill.UNKNOWN}]
        assert listed(up.url) == [ours.order_id]
        code, told = said(capsys, "kill", "--all", "--data-dir", tmp_path / "mistyped")
        assert (code, told["proved"], told["cancelled"]) == (0, True, [ours.order_id])


def test_ord_17_a_kill_of_a_stuck_host_cancels_for_it_and_says_that_it_was_not_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is locked, nobody answers on the socket, nobody takes the file, and no signal is heard."""
    monkeypatch.chdir(tmp_path)
    signalled: list[bool] = []
    monkeypatch.setattr(kill, "_signalled", lambda folder, flatten: signalled.append(flatten) or True)
    monkeypatch.setattr(kill, "FILE_TAKEN_S", 0.01)
    data = tmp_path / "data"
    with followed(tmp_path, "data") as (up, market), DataFolder(data):
        ours = resting(up.url, market, 2_000)
        journaled(data, market, ours)
        code, told = said(capsys, "kill", "--flatten")
        assert (code, told["taken"], told["running"], told["proved"]) == (1, False, True, True)
        assert told["cancelled"] == [ours.order_id]
        assert signalled == [True]
        assert listed(up.url) == []


def test_ord_17_what_cannot_be_cancelled_is_listed_and_nothing_is_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A venue that cancels nothing, and one whose list cannot be read."""
    monkeypatch.setattr(direct_kill, "POLL_S", 0.01)
    with followed(tmp_path) as (up, market):
        loaded = load_configuration(tmp_path / "polyhost.toml", env={})
        ours = resting(up.url, market, 2_000)
        journaled(tmp_path, market, ours)

        async def nothing(self: Any, ids: Any) -> Any:
            raise VenueError("Trading is currently disabled")

        monkeypatch.setattr(SecondGateway, "_revoke", nothing)
        killed = asyncio.run(direct_kill.kill_at_the_venue(loaded, tmp_path, everything=False, within_s=0.05))
        assert not killed.proved
        assert [row["order_id"] for row in killed.live] == [ours.order_id]
        assert [order_id for order_id, _ in killed.failed] == [ours.order_id]

        async def unread(self: Any, path: str, query: Any) -> Any:
            raise VenueError("HTTP 500")

        async def problem(self: Any, *args: Any) -> Any:
            from polyhost.model.events import QueryFailed

            return QueryFailed("sweep", "", "HTTP 500")

        monkeypatch.setattr(SecondGateway, "sweep", problem)
        with pytest.raises(VenueError, match="open orders were not read: HTTP 500"):
            asyncio.run(direct_kill.kill_at_the_venue(loaded, tmp_path, everything=False, within_s=0.05))


def test_ord_17_where_the_exchange_ended_with_its_host_the_journal_is_the_proof(tmp_path: Path) -> None:
    market = Market("btc-updown-5m-0", "0xc0", "101", "102", 900_000, 0)  # type: ignore[arg-type]
    assert asyncio.run(direct_kill.by_the_journal(tmp_path, 0)).proved, "nothing was ever run there"
    store = JournalStore(tmp_path / "journal.db", "main")
    store.commit([
        RunStarted(1, "run-1", "0.1.0", "sim", "0", "main"), MarketAdded(2, market, True),
        OrderIntended(3, Slot("0xc0", Side.UP, Purpose.ENTRY), draft_of(market, 2_000), 0, {}),
    ])
    left = asyncio.run(direct_kill.by_the_journal(tmp_path, 0))
    assert (left.proved, len(left.live), left.by) == (False, 1, "journal")
    store.commit([OrderMoved(4, "o000001", OrderState.CLOSED, "never_sent"), RunEnded(5, "run-1", "kill")])
    store.close()
    assert asyncio.run(direct_kill.by_the_journal(tmp_path, 0)).proved
