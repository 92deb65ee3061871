"""A plugin's feeds inside their process: each in a thread of its own, of each name the newest value, at a bounded rate.

The host trusts nothing of it and checks every reading again; what is checked here is what an author wants to be told.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from math import isfinite
from typing import Final

from msgspec import structs

from polyhost.extension.answers import PROBLEM_MAX
from polyhost.extension.containing import contained
from polyhost.extension.protocol import FeedsBegan, FeedTold
from polyhost.extension.specification import Bound
from polyhost.model.reading import NAMES_MAX, SOURCES_MAX, Feed, FeedConfig, Reading, source_of, wrong

TELL_EVERY_S: Final = 0.25
"""Readings go to the host this often at most, wall seconds at speed 1 …"""
TELL_S_MIN: Final = 0.02
"""… and at higher speeds, where they would be old by then, up to this often."""
LIFE_EVERY_S: Final = 1.0
"""And without any a sign of life this often, wall seconds."""
ITEM_PAUSE_S: Final = 0.001
"""After each item of a feed, wall seconds: one that never waits takes no processor from the rest."""
SILENT_S_LIMIT: Final = 3_600.0
"""No feed may ask for a longer silence than this, wall seconds."""


class FeedsError(ValueError):
    """What ``feeds`` answered cannot be run."""


def asked(bound: Bound, config: FeedConfig, plugin: str) -> dict[str, Feed]:
    """The plugin's feeds by their sources. Raises FeedsError, or whatever the plugin raises."""
    answer = bound.by_name({"config": config})
    if answer is None:
        return {}
    if not isinstance(answer, Iterable):
        raise FeedsError(f"answered {type(answer).__name__}; a list of feeds or None is wanted")
    found: dict[str, Feed] = {}
    for item in answer:
        feed = _feed(item)
        source = source_of(plugin, feed.name)
        if wrong(source, 0, 0):
            raise FeedsError(f"{feed.name!r} is no name of a feed")
        if source in found:
            raise FeedsError(f"two feeds are called {source!r}")
        if len(found) >= SOURCES_MAX:
            raise FeedsError(f"more than {SOURCES_MAX} feeds")
        found[source] = feed
    return found


def _feed(item: object) -> Feed:
    if isinstance(item, Reading):
        raise FeedsError("answered readings; it answers feeds: return [Feed(self.readings(config))]")
    feed = item if isinstance(item, Feed) else Feed(item) if isinstance(item, Iterator) else None
    if feed is None or not isinstance(feed.readings, Iterable) or not isinstance(feed.name, str):
        raise FeedsError(f"{type(item).__name__} is no feed")
    silent = feed.silent_s_max
    if not isinstance(silent, int | float) or not isfinite(silent) or not 0 < silent <= SILENT_S_LIMIT:
        raise FeedsError(f"silent_s_max of {feed.name or 'the feed'} must be above 0 and at most {SILENT_S_LIMIT:g}")
    return feed


def began(seq: int, feeds: dict[str, Feed]) -> FeedsBegan:
    """The answer to the request to run them."""
    return FeedsBegan(seq, {source: float(feed.silent_s_max) for source, feed in feeds.items()})


def tell_every_s(config: FeedConfig) -> float:
    """The shortest time between two messages to the host, wall seconds."""
    return max(TELL_EVERY_S / max(config.speed, 1.0), TELL_S_MIN)


class Pump:
    """Runs feeds and tells what they say through ``send``; ``start`` returns at once."""

    def __init__(self, feeds: dict[str, Feed], send: Callable[[FeedTold], None], every_s: float) -> None:
        """``every_s``: wall seconds between two messages, at least."""
        self._feeds = feeds
        self._every_s = every_s
        self._send = send
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._newest: dict[tuple[str, str], Reading] = {}
        self._names: dict[str, set[str]] = {source: set() for source in feeds}
        self._items = dict.fromkeys(feeds, 0)
        self._dropped = self._refused = 0
        self._problem = self._ended = ""

    def start(self) -> None:
        for source, feed in self._feeds.items():
            threading.Thread(target=self._run, args=(source, feed), name=source, daemon=True).start()
        threading.Thread(target=self._tell_on, name="teller", daemon=True).start()

    def _run(self, source: str, feed: Feed) -> None:
        ended = "ended"
        try:
            for item in feed.readings:
                self._take(source, item)
                time.sleep(ITEM_PAUSE_S)
        except BaseException as error:  # a feed may raise anything: it means "start me again"
            ended = contained(error)
        with self._lock:
            self._ended = f"{source}: {ended}"
        self._news.set()

    def _take(self, source: str, item: object) -> None:
        """One item: a reading replaces what the host has not seen yet of its name."""
        with self._lock:
            self._items[source] += 1
            if item is None:
                return
            if problem := self._refusal(source, item):
                self._refused += 1
                self._problem = self._problem or f"{source}: {problem}"[:PROBLEM_MAX]
                return
            assert isinstance(item, Reading), "what is not refused is a reading"
            key = (source, item.name)
            self._dropped += key in self._newest
            self._newest[key] = structs.replace(item, value=float(item.value), source=source)
        self._news.set()

    def _refusal(self, source: str, item: object) -> str:
        if not isinstance(item, Reading):
            return f"{type(item).__name__} is no reading"
        if problem := wrong(item.name, item.value, item.at):
            return problem
        names = self._names[source]
        if item.name not in names and len(names) >= NAMES_MAX:
            return f"more than {NAMES_MAX} names"
        names.add(item.name)
        return ""

    def _tell_on(self) -> None:
        while True:
            self._news.wait(LIFE_EVERY_S)
            self._news.clear()
            try:
                self._send(self._told())
            except OSError:
                return  # the host closed the socket; this process ends with it
            time.sleep(self._every_s)

    def _told(self) -> FeedTold:
        with self._lock:
            told = FeedTold(
                0, tuple(self._newest.values()), dict(self._items), self._dropped, self._refused, self._problem,
                self._ended[:PROBLEM_MAX],
            )
            self._newest.clear()
            self._dropped = self._refused = 0
            self._problem = ""
        return told
