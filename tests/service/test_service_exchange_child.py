"""The simulated exchange as the host's child: it lives and dies with the host, and its state has one owner."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from polyhost.errors import ConfigError
from polyhost.service.state_lock import only_one_exchange

from .service_runs import Started, command, configuration, report, state, wait_for


def gone(pid: int) -> bool:
    """The process is not there, or only its exit code is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_killed_host_leaves_no_exchange_behind_and_the_next_run_goes_on_with_its_state(tmp_path: Path) -> None:
    data = tmp_path / "data"
    config = configuration(tmp_path, data)
    with Started("run", "-c", config, "--speed", "60", cwd=tmp_path) as host:
        host.says("found")
        wait_for(lambda: state(data).runs == 1)
        child = json.loads((data / "exchange.ready").read_text())["pid"]
        host.stop(signal.SIGKILL)
    with Started("run", "-c", config, "--speed", "60", "--json", cwd=tmp_path) as again:
        # At once: the first exchange is just saving the state that the second one wants.
        again.says("continuing after 1 runs")
        wait_for(lambda: gone(child))
        assert again.stop() == 0, again.told()
    assert report(again)["invariants"]["broken"] == 0


def test_a_graceful_stop_ends_the_exchange_too(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Started("run", "-c", configuration(tmp_path, data), "--speed", "60", cwd=tmp_path) as host:
        host.says("found")
        child = json.loads((data / "exchange.ready").read_text())["pid"]
        assert host.stop(signal.SIGTERM) == 0
    assert gone(child)
    assert not (data / "exchange.ready").exists()


def test_an_exchange_that_dies_ends_the_run_with_code_3_and_says_where_to_look(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Started("run", "-c", configuration(tmp_path, data), "--speed", "60", cwd=tmp_path) as host:
        host.says("found")
        os.kill(json.loads((data / "exchange.ready").read_text())["pid"], signal.SIGKILL)
        assert host.ended() == 3
    assert "the simulated exchange ended by itself with code -9; see" in host.err[-1]
    assert str(data / "logs" / "exchange.log") in host.err[-1]
    assert "exit code 3: the simulated exchange ended by itself" in (data / "logs" / "errors.log").read_text()


def test_two_exchanges_never_share_a_state(tmp_path: Path) -> None:
    state = tmp_path / "exchange.state"
    with (
        only_one_exchange(state, 0),
        pytest.raises(ConfigError, match=f"another exchange already keeps its state in {state}; stop it"),
        only_one_exchange(state, 0),
    ):
        raise AssertionError("both were let in")
    with only_one_exchange(state, 0):
        pass  # the first one is gone: the state is free


def test_a_state_in_no_folder_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = command("exchange", "serve", "--state", tmp_path / "file" / "state", cwd=tmp_path)
    assert refused.process.returncode == 2
    assert "cannot be used" in refused.err[-1]
    assert str(tmp_path / "file") in refused.err[-1]


def test_modules_in_the_working_folder_are_not_taken_for_the_exchanges_own(tmp_path: Path) -> None:
    """A file called like a package of the host must not be imported (``python -m`` alone would)."""
    (tmp_path / "aiohttp.py").write_text("raise SystemExit('not the real one')\n")
    with Started("run", "-c", configuration(tmp_path, tmp_path / "data"), "--speed", "60", cwd=tmp_path) as host:
        host.says("found")
        assert host.stop() == 0
