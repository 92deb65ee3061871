"""``polyhost dashboard``: the page that looks on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from polyhost.cli.host_folder import host_folder
from polyhost.cli.options import ConfigFile, DataDir, command_app
from polyhost.errors import ConfigError

PORT = 8710
app = command_app("A web page that shows what runs, and takes the operator's words.")


@app.command()
def dashboard(
    config: ConfigFile = None,
    data_dir: DataDir = None,
    account: Annotated[
        list[str] | None, typer.Option("--account", metavar="NAME", help="This account only; else all. Repeatable.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65_535, metavar="P", help="0: any that is free.")] = PORT,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where it listens.")] = "127.0.0.1",
    name: Annotated[
        list[str] | None,
        typer.Option("--name", metavar="NAME", help="Another name that it is asked for by (a tunnel's). Repeatable."),
    ] = None,
    token_file: Annotated[str, typer.Option(metavar="FILE", help="The token's file, else a new token a start.")] = "",
    token_env: Annotated[str, typer.Option(metavar="NAME", help="The token's environment variable.")] = "",
    opens: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Serve the page on this machine, for whoever has the token: the address that is printed carries it.

    It reads the journal, and speaks to the host over its control socket: trading never waits for it. It may be
    started before the host, and outlives it. Ends by SIGINT or SIGTERM.
    """
    from polyhost.service.logs import set_up
    from polyhost.web.server import address, bound, is_loopback, serve, token_of

    accounts = dict(_accounts(config, data_dir, account or []))
    token, new = token_of(env=token_env, file=token_file)
    listening = bound(host, port)
    url = address(host, listening.getsockname()[1], token if new else "")
    set_up(None)
    if not is_loopback(host):
        typer.echo(
            f"WARNING: {host} can be reached from other machines, and what the page sends is not encrypted: whoever "
            "reads it on the way has the token. A tunnel (ssh -L) to 127.0.0.1 is safer.", err=True,
        )
    def began() -> None:
        folders = ", ".join(str(folder) for folder, _ in accounts.values())
        typer.echo(f"dashboard of {folders}: {url}" + ("" if new else " (with ?token= and your token)"))
        if opens:
            import webbrowser

            webbrowser.open(url)

    serve(accounts, listening, host, token, tuple(name or ()), began)


def _accounts(
    config: Path | None, data_dir: Path | None, wanted: list[str]
) -> Iterator[tuple[str, tuple[Path, tuple[str, ...]]]]:
    """Each account with its folder, and the options of a command that name it. Raises ConfigError."""
    from polyhost.cli.options import configured

    file = ("-c", str(config)) if config is not None else ()
    try:
        loaded = configured(config, {"host.data_dir": data_dir})
    except ConfigError:
        # Beside a broken configuration a running host is shown all the same; without one this is the answer.
        folder, _ = host_folder(config, data_dir)
        yield "", (folder, ("--data-dir", str(folder), *file))
        return
    root = Path(loaded.configuration.host.data_dir)
    names = list(loaded.configuration.accounts)
    if not names and not wanted:
        yield "", (root, ("--data-dir", str(root), *file))
    for name in wanted or names:
        folder = Path(loaded.for_account(name).configuration.host.data_dir)
        yield name, (folder, ("--data-dir", str(root), "--account", name, *file))
