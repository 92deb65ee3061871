"""Log lines are written by threads of their own: whoever says one never waits for a disk or a terminal (LOG-02).

``put`` costs the same whatever happens behind it. A thread that cannot write loses lines, counts them, says so where it
still can, and goes on when it can again.
"""

from __future__ import annotations

import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final, TextIO

from loguru import logger

from polyhost.service.log_line import Line

WAITING_MAX: Final = 50_000
"""Lines that wait to be written; more are lost, and counted."""
BATCH: Final = 1_000
"""Lines that are written together at most."""
IDLE_S: Final = 60.0
"""A thread without lines looks after its target this often, wall seconds."""
END_S: Final = 2.0
"""How long the end of a run waits for what is not written yet, wall seconds."""


class Target(ABC):
    """Where lines go. Both are called by one thread; what they raise costs these lines only."""

    name = ""

    @abstractmethod
    def write(self, lines: list[Line]) -> tuple[int, str]:
        """How many lines could not be written, and why; 0: all are."""

    def tidy(self) -> None:
        """Called after lines, and at least once a minute."""
        return


class LogWriter:
    """One thread, one target."""

    def __init__(self, target: Target, waiting_max: int = WAITING_MAX) -> None:
        self.lost = 0
        """Lines that were not written, over all."""
        self._target = target
        self._waiting_max = waiting_max
        self._queue: SimpleQueue[Line | None] = SimpleQueue()
        self._untold = 0
        """Lines lost that nobody was told of."""
        self._failing = False
        self._thread = threading.Thread(target=self._run, name=f"log {target.name}", daemon=True)
        self._thread.start()

    def put(self, line: Line) -> None:
        """Have it written. Never waits, never raises."""
        if self._queue.qsize() >= self._waiting_max:
            self._lose(1)
            return
        self._queue.put(line)

    def close(self) -> None:
        """Write what waits, within ``END_S``; nothing is written after that."""
        self._queue.put(None)
        self._thread.join(END_S)

    def _lose(self, count: int) -> None:
        self.lost += count
        self._untold += count

    def _run(self) -> None:
        ended = False
        while not ended:
            lines, ended = self._next()
            try:
                lost, why = self._target.write(lines) if lines else (0, "")
                self._target.tidy()
            except Exception as error:  # a full disk, a closed stream, anything: the next line may be written again
                lost, why = len(lines), str(error) or type(error).__name__
            if why:
                self._lose(lost)
                self._failed(why)
            elif lines:
                self._written()

    def _next(self) -> tuple[list[Line], bool]:
        """What waits, and whether it is the last."""
        lines: list[Line] = []
        try:
            line = self._queue.get(timeout=IDLE_S)
            while line is not None and len(lines) < BATCH:
                lines.append(line)
                line = self._queue.get_nowait()
        except Empty:
            return lines, False
        if line is not None:
            lines.append(line)
        return lines, line is None

    def _written(self) -> None:
        lost, self._untold = self._untold, 0
        if lost or self._failing:
            self._failing = False
            logger.warning("{} is written again; {} of its lines were lost", self._target.name, lost)

    def _failed(self, why: str) -> None:
        if not self._failing:
            self._failing = True
            logger.warning("{} cannot be written ({}): its lines are lost until it can", self._target.name, why)


class Stream(Target):
    """A terminal or a pipe. ``stream`` None: whatever standard error is at the time of writing."""

    name = "standard error"

    def __init__(self, text_of: Callable[[Line], str], stream: TextIO | None = None) -> None:
        self._text_of = text_of
        self._stream = stream

    def write(self, lines: list[Line]) -> tuple[int, str]:
        stream = sys.stderr if self._stream is None else self._stream
        text = "".join(map(self._text_of, lines))
        # A terminal that knows no such letter shows its number.
        known = getattr(stream, "encoding", None) or "utf-8"
        stream.write(text.encode(known, "backslashreplace").decode(known))
        stream.flush()
        return 0, ""
