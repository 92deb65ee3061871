"""``config check``, ``config show`` and ``plugins list``: reports, exit codes, and JSON alone on standard output."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from polyhost.cli import main as front
from polyhost.cli.plugins import table_lines
from polyhost.configuration import SHIPPED_PLUGINS, load_configuration
from polyhost.configuration.choices import choose

BROKEN_PLUGIN = """
from polyhost import Plugin
class Broken(Plugin):
    name = "broken"
    def signal(self, view): ...
raise RuntimeError("out of order")
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No ./polyhost.toml by accident."""
    monkeypatch.chdir(tmp_path)


def ran(args: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        front.main(args)
    said = capsys.readouterr()
    code = stop.value.code
    assert code is None or isinstance(code, int)
    return code or 0, said.out, said.err


def as_json(args: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code, out, _ = ran([*args, "--json"], capsys)
    assert out.count("\n") == 1
    report = json.loads(out)
    assert isinstance(report, dict)
    return code, report


def written(tmp_path: Path, text: str) -> str:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    return str(file)


def test_config_check_of_the_defaults_is_good(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ran(["config", "check"], capsys)
    assert code == 0
    assert out == f"built-in defaults: good (config {load_configuration(None, env={}).config_hash})\n"


def test_config_check_of_a_wrong_setting_ends_with_2_and_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, "[host]\nmdoe = 'sim'\n")
    code, out, err = ran(["config", "check", "-c", file], capsys)
    assert (code, out) == (2, "")
    assert err.startswith(f"Error: {file}:2 [host] mdoe: unknown key")
    code, report = as_json(["config", "check", "-c", file], capsys)
    assert code == 2
    assert report["ok"] is False
    assert "did you mean 'mode'" in report["problems"][0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[plugins.entry_policy]\nconfidence = 0.4", ["[plugins.entry_policy] confidence", "unknown key"]),
        ("[plugins.entry_policy]\nconfidence_min = 1.4", ["[plugins.entry_policy] confidence_min", "1.4"]),
        ("[plugins.entry_polcy]\n", ["plugins.entry_polcy", "no plugin of this name", "did you mean 'entry_policy'"]),
        ("[plugins.two]\nuse = 'aditive'\n", ["plugins.two", "did you mean 'additive'"]),
    ],
)
def test_plg_02_config_check_checks_the_plugins_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: list[str]
) -> None:
    code, _, err = ran(["config", "check", "-c", written(tmp_path, text)], capsys)
    assert code == 2
    for word in words:
        assert word in err


def test_config_check_of_a_plugin_that_does_not_load_is_a_no(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.py").write_text(BROKEN_PLUGIN)
    file = written(tmp_path, "plugin_paths = ['broken.py']\n[plugins.broken]\ntrusted = true\n")
    code, report = as_json(["config", "check", "-c", file], capsys)
    assert code == 1
    assert report["ok"] is False
    assert "out of order" in report["problems"][0]
    code, out, _ = ran(["config", "check", "-c", file], capsys)
    assert code == 1
    assert "refused" in out
    rows = {row["name"]: row for row in as_json(["plugins", "list", "-c", file], capsys)[1]["plugins"]}
    assert rows["broken"]["state"] == "refused"
    assert rows["additive"]["state"] == "inline"


def test_config_check_of_a_path_without_plugins_is_a_no_and_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = ran(["config", "check", "-c", written(tmp_path, "plugin_paths = ['./absent']\n")], capsys)
    assert (code, "refused" in out) == (1, True)
    assert err == (
        "plugin_paths './absent': there is no such file or folder; name a .py file or a folder of them, from the "
        "configuration file's folder on, or take it out\n"
    )


def test_config_check_of_a_file_that_is_not_there_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = ran(["config", "check", "-c", "absent.toml"], capsys)
    assert code == 2
    assert "absent.toml: there is no such file" in err


def test_config_show_is_toml_that_loads_to_the_same_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, "[exchange]\nspeed = 60.0\n[plugins.exit_plan]\nprice = '0.97'\n")
    code, out, _ = ran(["config", "show", "-c", file], capsys)
    assert code == 0
    assert tomllib.loads(out)["plugins"]["exit_plan"] == {"enabled": True, "price": "0.97", "age_min_s": 60.0}
    again = tmp_path / "again.toml"
    again.write_text(out)
    code, second, _ = ran(["config", "show", "-c", str(again)], capsys)
    assert code == 0
    assert second == out


def test_config_show_origin_tells_where_each_value_came_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, "[exchange]\nspeed = 60.0\n[plugins.exit_plan]\nprice = '0.97'\n")
    monkeypatch.setenv("POLYHOST__EXCHANGE__SEED", "7")
    code, out, _ = ran(["config", "show", "--origin", "-c", file], capsys)
    assert code == 0
    lines = out.splitlines()
    assert f"exchange.speed = 60.0  # file {file}:2" in lines
    assert "exchange.seed = 7  # environment POLYHOST__EXCHANGE__SEED" in lines
    assert "exchange.density = 20.0  # default" in lines
    assert 'markets.symbols = ["BTC", "ETH"]  # default' in lines
    assert f'plugins.exit_plan.price = "0.97"  # file {file}:4' in lines
    assert "plugins.exit_plan.age_min_s = 60.0  # default" in lines
    code, report = as_json(["config", "show", "--origin", "-c", file], capsys)
    assert code == 0
    assert report["origin"]["exchange.speed"] == f"file {file}:2"
    assert report["configuration"]["exchange"]["speed"] == 60.0


def test_cfg_01_what_a_person_and_the_machine_set_differently_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    choose(tmp_path / "polyhost-data", "console_notify", True)
    file = written(tmp_path, "[plugins.console_notify]\nenabled = false\n")
    words = f"[plugins.console_notify] enabled: false in {file}:2, but true was chosen in polyhost-data/choices.toml:7"
    for command in (["config", "check"], ["plugins", "list"]):
        assert f"note: {words}; {file}:2 holds\n" in ran([*command, "-c", file], capsys)[1]
        assert as_json([*command, "-c", file], capsys)[1]["notes"] == [f"{words}; {file}:2 holds"]
    other = written(tmp_path, "")
    assert "note" not in ran(["config", "check", "-c", other], capsys)[1]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("POLYHOST__PLUGINS__EXIT_PLN__PRICE", "0.9", ["EXIT_PLN__PRICE", "did you mean 'exit_plan'"]),
        ("POLYHOST__PLUGINS__EXIT_PLAN__PRCE", "0.9", ["EXIT_PLAN__PRCE [plugins.exit_plan] prce", "mean 'price'"]),
        ("POLYHOST__PLUGINS__EXIT_PLAN__PRICE", "3", ["EXIT_PLAN__PRICE [plugins.exit_plan] price", "given 3"]),
    ],
)
def test_plg_02_what_a_variable_says_of_a_plugin_is_told_with_the_variable(
    name: str, value: str, words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    code, _, err = ran(["config", "check"], capsys)
    assert code == 2
    for word in ("Error: environment POLYHOST__PLUGINS__", *words):
        assert word in err


def test_cfg_01_set_reaches_the_configuration_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    sets = ["--set", "limits.window=40", "--set", "host.record=false"]
    code, out, _ = ran(["config", "show", "--origin", *sets], capsys)
    assert code == 0
    assert 'limits.window = "40.000000"  # command line --set limits.window\n' in out
    assert "host.record = false  # command line --set host.record\n" in out
    assert ran(["config", "check", "--set", "limits.window"], capsys)[0] == 2


def test_plugins_list_shows_the_eight_in_order_with_state_hooks_and_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, report = as_json(["plugins", "list"], capsys)
    assert code == 0
    assert [row["name"] for row in report["plugins"]][: len(SHIPPED_PLUGINS)] == list(SHIPPED_PLUGINS)
    by_name = {row["name"]: row for row in report["plugins"]}
    policy = by_name["entry_policy"]
    assert (policy["state"], policy["origin"], policy["hooks"]) == ("inline", "built in", ["entry"])
    assert policy["settings"]["confidence_min"] == 0.3
    assert {"name", "version", "origin", "state", "hooks", "settings"} <= set(policy)
    code, out, _ = ran(["plugins", "list"], capsys)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()][: len(SHIPPED_PLUGINS) + 1] == ["name", *SHIPPED_PLUGINS]


def test_plugins_list_shows_what_is_switched_off_and_second_instances(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "[plugins.slow]\nuse = 'binance_momentum'\nweight_60s = 0.0\n[plugins.fixed_size]\nenabled = false\n"
    _, report = as_json(["plugins", "list", "-c", written(tmp_path, text)], capsys)
    by_name = {row["name"]: row for row in report["plugins"]}
    assert by_name["fixed_size"]["state"] == "disabled"
    assert (by_name["slow"]["use"], by_name["slow"]["settings"]["weight_60s"]) == ("binance_momentum", 0.0)
    assert report["plugins"][0]["name"] == "slow"


def test_plg_03_plugins_list_tells_each_built_in_plugin_whole_switched_on_or_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Description, hooks, and every setting with type, unit, default and meaning."""
    told = []
    for enabled, state in (("true", "inline"), ("false", "disabled")):
        tables = "".join(f"[plugins.{name}]\nenabled = {enabled}\n" for name in SHIPPED_PLUGINS)
        _, report = as_json(["plugins", "list", "-c", written(tmp_path, tables)], capsys)
        rows = {row["name"]: row for row in report["plugins"]}
        for name in SHIPPED_PLUGINS:
            assert rows[name]["state"] == state, name
            assert rows[name]["description"], name
            assert rows[name]["hooks"], name
            assert all(option["type"] and option["meaning"] for option in rows[name]["options"]), name
        told.append([rows[name][key] for name in SHIPPED_PLUGINS for key in ("description", "hooks", "options")])
    assert told[0] == told[1]


def test_units_of_settings_are_told_by_type_or_name(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["name"]: row for row in as_json(["plugins", "list"], capsys)[1]["plugins"]}
    units = {(name, option["name"]): option["unit"] for name, row in rows.items() for option in row["options"]}
    assert units["fixed_size", "stake"] == "collateral"
    assert units["stop_loss", "floor"] == "collateral per share"
    assert units["exit_plan", "age_min_s"] == "seconds"
    assert units["binance_momentum", "spot_age_ms_max"] == "milliseconds"
    assert units["reversal", "through_ticks"] == "ticks"
    assert units["entry_policy", "confidence_min"] == ""


def test_why_a_plugin_is_refused_stands_below_its_line() -> None:
    row = {"state": "inline", "hooks": [], "version": "1", "origin": "built in", "problem": "", "notes": []}
    lines = table_lines([row | {"name": "a"}, row | {"name": "b", "problem": "broken"}, row | {"name": "c"}])
    assert [line.split()[0] for line in lines] == ["name", "a", "b", "broken", "c"]


@pytest.mark.parametrize("group", ["config", "plugins"])
def test_a_group_without_a_command_shows_its_help(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ran([group], capsys)
    assert code == 2
    assert "Commands" in out + err
