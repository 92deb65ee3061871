"""What a service manager is told: ready, still alive, stopping. Datagrams of systemd's own protocol (sd_notify(3)).

Without ``$NOTIFY_SOCKET`` nothing is said; a manager that does not listen never stops the host.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Final

from loguru import logger

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
PET: Final = "WATCHDOG=1"
STATUS_MAX: Final = 200
"""Characters of the line that ``systemctl status`` shows."""


class ServiceManager:
    """The socket of the manager that started us, if one did."""

    def __init__(self, env: Mapping[str, str] | None = None, pid: int | None = None) -> None:
        """``env`` None: this process's."""
        given = os.environ if env is None else env
        address = given.get("NOTIFY_SOCKET", "")
        # An abstract socket's name begins with a zero byte, which no variable can hold.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_s = self._watchdog_s(given, os.getpid() if pid is None else pid)
        """It wants a sign of life within this, wall seconds; 0: it wants none."""
        self._failed = False

    @property
    def listens(self) -> bool:
        return bool(self._address)

    def say(self, *words: str, status: str = "") -> bool:
        """Tell it; False when nobody listens or it could not be told (which is logged once)."""
        if not self._address:
            return False
        line = " ".join(status.split())[:STATUS_MAX]
        text = "\n".join([*words, *([f"STATUS={line}"] if line else [])])
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.setblocking(False)
                out.sendto(text.encode(), self._address)
        except OSError as error:
            logger.log("DEBUG" if self._failed else "WARNING", "the service manager was not told {}: {}", words, error)
            self._failed = True
            return False
        self._failed = False
        return True

    @staticmethod
    def _watchdog_s(given: Mapping[str, str], pid: int) -> float:
        wanted, whose = given.get("WATCHDOG_USEC", ""), given.get("WATCHDOG_PID", "")
        if not wanted.isdigit() or (whose and whose != str(pid)):
            return 0.0
        return int(wanted) / 1_000_000
