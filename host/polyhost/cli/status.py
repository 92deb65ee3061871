"""``polyhost status``: what runs, what is open, what it made."""

from __future__ import annotations

import typer

from polyhost.cli.host_folder import host_folder
from polyhost.cli.options import ConfigFile, DataDir, Json, command_app, print_json

app = command_app("What runs, what is open, what it made.")


@app.command()
def status(config: ConfigFile = None, data_dir: DataDir = None, as_json: Json = False) -> None:
    """What stands in the data folder's journal: cash, windows, positions with their exits, orders, the last close.

    A host may run on it or not; which of both is said first.

    Exit code 0: told; 1: nothing was ever run there, the journal cannot be read, or a position is unmanaged.
    """
    folder, _ = host_folder(config, data_dir)
    from polyhost.service.status import described, lines, look

    report = described(look(folder))
    if as_json:
        print_json(report)
    else:
        for line in lines(report):
            typer.echo(line)
    if report["run"] is None or report["unmanaged"]:
        raise typer.Exit(1)
