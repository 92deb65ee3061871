"""``polyhost bundle``: one archive for whoever is to look at a run from elsewhere, without secrets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyhost.cli.options import AccountName, ConfigFile, DataDir, Json, Sets, command_app, in_folder, print_json
from polyhost.cli.spans import span_ms
from polyhost.errors import ConfigError, PolyhostError

if TYPE_CHECKING:
    from polyhost.configuration import Loaded

app = command_app("Everything about a run in one archive, without secrets.")


@app.command()
def bundle(
    since: Annotated[str, typer.Option("--since", metavar="SPAN", help="How far back: 30m, 24h, 7d.")] = "24h",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="The archive; else ./polyhost-bundle-TIME.tar.gz.")
    ] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    account: AccountName = "",
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Put logs, configuration, versions, status, health and the journal of a time into one archive.

    Secrets are shown as their sources and looked for in everything before it is written. A host may run meanwhile.

    Exit code 0: written; 1: a secret could not be taken out (nothing is written); 2: configuration or file.
    """
    loaded = in_folder(config, data_dir, account, sets=sets)
    from polyhost.service.bundle import bundle as made_of
    from polyhost.service.bundle import default_name, described
    from polyhost.service.folder import DataFolder
    from polyhost.service.logs import set_up

    set_up(None)
    folder = DataFolder(Path(loaded.configuration.host.data_dir))
    target = out or Path(default_name())
    try:
        made = made_of(loaded, _effective(loaded), folder, span_ms(since), target)
    except OSError as error:
        raise ConfigError(f"{error.filename or target} cannot be read or written: {error.strerror}; name another "
                          "--out") from error
    if as_json:
        print_json(described(made))
        return
    typer.echo(f"{made.path}: {len(made.files)} files, {made.bytes:,} bytes, {made.hidden} places hidden")
    for line in made.missing:
        typer.echo(f"note: not in it is the {line}", err=True)
    for reference in made.not_looked_for:
        typer.echo(f"note: the secret of {reference} cannot be fetched here, so it was not looked for", err=True)


def _effective(loaded: Loaded) -> dict[str, Any]:
    """As `config show` tells it; where a plugin cannot be set up, what the file says, and why not more."""
    from polyhost.cli.config import effective_settings
    from polyhost.model.secrecy import shown

    try:
        return effective_settings(loaded)
    except PolyhostError as error:
        plain: dict[str, Any] = shown("", loaded.configuration.model_dump(mode="json"))
        return plain | {"problem": str(error)}
