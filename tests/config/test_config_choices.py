"""What the machine was told to choose: its own file, a person's last word, and what is told where they differ."""

from __future__ import annotations

import os
import stat
import threading
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyhost.configuration import SHIPPED_PLUGINS, Loaded, load_configuration
from polyhost.configuration.choices import CHOICES_FILE, Change, choices_of, choose, take_back
from polyhost.errors import ConfigError


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loaded(text: str = "", env: dict[str, str] | None = None, overrides: dict[str, object] | None = None) -> Loaded:
    """A person's file, environment and command line over what was chosen in ./data."""
    Path("mine.toml").write_text("host.data_dir = 'data'\n" + text, encoding="utf-8")
    return load_configuration(Path("mine.toml"), overrides, env or {}, chosen=True)


def enabled(configured: Loaded, plugin: str) -> bool:
    return bool(configured.configuration.plugins[plugin].get("enabled", True))


def test_cfg_01_a_choice_switches_a_plugin_on_or_off_and_sets_it_up() -> None:
    assert choose("data", "grid", True, {"levels": 2}) == (
        Change("grid", "levels", None, 2), Change("grid", "enabled", None, True),
    )
    choose("data", "console_notify", False)
    found = loaded()
    assert found.configuration.plugins["grid"] == {"enabled": True, "levels": 2}
    assert not enabled(found, "console_notify")
    assert found.origin["plugins.grid.levels"] == "choice data/choices.toml:7"
    assert found.told() == []


def test_cfg_01_what_did_not_change_is_not_told_and_not_written() -> None:
    choose("data", "grid", True)
    before = os.stat("data/choices.toml").st_ino
    assert choose("data", "grid", True) == ()
    assert os.stat("data/choices.toml").st_ino == before
    assert [str(change) for change in choose("data", "grid", False)] == ["[plugins.grid] enabled: true -> false"]
    choose("data", "grid", settings={"levels": 1})
    assert choose("data", "grid", settings={"levels": True}) != (), "TOML tells them apart"


def test_cfg_01_a_choice_can_be_taken_back() -> None:
    choose("data", "grid", True, {"levels": 2})
    assert choose("data", "grid", settings={"levels": None}) == (Change("grid", "levels", 2, None),)
    assert choices_of("data").plugins == {"grid": {"enabled": True}}
    assert take_back("data", "grid") == (Change("grid", "enabled", True, None),)
    assert choices_of("data").plugins == {}
    assert not enabled(loaded(), "grid")


def test_cfg_01_per_04_the_file_is_whole_private_and_says_whose_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    choose("data", "grid", True)
    file = Path("data", CHOICES_FILE)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().startswith("# This file belongs to polyhost")
    old = file.read_text()

    def broken(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="No space"):
        choose("data", "grid", False)
    assert file.read_text() == old
    assert [path.name for path in Path("data").iterdir()] == [CHOICES_FILE]


def test_cfg_01_a_persons_file_is_never_rewritten() -> None:
    text = "[plugins.grid]\nlevels = 3   # mine\n"
    loaded(text)
    before = Path("mine.toml").read_bytes()
    choose("data", "grid", False, {"levels": 4})
    assert Path("mine.toml").read_bytes() == before
    assert loaded(text).configuration.plugins["grid"] == {"levels": 4, "enabled": False}


OFF = "[plugins.additive]\nenabled = false\n[plugins.entry_policy]\nenabled = false\n"


@pytest.mark.parametrize("layer", ["file", "fragment", "environment", "command line"])
def test_cfg_01_a_persons_enabled_false_always_wins(layer: str) -> None:
    choose("data", "console_notify", True)
    text, env, overrides = "", {}, {}
    off = "[plugins.console_notify]\nenabled = false\n"
    if layer == "file":
        text = off
    elif layer == "fragment":
        Path("conf.d").mkdir()
        Path("conf.d/a.toml").write_text(off)
    elif layer == "environment":
        env = {"POLYHOST__PLUGINS__CONSOLE_NOTIFY__ENABLED": "false"}
    else:
        overrides = {"plugins.console_notify.enabled": False}
    found = loaded(text, env, overrides)
    assert not enabled(found, "console_notify")
    (told,) = found.disagreements
    assert told.person_holds
    assert "enabled: false in " in str(told)
    assert "but true was chosen in data/choices.toml:7" in str(told)
    assert str(told).endswith(f"{told.person_place} holds")


