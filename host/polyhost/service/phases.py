"""How far an account's run is, as a state machine: from its start to its end, and which ways there are between.

`polyhost status` and the service manager tell the phase; docs/operations.md shows the same table.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Phase(StrEnum):
    STARTING = "starting"
    TRADING = "trading"
    SEALED = "sealed"
    STOPPING = "stopping"
    SETTLING = "settling"
    KILLING = "killing"
    CLOSING = "closing"
    ENDED = "ended"


MEANS: Final[Mapping[Phase, str]] = {
    Phase.STARTING: "the journal is folded, the venue reached, nothing is entered yet",
    Phase.TRADING: "entries are possible, unless something blocks them",
    Phase.SEALED: "the journal takes nothing: nothing is entered, exits go on until every position is safe",
    Phase.STOPPING: "entries and quotes are being cancelled, exits stay resting",
    Phase.SETTLING: "the wanted windows are over: what is open is exited or settled, nothing is entered",
    Phase.KILLING: "every order of ours is being cancelled (and sold out of, if that was said)",
    Phase.CLOSING: "nothing more is done at the venue: notices are delivered, the journal is written out",
    Phase.ENDED: "the summary is made",
}
NEXT: Final[Mapping[Phase, tuple[Phase, ...]]] = {
    Phase.STARTING: (Phase.TRADING, Phase.ENDED),
    Phase.TRADING: (Phase.SEALED, Phase.STOPPING, Phase.SETTLING, Phase.KILLING, Phase.ENDED),
    Phase.SEALED: (Phase.STOPPING, Phase.KILLING, Phase.CLOSING, Phase.ENDED),
    Phase.STOPPING: (Phase.CLOSING, Phase.ENDED),
    Phase.SETTLING: (Phase.CLOSING, Phase.ENDED),
    Phase.KILLING: (Phase.CLOSING, Phase.ENDED),
    Phase.CLOSING: (Phase.ENDED,),
    Phase.ENDED: (),
}
"""From each phase where it can go; a failure ends it from anywhere."""


def entered(now: Phase, phase: Phase) -> Phase:
    """The phase, if there is a way to it (or it is the present one)."""
    assert phase is now or phase in NEXT[now], f"{now} does not lead to {phase}"
    return phase
