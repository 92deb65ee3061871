"""Finding, checking and refusing plugins: what is imported, in which order, and what a person is told."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, distributions, entry_points
from pathlib import Path
from typing import Any

import extension_builders as make
import pytest
from test_extension_contract import COMBINE, SIGNAL

from polyhost.errors import ConfigError
from polyhost.extension import LoadedPlugin, Runner, discover
from polyhost.extension.discovery import tell_of
from polyhost.extension.sources import found_sources
from polyhost.settings import Configuration

SETTINGS = """
from pydantic import Field
class Knobs(Settings):
    horizon_s: int = Field(default=60, gt=0)
    api_token: str = "x"
    mode: Literal["slow", "fast"] = "slow"
"""
HEADER = make.HEADER + "\nfrom typing import Literal\n" + SETTINGS
BODY = SIGNAL + "\nSettings = Knobs"


def distribution(folder: Path, name: str, version: str, module: str, body: str, point: str) -> None:
    """An installed distribution ``name`` with one module and one entry point."""
    (folder / f"{module}.py").write_text(body)
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[polyhost]\n{point}\n")


def points_in(folder: Path) -> list[EntryPoint]:
    return [
        point for one in distributions(path=[str(folder)]) for point in one.entry_points if point.group == "polyhost"
    ]


def found(folder: Path, tables: dict[str, dict[str, Any]], **more: Any) -> dict[str, LoadedPlugin]:
    configuration = Configuration.model_validate({"plugins": tables, **more}, strict=False)
    plugins = discover(configuration, folder, "my.toml", points=points_in(folder), deadlines=make.PATIENT)
    return {plugin.name: plugin for plugin in plugins}


def module(body: str) -> str:
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return f"{make.HEADER}\nclass Made(Plugin):\n    name = 'made'\n{lines}\n"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_plg_02_a_signal_that_the_combiner_gives_no_voice_is_told(tmp_path: Path) -> None:
    """It would be asked every second and count nothing; with 0 somebody says that he knows."""
    tables: dict[str, Any] = {"more": {"use": "order_flow"}, "order_flow": {}, "additive": {}, "bayesian": {}}
    for combiner, key in (("additive", "weights"), ("bayesian", "reliability")):
        chosen = {"plugins": tables, "evaluation": {"combiner": combiner}}
        more, own, *_ = discover(Configuration.model_validate(chosen), tmp_path)
        assert more.notes == (
            f"{combiner}, the combiner that trades, gives it no voice: [plugins.{combiner}.{key}] more = 0.2 does",
        )
        assert own.notes == ()
        heard = tables | {combiner: {key: {"more": 0.0}}}
        more, *_ = discover(Configuration.model_validate(chosen | {"plugins": heard}), tmp_path)
        assert more.notes == ()


def test_plg_01_the_built_in_plugins_are_found_by_entry_points_like_anyones() -> None:
    installed = {point.name for point in entry_points(group="polyhost") if point.dist and point.dist.name == "polyhost"}
    sources = found_sources()
    assert installed == {name for name, several in sources.items() if several[0].built_in}
    assert "additive" in installed


def test_sec_02_a_plugin_that_is_not_named_is_listed_and_never_imported(site: Path) -> None:
    bomb = 'open(__file__ + ".imported", "w").close()\n' + module(SIGNAL)
    distribution(site, "polyhost-bomb", "1.2", "polyhost_bomb", bomb, "bomb = polyhost_bomb:Made")
    plugin = found(site, {})["bomb"]
    assert (plugin.state, plugin.origin, plugin.version) == ("available", "polyhost-bomb 1.2", "1.2")
    assert not (site / "polyhost_bomb.py.imported").exists()


def test_sec_02_a_named_plugin_of_others_is_imported_in_a_process_of_its_own_only(site: Path) -> None:
    distribution(site, "polyhost-far", "0.3", "polyhost_far", module(SIGNAL), "far = polyhost_far:Made")
    plugin = found(site, {"far": {}})["far"]
    assert (plugin.state, plugin.hooks, plugin.instance) == ("process", ("signal",), None)
    assert len(plugin.fingerprint) == 64
    assert "polyhost_far" not in sys.modules


def test_a_trusted_plugin_and_a_built_in_one_run_inline(site: Path) -> None:
    distribution(site, "polyhost-near", "0.3", "polyhost_near", module(SIGNAL), "near = polyhost_near:Made")
    distribution(site, "polyhost", "9.9", "polyhost_own", module(COMBINE), "additive = polyhost_own:Made")
    plugins = found(site, {"near": {"trusted": True}, "additive": {}})
    assert [(name, plugin.state, plugin.origin) for name, plugin in plugins.items()] == [
        ("near", "inline", "polyhost-near 0.3"),
        ("additive", "inline", "built in"),
    ]


def test_plg_02_the_order_of_the_tables_is_the_order_of_the_plugins(tmp_path: Path) -> None:
    for name in ("alpha", "beta", "gamma"):
        make.plugin_file(tmp_path, name, SIGNAL)
    tables = {name: {"trusted": True} for name in ("gamma", "alpha", "beta")}
    runner = Runner(make.load(tmp_path, tables), "none")
    assert [name for name, _ in runner.evaluate_inline(make.view()).signals] == ["gamma", "alpha", "beta"]


def test_plg_02_one_class_may_be_used_twice_and_a_disabled_one_is_not_imported(tmp_path: Path) -> None:
    make.plugin_file(tmp_path, "momentum", BODY, HEADER)
    make.plugin_file(tmp_path, "broken", "raise RuntimeError")
    tables: dict[str, dict[str, Any]] = {
        "slow": {"use": "momentum", "trusted": True, "horizon_s": 300},
        "momentum": {"trusted": True},
        "broken": {"enabled": False, "trusted": True},
    }
    slow, momentum, broken = make.load(tmp_path, tables)
    assert slow.instance is not momentum.instance
    assert (slow.settings["horizon_s"], momentum.settings["horizon_s"]) == (300, 60)
    assert (slow.name, slow.described()["use"]) == ("slow", "momentum")
    assert broken.state == "disabled"


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"horzion_s": 5}, ["plugins.momentum", "horzion_s", "unknown key", "5", "horizon_s", "did you mean"]),
        ({"horizon_s": 0}, ["plugins.momentum", "horizon_s", "out of range", "given 0", "a whole number above 0"]),
        ({"mode": "fats"}, ["plugins.momentum", "mode", "fats", "slow, fast"]),
        ({"api_token": 77}, ["plugins.momentum", "api_token", "wrong type", "(hidden)", "a text in quotes"]),
    ],
)
def test_plg_02_a_wrong_setting_stops_the_start_and_says_everything(
    tmp_path: Path, table: dict[str, Any], words: list[str], trusted: bool
) -> None:
    make.plugin_file(tmp_path, "momentum", BODY, HEADER)
    with pytest.raises(ConfigError) as caught:
        make.load(tmp_path, {"momentum": table | {"trusted": trusted}})
    text = str(caught.value)
    assert [word for word in ["polyhost.toml", *words] if word not in text] == []
    assert "77" not in text


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"enabled": "yes"}, ["[plugins.momentum] enabled", "'yes'", "true, false"]),
        ({"use": "momentun"}, ["[plugins.momentum] use", "'momentun'", "did you mean 'momentum'?"]),
    ],
)
def test_plg_02_a_wrong_host_key_is_named(tmp_path: Path, table: dict[str, Any], words: list[str]) -> None:
    make.plugin_file(tmp_path, "momentum", SIGNAL)
    with pytest.raises(ConfigError) as caught:
        make.load(tmp_path, {"momentum": table})
    assert [word for word in words if word not in str(caught.value)] == []


SECRET = "0x" + "5e" * 32


@pytest.mark.parametrize(
    "table",
    [
        {"mode": SECRET}, {"horizon_s": SECRET}, {"enabled": SECRET}, {"trusted": [SECRET]}, {"use": SECRET},
        {"wallet": SECRET}, {"mode": {"passphrase": "horse", "why": "battery"}}, {"relayer_key": "horse"},
        {"mode": ["fast", SECRET]},
    ],
)
def test_sec_02_a_secret_in_a_plugins_table_is_never_repeated(tmp_path: Path, table: dict[str, Any]) -> None:
    """Whatever key it was pasted under, and however deep."""
    make.plugin_file(tmp_path, "momentum", BODY, HEADER)
    with pytest.raises(ConfigError) as caught:
        make.load(tmp_path, {"momentum": {"trusted": True, **table}})
    text = str(caught.value)
    assert "plugins.momentum" in text
    assert SECRET[4:] not in text
    assert "horse" not in text


def test_plg_02_an_unknown_plugin_stops_the_start_with_the_nearest_name(tmp_path: Path) -> None:
    make.plugin_file(tmp_path, "momentum", SIGNAL)
    with pytest.raises(ConfigError, match=r"\[plugins.momentun\].*no plugin.*did you mean 'momentum'"):
        make.load(tmp_path, {"momentun": {}})


def test_plg_02_the_trading_combiner_must_be_one_that_runs(tmp_path: Path) -> None:
    make.plugin_file(tmp_path, "additive", COMBINE)
    with pytest.raises(ConfigError, match=r"\[evaluation\] combiner.*did you mean 'additive'.*'aditive'"):
        make.load(tmp_path, {"additive": {"trusted": True}}, combiner="aditive")
    assert make.load(tmp_path, {"additive": {"trusted": True}}, combiner="additive")


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("nowhere", "plugin_paths 'nowhere': there is no such file or folder; name a .py file"),
        ("notes.txt", "plugin_paths 'notes.txt': is no .py file"),
        ("mine\0.py", "cannot be looked at: ValueError"),
        ("loop", "plugin_paths 'loop': is a link that leads nowhere"),
        ("binary.py", "null bytes; mend it"),
    ],
)
def test_plg_06_a_path_that_offers_nothing_is_told_and_the_others_start(
    tmp_path: Path, path: str, problem: str
) -> None:
    (tmp_path / "notes.txt").write_text("x = 1")
    (tmp_path / "binary.py").write_bytes(b"\0\1")
    (tmp_path / "loop").symlink_to("loop")
    make.plugin_file(tmp_path, "momentum", SIGNAL)
    configuration = Configuration.model_validate(
        {"plugins": {"momentum": {"trusted": True}}, "plugin_paths": ("momentum.py", path)}, strict=False
    )
    momentum, stray = discover(configuration, tmp_path, points=())
    assert (momentum.state, stray.state) == ("inline", "refused")
    assert problem in stray.problem


def test_plg_06_a_class_whose_name_is_no_text_is_told(tmp_path: Path) -> None:
    make.plugin_file(tmp_path, "momentum", SIGNAL)
    (tmp_path / "odd.py").write_text("from polyhost import Plugin\nNAME = 'odd'\nclass Odd(Plugin):\n    name = NAME\n")
    configuration = Configuration.model_validate(
        {"plugins": {"momentum": {"trusted": True}, "odd": {}}, "plugin_paths": (str(tmp_path),)}, strict=False
    )
    plugins = {plugin.name: plugin for plugin in discover(configuration, tmp_path, points=())}
    assert (plugins["momentum"].state, plugins["odd"].state) == ("inline", "refused")
    assert "odd.py: the name of Odd is no text: the file is not run to find it" in plugins["odd"].problem


def test_plg_06_a_plugin_that_is_gone_is_refused_and_a_name_that_never_was_stops_the_start(tmp_path: Path) -> None:
    make.plugin_file(tmp_path, "momentum", SIGNAL)
    tables: dict[str, dict[str, Any]] = {"momentum": {"trusted": True}, "mine": {}, "far": {"use": "away"}}

    def states(excused: set[str], paths: tuple[str, ...] = ("momentum.py",)) -> dict[str, tuple[str, str]]:
        configuration = Configuration.model_validate({"plugins": tables, "plugin_paths": paths}, strict=False)
        plugins = discover(configuration, tmp_path, points=(), excused=excused)
        return {plugin.name: (plugin.state, plugin.problem) for plugin in plugins}

    gone = "nothing offers this plugin any more; bring it back, or `polyhost plugins disable mine`"
    told = states({"mine", "away"})
    assert told["momentum"] == ("inline", "")
    assert told["mine"] == ("refused", f"plugin 'mine': {gone}")
    assert told["far"][0] == "refused"
    with pytest.raises(ConfigError, match=r"\[plugins.far\] use: there is no plugin of this name"):
        states({"mine"})
    # It may lie where nothing can be read.
    state, problem = states(set(), ("momentum.py", "mine.py"))["mine"]
    assert state == "refused"
    assert "plugin_paths 'mine.py': there is no such file" in problem
    tables |= {"mine": {"enabled": False}, "far": {"enabled": False}}
    assert states({"mine", "far"})["mine"] == ("disabled", "")


def test_plg_01_a_file_that_takes_a_shipped_name_is_refused_and_the_shipped_plugin_runs(site: Path) -> None:
    distribution(site, "polyhost", "9.9", "polyhost_own_stop", module(SIGNAL), "stop_loss = polyhost_own_stop:Made")
    distribution(site, "evil", "6.6", "evil_stop", "1 / 0", "stop_loss = evil_stop:Made")
    (site / "stray.py").write_text(module(SIGNAL).replace("'made'", "'stop_loss'"))
    plugins = found(site, {"stop_loss": {}}, plugin_paths=("stray.py",))
    assert (plugins["stop_loss"].state, plugins["stop_loss"].origin) == ("inline", "built in")
    strays = [plugins["evil 6.6"], plugins[str(site / "stray.py")]]
    assert [stray.state for stray in strays] == ["refused", "refused"]
    words = "offers the name of the built-in plugin 'stop_loss', which runs; give it a name of its own"
    assert [stray.problem for stray in strays if words not in stray.problem] == []
    assert "evil_stop" not in sys.modules


REFUSED = {
    "a broken import": ("", "import nothing_like_this", "ModuleNotFoundError"),
    "a syntax error": ("def", "", "SyntaxError"),
    "an exit on import": ("", "sys.exit(1)", "SystemExit"),
    "an interruption on import": ("", "raise KeyboardInterrupt('by hand')", "imported: KeyboardInterrupt: by hand"),
    "a constructor that raises what is no Exception": (
        "def __init__(self, settings): raise BaseException('odd')", "", "cannot be built: BaseException: odd"
    ),
    "a class whose names cannot be read": ("def __dir__(self): sys.exit(3)", "", "cannot be read: SystemExit: 3"),
    "settings whose checks end the process": (
        "class Settings(Settings):\n    def model_post_init(self, context): sys.exit('s3cret')", "",
        "its settings cannot be checked: SystemExit",
    ),
    "a newer contract": (SIGNAL + "\napi = 2", "", "written for hook contract 2, this host speaks 1; upgrade polyhost"),
    "an older contract": (SIGNAL + "\napi = 0", "", "install a newer version of it"),
    "a misspelt hook": (
        "@hookimpl\ndef signl(self, view): pass", "", "in signl: there is no such hook; did you mean 'signal'?"
    ),
    "a misspelt argument": (
        "@hookimpl\ndef signal(self, vew): pass", "",
        "in signal: there is no argument 'vew' of this hook; did you mean 'view'? it may take: view",
    ),
    "a neighbour": (SIGNAL, "import momentum", "a single file cannot import its neighbours: put all into one file"),
    "a neighbour of a package that is none": (SIGNAL, "from . import momentum", "plugins new NAME --package"),
    "an async hook": ("@hookimpl\nasync def signal(self, view): pass", "", "is async; hooks are synchronous"),
    "a hook without its mark": ("def signal(self, view): pass", "", "is named like a hook and not marked"),
    "a wrapper": ("@hookimpl(wrapper=True)\ndef signal(self, view): yield", "", "is a hook wrapper"),
    "a failing constructor": (
        "def __init__(self, settings): raise OSError('no file')", "", "cannot be built: OSError: no file"
    ),
    "a setting of the host's name": (
        "class Settings(Settings):\n    trusted: bool = True", "", "'trusted' is one of the host's own keys"
    ),
}


@pytest.mark.parametrize("how", REFUSED)
def test_plg_06_a_plugin_that_cannot_work_is_refused_with_the_remedy_and_the_others_start(
    tmp_path: Path, how: str
) -> None:
    body, top, words = REFUSED[how]
    make.plugin_file(tmp_path, "bad", body or SIGNAL, f"{make.HEADER}\n{top}\n")
    make.plugin_file(tmp_path, "momentum", SIGNAL)
    bad, good = make.load(tmp_path, {"bad": {"trusted": True}, "momentum": {"trusted": True}})
    assert (bad.state, good.state) == ("refused", "inline")
    assert words in bad.problem
    assert "bad.py" in bad.problem
    assert Runner([bad, good], "none").evaluate_inline(make.view()).signals[0][0] == "momentum"


def test_plg_06_what_a_process_refuses_is_told_as_if_it_were_here(tmp_path: Path) -> None:
    make.plugin_file(tmp_path, "bad", "@hookimpl\ndef signl(self): pass")
    make.plugin_file(tmp_path, "worse", SIGNAL, make.HEADER + "\nraise KeyboardInterrupt('by hand')\n")
    here = make.load(tmp_path, {"bad": {"trusted": True}, "worse": {"trusted": True}})
    there = make.load(tmp_path, {"bad": {}, "worse": {}})
    assert [plugin.problem for plugin in there] == [plugin.problem for plugin in here]
    assert "KeyboardInterrupt: by hand" in there[1].problem


def test_a_broken_distribution_is_named_with_its_remedy(site: Path) -> None:
    distribution(site, "polyhost-rotten", "0.1", "polyhost_rotten", "1 / 0", "rotten = polyhost_rotten:Made")
    problem = found(site, {"rotten": {"trusted": True}})["rotten"].problem
    assert "(polyhost-rotten 0.1): cannot be imported: ZeroDivisionError" in problem
    assert f"(file {site / 'polyhost_rotten.py'})" in problem
    assert "upgrade or reinstall polyhost-rotten, or set enabled = false" in problem


def test_plg_01_a_name_that_two_offer_is_refused_with_both_and_the_others_start(site: Path) -> None:
    distribution(site, "polyhost-one", "1.0", "polyhost_one", module(SIGNAL), "same = polyhost_one:Made")
    distribution(site, "polyhost-two", "2.0", "polyhost_two", module(SIGNAL), "same = polyhost_two:Made")
    distribution(site, "polyhost-far", "0.3", "polyhost_far", module(SIGNAL), "far = polyhost_far:Made")
    plugins = found(site, {"same": {"trusted": True}, "far": {"trusted": True}})
    assert (plugins["same"].state, plugins["far"].state) == ("refused", "inline")
    problem = plugins["same"].problem
    for part in ("polyhost-one 1.0 in", "_one.py", "polyhost-two 2.0 in", "_two.py", "uninstall or rename"):
        assert part in problem
    assert "polyhost_one" not in sys.modules
    assert found(site, {})["same"].state == "available"
    assert found(site, {"same": {"enabled": False}})["same"].state == "disabled"


def test_plg_06_a_deprecated_hook_warns_and_its_plugin_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from loguru import logger

    from polyhost import hooks

    monkeypatch.setitem(hooks.DEPRECATED, "signal", "answer combine")
    said: list[str] = []
    sink = logger.add(said.append, format="{message}", level="WARNING")
    try:
        make.plugin_file(tmp_path, "old", SIGNAL)
        for trusted in (True, False):
            old, = make.load(tmp_path, {"old": {"trusted": trusted}})
            tell_of([old])
            assert old.runs
            assert old.notes == ("signal is deprecated and goes with the next release: answer combine",)
    finally:
        logger.remove(sink)
    assert [line for line in said if "old.py): signal is deprecated" in line] == said != []


@pytest.mark.parametrize("trusted", [True, False])
def test_plg_05_an_answer_that_has_to_be_awaited_is_a_strike(tmp_path: Path, trusted: bool) -> None:
    body = """
