"""What only an operator may do: pause, resume, close, merge, redeem, kill. Each word is journaled with who said it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyhost.cli.host_folder import host_folder
from polyhost.cli.options import AccountName, ConfigFile, DataDir, Json, command_app, print_json

if TYPE_CHECKING:
    from polyhost.configuration import Loaded

TAKEN_WITHIN_S = 10.0
KILL_ANSWER_S = 3.0
"""A host that has not answered a kill by then, wall seconds, gets it as a file, and then as a signal."""
POLL_S = 0.05
WAITING = ("pause", "resume")
"""Words that may be said while no host runs: the next one takes them."""
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for the journal.")]

pause_app = command_app("Stop new entries.")
resume_app = command_app("Allow new entries again.")
close_app = command_app("Close positions at market.")
merge_app = command_app("Turn UP and DOWN shares back into collateral.")
redeem_app = command_app("Turn the shares of decided markets into what they pay.")
kill_app = command_app("Cancel all our orders and end the host.")


@pause_app.command()
def pause(
    why: Why = "", config: ConfigFile = None, data_dir: DataDir = None, account: AccountName = "",
    as_json: Json = False,
) -> None:
    """Stop new entries until ``polyhost resume``; exits go on."""
    _say(host_folder(config, data_dir, account)[0], as_json, "pause", why=why)


@resume_app.command()
def resume(
    breaker: Annotated[str, typer.Option(metavar="NAME", help="Clear this breaker only; else all.")] = "",
    why: Why = "",
    config: ConfigFile = None,
    data_dir: DataDir = None,
    account: AccountName = "",
    as_json: Json = False,
) -> None:
    """Allow new entries again: clear the pause and every breaker, or one of them."""
    _say(host_folder(config, data_dir, account)[0], as_json, "resume", breaker, why=why)


@close_app.command()
def close(
    window: Annotated[str, typer.Argument(metavar="[WINDOW]", help="Slug of the market.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Every position.")] = False,
    why: Why = "",
    config: ConfigFile = None,
    data_dir: DataDir = None,
    account: AccountName = "",
    as_json: Json = False,
) -> None:
    """Sell the positions of a window (or all) at market."""
    if bool(window) is everything:
        raise typer.BadParameter("name a window, or --all")
    _say(host_folder(config, data_dir, account)[0], as_json, "close", window, why=why)


@merge_app.command()
def merge(
    window: Annotated[str, typer.Argument(metavar="[WINDOW]", help="Slug of the market; none: every market.")] = "",
    why: Why = "",
    config: ConfigFile = None,
    data_dir: DataDir = None,
    account: AccountName = "",
    as_json: Json = False,
) -> None:
    """Turn pairs of UP and DOWN shares back into collateral, 1.00 a pair, before the window is decided."""
    _say(host_folder(config, data_dir, account)[0], as_json, "merge", window, why=why)


@redeem_app.command()
def redeem(
    window: Annotated[str, typer.Argument(metavar="[WINDOW]", help="Slug of the market; none: every market.")] = "",
    why: Why = "",
    config: ConfigFile = None,
    data_dir: DataDir = None,
    account: AccountName = "",
    as_json: Json = False,
) -> None:
    """Turn the shares of decided windows into the collateral they pay."""
    _say(host_folder(config, data_dir, account)[0], as_json, "redeem", window, why=why)


@kill_app.command()
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

    A host that does not take the word (its disk is full, it is busy) gets the signal SIGUSR1, or SIGUSR2 with
    --flatten. Without a host the orders are cancelled at the exchange that the configuration names.
    """
    from polyhost.service.folder import running_pid

    folder, loaded = host_folder(config, data_dir, account)
    if loaded is not None and running_pid(folder) is None and loaded.configuration.venue.url:
        _kill_directly(loaded, as_json, everything=everything, flatten=flatten)
        return
    _say(folder, as_json, "kill", "all" if everything else "", flatten=flatten, why=why)


