"""What stops a run before it trades: said in one line, with the exit code of whose fault it is."""

from __future__ import annotations

import http.server
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from polyhost.errors import ConfigError
from polyhost.service.folder import DataFolder, running_pid
from polyhost.service.state_lock import only_one_exchange

from .service_runs import Started, command, configuration


def refused(started: Started, code: int) -> str:
    """The one line on standard error that says why."""
    assert started.process.returncode == code, started.told()
    assert started.out == []
    errors = [line for line in started.err if line.startswith("Error: ")]
    assert len(errors) == 1, started.told()
    assert not any("Traceback" in line for line in started.err), started.told()
    return errors[0]


@contextmanager
def web_server() -> Iterator[str]:
    """Something that speaks HTTP and is no exchange."""

    class Quiet(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_con_18_a_builder_code_that_the_venue_does_not_know_ends_it_with_code_2(tmp_path: Path) -> None:
    (tmp_path / "polyhost.toml").write_text(f'[venue]\nbuilder_code = "0x{"ab" * 32}"\n')
    text = refused(command("run", "--data-dir", "data", cwd=tmp_path), 2)
    assert "[venue] builder_code: is no builder code that the venue knows, so no order with it would be taken" in text
    assert "mend it or leave it empty (the simulated exchange knows those of [exchange.builders])" in text
    assert f"given '0x{'ab' * 32}" in text


# --- the venue --------------------------------------------------------------------------------------------------------


def test_an_exchange_that_is_not_there_ends_it_with_code_3_and_the_remedy(tmp_path: Path) -> None:
    text = refused(command("run", "--exchange", "http://127.0.0.1:9", "--data-dir", "data", cwd=tmp_path), 3)
    assert "http://127.0.0.1:9: no exchange answers (" in text
    assert "start `polyhost exchange serve`" in text
    # LOG-07: the folder's error log keeps it.
    assert "exit code 3: http://127.0.0.1:9: no exchange answers" in (tmp_path / "data/logs/errors.log").read_text()


def test_a_web_server_is_no_exchange(tmp_path: Path) -> None:
    with web_server() as url:
        text = refused(command("run", "--exchange", url, "--data-dir", "data", cwd=tmp_path), 3)
    assert "what answers there is no simulated exchange (HTTP 404" in text


def test_an_address_that_is_none_is_a_wrong_setting(tmp_path: Path) -> None:
    text = refused(command("run", "--exchange", "nonsense", "--data-dir", "data", cwd=tmp_path), 2)
    assert "'nonsense'" in text


def test_the_speed_of_an_exchange_elsewhere_is_its_own(tmp_path: Path) -> None:
    text = refused(command("run", "--exchange", "http://127.0.0.1:9", "--speed", 2, cwd=tmp_path), 2)
    assert "has its own speed; leave --speed out" in text


# --- the folder -------------------------------------------------------------------------------------------------------


def test_sec_04_a_second_host_on_the_same_folder_is_refused_by_name(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with DataFolder(data):
        assert running_pid(data) == os.getpid()
        text = refused(command("run", "--data-dir", data, cwd=tmp_path), 2)
        assert f"another host already uses {data} (pid {os.getpid()})" in text
        assert running_pid(data) == os.getpid()
    assert running_pid(data) is None


@pytest.mark.parametrize("data", ["file", "file/below"])
def test_a_data_folder_that_is_a_file_is_refused(tmp_path: Path, data: str) -> None:
    (tmp_path / "file").write_text("mine")
    text = refused(command("run", "--data-dir", data, cwd=tmp_path), 2)
    assert f"the data folder {data} cannot be used" in text
    assert "--data-dir" in text
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_data_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o555)
    text = refused(command("run", "--data-dir", "data", cwd=tmp_path), 2)
    assert "cannot be used: Permission denied" in text


def test_a_summary_that_could_not_be_written_is_said_before_the_run(tmp_path: Path) -> None:
    config = configuration(tmp_path, tmp_path / "data")
    text = refused(command("run", "-c", config, "--summary", tmp_path / "none" / "out.json", cwd=tmp_path), 2)
    assert f"there is no folder {tmp_path / 'none'}" in text
    assert not (tmp_path / "data").exists()


# --- starting anew ----------------------------------------------------------------------------------------------------

THERE = (
    "journal.db", "journal.db-wal", "journal.db-shm", "journal.db.emergency.jsonl", "journal.db.emergency.jsonl.taken1",
    "journal.db.v1.backup", "journal.db.v1.2.backup", "analysis.db", "analysis.db-wal", "analysis.db.v1.backup",
    "exchange.state", "exchange.state.log",
)  # fmt: skip


def test_fresh_sets_everything_aside_that_a_run_would_go_on_with(tmp_path: Path) -> None:
    for name in (*THERE, "polyhost.toml"):
        (tmp_path / name).write_text(name)
    (tmp_path / "recordings" / "run-1").mkdir(parents=True)
    (tmp_path / "logs").mkdir()
    with DataFolder(tmp_path) as folder:
        kept = folder.set_aside()
    assert kept is not None
    assert kept.parent == tmp_path
    assert sorted(path.name for path in kept.iterdir()) == sorted([*THERE, "recordings"])
    assert all((kept / name).read_text() == name for name in THERE)
    left = sorted(path.name for path in tmp_path.iterdir() if path != kept)
    assert left == ["exchange.state.lock", "host.lock", "logs", "polyhost.toml"]


def test_fresh_twice_in_one_second_loses_nothing(tmp_path: Path) -> None:
    kept = []
    with DataFolder(tmp_path) as folder:
        for text in ("first", "second"):
            folder.journal.write_text(text)
            kept.append(folder.set_aside())
        assert folder.set_aside() is None
    assert [(path / "journal.db").read_text() for path in kept if path is not None] == ["first", "second"]


def test_fresh_does_not_take_a_state_away_from_an_exchange_that_still_writes_it(tmp_path: Path) -> None:
    with DataFolder(tmp_path) as folder:
        folder.exchange_state.write_text("state")
        with only_one_exchange(folder.exchange_state), pytest.raises(ConfigError, match="another exchange"):
            folder.set_aside(within_s=0)
        assert folder.exchange_state.exists()
        assert folder.set_aside() is not None
