"""``polyhost replay``: a recorded run again, compared byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyhost.cli.options import (
    AccountName,
    ConfigFile,
    DataDir,
    Json,
    Sets,
    command_app,
    configured,
    in_folder,
    print_json,
)

if TYPE_CHECKING:
    from polyhost.configuration import Loaded
    from polyhost.lab.replay import Journaled
    from polyhost.model.records import RunStarted

app = command_app("Repeat a recorded run.")


@app.command()
def replay(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="Run id or recording; the last run.")] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    account: AccountName = "",
    other: Annotated[
        Path | None,
        typer.Option("--with", metavar="CONFIG", help="Show what this configuration would have decided instead."),
    ] = None,
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Feed a run's recorded inputs to an empty kernel; its records must come out again, byte for byte.

    The run's configuration is the one kept beside its recording; -c and --set take another one.

    With --with: the recorded market once with the run's configuration and once with another, both with simulated fills;
    the decisions that differ are listed with their money.

    Exit code 0: identical, or compared; 1: not identical, or an invariant broke.
    """
    loaded = in_folder(config, data_dir, account, sets=sets)
    from polyhost.lab.plugins import as_begun, running
    from polyhost.lab.replay import find_run, journal_of, recorded_run
    from polyhost.lab.replay import replay as again
    from polyhost.service.logs import set_up

    set_up(None)
    recording = find_run(run, Path(loaded.configuration.host.data_dir))
    journaled = recorded_run(journal_of(recording), recording.name)
    own, notes = _run_of(loaded, recording, journaled.started, named=config is not None or bool(sets))
    own = as_begun(own, journaled.moves)
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    if other is not None:
        _compare(recording, journaled, own, configured(other), as_json=as_json)
        return
    settings = own.configuration
    with running(own) as plugins:
        found = again(
            recording, journaled, settings, settings.host.account, plugins.told_hooks, plugins.evaluate,
            plugins.channels, plugins.keep, plugins.moved,
        )
    found.notes = notes
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
            + (f", {found.answers_away} not compared (a process was late or starting)" if found.answers_away else "")
        )
    if not found.identical:
        raise typer.Exit(1)


def _run_of(loaded: Loaded, recording: Path, started: RunStarted, *, named: bool) -> tuple[Loaded, list[str]]:
    """The run's configuration, and what should be known of it: whether it, and this program, are the run's own."""
    from polyhost import __version__
    from polyhost.configuration import recorded

    kept = None if named else recorded.of_run(recording, loaded)
    own = kept or loaded
    notes = []
    if own.config_hash != started.config_hash:
        notes.append(
            f"the run's configuration was {started.config_hash}, this one is {own.config_hash}"
            + ("" if named else "; its own is not kept beside this recording, name it with -c FILE")
        )
    if started.version != __version__:
        notes.append(f"polyhost {started.version} made this run, this is {__version__}")
    return own, notes


def _compare(recording: Path, journaled: Journaled, own: Loaded, other: Loaded, *, as_json: bool) -> None:
    from polyhost.lab.counterfactual import RecordedMarket, begin_cash, compared, text_lines, with_cash
    from polyhost.lab.plugins import running

    cash = begin_cash(recording)
    with running(own) as plugins, running(other) as others:
        passes = [
            RecordedMarket(
                each.configuration if cash is None else with_cash(each.configuration, cash), asked, each.config_hash
            )
            for each, asked in ((own, plugins), (other, others))
        ]
        found = compared(recording, journaled, *passes)
    if as_json:
        print_json(found.described())
    else:
        for line in text_lines(found):
            typer.echo(line)
    if found.broken:
        raise typer.Exit(1)
