"""Layers, origins, order of precedence and the hash."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyhost.configuration import SHIPPED_PLUGINS, load_configuration
from polyhost.configuration.choices import choose
from polyhost.configuration.lines import lines_of
from polyhost.errors import ConfigError
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


def fragment(tmp_path: Path, name: str, text: str) -> Path:
    (tmp_path / "conf.d").mkdir(exist_ok=True)
    return written(tmp_path, text, f"conf.d/{name}")


def test_cfg_01_the_layers_come_in_their_order_and_each_value_tells_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Default, file, choice, environment, --set: the later one wins."""
    monkeypatch.chdir(tmp_path)
    names = ("edge_min", "confidence_min", "not_first_s", "again_after_s")
    keys = [f"plugins.entry_policy.{name}" for name in names]
    lines = "".join(f"{name} = 0.1\n" for name in names)
    written(tmp_path, f"host.data_dir = 'data'\n[plugins.entry_policy]\n{lines}")
    choose("data", "entry_policy", settings=dict.fromkeys(names[1:], 0.2))
    env = {f"POLYHOST__PLUGINS__ENTRY_POLICY__{name.upper()}": "0.3" for name in names[2:]}
    loaded = load_configuration(Path("mine.toml"), None, env, sets=[f"{keys[3]}=0.4"], chosen=True)
    assert list(loaded.configuration.plugins["entry_policy"].values()) == [0.1, 0.2, 0.3, 0.4]
    assert [loaded.origin[key] for key in keys] == [
        "file mine.toml:3", "choice data/choices.toml:7",
        "environment POLYHOST__PLUGINS__ENTRY_POLICY__NOT_FIRST_S",
        "command line --set plugins.entry_policy.again_after_s",
    ]
    assert loaded.origin["exchange.seed"] == "default"


def test_cfg_01_fragments_come_after_the_file_by_name_and_a_plugin_set_twice_is_told(tmp_path: Path) -> None:
    text = "[exchange]\nseed = 1\nspeed = 1.0\ndensity = 1.0\n[plugins.exit_plan]\nprice = '0.96'\n"
    last = fragment(tmp_path, "20-b.toml", "[exchange]\nseed = 3\n[plugins.exit_plan]\nprice = '0.98'\n")
    first = fragment(tmp_path, "10-a.toml", "[exchange]\nseed = 2\nspeed = 2.0\n[plugins.exit_plan]\nage_min_s = 70\n")
    fragment(tmp_path, "30-c.txt", "not = read")
    loaded = load_configuration(written(tmp_path, text), env={})
    exchange = loaded.configuration.exchange
    assert (exchange.seed, exchange.speed, exchange.density) == (3, 2.0, 1.0)
    assert loaded.configuration.plugins["exit_plan"] == {"price": "0.98", "age_min_s": 70}
    assert loaded.origin["exchange.speed"] == f"fragment {first}:3"
    assert loaded.told() == [
        f"[plugins.exit_plan] is set in {first}:4 and in {last}:3: the later name wins where both set a key"
    ]


def test_cfg_01_a_plugin_in_the_file_and_in_one_fragment_is_what_fragments_are_for(tmp_path: Path) -> None:
    fragment(tmp_path, "a.toml", "[plugins.exit_plan]\nprice = '0.98'\n")
    assert load_configuration(written(tmp_path, "[plugins.exit_plan]\n"), env={}).told() == []


def test_cfg_01_a_wrong_fragment_is_named(tmp_path: Path) -> None:
    file, wrong = written(tmp_path, ""), fragment(tmp_path, "a.toml", "[exchange]\n\nspede = 3\n")
    with pytest.raises(ConfigError, match="did you mean 'speed'") as caught:
        load_configuration(file, env={})
    assert caught.value.file == f"{wrong}:3"


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("exchange.seed=7", "seed", 7), ("exchange.rate_limit_tier=gold", "rate_limit_tier", "gold"),
        ('exchange.rate_limit_tier="gold"', "rate_limit_tier", "gold"),
        ("exchange.rate_limit_tier=''", "rate_limit_tier", ""),
        ("exchange.cash=12.5", "cash", micros("12.5")), (" exchange.seed = 8", "seed", 8),
        ("exchange.pathologies={ lag = 0.5 }", "pathologies", {"lag": 0.5}),
    ],
)  # fmt: skip
def test_cfg_01_set_takes_a_toml_value_or_plain_text(tmp_path: Path, word: str, key: str, value: object) -> None:
    loaded = load_configuration(written(tmp_path, ""), env={}, sets=[word])
    assert getattr(loaded.configuration.exchange, key) == value


def test_cfg_01_of_two_sets_the_later_one_wins_and_an_options_own_value_over_both(tmp_path: Path) -> None:
    file, sets = written(tmp_path, ""), ["exchange.seed=2", "exchange.seed=3"]
    assert load_configuration(file, env={}, sets=sets).configuration.exchange.seed == 3
    assert load_configuration(file, {"exchange.seed": 4}, {}, sets=sets).configuration.exchange.seed == 4


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a = 1\n[b.c]\n d = 2\n", {"a": 1, "b.c": 2, "b.c.d": 3}),
        ("b.c = 1\n'q r'.s = 2\n[\"x y\"]\nz=3", {"b.c": 1, "q r.s": 2, "x y": 3, "x y.z": 4}),
        ('a = """\nfake = 1\n[fake]\n"""\nb = 2\n', {"a": 1, "b": 5}),
        ("a = '''x'''\nb = 2\n# c = 3\n", {"a": 1, "b": 2}),
    ],
)
def test_the_line_of_a_key_is_where_it_stands(text: str, lines: dict[str, int]) -> None:
    assert lines_of(text) == lines


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
