"""``config init``, ``config diff`` and ``config schema``: what they write, ask, compare and describe."""

from __future__ import annotations

import json
import operator
import re
import tomllib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from typer.testing import CliRunner, Result

from polyhost.cli import main as front
from polyhost.configuration import SHIPPED_PLUGINS, load_configuration
from polyhost.configuration.starting import STRATEGIES, Answers, first_file
from polyhost.errors import ConfigError
from polyhost.extension.lock import Lock
from polyhost.extension.sources import found_sources

ROOT: Final = Path(__file__).resolve().parents[2]
COMMENTED: Final = re.compile(r"^# (?=[a-z0-9_]+ = )", re.MULTILINE)
"""The beginning of a setting that is commented out."""
FILES: Final = sorted((ROOT / "config").rglob("*.toml"))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def ran(*args: str, answers: str = "") -> Result:
    return CliRunner().invoke(front.app, ["config", *args], input=answers)


# --- init -------------------------------------------------------------------------------------------------------------


def test_cfg_01_init_yes_writes_a_file_that_behaves_as_the_defaults_do() -> None:
    answer = ran("init", "--yes")
    assert answer.exit_code == 0, answer.output
    ours = load_configuration(Path("polyhost.toml"), env={})
    Path("empty.toml").touch()
    defaults = load_configuration(Path("empty.toml"), env={})
    assert f"(config {ours.config_hash})" in answer.stdout
    written = ours.configuration.model_dump(exclude={"plugins"})
    assert written == defaults.configuration.model_dump(exclude={"plugins"})
    assert ours.configuration.plugins == defaults.configuration.plugins | {"fixed_size": {"stake": "25"}}


def test_cfg_01_every_setting_in_the_first_file_has_its_meaning_above_it_and_its_default_when_uncommented() -> None:
    lines = first_file(Answers(strategies=tuple(STRATEGIES))).splitlines()
    for above, line in pairwise(lines):
        if COMMENTED.match(line):
            assert above.startswith("# "), line
    put("all.toml", COMMENTED.sub("", "\n".join(lines)))
    shown = json.loads(ran("show", "-c", "all.toml", "--json").stdout)["configuration"]
    usual = json.loads(ran("show", "--json").stdout)["configuration"]
    assert shown.pop("plugins")["grid"]["stake"] == "5.000000"
    assert shown == {key: usual[key] for key in shown}


def test_cfg_01_init_asks_until_each_answer_is_right_and_writes_what_was_answered() -> None:
    answers = "btc sol!;btc, sol;10m;15m;gird;directional, grid;60;0;40;mailto://x;PHONE;"
    answer = ran("init", "mine.toml", answers=answers.replace(";", "\n"))
    assert answer.exit_code == 0, answer.output
    for word in ("mean 'SOL'?", "mean '15m'?", "mean 'grid'?", "at most 50", "no name of a variable"):
        assert word in answer.output
    configuration = load_configuration(Path("mine.toml"), env={}).configuration
    assert configuration.markets.symbols == ("BTC", "SOL")
    assert configuration.markets.durations == ("15m",)
    assert configuration.plugins["fixed_size"] == {"stake": "40"}
    assert configuration.plugins["grid"] == {"enabled": True}
    assert configuration.plugins["apprise_notify"]["channels"]["mine"]["urls"] == [{"env": "PHONE"}]
    assert "export PHONE=" in answer.stdout
    assert "polyhost run -c mine.toml" in answer.stdout


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "directional"])
def test_cfg_01_without_the_directional_strategy_nothing_enters_by_an_estimate(name: str) -> None:
    assert ran("init", answers=f"\n\n{name}\n\n").exit_code == 0
    assert ran("check").exit_code == 0
    plugins = load_configuration(Path("polyhost.toml"), env={}).configuration.plugins
    assert plugins[name]["enabled"] is True
    assert [plugins[each]["enabled"] for each in ("entry_policy", "reversal", "scale_in")] == [False] * 3