def _kill_directly(loaded: Loaded, as_json: bool, *, everything: bool, flatten: bool) -> None:
    """No host runs: cancel at the venue. Positions are sold by nobody but a host."""
    import asyncio

    from polyhost.service.direct_kill import cancel_without_host
    from polyhost.service.folder import DataFolder

    with DataFolder(Path(loaded.configuration.host.data_dir)) as folder:
        done = asyncio.run(cancel_without_host(loaded, folder, everything=everything))
    if as_json:
        failed = [{"order_id": order_id or None, "reason": reason} for order_id, reason in done.failed]
        print_json({"word": "kill", "target": "all" if everything else "", "taken": not failed, "running": False,
                    "cancelled": done.cancelled, "failed": failed, "left": done.left})
    else:
        typer.echo(f"kill: no host runs; {len(done.cancelled)} orders cancelled at {loaded.configuration.venue.url}")
        for order_id, reason in done.failed:
            typer.echo(f"NOT CANCELLED {order_id or 'orders'}: {reason}", err=True)
        for line in done.left:
            typer.echo(f"still open: {line}", err=True)
        if flatten and done.left:
            typer.echo("--flatten needs a host: `polyhost run` closes what is open, or holds it", err=True)
    if done.failed or (flatten and done.left):
        raise typer.Exit(1)


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


def _say(folder: Path, as_json: bool, word: str, target: str = "", *, flatten: bool = False, why: str) -> None:
    from polyhost.errors import ConfigError
    from polyhost.model.events import Operator
    from polyhost.service.folder import running_pid
    from polyhost.service.operator_box import leave, said_by

    running = began_running = running_pid(folder) is not None
    if not running and word not in WAITING:
        raise ConfigError(f"no host runs on {folder}; start it with `polyhost run`, it recovers what is open")
    if running:
        if _answered(folder, word, target, flatten=flatten, why=why):
            _report(as_json, word, target)
            return
        # Perhaps it ended: a word left now would meet the next host.
        running = running_pid(folder) is not None
        if not running and word not in WAITING:
            _ended_first(folder, as_json, word, target)
            return
    try:
        left = leave(folder, Operator(word, target, said_by(), flatten, why))
    except OSError as error:
        if word == "kill" and _signalled(folder, flatten=flatten):
            typer.echo(f"kill: no word can be left in {folder} ({error.strerror}); the host got the signal", err=True)
            return
        raise ConfigError(f"the word cannot be left in {folder}: {error.strerror}") from error
    deadline = time.monotonic() + TAKEN_WITHIN_S
    while running and left.exists() and time.monotonic() < deadline:
        time.sleep(POLL_S)
        running = running_pid(folder) is not None
    taken = not left.exists()
    if began_running and not running and not taken and word not in WAITING:
        left.unlink(missing_ok=True)
        _ended_first(folder, as_json, word, target)
        return
    if running and not taken and word == "kill" and _signalled(folder, flatten=flatten):
        typer.echo("kill: the host did not take the word; it got the signal", err=True)
    if as_json:
        print_json({"word": word, "target": target, "taken": taken, "running": running})
    elif taken:
        _report(as_json, word, target)
    elif running:
        typer.echo(f"{word}: the host did not take it within {TAKEN_WITHIN_S:.0f} s; it waits in {left}", err=True)
        raise typer.Exit(1)
    else:
        typer.echo(f"{word}: no host runs; it is taken at the next start")


def _ended_first(folder: Path, as_json: bool, word: str, target: str) -> None:
    """The host ended instead of answering: no word is left behind. A kill is done if the journal says so."""
    from polyhost.errors import JournalError
    from polyhost.service.status import look

    try:
        found = look(folder)
        reason = "" if found.ended is None else found.ended.reason
        how = f"it ended by: {reason}" if reason else "the journal has no end of its run"
    except JournalError as error:
        reason, how = "", f"how it ended is not known: {error}"
    taken = word == reason == "kill"
    if as_json:
        print_json({"word": word, "target": target, "taken": taken, "running": False})
    if taken:
        typer.echo("kill: the host took it and has ended; nothing is left for the next one", err=as_json)
        return
    typer.echo(f"{word}: the host ended before it answered ({how}); nothing is left for the next one", err=True)
    raise typer.Exit(1)


def _answered(folder: Path, word: str, target: str, *, flatten: bool, why: str) -> bool:
    """Say it over the control socket; False: nobody answers there, and the word goes as a file."""
    from polyhost.service.control_client import TARGETS, NoAnswerError, ask
    from polyhost.service.operator_box import said_by

    name, flattens = TARGETS[word]
    args: dict[str, object] = {name: target == "all" if word == "kill" else target} if name else {}
    try:
        ask(folder, word, args | ({"flatten": flatten} if flattens else {}), who=said_by(), why=why,
            within_s=KILL_ANSWER_S if word == "kill" else TAKEN_WITHIN_S)
    except NoAnswerError:
        return False
    return True


def _report(as_json: bool, word: str, target: str) -> None:
    """The host has taken the word."""
    if as_json:
        print_json({"word": word, "target": target, "taken": True, "running": True})
    else:
        typer.echo(f"{word} {target}".rstrip() + ": taken by the host")
