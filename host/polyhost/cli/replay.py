"""``polyhost replay``: a recorded run again, compared byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyhost.cli.options import ConfigFile, DataDir, Json, Sets, command_app, configured, print_json

app = command_app("Repeat a recorded run.")


@app.command()
def replay(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="Run id or recording; the last run.")] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Feed a run's recorded inputs to an empty kernel; its records must come out again, byte for byte.

    Exit code 0: identical; 1: not.
    """
    loaded = configured(config, {"host.data_dir": str(data_dir) if data_dir is not None else None}, sets=sets)
    from polyhost.lab.plugins import as_begun, running
    from polyhost.lab.replay import find_run, journal_of, plugin_moves
    from polyhost.lab.replay import replay as again
    from polyhost.service.logs import set_up

    set_up(None)
    settings = loaded.configuration
    recording = find_run(run, Path(settings.host.data_dir))
    journal = journal_of(recording)
    with running(as_begun(loaded, plugin_moves(journal, recording.name))) as plugins:
        found = again(
            recording, journal, settings, settings.host.account, plugins.told_hooks, plugins.evaluate,
            plugins.channels, plugins.keep, plugins.moved,
        )
    if as_json:
        print_json(found.described())
    else:
        for problem in found.problems:
            typer.echo(f"note: {problem}")
        for difference in found.differences:
            typer.echo(difference)
        word = "byte-identical" if found.identical else f"{found.difference_count} differences"
        typer.echo(
            f"run {found.run}: {found.inputs} inputs, {found.records} records, {word}; "
            f"plugins asked {found.asked} times, {found.answers_differ} answers differ"
        )
    if not found.identical:
        raise typer.Exit(1)
