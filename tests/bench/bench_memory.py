"""B8: what the host holds in memory: a run of 4 symbols by 2 durations, 24 simulated hours of it, and a backtest.

Memory is proportional (PSS): what two processes share counts once. The run is ``polyhost run`` on its own simulated
exchange, as fast as the machine allows, with every default on (recording, analysis data, logs); the simulated exchange
is one of its processes and counts. Growth is the median of the last half hour over that of the half hour after the
first hour (market time), when the caches are full. What the 24 hours left on the disk, and the open files, are told
beside it.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from generate import write

SPEED: Final = 600
HOURS: Final = 24
HOUR_MS: Final = 3_600_000
SAMPLE_S: Final = 2.0
RUN_MB: Final = 250
GROWTH: Final = 0.05
BACKTEST_MB: Final = 160
"""A third of what nautilus_trader held on the same tape (430 to 508 MB, measured once on a machine of this class)."""
FLAT: Final = 1.1
"""A backtest of five times the events may hold so many times the memory: "flat", within the spread of an allocator."""
EVENTS: Final = (100_000, 500_000)
WITHIN_S: Final = 3_000.0
CONFIG: Final = """
[host]
data_dir = "{data}"
[markets]
symbols = ["BTC", "ETH", "SOL", "XRP"]
durations = ["5m", "15m"]
[exchange]
density = 4.0
cash = "100000"
[breakers]
daily_loss = "100000"
drawdown = 1.0
emergency_stops_hour = 1000000
exit_failures = 1000000
"""
"""A population a fifth as lively as the default's, as the simulated exchange is what a day of eight markets waits for;
and breakers that let the shipped strategies go on losing, so that there are orders all day."""
PEAK: Final = (
    "import resource, sys; from pathlib import Path; sys.path.insert(0, sys.argv[2]); from bench_backtest import once; "
    "once(Path(sys.argv[1])); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
)


class Sample(NamedTuple):
    """A running host at one instant: market ms, MB of each process, files that all of them have open."""

    at: int
    megabytes: dict[str, float]
    files: int

    @property
    def total(self) -> float:
        return sum(self.megabytes.values())


def family(pid: int) -> Iterator[int]:
    """A process and all that it started."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from family(int(child))


def sampled(pid: int, at: int) -> Sample:
    megabytes: dict[str, float] = {}
    files = 0
    for each in family(pid):
        try:
            name = " ".join(Path(f"/proc/{each}/cmdline").read_text().split("\0")[1:])
            rollup = Path(f"/proc/{each}/smaps_rollup").read_text()
            files += len(os.listdir(f"/proc/{each}/fd"))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended since it was listed
        pss = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        megabytes[f"{each} {name[:40]}"] = pss / 1_024
    return Sample(at, megabytes, files)


def watched(folder: Path) -> list[Sample]:
    """Samples of 24 hours of a run. Raises RuntimeError when the host ends first or takes too long."""
    data, config = folder / "data", folder / "polyhost.toml"
    config.write_text(CONFIG.format(data=data))
    host = [sys.executable, "-P", "-m", "polyhost", "run", "-c", str(config), "--speed", str(SPEED)]
    samples: list[Sample] = []
    with (folder / "err").open("w") as errors, subprocess.Popen(
        host, cwd=folder, stdout=subprocess.DEVNULL, stderr=errors
    ) as process:
        try:
            deadline = time.monotonic() + WITHIN_S
            while not samples or samples[-1].at < samples[0].at + HOURS * HOUR_MS:
                time.sleep(SAMPLE_S)
                if process.poll() is not None or time.monotonic() > deadline:
                    reached = (samples[-1].at - samples[0].at) / HOUR_MS if samples else 0.0
                    told = (folder / "err").read_text()[-500:]
                    raise RuntimeError(f"after {reached:.1f} hours the host had ended or was too slow: {told}")
                at = market_time(data)
                if at:
                    samples.append(sampled(process.pid, at))
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
    return samples


def market_time(data: Path) -> int:
    try:
        return int(json.loads((data / "live.json").read_bytes())["market_ms"])
    except (OSError, KeyError):
        return 0


def of_the_run(folder: Path) -> list[dict[str, Any]]:
    begin = time.monotonic()
    samples = watched(folder)
    start = samples[0].at
    early = [each for each in samples if HOUR_MS <= each.at - start <= 1.5 * HOUR_MS]
    late = [each for each in samples if each.at - start >= (HOURS - 0.5) * HOUR_MS]
    before, after = (statistics.median(each.total for each in part) for part in (early, late))
    peak = max(samples, key=lambda each: each.total)
    sizes = {
        path.name: round(sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*"))
                             if file.is_file()) / 1e6, 1)
        for path in sorted((folder / "data").iterdir())
    }
    what = "memory of run, 4 symbols by 2 durations"
    return [
        {
            "id": "B8", "what": f"{what}, MB at its peak", "ours_mb": round(peak.total, 1),
            "processes": {name: round(size, 1) for name, size in peak.megabytes.items()},
            "ratio": round(peak.total / RUN_MB, 3), "budget": 1.0, "ok": peak.total <= RUN_MB,
        },
        {
            "id": "B8", "what": f"{what}, growth over {HOURS} h", "early_mb": round(before, 1),
            "late_mb": round(after, 1), "open_files": [early[0].files, late[-1].files],
            "disk_mb": {name: size for name, size in sizes.items() if size},
            "speed_effective": round((samples[-1].at - start) / 1_000 / (time.monotonic() - begin), 1),
            "ratio": round(after / before - 1, 3), "budget": GROWTH, "ok": after / before - 1 < GROWTH,
        },
    ]


def of_a_backtest(folder: Path) -> dict[str, Any]:
    megabytes = []
    for events in EVENTS:
        tape = write(folder / f"{events}.jsonl", events)
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(tape), str(Path(__file__).parent)], capture_output=True, text=True,
            check=False, cwd=folder,
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-500:])
        megabytes.append(int(done.stdout.split()[-1]) / 1_024)
    few, many = megabytes
    return {
        "id": "B8", "what": "memory of a backtest, MB at 500,000 events", "ours_mb": round(many, 1),
        "at_100k_mb": round(few, 1), "ratio": round(many / BACKTEST_MB, 3), "budget": 1.0,
        "ok": many <= BACKTEST_MB and many <= FLAT * few,
    }


def measure() -> list[dict[str, Any]]:
    if not Path("/proc/self/smaps_rollup").exists():
        return [{"id": "B8", "what": "memory", "skipped": "is read from Linux's /proc"}]
    with tempfile.TemporaryDirectory() as folder:
        backtest = of_a_backtest(Path(folder))
        return [*of_the_run(Path(folder)), backtest]


if __name__ == "__main__":
    for figure in measure():
        print(json.dumps(figure))
