"""The operator's words: left as files, taken in their order, refused in clear text when nobody can take them."""

from __future__ import annotations

import asyncio
import errno
import json
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from unittest.mock import Mock

import pytest
from loguru import logger

from polyhost.cli.main import main
from polyhost.configuration import load_configuration
from polyhost.journal import JournalStore
from polyhost.kernel.kernel import Kernel
from polyhost.model.events import Operator
from polyhost.model.records import Record, RunEnded, RunStarted
from polyhost.service.folder import DataFolder
from polyhost.service.operator_box import FOLDER, KILL_FILE, hand_on, leave, waiting
from polyhost.service.session import Session

BEGAN = RunStarted(1, "run-1", "0.1.0", "sim", "0", "main")
ENDED = RunEnded(2, "run-1", "kill")


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


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "free space there"), (errno.EACCES, "say it as the user that runs the host (")],
)
@pytest.mark.parametrize("command", [["pause"], ["plugins", "disable", "stop_loss"]])
def test_ops_08_a_word_that_cannot_be_left_is_refused_with_what_mends_it(
    command: list[str], number: int, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refused(*args: object) -> None:
        raise OSError(number, "it takes nothing")

    monkeypatch.setattr("polyhost.service.operator_box.write_atomically", refused)
    monkeypatch.setattr("polyhost.configuration.choices.write_atomically", refused)
    with pytest.raises(SystemExit) as ended:
        main([*command, "--data-dir", str(tmp_path)])
    assert ended.value.code == 2
    assert remedy in capsys.readouterr().err


@pytest.mark.parametrize("command", [["kill"], ["close", "--all"]])
def test_ord_17_a_kill_without_a_host_is_refused(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--data-dir", str(tmp_path)])
    assert ended.value.code == 2
    assert "no host runs" in capsys.readouterr().err
    assert waiting(tmp_path) == []


@pytest.mark.parametrize(
    ("past", "kept"),
    [
        ([BEGAN, ENDED], ["pause"]),
        ([], ["pause"]),
        # It may never have heard it, and was started again by something that knows of no kill: a restart loses none.
        ([BEGAN, ENDED, BEGAN], ["kill", "pause"]),
    ],
)
def test_ord_17_a_kill_that_was_left_for_a_host_that_has_ended_does_not_end_the_next_one(
    tmp_path: Path, past: list[Record], kept: list[str]
) -> None:
    leave(tmp_path, Operator("kill", "", "ann"))
    leave(tmp_path, Operator("pause", "", "ann"))
    leave(tmp_path, Operator("kill", "", "ann")).write_text("{", encoding="utf-8")
    store = JournalStore(tmp_path / "journal.db", "main")
    store.commit(past)
    store.close()
    said: list[str] = []
    handler = logger.add(said.append, format="{message}", level="WARNING")
    try:
        with DataFolder(tmp_path) as folder:
            leave(tmp_path, Operator("kill", "all", "bob"))
            asyncio.run(_begun(folder))
            assert [word.word for _, word in waiting(tmp_path)] == [*kept, "kill"]
    finally:
        logger.remove(handler)
    told = [line for line in said if "a kill of ann was for a host that has ended since: not obeyed" in line]
    assert len(told) == ("kill" not in kept)


def test_ord_17_a_kill_by_hand_before_the_start_is_meant_for_it(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / KILL_FILE).touch()
    with DataFolder(tmp_path) as folder:
        asyncio.run(_begun(folder))
        assert [word.word for _, word in waiting(tmp_path)] == ["kill"]


@pytest.mark.parametrize("full", [False, True])
def test_ord_17_a_kill_by_hand_beside_several_accounts_is_for_each_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    """`touch DATA/operator/kill` in the folder of the host, which is the account's own where there is one."""
    signals: list[int] = []
    monkeypatch.setattr("os.kill", lambda pid, number: signals.append(number))
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / KILL_FILE).write_text("flatten all\n")
    if full:
        monkeypatch.setattr("polyhost.service.operator_box.write_atomically", Mock(side_effect=OSError(28, "full")))
    with DataFolder(tmp_path / "real"), DataFolder(tmp_path / "try-out"):
        hand_on(tmp_path)
        hand_on(tmp_path)
    found = [[(word.word, word.target, word.flatten) for _, word in waiting(tmp_path / name)] for name in
             ("real", "try-out")]
    assert found == [[("kill", "all", True)] * (not full)] * 2
    assert signals == [signal.SIGUSR2] * full
    assert not (tmp_path / FOLDER / KILL_FILE).exists()


async def _begun(folder: DataFolder) -> None:
    """What a start does with the folder before anything leaves for the venue."""
    (account,) = Session(load_configuration(env={}), folder).accounts
    account.kernel = Kernel(account.settings, "main", {}, ())
    async with AsyncExitStack() as stack:
        account.open_journal(stack)
