"""What a simulated run meets besides the venue's own pathologies: delays, losses, kills and a restless operator.

Requests and answers get lost, streams break, loops of the host die, the host is killed.

Everything is drawn from the seed. Times are ms; market and wall time are one in a simulation.
"""

from __future__ import annotations

from random import Random
from typing import Final

KILL_EVERY_MS: Final = 400_000
"""Mean time between two kills of the host."""
GAP_EVERY_MS: Final = 240_000
"""Mean time between two losses of a stream."""
WORD_EVERY_MS: Final = 120_000
"""Mean time between two words of the operator."""
LOOP_EVERY_MS: Final = 300_000
"""Mean time between two failures of a loop of the host."""
LOOPS: Final = ("heartbeat", "exits", "gateway", "reconciliation", "journal")
"""Loops that fail: two the kernel knows by name, and others."""
LOST_REQUEST: Final = 0.004
"""Chance that a request never reaches the venue …"""
LOST_ANSWER: Final = 0.004
"""… and that its answer never comes back."""
SILENCE_MS: Final = 10_000
"""A client gives up a request without an answer after this."""
KILL_MOMENTS: Final = ("now", "step", "append", "commit", "sent")
"""Where a kill strikes: at any time, in the middle of a turn's commands, before or after a commit, after a post."""


class Weather:
    """One seed's delays and accidents."""

    def __init__(self, seed: int, *, rough: bool) -> None:
        """``rough`` False: no kills, gaps or operator, and short delays."""
        self.rough = rough
        self._delays = Random(f"{seed} delays")
        self._accidents = Random(f"{seed} accidents")
        self._losses = Random(f"{seed} losses")
        self._loops = Random(f"{seed} loops")

    # --- delays -------------------------------------------------------------------------------------------------------

    def request_ms(self) -> int:
        """From a command to the venue, or back."""
        draw = self._delays.random()
        if not self.rough or draw < 0.90:
            return 2 + int(draw * 50)
        if draw < 0.985:
            return int(60 + (draw - 0.90) * 4_000)
        return int(400 + (draw - 0.985) * 1_600 / 0.015)

    def stream_ms(self) -> int:
        """From the venue to us on a stream."""
        draw = self._delays.random()
        return 1 + int(draw * 30) if not self.rough or draw < 0.93 else int(40 + (draw - 0.93) * 20_000)

    def commit_ms(self) -> int:
        """From a record to its durability."""
        draw = self._delays.random()
        return 1 + int(draw * 4) if not self.rough or draw < 0.98 else int(draw * 500)

    def answer_ms(self) -> int:
        """From a view to its answer."""
        draw = self._delays.random()
        return 1 if not self.rough or draw < 0.95 else int(5 + (draw - 0.95) * 24_000)

    def loses(self) -> str:
        """What of an exchange with the venue is lost: its request, its answer, or (empty) nothing."""
        draw = self._losses.random() if self.rough else 1.0
        if draw < LOST_REQUEST:
            return "request"
        return "answer" if draw < LOST_REQUEST + LOST_ANSWER else ""

    def silence_ms(self) -> int:
        """Until the host notices that: an error of the connection at once, or nothing at all."""
        return SILENCE_MS if self._losses.random() < 0.5 else self._losses.randrange(5, 800)

    # --- accidents ----------------------------------------------------------------------------------------------------

    def until_kill(self) -> int:
        return self._rarely(KILL_EVERY_MS)

    def until_gap(self) -> int:
        return self._rarely(GAP_EVERY_MS)

    def until_word(self) -> int:
        return self._rarely(WORD_EVERY_MS)

    def kill_moment(self) -> str:
        return self._accidents.choice(KILL_MOMENTS)

    def down_ms(self) -> int:
        """How long the host is away."""
        draw = self._accidents.random()
        return int(300 + draw * 5_000) if draw < 0.8 else int(5_000 + (draw - 0.8) * 250_000)

    def until_loop(self) -> int:
        return max(int(self._loops.expovariate(1 / LOOP_EVERY_MS)), 1_000)

    def loop(self) -> tuple[str, int]:
        """Which loop of the host fails, and for how long."""
        return self._loops.choice(LOOPS), self._loops.randrange(300, 25_000)

    def gap(self) -> tuple[tuple[str, ...], int]:
        """Which streams are lost, and for how long."""
        lost = self._accidents.choice((("user",), ("user",), ("market",), ("user", "market")))
        return lost, self._accidents.randrange(200, 15_000)

    def word(self) -> tuple[str, bool]:
        """What the operator says, and whether kills flatten."""
        word = self._accidents.choice(("resume", "resume", "resume", "pause", "close", "kill", "merge", "redeem"))
        return word, self._accidents.random() < 0.5

    def choice(self, several: list[str]) -> str:
        return self._accidents.choice(several)

    def _rarely(self, mean_ms: int) -> int:
        return max(int(self._accidents.expovariate(1 / mean_ms)), 1_000)