def test_cfg_01_init_never_overwrites_a_file_unasked() -> None:
    mine = Path("polyhost.toml")
    mine.write_text("# mine\n")
    refused = ran("init", "--yes")
    assert isinstance(refused.exception, ConfigError)
    assert "is there already; --force writes over it" in str(refused.exception)
    assert ran("init", answers="n\n").exit_code == 1
    assert ran("init", answers="").exit_code == 1, "no answer is no"
    assert mine.read_text() == "# mine\n"
    assert ran("init", answers="y\n\n\n\n\n\n").exit_code == 0
    assert mine.read_text().startswith("#:schema")
    mine.write_text("# mine\n")
    assert json.loads(ran("init", "--yes", "--force", "--json").stdout)["path"] == "polyhost.toml"
    assert mine.read_text().startswith("#:schema")


def test_cfg_01_init_into_no_folder_is_refused_with_the_remedy() -> None:
    assert str(ran("init", "absent/polyhost.toml", "--yes").exception).endswith("no such folder; mkdir -p absent")


# --- diff -------------------------------------------------------------------------------------------------------------


def put(name: str, text: str) -> str:
    Path(name).write_text(text)
    return name


def test_cfg_01_diff_tells_what_can_be_lost_which_plugins_run_and_which_settings_are_others() -> None:
    old = put("old.toml", "[plugins.grid]\nstake = '5'\n[plugins.console_notify]\n")
    new = put(
        "new.toml",
        "[limits]\nwindow = 80\n[breakers]\ndaily_loss = 70\n[exchange]\nspeed = 60\n"
        "[plugins.fixed_size]\nstake = '40'\n[plugins.console_notify]\nenabled = false\n"
        "[plugins.grid]\nstake = 6\n[plugins.pair]\n",
    )
    found = json.loads(ran("diff", old, new, "--json").stdout)
    assert found["losses"] == {
        "window": ["50", "80"], "symbol": ["100", "100"], "day_stop": ["50", "70"], "day": ["350", "370"],
    }
    assert found["stakes"]["fixed_size.stake"] == ["25.000000", "40.000000"]
    assert found["stakes"]["pair.stake"] == [None, "20.000000"]
    assert (found["plugins_on"], found["plugins_off"]) == (["pair"], ["console_notify"])
    assert found["settings"] == {
        "exchange.speed": [1.0, 60.0], "limits.window": ["50.000000", "80.000000"],
        "breakers.daily_loss": ["50.000000", "70.000000"], "plugins.grid.stake": ["5.000000", "6.000000"],
        "plugins.fixed_size.stake": ["25.000000", "40.000000"],
    }
    assert found["same"] is False
    lines = ran("diff", old, new).stdout.splitlines()
    assert "largest loss of one window at a time  50 -> 80" in lines
    assert "largest loss of a day                 350 -> 370" in lines
    assert "stake (fixed_size.stake)              25 -> 40" in lines
    assert "switched on: pair" in lines
    assert "switched off: console_notify" in lines
    assert "exchange.speed: 1.0 -> 60.0" in lines


def test_cfg_01_diff_of_two_ways_to_write_the_same_says_so(tmp_path: Path) -> None:
    old = put("old.toml", "[plugins.entry_policy]\nedge_min = 0.02\n[limits]\nwindow = 50\n")
    new = put("new.toml", "# other words\n[plugins.entry_policy]\n")
    assert ran("diff", old, new).stdout == "they do the same\n"
    moved = put("moved.toml", "[plugins.exit_plan]\n[plugins.entry_policy]\n")
    assert "order of precedence: " in ran("diff", new, moved).stdout


def test_cfg_01_diff_of_a_window_is_bounded_by_what_its_symbol_may_lose() -> None:
    found = json.loads(ran("diff", put("a.toml", ""), put("b.toml", "[limits]\nsymbol = 30\n"), "--json").stdout)
    assert (found["losses"]["window"], found["losses"]["symbol"]) == (["50", "30"], ["100", "30"])


def test_cfg_01_diff_tells_what_only_one_of_them_sets() -> None:
    lines = ran("diff", put("old.toml", ""), put("new.toml", "[exchange.pathologies]\nlag = 0.5\n")).stdout.splitlines()
    assert "exchange.pathologies.lag: none -> 0.5" in lines
    assert not any(line.startswith("exchange.pathologies:") for line in lines)


