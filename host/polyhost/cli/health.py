"""``polyhost health``: did the host do its work well lately?"""

from __future__ import annotations

from typing import Annotated

import typer

from polyhost.cli.host_folder import host_folder
from polyhost.cli.options import AccountName, ConfigFile, DataDir, Json, Sets, command_app, print_json
from polyhost.cli.spans import span_ms

app = command_app("Did the host do its work well lately?")


@app.command()
def health(
    since: Annotated[str, typer.Option("--since", metavar="SPAN", help="How far back: 30m, 24h, 7d.")] = "24h",
    config: ConfigFile = None,
    data_dir: DataDir = None,
    account: AccountName = "",
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Exit latency, orphans, unmanaged expiries, the journal, pair rollbacks, rejects and trades, each with its limit.

    Read from the journal, with a host running or without. What there is no data for is said, and is not called good.

    Exit code 0: nothing is beyond its limit; 1: something is, or there is no journal.
    """
    folder, _ = host_folder(config, data_dir, account, sets)
    import time

    from polyhost.service.health import described, examined, failing, told

    watch, found = examined(folder, span_ms(since), time.time_ns() // 1_000_000)
    if as_json:
        print_json(described(folder, watch, found))
    else:
        for line in told(watch, found):
            typer.echo(line)
    if failing(found):
        raise typer.Exit(1)
