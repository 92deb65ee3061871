"""The README's snippets work, its links lead somewhere, and the commands it names exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec
import pytest
from plugin_builders import view

from polyhost.cli import main as front
from polyhost.configuration import load_configuration
from polyhost.extension import Runner, discover
from polyhost.model.view import View

ROOT: Final = Path(__file__).resolve().parents[2]
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES: Final = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
PLUGIN_FILE: Final = "my_plugins/book_lean.py"


def snippet(language: str) -> str:
    """The one block of that language."""
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return str(block)


def leaning(bid_shares: int, ask_shares: int, up: str = "0.50/0.51") -> View:
    seen = view(up=up)
    sized = msgspec.structs.replace(seen.up, bid_size=bid_shares * 1_000_000, ask_size=ask_shares * 1_000_000)
    return msgspec.structs.replace(seen, up=sized)


def test_the_plugin_of_the_readme_is_found_set_up_and_asked(tmp_path: Path) -> None:
    """As a stranger would: the file, the configuration beside it, a process of its own."""
    assert f"`{PLUGIN_FILE}`" in README
    (tmp_path / "my_plugins").mkdir()
    (tmp_path / PLUGIN_FILE).write_text(snippet("python"))
    configuration = tmp_path / "polyhost.toml"
    configuration.write_text(snippet("toml"))
    loaded = load_configuration(configuration, env={})
    plugins = discover(loaded.configuration, loaded.base, str(configuration))
    (mine,) = [plugin for plugin in plugins if plugin.name == "book_lean"]
    assert (mine.state, mine.hooks, mine.problem) == ("process", ("signal",), "")
    assert mine.settings["spread_max"] in ("0.02", "0.020000")
    runner = Runner(plugins, loaded.configuration.evaluation.combiner)
    runner.start()
    try:
        up, down = (dict(runner.evaluate_inline(leaning(*sizes)).signals)["book_lean"] for sizes in ((9, 5), (5, 9)))
        wide = runner.evaluate_inline(leaning(9, 5, up="0.50/0.53"))
        estimate = dict(runner.evaluate_inline(leaning(9, 5)).estimates)["additive"]
    finally:
        runner.stop()
    assert up.p_up == pytest.approx(0.647)
    assert down.p_up == pytest.approx(0.353)
    assert "book_lean" not in dict(wide.signals)
    assert estimate.p_up > 0.5, "the configuration gives it a weight"


def test_the_plugin_is_about_twenty_lines() -> None:
    lines = [line for line in snippet("python").splitlines() if line.strip()]
    assert len(lines) <= 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert "://" in target or (page.parent / target).exists(), target


def test_the_commands_of_the_readme_exist() -> None:
    table = README.partition("## Commands")[2].partition("## Layout")[0]
    named = {match for line in table.splitlines() if line.startswith("| `") for match in re.findall(
        r"`(?:polyhost )?([a-z]+(?: [a-z]+)?)[^`]*`", line.split("|")[1]
    )}
    known = set(front.COMMANDS)
    for command in named:
        name, _, inner = command.partition(" ")
        assert name in known, command
        if front.COMMANDS[name].group:
            assert inner in front.load(name).commands, command


def test_the_picture_is_of_a_run_that_broke_nothing_and_adds_up() -> None:
    """Cash at the start and the P&L are the cash at the end, to the micro-unit: the picture is of one real run."""
    found = re.search(r"^cash ([\d.]+) -> ([\d.]+) .*P&L (-?[\d.]+), ", README, re.MULTILINE)
    assert found is not None
    start, end, pnl = (round(float(text) * 1e6) for text in found.groups())
    assert start + pnl == end
    assert "broken: none" in README
