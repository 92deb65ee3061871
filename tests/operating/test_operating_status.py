"""What an operator sees of a run: its phase, whether it is ready, and a report that stays on the screen (OPS-01)."""

from __future__ import annotations

import fcntl
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from polyhost.cli import main as front
from polyhost.service import live_file
from polyhost.service.live_file import Live, readiness
from polyhost.service.phases import MEANS, NEXT, Phase, entered
from polyhost.service.watching import screen, watched

from ..unhurried import WALL_S, standing_wall  # noqa: F401 a fixture

ROOT = Path(__file__).resolve().parents[2]


def said(folder: Path, *, age_s: float = 0.0, **more: Any) -> None:
    now = int(WALL_S * 1_000) - round(age_s * 1_000)
    values = {"ready": True, "sealed": "", "loops": {}, **more}
    live_file.write(folder, Live("run", now, values.pop("ready"), values.pop("sealed"), values.pop("loops"), []))


@pytest.mark.parametrize(("say", "wanted"), [
    (lambda folder: None, "the host has not said anything yet"),
    (said, ""),
    (lambda folder: said(folder, age_s=60), "the host has not said anything for 60 s"),
    (lambda folder: said(folder, ready=False), "it is stopping"),
    (lambda folder: said(folder, sealed="disk full", ready=False), "sealed: disk full"),
    (lambda folder: said(folder, loops={"kernel": {"alive": False, "safety": True}}, ready=False), "not alive: kernel"),
])
def test_ops_01_ready_is_a_host_that_runs_and_may_enter(
    tmp_path: Path, say: Callable[[Path], None], wanted: str
) -> None:
    say(tmp_path)
    command = ["status", "--ready", "--json", "--data-dir", str(tmp_path)]
    idle = CliRunner().invoke(front.app, command)
    assert (idle.exit_code, json.loads(idle.stdout)["reason"]) == (1, "no host runs there")
    with (tmp_path / "host.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert readiness(tmp_path) == (not wanted, wanted)
        assert CliRunner().invoke(front.app, command).exit_code == bool(wanted)


def test_ops_01_the_report_is_shown_again_until_somebody_has_seen_enough(tmp_path: Path) -> None:
    looks = []

    def enough(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            raise KeyboardInterrupt

    console = Console(width=300, height=20, record=True, force_terminal=True, file=io.StringIO())
    watched(tmp_path, console=console, sleep=enough)
    assert looks == [2.0] * 3
    assert "nothing was ever run" in console.export_text()


def test_ops_01_a_pipe_gets_every_look_as_it_is_made(tmp_path: Path) -> None:
    """`polyhost status --watch | tee file`: a live picture would show nothing before its end."""
    out, seen = io.StringIO(), []

    def enough(seconds: float) -> None:
        seen.append(out.getvalue())
        if len(seen) == 2:
            raise KeyboardInterrupt

    watched(tmp_path, console=Console(width=20, file=out), sleep=enough)
    line = f"{tmp_path}: nothing was ever run here\n\n"
    assert seen == [line, line * 2]


def test_ops_01_what_does_not_fit_on_the_screen_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polyhost.service.watching.lines", lambda report: [f"line {number}" for number in range(40)])
    shown = [str(line) for line in screen(tmp_path, 11).renderables]
    assert shown[:-1] == [f"line {number}" for number in range(9)]
    assert shown[-1].startswith("… 31 more lines")


def test_ops_01_every_phase_has_a_meaning_a_way_and_a_line_in_the_docs() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    assert set(MEANS) == set(NEXT) == set(Phase)
    for phase in Phase:
        assert f"| {phase.value} | {MEANS[phase]} | {', '.join(NEXT[phase]) or 'nothing'} |" in page
        assert entered(phase, phase) is phase
    with pytest.raises(AssertionError, match="ended does not lead to trading"):
        entered(Phase.ENDED, Phase.TRADING)
