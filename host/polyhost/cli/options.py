"""What the commands share: options as annotated types, the way to the configuration, and JSON on standard output."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from polyhost.configuration import Loaded

ConfigFile = Annotated[
    Path | None,
    typer.Option("-c", "--config", metavar="FILE", help="Configuration; else ./polyhost.toml, else the defaults."),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", metavar="DIR", help="Where the run lives (default: [host] data_dir)."),
]
AccountName = Annotated[
    str, typer.Option("--account", metavar="NAME", help="Which account, where [accounts] names several.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="TABLE.KEY=VALUE", help="One setting, over file and environment. Repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, everything else on error.")]


def command_app(help: str) -> typer.Typer:
    """An empty command or group with plain help and errors (no rich: it would cost a tenth of a second)."""
    return typer.Typer(help=help, add_completion=False, rich_markup_mode=None, no_args_is_help=True)


def configured(
    config: Path | None, overrides: Mapping[str, object] | None = None, *, sets: list[str] | None = None,
    chosen: bool = True,
) -> Loaded:
    """The effective configuration; ``overrides`` are dotted keys from the command line, None values left out.

    ``sets`` are the words of ``--set``; ``chosen`` False leaves out what was chosen for this data folder.
    Raises ConfigError.
    """
    from polyhost.collecting import rarely_collecting

    given = {key: str(value) if isinstance(value, Path) else value for key, value in (overrides or {}).items()}
    given = {key: value for key, value in given.items() if value is not None}
    with rarely_collecting():
        from polyhost.configuration import load_configuration

        return load_configuration(config, given, sets=sets or (), chosen=chosen)


def in_folder(
    config: Path | None, data_dir: Path | None, account: str, *, sets: list[str] | None = None
) -> Loaded:
    """The configuration of the account whose data folder a command means: ``host.data_dir`` is that folder.

    Raises ConfigError, with the names, when several are configured and none is named.
    """
    return account_of(configured(config, {"host.data_dir": data_dir}, sets=sets), account)


def account_of(loaded: Loaded, account: str) -> Loaded:
    """The configuration of the account that is named; where there is one only it need not be. Raises ConfigError."""
    from polyhost.errors import ConfigError

    names = tuple(loaded.configuration.accounts)
    if account:
        return loaded.for_account(account)
    if len(names) > 1:
        raise ConfigError("several accounts are configured", key="--account", allowed=names, remedy="name one of them")
    return loaded.for_account(names[0]) if names else loaded


def print_json(report: Mapping[str, Any]) -> None:
    """One object, one line, keys in the order given; the only thing on standard output."""
    typer.echo(json_text(report))


def json_text(report: Mapping[str, Any]) -> str:
    return json.dumps(report, ensure_ascii=False, separators=(",", ":"))


def tell(text: str, *, err: bool = False) -> None:
    """Say what holds up nothing: that nobody reads it (a closed pipe, a full disk) is no reason to stop half-way."""
    try:
        typer.echo(text, err=err)
    except OSError:
        with suppress(OSError):  # what could not be written is not tried once more at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), (sys.stderr if err else sys.stdout).fileno())
