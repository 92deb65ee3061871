"""What the service's tests share: the host and the exchange as processes of their own, as an operator starts them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from polyhost.journal import read_journal
from polyhost.kernel.state import State, fold
from polyhost.model.events import SweepDone, TokenBalanceSeen
from polyhost.model.money import Micros
from polyhost.model.records import Record
from polyhost.service.gateway_launch import throwaway_key
from polyhost.venue.polymarket.endpoints import endpoints_at
from polyhost.venue.polymarket.gateway import PolymarketGateway

START_S = 240.0
"""An exchange or a host is up by then, and a whole window is traded, on a machine ten times as slow as usual."""
END_S = 240.0
"""A process asked to end has ended by then."""
PATIENT_HOST = Path(__file__).with_name("patient_host.py")
POLL_S = 0.01

SMALL = """\
[host]
data_dir = "{data}"
[markets]
symbols = ["BTC"]
durations = ["5m"]
"""
"""One series of short windows: the quickest whole run."""


def environment() -> dict[str, str]:
    """This process's, without settings of its own for the host."""
    return {name: value for name, value in os.environ.items() if not name.startswith("POLYHOST_")}


def configuration(folder: Path, data: Path, more: str = "") -> Path:
    """A small configuration file in ``folder``."""
    path = folder / "small.toml"
    path.write_text(SMALL.format(data=data) + more, encoding="utf-8")
    return path


class Started:
    """A polyhost command in a process of its own; what it says is collected line by line."""

    def __init__(self, *args: object, cwd: Path, patient: bool = True) -> None:
        """``patient``: a run is given all the time of the wall clock that it could want."""
        program = [str(PATIENT_HOST)] if patient and args[0] == "run" else ["-m", "polyhost"]
        command = [sys.executable, "-P", *program, *(str(arg) for arg in args)]
        self.process = subprocess.Popen(
            command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment(),
        )
        self.out: list[str] = []
        self.err: list[str] = []
        self._changed = threading.Condition()
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read, args=(stream, lines), daemon=True)
            for stream, lines in ((self.process.stdout, self.out), (self.process.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[str], lines: list[str]) -> None:
        for line in stream:
            with self._changed:
                lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def says(self, *words: str, within_s: float = START_S, after: int = 0) -> str:
        """Wait for a line on standard error (from line ``after`` on) that holds all the words."""
        deadline = time.monotonic() + within_s
        with self._changed:
            while True:
                for line in self.err[after:]:
                    if all(word in line for word in words):
                        return line
                left = deadline - time.monotonic()
                assert left > 0, f"{words} not said within {within_s:g} s:\n{self.told()}"
                assert self.process.poll() is None or self._readers[1].is_alive(), f"ended first:\n{self.told()}"
                self._changed.wait(min(left, 0.5))

    def told(self) -> str:
        return "\n".join([*self.out, *self.err[-60:]])

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def ended(self, within_s: float = END_S) -> int:
        """Wait for its end; the exit code."""
        try:
            code = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"still running after {within_s:g} s:\n{self.told()}") from None
        for reader in self._readers:
            reader.join()
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.process.stdout.close()
        self.process.stderr.close()
        return code

    def stop(self, number: int = signal.SIGINT) -> int:
        self.send(number)
        return self.ended()

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        if not self.process.stdout.closed:  # type: ignore[union-attr]
            self.ended()


def command(*args: object, cwd: Path, within_s: float = END_S) -> Started:
    """A command run to its end."""
    with Started(*args, cwd=cwd) as started:
        started.ended(within_s)
    return started


class Exchange:
    """``exchange serve`` on a state file; killed and started again it keeps its port."""

    def __init__(self, folder: Path, config: Path, speed: float) -> None:
        self.folder = folder
        self.config = config
        self.speed = speed
        self.port = 0
        self.process: Started
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ready(self) -> Path:
        return self.folder / "exchange.ready"

    def start(self) -> None:
        self.ready.unlink(missing_ok=True)
        self.process = Started(
            "exchange", "serve", "-c", self.config, "--state", self.folder / "exchange.state", "--port", self.port,
            "--speed", self.speed, "--ready-file", self.ready, cwd=self.folder,
        )
        wait_for(lambda: self.ready.exists() or self.process.process.poll() is not None)
        assert self.process.process.poll() is None, self.process.told()
        self.port = int(json.loads(self.ready.read_text())["url"].rpartition(":")[2])

    def kill(self) -> None:
        self.process.stop(signal.SIGKILL)

    def goes_on(self, speed: float) -> None:
        """At this speed from now on. At 1 nothing ends in the market before it was looked at."""
        self.kill()
        self.speed = speed
        self.start()

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=START_S) as response:
            return json.loads(response.read())


@contextmanager
def exchange(folder: Path, config: Path, speed: float = 60) -> Iterator[Exchange]:
    served = Exchange(folder, config, speed)
    try:
        yield served
    finally:
        served.process.__exit__()


def wait_for(true: Callable[[], bool], within_s: float = START_S) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"not true within {within_s:g} s"
        time.sleep(POLL_S)


def records(data: Path) -> list[Record]:
    """The journal of a data folder."""
    return [record for _, record in read_journal(data / "journal.db")]


def state(data: Path) -> State:
    return fold(records(data), whole=True)


def report(started: Started) -> Mapping[str, Any]:
    """The one object that ``--json`` prints."""
    assert len(started.out) == 1, started.told()
    found: Mapping[str, Any] = json.loads(started.out[0])
    return found


class Account(NamedTuple):
    """What the exchange itself says about an account, asked by a client of its own."""

    swept: SweepDone
    tokens: dict[str, Micros]


def account_at(url: str, name: str, tokens: Iterable[str]) -> Account:
    """Orders and trades of the throwaway key of that name, and its balances of these tokens."""
    async def ask() -> Account:
        gateway = PolymarketGateway(endpoints_at(url), throwaway_key(1, name), selftest=False)
        try:
            await gateway.connect()
            swept = await gateway.sweep("", 0)
            assert isinstance(swept, SweepDone)
            assert swept.complete, swept.problem
            held = [await gateway.token_balance(token) for token in tokens]
        finally:
            await gateway.close()
        return Account(swept, {seen.token_id: seen.balance for seen in held if isinstance(seen, TokenBalanceSeen)})

    return asyncio.run(ask())


EAGER = f"""\
plugin_paths = ["{Path(__file__).with_name("eager.py")}"]
[host]
data_dir = "{{data}}"
[markets]
symbols = ["BTC"]
durations = ["5m"]
[plugins.eager]
[plugins.entry_policy]
enabled = false
[plugins.reversal]
enabled = false
[plugins.scale_in]
enabled = false
[plugins.reward_optimizer]
enabled = false
[breakers]
daily_loss = "1000"
drawdown = 1.0
emergency_stops_hour = 1000
disconnects_hour = 1000
exit_failures = 1000
"""
"""The same with a plugin in a process of its own that trades both sides of every window, whatever it loses; nobody
else buys, and exits rest at 0.99."""


def eager_configuration(folder: Path, data: Path, more: str = "") -> Path:
    path = folder / "eager.toml"
    path.write_text(EAGER.format(data=data) + more, encoding="utf-8")
    return path
