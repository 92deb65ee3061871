"""Layers, origins, order of precedence and the hash."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyhost.configuration import SHIPPED_PLUGINS, load_configuration
from polyhost.model.money import micros


def written(tmp_path: Path, text: str, name: str = "mine.toml") -> Path:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return file


def test_cfg_01_the_file_overrides_defaults_the_environment_the_file_and_the_command_line_all(tmp_path: Path) -> None:
    file = written(tmp_path, "[exchange]\nseed = 2\nspeed = 2.0\ndensity = 2.0\n")
    env = {"POLYHOST__EXCHANGE__SPEED": "3", "POLYHOST__EXCHANGE__DENSITY": "3"}
    loaded = load_configuration(file, {"exchange.density": 4.0}, env)
    exchange = loaded.configuration.exchange
    assert (exchange.taker_delay_ms, exchange.seed, exchange.speed, exchange.density) == (150, 2, 3.0, 4.0)
    told = [loaded.origin[f"exchange.{key}"] for key in ("taker_delay_ms", "seed", "speed", "density")]
    assert told == ["default", f"file {file}:2", "environment POLYHOST__EXCHANGE__SPEED", "command line"]


def test_without_a_file_named_the_working_directorys_is_read_if_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_configuration(None, env={}).path is None
    written(tmp_path, "[exchange]\nseed = 9\n", "polyhost.toml")
    loaded = load_configuration(None, env={})
    assert loaded.path == Path("polyhost.toml")
    assert loaded.configuration.exchange.seed == 9
    assert loaded.base == Path()
    other = written(tmp_path, "[exchange]\nseed = 8\n")
    assert load_configuration(other, env={}).configuration.exchange.seed == 8
    assert load_configuration(other, env={}).base == tmp_path


def test_this_processs_environment_is_read_when_none_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYHOST__EXCHANGE__SEED", "77")
    monkeypatch.setenv("POLYHOST_TAPES", "not a setting")
    assert load_configuration(written(tmp_path, "")).configuration.exchange.seed == 77


@pytest.mark.parametrize("text", ["BTC,SOL", " BTC , SOL ", '["BTC", "SOL"]'])
def test_a_list_in_the_environment_is_commas_or_toml(tmp_path: Path, text: str) -> None:
    loaded = load_configuration(written(tmp_path, ""), env={"POLYHOST__MARKETS__SYMBOLS": text})
    assert loaded.configuration.markets.symbols == ("BTC", "SOL")


def test_environment_values_have_the_type_of_their_setting(tmp_path: Path) -> None:
    env = {
        "POLYHOST__HOST__ACCOUNT": "123",
        "POLYHOST__HOST__RECORD": "false",
        "POLYHOST__LIMITS__TOTAL": "20.5",
        "POLYHOST__PLUGINS__ENTRY_POLICY__CONFIDENCE_MIN": "0.4",
        "POLYHOST__PLUGINS__CONSOLE_NOTIFY__LEVEL_MIN": "warning",
        "POLYHOST__PLUGINS__CONSOLE_NOTIFY__ENABLED": "false",
    }
    configuration = load_configuration(written(tmp_path, ""), env=env).configuration
    assert configuration.host.account == "123"
    assert configuration.host.record is False
    assert configuration.limits.total == micros("20.5")
    assert configuration.plugins["entry_policy"] == {"confidence_min": 0.4}
    assert configuration.plugins["console_notify"] == {"level_min": "warning", "enabled": False}


def test_plg_02_a_plugin_table_merges_over_the_shipped_ones_and_false_switches_off(tmp_path: Path) -> None:
    text = "[plugins.exit_plan]\nprice = '0.97'\n[plugins.expiry_guard]\nenabled = false\n"
    plugins = load_configuration(written(tmp_path, text), env={}).configuration.plugins
    assert set(plugins) == set(SHIPPED_PLUGINS)
    assert plugins["exit_plan"] == {"price": "0.97"}
    assert plugins["expiry_guard"] == {"enabled": False}
    assert plugins["additive"] == {}


def test_plg_02_plugins_named_come_in_the_order_of_the_file_then_the_others(tmp_path: Path) -> None:
    text = "[plugins.mine]\n[plugins.exit_plan]\n[plugins.additive]\n"
    plugins = load_configuration(written(tmp_path, text), env={}).configuration.plugins
    rest = [name for name in SHIPPED_PLUGINS if name not in ("exit_plan", "additive")]
    assert list(plugins) == ["mine", "exit_plan", "additive", *rest]


def test_origins_tell_each_plugin_setting_and_each_shipped_plugin(tmp_path: Path) -> None:
    file = written(tmp_path, "[plugins.exit_plan]\nprice = '0.97'\n[plugins.additive]\n")
    origin = load_configuration(file, env={}).origin
    assert origin["plugins.exit_plan.price"] == f"file {file}:2"
    assert origin["plugins.additive"] == f"file {file}:3"
    assert origin["plugins.entry_policy"] == "default"


def test_money_may_be_written_as_a_number_or_in_quotes(tmp_path: Path) -> None:
    for text in ("12.5", "'12.5'", "'12.500000'"):
        loaded = load_configuration(written(tmp_path, f"[limits]\nwindow = {text}\n"), env={})
        assert loaded.configuration.limits.window == 12_500_000


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    file = tmp_path / "windows.toml"
    file.write_bytes(b"\xef\xbb\xbf[exchange]\r\nseed = 5\r\n")
    assert load_configuration(file, env={}).configuration.exchange.seed == 5


def hash_of(tmp_path: Path, text: str) -> str:
    return load_configuration(written(tmp_path, text), env={}).config_hash


def test_the_hash_is_twelve_hex_digits_of_what_holds_not_of_how_it_was_written(tmp_path: Path) -> None:
    plain = hash_of(tmp_path, "")
    assert len(plain) == 12
    assert int(plain, 16) >= 0
    assert hash_of(tmp_path, "# a remark\n[exchange]\nseed = 1\n[limits]\nwindow = 50\n") == plain
    assert hash_of(tmp_path, "[host]\ndata_dir = '/elsewhere'\n") == plain


@pytest.mark.parametrize(
    "text",
    ["[exchange]\nseed = 2\n", "[limits]\nwindow = '50.000001'\n", "[plugins.exit_plan]\n", "[plugins.mine]\n",
     "[plugins.binance_momentum]\nenabled = false\n"],
)
def test_the_hash_differs_when_behaviour_may_differ(tmp_path: Path, text: str) -> None:
    assert hash_of(tmp_path, text) != hash_of(tmp_path, "")
