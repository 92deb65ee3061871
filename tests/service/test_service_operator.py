"""The operator's words: left as files, taken in their order, refused in clear text when nobody can take them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from polyhost.cli.main import main
from polyhost.model.events import Operator
from polyhost.service.operator_box import leave, waiting


def test_ops_08_words_are_taken_in_the_order_they_were_said(tmp_path: Path) -> None:
    said = [Operator("pause", "", "me"), Operator("resume", "drawdown", "me"), Operator("kill", "", "me", flatten=True)]
    for word in said:
        leave(tmp_path, word)
    assert [word for _, word in waiting(tmp_path)] == said


def test_a_word_that_cannot_be_read_is_set_aside_and_holds_up_no_other(tmp_path: Path) -> None:
    path = leave(tmp_path, Operator("pause", "", "me"))
    path.write_text("{", encoding="utf-8")
    leave(tmp_path, Operator("resume", "", "me"))
    assert [word.word for _, word in waiting(tmp_path)] == ["resume"]
    assert path.with_suffix(".bad").exists()


def test_ops_08_a_pause_waits_for_the_next_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["pause", "--data-dir", str(tmp_path), "--json"])
    assert ended.value.code in (0, None)
    assert json.loads(capsys.readouterr().out) == {"word": "pause", "target": "", "taken": False, "running": False}
    assert [word.word for _, word in waiting(tmp_path)] == ["pause"]


@pytest.mark.parametrize("command", [["kill"], ["close", "--all"]])
def test_ord_17_a_kill_without_a_host_is_refused(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--data-dir", str(tmp_path)])
    assert ended.value.code == 2
    assert "no host runs" in capsys.readouterr().err
    assert waiting(tmp_path) == []
