"""A websocket tried once, for a look at its health: does it open, does a message come, is a ping answered?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Container, Sequence
from typing import Final

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from polyhost.model.examination import SocketHeard
from polyhost.venue.link import CLOSE_S, FRAME_BYTES_MAX, on_loopback

OPEN_S: Final = 5.0
"""A socket that is not open by then does not answer, wall seconds."""
HEAR_S: Final = 5.0
"""One that says nothing for so long is silent, wall seconds."""


async def probe(
    url: str, greeting: Sequence[str], *, is_first: Callable[[bytes], bool], is_pong: Callable[[bytes], bool],
    then: Callable[[bytes], Sequence[str]] = lambda raw: (),
    enough: Callable[[Container[str]], bool] = lambda heard: "first" in heard and "pong" in heard,
) -> SocketHeard:
    """Open it, say the greeting, and listen until enough was heard or ``HEAR_S`` is over.

    A frame may be both. ``then`` gives what is said in answer to one; ``enough`` gets the names of what was heard so
    far. Never raises for what the network does: it is told.
    """
    began = time.monotonic()
    heard: dict[str, int] = {}
    problem = ""
    try:
        async with connect(
            url, open_timeout=OPEN_S, close_timeout=CLOSE_S, max_size=FRAME_BYTES_MAX, compression=None,
            proxy=None if on_loopback(url) else True,
        ) as socket:
            heard["opened"] = _ms(began)
            for text in greeting:
                await socket.send(text)
            async with asyncio.timeout(HEAR_S):
                while not enough(heard):
                    raw = await socket.recv()
                    frame = raw.encode() if isinstance(raw, str) else raw
                    if is_pong(frame):
                        heard.setdefault("pong", _ms(began))
                    if is_first(frame):
                        heard.setdefault("first", _ms(began))
                    for text in then(frame):
                        await socket.send(text)
    except ConnectionClosed as error:
        problem = f"the venue closed it ({error})"
    except TimeoutError:
        problem = "" if "opened" in heard else f"it did not open within {OPEN_S:g} s"
    except (OSError, InvalidHandshake, InvalidURI) as error:
        problem = f"it does not open ({error or type(error).__name__})"
    return SocketHeard(heard.get("opened"), heard.get("first"), heard.get("pong"), problem)


def _ms(began: float) -> int:
    return round((time.monotonic() - began) * 1_000)
