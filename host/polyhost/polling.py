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
ROUND_S_MIN: Final = 0.05
"""The shortest pause between two rounds, wall seconds, however fast the market runs."""
BODY_BYTES_MAX: Final = 1_000_000
"""A longer answer is no ticker."""
UNKNOWN: Final = (400, 404)
"""Statuses that say: there is no such thing here, and asking again does not help."""


def polled(
    urls: Mapping[str, str], *, every_s: float, speed: float = 1.0
) -> Iterator[tuple[str, Any] | None]:
    """Ask every url again and again: (its key, the decoded JSON) of each answer; None is a sign of life.

    A round is made at once and then every ``every_s`` market seconds (``speed``: market seconds a wall second, as in
    ``FeedConfig``). What a service does not know (400, 404) comes as (key, None), and is not asked for any more.

    Raises httpx.HTTPError for no answer or another status of 300 and more, ValueError for what is no JSON or too long
    (after the round: one bad answer does not keep the others away), and when nothing is left to be asked. The host then
    starts the feed again, with growing pauses.
    """
    left = dict(urls)
    # Nothing goes through a proxy: a plugin's process inherits no settings of one, and loopback needs none.
    with httpx.Client(timeout=TIMEOUT_S, trust_env=False, follow_redirects=False) as client:
        while left:
            problem: Exception | None = None
            for key, url in list(left.items()):
                try:
                    told = _asked(client, url)
                except (httpx.HTTPError, ValueError) as error:
                    problem = problem or error
                    yield None
                    continue
                if told is None:
                    del left[key]
                yield key, told
            if problem is not None:
                raise problem
            yield from _waited(max(every_s / speed, ROUND_S_MIN))
    raise ValueError(f"none of these is known: {', '.join(urls.values())}")


def _asked(client: httpx.Client, url: str) -> Any:
    """The decoded answer; None for what the service does not know."""
    body = bytearray()
    with client.stream("GET", url) as answer:
        if answer.status_code in UNKNOWN:
            return None
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
