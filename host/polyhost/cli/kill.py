"""``polyhost kill``: say it to the host in every way, cancel what it does not, and prove that nothing is live."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from polyhost.cli.host_folder import host_folder
from polyhost.cli.operator import Why
from polyhost.cli.options import AccountName, ConfigFile, DataDir, Json, command_app, json_text, tell

if TYPE_CHECKING:
    from polyhost.configuration import Loaded
    from polyhost.service.direct_kill import Killed

KILL_ANSWER_S = 3.0
"""A host that has not answered a kill by then, wall seconds, gets it as a file, and then as a signal."""
FILE_TAKEN_S = 1.0
"""A host that has not taken the file by then, wall seconds (it looks every 0.25 s), gets the signal."""
POLL_S = 0.05

app = command_app("Cancel all our orders and end the host.")


class Said(NamedTuple):
    """What became of the word."""

    taken: bool
    running: bool
    how: str
    left: Path | None = None
    """The file that waits for the host, when it did not answer."""


@app.command()
def kill(
    flatten: Annotated[bool, typer.Option("--flatten", help="Sell every position at market, too.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Cancel every order of the key, a person's too.")] = False,
    why: Why = "",
    config: ConfigFile = None,
    data_dir: DataDir = None,
    account: AccountName = "",
    as_json: Json = False,
) -> None:
    """Cancel all our orders and end the host (its exit code is 4). New entries stay off until ``polyhost resume``.

    A host that does not take the word (its disk is full, it is stuck) gets it as a file and as the signal SIGUSR1, or
    SIGUSR2 with --flatten. Whatever it does, the venue is asked by the other client until it shows none of our orders;
    what still lives after 5 s is cancelled there directly, and what lives after 20 s is listed (exit code 1). Without
    a host that is the whole kill, and nothing is sold: a position needs `polyhost run`.
    """
    from polyhost.service.folder import running_pid

    folder, loaded = host_folder(config, data_dir, account)
    if running_pid(folder) is None:
        _without_host(folder, loaded, as_json, everything=everything, flatten=flatten)
        return
    said = _said(folder, "all" if everything else "", flatten=flatten, why=why)
    if not as_json:
        tell(f"kill: {said.how}", err=not said.taken)
    killed, problem = _proof(loaded, folder, said, everything=everything)
    said = _at_the_end(folder, said)
    if as_json:
        tell(json_text(_report(said, killed, problem, everything=everything)))
    else:
        _tell(killed, problem)
    if not said.taken or not killed.proved:
        raise typer.Exit(1)


def _without_host(
    folder: Path, loaded: Loaded | None, as_json: bool, *, everything: bool, flatten: bool
) -> None:
    """No host runs: cancel at the venue. Positions are sold by nobody but a host: selling is the journal's business."""
    import asyncio

    from polyhost.errors import ConfigError
    from polyhost.service.direct_kill import kill_at_the_venue
    from polyhost.service.emergency import endpoints_of
    from polyhost.service.folder import no_host_starts

    endpoints = None if loaded is None else endpoints_of(loaded, folder)
    if loaded is None or endpoints is None or not (endpoints.live or loaded.configuration.venue.url):
        raise ConfigError(
            f"no host runs on {folder}, and its exchange runs only with it; start it with `polyhost run`, it recovers "
            "what is open; an exchange elsewhere (`run --exchange`) is named in [venue] url or POLYHOST__VENUE__URL"
        )
    with no_host_starts(folder):
        killed = asyncio.run(kill_at_the_venue(loaded, folder, everything=everything))
    said = Said(killed.proved, False, "")
    if as_json:
        tell(json_text(_report(said, killed, "", everything=everything)))
    else:
        tell(f"kill: no host runs; {len(killed.cancelled)} orders cancelled at {endpoints.clob}")
        _tell(killed, "")
        for line in killed.left:
            tell(f"still open: {line}", err=True)
        if flatten and killed.left:
            tell(
                "--flatten sells nothing without a host: `polyhost run` recovers, and `polyhost kill --flatten` then "
                "sells what is open and ends it", err=True,
            )
    if not killed.proved or (flatten and killed.left):
        raise typer.Exit(1)


# --- saying it --------------------------------------------------------------------------------------------------------


