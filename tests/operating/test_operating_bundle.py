"""One archive about a run, with everything somebody else needs and without a secret (OPS-09, LOG-04)."""

from __future__ import annotations

import json
import tarfile
import threading
import time
from pathlib import Path
from typing import Any, Final

import pytest
from eth_account import Account
from typer.testing import CliRunner

from polyhost.cli import main as front
from polyhost.journal import JournalWriter
from polyhost.model.records import NoticeRaised, Record, RunStarted
from polyhost.service import live_file
from polyhost.service.bundle import LeftIn, bundle
from polyhost.service.folder import DataFolder
from polyhost.service.live_file import Live
from polyhost.service.logs import REDACTOR
from polyhost.service.scrubbing import scrubbed

TOKEN: Final = 'tgram://123:ABC"quoted\\token'
KEY: Final = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
ADDRESS: Final = str(Account.from_key(KEY).address)
PING: Final = "https://hc-ping.com/0c4d"
PASSPHRASE: Final = "9f8e7d6c5b4a"
HARMLESS: Final = "0x" + "ab" * 32
"""As long as a key, and the key of nobody who is named."""


@pytest.fixture
def redactor() -> Any:
    """The secrets of this process are those of this test."""
    kept = list(REDACTOR._secrets)
    REDACTOR._secrets.clear()
    yield REDACTOR
    REDACTOR._secrets[:] = kept


def written(path: Path, *records: Record) -> None:
    done = threading.Event()
    writer = JournalWriter(path, "main", lambda seq: done.set() if seq >= len(records) else None, print)
    writer.append(list(records))
    assert done.wait(20)
    writer.close()


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redactor: Any) -> Path:
    """A data folder in which every secret was spilled wherever something can be written."""
    data = tmp_path / "data"
    (data / "logs").mkdir(parents=True)
    now = time.time_ns() // 1_000_000
    spilled = f"{TOKEN} and 0x{KEY.upper()} of {ADDRESS}"
    written(
        data / "journal.db", RunStarted(now, "run-1", "0.1.0", "live", "hash", "main"),
        NoticeRaised(now, "n1", "info", "orders", spilled),
    )
    live_file.write(data, Live("run-1", now, True, spilled, {}, []))
    (data / "logs" / "polyhost.log").write_text(
        f"{spilled}\nheaders {{'POLY_PASSPHRASE': '{PASSPHRASE}'}}\nhttps://me:{PASSPHRASE}@example.org/x\n{HARMLESS}\n"
    )
    monkeypatch.setenv("PLANTED_TOKEN", TOKEN)
    (tmp_path / "polyhost.toml").write_text(
        f'[host]\ndata_dir = "{data}"\nping_url = "{PING}"\n'
        f'[plugins.apprise_notify.channels.phone]\nurls = [{{ env = "PLANTED_TOKEN" }}]\n'
    )
    return tmp_path


def contents(archive: Path) -> dict[str, str]:
    with tarfile.open(archive) as packed:
        return {
            member.name.partition("/")[2]: file.read().decode()
            for member in packed.getmembers() if (file := packed.extractfile(member)) is not None
        }


def made(folder: Path, *more: str) -> tuple[dict[str, Any], dict[str, str]]:
    out = folder / "out.tar.gz"
    command = ["bundle", "-c", str(folder / "polyhost.toml"), "--out", str(out), "--json", *more]
    answer = CliRunner().invoke(front.app, command, catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout), contents(out)


def test_ops_09_a_bundle_holds_what_somebody_else_needs_and_no_secret(planted: Path) -> None:
    report, texts = made(planted)
    assert set(texts) == {
        "configuration.json", "status.json", "health.json", "journal.jsonl", "database.json", "live.json",
        "logs/polyhost.log", "manifest.json",
    } == set(report["files"])
    whole = "\n".join(texts.values())
    for secret in (TOKEN, PING, json.dumps(TOKEN)[1:-1], KEY, KEY.upper(), PASSPHRASE):
        assert secret not in whole
    assert "PLANTED_TOKEN" in texts["configuration.json"], "the source of a secret is told"
    assert ADDRESS in texts["logs/polyhost.log"], "an address is no secret"
    assert HARMLESS in texts["logs/polyhost.log"], "a hash is no key"
    kinds = [json.loads(line)["kind"] for line in texts["journal.jsonl"].splitlines()]
    assert kinds == ["run_started", "notice_raised"]
    assert json.loads(texts["manifest.json"])["secrets_looked_for"] == ["env PLANTED_TOKEN"]
    assert report["hidden"] >= 8
    assert (planted / "out.tar.gz").stat().st_mode & 0o077 == 0