def test_cfg_01_a_person_who_says_on_again_in_a_later_layer_is_heard() -> None:
    """Of a person's own layers the last one counts, as for every other key."""
    choose("data", "console_notify", False)
    off = "[plugins.console_notify]\nenabled = false\n"
    found = loaded(off, {"POLYHOST__PLUGINS__CONSOLE_NOTIFY__ENABLED": "true"})
    assert enabled(found, "console_notify")
    assert found.disagreements[0].person_holds


SAID = (None, True, False)


@pytest.mark.parametrize("plugin", ["console_notify", "grid"])
def test_cfg_01_who_holds_about_a_plugin_in_every_combination_of_what_is_said(plugin: str) -> None:
    """One plugin that is on by itself, and one that a table of its own switches on."""
    for chosen, file, variable in product(SAID, SAID, SAID):
        take_back("data", plugin)
        choose("data", plugin, chosen)
        text = "" if file is None else f"[plugins.{plugin}]\nenabled = {str(file).lower()}\n"
        env = {} if variable is None else {f"POLYHOST__PLUGINS__{plugin.upper()}__ENABLED": str(variable).lower()}
        person = file if variable is None else variable
        if person is False or variable is True:
            expected = person
        else:
            expected = next(said for said in (chosen, file, plugin == "console_notify") if said is not None)
        found = loaded(text, env)
        assert enabled(found, plugin) is expected, (chosen, file, variable)
        differ = chosen is not None and person is not None and chosen is not person
        assert [told.person_holds for told in found.disagreements] == [expected is person] * differ


def test_cfg_01_where_both_set_a_plugin_differently_it_is_told_with_who_holds() -> None:
    choose("data", "fixed_size", settings={"stake": "10"})
    choose("data", "console_notify", False)
    found = loaded("[plugins.fixed_size]\nstake = '20'\n[plugins.console_notify]\nlevel_min = 'warning'\n")
    assert found.configuration.plugins["fixed_size"] == {"stake": "10"}
    assert not enabled(found, "console_notify")
    stake, off = (str(each) for each in found.disagreements)
    assert stake == (
        "[plugins.fixed_size] stake: '20' in mine.toml:3, but '10' was chosen in data/choices.toml:7; "
        "data/choices.toml:7 holds"
    )
    assert off == (
        "[plugins.console_notify] enabled: true in mine.toml:4, but false was chosen in data/choices.toml:10; "
        "data/choices.toml:10 holds"
    )
    assert loaded("[plugins.fixed_size]\nstake = '10'\n").disagreements == ()


def test_cfg_01_the_environment_comes_after_a_choice_and_that_is_told() -> None:
    choose("data", "fixed_size", settings={"stake": "10"})
    found = loaded(env={"POLYHOST__PLUGINS__FIXED_SIZE__STAKE": '"30"'})
    assert found.configuration.plugins["fixed_size"]["stake"] == "30"
    assert str(found.disagreements[0]).endswith("environment POLYHOST__PLUGINS__FIXED_SIZE__STAKE holds")


def test_cfg_01_settings_alone_switch_no_plugin_on() -> None:
    choose("data", "grid", settings={"levels": 2})
    choose("data", "strange", settings={"x": 1})
    choose("data", "fixed_size", settings={"stake": "10"})
    found = loaded()
    assert [enabled(found, name) for name in ("grid", "strange", "fixed_size")] == [False, False, True]
    assert enabled(loaded("[plugins.grid]\n"), "grid")


