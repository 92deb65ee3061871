"""Wrong configurations: each is refused with the words that lead to the remedy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from polyhost.configuration import Loaded, load_configuration
from polyhost.errors import ConfigError

OFF = "[plugins.{}]\nenabled = false\n"


def refused(path: Path | None, env: dict[str, str] | None = None, overrides: dict[str, object] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_configuration(path, overrides, env or {})
    assert caught.value.exit_code == 2
    return str(caught.value)


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    return file


WRONG = [
    # (what is wrong, the file, words that the message must hold)
    ("unknown section", "[hots]\nmode='sim'", ["[hots]|hots", "unknown section", "did you mean 'host'", "markets"]),
    ("unknown key", "[host]\nmdoe = 'sim'", ["[host] mdoe", "unknown key", "'sim'", "did you mean 'mode'", "data_dir"]),
    ("top-level key", "speed = 3", ["speed: unknown key", "given 3", "plugin_paths"]),
    ("closed choice", "[host]\nmode = 'sims'", ["[host] mode", "'sims'", "allowed: sim", "did you mean 'sim'"]),
    ("text for a number", "[exchange]\nspeed = '60'", ["[exchange] speed", "'60'", "a number at least 1"]),
    ("number for a text", "[host]\naccount = 7", ["[host] account", "given 7", "a text in quotes"]),
    ("number for true or false", "[host]\nrecord = 1", ["[host] record", "given 1", "true or false"]),
    ("fraction for a whole number", "[exchange]\nseed = 1.5", ["[exchange] seed", "given 1.5", "a whole number"]),
    ("true for a number", "[exchange]\nseed = true", ["[exchange] seed", "given True", "a whole number"]),
    ("text for a list", "[markets]\nsymbols = 'BTC'", ["[markets] symbols", "'BTC'", "a list of texts"]),
    ("number in a list", "[markets]\nsymbols = ['BTC', 3]", ["[markets] symbols", "given 3", "texts in quotes"]),
    ("unknown duration", "[markets]\ndurations = ['10m']", ["[markets] durations", "'10m'", "5m, 15m, 1h, 4h, 1d"]),
    ("value for a table", "limits = 5", ["limits:", "given 5"]),
    ("slower than the clock", "[exchange]\nspeed = 0.5", ["[exchange] speed", "given 0.5", "at least 1"]),
    ("negative delay", "[exchange]\ntaker_delay_ms = -1", ["taker_delay_ms", "given -1", "at least 0"]),
    ("short cadence", "[evaluation]\ncadence_ms = 99", ["cadence_ms", "given 99", "at least 100"]),
    ("infinite", "[exchange]\nspeed = inf", ["[exchange] speed", "finite"]),
    ("not a number", "[plugins.entry_policy]\nedge_min = nan", ["[plugins.entry_policy] edge_min", "finite"]),
    ("price above one", "[safety]\nhold_above = '1.2'", ["[safety] hold_above", "'1.2'", "0 to 1"]),
    ("price too fine", "[safety]\nhold_above = '0.90001'", ["hold_above", "'0.90001'", "4 decimals"]),
    ("money in words", "[limits]\nwindow = 'fifty'", ["[limits] window", "'fifty'", "6 decimals"]),
    ("limit of zero", "[limits]\ntotal = 0", ["[limits] total", "no entry", "above 0"]),
    ("negative cash", "[exchange]\ncash = '-1'", ["[exchange] cash", "negative"]),
    ("hold everything", "[safety]\nhold_above = 0", ["[safety] hold_above", "nothing could be closed"]),
    ("no market", "[markets]\nsymbols = []", ["[markets] symbols", "nothing to trade"]),
    ("no duration", "[markets]\ndurations = []", ["[markets] durations", "nothing to trade"]),
    ("twice", "[markets]\nsymbols = ['BTC', 'BTC']", ["[markets] symbols", "twice", "'BTC'"]),
    ("small symbol", "[markets]\nsymbols = ['btc']", ["[markets] symbols", "'btc'", "did you mean 'BTC'"]),
    ("slug with a space", "[markets]\nslugs = ['a b']", ["[markets] slugs", "'a b'"]),
    ("address", "[venue]\nurl = 'localhost:80'", ["[venue] url", "'localhost:80'", "http://HOST:PORT"]),
    ("empty folder", "[host]\ndata_dir = ' '", ["[host] data_dir", "empty"]),
    ("confirmed before mined", "[exchange]\nconfirmed_ms = 1", ["confirmed_ms", "given 1", "mined_ms = 2000"]),
    ("answers always old", "[safety]\nanswer_age_ms_max = 1", ["plugin_latency_ms", "answer_age_ms_max = 1"]),
    ("cadence of a window", "[evaluation]\ncadence_ms = 300000", ["cadence_ms", "5m window", "below 300000"]),
    ("close from the open", "[safety]\nclose_before_expiry_s = 900", ["close_before_expiry_s", "5m", "below 900"]),
    ("no combiner of the name", "[evaluation]\ncombiner = 'aditive'", ["combiner", "'aditive'", "mean 'additive'"]),
    ("combiner off", "[plugins.additive]\nenabled = false", ["combiner", "entry_policy could never enter"]),
    ("plugin no table", "[plugins]\nadditive = 3", ["[plugins] additive", "given 3"]),
    ("enabled in words", "[plugins.additive]\nenabled = 'no'", ["[plugins.additive] enabled", "'no'", "true or false"]),
    ("use a number", "[plugins.a]\nuse = 1", ["[plugins.a] use", "given 1"]),
    (
        "no time for an entry",
        "[plugins.entry_policy]\nnot_first_s = 720",
        ["[plugins.entry_policy] not_first_s", "given 720", "first 240 s nor the last 60 s", "5m window", "below 900"],
    ),
    (
        "no time for an entry of a second instance",
        "[plugins.late]\nuse = 'entry_policy'\nnot_last_s = 870",
        ["[plugins.late] not_last_s", "given 870"],
    ),
    (
        "exit never old enough",
        "[plugins.exit_plan]\nage_min_s = 750",
        ["[plugins.exit_plan] age_min_s", "given 750", "could never rest", "below 750"],
    ),
    (
        "guard after the host",
        "[plugins.expiry_guard]\nclose_before_expiry_s = 60",
        ["[plugins.expiry_guard] close_before_expiry_s", "given 60", "could never fire", "at least 120"],
    ),
    (
        "reversal never stood long enough",
        "[plugins.reversal]\nstand_s = 750",
        ["[plugins.reversal] stand_s", "given 750", "5m window", "never be sold", "below 750", "enabled = false"],
    ),
    ("reversal in no time", "[plugins.reversal]\nnot_last_s = 870", ["not_last_s", "no time for a hedge", "below 870"]),
    (
        "hedge after the stop",
        "[plugins.reversal]\nmidpoint_max = '0.29'",
        ["[plugins.reversal] midpoint_max", "given '0.29'", "stop_loss sells at 0.3", "at least 0.3"],
    ),
    (
        "hedge after another stop",
        "[plugins.hard]\nuse = 'stop_loss'\nmidpoint_max = '0.31'\nfloor = '0.28'",
        ["[plugins.reversal] midpoint_max", "hard sells at 0.31"],
    ),
    ("adds too late", "[plugins.scale_in]\ntime_left_min_s = 119", ["time_left_min_s", "given 119", "at least 120"]),
    ("adds never", "[plugins.scale_in]\ntime_left_min_s = 870", ["time_left_min_s", "no time to add", "below 870"]),
    (
        "adds to nothing",
        "[plugins.scale_in]\nprice_min = '0.2'\nprice_max = '0.3'",
        ["[plugins.scale_in] price_max", "'0.3'", "stop_loss sells", "above 0.3"],
    ),
    ("an age of a window", "[plugins.expiry_guard]\nage_max_s = 750", ["age_max_s", "given 750", "below 750, or 0"]),
    ("older than it may be", "[plugins.expiry_guard]\nage_max_s = 60", ["age_max_s", "exit_plan", "above 60, or 0"]),
    ("guard from the open", "[plugins.expiry_guard]\nclose_before_expiry_s = 900", ["no time to hold", "below 900"]),
]


@pytest.mark.parametrize(("text", "words"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_plg_02_a_wrong_configuration_is_refused_with_file_key_value_and_what_is_allowed(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    file = written(tmp_path, text)
    message = refused(file)
    for word in words:
        assert any(choice in message for choice in word.split("|")), f"{word!r} not in {message!r}"
    if "latency" not in message and "combiner" not in message:
        assert str(file) in message


@pytest.mark.parametrize(
    ("text", "line", "quoted"),
    [
        ("[host]\nmode = sim\n", "line 2", "mode = sim"),
        ("[host\n", "line 1", "[host"),
        ("[host]\nmode = 'sim'\nmode = 'sim'\n", "line 3", "mode"),
        ("[host]\n[markets]\n[host]\n", "line 3", "[host]"),
        ("a = 'open\n", "line 1", "a = 'open"),
        ("plugin_paths = []\n[markets]\nsymbols = ['BTC',\n'ETH'\n\n", "line 3", "symbols = ['BTC',"),
    ],
)
def test_a_toml_syntax_error_is_told_with_its_line(tmp_path: Path, text: str, line: str, quoted: str) -> None:
    message = refused(written(tmp_path, text))
    assert "is not TOML" in message
    assert line in message
    assert quoted in message


def test_a_missing_file_a_folder_a_device_and_other_bytes_have_their_own_words(tmp_path: Path) -> None:
    assert "there is no such file" in refused(tmp_path / "absent.toml")
    assert "is a folder" in refused(tmp_path)
    assert "no regular file" in refused(Path(os.devnull))
    (tmp_path / "bytes.toml").write_bytes(b"[host]\nmode = '\xff'\n")
    assert "line 2 is not UTF-8" in refused(tmp_path / "bytes.toml")
    (tmp_path / "large.toml").write_bytes(b"#" * 1_000_001)
    assert "larger than" in refused(tmp_path / "large.toml")
    deep = written(tmp_path, "a = " + "[" * 5_000)
    assert "nested too deeply" in refused(deep)


def test_an_unreadable_file_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path, "")

    def deny(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", deny)
    message = refused(file)
    assert str(file) in message
    assert "cannot be read: Permission denied" in message


def test_several_mistakes_are_counted(tmp_path: Path) -> None:
    assert "(and 2 more)" in refused(written(tmp_path, "[exchange]\nspeed = 0\ndensity = 0\nseed = 'x'\n"))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("POLYHOST__HOST__MDOE", "sim", ["environment POLYHOST__HOST__MDOE", "unknown key", "did you mean 'mode'"]),
        ("POLYHOST__EXCHANGE__SPEED", "fast", ["environment POLYHOST__EXCHANGE__SPEED", "'fast'", "at least 1"]),
        ("POLYHOST__HOTS__MODE", "sim", ["unknown section", "did you mean 'host'"]),
        ("POLYHOST__HOST", "sim", ["environment POLYHOST__HOST", "'sim'"]),
        ("POLYHOST__HOST____MODE", "sim", ["names no setting", "POLYHOST__SECTION__KEY"]),
        ("POLYHOST__MARKETS__DURATIONS", "5m,10m", ["environment POLYHOST__MARKETS__DURATIONS", "'10m'"]),
        ("POLYHOST__LIMITS__TOTAL", "0", ["environment POLYHOST__LIMITS__TOTAL", "no entry"]),
    ],
)
def test_a_wrong_environment_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    message = refused(None, {name: value})
    for word in words:
        assert word in message


def test_a_wrong_value_of_the_command_line_is_named_as_such(tmp_path: Path) -> None:
    message = refused(written(tmp_path, ""), overrides={"exchange.speed": -1.0})
    assert message.startswith("command line [exchange] speed")


@pytest.mark.parametrize(
    "text",
    [
        "[venue]\nprivate_key = 'hunter2'",
        "[venue]\napi_secret = 'hunter2'",
        "[host]\npassphrase = 'hunter2'",
        "private_key = 'hunter2",
        f"[host]\nmode = '0x{'ab' * 32}'",
        "[secrets]\nwallet = 'hunter2'",
    ],
)
def test_cfg_02_log_04_a_secret_in_a_configuration_is_not_repeated(tmp_path: Path, text: str) -> None:
    message = refused(written(tmp_path, text))
    assert "hunter2" not in message
    assert "ab" * 32 not in message


def just_inside(tmp_path: Path, text: str) -> Loaded:
    return load_configuration(written(tmp_path, text), env={})


@pytest.mark.parametrize(
    "text",
    [
        "[plugins.entry_policy]\nnot_first_s = 719.9\n"
        + OFF.format("exit_plan") + OFF.format("reversal") + OFF.format("scale_in"),
        "[plugins.exit_plan]\nage_min_s = 749.9",
        "[plugins.expiry_guard]\nclose_before_expiry_s = 120",
        "[plugins.expiry_guard]\nage_max_s = 749",
        "[plugins.expiry_guard]\nage_max_s = 61",
        "[plugins.reversal]\nstand_s = 749",
        "[plugins.reversal]\nnot_last_s = 869",
        "[plugins.reversal]\nmidpoint_max = '0.30'",
        "[plugins.reversal]\nmidpoint_max = '0.20'\n" + OFF.format("stop_loss"),
        "[plugins.scale_in]\ntime_left_min_s = 120",
        "[plugins.scale_in]\ntime_left_min_s = 869",
        "[plugins.scale_in]\nprice_min = '0.2'\nprice_max = '0.31'",
        "[plugins.expiry_guard]\nclose_before_expiry_s = 60\nenabled = false",
        "[safety]\nclose_before_expiry_s = 899\n" + OFF.format("exit_plan") + OFF.format("expiry_guard")
        + OFF.format("reversal") + OFF.format("scale_in"),
        "[evaluation]\ncadence_ms = 299999",
        "[markets]\nsymbols = []\nslugs = ['some-market']",
        "[plugins.additive]\nenabled = false\n[plugins.entry_policy]\nenabled = false",
        "[markets]\ndurations = ['4h']\n[plugins.entry_policy]\nnot_first_s = 7000",
    ],
)
def test_exi_11_just_inside_each_rule_is_accepted(tmp_path: Path, text: str) -> None:
    assert just_inside(tmp_path, text).path is not None


def test_exi_11_thresholds_of_long_windows_are_not_scaled(tmp_path: Path) -> None:
    """4 h windows last 14,400 s: 14,220 s and the last 180 s leave none of it."""
    text = "[markets]\ndurations = ['4h']\n[plugins.entry_policy]\nnot_first_s = {}\n" + OFF.format("exit_plan")
    text += OFF.format("reversal") + OFF.format("scale_in")
    assert just_inside(tmp_path, text.format(14_219)).path is not None
    assert "4h window of 14400 s" in refused(written(tmp_path, text.format(14_220)))