def test_cfg_01_diff_tells_the_losses_of_each_account_by_its_own_limits() -> None:
    old = put("old.toml", "[limits]\nwindow = 40\n[accounts.a]\nmode = 'paper'\n")
    new = put(
        "new.toml",
        "[limits]\nwindow = 40\n[accounts.a]\nmode = 'paper'\n[accounts.a.limits]\nwindow = 70\n"
        "[accounts.b]\nmode = 'paper'\n[accounts.b.breakers]\ndaily_loss = 5\n",
    )
    found = json.loads(ran("diff", old, new, "--json").stdout)["accounts"]
    assert (found["a"]["window"], found["b"]["day_stop"]) == (["40", "70"], [None, "5"])
    lines = ran("diff", old, new).stdout.splitlines()
    assert "a: largest loss of one window at a time  40 -> 70" in lines
    assert "b: loss of a day that stops entries      none -> 5" in lines
    assert "accounts.b.breakers.daily_loss: none -> 5" in lines
    assert not any(line.startswith("accounts.b.wallet") for line in lines), "nothing stands there"
    one = json.loads(ran("diff", put("one.toml", ""), new, "--json").stdout)["accounts"]
    assert (one["main"]["window"], one["a"]["window"]) == (["50", None], [None, "70"])


def test_cfg_02_diff_needs_no_secret_and_shows_where_it_is_kept_only() -> None:
    text = "[plugins.apprise_notify.channels.phone]\nurls = [{{ env = '{}' }}]\n"
    found = json.loads(ran("diff", put("a.toml", text.format("A")), put("b.toml", text.format("B")), "--json").stdout)
    (pair,) = found["settings"].values()
    assert [side["phone"]["urls"] for side in pair] == [[{"env": "A"}], [{"env": "B"}]]


def test_cfg_01_diff_refuses_a_wrong_configuration_by_its_name() -> None:
    wrong = ran("diff", put("a.toml", ""), put("b.toml", "[plugins.exit_plan]\nprize = 1\n"))
    assert str(wrong.exception).startswith("b.toml [plugins.exit_plan] prize: unknown key (did you mean 'price'?)")


# --- schema -----------------------------------------------------------------------------------------------------------


BOUNDS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "minimum": operator.ge, "maximum": operator.le, "exclusiveMinimum": operator.gt, "exclusiveMaximum": operator.lt,
    "minItems": lambda value, least: len(value) >= least,
}


def misfits(value: Any, rules: dict[str, Any], whole: dict[str, Any], at: str = "") -> list[str]:
    """Where a value breaks a JSON Schema, as far as the keywords go that ours has."""
    if "$ref" in rules:
        rules = whole["$defs"][rules["$ref"].rpartition("/")[2]] | {k: v for k, v in rules.items() if k != "$ref"}
    if "anyOf" in rules:
        several = [misfits(value, each, whole, at) for each in rules["anyOf"]]
        return [] if [] in several else several[0]
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}
    wanted = rules.get("type", [])
    names = [wanted] if isinstance(wanted, str) else wanted
    fits = [name for name in names if isinstance(value, kinds[name]) and (name == "boolean" or value is not True)]
    if names and not fits:
        return [f"{at}: {value!r} is no {wanted}"]
    found = [] if value in rules.get("enum", [value]) and value == rules.get("const", value) else [f"{at}: {value!r}"]
    found += [f"{at}: {value!r} {key}" for key, good in BOUNDS.items() if key in rules and not good(value, rules[key])]
    if isinstance(value, list):
        return found + [each for item in value for each in misfits(item, rules.get("items", {}), whole, at)]
    if isinstance(value, dict):
        known, rest = rules.get("properties", {}), rules.get("additionalProperties", True)
        found += [f"{at}.{name} is missing" for name in rules.get("required", ()) if name not in value]
        for name, item in value.items():
            if name in known or isinstance(rest, dict):
                found += misfits(item, known.get(name, rest), whole, f"{at}.{name}")
            elif not rest:
                found.append(f"{at}.{name} is unknown")
    return found


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    from polyhost.configuration.schema import schema

    whole: dict[str, Any] = json.loads(json.dumps(schema()))
    return whole


