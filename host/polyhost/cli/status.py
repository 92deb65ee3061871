"""``polyhost status``: what runs, what is open, what it made."""

from __future__ import annotations

from pathlib import Path

import typer

from polyhost.cli.options import ConfigFile, DataDir, Json, command_app, configured, print_json

app = command_app("What runs, what is open, what it made.")


@app.command()
def status(config: ConfigFile = None, data_dir: DataDir = None, as_json: Json = False) -> None:
    """What stands in the data folder's journal: cash, windows, positions with their exits, orders, the last close.

    A host may run on it or not; which of both is said first.

    Exit code 0: told; 1: nothing was ever run there, the journal cannot be read, or a position is unmanaged.
    """
    folder = Path(configured(config, {"host.data_dir": data_dir}).configuration.host.data_dir)
    from polyhost.service.status import described, lines, look

    report = described(look(folder))
    if as_json:
        print_json(report)
    else:
        for line in lines(report):
            typer.echo(line)
    if report["run"] is None or report["unmanaged"]:
        raise typer.Exit(1)
