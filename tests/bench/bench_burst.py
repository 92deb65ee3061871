"""B5: a burst of market frames drained from a socket into the books, against a bare ``websockets`` receive loop.

A server in a process of its own has every frame in its send queue before the clock starts; both sides receive the same
bytes in interleaved rounds. The bare side counts frames. Ours is the stream as the host runs it (link, rotation,
tracks, typed decoding) and the kernel's feed behind it; every frame must arrive, and no message may name a token that
is not followed. Rates are of the receiver's own CPU time: on a machine of two cores the sender is busy beside it.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import statistics
import struct
import time
from multiprocessing.connection import Connection
from typing import Any, Final

from bench_feed import wire
from generate import START
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from polyhost.kernel.kernel import Kernel
from polyhost.lab.backtest import rare_collections
from polyhost.model.events import Event, MarketFound
from polyhost.model.market import Market
from polyhost.model.messages import Message
from polyhost.settings import Configuration
from polyhost.venue.polymarket.gamma import market_of
from polyhost.venue.polymarket.streams import MarketStream

FRAMES: Final = 200_000
ROUNDS: Final = 5
BUDGET: Final = 0.5
"""Of the bare receive loop."""
WITHIN_S: Final = 60.0


def framed(payload: bytes) -> bytes:
    """A whole text frame of a server (RFC 6455, section 5.2): not masked, not fragmented."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 1 << 16:
        return struct.pack(">BBH", 0x81, 126, size) + payload
    return struct.pack(">BBQ", 0x81, 127, size) + payload


def _frames(catalogue: list[str], messages: list[bytes]) -> list[bytes]:
    """The first two windows' messages again and again, as many as the burst has; books come first."""
    first = {market_of(json.loads(text)).condition_id.encode() for text in catalogue[:2]}
    mine = [raw for raw in messages if any(condition in raw for condition in first)]
    return (mine * (FRAMES // len(mine) + 1))[:FRAMES]


def _server(told: Connection) -> None:
    """Serve the burst to each connection, after its first message; the port is told."""
    blob = b"".join(framed(raw) for raw in _frames(*wire(40_000)))

    async def burst(connection: ServerConnection) -> None:
        await connection.recv()
        connection.transport.write(blob)
        await connection.wait_closed()

    async def main() -> None:
        async with serve(burst, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
            told.send(server.sockets[0].getsockname()[1])
            await asyncio.get_running_loop().run_in_executor(None, told.recv)

    asyncio.run(main())


async def bare(url: str) -> float:
    """CPU seconds to receive the burst, and nothing else."""
    async with connect(url, compression=None, ping_interval=None, max_queue=None) as link:
        await link.send("{}")
        await link.recv()
        begin = time.process_time()
        for _ in range(FRAMES - 1):
            await link.recv(decode=False)
        return time.process_time() - begin


async def ours(url: str, markets: list[Market]) -> float:
    """CPU seconds from the burst to the books, with every frame taken."""
    kernel = Kernel(Configuration())
    for market in markets:
        kernel.handle(MarketFound(market), START - 1_000, START - 1_000)
    feed, seen, done = kernel.feed, 0, asyncio.Event()
    begin = 0.0

    def on_frame(raw: bytes, messages: list[Message]) -> None:
        nonlocal seen, begin
        if not seen:
            begin = time.process_time()
        seen += 1
        for message in messages:
            feed(message, START - 1_000)
        if seen == FRAMES:
            done.set()

    def on_event(event: Event) -> None:
        """Connection changes are not what is measured."""

    stream = MarketStream(url, on_frame=on_frame, on_event=on_event)
    for market in markets:
        stream.follow(market)
    task = asyncio.create_task(stream.run())
    await asyncio.wait_for(done.wait(), WITHIN_S)
    seconds = time.process_time() - begin
    stream.close()
    await task
    assert kernel.counters["unknown_tokens"] == 0, kernel.counters
    assert stream.decoder.bad == 0, stream.decoder.problem
    assert stream.epoch == 1, f"{stream.epoch - 1} connections were lost in the burst"
    return seconds


def measure() -> list[dict[str, Any]]:
    catalogue, _ = wire(1)
    markets = [market_of(json.loads(text)) for text in catalogue[:2]]
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=_server, args=(there,), daemon=True)
    server.start()
    try:
        url = f"ws://127.0.0.1:{here.recv()}"
        seconds: dict[str, list[float]] = {"ours": [], "bare": []}
        with rare_collections():
            for number in range(ROUNDS):
                for side in ("ours", "bare") if number % 2 else ("bare", "ours"):
                    run = ours(url, markets) if side == "ours" else bare(url)
                    seconds[side].append(asyncio.run(run))
    finally:
        here.send("done")
        server.join(5)
        server.kill()
    ratio = statistics.median(base / own for own, base in zip(seconds["ours"], seconds["bare"], strict=True))
    own, base = (FRAMES / statistics.median(seconds[side]) for side in ("ours", "bare"))
    return [
        {
            "id": "B5", "what": "burst from the socket to the books, of the bare receive loop",
            "ours_per_s": round(own), "base_per_s": round(base), "frames": FRAMES,
            "ratio": round(ratio, 3), "budget": BUDGET, "ok": ratio >= BUDGET,
        }
    ]


if __name__ == "__main__":
    for figure in measure():
        print(json.dumps(figure))
