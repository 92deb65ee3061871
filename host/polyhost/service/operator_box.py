"""The operator's words reach a running host as files in its data folder: no sockets, and a restart loses none.

A command writes ``operator/<time>.json`` in one step; the host takes the files in their order, hands each word to the
kernel (which journals it with who said it) and removes the file afterwards. A kill in between says the word twice,
which every word allows. The one word that is not kept for the next host is a ``kill`` whose host has ended since.
"""

from __future__ import annotations

import getpass
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec
from loguru import logger

from polyhost.journal import write_atomically
from polyhost.model.events import Operator
from polyhost.service.folder import WORDS, running_accounts

FOLDER: Final = WORDS
KILL_FILE: Final = "kill"
"""A kill by hand: ``touch DATA/operator/kill``. The words "flatten" and "all" in it are the command's options."""
POLL_S: Final = 0.25
"""The host looks for words this often, wall seconds."""
_WORD: Final = msgspec.json.Decoder(Operator)


def said_by() -> str:
    """Who speaks, for the journal."""
    try:
        return f"{getpass.getuser()} (pid {os.getpid()})"
    except (OSError, KeyError):  # no such user in this container
        return f"uid {os.getuid()} (pid {os.getpid()})"


def done_before(word: str, plugin: str, why: str) -> Operator:
    """What a command did about a plugin while no host ran: the next one journals it, with the time it was said."""
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    return Operator(word, plugin, said_by(), why=f"{why} (said {moment} UTC, while no host ran)".strip(), done=True)


def leave(data_dir: Path, word: Operator) -> Path:
    """Write a word for the host. Raises OSError when the folder cannot be written."""
    folder = data_dir / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{time.time_ns()}-{os.getpid()}.json"
    write_atomically(path, msgspec.json.encode(word))
    return path


def waiting(data_dir: Path) -> list[tuple[Path, Operator]]:
    """Words not taken yet, a kill by hand first, then the oldest. One that cannot be read is told and set aside."""
    found = []
    if (by_hand := data_dir / FOLDER / KILL_FILE).exists():
        found.append((by_hand, _by_hand(by_hand)))
    for path in sorted((data_dir / FOLDER).glob("*.json")):
        try:
            found.append((path, _WORD.decode(path.read_bytes())))
        except (msgspec.DecodeError, OSError) as error:
            logger.error("an operator's word cannot be read: {} ({})", path.name, error)
            path.rename(path.with_suffix(".bad"))
    return found


def hand_on(root: Path) -> None:
    """A kill by hand in the folder of a host with several accounts is for each of them: it is laid into the folders of
    those that run.

    Where the disk takes nothing the host gets the signal, which means every account, too.
    """
    by_hand = root / FOLDER / KILL_FILE
    if not by_hand.exists():
        return
    word = _by_hand(by_hand)
    text = " ".join(each for each, said in (("all", word.target == "all"), ("flatten", word.flatten)) if said)
    try:
        for name in running_accounts(root):
            folder = root / name / FOLDER
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / KILL_FILE, text.encode())
    except OSError as error:
        logger.error("the kill file cannot be handed on ({}): every account is killed by the signal", error)
        os.kill(os.getpid(), signal.SIGUSR2 if word.flatten else signal.SIGUSR1)
    by_hand.unlink(missing_ok=True)


def forget_kills(paths: Iterable[Path]) -> None:
    """Remove the kills among the words that a command left for a host that has ended since, and tell of each."""
    for path in paths:
        try:
            word = _WORD.decode(path.read_bytes())
        except (msgspec.DecodeError, OSError):
            continue  # ``waiting`` tells of it
        if word.word == "kill":
            logger.warning("a kill of {} was for a host that has ended since: not obeyed ({})", word.who, path.name)
            path.unlink(missing_ok=True)


def _by_hand(path: Path) -> Operator:
    """A file that cannot be read is a kill all the same."""
    try:
        words = path.read_text(encoding="utf-8", errors="replace").split()
    except OSError as error:
        logger.error("the kill file cannot be read: {}", error)
        words = []
    return Operator("kill", "all" if "all" in words else "", f"the file {path}", "flatten" in words)
