"""Two wheels in a fresh environment: the good one trades, the one that is broken at import is reported (PLG-01)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from polyhost import Side
from polyhost.testing import TapeBuilder
from polyhost.testing.scaffold import scaffold

CONFIG = """
[plugins.cheap]

[plugins.broken]

[plugins.entry_policy]
enabled = false
"""


def wheel(folder: Path, name: str, more: str = "") -> Path:
    """A project as ``plugins new`` writes it, with more lines in its module, built without reaching for anything."""
    made = scaffold(name, "entry", package=True, into=folder)
    module = Path(made["folder"], "src", made["module"], "__init__.py")
    module.write_text(module.read_text() + more)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=made["folder"], check=True, capture_output=True, timeout=200,
    )
    (built,) = folder.glob(f"polyhost_{name}-*.whl")
    return built


def environment(folder: Path) -> Path:
    """The python of a new environment that has polyhost and its libraries, and nothing else yet."""
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "host.pth").write_text("".join(f"{place}\n" for place in sys.path if place and os.path.isdir(place)))
    return folder / "bin" / "python"


@pytest.mark.alone
def test_plg_01_of_two_wheels_in_a_fresh_environment_the_good_one_trades_and_the_broken_one_is_reported(
    tmp_path: Path, tape: Callable[..., TapeBuilder]
) -> None:
    wheels = [wheel(tmp_path, "cheap"), wheel(tmp_path, "broken", "1 / 0\n")]
    python = environment(tmp_path / "fresh")
    installed = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*installed, *map(str, wheels)], check=True, timeout=200)
    config = tmp_path / "polyhost.toml"
    config.write_text(CONFIG)
    written = tape(5).quotes("0.52/0.53").spot(lambda s: 80_000.0 + max(s, 0.0)).oracle(80_000.0).settle(Side.UP)

    def polyhost(*words: str) -> dict[str, Any]:
        ended = subprocess.run(
            [str(python), "-m", "polyhost", *words, "-c", str(config), "--json"], cwd=tmp_path, timeout=200,
            capture_output=True, text=True, check=False,
        )
        assert ended.returncode == 0, ended.stderr
        report: dict[str, Any] = json.loads(ended.stdout)
        return report

    rows = {row["name"]: row for row in polyhost("plugins", "list")["plugins"]}
    assert (rows["cheap"]["state"], rows["cheap"]["origin"]) == ("process", "polyhost-cheap 0.1.0")
    assert rows["broken"]["state"] == "refused"
    for said in ("polyhost-broken 0.1.0", "cannot be imported: ZeroDivisionError", "upgrade or reinstall"):
        assert said in rows["broken"]["problem"]

    told = polyhost("backtest", str(written.write()), "--central", "--out", str(tmp_path / "out"))
    assert told["fills"] > 0
    records = [json.loads(line) for line in (tmp_path / "out" / "records.jsonl").read_text().splitlines()]
    intended = [record for record in records if record["record"] == "order_intended"]
    assert intended[0]["why"]["plugin"] == "cheap"
    assert told["invariants"]["broken"] == 0
