"""``polyhost simulate``: the report's shape, the exit codes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from polyhost.cli import main as front
from polyhost.errors import ConfigError
from polyhost.lab.sim_checks import Checks
from polyhost.lab.sim_finding import must
from polyhost.lab.simulate import chosen_pathologies


def exit_code(args: list[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        front.main(args)
    return stop.value.code if isinstance(stop.value.code, int) else 0


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


ARGS = ["simulate", "--seeds", "1:3", "--hours", "0.02", "--density", "5", "--workers", "1"]


def test_the_report_is_one_object_with_the_agreed_keys(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code([*ARGS, "--pathologies", "ws_gap=1", "--pathologies", "dup_trade,late_fill", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["seeds"] == 2
    assert report["simulated_hours"] == pytest.approx(0.04)
    assert set(report["pathologies"]) == {"ws_gap", "dup_trade", "late_fill"}
    assert report["pathologies"]["ws_gap"] > 0
    assert report["invariants"]["broken"] == 0
    assert report["invariants"]["checked"] > 0
    assert report["first_failing_seed"] is None
    assert report["events"] > 0
    assert report["wall"]["workers"] == 1


def test_a_broken_invariant_is_exit_code_1_with_the_command_that_replays_it(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checks, "_end", lambda self, state: must(False, "nothing_open_at_the_end", "a test says so"))
    assert exit_code([*ARGS, "--json"]) == 1
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert report["first_failing_seed"] == 1
    assert report["failing_seeds"] == [1, 2]
    assert report["invariants"]["broken_names"] == ["nothing_open_at_the_end"]
    assert report["replay"] == "polyhost simulate --seeds 1:2 --hours 0.02 --pathologies all --density 5"
    assert err.count("again: polyhost simulate --seeds 1:2 ") == 1
    assert "host    not yet: nothing_open_at_the_end" in err


def test_ones_own_configuration_runs_without_the_random_trader(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "mine.toml").write_text('[markets]\nsymbols = ["ETH"]\ndurations = ["5m"]\n')
    args = [*ARGS[:1], "--seeds", "4", *ARGS[3:], "-c", "mine.toml", "--pathologies", "none", "--calm"]
    assert exit_code(args) == 0
    assert "1 seeds, 0.02 hours" in capsys.readouterr().out


def test_a_calm_run_has_no_pathologies_unless_they_are_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code([*ARGS, "--calm", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pathologies"] == {}
    assert exit_code([*ARGS, "--calm", "--pathologies", "dup_trade", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["pathologies"]) == ["dup_trade"]


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["--seeds", "5:5"], "names no seeds"),
        (["--seeds", "x"], "names no seeds"),
        (["--pathologies", "late_fil"], "late_fill"),
        (["--pathologies", "late_fill=2"], "from 0 to 1"),
    ],
)
def test_what_cannot_be_meant_is_exit_code_2(
    here: Path, capsys: pytest.CaptureFixture[str], args: list[str], word: str
) -> None:
    assert exit_code(["simulate", *args]) == 2
    assert word in capsys.readouterr().err


def test_all_are_the_pathologies_that_strike_in_a_simulation() -> None:
    assert len(chosen_pathologies(["all"])) >= 25
    assert chosen_pathologies(["none"]) == {}
    assert chosen_pathologies(["all", "ws_gap=0"])["ws_gap"] == 0
    with pytest.raises(ConfigError, match="no such pathology"):
        chosen_pathologies(["nothing_known"])
