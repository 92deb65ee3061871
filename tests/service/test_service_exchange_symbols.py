"""Which symbols an exchange offers: alone all that it knows, for a run the run's own."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from polyhost.configuration import load_configuration
from polyhost.exchange.prices import MODELS
from polyhost.exchange.server.settings import ServerSettings
from polyhost.model.series import SIMULATED
from polyhost.service.exchange_launch import environment
from polyhost.service.exchange_settings import offered_symbols, server_settings
from polyhost.settings import Configuration

from .service_runs import START_S, Started, wait_for

ALL = ("BTC", "ETH", "SOL", "XRP")


def served(env: dict[str, str], path: Path | None = None) -> ServerSettings:
    loaded = load_configuration(path, env=env)
    return server_settings(loaded.configuration, offered_symbols(loaded))


def fetched(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=START_S) as response:
        return json.loads(response.read())


def test_the_configuration_knows_what_the_simulated_exchange_has() -> None:
    assert ALL == SIMULATED == tuple(MODELS)


def test_without_configured_symbols_all_four_are_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert served({}).world.symbols == ALL


def test_configured_symbols_are_offered_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the file says just what the default is: somebody said so."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "polyhost.toml"
    file.write_text('[markets]\nsymbols = ["BTC", "ETH"]\n')
    assert served({}).world.symbols == ("BTC", "ETH")
    file.write_text('[markets]\ndurations = ["5m"]\n')
    assert (served({}).world.symbols, served({}).world.durations_s) == (ALL, (300,))
    assert served({"POLYHOST__MARKETS__SYMBOLS": "XRP"}).world.symbols == ("XRP",)


def test_the_exchange_of_a_run_offers_what_the_run_trades(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert served(environment(Configuration())).world.symbols == ("BTC", "ETH")
    solana = Configuration.model_validate({"markets": {"symbols": ("SOL",)}})
    assert served(environment(solana)).world.symbols == ("SOL",)


def test_exchange_serve_alone_has_windows_and_spot_prices_of_all_four(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with Started("exchange", "serve", "--ready-file", ready, cwd=tmp_path) as exchange:
        wait_for(lambda: ready.exists() or exchange.process.poll() is not None)
        url = json.loads(ready.read_text())["url"]
        start = fetched(f"{url}/sim/time")["now"] // 300_000 * 300
        for symbol in ALL:
            slug = f"{symbol.lower()}-updown-5m-{start}"
            assert fetched(f"{url}/markets/slug/{slug}")["slug"] == slug
            assert float(fetched(f"{url}/api/v3/klines?symbol={symbol}USDT&interval=1m&limit=1")[0][4]) > 0
        with pytest.raises(urllib.error.HTTPError, match="404") as refused:
            fetched(f"{url}/markets/slug/doge-updown-5m-{start}")
        refused.value.close()
        assert exchange.stop() == 0
