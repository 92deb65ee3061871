"""``polyhost doctor``: is everything ready to trade, and if not, how is it mended?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from polyhost.cli.options import AccountName, ConfigFile, DataDir, Json, Sets, command_app, in_folder, print_json
from polyhost.errors import ConfigError

if TYPE_CHECKING:
    from polyhost.service.checkup.check import Check, Subject

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
    import asyncio

    from polyhost.service.doctor import checks, unreadable
    from polyhost.service.logs import set_up
    from polyhost.service.patients import patient

    set_up(None)
    try:
        loaded = in_folder(config, data_dir, account, sets=sets)
    except ConfigError as error:
        _tell(None, unreadable(error), as_json)
        return

    async def examined() -> tuple[Subject, list[Check]]:
        async with patient(loaded) as subject:
            return subject, await checks(subject, deep=deep)

    _tell(*asyncio.run(examined()), as_json)


def _tell(subject: Subject | None, found: list[Check], as_json: bool) -> None:
    from polyhost.service.doctor import described, exit_code, lines

    if as_json:
        print_json(described(subject, found))
    else:
        for line in lines(found):
            typer.echo(line)
    if code := exit_code(found):
        raise typer.Exit(code)