def test_plg_02_a_choice_or_a_variable_moves_no_plugin() -> None:
    """Precedence is the files' matter: it decides between exits of equal urgency."""
    choose("data", "exit_plan", settings={"age_min_s": 61.0})
    choose("data", "theirs", True)
    env = {"POLYHOST__PLUGINS__EXPIRY_GUARD__ENABLED": "true"}
    assert list(loaded("[plugins.mine]\n", env).configuration.plugins) == ["mine", *SHIPPED_PLUGINS, "theirs"]


def test_cfg_01_a_choice_belongs_to_its_data_folder_and_can_be_left_out() -> None:
    choose("data", "grid", True)
    assert enabled(loaded(), "grid")
    assert not enabled(loaded(overrides={"host.data_dir": "elsewhere"}), "grid")
    assert not enabled(load_configuration(Path("mine.toml"), env={}), "grid")
    assert not enabled(load_configuration(Path("mine.toml"), chosen=False), "grid")


def test_cfg_01_a_choice_changes_the_configurations_hash() -> None:
    before = loaded().config_hash
    choose("data", "grid", True)
    assert loaded().config_hash != before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[plugins.grid\n", [":1: is not TOML"]),
        ("[host]\nmode = 'sim'\n", [":1 host: is no choice", "allowed: plugins"]),
        ("plugins = 3\n", ["plugins: is no table"]),
        ("[plugins]\ngrid = true\n", [":2 [plugins] grid: is no table"]),
        ("[plugins.grid]\nenabled = 1\n", [":2 [plugins.grid] enabled", "given 1", "true, false"]),
        ("[plugins.mine]\ntrusted = true\n", ["[plugins.mine] trusted: is no choice", "only a person sets it"]),
        ("[plugins.mine]\nuse = 'grid'\n", ["[plugins.mine] use: is no choice", "only a person sets it"]),
    ],
)
def test_cfg_01_a_damaged_file_of_choices_is_refused_with_the_remedy(text: str, words: list[str]) -> None:
    Path("data").mkdir()
    Path("data", CHOICES_FILE).write_text(text)
    for act in (loaded, lambda: choose("data", "grid", True), lambda: choices_of("data")):
        with pytest.raises(ConfigError) as caught:
            act()
        message = str(caught.value)
        for word in ("data/choices.toml", "delete the file to take back every choice", *words):
            assert word in message
    assert Path("data", CHOICES_FILE).read_text() == text


@pytest.mark.parametrize("key", ["use", "trusted"])
def test_sec_02_nobody_chooses_which_code_runs_in_the_host(key: str) -> None:
    with pytest.raises(ConfigError, match="only a person sets it"):
        choose("data", "mine", True, {key: True})
    assert not Path("data", CHOICES_FILE).exists()


def test_cfg_01_two_commands_at_once_lose_no_choice() -> None:
    names = [f"plugin{n}" for n in range(8)]
    threads = [threading.Thread(target=choose, args=("data", name, True)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(choices_of("data").plugins) == set(names)


NAMES = st.sampled_from(("grid", "exit_plan", "mine"))
VALUES = st.one_of(st.booleans(), st.integers(-9, 9), st.text(max_size=4), st.lists(st.integers(0, 3), max_size=2))
STEPS = st.lists(
    st.tuples(NAMES, st.none() | st.booleans(), st.dictionaries(st.sampled_from("ab"), st.none() | VALUES, max_size=2)),
    max_size=6,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(STEPS)
def test_cfg_01_what_is_read_is_what_was_chosen(steps: list[tuple[str, bool | None, dict[str, Any]]]) -> None:
    Path("data", CHOICES_FILE).unlink(missing_ok=True)
    wanted: dict[str, dict[str, Any]] = {}
    for name, on, chosen in steps:
        table = wanted.setdefault(name, {})
        for key, value in (chosen | ({} if on is None else {"enabled": on})).items():
            table.pop(key, None)
            if value is not None:
                table[key] = value
        choose("data", name, on, chosen)
        assert choices_of("data").plugins == {each: kept for each, kept in wanted.items() if kept}
