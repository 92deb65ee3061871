"""``polyhost setup``: what a wallet needs once before it can trade."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from polyhost.cli.options import AccountName, ConfigFile, DataDir, Json, Sets, command_app, in_folder, print_json

if TYPE_CHECKING:
    from polyhost.service.approvals import Setting

app = command_app("What a wallet needs once: approvals.")


@app.callback()
def setup() -> None:
    """What a wallet needs once: approvals."""


@app.command()
def approvals(
    yes: Annotated[bool, typer.Option("--yes", help="Give what is missing without a question.")] = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    account: AccountName = "",
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Show which contracts may not move the wallet's money and shares yet, ask, and approve them.

    Nothing is sent without a yes: by --yes, or by the answer to the question on a terminal.

    Exit code 0: every approval is there, or was given; 1: some are missing; 2: configuration; 3: the venue or network.
    """
    loaded = in_folder(config, data_dir, account, sets=sets)
    import asyncio

    from polyhost.service.approvals import described, outcome, set_up
    from polyhost.service.logs import set_up as set_up_logs
    from polyhost.service.patients import patient

    set_up_logs(None)

    async def done() -> Setting:
        async with patient(loaded) as subject:
            return await set_up(subject, lambda setting: _agreed(setting, yes, as_json))

    setting = asyncio.run(done())
    if as_json:
        print_json(described(setting))
    else:
        for line in outcome(setting):
            typer.echo(line)
    if not setting.done:
        raise typer.Exit(1)


def _agreed(setting: Setting, yes: bool, as_json: bool) -> bool:
    """Said yes to exactly this. Where nobody can be asked the answer is no."""
    import sys

    from polyhost.service.approvals import question

    for line in question(setting):
        typer.echo(line, err=as_json)
    if yes:
        return True
    if as_json or not sys.stdin.isatty():
        typer.echo("nobody can be asked here: say --yes to give them", err=True)
        return False
    return typer.confirm("Give them now?", default=False)
