"""B9: from the start of the process to "ready" after a kill -9, with 1,000 windows in the journal; medians.

The history is a simulated run's own records, copied under new ids; the exchange is a process of its own, as the venue
is.
"""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from bench_start import as_installed

WINDOWS: Final = 1_000
ROUNDS: Final = 3
BUDGET_S: Final = 2.0
STRETCH_S: Final = 1.0
SEED: Final = 0
ALARMS: Final = "nothing_alarming_when_calm"
"""The trader of the simulations does what nobody would; that its windows alarm makes them no worse a history."""
WAIT_S: Final = 30.0
"""A start that takes longer failed."""
IDS: Final = re.compile(
    rb"\b(?:0x([0-9a-f]{64})|([0-9]{60,78})|([a-z])([0-9]{5,6})|([0-9a-f]{8}-[0-9a-f-]{27}))\b|(?<=-5m-)([0-9]+)"
)
"""Conditions and order ids, tokens, references of orders and pairs, trade ids, the epochs of slugs."""
CONFIG: Final = """
[host]
record = false
[markets]
symbols = ["BTC"]
durations = ["5m", "15m"]
[venue]
url = "{url}"
"""


def one_run() -> tuple[list[bytes], int]:
    """Records of a simulated run that ends settled, and how many windows it settled."""
    from loguru import logger

    from polyhost.configuration import load_configuration
    from polyhost.lab.sim_run import Plan, Simulation
    from polyhost.lab.simulate import with_trader

    logger.disable("polyhost.exchange.world")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "polyhost.toml"
        file.write_text('[markets]\nsymbols = ["BTC"]\ndurations = ["5m"]\n')
        loaded = load_configuration(file, env={})
    run = Simulation(SEED, Plan(0.75, {}, 5.0, rough=False), with_trader(loaded, SEED))
    outcome = run.run()
    if outcome.broken not in ("", ALARMS):
        raise RuntimeError(f"the run for the history broke {outcome.broken}: {outcome.text}")
    windows = sum(market.settled for market in run.checks.shadow.markets.values())
    return [bytes(body) for body in run.journal.bodies], windows


def copied(bodies: list[bytes], number: int) -> Iterator[bytes]:
    """The run once more, with ids of its own; only the first opens the books."""

    def renamed(found: re.Match[bytes]) -> bytes:
        condition, token, letter, reference, trade, epoch = found.groups()
        if condition:
            return b"0x%04x%s" % (number, condition[4:])
        if token:
            return b"%s%03d" % (token, number)
        if letter:
            return b"%s%03d%s" % (letter, number, reference)
        return b"%04x%s" % (number, trade[4:]) if trade else b"%d" % (int(epoch) + number * 86_400)

    for body in bodies:
        if number and b'"cause":"deposit"' in body:
            continue
        yield IDS.sub(renamed, body).replace(b'"mode":"simulation"', b'"mode":"sim"')


def write_history(folder: Path, account: str) -> int:
    """A journal of about ``WINDOWS`` settled windows; gives the number of its records."""
    from polyhost.journal import JournalWriter
    from polyhost.journal.codec import decode_record

    bodies, windows = one_run()
    folder.mkdir(parents=True, exist_ok=True)
    problems: list[Exception] = []
    journal = JournalWriter(folder / "journal.db", account, lambda _: None, problems.append)
    for number in range(-(-WINDOWS // windows)):
        journal.append([decode_record(body) for body in copied(bodies, number)])
    last = journal.last_seq
    journal.close()
    if problems:
        raise problems[0]
    return last


class Exchange:
    """``polyhost exchange serve`` on a free port."""

    def __init__(self, host: str, folder: Path) -> None:
        ready = folder / "exchange.json"
        command = [host, "exchange", "serve", "--port", "0", "--ready-file", str(ready)]
        self.process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        began = time.monotonic()
        while not ready.exists():
            if time.monotonic() - began > WAIT_S or self.process.poll() is not None:
                raise RuntimeError("the exchange did not start")
            time.sleep(0.02)
        time.sleep(0.1)
        self.url: str = json.loads(ready.read_text())["url"]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(WAIT_S)


def started(host: str, config: Path, data: Path) -> tuple[subprocess.Popen[bytes], float]:
    """A run, and the seconds from its start until it says that it is ready."""
    from polyhost.service import live_file

    errors = (data.parent / "run.log").open("wb")
    (data / live_file.LIVE_FILE).unlink(missing_ok=True)
    began = time.perf_counter()
    process = subprocess.Popen(
        [host, "run", "-c", str(config), "--data-dir", str(data)], stdout=subprocess.DEVNULL, stderr=errors,
        env=as_installed(),
    )
    while time.perf_counter() - began < WAIT_S and process.poll() is None:
        live = live_file.read(data)
        if live is not None and live.ready:
            return process, time.perf_counter() - began
        time.sleep(0.002)
    process.kill()
    raise RuntimeError(f"not ready: {(data.parent / 'run.log').read_text()[-500:]}")


def killed(process: subprocess.Popen[bytes]) -> float:
    """End it as a power cut would; the CPU seconds it had used, of a machine that does other things as well."""
    process.send_signal(signal.SIGKILL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = status
    return used.ru_utime + used.ru_stime


def fold_s(data: Path) -> float:
    """Reading and folding the journal alone."""
    from polyhost.journal import read_journal
    from polyhost.kernel.state import fold

    began = time.perf_counter()
    fold(record for _, record in read_journal(data / "journal.db"))
    return time.perf_counter() - began


def measure() -> list[dict[str, Any]]:
    host = str(Path(sys.executable).with_name("polyhost"))
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        full, empty = folder / "full", folder / "empty"
        empty.mkdir()
        records = write_history(full, "main")
        exchange = Exchange(host, folder)
        try:
            config = folder / "polyhost.toml"
            config.write_text(CONFIG.format(url=exchange.url))
            seconds: dict[Path, list[float]] = {full: [], empty: []}
            cpu: list[float] = []
            for _ in range(ROUNDS + 1):
                for data, found in seconds.items():
                    process, took = started(host, config, data)
                    used = killed(process)
                    found.append(took)
                    if data is full:
                        cpu.append(used)
        finally:
            exchange.stop()
        folded = fold_s(full)
    ready, bare = (statistics.median(found[1:]) for found in seconds.values())
    return [
        {
            "id": "B9", "what": f"kill -9 to ready, {WINDOWS} windows of history", "ours_s": round(ready, 3),
            "cpu_s": round(statistics.median(cpu[1:]), 3), "empty_s": round(bare, 3), "fold_s": round(folded, 3),
            "records": records, "ratio": round(ready, 3), "budget": BUDGET_S, "stretch": STRETCH_S,
            "ok": ready <= BUDGET_S,
        }
    ]


if __name__ == "__main__":
    for figure in measure():
        print(json.dumps(figure))
