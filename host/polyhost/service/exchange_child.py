"""The simulated exchange as a child process of ``run``: started, awaited, ended with it."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Final

from loguru import logger

from polyhost.errors import VenueError
from polyhost.service.exchange_settings import all_pathologies
from polyhost.service.gateways import key_variables
from polyhost.settings import Configuration

READY_WITHIN_S: Final = 30.0
STOP_WITHIN_S: Final = 10.0
POLL_S: Final = 0.02


class ExchangeChild:
    """``polyhost exchange serve`` in a process of its own, on a free loopback port."""

    def __init__(self, process: asyncio.subprocess.Process, url: str, ws_url: str) -> None:
        self.process = process
        self.url = url
        self.ws_url = ws_url

    @classmethod
    async def start(cls, settings: Configuration, state: Path, ready: Path, log: Path) -> ExchangeChild:
        """Start it and wait until it answers.

        Raises VenueError with its last words when it does not come up, ConfigError for a pathology that is none.
        """
        ready.unlink(missing_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        table = settings.exchange
        # -P: modules that happen to lie in the operator's working folder are not imported.
        command = [
            sys.executable, "-P", "-m", "polyhost", "exchange", "serve", "--port", "0", "--seed", str(table.seed),
            "--speed", f"{table.speed:g}", "--state", str(state), "--ready-file", str(ready), "--with-parent",
        ]
        # Its settings travel in the environment, as for anyone (POLYHOST__SECTION__KEY).
        environment = _environment(settings)
        with log.open("ab") as sink:
            # A group of its own: an operator's Ctrl-C reaches the host, which ends the exchange after its own cancels.
            # Its standard input ends with this process, however that dies: then it stops too (--with-parent).
            process = await asyncio.create_subprocess_exec(
                *command, stdout=sink, stderr=sink, stdin=asyncio.subprocess.PIPE, env=environment,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            if process.returncode is not None:
                raise VenueError(f"the simulated exchange ended with code {process.returncode}: {_last_words(log)}")
            if (told := ready_at(ready)) is not None:
                return cls(process, told["url"], told["ws_url"])
            await asyncio.sleep(POLL_S)
        process.kill()
        await process.wait()
        raise VenueError(f"the simulated exchange was not ready within {READY_WITHIN_S:.0f} s: {_last_words(log)}")

    async def stop(self) -> None:
        """End it gracefully (it saves its state); kill it if it does not."""
        if self.process.returncode is None:
            self.process.terminate()
            try:
                await asyncio.wait_for(self.process.wait(), STOP_WITHIN_S)
            except TimeoutError:
                logger.warning("the simulated exchange did not stop in {:.0f} s and was killed", STOP_WITHIN_S)
                self.process.kill()
                await self.process.wait()


def _environment(settings: Configuration) -> dict[str, str]:
    import os

    table = settings.exchange
    # Those that are off are named too: the child's own ./polyhost.toml may switch them on.
    chances = ", ".join(f"{name} = {chance!r}" for name, chance in all_pathologies(settings).items())
    builders = ", ".join(
        f'"{code}" = {{ maker_bps = {rates.maker_bps}, taker_bps = {rates.taker_bps} }}'
        for code, rates in table.builders.items()
    )
    given = {
        "CASH": str(table.cash), "DENSITY": f"{table.density:g}", "TAKER_DELAY_MS": str(table.taker_delay_ms),
        "MINED_MS": str(table.mined_ms), "CONFIRMED_MS": str(table.confirmed_ms),
        "RESOLVE_DELAY_MS": str(table.resolve_delay_ms),
        "PATHOLOGIES": f"{{ {chances} }}", "BUILDERS": f"{{ {builders} }}",
    }
    troubles = table.troubles
    given |= {
        "TROUBLES__UNAPPROVED": str(troubles.unapproved).lower(), "TROUBLES__FUNDED": json.dumps(troubles.funded),
        "TROUBLES__CLOSED_ONLY": str(troubles.closed_only).lower(), "TROUBLES__COUNTRY": json.dumps(troubles.country),
        "TROUBLES__PROTOCOL": str(troubles.protocol),
    }
    symbols, durations = settings.markets.symbols, settings.markets.durations
    keys = key_variables(settings)  # they are no matter of an exchange
    return {
        **{name: value for name, value in os.environ.items() if name not in keys},
        **{f"POLYHOST__EXCHANGE__{name}": value for name, value in given.items()},
        "POLYHOST__MARKETS__SYMBOLS": json.dumps(list(symbols)),
        "POLYHOST__MARKETS__DURATIONS": json.dumps(list(durations)),
    }


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