def test_cfg_01_the_schema_describes_every_table_and_every_shipped_plugin(made: dict[str, Any]) -> None:
    plugins = made["properties"]["plugins"]["properties"]
    assert set(plugins) == set(SHIPPED_PLUGINS)
    assert {"enabled", "use", "trusted", "price", "age_min_s"} == set(plugins["exit_plan"]["properties"])
    assert plugins["exit_plan"]["properties"]["price"]["description"]
    assert plugins["exit_plan"]["additionalProperties"] is False
    assert "seed" in json.dumps(made["$defs"]["ExchangeTable"])


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_cfg_01_every_file_in_config_fits_the_schema(file: Path, made: dict[str, Any]) -> None:
    assert misfits(tomllib.loads(file.read_text()), made, made) == []
    assert misfits(tomllib.loads(COMMENTED.sub("", file.read_text())), made, made) == []


@pytest.mark.parametrize(
    "text",
    [
        "[host]\nmdoe = 'sim'", "[host]\nmode = 'sims'", "[exchange]\nspeed = '60'", "[exchange]\nspeed = 0",
        "[markets]\nsymbols = 'BTC'", "[markets]\ndurations = ['10m']", "limits = 5", "[hots]",
        "[exchange]\nseed = true",
        "[plugins.exit_plan]\nprize = 1", "[plugins.entry_policy]\nstyle = 'fok'", "[plugins.grid]\nenabled = 'no'",
        "[plugins.apprise_notify.channels.phone]\nurls = ['json://x']", "[plugins.mine]\nenabled = 1",
        "[plugins.apprise_notify.channels.phone]\nlevel_min = 'info'", "[exchange.pathologies]\nlag = 2",
    ],
)  # fmt: skip
def test_cfg_01_the_schema_refuses_what_the_host_refuses(text: str, made: dict[str, Any]) -> None:
    assert misfits(tomllib.loads(text), made, made) != []


PLUGIN = """
from polyhost import Plugin, Settings, Secret, Signal, hookimpl
class Mine(Plugin):
    name = "mine"
    description = "One of mine."
    class Settings(Settings):
        pace: int = 3
        \"\"\"How fast.\"\"\"
        token: Secret | None = None
    @hookimpl
    def signal(self, view): return None
"""


def test_sec_02_code_that_is_another_than_it_was_is_run_neither_by_check_nor_for_the_schema() -> None:
    Path("mine.py").write_text(PLUGIN)
    put("polyhost.toml", "plugin_paths = ['mine.py']\n[plugins.mine]\n")
    Lock("polyhost-data").accept(found_sources(["mine.py"], points=())["mine"])
    Path("mine.py").write_text(PLUGIN + "open('ran', 'w')\n")
    checked, made = ran("check"), ran("schema")
    assert (checked.exit_code, made.exit_code) == (1, 0)
    assert "polyhost plugins accept mine" in checked.stderr
    assert "mine" not in json.loads(made.stdout)["properties"]["plugins"]["properties"]
    assert not Path("ran").exists()


def test_cfg_01_the_schema_holds_named_plugins_of_anyone_and_second_instances() -> None:
    Path("mine.py").write_text(PLUGIN)
    tables = "[plugins.mine]\n[plugins.slow]\nuse = 'exit_plan'\n[plugins.bad]\n"
    put("polyhost.toml", "plugin_paths = ['mine.py', 'bad.py']\n" + tables)
    Path("bad.py").write_text("from polyhost import Plugin\nclass Bad(Plugin):\n    name = 'bad'\nraise OSError\n")
    answer = ran("schema")
    plugins = json.loads(answer.stdout)["properties"]["plugins"]["properties"]
    assert plugins["mine"]["properties"]["pace"] == {
        "default": 3, "description": "How fast.", "title": "Pace", "type": "integer",
    }
    assert "age_min_s" in plugins["slow"]["properties"]
    assert "bad" not in plugins
    assert "not in the schema: plugin 'bad'" in answer.stderr
