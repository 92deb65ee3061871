"""plugins.lock (SEC-02): what is seen first is noted, what changed does not run before it is accepted."""

from __future__ import annotations

import stat
import sys
from pathlib import Path
from typing import Any

import extension_builders as make
import pytest
from test_extension_contract import SIGNAL
from test_extension_discovery import distribution, module, points_in, site

from polyhost.errors import ConfigError, PluginError
from polyhost.extension import LoadedPlugin, discover
from polyhost.extension.lock import LOCK_FILE, Lock, differences, locked_now
from polyhost.extension.sources import Source
from polyhost.settings import Configuration

__all__ = ["site"]


def loaded(folder: Path, lock: Lock, name: str, **table: Any) -> LoadedPlugin:
    configuration = Configuration.model_validate(
        {"plugin_paths": (str(folder),), "plugins": {name: table}}, strict=False
    )
    found = discover(
        configuration, folder, "my.toml", points=points_in(folder), deadlines=make.PATIENT, admit=lock.problem
    )
    return next(plugin for plugin in found if plugin.name == name)


@pytest.mark.parametrize("trusted", [True, False])
def test_sec_02_a_changed_file_is_refused_unimported_until_it_is_accepted(tmp_path: Path, trusted: bool) -> None:
    code, data = tmp_path / "code", tmp_path / "data"
    code.mkdir()
    file = make.plugin_file(code, "mine", SIGNAL)
    first = loaded(code, Lock(data), "mine", trusted=trusted)
    assert first.runs, "a person named it"
    assert Lock(data).accept([first.source]) == (first.source,)
    assert loaded(code, Lock(data), "mine", trusted=trusted).runs
    file.write_text(file.read_text() + f"\nopen({str(tmp_path / 'imported')!r}, 'w').close()\n")
    changed = loaded(code, Lock(data), "mine", trusted=trusted)
    assert changed.state == "refused"
    for part in ("mine.py", "is not as it was accepted: changed: mine.py", "`polyhost plugins accept mine`"):
        assert part in changed.problem
    assert not (tmp_path / "imported").exists()
    assert Lock(data).accept([changed.source]) == (changed.source,)
    assert Lock(data).accept([changed.source]) == (), "as it is now already"
    assert loaded(code, Lock(data), "mine", trusted=trusted).runs
    assert (tmp_path / "imported").exists()


def test_sec_02_every_file_of_a_distribution_counts_and_its_version_and_origin(site: Path) -> None:
    package = site / "polyhost_wide"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "helper.py").write_text("EDGE = 1\n")
    distribution(site, "polyhost-wide", "0.3", "unused", "", "far = polyhost_wide.plugin:Made")
    (package / "plugin.py").write_text(module(SIGNAL))
    lock = Lock(site / "data")
    plugin = loaded(site, lock, "far")
    lock.accept([plugin.source])
    told = lock.plugins["far"]
    assert (told.origin, told.version) == ("polyhost-wide", "0.3")
    assert set(told.files) == {"polyhost_wide/__init__.py", "polyhost_wide/helper.py", "polyhost_wide/plugin.py"}
    (package / "helper.py").write_text("EDGE = 2\n")
    (package / "more.py").write_text("")
    (package / "__init__.py").unlink()
    assert lock.problem(plugin.source) == (
        "is not as it was accepted: changed: polyhost_wide/helper.py; new: polyhost_wide/more.py; "
        "gone: polyhost_wide/__init__.py"
    )
    newer = Source("far", "polyhost_wide.plugin", "Made", "polyhost-near", "0.4")
    assert "it comes from polyhost-near, not from polyhost-wide; version 0.4 instead of 0.3" in lock.problem(newer)
    assert "polyhost_wide" not in sys.modules


def test_sec_02_a_built_in_plugin_is_not_locked(tmp_path: Path) -> None:
    source = Source("additive", "polyhost_plugins.additive", "Additive", "polyhost", "0.1.0")
    lock = Lock(tmp_path)
    assert (lock.is_new(source), lock.problem(source), lock.accept([source])) == (False, "", ())
    assert not (tmp_path / LOCK_FILE).exists()


def test_sec_02_the_file_is_the_machines_and_a_damaged_one_stops_the_start(tmp_path: Path) -> None:
    make.plugin_file(tmp_path, "mine", SIGNAL)
    plugin = loaded(tmp_path, Lock(tmp_path), "mine")
    Lock(tmp_path).accept([plugin.source])
    path = tmp_path / LOCK_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Lock(tmp_path).plugins["mine"] == locked_now(plugin.source)
    for damage in ('{"plugins":{"mine":{"origin":1}}}', "no json", '{"plugins":3}'):
        path.write_text(damage)
        with pytest.raises(ConfigError, match=r"plugins\.lock: cannot be read as a lock.*delete it"):
            Lock(tmp_path)


def test_many_differences_are_counted(tmp_path: Path) -> None:
    known = locked_now(Source("x", "x", "X", path=str(make.plugin_file(tmp_path, "x", SIGNAL))))
    many = type(known)(known.origin, known.version, known.files | {f"f{n}.py": "0" for n in range(9)})
    assert differences(known, many) == "is not as it was accepted: new: f0.py, f1.py, f2.py, f3.py, f4.py and 4 more"


def test_sec_02_code_in_too_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polyhost.extension.sources.HASHED_MAX", 0)
    source = Source("far", "json", "X", "polyhost-wide", "1")
    with pytest.raises(PluginError, match="more than 0 files"):
        source.files()


def test_sec_02_a_process_is_not_started_again_from_other_files(tmp_path: Path) -> None:
    dies = "@hookimpl\ndef signal(self, view):\n    os._exit(7)"
    runner = make.runner(tmp_path, {"dies": dies, "momentum": SIGNAL}, foreign=("dies",))
    runner.start()
    try:
        (tmp_path / "dies.py").write_text((tmp_path / "dies.py").read_text() + "\n# another one\n")
        evaluated = runner.evaluate_inline(make.view())
        assert [name for name, _ in evaluated.signals] == ["momentum"]
        status = runner.status()[0]
        assert (status.state, runner._foreign[0].pid) == ("quarantined", None)
        assert status.problem == "its files changed since it was started; `polyhost plugins accept dies`"
    finally:
        runner.stop()
