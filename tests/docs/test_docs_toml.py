"""Every TOML that the project shows works as it stands: files in config/, blocks on pages, the defaults they tell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from polyhost.configuration import Loaded, load_configuration
from polyhost.configuration.shipped import OFF_BY_DEFAULT, shipped_class
from polyhost.errors import ConfigError
from polyhost.extension import discover
from polyhost.extension.discovery import LoadedPlugin

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
FILES: Final = sorted((ROOT / "config").rglob("*.toml"))
SETTINGS_PAGE: Final = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
FENCE: Final = re.compile(r"^ *```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
PLUGIN_FILE: Final = re.compile(r"`(my_plugins/\w+\.py)`:\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ROW: Final = re.compile(r"^\| `([a-z0-9_]+)` \| .*? \| `(.*?)` \| ")
HEADING: Final = re.compile(r"^#+ (\[[a-z0-9_.]+\]|Outside any table)$")


def blocks() -> Iterator[tuple[Path, str]]:
    """(page, block) of everything fenced as TOML."""
    for page in PAGES:
        for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
            if language == "toml":
                yield page, block


def used(folder: Path, text: str) -> tuple[Loaded, tuple[LoadedPlugin, ...]]:
    """The text as a configuration file, checked as ``polyhost config check`` does, plugins and their settings too."""
    file = folder / "polyhost.toml"
    file.write_text(text, encoding="utf-8")
    loaded = load_configuration(file, env={})
    plugins = discover(loaded.configuration, loaded.base, str(file))
    problems = {plugin.name: plugin.problem for plugin in plugins if plugin.state == "refused" or plugin.problem}
    assert problems == {}
    return loaded, plugins


def put_plugin_files(page: Path, folder: Path) -> None:
    """The plugins that the page tells its reader to save."""
    for name, source in PLUGIN_FILE.findall(page.read_text(encoding="utf-8")):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(source, encoding="utf-8")


@pytest.fixture(autouse=True)
def _the_readers_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the pages say is kept in the environment."""
    monkeypatch.setenv("POLYHOST_PHONE", "json://127.0.0.1:9")


@pytest.mark.parametrize(
    ("page", "block"), [pytest.param(*one, id=f"{one[0].name}-{n}") for n, one in enumerate(blocks())]
)
def test_a_toml_block_of_a_page_is_a_configuration_that_works(page: Path, block: str, tmp_path: Path) -> None:
    put_plugin_files(page, tmp_path)
    loaded, plugins = used(tmp_path, block)
    given = [key for key, origin in loaded.origin.items() if origin != "default"]
    assert given, "it sets something"
    assert {key.split(".")[1] for key in given if key.startswith("plugins.")} <= {plugin.name for plugin in plugins}


def test_the_pages_have_toml_to_check() -> None:
    assert [page.name for page, _ in blocks()] != []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_in_config_works_as_it_stands(file: Path, tmp_path: Path) -> None:
    used(tmp_path, file.read_text(encoding="utf-8"))


def written_out() -> str:
    """The settings page as one file: every key with the default that the page shows."""
    sections: dict[str, list[str]] = {}
    at = ""
    for line in SETTINGS_PAGE.splitlines():
        if (heading := HEADING.match(line)) is not None:
            at = heading[1] if heading[1].startswith("[") else ""
        elif line.startswith("#"):
            at = "-"
        elif at != "-" and (row := ROW.match(line)) is not None:
            sections.setdefault(at, []).append(f"{row[1]} = {row[2]}")
    outside = sections.pop("")
    return "\n".join([*outside, *(part for name, rows in sections.items() for part in (name, *rows))]) + "\n"


def test_the_defaults_on_the_settings_page_are_toml_that_gives_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    text = written_out()
    assert text.count(" = ") > 60, "the page was read"
    loaded, plugins = used(tmp_path, text)
    default = load_configuration(None, env={})
    ours, theirs = (one.configuration.model_copy(update={"plugins": {}}) for one in (loaded, default))
    assert ours == theirs
    usual = discover(default.configuration, default.base, "")
    ran, runs = ({p.name: p.settings for p in some if p.name not in OFF_BY_DEFAULT} for some in (plugins, usual))
    assert ran == runs
    off = {plugin.name: plugin.settings for plugin in plugins if plugin.name in OFF_BY_DEFAULT}
    assert off == {name: shipped_class(name).Settings().model_dump(mode="json") for name in OFF_BY_DEFAULT}
    unnamed = [key for key, origin in loaded.origin.items() if origin == "default"]
    assert unnamed == ["accounts"], "the page tells what an account's table may hold; by default there is none"


@pytest.mark.parametrize(
    "wrong",
    [
        "[safety]\nhold_abov = 0.9\n", "[plugins.additive]\nmultiplyer = 2\n", "[plugins.no_such_plugin]\n",
        "[limits]\nwindow = -1\n", "[markets\n",
    ],
)  # fmt: skip
def test_the_check_can_fail(wrong: str, tmp_path: Path) -> None:
    with pytest.raises((ConfigError, AssertionError)):
        used(tmp_path, wrong)
