"""B4: from a market message to the arrival of the order's POST, through the official client, with the durable commit.

Once with the client in this process, and once through the gateway process as a run has it: the hop is the difference.
The venue is a bare socket in a process of its own that notes when the first byte of each POST arrives (CLOCK_MONOTONIC
is one clock for all processes). Between lies the shipped shell: engine, kernel, built-in plugins, journal on disk.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from polyhost import Enter, Estimate, Plugin, Settings, View, hookimpl
from polyhost.configuration import load_configuration
from polyhost.extension.discovery import discover
from polyhost.extension.runner import Runner
from polyhost.journal import JournalWriter
from polyhost.kernel.kernel import Kernel
from polyhost.model.commands import Command
from polyhost.model.events import (
    BalanceSeen,
    Event,
    MarketFound,
    MarketResolved,
    PositionsSeen,
    RunBegan,
    StreamChanged,
    SweepDone,
)
from polyhost.model.market import Market
from polyhost.model.messages import Level, Message
from polyhost.model.proposals import Proposal, Stake, Trigger
from polyhost.model.times import MarketMs
from polyhost.model.words import Side
from polyhost.service.engine import Engine
from polyhost.service.run import SWITCH_S
from polyhost.venue.budget import Budget
from polyhost.venue.contract import Gateway
from polyhost.venue.gatekeeper.client import GatewayProcess
from polyhost.venue.gatekeeper.launch import Launch, Policy
from polyhost.venue.polymarket.endpoints import endpoints_at
from polyhost.venue.polymarket.gateway import PolymarketGateway

ORDERS = 120
WARM_UP = 20
PACE = 1_000.0
"""Times the venue's pace of orders: they come quicker here than its 40 a second, and no wait for it is measured."""
KEY = "0x" + "11" * 32
TOKENS = (1 << 200) + (1 << 70)
"""Ids with no bit among 40 to 103 would be position ids of another protocol version."""
REFUSED = (
    b'{"error":"no orders found to match with FAK order. '
    b'FAK orders are partially filled or killed if no match is found."}'
)


def token_of(number: int, side: int) -> str:
    return str(TOKENS + number * 10 + side)


def venue(port: Any, out: Any) -> None:
    """The bare venue: enough answers for the client, and the arrival time of each order."""
    listener = socket.create_server(("127.0.0.1", 0))
    port.send(listener.getsockname()[1])
    import threading

    def serve(connection: socket.socket) -> None:
        rest = b""
        while True:
            chunk = connection.recv(65_536)
            at = time.monotonic_ns()
            if not chunk:
                return
            rest += chunk
            while b"\r\n\r\n" in rest:
                head, _, body = rest.partition(b"\r\n\r\n")
                length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n")
                               if line.lower().startswith(b"content-length")), 0)
                while len(body) < length:
                    body += connection.recv(65_536)
                rest = body[length:]
                path = head.split(b" ", 2)[1].decode()
                connection.sendall(answer(path, at))

    def answer(path: str, at: int) -> bytes:
        status, body = "200 OK", b"{}"
        if path == "/order":
            out.send(at)
            status, body = "400 Bad Request", REFUSED
        elif path.startswith("/auth/api-key"):
            body = b'{"apiKey":"00000000-0000-0000-0000-000000000001","secret":"c2VjcmV0","passphrase":"p"}'
        elif path.startswith("/markets-by-token/"):
            token = path.rsplit("/", 1)[1]
            number = (int(token) - TOKENS) // 10
            body = json.dumps({"condition_id": f"0x{number:064x}", "primary_token_id": token,
                               "secondary_token_id": token}).encode()
        elif path.startswith("/clob-markets/"):
            number = int(path.rsplit("/", 1)[1], 16)
            body = json.dumps({"t": [{"t": token_of(number, 1), "o": "Up"}, {"t": token_of(number, 2), "o": "Down"}],
                               "mos": 5, "mts": 0.01, "nr": False, "fd": {"r": 0.07, "e": 1, "to": True}}).encode()
        return b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
            status.encode(), len(body), body)

    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


