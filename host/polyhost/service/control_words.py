"""What the words of the control socket do: the operator's go to the kernel as events, questions are answered from it.

Each handler checks its arguments before anything happens; a word that changes something is answered once the kernel has
taken it and the journal has it on the disk (or has had its time).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Protocol

import msgspec

from polyhost import __version__
from polyhost.errors import PolyhostError
from polyhost.model.events import Operator
from polyhost.service.control import Word
from polyhost.service.control_client import PROTOCOL, TARGETS, RefusedError, Request
from polyhost.service.live_file import Live

DURABLE_WITHIN_S: Final = 2.0
"""An answer waits at most so long, wall seconds, for its record to be on the disk."""
POLL_S: Final = 0.005
"""How often the journal is asked meanwhile, wall seconds."""


class Host(Protocol):
    """What of the engine the words need."""

    halted: bool
    broken: Exception | None

    def record_seq(self) -> int: ...

    def durable_seq(self) -> int: ...


class OperatorWords:
    """The words every host understands; ``table`` is what the control server serves."""

    def __init__(
        self, host: Host, hear: Callable[[Operator], None], live: Callable[[], Live], run_id: str,
        cannot: Mapping[str, str] | None = None, pointless: Callable[[str, str], str] | None = None,
    ) -> None:
        """``hear`` takes a word at once; ``live`` gives the figures of ``polyhost status``; ``cannot``: words that this
        account cannot do, with the reason and the remedy; ``pointless``: why a word about a target would do nothing
        (empty: it does something)."""
        self._host = host
        self._hear = hear
        self._live = live
        self._run_id = run_id
        self._cannot = dict(cannot or {})
        self._pointless = pointless or (lambda word, target: "")

    def table(self) -> dict[str, Word]:
        """Word → what does it."""
        told: dict[str, Word] = {"hello": self._hello, "live": self._told_live}
        return told | {word: partial(self._operator, word) for word in TARGETS}

    async def _hello(self, request: Request) -> dict[str, Any]:
        arguments(request)
        return {"protocol": PROTOCOL, "version": __version__, "run": self._run_id, "pid": os.getpid()}

    async def _told_live(self, request: Request) -> dict[str, Any]:
        arguments(request)
        told: dict[str, Any] = msgspec.to_builtins(self._live())
        return told

    async def _operator(self, word: str, request: Request) -> dict[str, Any]:
        name, flattens = TARGETS[word]
        kinds: dict[str, type] = {name: bool if word == "kill" else str} if name else {}
        given = arguments(request, **kinds, **({"flatten": bool} if flattens else {}))
        target = given.get(name, "")
        target = "all" if target is True else target or ""
        if word in self._cannot:
            raise RefusedError(f"no {word}: {self._cannot[word]}", 1)
        if why := self._pointless(word, target):
            raise RefusedError(f"no {word}: {why}", 1)
        return await self.said(Operator(word, target, request.who, given.get("flatten", False), request.why))

    async def said(self, word: Operator) -> dict[str, Any]:
        """Have the kernel take a word; what became of it. Raises RefusedError when nothing is taken any more."""
        refuse_ended(self._host)
        self._hear(word)
        return {"taken": True, **await durable(self._host, self._host.record_seq())}


def refuse_ended(host: Host) -> None:
    """Raises RefusedError once the run takes nothing any more."""
    if host.broken is not None:
        raise RefusedError(f"the host failed: {host.broken}", 1)
    if host.halted:
        raise RefusedError("the run is over", 1)


async def durable(host: Host, record: int) -> dict[str, Any]:
    """The record's number, and whether the disk has it, after waiting for that as long as is good."""
    deadline = time.monotonic() + DURABLE_WITHIN_S
    while host.durable_seq() < record and time.monotonic() < deadline:
        await asyncio.sleep(POLL_S)
    return {"record": record, "durable": host.durable_seq() >= record}


class ArgumentsError(PolyhostError):
    """A request's arguments are not the word's."""

    exit_code = 2


def arguments(request: Request, **allowed: type) -> dict[str, Any]:
    """The arguments, of the types named and no others. Raises ArgumentsError."""
    for name, value in request.args.items():
        kind = allowed.get(name)
        if kind is None:
            raise ArgumentsError(f"{request.do}: unknown argument {name!r}; known: {', '.join(allowed) or 'none'}")
        if type(value) is not kind:
            raise ArgumentsError(f"{request.do}: {name} must be {kind.__name__}, it is {type(value).__name__}")
    return dict(request.args)
