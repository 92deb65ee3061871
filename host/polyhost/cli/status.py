"""``polyhost status``: what runs, what is open, what it made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyhost.cli.host_folder import host_folder
from polyhost.cli.options import AccountName, ConfigFile, DataDir, Json, Sets, command_app, print_json

app = command_app("What runs, what is open, what it made.")


@app.command()
def status(
    config: ConfigFile = None,
    data_dir: DataDir = None,
    account: AccountName = "",
    sets: Sets = None,
    watch: Annotated[bool, typer.Option("--watch", help="Again every two seconds, until Ctrl-C.")] = False,
    ready: Annotated[
        bool, typer.Option("--ready", help="Only: does a host run there that may enter? For container health checks.")
    ] = False,
    as_json: Json = False,
) -> None:
    """What stands in the data folder's journal: cash, windows, positions with their exits, orders, the last close.

    A host may run on it or not; which of both is said first.

    Exit code 0: told, or ready; 1: nothing was ever run there, the journal cannot be read, a position is unmanaged, or
    no host is ready (--ready).
    """
    folder, _ = host_folder(config, data_dir, account, sets)
    if ready:
        _ready(folder, as_json)
        return
    if watch:
        from polyhost.service.watching import watched

        watched(folder, as_json=as_json)
        return
    from polyhost.service.status import described, lines, look

    report = described(look(folder))
    if as_json:
        print_json(report)
    else:
        for line in lines(report):
            typer.echo(line)
    if report["run"] is None or report["unmanaged"]:
        raise typer.Exit(1)


def _ready(folder: Path, as_json: bool) -> None:
    """Quick: what the host last said of itself, without a look into the journal."""
    from polyhost.service.live_file import readiness

    found, why = readiness(folder)
    if as_json:
        print_json({"data_dir": str(folder), "ready": found, "reason": why})
    else:
        typer.echo("ready" if found else f"not ready: {why}")
    if not found:
        raise typer.Exit(1)
