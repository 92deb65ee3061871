"""The front door: lazy commands, exit codes, and nothing imported that is not needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from polyhost import __version__
from polyhost.cli import main as front
from polyhost.cli.options import command_app
from polyhost.errors import ConfigError, JournalError, PolyhostError, VenueError

HEAVY = {"pydantic", "polymarket", "loguru", "msgspec", "peewee", "websockets", "httpx", "aiohttp", "pluggy", "rich"}


def imported_by(*args: str) -> set[str]:
    """Top-level modules in memory after ``polyhost ARGS`` in a process of its own."""
    script = (
        "import json, sys\n"
        "from polyhost.cli.main import main\n"
        "try:\n"
        f"    main({list(args)!r})\n"
        "except SystemExit as stop:\n"
        "    assert stop.code in (0, None), stop.code\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=200, check=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


def exit_code(args: list[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        front.main(args)
    code = stop.value.code
    return code if isinstance(code, int) else 0


@pytest.fixture
def probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """A command ``probe`` whose module is a file that nobody listed before."""
    app = command_app("A probe.")
    (tmp_path / "probe_command.py").write_text("from probe_registry import app\n")
    (tmp_path / "probe_registry.py").write_text("app = None\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(front.COMMANDS, "probe", front.Entry("probe_command", "A probe."))
    monkeypatch.delitem(sys.modules, "probe_command", raising=False)
    import probe_registry  # type: ignore[import-not-found]

    probe_registry.app = app
    monkeypatch.setitem(sys.modules, "probe_registry", probe_registry)
    return app


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_import_typer_and_nothing_heavy(option: str) -> None:
    modules = imported_by(option)
    assert "typer" in modules
    assert modules & HEAVY == set()


@pytest.mark.parametrize("name", list(front.COMMANDS))
def test_the_help_of_a_command_imports_nothing_that_does_its_work(name: str) -> None:
    """Typer itself loads pydantic when it builds a command's options."""
    if find_spec(front.COMMANDS[name].module) is None:
        pytest.skip(f"{front.COMMANDS[name].module} does not exist")
    assert imported_by(name, "--help") & HEAVY <= {"pydantic"}


def test_sec_02_nobody_may_look_into_the_settings_as_they_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """pydantic would load whatever any installed distribution offers it, into the process that holds the secrets."""
    monkeypatch.setenv("PYDANTIC_DISABLE_PLUGINS", "a_plugin")
    assert exit_code(["--version"]) == 0
    assert os.environ["PYDANTIC_DISABLE_PLUGINS"] == "__all__"


def test_b7_reading_a_configuration_builds_one_model_of_all_its_tables() -> None:
    code = (
        "from polyhost.configuration import load_configuration; import polyhost.settings as s\n"
        "loaded = load_configuration(None, {}, {}).configuration\n"
        "print(loaded.safety == s.SafetyTable(), s.Configuration.__pydantic_complete__)\n"
        "print([n for n, k in vars(s).items() if isinstance(k, type) and issubclass(k, s.Table)\n"
        "       and k.__pydantic_complete__ and n not in ('Configuration', 'HostTable', 'SafetyTable')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=True)
    assert done.stdout.splitlines() == ["True True", "[]"]


def test_version_is_the_packages_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["--version"]) == 0
    assert capsys.readouterr().out == f"polyhost {__version__}\n"


def test_help_lists_each_command_whose_module_exists_and_no_other(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, probe: typer.Typer
) -> None:
    monkeypatch.setitem(front.COMMANDS, "absent", front.Entry("polyhost.cli.absent_module", "Not there."))
    assert exit_code(["--help"]) == 0
    text = capsys.readouterr().out
    assert "probe" in text
    assert "absent" not in text


def test_an_unknown_command_is_wrong_usage_and_names_the_nearest(
    capsys: pytest.CaptureFixture[str], probe: typer.Typer
) -> None:
    assert exit_code(["prob"]) == 2
    assert "Did you mean 'probe'" in capsys.readouterr().err