class Sniper(Plugin):
    """Buys UP when its ask falls to 0.60, told by a trigger."""

    name = "sniper"
    Settings = Settings

    @hookimpl
    def propose(self, view: View, estimates: tuple[tuple[str, Estimate], ...]) -> list[Proposal]:
        if view.up.ask <= 6_000:
            return [Enter(Side.UP, 6_000, "cheap", edge=1.0)]
        return [Trigger(Side.UP, "ask", "below", 6_000)]

    @hookimpl
    def size(self, view: View, entry: Enter) -> Stake:
        return Stake(5_000_000)


class Clock:
    """The machine's clock as market time."""

    def now(self) -> MarketMs:
        return MarketMs(time.time_ns() // 1_000_000)

    def wall_seconds(self, market_ms: float) -> float:
        return market_ms / 1_000


class Timed:
    """The gateway, with the time of its parts."""

    def __init__(self, gateway: Gateway, process: bool) -> None:
        """``process``: it sends a command at once; a client in this process begins when it is awaited."""
        self.gateway = gateway
        self.process = process
        self.signing: list[int] = []
        self.posted: list[int] = []
        self.prepared: list[int] = []

    def execute(self, command: Command) -> Coroutine[Any, Any, list[Event]]:
        name = type(command).__name__
        start = time.monotonic_ns()
        if name == "Prepare":
            return self._prepared(self.gateway.execute(command), start)
        if name == "Post":
            self.posted.append(start)
        return self.gateway.execute(command) if name in ("Post", "Cancel") else nothing()

    async def _prepared(self, asked: Coroutine[Any, Any, list[Event]], start: int) -> list[Event]:
        start = start if self.process else time.monotonic_ns()
        events = await asked
        self.prepared.append(time.monotonic_ns())
        self.signing.append(self.prepared[-1] - start)
        return events


async def nothing() -> list[Event]:
    return []


@contextmanager
def served() -> Iterator[tuple[int, Any]]:
    """The bare venue in its own process."""
    context = multiprocessing.get_context("spawn")
    port, port_there = context.Pipe()
    arrivals, arrivals_there = context.Pipe()
    process = context.Process(target=venue, args=(port_there, arrivals_there), daemon=True)
    process.start()
    try:
        yield port.recv(), arrivals
    finally:
        process.terminate()
        process.join()


def window(number: int, now: int) -> Market:
    return Market(
        f"bench-{number}", f"0x{number:064x}", token_of(number, 1), token_of(number, 2),
        MarketMs(now + 900_000), start=MarketMs(now - 60_000), symbol=f"S{number}", duration_s=900,
    )


def book(number: int, ask: str) -> Message:
    bids, asks = [Level("0.55", "500")], [Level(ask, "500")]
    return Message(event_type="book", asset_id=token_of(number, 1), bids=bids, asks=asks)


class Parts(NamedTuple):
    """Medians of one way, in microseconds."""

    whole: float
    """From the message to the first byte at the venue."""
    overhead: float
    """The host's own: without signing, commit and what comes after the post."""
    overhead_p99: float
    signing: float
    """From the wish to the signed order, with the way there and back."""
    commit: float
    posting: float
    """From the word to post to the first byte at the venue."""


def gateway_at(port: int, folder: Path, process: bool) -> Gateway:
    """The client's gateway, here or in its process; not connected."""
    endpoints = endpoints_at(f"http://127.0.0.1:{port}")
    if not process:
        return PolymarketGateway(endpoints, KEY, selftest=False, fast=True, budget=Budget(scale=lambda: PACE))
    much = 1_000_000_000_000
    launch = Launch.of(
        folder, account="bench", key={"throwaway": KEY}, policy=Policy(much, much, much), place="loopback",
        selftest=False, share=PACE,
    )
    found = GatewayProcess(launch, log=folder / "gateway.log")
    found.at(endpoints)
    return found


async def _measure(port: int, arrivals: Any, folder: Path, process: bool) -> Parts:
    settings = load_configuration(None, {}, {}).configuration
    kernel = Kernel(settings, "bench")
    kernel.analyse = False
    plugins = discover(settings)
    from polyhost.extension.discovery import LoadedPlugin
    from polyhost.extension.specification import implementations
    from polyhost.extension.state import PluginState

    sniper = Sniper(Settings())
    own = LoadedPlugin("sniper", "inline", plugins[0].source, True, instance=sniper, durable=PluginState("sniper"),
                       bound=(bound := implementations(sniper, "sniper")), hooks=tuple(bound))
    runner = Runner((*plugins, own), settings.evaluation.combiner)
    gateway = gateway_at(port, folder, process)
    await gateway.connect()
    timed = Timed(gateway, process)
    loop = asyncio.get_running_loop()
    engine: Engine
    durable_at: list[int] = []

    def durable(seq: int) -> None:
        durable_at.append(time.monotonic_ns())
        loop.call_soon_threadsafe(engine.durable, seq)

    journal = JournalWriter(folder / "journal.db", "bench", durable, lambda error: None)
    engine = Engine(kernel, Clock(), timed, runner, journal, None, None, follow=lambda command: None)
    engine.event(RunBegan("bench", "0", "sim", "", "bench"))
    engine.event(BalanceSeen(1_000_000_000, True))
    engine.event(StreamChanged("user", True, 1))
    engine.event(SweepDone("", (), (), True, begun=engine.wall()))
    engine.event(PositionsSeen((), True, begun=engine.wall()))
    heard: asyncio.Queue[int] = asyncio.Queue()
    loop.add_reader(arrivals.fileno(), lambda: heard.put_nowait(arrivals.recv()))
    totals, before_post, commits, posting = [], [], [], []
    for number in range(1, ORDERS + WARM_UP + 1):
        market = window(number, Clock().now())
        engine.event(MarketFound(market))
        await gateway.warm(market)
        engine.event(BalanceSeen(1_000_000_000, True))
        engine.frame(b"{}", [book(number, "0.65")])
        engine.turn()
        await asyncio.sleep(0.002)
        signed, posted, kept = len(timed.signing), len(timed.posted), len(durable_at)
        start = time.monotonic_ns()
        engine.frame(b"{}", [book(number, "0.60")])
        arrived = await asyncio.wait_for(heard.get(), 5)  # no polling: the journal's thread shares the interpreter
        engine.frame(b"{}", [book(number, "0.65")])
        await asyncio.sleep(0.003)
        # As in a run: a window that is over is settled, and no longer among the markets with something at risk.
        engine.event(MarketResolved(market.condition_id, Side.UP, "bench"))
        assert len(timed.posted) == posted + 1, "one order a round"
        if number > WARM_UP:
            totals.append((arrived - start) / 1_000)
            posting.append((arrived - timed.posted[-1]) / 1_000)
            after = [at for at in durable_at[kept:] if at >= timed.prepared[-1]]
            commit = (after[0] - timed.prepared[-1]) / 1_000
            commits.append(commit)
            before_post.append((timed.posted[-1] - start - timed.signing[signed]) / 1_000 - commit)
    signing = [ns / 1_000 for ns in timed.signing[-ORDERS:]]
    loop.remove_reader(arrivals.fileno())
    await engine.close()
    journal.close()
    await gateway.close()
    runner.stop()
    overhead = sorted(before_post)
    median = statistics.median
    return Parts(
        median(totals), median(overhead), overhead[int(len(overhead) * 0.99) - 1], median(signing), median(commits),
        median(posting),
    )


def measure() -> list[dict[str, Any]]:
    found = []
    sys.setswitchinterval(SWITCH_S)  # as a run does
    for process in (False, True):
        with served() as (port, arrivals), tempfile.TemporaryDirectory() as folder:
            found.append(asyncio.run(_measure(port, arrivals, Path(folder), process)))
    here, there = found
    hops = there.signing - here.signing, there.posting - here.posting
    return [
        {
            "id": "B4", "what": "message in to POST at the venue, through the gateway process, durable",
            "orders": ORDERS, "whole_us_p50": round(there.whole), "overhead_us_p50": round(there.overhead),
            "overhead_us_p99": round(there.overhead_p99), "signing_us_p50": round(there.signing),
            "commit_us_p50": round(there.commit), "hop_to_sign_us_p50": round(hops[0]),
            "hop_to_post_us_p50": round(hops[1]), "without_hops_us_p50": round(here.whole),
            "ratio": f"{there.whole / 1_000:.2f} ms", "budget": "1.6 ms without the hops",
            "ok": there.whole - sum(hops) <= 1_600 and there.overhead <= 150 and there.overhead_p99 <= 400,
        }
    ]
