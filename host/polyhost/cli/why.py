"""``polyhost why``: the chain of causes of an order, a position or a window."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from polyhost.cli.options import AccountName, ConfigFile, DataDir, Json, Sets, command_app, in_folder, print_json

app = command_app("Why things are as they are: order, position, window.")
OrderId = Annotated[str, typer.Argument(metavar="ID", help="Our reference (o000012) or the venue's id.")]
Slug = Annotated[str, typer.Argument(metavar="SLUG", help="The window's slug.")]
SideName = Annotated[str, typer.Argument(metavar="SIDE", help="UP or DOWN.")]


@app.callback()
def why() -> None:
    """Why things are as they are. It reads the journal: no host need run. Exit code 1: the journal does not know it."""


@app.command()
def order(
    order_id: OrderId, config: ConfigFile = None, data_dir: DataDir = None, account: AccountName = "",
    sets: Sets = None, as_json: Json = False,
) -> None:
    """What an order saw when it was wanted, and everything that became of it."""
    from polyhost.service.why import order as asked

    _show(asked(_folder(config, data_dir, account, sets), order_id), as_json)


@app.command()
def position(
    slug: Slug, side: SideName, config: ConfigFile = None, data_dir: DataDir = None, account: AccountName = "",
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Every change of a position with its cause, its orders with theirs, its deadlines and its ends."""
    from polyhost.service.why import position as asked

    if side.upper() not in ("UP", "DOWN"):
        raise typer.BadParameter(f"{side!r} is no side; write UP or DOWN")
    _show(asked(_folder(config, data_dir, account, sets), slug, side.upper()), as_json)


@app.command()
def window(
    slug: Slug, config: ConfigFile = None, data_dir: DataDir = None, account: AccountName = "", sets: Sets = None,
    as_json: Json = False,
) -> None:
    """What was done in a window, or the gate that kept everything out most often."""
    from polyhost.service.why import window as asked

    _show(asked(_folder(config, data_dir, account, sets), slug), as_json)


def _folder(
    config: Path | None, data_dir: Path | None, account: str, sets: list[str] | None
) -> Path:
    return Path(in_folder(config, data_dir, account, sets=sets).configuration.host.data_dir)


def _show(report: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    from polyhost.service.why import lines

    for line in lines(report):
        typer.echo(line)