@hookimpl
def signal(self, view):
    async def later():
        return Signal(0.5, 0.5)
    return later()
"""
    runner = make.runner(tmp_path, {"late": body, "momentum": SIGNAL}, foreign=() if trusted else ("late",))
    runner.start()
    try:
        evaluated = runner.evaluate_inline(make.view())
    finally:
        runner.stop()
    assert [name for name, _ in evaluated.signals] == ["momentum"]
    assert evaluated.used[0].problem == "answered coroutine; allowed: Signal, Abstain or None"


def test_a_plugin_may_take_any_of_a_hooks_arguments_in_any_order(tmp_path: Path) -> None:
    body = """
@hookimpl
def signal(self): return Signal(0.5, 0.5)
@hookimpl(specname="combine")
def anything(self, signals, view): return Estimate(0.5, 0.5, Bias.NONE, f"{view.view_seq} {len(signals)}")
@hookimpl
def entry(self, estimate): return Skip(estimate.reason)
"""
    make.plugin_file(tmp_path, "additive", body)
    evaluated = Runner(make.load(tmp_path, {"additive": {"trusted": True}}), "additive").evaluate_inline(make.view(9))
    assert evaluated.proposals[0].answer.reason == "9 1"  # type: ignore[union-attr]


LATE = '''
class Knobs(Settings):
    wait_s: float = 60.0
    boast: str = ""

    def contradictions(self, setup):
        if self.boast == "raise":
            raise ValueError("a mistake of mine")
        if self.boast:
            yield self.boast
        ((_, plan),) = setup.settings_of("exit_plan")
        most = setup.longest_s - setup.first_entry_s - plan.age_min_s
        if self.wait_s >= most:
            yield Contradiction("wait_s", f"it would never act in a {setup.window} window", f"below {most:g}")
'''


@pytest.mark.parametrize("trusted", [True, False])
def test_exi_11_a_plugin_of_anybodys_refuses_a_configuration_in_which_it_could_never_act(
    tmp_path: Path, trusted: bool
) -> None:
    """Where it runs, with what the built-in plugins are set to; a mistake in it refuses the plugin alone."""
    make.plugin_file(tmp_path, "late", SIGNAL + "\nSettings = Knobs", make.HEADER + LATE)

    def looked(**settings: object) -> LoadedPlugin:
        plugins = {
            "entry_policy": {"not_first_s": 40.0}, "exit_plan": {"age_min_s": 200.0},
            "late": {"trusted": trusted, **settings},
        }
        configuration = Configuration.model_validate({"plugin_paths": [str(tmp_path)], "plugins": plugins})
        found = discover(configuration, tmp_path, "mine.toml", deadlines=make.PATIENT)
        return next(plugin for plugin in found if plugin.name == "late")

    assert looked(wait_s=659.0).state == ("inline" if trusted else "process")
    with pytest.raises(ConfigError) as caught:
        looked(wait_s=660.0)
    assert str(caught.value) == (
        "mine.toml [plugins.late] wait_s: it would never act in a 5m window; given 660.0; allowed: below 660; "
        "or switch it off: [plugins.late] enabled = false"
    )
    assert looked(wait_s=660.0, enabled=False).state == "disabled"
    for boast, words in (("raise", "ValueError: a mistake of mine"), ("loud", "gave str")):
        refused = looked(boast=boast)
        assert refused.state == "refused"
        assert words in refused.problem
