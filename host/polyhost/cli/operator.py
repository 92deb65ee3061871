"""What only an operator may do: pause, resume, close, merge, redeem. Each word is journaled with who said it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from polyhost.cli.host_folder import host_folder
from polyhost.cli.options import AccountName, ConfigFile, DataDir, Json, command_app, print_json

TAKEN_WITHIN_S = 10.0
POLL_S = 0.05
WAITING = ("pause", "resume")
"""Words that may be said while no host runs: the next one takes them."""
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for the journal.")]

pause_app = command_app("Stop new entries.")
resume_app = command_app("Allow new entries again.")
close_app = command_app("Close positions at market.")
merge_app = command_app("Turn UP and DOWN shares back into collateral.")
redeem_app = command_app("Turn the shares of decided markets into what they pay.")


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


def _say(folder: Path, as_json: bool, word: str, target: str = "", *, why: str) -> None:
    from polyhost.errors import ConfigError
    from polyhost.model.events import Operator
    from polyhost.service.folder import running_pid, writing_words
    from polyhost.service.operator_box import leave, said_by

    running = began_running = running_pid(folder) is not None
    if not running and word not in WAITING:
        raise ConfigError(f"no host runs on {folder}; start it with `polyhost run`, it recovers what is open")
    if running:
        if _answered(folder, word, target, why=why):
            _report(as_json, word, target)
            return
        # Perhaps it ended: a word left now would meet the next host.
        running = running_pid(folder) is not None
        if not running and word not in WAITING:
            _ended_first(folder, as_json, word, target)
            return
    with writing_words(folder):
        left = leave(folder, Operator(word, target, said_by(), False, why))
    deadline = time.monotonic() + TAKEN_WITHIN_S
    while running and left.exists() and time.monotonic() < deadline:
        time.sleep(POLL_S)
        running = running_pid(folder) is not None
    taken = not left.exists()
    if began_running and not running and not taken and word not in WAITING:
        left.unlink(missing_ok=True)
        _ended_first(folder, as_json, word, target)
        return
    if as_json:
        print_json({"word": word, "target": target, "taken": taken, "running": running})
    elif taken:
        _report(as_json, word, target)
    elif running:
        typer.echo(f"{word}: the host did not take it within {TAKEN_WITHIN_S:.0f} s; it waits in {left}", err=True)
        raise typer.Exit(1)
    else:
        typer.echo(f"{word}: no host runs on {folder}; it is taken at the next start")


def _ended_first(folder: Path, as_json: bool, word: str, target: str) -> None:
    """The host ended instead of answering: no word is left behind."""
    from polyhost.errors import JournalError
    from polyhost.service.status import look

    try:
        ended = look(folder).ended
        how = "the journal has no end of its run" if ended is None else f"it ended by: {ended.reason}"
    except JournalError as error:
        how = f"how it ended is not known: {error}"
    if as_json:
        print_json({"word": word, "target": target, "taken": False, "running": False})
    typer.echo(f"{word}: the host ended before it answered ({how}); nothing is left for the next one", err=True)
    raise typer.Exit(1)


def _answered(folder: Path, word: str, target: str, *, why: str) -> bool:
    """Say it over the control socket; False: nobody answers there, and the word goes as a file."""
    from polyhost.service.control_client import TARGETS, NoAnswerError, ask
    from polyhost.service.operator_box import said_by

    name, _ = TARGETS[word]
    try:
        ask(folder, word, {name: target} if name else {}, who=said_by(), why=why, within_s=TAKEN_WITHIN_S)
    except NoAnswerError:
        return False
    return True


def _report(as_json: bool, word: str, target: str) -> None:
    """The host has taken the word."""
    if as_json:
        print_json({"word": word, "target": target, "taken": True, "running": True})
    else:
        typer.echo(f"{word} {target}".rstrip() + ": taken by the host")
