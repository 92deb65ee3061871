"""``plugins new``: what it writes works at once, keeps every promise, and never costs anybody a file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from polyhost.cli import main as front
from polyhost.errors import ConfigError
from polyhost.extension.sources import found_sources
from polyhost.testing.conformance import Examination
from polyhost.testing.scaffold import KINDS, next_steps, scaffold


def ran(*words: str) -> int:
    with pytest.raises(SystemExit) as stop:
        front.main(["plugins", "new", *words])
    return int(stop.value.code or 0)


@pytest.mark.parametrize("kind", KINDS)
def test_plg_03_what_is_written_has_the_top_grade(kind: str, tmp_path: Path) -> None:
    made = scaffold(f"fresh_{kind}", kind, into=tmp_path)
    assert [Path(file).name for file in made["written"]] == [f"fresh_{kind}.py", f"test_fresh_{kind}.py"]
    (source,) = found_sources([made["written"][0]], Path(), ())[f"fresh_{kind}"]
    report = Examination(source, source.name).run()
    assert not report.findings
    assert report.grade == "A"
    assert kind in report.hooks
    assert (report.questions > 0) is (kind != "notify")


def test_plg_03_the_tests_that_are_written_pass_at_once(tmp_path: Path) -> None:
    """One run for all kinds; of the promises, which the test above checks, only one kind's are run again."""
    for kind in KINDS:
        scaffold(f"my_{kind}", kind, into=tmp_path)
    made = scaffold("packed", "exit", package=True, into=tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = polyhost-packed/src\n")
    chosen = ["-W", "error", "-p", "no:cacheprovider", "-k", "not TestPromises or my_signal"]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *chosen],
        cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False,
    )
    assert ended.returncode == 0, ended.stdout
    assert len(made["written"]) == 5
    for file in (*(f"test_my_{kind}.py ." for kind in KINDS), "test_packed.py ."):
        assert file in ended.stdout


@pytest.mark.parametrize(("name", "kind"), [("abstain", "signal"), ("none", "exit"), ("exit_target", "exit")])
def test_plg_03_a_name_that_the_code_needs_for_something_else_gets_a_class_of_another_name(
    name: str, kind: str, tmp_path: Path
) -> None:
    """``class Abstain(Plugin)`` would answer with itself."""
    made = scaffold(name, kind, into=tmp_path)
    assert made["class"] == "".join(part.capitalize() for part in name.split("_")) + "Plugin"
    (source,) = found_sources([made["written"][0]], Path(), ())[name]
    assert Examination(source, source.name).run().grade == "A"


def test_plg_03_a_folder_that_takes_nothing_is_told_and_nothing_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")
    assert ran("mine", "--into", str(tmp_path / "file")) == 2
    assert "--into: nothing was written: File exists" in capsys.readouterr().err
    write = Path.open

    def full(self: Path, *words: Any, **more: Any) -> Any:
        if self.name == "test_mine.py":
            raise OSError(28, "No space left on device")
        return write(self, *words, **more)

    monkeypatch.setattr(Path, "open", full)
    assert ran("mine", "--into", str(tmp_path)) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["signal", "random", "pydantic", "polyhost"])
def test_plg_03_a_file_is_not_called_like_a_module_and_a_project_may_be(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its test would import Python's own ``signal``; ``pydantic.py`` would be everybody's pydantic."""
    assert ran(name, "--into", str(tmp_path)) == 2
    told = capsys.readouterr().err
    assert f"did you mean 'my_{name}'?" in told
    assert "--package" in told
    assert not list(tmp_path.iterdir())
    assert scaffold(name, package=True, into=tmp_path)["module"] == f"polyhost_{name}"


def test_plg_03_a_project_has_its_entry_point_and_says_that_it_is_typed(tmp_path: Path) -> None:
    made = scaffold("two_words", "entry", package=True, into=tmp_path)
    home = tmp_path / "polyhost-two-words"
    assert made["folder"] == str(home)
    assert 'two_words = "polyhost_two_words:TwoWords"' in (home / "pyproject.toml").read_text()
    assert (home / "src" / "polyhost_two_words" / "py.typed").exists()
    assert "[plugins.two_words]" in (home / "README.md").read_text()
    assert "    pip install .\n" in (home / "README.md").read_text(), "its name alone would be looked for in the index"
    assert f"install it: pip install {home}" in next_steps(made)


def test_plg_03_nothing_is_ever_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One file that is there keeps all others from being written."""
    mine = tmp_path / "test_mine.py"
    mine.write_text("my own")
    assert ran("mine", "--into", str(tmp_path)) == 2
    assert f"nothing was written: {mine} exists already" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["test_mine.py"]
    assert mine.read_text() == "my own"
    mine.unlink()
    assert ran("mine", "--into", str(tmp_path), "--json") == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told["written"] == [str(tmp_path / "mine.py"), str(mine)]
    assert ran("mine", "--into", str(tmp_path)) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("My-Plugin",), "did you mean 'my_plugin'?"),
        (("class",), "is no name of a plugin"),
        (("2nd",), "is no name of a plugin"),
        (("grid",), "is the name of a plugin of polyhost"),
        (("mine", "--kind", "signl"), "did you mean 'signal'?"),
    ],
)
def test_plg_03_a_wrong_name_or_kind_is_told_with_what_is_right(
    words: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran(*words, "--into", str(tmp_path)) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_plg_03_what_to_do_next_names_the_files_where_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ran("mine") == 0
    out = capsys.readouterr().out
    assert "pytest test_mine.py" in out
    assert "polyhost plugins check ./mine.py" in out
    assert "[plugins.mine]" in out
    with pytest.raises(ConfigError, match="exists already"):
        scaffold("mine")
    assert ran("mine", "--package") == 0
    assert "install it: pip install ./polyhost-mine\n" in capsys.readouterr().out
    assert ran("mine", "--package", "--into", "sub") == 0
    assert "install it: pip install sub/polyhost-mine\n" in capsys.readouterr().out
