"""The program of the gateway process: ``python -m polyhost.venue.gatekeeper``, started by the host, told on its input.

What runs first is the *keeper*: it reads the key (and a relayer key), once, and forks a *worker* that has it; when the
worker ends it forks the next one. The keeper loads no client and speaks to nobody. When the host's end of its input
closes, both end.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
import time
from typing import Any, Final

import msgspec

from polyhost.allocator import save_memory
from polyhost.collecting import rarely_collecting
from polyhost.venue.gatekeeper.secrecy import close_to_others, wipe_environment

PAUSE_S: Final = 0.1
"""Between two workers, wall seconds; doubled each time."""
PAUSE_MAX_S: Final = 10.0
"""Longest such pause, wall seconds."""
STEADY_S: Final = 30.0
"""A worker that lived this long, wall seconds, is followed by the next one after the shortest pause."""
HEADER: Final = 4
PR_SET_PDEATHSIG: Final = 1
INPUT: Final = 0


class Key(msgspec.Struct, frozen=True):
    """A key, or why there is none; it is shown nowhere."""

    value: str = ""
    problem: str = ""
    remedy: str = ""

    def __repr__(self) -> str:
        return f"Key(problem={self.problem!r})"


def main() -> int:
    """Serve until the host is gone."""
    save_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an operator's Ctrl-C is the host's to answer
    told = _first_message()
    close_to_others()
    launch: dict[str, Any] = msgspec.msgpack.decode(told)
    parts: dict[str, dict[str, str]] = (launch["relayer"] or {}).get("parts", {})
    key, *others = keys_of([launch["key"], *parts.values()])
    relayer = dict(zip(parts, others, strict=True))
    for reference in (launch["key"], *parts.values()):
        wipe_environment(reference.get("env", ""))
    pause = PAUSE_S
    while True:
        began = time.monotonic()
        if not _worked(told, key, relayer):
            return 0
        pause = PAUSE_S if time.monotonic() - began >= STEADY_S else min(pause * 2, PAUSE_MAX_S)
        if not _waited(pause):
            return 0


def _first_message() -> bytes:
    length = int.from_bytes(_exactly(HEADER), "big")
    return _exactly(length)


def _exactly(count: int) -> bytes:
    found = b""
    while len(found) < count:
        chunk = os.read(INPUT, count - len(found))
        if not chunk:
            sys.exit(0)
        found += chunk
    return found


def keys_of(references: list[dict[str, str]]) -> list[Key]:
    """What is kept in each of these places, read by a process of its own: that needs libraries that the keeper shall
    not carry."""
    kept = [reference for reference in references if "throwaway" not in reference]
    found = iter(_read(kept) if kept else [])
    return [Key(each["throwaway"]) if "throwaway" in each else next(found) for each in references]


def _read(references: list[dict[str, str]]) -> list[Key]:
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        _resolve(references, theirs)
    os.close(theirs)
    with os.fdopen(ours, "rb") as said:
        answer = said.read()
    os.waitpid(pid, 0)
    if not answer:
        return [Key("", "it could not be read", "see the log")] * len(references)
    return msgspec.json.decode(answer, type=list[Key])


def _resolve(references: list[dict[str, str]], out: int) -> None:
    """In the process that reads: say it, and end whatever happens."""
    try:
        from polyhost.secret import Secret, Unresolved, fetched

        answers = []
        for reference in references:
            try:
                answers.append({"value": fetched(Secret.model_validate(reference))})
            except Unresolved as error:
                answers.append({"problem": str(error), "remedy": error.remedy})
        with os.fdopen(out, "wb") as told:
            told.write(json.dumps(answers).encode())
    except Exception as error:  # its text might tell the secret
        print(f"a secret could not be read: {type(error).__name__}", file=sys.stderr, flush=True)
    finally:
        os._exit(0)


def _worked(told: bytes, key: Key, relayer: dict[str, Key]) -> bool:
    """Run one worker to its end; False: the host is gone, and so is the worker."""
    lives, held = os.pipe()
    keeper = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(lives)
        _work(told, key, relayer, keeper)
    os.close(held)
    try:
        while True:
            ready, _, _ = select.select([INPUT, lives], [], [])
            if INPUT in ready:
                word = os.read(INPUT, 1)
                os.kill(pid, signal.SIGKILL)
                if not word:
                    return False
            if lives in ready:
                return True
    finally:
        os.close(lives)
        os.waitpid(pid, 0)


def _work(told: bytes, key: Key, relayer: dict[str, Key], keeper: int) -> None:
    """In the worker: it ends with the keeper, and leaves nothing of the keeper's running."""
    code = 1
    try:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != keeper:
                os._exit(0)
        os.close(INPUT)
        os.open(os.devnull, os.O_RDONLY)
        with rarely_collecting():
            from polyhost.venue.gatekeeper.worker import work

        code = work(told, key, relayer)
    finally:
        sys.stderr.flush()
        os._exit(code)


def _waited(seconds: float) -> bool:
    """False: the host is gone."""
    ready, _, _ = select.select([INPUT], [], [], seconds)
    return not ready or bool(os.read(INPUT, 1))


if __name__ == "__main__":
    sys.exit(main())
