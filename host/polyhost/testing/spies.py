"""Who reads a clock, draws without a seed, or touches the outside: seen by watching the ways to do so.

Clocks and randomness are replaced for the time of a call, in their modules and in the modules of the plugin, so that
``from time import time`` is seen, too; what is asked gets the same answer every time, so that one fault is one finding.
Files, sockets and processes are seen by the interpreter's own audit events; reading a module's file to import it is
none of them.
"""

from __future__ import annotations

import builtins
import datetime
import os
import random
import secrets
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any, Final

CLOCKS: Final = (
    "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time",
    "process_time_ns", "thread_time", "thread_time_ns", "localtime", "gmtime", "ctime", "sleep",
)
"""Of ``time``; ``localtime``, ``gmtime`` and ``ctime`` read it only when they are given no time."""
GIVEN_A_TIME: Final = ("localtime", "gmtime", "ctime")
FROZEN: Final = 1_700_000_000
"""What every clock says meanwhile, seconds."""
DRAWS: Final = (
    "random", "uniform", "randint", "randrange", "choice", "choices", "sample", "shuffle", "gauss", "normalvariate",
    "expovariate", "betavariate", "triangular", "getrandbits", "randbytes", "lognormvariate", "vonmisesvariate",
    "gammavariate", "paretovariate", "weibullvariate", "seed",
)
"""Of ``random``: they share one hidden state with everybody in the process, so that no seed makes them repeat."""
OUTSIDE: Final = (
    "open", "socket.", "subprocess.", "os.", "shutil.", "sqlite3.", "urllib.", "ftplib.", "smtplib.", "http.",
    "tempfile.", "ctypes.dlopen", "glob.", "pty.", "fcntl.", "webbrowser.", "mmap.",
)
"""Beginnings of the audit events that mean input or output."""
HARMLESS: Final = ("os.putenv", "os.unsetenv", "os.fork")
HERE: Final = os.path.dirname(__file__)
STANDARD: Final = os.path.dirname(os.__file__)
LOG: Final = f"{os.sep}loguru{os.sep}"
KEPT_MAX: Final = 20
"""Sightings kept of one kind: more say nothing new."""


class Sightings:
    """What was seen: kind (clock, randomness, io) → what, where, each once."""

    def __init__(self) -> None:
        self.seen: dict[str, list[str]] = {"clock": [], "randomness": [], "io": []}

    def add(self, kind: str, what: str) -> None:
        """Note a sighting, unless it is none of the plugin's."""
        if _excused():
            return
        place = _place()
        text = f"{what} at {place}" if place else what
        if text not in self.seen[kind] and len(self.seen[kind]) < KEPT_MAX:
            self.seen[kind].append(text)


def _place() -> str:
    """The nearest caller that is neither of the test kit nor of the standard library."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        standard = file.startswith(STANDARD) and "site-packages" not in file
        if not standard and not file.startswith("<") and os.path.dirname(file) != HERE:
            return f"{os.path.basename(file)}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


_watching: Sightings | None = None
_hooked = False


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    """The audit hook; it can never be taken away again, so it does nothing unless somebody watches."""
    if _watching is None or not event.startswith(OUTSIDE) or event in HARMLESS:
        return
    told = ", ".join(repr(each)[:80] for each in arguments[:1])
    _watching.add("io", f"{event}({told})")


def _excused() -> bool:
    """Is a module being imported, or a line of the plugin's log being written? Both are the host's own business."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith("<frozen importlib") or LOG in file:
            return True
        frame = frame.f_back
    return False


