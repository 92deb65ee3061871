"""A night in minutes: a live and a paper account on an exchange that plays the venue, every process killed in turn.

``make night ARGS="[--windows 8] [--speed 20] [--keep FOLDER] [--database URL]"``. Host, exchange and dashboard are
started again when they are gone, as systemd would do it, and nothing else is done by hand until the end: the host
starts its plugin processes again itself. The exchange is the venue, in its own governed time; the paper
account matches in the host, against that venue's book. Each in turn gets kill -9 while positions or orders are open:
the plugin process, the live account's gateway (its worker, then all of it), the dashboard, the exchange, the host.

At the end the venue is asked: every order of the key is one that the journal knows and none is left, every share and
the collateral are what the ledger says, by both clients; both accounts' own invariants hold. One JSON object is
printed; exit code 1 when anything was lost, doubled or left unmanaged.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from loguru import logger

ROOT: Final = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/service"))

from service_runs import Exchange, Started, account_at, command, records  # noqa: E402

from polyhost.kernel.state import State, fold  # noqa: E402
from polyhost.model.records import OrderIntended, RunEnded, RunStarted  # noqa: E402
from polyhost.model.words import Action, OrderState  # noqa: E402
from polyhost.service.gateway_launch import throwaway_key  # noqa: E402

ACCOUNTS: Final = ("real", "paper")
STEP_S: Final = 240.0
"""For what must come about after a kill, wall seconds, on a busy machine too."""
CONFIG: Final = """\
plugin_paths = ["{eager}"]
[host]
data_dir = "{data}"
database = "{database}"
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
[breakers]
disconnects_hour = 1000
emergency_stops_hour = 1000
{venue}[accounts.real]
mode = "live"
key = {{ file = "{key}" }}
[accounts.paper]
mode = "paper"
"""


class Watched:
    """A process that is started again whenever it is gone, as by systemd; every start is kept."""

    def __init__(self, start: Callable[[], Started]) -> None:
        self._start = start
        self.starts = [start()]
        self.fallen: list[str] = []
        """Ends that were nobody's kill."""
        self.ending = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def last(self) -> Started:
        return self.starts[-1]

    @property
    def pid(self) -> int:
        return self.last.process.pid

    def _run(self) -> None:
        while not self.ending:
            code = self.last.process.poll()
            if code is not None and not self.ending:
                if code != -signal.SIGKILL:
                    self.fallen.append(f"ended by itself with {code}: {self.last.told()}")
                self.starts.append(self._start())
            time.sleep(0.1)

    def end(self) -> int:
        """Stop it gracefully, for good."""
        self.ending = True
        self._thread.join()
        return self.last.stop(signal.SIGINT)


class Venue(Exchange):
    """The exchange that keeps its port and its state; started again when it is gone."""

    def watch(self) -> None:
        self.ending = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self.ending:
            if self.process.process.poll() is not None and not self.ending:
                self.start()
            time.sleep(0.1)

    def end(self) -> None:
        self.ending = True
        self._thread.join()
        self.process.stop(signal.SIGINT)


def children(pid: int, words: tuple[str, ...]) -> list[int]:
    """Processes below ``pid`` whose command line has one of the words."""
    found = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, tasks.read_text().split()):
            line = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            if any(word in line for word in words):
                found.append(child)
            found += children(child, words)
    return found


