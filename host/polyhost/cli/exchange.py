"""``polyhost exchange serve``: the simulated exchange by itself, for anyone's client."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyhost.cli.options import ConfigFile, Sets, command_app, configured

app = command_app("The simulated exchange by itself.")


@app.callback()
def exchange() -> None:
    """The simulated exchange by itself."""


@app.command()
def serve(
    config: ConfigFile = None,
    sets: Sets = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Loopback address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 0,
    seed: Annotated[int | None, typer.Option(help="Seed of prices, population and keys.")] = None,
    speed: Annotated[float | None, typer.Option(help="Most market seconds a wall second.")] = None,
    state: Annotated[Path | None, typer.Option(metavar="FILE", help="Keep accounts, orders and markets here.")] = None,
    pathology: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=P]", help="Misbehave so, with this probability (docs/pathologies.md). Repeatable."),
    ] = None,
    ready_file: Annotated[
        Path | None, typer.Option("--ready-file", metavar="F", help="Write url, ws_url and pid here when ready.")
    ] = None,
    free_running: Annotated[
        bool, typer.Option("--free-running", help="Let market time go on while no client is connected.")
    ] = False,
    with_parent: Annotated[
        bool, typer.Option("--with-parent", help="Stop when standard input ends (the process that started this died).")
    ] = False,
) -> None:
    """Serve the venue's wire protocol on one loopback port until SIGINT or SIGTERM."""
    from polyhost.service.exchange_pathologies import pathologies_of
    from polyhost.service.exchange_settings import offered_symbols, server_settings

    chosen = pathologies_of(pathology or ())
    loaded = configured(
        config, {"exchange.seed": seed, "exchange.speed": speed, "exchange.pathologies": chosen or None}, sets=sets,
        chosen=False,
    )
    from polyhost.service.logs import set_up
    from polyhost.service.serving import serve_exchange

    set_up(None)
    table = loaded.configuration.exchange
    serve_exchange(
        server_settings(loaded.configuration, offered_symbols(loaded)), host=host, port=port, seed=table.seed,
        speed=table.speed, state=state, ready_file=ready_file, free_running=free_running, with_parent=with_parent,
    )
