"""What a simulated run meets besides the venue's own pathologies: delays, lost streams, kills and a restless operator.

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
KILL_MOMENTS: Final = ("now", "step", "append", "commit", "sent")
"""Where a kill strikes: at any time, in the middle of a turn's commands, before or after a commit, after a post."""


class Weather:
    """One seed's delays and accidents."""

    def __init__(self, seed: int, *, rough: bool) -> None:
        """``rough`` False: no kills, gaps or operator, and short delays."""
        self.rough = rough
        self._delays = Random(f"{seed} delays")
        self._accidents = Random(f"{seed} accidents")

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

    def gap(self) -> tuple[str, int]:
        """Which stream is lost, and for how long."""
        return self._accidents.choice(("user", "user", "market")), self._accidents.randrange(200, 15_000)

    def word(self) -> tuple[str, bool]:
        """What the operator says, and whether kills flatten."""
        word = self._accidents.choice(("resume", "resume", "resume", "pause", "close", "kill"))
        return word, self._accidents.random() < 0.5

    def choice(self, several: list[str]) -> str:
        return self._accidents.choice(several)

    def _rarely(self, mean_ms: int) -> int:
        return max(int(self._accidents.expovariate(1 / mean_ms)), 1_000)
