"""``polyhost doctor``: is everything ready to trade, and if not, how is it mended?"""

from __future__ import annotations

from typing import Annotated

import typer

from polyhost.cli.options import AccountName, ConfigFile, DataDir, Json, Sets, command_app, in_folder, print_json

app = command_app("Look at everything that trading needs.")


@app.command()
def doctor(
    config: ConfigFile = None,
    data_dir: DataDir = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also place, see and cancel one order (simulated exchanges only).")
    ] = False,
    account: AccountName = "",
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Check configuration, key, wallet, funds, allowances, clock, place, venue, streams, disk, database and loops.

    Each line says ok, or what is wrong and how to mend it. Nothing is changed; a host may run.

    Exit code 0: nothing failed (warnings may be there); 1: something on this machine or in the account; 2: the
    configuration; 3: the venue or the network.
    """
    loaded = in_folder(config, data_dir, account, sets=sets)
    import asyncio

    from polyhost.service.doctor import checks, described, exit_code, lines
    from polyhost.service.logs import set_up
    from polyhost.service.patients import patient

    set_up(None)

    async def examined() -> int:
        async with patient(loaded) as subject:
            found = await checks(subject, deep=deep)
        if as_json:
            print_json(described(subject, found))
        else:
            for line in lines(found):
                typer.echo(line)
        return exit_code(found)

    if code := asyncio.run(examined()):
        raise typer.Exit(code)