@contextmanager
def watched(sightings: Sightings, modules: list[ModuleType], *, outside: bool = True) -> Iterator[None]:
    """Watch what happens inside; ``modules`` are the plugin's own. ``outside``: input and output, too."""
    global _watching, _hooked
    if not _hooked:
        sys.addaudithook(_heard)
        _hooked = True
    undo: list[tuple[Any, str, Any]] = []
    for original, spy, owner, name in _spies(sightings, outside):
        undo.append((owner, name, original))
        setattr(owner, name, spy)
        for module in modules:
            for here, value in list(vars(module).items()):
                if value is original:
                    undo.append((module, here, original))
                    setattr(module, here, spy)
    before, _watching = _watching, sightings if outside else _watching
    try:
        yield
    finally:
        _watching = before
        for owner, name, original in reversed(undo):
            setattr(owner, name, original)


def _spies(sightings: Sightings, outside: bool) -> Iterator[tuple[Any, Any, Any, str]]:
    for name in CLOCKS:
        original = getattr(time, name)
        yield original, _clock(name, original, sightings), time, name
    yield datetime.datetime, _dated(datetime.datetime, sightings), datetime, "datetime"
    yield datetime.date, _dated(datetime.date, sightings), datetime, "date"
    for name in DRAWS:
        yield getattr(random, name), _draw(name, sightings), random, name
    yield random.Random, _generator(random.Random, sightings), random, "Random"
    for module, name, constant in (
        (os, "urandom", None), (secrets, "token_bytes", b"0" * 32), (secrets, "token_hex", "00"),
        (secrets, "randbelow", 0), (uuid, "uuid4", uuid.UUID(int=4)), (uuid, "uuid1", uuid.UUID(int=1)),
    ):
        answer: Callable[..., Any] = bytes if constant is None else _always(constant)
        spy = _told(f"{module.__name__}.{name}()", "randomness", sightings, answer)
        yield getattr(module, name), spy, module, name
    if outside:
        yield builtins.print, _told("print()", "io", sightings, lambda *args, **more: None), builtins, "print"


def _always(value: Any) -> Callable[..., Any]:
    return lambda *args, **more: value


def _told(what: str, kind: str, sightings: Sightings, then: Callable[..., Any]) -> Callable[..., Any]:
    def spy(*args: Any, **more: Any) -> Any:
        sightings.add(kind, what)
        return then(*args, **more)

    return spy


def _draw(name: str, sightings: Sightings) -> Callable[..., Any]:
    """The same draw every time."""
    kind = random.Random

    def draw(*args: Any, **more: Any) -> Any:
        return getattr(kind(FROZEN), name)(*args, **more)

    return _told(f"random.{name}()", "randomness", sightings, draw)


def _clock(name: str, original: Callable[..., Any], sightings: Sightings) -> Callable[..., Any]:
    def spy(*args: Any) -> Any:
        if args and name in GIVEN_A_TIME:
            return original(*args)
        sightings.add("clock", f"time.{name}()")
        if name == "sleep":
            return None
        if name in GIVEN_A_TIME:
            return original(FROZEN)
        return FROZEN * 1_000_000_000 if name.endswith("_ns") else float(FROZEN)

    return spy


def _dated(kind: type[Any], sightings: Sightings) -> type[Any]:
    """``datetime`` and ``date``, whose ``now``, ``utcnow`` and ``today`` are seen; their objects stay the real ones."""

    class Meta(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, kind)

        def __getattribute__(cls, name: str) -> Any:
            if name in ("now", "utcnow", "today"):
                sightings.add("clock", f"{kind.__name__}.{name}()")
                return lambda tz=None: kind.fromtimestamp(FROZEN, tz) if tz else kind.fromtimestamp(FROZEN)
            return getattr(kind, name) if not name.startswith("__") else type.__getattribute__(cls, name)

        def __call__(cls, *args: Any, **more: Any) -> Any:
            return kind(*args, **more)

    return Meta(kind.__name__, (), {})


def _generator(kind: type[random.Random], sightings: Sightings) -> type[Any]:
    class Meta(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, kind)

        def __call__(cls, *args: Any, **more: Any) -> random.Random:
            if not args or args[0] is None:
                sightings.add("randomness", "random.Random() without a seed")
                return kind(FROZEN)
            return kind(*args, **more)

    return Meta("Random", (), {})
