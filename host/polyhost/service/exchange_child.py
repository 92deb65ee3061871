"""The simulated exchange as a child process of ``run``: started, awaited, ended with it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from pathlib import Path
from typing import Final

from loguru import logger

from polyhost.errors import VenueError
from polyhost.service.exchange_launch import started
from polyhost.settings import Configuration

READY_WITHIN_S: Final = 30.0
STOP_WITHIN_S: Final = 10.0
POLL_S: Final = 0.02
LOOK_S: Final = 0.2
"""Its end is looked for this often, wall seconds."""


class ExchangeChild:
    """``polyhost exchange serve`` in a process of its own, on a free loopback port."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, ws_url: str) -> None:
        self.process = process
        self.url = url
        self.ws_url = ws_url

    @classmethod
    async def start(
        cls, settings: Configuration, state: Path, ready: Path, log: Path,
        begun: subprocess.Popen[bytes] | None = None,
    ) -> ExchangeChild:
        """Start it, unless it was ``begun`` already with all of this, and wait until it answers.

        Raises VenueError with its last words when it does not come up, ConfigError for a pathology that is none.
        """
        process = begun or started(settings, state, ready, log)
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            if (code := process.poll()) is not None:
                raise VenueError(f"the simulated exchange ended with code {code}: {_last_words(log)}")
            if (told := ready_at(ready)) is not None:
                return cls(process, told["url"], told["ws_url"])
            await asyncio.sleep(POLL_S)
        process.kill()
        process.wait()
        raise VenueError(f"the simulated exchange was not ready within {READY_WITHIN_S:.0f} s: {_last_words(log)}")

    async def ended(self) -> int:
        """Wait for its end; its exit code."""
        while (code := self.process.poll()) is None:
            await asyncio.sleep(LOOK_S)
        return code

    async def stop(self) -> None:
        """End it gracefully (it saves its state); kill it if it does not."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                await asyncio.wait_for(self.ended(), STOP_WITHIN_S)
            except TimeoutError:
                logger.warning("the simulated exchange did not stop in {:.0f} s and was killed", STOP_WITHIN_S)
                self.process.kill()
                self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()


def ready_at(path: Path) -> dict[str, str] | None:
    try:
        told: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None  # not there yet, or not yet whole
    return told


def _last_words(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return f"no log ({error})"
    return " | ".join(lines[-3:]) or "it said nothing"
