"""``polyhost selftest crash`` on the command line, and on a configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from polyhost.cli.main import main
from polyhost.configuration import load_configuration
from polyhost.lab.crash import CrashMatrix
from polyhost.lab.crash_points import Target
from polyhost.lab.crash_run import Plan
from polyhost.lab.crash_world import world_stage


def _run(*args: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["selftest", "crash", *args])
    return int(ended.value.code or 0)


def test_one_point_is_tried_again_by_its_name(capfd: pytest.CaptureFixture[str]) -> None:
    assert _run("--point", "send.post.BUY.FAK.after:1", "--down-ms", "900", "--json") == 0
    report = json.loads(capfd.readouterr().out)
    assert (report["runs"], report["survived"], report["kills"], report["failures"]) == (2, 2, 1, [])
    assert report["points"] >= 100
    assert report["not_reached"] == []


def test_a_few_runs_are_spread_over_the_matrix_and_told(capfd: pytest.CaptureFixture[str]) -> None:
    assert _run("--runs", "6", "--jobs", "2") == 0
    told = capfd.readouterr()
    assert "7 runs with" in told.out
    assert "7 survived" in told.out
    assert "6 of 6 runs" in told.err


@pytest.mark.parametrize("label", ["", "a:b", "a:1:2:3:4"])
def test_a_label_that_is_none_is_refused(label: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert _run("--point", label) == 2
    assert "--point" in capfd.readouterr().err


def test_a_broken_configuration_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "polyhost.toml"
    path.write_text("[limits]\nwindw = 3\n")
    assert _run("-c", str(path)) == 2
    assert "windw" in capfd.readouterr().err


def test_per_05_the_built_in_plugins_on_the_simulated_world_survive(tmp_path: Path) -> None:
    """One 5-minute window of BTC and ETH with the default configuration; the whole matrix is ``-c FILE``."""
    path = tmp_path / "polyhost.toml"
    path.write_text('[markets]\nsymbols = ["BTC"]\ndurations = ["5m"]\n')
    matrix = CrashMatrix(world_stage(load_configuration(path, {}), 3))
    base = matrix.undisturbed()
    assert base.problems == []
    assert base.posts >= 1
    points = ("send.post.BUY.FAK.after", "record.order_prepared.committed", "send.post.SELL.GTC.before")
    report = matrix.run([Plan((Target(point),), 0, 900) for point in points if point in base.counts])
    assert report["failures"] == []
    assert report["kills"] >= 2
