"""``polyhost selftest crash``: kill the host at every point where dying could hurt, and see that nothing is lost."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyhost.cli.options import ConfigFile, Json, Sets, command_app, configured, print_json

if TYPE_CHECKING:
    from polyhost.lab.crash_stage import Stage

app = command_app("Tests of the host's own promises: crash.")


@app.callback()
def _group() -> None:
    """A group, although it has one command yet."""


@app.command()
def crash(
    config: ConfigFile = None,
    sets: Sets = None,
    json: Json = False,
    point: Annotated[
        list[str] | None, typer.Option("--point", help="Only this run: POINT[:OCCURRENCE[:LIFE[:DELAY]]], repeatable.")
    ] = None,
    group_ms: Annotated[int, typer.Option("--group-ms", min=0, help="With --point: how long records may wait.")] = 0,
    down_ms: Annotated[int, typer.Option("--down-ms", min=0, help="With --point: how long the host is gone.")] = 400,
    stuck_ms: Annotated[int, typer.Option("--stuck-ms", min=0, help="With --point: what it sent is late.")] = 0,
    back_ms: Annotated[int | None, typer.Option("--back-ms", help="With --point: back so long after the end.")] = None,
    runs: Annotated[
        int | None, typer.Option("--runs", min=1, help="At most so many runs (default: all; with -c 180).")
    ] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="Runs at once (default: one a processor).")] = None,
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="DIR", help="Leave the journals of failed runs there.")
    ] = None,
) -> None:
    """Without -c a story in which everything happens to orders; with -c your configuration and plugins.

    Exit code 0 every point survived, 1 a promise was broken (each failure with the command that repeats it).
    """
    from polyhost.lab.crash import CrashMatrix, plan_of

    if sets and config is None:
        raise typer.BadParameter("without -c it plays its own story", param_hint="--set")
    stage, most = _stage(config, sets)
    plans = None
    if point:
        try:
            plans = [plan_of(point, group_ms, down_ms, stuck_ms, back_ms)]
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--point") from error
    matrix = CrashMatrix(stage, jobs, keep, _again(config, sets))
    report = matrix.run(plans, runs_max=runs or most, each=None if json else _told)
    if json:
        print_json(report)
    else:
        _show(report)
    if report["failures"]:
        raise typer.Exit(1)


def _stage(config: Path | None, sets: list[str] | None) -> tuple[Stage, int | None]:
    """What to play on, and at most how many runs."""
    from polyhost.lab.crash_stage import story_stage

    if config is None:
        return story_stage(), None
    from polyhost.lab.crash_world import RUNS_MAX, busy_stage

    return busy_stage(configured(config, sets=sets)), RUNS_MAX


def _again(config: Path | None, sets: list[str] | None) -> str:
    """The command that repeats a run on the same stage."""
    from polyhost.lab.crash import COMMAND

    words = [] if config is None else ["-c", str(config)]
    for word in sets or ():
        words += ["--set", word]
    return shlex.join([*COMMAND.split(), *words])


def _told(done: int, of: int) -> None:
    if done % 50 == 0 or done == of:
        typer.echo(f"{done} of {of} runs", err=True)


def _show(report: dict[str, Any]) -> None:
    typer.echo(
        f"{report['points']} points, {report['runs']} runs with {report['kills']} kills and {report['sealed']} full "
        f"disks: {report['survived']} survived"
    )
    if not report["posts"]:
        typer.echo("Warning: the plugins posted no order, so nothing of orders was tested.")
    for failure in report["failures"]:
        typer.echo(f"FAILED at {', '.join(failure['points']) or 'nothing (undisturbed)'}")
        for problem in failure["problems"]:
            typer.echo(f"  {problem}")
        typer.echo(f"  again: {failure['replay']}")
