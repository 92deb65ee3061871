"""Wrong configurations: each is refused with the words that lead to the remedy."""

from __future__ import annotations

import os
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import wrong_configurations as wrong

from polyhost.cli.config import discovered
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


_asked = wrong.refusal
"""Before a test puts something else in its place."""


@cache
def refusal(what: str) -> ConfigError | None:
    """Asked once of the host; several tests look at it."""
    (case,) = [case for case in wrong.cases() if case["what"] == what]
    return _asked(case)


@pytest.mark.parametrize("case", wrong.cases(), ids=lambda case: str(case["what"]))
def test_plg_02_cfg_01_each_wrong_configuration_is_told_as_the_table_says(case: dict[str, Any]) -> None:
    """Where it is not: ``python tests/config/wrong_configurations.py``, then read the difference."""
    assert str(refusal(case["what"])) == case["message"]


BY_ITSELF = ("is not TOML", "there is no such file", "names no setting")
"""What is wrong as a whole has no key, and nothing to choose from."""


@pytest.mark.parametrize("case", wrong.cases(), ids=lambda case: str(case["what"]))
def test_plg_02_each_message_names_place_key_value_allowed_values_and_remedy(case: dict[str, Any]) -> None:
    error = refusal(case["what"])
    assert error is not None
    assert error.exit_code == 2
    assert re.match(r"(mine|conf\.d/a|polyhost-data/choices)\.toml|environment POLYHOST__|command line", error.file)
    assert error.nearest or error.remedy, "what to do"
    if not error.problem.startswith(BY_ITSELF):
        assert error.key or error.table.startswith("plugins.")
        assert error.allowed, "what would be right"
        absent = "is missing" in error.problem or "a secret has no place" in error.problem
        a_table = "section" in error.problem or error.allowed == ("plugins",)
        assert error.value is not None or absent or a_table
    message = str(error)
    assert "hunter2" not in message
    assert "5e5e" not in message


def test_the_table_has_more_than_forty_cases_each_with_its_own_message() -> None:
    cases = wrong.cases()
    assert len(cases) >= 40
    assert len({case["what"] for case in cases}) == len(cases)
    assert len({case["message"] for case in cases}) == len(cases)


def test_the_table_stands_as_its_own_writer_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = wrong.TABLE.read_bytes()
    other = tmp_path / "table.toml"
    other.write_bytes(before)
    monkeypatch.setattr(wrong, "TABLE", other)
    monkeypatch.setattr(wrong, "refusal", lambda case: refusal(case["what"]))
    wrong.main()
    assert other.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "line", "quoted"),
    [
        ("[host]\nmode = sim\n", 2, "mode = sim"),
        ("[host\n", 1, "[host"),
        ("[host]\nmode = 'sim'\nmode = 'sim'\n", 3, "mode"),
        ("[host]\n[markets]\n[host]\n", 3, "[host]"),
        ("a = 'open\n", 1, "a = 'open"),
        ("plugin_paths = []\n[markets]\nsymbols = ['BTC',\n'ETH'\n\n", 3, "symbols = ['BTC',"),
    ],
)
def test_a_toml_syntax_error_is_told_with_its_line(tmp_path: Path, text: str, line: int, quoted: str) -> None:
    message = refused(written(tmp_path, text))
    assert f"mine.toml:{line}: is not TOML" in message
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
        f"[accounts.mine]\nmode = 'live'\nkey = {{ env = '0x{'ab' * 32}' }}",
        f"[accounts.mine]\nmode = 'live'\nkey = {{ file = '{'ab' * 32}/+==' }}",
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
        "[plugins.unfilled_entries]\nunfilled_s = 899\nahead = '0.4999'",
        "[plugins.grid]\nnot_last_s = 899",
        "[plugins.grid]\nmid_min = '0.6'\nmid_max = '0.6'\nprice_min = '0.58'",
        "[plugins.pair]\nnot_last_s = 899",
        "[plugins.two_sided_quotes]\nnot_first_s = 20\nnot_last_s = 879",
        "[plugins.additive.weights]\nmine = 0.5\nspot_momentum = 0.1",
        "[plugins.additive.weights]\norder_flow2 = 0.5\n[plugins.order_flow2]\nenabled = false\nuse = 'order_flow'",
        "[breakers]\ndaily_loss = '0.000001'",
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


def test_per_03_a_database_whose_library_or_secret_is_not_good_is_told_by_config_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The secret's address is checked like one that stands there, and nothing of it is repeated."""

    def told(text: str) -> str:
        with pytest.raises(ConfigError) as caught:
            discovered(load_configuration(written(tmp_path, f"[host]\ndatabase = {text}\n"), env={}))
        return str(caught.value)

    monkeypatch.setenv("DATABASE", "postgresql://me:hunter2@db.example:54x2/trading")
    assert "mine.toml:2 [host] database: the secret there is no address" in told('{ env = "DATABASE" }')
    monkeypatch.setenv("DATABASE", "postgresql://me:hunter2@db.example/trading?hunter2=1")
    message = told('{ env = "DATABASE" }')
    assert "is no address that libpq can read; given 'env DATABASE'" in message
    assert "hunter2" not in message
    monkeypatch.setitem(sys.modules, "psycopg.conninfo", None)
    assert "needs the library psycopg" in (message := told('"postgresql://me@db.example/trading"'))
    assert "pip install 'polyhost[postgres]'" in message
