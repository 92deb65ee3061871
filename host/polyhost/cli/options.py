"""What the commands share: options as annotated types, the way to the configuration, and JSON on standard output."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
    from polyhost.configuration import load_configuration

    given = {key: str(value) if isinstance(value, Path) else value for key, value in (overrides or {}).items()}
    given = {key: value for key, value in given.items() if value is not None}
    return load_configuration(config, given, sets=sets or (), chosen=chosen)


def print_json(report: Mapping[str, Any]) -> None:
    """One object, one line, keys in the order given; the only thing on standard output."""
    typer.echo(json.dumps(report, ensure_ascii=False, separators=(",", ":")))
