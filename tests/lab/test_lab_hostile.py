"""PLG-05 in virtual time: eleven hostile plugins change nothing of what their neighbour decides, to the byte.

docs/hostile-plugins.md is the table of them; how late they make a forced close on the wall clock is measured by
tests/service/test_service_deadlines.py.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from polyhost.extension import Deadlines, Runner, discover, process
from polyhost.hooks import TELLING
from polyhost.lab.backtest import Backtest
from polyhost.lab.plugins import InlinePlugins
from polyhost.lab.tape import Tape
from polyhost.model.records import NoticeRaised, OrderIntended, PluginMoved
from polyhost.settings import Configuration

from .lab_tapes import START, Row, book, quiet_window, resolved, trade, write

HOSTILE: Final = Path(__file__).parents[1] / "plugins_for_tests" / "hostile"
NAMES: Final = tuple(sorted(file.stem for file in HOSTILE.glob("*.py")))
TABLE: Final = (Path(__file__).parents[2] / "docs" / "hostile-plugins.md").read_text(encoding="utf-8")
SHORT: Final = Deadlines(answer_ms=1_500, life_ms=1_600, start_ms=100_000)
"""For those who never answer; they are waited for together."""
ANSWERS_MS: Final = 60_000
"""Who does answer, or ends over it, is waited for that long: how fast this machine is decides nothing."""
STRIKES: Final = 1
"""What a restarted process may do is the matter of the tests of processes, and each start takes a third of a second."""
NEIGHBOUR: Final = '''
from __future__ import annotations
from polyhost import *

class Neighbour(Plugin):
    """Trades, remembers, adjusts, sizes and vetoes."""
    name = "neighbour"

    @hookimpl
    def signal(self, view):
        return Signal(0.6, 0.5, "always", {"fills": float(self.state.get("fills", 0))})

    @hookimpl
    def propose(self, view, estimates):
        if not view.positions and not view.orders and view.time_left_s > 300:
            yield Enter(Side.UP, view.up.ask + 100, "cheap")

    @hookimpl
    def size(self, entry):
        return Stake(Money("10"), "ten")

    @hookimpl
    def exit(self, view, position):
        return ExitTarget(position.side, view.up.ask + 300, "more")

    @hookimpl
    def on_fill(self, fill, at):
        self.state["fills"] = self.state.get("fills", 0) + 1
'''
LOOKED_AT: Final[dict[str, dict[str, bool]]] = {"neighbour": {"trusted": True}, "raises": {}}
CONTAINED: Final = {
    "exits": "its process ended (exit code 7)",
    "floods": "propose: more than 64 answers to one question",
    "garbles": "propose: answered ",
    "hogs": "propose: MemoryError",
    "matches": "no answer within 1500 ms",
    "mutates": "propose: AttributeError: immutable type: 'View'",
    "patches": "propose: price_max is 1000000000 ticks; it must be above 0 and below 10000",
    "raises": "cannot be imported: RuntimeError: this module wants the host to end",
    "sleeps": "no answer within 1500 ms",
    "sums": "no answer within 1500 ms",
    "spins": "no answer within 1500 ms",
}
"""Each hostile plugin → what it was put out of service for."""
LATE: Final = tuple(name for name, said in CONTAINED.items() if said.startswith("no answer"))


def story() -> list[Row]:
    """One window, quoted every ten seconds: the neighbour buys, covers, is sold and buys again."""
    rows = [*quiet_window(every_ms=10_000), trade(START + 150_000, "0.54", "40"), resolved(START + 908_000)]
    return [*rows, book(START + 205_000, "0.56", "0.57")]


class Played(NamedTuple):
    decisions: list[bytes]
    orders: int
    states: dict[str, tuple[str, str]]


def played(folder: Path, hostile: tuple[str, ...]) -> Played:
    """The neighbour's run, in the company of these."""
    (folder / "neighbour.py").write_text(NEIGHBOUR)
    tables = {"neighbour": {"trusted": True}} | {name: {} for name in hostile}
    settings = Configuration.model_validate({
        "plugin_paths": (str(HOSTILE), str(folder / "neighbour.py")), "plugins": tables,
        "evaluation": {"cadence_ms": 10_000},
    })
    named = discover(settings.model_copy(update={"plugins": LOOKED_AT}), folder, points=())
    # Looking at each in a process of its own is another test's matter, and takes as long as the rest of this one.
    found = [
        replace(plugin, state="process", hooks=("propose",)) if plugin.state == "available" else plugin
        for plugin in named if plugin.name in tables
    ]
    runner = Runner(found, settings.evaluation.combiner, SHORT, STRIKES)
    told = frozenset(hook for plugin in found if plugin.runs for hook in plugin.hooks if hook in TELLING)
    runner.start()
    try:
        run = Backtest(settings, InlinePlugins(runner, told))
        run.run([Tape(write(folder / "tape.jsonl", story()))])
    finally:
        runner.stop()
    records = [record for _, record in run.journal.read()]
    decisions = [
        body for record, body in zip(records, run.journal.bodies, strict=True)
        if not isinstance(record, NoticeRaised | PluginMoved)
    ]
    return Played(
        decisions, sum(isinstance(record, OrderIntended) for record in records),
        {status.name: (status.state, status.problem) for status in runner.status()},
    )


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Played, Played]:
    """Without them, and with all of them."""
    real = process.ForeignPlugin.wait

    def wait(self: process.ForeignPlugin, seq: int, within_ms: int) -> Any:
        return real(self, seq, within_ms if self.name in LATE else ANSWERS_MS)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process.ForeignPlugin, "wait", wait)
        patch.setattr(process, "EXIT_S_MAX", ANSWERS_MS / 1_000)
        return played(tmp_path_factory.mktemp("alone"), ()), played(tmp_path_factory.mktemp("beset"), NAMES)


def test_plg_05_the_neighbours_decisions_are_byte_identical_beside_eleven_hostile_plugins(
    both: tuple[Played, Played]
) -> None:
    alone, beset = both
    assert (alone.orders, len(alone.decisions)) == (2, 34), "bought, covered, sold, settled"
    assert beset.decisions == alone.decisions


@pytest.mark.parametrize("name", NAMES)
def test_plg_05_each_hostile_plugin_is_out_of_service_for_what_it_did(
    both: tuple[Played, Played], name: str
) -> None:
    state, problem = both[1].states[name]
    assert state == ("refused" if name == "raises" else "quarantined")
    assert CONTAINED[name] in problem


def test_plg_05_the_page_has_a_row_for_each_of_the_eleven_within_the_limit() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \| (\d+|-) \|$", TABLE, re.MULTILINE)
    assert [name for name, _ in rows] == list(NAMES)
    assert len(NAMES) == 11
    assert [name for name, late in rows if late == "-"] == ["raises"], "what never runs delays nothing"
    assert all(int(late) <= 250 for _, late in rows if late != "-")
