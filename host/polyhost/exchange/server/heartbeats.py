"""The dead-man's switch of each API key, in wall time: the first heartbeat arms it, silence cancels all its orders.

Source: docstrings of polymarket-client 0.14.0 and the venue's documentation (read 2026-11): 10 s and up to 5 s more.
"""

from __future__ import annotations

import uuid
from typing import Final

from msgspec import Struct

from polyhost.model.times import WallMs

SILENCE_MS: Final = 15_000


class _Switch(Struct):
    beats: int
    expected: str
    last: WallMs


class Heartbeats:
    """Switches by API key; not durable: a restart of the exchange disarms them all."""

    def __init__(self) -> None:
        self._switches: dict[str, _Switch] = {}

    def expected(self, api_key: str) -> str:
        """The id that the next heartbeat must show; empty when the switch is not armed."""
        switch = self._switches.get(api_key)
        return "" if switch is None else switch.expected

    def beat(self, api_key: str, shown: str, now: WallMs) -> bool:
        """Take a heartbeat; False (nothing changes) when it shows another id than the expected one."""
        switch = self._switches.get(api_key)
        if shown != self.expected(api_key):
            return False
        beats = 1 if switch is None else switch.beats + 1
        following = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{api_key}|{beats}"))
        self._switches[api_key] = _Switch(beats, following, now)
        return True

    def lose(self, api_key: str) -> None:
        """The venue missed this key's heartbeats for too long: its switch, if it is armed, goes off."""
        switch = self._switches.get(api_key)
        if switch is not None:
            switch.last = WallMs(switch.last - 2 * SILENCE_MS)

    def silent(self, now: WallMs) -> list[str]:
        """Keys whose switch went off; each is told once and disarmed."""
        gone = [key for key, switch in self._switches.items() if now - switch.last > SILENCE_MS]
        for key in gone:
            del self._switches[key]
        return gone
