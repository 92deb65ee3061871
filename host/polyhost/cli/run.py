"""``polyhost run``: the service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyhost.cli.options import ConfigFile, DataDir, Json, Sets, command_app, configured, print_json

app = command_app("Trade.")


@app.command()
def run(
    config: ConfigFile = None,
    data_dir: DataDir = None,
    windows: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Stop when N windows traded from their open have settled.")
    ] = None,
    speed: Annotated[
        float | None, typer.Option(metavar="X", help="Most market seconds a wall second (own exchange only).")
    ] = None,
    summary: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the summary here.")] = None,
    exchange: Annotated[
        str | None, typer.Option(metavar="URL", help="Trade on the simulated exchange that serves there.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start anew; what is there is set aside.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Confirm the first live start of an account.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log details.")] = False,
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Find markets, ask plugins, place orders, fill, exit, settle, account. Ends by --windows, SIGINT or SIGTERM."""
    import sys

    if exchange is not None and speed is not None:
        raise typer.BadParameter("the exchange at --exchange has its own speed; leave --speed out")
    loaded = configured(
        config,
        {
            "host.data_dir": str(data_dir) if data_dir is not None else None,
            "exchange.speed": speed,
            "venue.url": exchange,
        },
        sets=sets,
    )
    from polyhost.service.run import run_host

    show = sys.stdout.isatty() and not as_json and not verbose
    report, code = run_host(
        loaded, windows=windows, summary_file=summary, fresh=fresh, show=show, verbose=verbose, yes=yes
    )
    if as_json:
        print_json(report)
    else:
        from polyhost.service.closing import closing_lines

        for line in closing_lines(report):
            typer.echo(line)
    if code:
        raise typer.Exit(code)