def test_ops_09_only_the_time_that_was_asked_for(planted: Path) -> None:
    journal = planted / "data" / "journal.db"
    journal.unlink()
    now = time.time_ns() // 1_000_000
    written(
        journal, RunStarted(now - 7_200_000, "old", "0.1.0", "live", "hash", "main"),
        NoticeRaised(now, "n2", "info", "orders", "lately"),
    )
    assert [json.loads(line)["seq"] for line in made(planted, "--since", "1h")[1]["journal.jsonl"].splitlines()] == [2]
    assert len(made(planted, "--since", "3h")[1]["journal.jsonl"].splitlines()) == 2


def test_ops_09_a_damaged_journal_does_not_keep_the_rest_away(planted: Path) -> None:
    (planted / "data" / "journal.db").write_bytes(b"no database" * 1_000)
    texts = made(planted)[1]
    assert "logs/polyhost.log" in texts
    assert "no database" in texts["database.json"]
    assert "journal.jsonl" not in texts


def test_ops_09_a_folder_without_a_journal_is_told(tmp_path: Path, redactor: Any) -> None:
    out, data = tmp_path / "out.tar.gz", tmp_path / "mistyped"
    answer = CliRunner().invoke(front.app, ["bundle", "--data-dir", str(data), "--out", str(out)])
    assert answer.exit_code == 0
    assert f"not in it is the journal: {data}" in answer.stderr


def test_ops_09_the_bundle_of_one_account_has_the_hosts_logs_too(planted: Path) -> None:
    """Tracebacks, the start and the windows' logs are in the folder of the host, not of the account."""
    data = planted / "data"
    own = data / "real" / "logs"
    own.mkdir(parents=True)
    (own / "account_real.log").write_text("its own\n")
    (data / "logs" / "gone.log").symlink_to(data / "nowhere")
    with (planted / "polyhost.toml").open("a") as file:
        file.write('[accounts.real]\nmode = "paper"\n[accounts.other]\nmode = "paper"\n')
    report, texts = made(planted, "--account", "real")
    assert {"logs/account_real.log", "host-logs/polyhost.log"} == {name for name in texts if "logs/" in name}
    assert KEY not in texts["host-logs/polyhost.log"]
    assert "there is no journal" in " ".join(report["missing"])


def test_ops_09_a_secret_that_cannot_be_fetched_is_named(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLANTED_TOKEN")
    report, _ = made(planted)
    assert (report["looked_for"], report["not_looked_for"]) == ([], ["env PLANTED_TOKEN"])


def test_ops_09_a_plugin_that_is_set_up_wrongly_does_not_keep_the_rest_away(planted: Path) -> None:
    file = planted / "polyhost.toml"
    file.write_text(file.read_text().replace("urls =", "curls ="))
    assert "curls" in made(planted)[1]["configuration.json"]


def test_ops_09_nothing_is_written_while_a_secret_is_left(
    planted: Path, monkeypatch: pytest.MonkeyPatch, redactor: Any
) -> None:
    """Should the scrubbing ever miss one: the host's own redactor has the last word."""
    monkeypatch.setattr("polyhost.service.bundle.scrubbed", lambda texts, secrets: (dict(texts), 0))
    from polyhost.configuration import load_configuration

    loaded = load_configuration(planted / "polyhost.toml", env={})
    with pytest.raises(LeftIn, match=r"logs/polyhost\.log"):
        bundle(loaded, {}, DataFolder(planted / "data"), 3_600_000, planted / "out.tar.gz")
    assert not list(planted.glob("out*"))


@pytest.mark.parametrize("text", [
    '{"signature":"0xdeadbeef","owner":"0b0b"}', "api_key = 'abc'", "authorization: Bearer", "private_key=5",
    "'POLY_SIGNATURE': 'q'", '"secret": "s"',
])
def test_log_04_what_bears_the_name_of_a_credential_is_hidden(text: str) -> None:
    clean, found = scrubbed({"log": text}, [])
    assert found >= 1
    for value in ("deadbeef", "0b0b", "abc", "Bearer", "=5", "'q'", '"s"'):
        assert value not in clean["log"]
