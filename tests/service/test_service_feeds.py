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


class Whole(NamedTuple):
    config: Path
    data: Path
    folder: Path
    host: Started
    summary: Mapping[str, Any]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("feeds")
    data = folder / "data"
    (folder / "wild.py").write_text(WILD)
    config = configuration(folder, data, MORE)
    config.write_text(f'plugin_paths = ["{folder / "wild.py"}", "{FAVOURITE}"]\n' + config.read_text())
    choose(data, "entry_policy", True)
    host = command("run", "-c", config, "--windows", 1, "--speed", 60, "--json", cwd=folder)
    assert host.process.returncode == 0, host.told()
    return Whole(config, data, folder, host, report(host))


def lines(whole: Whole) -> list[dict[str, Any]]:
    files = sorted(whole.data.glob("recordings/*/*.jsonl.gz"))
    return [json.loads(line) for file in files for line in gzip.decompress(file.read_bytes()).splitlines()]


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
    assert whole.summary["by_plugin"]["sentiment"]["answers"] > 10
    assert whole.summary["by_plugin"]["sentiment"]["strikes"] == 0


def test_con_17_readings_are_recorded_under_their_sources(whole: Whole) -> None:
    told = [line for line in lines(whole) if line["source"] not in ("polymarket", "binance", "gamma", "host")]
    names = Counter((line["source"], line["msg"]["name"]) for line in told)
    assert {
        ("binance_futures", "mark.BTC"), ("binance_futures", "funding.BTC"), ("second_spot", "spot2.BTC"),
        ("fear_greed", "fear_greed"), ("flood.much", "n"), ("broken", "before"),
    } == set(names)
    # Far fewer than the flood yielded, and no more than the pace allows: 50 a second, the speed being 60.
    floods = [line for line in told if line["source"] == "flood.much"]
    wall_s = (floods[-1]["wall"] - floods[0]["wall"]) / 1_000
    assert len(floods) <= 51 * wall_s + 2
    assert floods[-1]["msg"]["value"] > len(floods)
    ages = sorted(line["ts"] - line["msg"]["at"] for line in told if line["msg"]["name"] == "spot2.BTC")
    assert ages[len(ages) // 2] < 20_000, "the services' own time, market ms, at sixty times the speed"


def test_con_17_the_recorded_run_with_feeds_gives_the_same_bytes_again(whole: Whole) -> None:
    again = command("replay", "-c", whole.config, "--data-dir", whole.data, "--json", cwd=whole.folder)
    assert again.process.returncode == 0, again.told()
    found = report(again)
    assert (found["identical"], found["answers_differ"], found["differences"]) == (True, 0, [])
    assert found["records"] == sum(not isinstance(record, RunEnded) for record in records(whole.data))
    assert found["asked"] > 10
