"""What the exchange has to do later, in order of time and then of entry."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import NamedTuple

from polyhost.model.times import NEVER


class Task(NamedTuple):
    """``kind`` taker, expire, visible, mined, confirmed or end; ``ref`` the order, trade or market it is about.
    Also sample, rewards, chain_mined, chain_confirmed (a transaction), redeem (address:market) and touch (a market:
    what crosses its resting orders has stood by now).

    Of a venue that misbehaves also: retrying, failed (a trade), unlock (address:amount), tick (market:tick).
    """

    due: int
    number: int
    kind: str
    ref: str


class Agenda:
    """A heap of tasks; a task whose subject is finished is found out when it comes up."""

    __slots__ = ("next_due", "number", "tasks")

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.number = 0
        self.next_due: int = NEVER

    def add(self, due: int, kind: str, ref: str) -> None:
        self.number += 1
        heappush(self.tasks, Task(due, self.number, kind, ref))
        self.next_due = self.tasks[0].due

    def pop(self) -> Task:
        """The earliest task. Raises IndexError when there is none."""
        task = heappop(self.tasks)
        self.next_due = self.tasks[0].due if self.tasks else NEVER
        return task
