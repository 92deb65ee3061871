"""PER-04: who writes a whole file does it by ``write_atomically`` (temporary file, fsync, rename), or says why not."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from polyhost.exchange.server import store

ROOT: Final = Path(__file__).resolve().parents[1]
SOURCES: Final = (ROOT / "host" / "polyhost", ROOT / "plugins" / "polyhost_plugins")
ALLOWED: Final = {
    "files.py": "write_atomically itself",
    "exchange/server/store.py": "the exchange's own: temporary file, fsync, rename (exchange may not know journal)",
    "journal/recording.py": "a recording grows line by line; a torn end is read up to it",
    "journal/dump.py": "a backup, written in a stream: temporary file, fsync, rename",
    "journal/export_files.py": "an export in a place of the caller's: no state, made anew by the same command",
    "service/bundle.py": "an archive, for its owner only: temporary file, rename",
    "service/checkup/machine.py": "the doctor's probe of the disk, removed at once",
    "lab/crash.py": "a pipe",
    "lab/crash_run.py": "last words of a child of the crash matrix, in its temporary folder",
    "cli/backtest.py": "results of a backtest in a folder of the caller's: no state, made anew by the same command",
    "service/control.py": "the control socket's token: made anew at each start, exclusively (O_EXCL)",
    "testing/conformance_child.py": "a pipe",
    "venue/gatekeeper/__main__.py": "a pipe",
    "testing/scaffold.py": "a new plugin in its author's folder: what is there is never touched (x)",
    "testing/tapes.py": "tapes made for a test, in its own folder",
}
"""Files that write otherwise, and why they may."""


def writers(source: str) -> Iterator[int]:
    """Lines that write a whole file: write_text, write_bytes, and open (or fdopen) for writing or making."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        modes = [arg.value for arg in (*node.args, *(key.value for key in node.keywords if key.arg == "mode"))
                 if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        makes = any(set(mode) <= set("wxbt+") and set(mode) & set("wx") for mode in modes)
        if name in ("write_text", "write_bytes") or (name in ("open", "fdopen") and makes):
            yield node.lineno


def found() -> dict[str, list[int]]:
    lines = {}
    for root in SOURCES:
        for path in sorted(root.rglob("*.py")):
            if hits := list(writers(path.read_text(encoding="utf-8"))):
                lines[path.relative_to(root).as_posix()] = hits
    return lines


def test_per_04_every_whole_file_is_written_atomically_or_says_why_not() -> None:
    assert {name: lines for name, lines in found().items() if name not in ALLOWED} == {}


def test_per_04_no_exemption_outlives_its_reason() -> None:
    assert set(ALLOWED) <= set(found())


def test_per_04_the_exchanges_own_writer_syncs_before_it_renames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(store.os, "fsync", lambda handle: done.append("fsync"))
    monkeypatch.setattr(store.os, "replace", lambda source, target: done.append("replace"))
    store.replace_whole(tmp_path / "new" / "file", b"x")
    assert done == ["fsync", "replace"]
    assert not (tmp_path / "new" / "file").exists(), "it has its name only at the end"


def test_per_04_the_search_finds_what_it_should() -> None:
    source = "p.write_text('x')\nopen(p, 'w')\nopen(p)\np.open('ab')\nos.fdopen(h, 'wb')\nopen(p, mode='x')\n"
    assert list(writers(source)) == [1, 2, 5, 6]