class Night:
    """The story, and what was counted in it."""

    def __init__(self, folder: Path, windows: int, speed: float, database: str) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.summary = folder / "summary.json"
        self.windows = windows
        self.killed: Counter[str] = Counter()
        self.back_s: dict[str, list[float]] = {}
        key = folder / "key"
        key.write_text(throwaway_key(1, "night"))
        key.chmod(0o600)
        self.config = folder / "night.toml"
        eager = ROOT / "tests/service/eager.py"
        text = CONFIG.format(eager=eager, data=self.data, key=key, database=database, venue="{venue}")
        venue_config = folder / "venue.toml"
        venue_config.write_text('[markets]\nsymbols = ["BTC"]\ndurations = ["5m"]\n')
        self.venue = Venue(folder, venue_config, speed)
        self.config.write_text(text.replace("{venue}", f'[venue]\nurl = "{self.venue.url}"\n'))
        self.venue.watch()

    def host(self) -> Started:
        return Started("run", "-c", self.config, "--yes", "--summary", self.summary, cwd=self.folder)

    def dashboard(self) -> Started:
        return Started("dashboard", "-c", self.config, "--port", 0, cwd=self.folder)

    # --- what is true ------------------------------------------------------------------------------------------------

    def state(self, account: str) -> State:
        return fold(records(self.data / account), whole=True)

    def open(self, account: str) -> bool:
        """It has an order or a position."""
        if not list((self.data / account).glob("journal.db*")):
            return False
        state = self.state(account)
        return any(order.open for order in state.orders.values()) or any(
            position.size > 0 and not state.markets[position.condition_id].settled
            for position in state.positions.values()
        )

    def settled(self, account: str) -> int:
        """Windows that were traded and are settled."""
        state = self.state(account)
        return len({
            position.condition_id for position in state.positions.values()
            if state.markets[position.condition_id].settled
        })

    def ready(self, account: str) -> bool:
        try:
            live = json.loads((self.data / account / "live.json").read_bytes())
        except (OSError, ValueError):
            return False
        return bool(live["ready"]) and live["wall"] > self.since_ms and all(
            loop.get("alive", True) for loop in live["loops"].values()
        )

    # --- the story ---------------------------------------------------------------------------------------------------

    def tell(self) -> dict[str, Any]:
        self.since_ms = 0
        host, board = self.watched = Watched(self.host), Watched(self.dashboard)
        began = time.monotonic()
        victims: dict[str, Callable[[], list[int]]] = {
            "plugin process": lambda: children(host.pid, ("polyhost.extension",)),
            "gateway worker": lambda: children(host.pid, ("polyhost.venue.gatekeeper",))[1:],
            "gateway process": lambda: children(host.pid, ("polyhost.venue.gatekeeper",)),
            "dashboard": lambda: [board.pid],
            "exchange": lambda: [self.venue.process.process.pid],
            "host": lambda: [host.pid],
        }
        try:
            self._wait("ready", lambda: all(self.ready(name) for name in ACCOUNTS))
            for name, pids in victims.items():
                self._wait(f"something open before the kill of the {name}", lambda: all(map(self.open, ACCOUNTS)))
                found = pids()
                assert found, f"there is no {name}"
                for pid in found:
                    os.kill(pid, signal.SIGKILL)
                self.killed[name] += 1
                at = time.monotonic()
                self.since_ms = int(time.time() * 1_000)
                self._wait(f"another {name}", lambda old=found, pids=pids: set(pids()) - set(old))  # type: ignore[misc]
                self._wait(f"ready after the {name}", lambda: all(self.ready(name) for name in ACCOUNTS))
                self.back_s.setdefault(name, []).append(round(time.monotonic() - at, 1))
            limit = STEP_S * self.windows
            self._wait(
                f"{self.windows} windows each", lambda: min(map(self.settled, ACCOUNTS)) >= self.windows, limit
            )
            for name in ACCOUNTS:
                command("pause", "-c", self.config, "--account", name, cwd=self.folder)
            self._wait("everything settled", lambda: not any(map(self.open, ACCOUNTS)))
            code = host.end()
            board_code = board.end()
            found_out = self._judged(host, code, board_code)
        except AssertionError:
            print(host.last.told(), file=sys.stderr)
            raise
        finally:
            for each in (host, board):
                each.ending = True
                each.last.process.kill()
            self.venue.end()
        return {**found_out, "wall_s": round(time.monotonic() - began, 1)}

    def _wait(self, what: str, true: Callable[[], object], within_s: float = STEP_S) -> None:
        deadline = time.monotonic() + within_s
        while not true():
            assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
            assert not any(each.fallen for each in self.watched), [each.fallen for each in self.watched]
            time.sleep(0.1)

    # --- the judge ---------------------------------------------------------------------------------------------------

    def _judged(self, host: Watched, code: int, board_code: int) -> dict[str, Any]:
        problems = [] if code == 0 else [f"the host ended with {code}: {host.last.told()}"]
        if board_code:
            problems.append(f"the dashboard ended with {board_code}")
        accounts = {name: self._account(name, problems) for name in ACCOUNTS}
        self._venue(self.state("real"), problems)
        asked = command("orders", "-c", self.config, "--account", "real", "--witness", "--json", cwd=self.folder)
        if asked.process.returncode:
            problems.append(f"the clients and the ledger disagree: {asked.told()}")
        return {
            "killed": dict(self.killed), "ready_again_s": self.back_s, "host_starts": len(host.starts),
            "accounts": accounts, "problems": problems,
        }

    def _account(self, name: str, problems: list[str]) -> dict[str, Any]:
        told = records(self.data / name)
        state = fold(told, whole=True)
        entries = Counter(
            (one.slot.condition_id, one.slot.side) for one in told
            if isinstance(one, OrderIntended) and one.draft.action is Action.BUY
        )
        live = [order.ref for order in state.orders.values() if order.open]
        unknown = [order.ref for order in state.orders.values() if order.state is OrderState.UNKNOWN]
        unmanaged = [key for key, position in state.positions.items()
                     if position.size > 0 and not state.markets[position.condition_id].settled]
        own = json.loads(self.summary.read_text())["accounts"][name]
        for what in ("orphans", "positions_open"):
            if own[what]:
                problems.append(f"{name}: {what}: {own[what]}")
        if own["problem"] or own["invariants"]["broken"]:
            problems.append(f"{name}: {own['problem']}, {own['invariants']}")
        for what, found in (("orders open", live), ("orders unknown", unknown), ("positions open", unmanaged)):
            if found:
                problems.append(f"{name}: {what} at the end: {found}")
        return {
            "windows": self.settled(name), "orders": len(state.orders), "bought": sum(entries.values()),
            "fills": len(state.fills), "records": len(told),
            "runs": sum(isinstance(one, RunStarted) for one in told),
            "ended": sum(isinstance(one, RunEnded) for one in told),
            "invariants": own["invariants"]["checked"],
        }

    def _venue(self, known: State, problems: list[str]) -> None:
        """What the exchange itself says of the live account, asked by a client of its own."""
        held = [position.token_id for position in known.positions.values()]
        seen, tokens = account_at(self.venue.url, "night", held)
        for row in seen.orders:
            problems.append(f"live at the venue: {row.order_id}")
        for trade in seen.trades:
            if known.by_order_id(trade.taker_order_id) is None and not any(
                known.by_order_id(maker.order_id) for maker in trade.makers
            ):
                problems.append(f"a trade of no order we know: {trade.trade_id}")
        booked = {position.token_id: position.size for position in known.positions.values()}
        for token, balance in tokens.items():
            if balance != booked[token]:
                problems.append(f"token {token}: the venue has {balance}, the ledger {booked[token]}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=8, help="settled windows that each account trades")
    parser.add_argument("--speed", type=float, default=20.0)
    parser.add_argument("--database", default="", help="postgresql://… for the journals; else files")
    parser.add_argument("--keep", type=Path, help="an empty folder for everything that the processes write")
    given = parser.parse_args()
    logger.remove()
    with tempfile.TemporaryDirectory() as folder:
        place = given.keep or Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        report = Night(place, given.windows, given.speed, given.database).tell()
    print(json.dumps(report, indent=1))
    return int(bool(report["problems"]))


if __name__ == "__main__":
    raise SystemExit(main())
