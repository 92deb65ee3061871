"""What begins before the host is loaded (B9): which processes, with what, and that none is left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from polyhost.configuration import load_configuration
from polyhost.errors import ConfigError
from polyhost.service import early, exchange_launch, run
from polyhost.service.early import Begun, begin
from polyhost.service.folder import DataFolder

TWO = """[host]
mode = "paper"
[accounts.first]
mode = "paper"
[accounts.second]
mode = "shadow"
key = { env = "POLYHOST_TEST_EARLY_KEY" }
"""


def begun_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, *names: str) -> list[str]:
    """What a configuration begins, in order: gateways by account with the place and the folder, or the exchange."""
    told: list[str] = []

    def gateway(launch: Any, **more: Any) -> Any:
        told.append(f"{launch.account} {launch.place} {Path(launch.folder).name} {launch.share:g} {more['hide']}")

    def exchange(settings: Any, state: Path, ready: Path, log: Path) -> Any:
        told.append(f"exchange {state.name}")

    monkeypatch.setattr(early, "started", gateway)
    monkeypatch.setattr(exchange_launch, "started", exchange)
    config = tmp_path / "polyhost.toml"
    config.write_text(text)
    accounts = {name: DataFolder(tmp_path / "data" / name) for name in names}
    begin(load_configuration(config, env={}), DataFolder(tmp_path / "data"), accounts, Begun())
    return told


def test_b9_every_account_with_a_key_has_its_process_begun_and_an_own_exchange_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(text: str, *names: str) -> list[str]:
        return begun_with(monkeypatch, tmp_path, text, *names)

    assert ask("") == ["main loopback data 1 ()", "exchange exchange.state"]
    assert ask('[venue]\nurl = "http://127.0.0.1:9"\n') == ["main http://127.0.0.1:9 data 1 ()"]
    assert ask('[host]\nmode = "paper"\n') == [], "no key, and the venue's data"
    assert ask(TWO, "first", "second") == ["second live second 1 ()"], "the one that has a key"


def test_b9_what_nobody_took_over_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    deaf = [sys.executable, "-c", "import time; time.sleep(600)"]
    monkeypatch.setattr(early, "END_S", 100.0)
    begun = Begun()
    begun.gateways["main"] = subprocess.Popen(waits, stdin=subprocess.PIPE)
    begun.close()
    assert begun.gateways["main"].returncode == 0, "its input ended"
    monkeypatch.setattr(early, "END_S", 0.0)
    begun = Begun()
    begun.exchange = subprocess.Popen(deaf, stdin=subprocess.PIPE)
    begun.close()
    assert begun.exchange.returncode == -9


def test_log_07_what_fails_before_there_is_a_log_is_in_the_log_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: Any) -> None:
        raise ConfigError("nothing can begin", key="host.mode")

    monkeypatch.setattr(run, "begin", refuse)
    loaded = load_configuration(None, {"host.data_dir": str(tmp_path / "data")}, {})
    with pytest.raises(ConfigError, match="nothing can begin"):
        run.run_host(loaded, windows=1, summary_file=None, fresh=True, show=True)
    assert "nothing can begin" in (tmp_path / "data" / "logs" / "errors.log").read_text()
