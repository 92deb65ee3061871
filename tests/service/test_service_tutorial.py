"""docs/tutorial.md is true: its commands run in order in an empty folder, and say what the page says they do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

import pytest

PAGE: Final = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCK: Final = re.compile(r"^```(\w+)(?: ([^\n]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SETTLED: Final = re.compile(r"(btc-updown-5m-\d+) settled")


class Block(NamedTuple):
    language: str
    what: str
    """``save as FILE``, ``add to FILE``, ``in FILE``; empty for commands and what they say."""
    text: str


def blocks() -> list[Block]:
    return [Block(*groups) for groups in BLOCK.findall(PAGE.read_text(encoding="utf-8"))]


class Reader:
    """Who does what the page says, in a folder and an environment where nothing is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said = ""
        self.slug = ""
        tools = f"{Path(sys.executable).parent}{os.pathsep}/usr/bin{os.pathsep}/bin"
        self.environment = {"PATH": tools, "HOME": str(folder), "LANG": "C.UTF-8"}
        # Fewer traders on the simulated exchange: nothing on the page depends on how many there are.
        self.environment["POLYHOST__EXCHANGE__DENSITY"] = "3"
        # Of a pytest configuration that happens to lie above the temporary folder nothing shall count.
        self.environment["PYTEST_ADDOPTS"] = "-c /dev/null --rootdir ."

    def do(self, block: Block) -> None:
        how, _, name = block.what.rpartition(" ")
        match block.language, how:
            case "sh", _:
                self.said = "".join(self.run(line) for line in block.text.splitlines())
            case "text", _:
                for line in block.text.splitlines():
                    assert line in self.said, f"{line!r} was not said:\n{self.said}"
            case _, "save as":
                (self.folder / name).write_text(block.text)
            case _, "add to":
                with (self.folder / name).open("a") as out:
                    out.write(f"\n\n{block.text}")
            case _, "in":
                assert block.text in (self.folder / name).read_text()
            case _:
                pytest.fail(f"nobody knows what to do with {block.language} {block.what}")

    def run(self, command: str) -> str:
        ended = subprocess.run(
            ["/bin/sh", "-c", command.replace("SLUG", self.slug)], cwd=self.folder, env=self.environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=500, check=False,
        )
        assert ended.returncode == 0, f"{command}: {ended.stdout}"
        for slug in SETTLED.findall(ended.stdout):
            self.slug = slug
        return ended.stdout


def test_plg_03_the_tutorial_ends_with_the_new_signal_in_why_window(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    for block in blocks():
        reader.do(block)
    assert reader.slug
    commands = [line for block in blocks() if block.language == "sh" for line in block.text.splitlines()]
    assert [command.split()[:3] for command in commands][:1] == [["polyhost", "plugins", "new"]]
    assert any(command.startswith("polyhost why window") for command in commands)
