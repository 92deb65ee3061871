"""Asking public web services at intervals, for feeds: JSON in, signs of life while waiting."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx

TIMEOUT_S: Final = 10.0
"""For one request, wall seconds."""
LIFE_EVERY_S: Final = 10.0
"""While it waits a poller gives a sign of life this often, wall seconds."""
BODY_BYTES_MAX: Final = 1_000_000
"""A longer answer is no ticker."""


def polled(url: str, params: Mapping[str, str] | None = None, *, every_s: float, speed: float = 1.0) -> Iterator[Any]:
    """The decoded JSON of ``GET url``, at once and then every ``every_s`` market seconds; None while it waits.

    ``speed``: market seconds a wall second (``FeedConfig.speed``). Raises httpx.HTTPError for no answer or a status of
    400 and more, ValueError for what is no JSON: the host starts the feed again, with growing pauses.
    """
    # Loopback never through a proxy; a plugin's process inherits no proxy settings anyway.
    with httpx.Client(timeout=TIMEOUT_S, trust_env=False, follow_redirects=False) as client:
        while True:
            yield _asked(client, url, params)
            yield from _waited(every_s / speed)


def _asked(client: httpx.Client, url: str, params: Mapping[str, str] | None) -> Any:
    body = bytearray()
    with client.stream("GET", url, params=None if params is None else dict(params)) as answer:
        answer.raise_for_status()
        for part in answer.iter_bytes():
            body += part
            if len(body) > BODY_BYTES_MAX:
                raise ValueError(f"{url} answers with more than {BODY_BYTES_MAX} bytes")
    return json.loads(body)


def _waited(seconds: float) -> Iterator[None]:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, LIFE_EVERY_S))
        yield None