def test_a_command_that_returns_exits_with_0(probe: typer.Typer) -> None:
    @probe.command()
    def work() -> None:
        """Work."""

    assert exit_code(["probe"]) == 0


def test_a_command_says_no_with_1_and_killed_with_4(probe: typer.Typer) -> None:
    @probe.command()
    def work(code: int) -> None:
        """Work."""
        raise typer.Exit(code)

    assert exit_code(["probe", "1"]) == 1
    assert exit_code(["probe", "4"]) == 4


@pytest.mark.parametrize(
    ("error", "code"),
    [(ConfigError("bad"), 2), (VenueError("away"), 3), (JournalError("torn"), 1), (PolyhostError("odd"), 1)],
)
def test_a_polyhost_error_is_one_line_on_standard_error_and_its_own_exit_code(
    probe: typer.Typer, capsys: pytest.CaptureFixture[str], error: PolyhostError, code: int
) -> None:
    @probe.command()
    def work() -> None:
        """Work."""
        raise error

    assert exit_code(["probe"]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"Error: {error}\n"


def test_any_other_exception_is_not_swallowed(probe: typer.Typer) -> None:
    @probe.command()
    def work() -> None:
        """Work."""
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        front.main(["probe"])


def test_a_wrong_option_is_wrong_usage(probe: typer.Typer) -> None:
    @probe.command()
    def work() -> None:
        """Work."""

    assert exit_code(["probe", "--no-such-option"]) == 2


def leaves() -> Iterator[tuple[str, set[str]]]:
    """Every command with the names of its options."""
    for name in front.COMMANDS:
        found = front.load(name)
        for inner, command in getattr(found, "commands", {"": found}).items():
            yield f"{name} {inner}".strip(), {word for option in command.params for word in option.opts}


def test_cfg_01_whatever_reads_a_configuration_takes_the_same_words_for_it() -> None:
    """``--set`` wherever there is ``-c`` (but for what speaks with a running host, and names only its folder), and
    ``--data-dir`` but for what lives in no data folder."""
    told = {"pause", "resume", "kill", "close", "orders", "cancel", "redeem", "merge", "dashboard"}
    nowhere = {"backtest", "simulate", "selftest crash", "exchange serve"}
    reading = {name: options for name, options in leaves() if "--config" in options}
    assert {"status", "why window", "db check", "plugins list", "config check"} <= reading.keys()
    assert [name for name, options in reading.items() if "--set" not in options and name not in told] == []
    assert [name for name, options in reading.items() if "--data-dir" not in options and name not in nowhere] == []


def test_checking_a_configuration_loads_nothing_of_what_it_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No client of the venue, no database, and no plugin that is off, with what it needs."""
    monkeypatch.chdir(tmp_path)
    assert imported_by("config", "check") & {"polymarket", "httpx", "aiohttp", "websockets", "peewee", "rich"} == set()


@pytest.mark.parametrize(
    ("args", "brief"),
    [(["--version"], True), (["config", "--help"], True), (["run", "--help"], False), (["no-such-command"], False)],
)
def test_only_what_is_over_in_a_moment_never_looks_for_garbage(
    monkeypatch: pytest.MonkeyPatch, args: list[str], brief: bool
) -> None:
    """And only where the process is this command line alone: whoever calls it keeps an ordinary one."""
    done: list[object] = []
    collector = SimpleNamespace(disable=lambda: done.append("disable"), freeze=lambda: None)
    monkeypatch.setattr(front, "gc", collector)
    monkeypatch.setattr(front, "atexit", SimpleNamespace(register=done.append))
    monkeypatch.setattr(sys, "argv", ["polyhost", *args])
    with pytest.raises(SystemExit):
        front.main()
    assert done == (["disable", collector.freeze] if brief else [])
    done.clear()
    exit_code(args)
    assert done == []
