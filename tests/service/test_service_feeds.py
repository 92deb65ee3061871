"""A whole run with feeds: the simulated services are read, plugins see them, all is recorded and replayed (CON-17)."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from polyhost.configuration.choices import choose
from polyhost.model.records import FillBooked, RunEnded

from .service_runs import Started, command, configuration, records, report

WILD = '''
from collections.abc import Iterator
from polyhost import Feed, Plugin, Reading, hookimpl

class Flood(Plugin):
    name = "flood"
    @hookimpl
    def feeds(self, config):
        return [Feed(self.flood(), "much"), Feed(self.mad(), "mad")]
    def flood(self):
        number = 0
        while True:
            number += 1
            yield Reading("n", number)
    def mad(self):
        while True:
            yield Reading("nan", float("nan"))
            yield "nonsense"

class Broken(Plugin):
    name = "broken"
    @hookimpl
    def feeds(self, config):
        return [self.fails()]
    def fails(self):
        yield Reading("before", 1.0)
        raise RuntimeError("the source is down")
'''
MORE = """\
[plugins.favourite]
trusted = true
[plugins.entry_policy]
enabled = false
[plugins.binance_futures]
[plugins.second_spot]
[plugins.fear_greed]
[plugins.flood]
[plugins.broken]
trusted = true
[plugins.sentiment]
funding_off_min = 0.0
"""
FAVOURITE = Path(__file__).parents[1] / "plugins" / "favourite.py"
SPEEDS = (60, 30, 15)
"""Of the market, at most. Where a window is over before every feed has begun and somebody has bought, the next one
lasts longer: a machine that is busy elsewhere needs that."""
ALL = {
    ("binance_futures", "mark.BTC"), ("binance_futures", "funding.BTC"), ("second_spot", "spot2.BTC"),
    ("fear_greed", "fear_greed"), ("flood.much", "n"), ("broken", "before"),
}
"""Sources and names of the readings there are."""
LATE_S = 10.0
"""Wall seconds by which the first reading of a busy machine may come late."""


class Whole(NamedTuple):
    config: Path
    data: Path
    folder: Path
    host: Started
    summary: Mapping[str, Any]

    @property
    def complete(self) -> bool:
        """Something was bought, every feed was heard, and those who read them answered."""
        bought = any(isinstance(record, FillBooked) for record in records(self.data))
        return bought and set(names(self)) >= ALL and self.summary["by_plugin"]["sentiment"]["answers"] > 0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    for speed in SPEEDS:
        folder = tmp_path_factory.mktemp("feeds")
        data = folder / "data"
        (folder / "wild.py").write_text(WILD)
        config = configuration(folder, data, MORE)
        config.write_text(f'plugin_paths = ["{folder / "wild.py"}", "{FAVOURITE}"]\n' + config.read_text())
        choose(data, "entry_policy", True)
        host = command("run", "-c", config, "--windows", 1, "--speed", speed, "--json", cwd=folder)
        assert host.process.returncode == 0, host.told()
        found = Whole(config, data, folder, host, report(host))
        if found.complete:
            return found
    raise AssertionError(f"in {len(SPEEDS)} runs not every feed was heard, or nothing was bought: {names(found)}")


def lines(whole: Whole) -> list[dict[str, Any]]:
    files = sorted(whole.data.glob("recordings/*/*.jsonl.gz"))
    return [json.loads(line) for file in files for line in gzip.decompress(file.read_bytes()).splitlines()]


def readings(whole: Whole) -> list[dict[str, Any]]:
    return [line for line in lines(whole) if line["source"] not in ("polymarket", "binance", "gamma", "host")]


def names(whole: Whole) -> Counter[tuple[str, str]]:
    return Counter((line["source"], line["msg"]["name"]) for line in readings(whole))


def test_con_17_the_host_trades_on_whatever_its_feeds_do(whole: Whole) -> None:
    assert whole.summary["windows"] >= 1
    assert whole.summary["invariants"]["broken"] == 0
    assert any(isinstance(record, FillBooked) for record in records(whole.data))
    said = "\n".join(whole.host.err)
    assert "feeds of broken: broken: RuntimeError: the source is down; started again in" in said
    assert "feeds of flood: flood.mad: nan: its value is not finite; from here on" in said


def test_cfg_01_the_start_tells_what_a_person_and_the_machine_set_differently(whole: Whole) -> None:
    words = "configuration: [plugins.entry_policy] enabled: false in "
    (line,) = [line for line in whole.host.err if words in line]
    assert f"but true was chosen in {whole.data}/choices.toml:7; {whole.config}:" in line
    assert line.endswith(" holds")
    assert "entry_policy" not in whole.summary["by_plugin"]


def test_sig_06_sentiment_answers_from_what_the_simulated_services_say(whole: Whole) -> None:
    assert whole.summary["by_plugin"]["sentiment"]["answers"] > 0
    assert whole.summary["by_plugin"]["sentiment"]["strikes"] == 0


def test_con_17_readings_are_recorded_under_their_sources(whole: Whole) -> None:
    told = readings(whole)
    assert set(names(whole)) == ALL
    # No more than the pace allows: 50 a second at most (the flood yields hundreds), of which many may come at once.
    floods = [line for line in told if line["source"] == "flood.much"]
    wall_s = (floods[-1]["wall"] - floods[0]["wall"]) / 1_000
    assert len(floods) <= 51 * (wall_s + LATE_S) + 2
    numbers = [line["msg"]["value"] for line in floods]
    assert numbers == sorted(set(numbers)), "what was overtaken is not told"
    last = [line for line in told if line["msg"]["name"] == "spot2.BTC"][-1]
    assert last["msg"]["at"] - last["wall"] > 5_000, "the services' own time, market ms, which is far ahead of the wall"


def test_con_17_the_recorded_run_with_feeds_gives_the_same_bytes_again(whole: Whole) -> None:
    again = command("replay", "-c", whole.config, "--data-dir", whole.data, "--json", cwd=whole.folder)
    assert again.process.returncode == 0, again.told()
    found = report(again)
    assert (found["identical"], found["answers_differ"], found["differences"]) == (True, 0, [])
    assert found["records"] == sum(not isinstance(record, RunEnded) for record in records(whole.data))
    assert found["asked"] >= whole.summary["evaluations"] > 0