def _said(folder: Path, target: str, *, flatten: bool, why: str) -> Said:
    """By the socket, else as a file, else by signal."""
    from polyhost.model.events import Operator
    from polyhost.service.control_client import NoAnswerError, RefusedError, ask
    from polyhost.service.folder import running_pid
    from polyhost.service.operator_box import leave, said_by

    try:
        args = {"all": target == "all", "flatten": flatten}
        ask(folder, "kill", args, who=said_by(), why=why, within_s=KILL_ANSWER_S)
        return Said(True, True, "taken by the host")
    except RefusedError as error:
        return Said(False, True, f"the host refuses it: {error}")
    except NoAnswerError:
        if running_pid(folder) is None:  # a word left now would meet the next host
            return _ended(folder)
    left: Path | None = None
    try:
        left = leave(folder, Operator("kill", target, said_by(), flatten, why))
    except OSError as error:
        tell(f"kill: no word can be left in {folder}: {error.strerror}", err=True)
    if _taken(folder, left):
        return Said(True, True, "taken by the host")
    if running_pid(folder) is None:
        return _forgotten(folder, left)
    if _signalled(folder, flatten=flatten):
        return Said(False, True, "the host does not answer; it got the signal, its orders are cancelled for it", left)
    return Said(False, True, "the host does not answer; its orders are cancelled for it", left)


def _taken(folder: Path, left: Path | None) -> bool:
    from polyhost.service.folder import running_pid

    deadline = time.monotonic() + FILE_TAKEN_S
    while left is not None and left.exists() and time.monotonic() < deadline and running_pid(folder) is not None:
        time.sleep(POLL_S)
    return left is not None and not left.exists()


def _at_the_end(folder: Path, said: Said) -> Said:
    """A host that did not answer may have taken the file since, or have ended."""
    from polyhost.service.folder import running_pid

    if said.taken or not said.running:
        return said
    if said.left is not None and not said.left.exists():
        return Said(True, True, "taken by the host")
    return said if running_pid(folder) is not None else _forgotten(folder, said.left)


def _forgotten(folder: Path, left: Path | None) -> Said:
    """The host ended: the word is not left for the next one."""
    if left is not None:
        left.unlink(missing_ok=True)
    return _ended(folder)


def _ended(folder: Path) -> Said:
    """The host ended instead of answering. A kill is done if the journal says so."""
    from polyhost.errors import JournalError
    from polyhost.service.status import look

    try:
        found = look(folder)
        reason = "" if found.ended is None else found.ended.reason
        how = f"it ended by: {reason}" if reason else "the journal has no end of its run"
    except JournalError as error:
        reason, how = "", f"how it ended is not known: {error}"
    if reason == "kill":
        return Said(True, False, "the host took it and has ended; nothing is left for the next one")
    return Said(False, False, f"the host ended before it answered ({how}); nothing is left for the next one")


def _signalled(folder: Path, *, flatten: bool) -> bool:
    """Send the host the signal that means kill; False: its process is not known."""
    import os
    import signal

    from polyhost.service.folder import running_pid

    pid = running_pid(folder)
    if not pid:
        return False
    try:
        os.kill(pid, signal.SIGUSR2 if flatten else signal.SIGUSR1)
    except OSError:
        return False
    return True


# --- the proof --------------------------------------------------------------------------------------------------------


def _proof(loaded: Loaded | None, folder: Path, said: Said, *, everything: bool) -> tuple[Killed, str]:
    """What the venue shows, and why that is not known; a host that took the word has some seconds of its own."""
    import asyncio

    from polyhost.errors import PolyhostError
    from polyhost.service.direct_kill import HOST_S, WITHIN_S, Killed, by_the_journal, kill_at_the_venue

    try:
        if loaded is None:  # the configuration cannot be read: there is no key, and no address
            return asyncio.run(by_the_journal(folder, WITHIN_S)), ""
        host_s = HOST_S if said.taken and said.running else 0.0
        return asyncio.run(kill_at_the_venue(loaded, folder, everything=everything, host_s=host_s)), ""
    except PolyhostError as error:
        return Killed(), str(error)


def _report(said: Said, killed: Killed, problem: str, *, everything: bool) -> Mapping[str, Any]:
    return {
        "word": "kill", "target": "all" if everything else "", "taken": said.taken, "running": said.running,
        "proved": killed.proved, "by": killed.by or None, "problem": problem or None, "live": killed.live,
        "cancelled": killed.cancelled,
        "failed": [{"order_id": order_id or None, "reason": reason} for order_id, reason in killed.failed],
        "left": killed.left,
    }


def _tell(killed: Killed, problem: str) -> None:
    if problem:
        tell(f"NOT PROVED that nothing is live: {problem}", err=True)
    elif killed.proved:
        where = "the journal says" if killed.by == "journal" else f"the venue says, asked by {killed.by}"
        tell(f"kill: none of our orders is live ({where}); {len(killed.cancelled)} were cancelled directly")
    for row in killed.live:
        tell(f"STILL LIVE {row['order_id']}: {row['what']}", err=True)
    for order_id, reason in killed.failed:
        tell(f"NOT CANCELLED {order_id or 'orders'}: {reason}", err=True)
