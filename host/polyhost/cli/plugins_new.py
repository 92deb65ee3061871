"""``polyhost plugins new``: begin a plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyhost.cli.options import Json, print_json


def add_new(app: typer.Typer) -> None:
    """Give the group ``plugins`` its command."""
    app.command("new")(new_plugin)


def new_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Small letters, digits and underscores.")],
    kind: Annotated[
        str, typer.Option("--kind", metavar="KIND", help="signal, combine, entry, exit, quote or notify.")
    ] = "signal",
    package: Annotated[
        bool, typer.Option("--package", help="A project to distribute, polyhost-NAME, instead of a file and its test.")
    ] = False,
    into: Annotated[Path, typer.Option("--into", metavar="DIR", help="The folder that it is written into.")] = Path(),
    as_json: Json = False,
) -> None:
    """Write a working plugin with settings, texts and tests that pass at once. Nothing is ever overwritten.

    Exit code 2: the name is none or is taken, or a file of it exists already; then nothing is written.
    """
    from polyhost.testing.scaffold import next_steps, scaffold

    made = scaffold(name, kind, package=package, into=into)
    if as_json:
        print_json(made)
        return
    for file in made["written"]:
        typer.echo(f"written:    {file}")
    for line in next_steps(made):
        typer.echo(line)
