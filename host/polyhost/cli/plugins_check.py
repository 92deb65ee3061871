"""``polyhost plugins check``: the conformance suite on anyone's plugin, as a graded report."""

from __future__ import annotations

from typing import Annotated

import typer

from polyhost.cli.options import ConfigFile, DataDir, Json, Sets, configured, print_json


def add_check(app: typer.Typer) -> None:
    """Give the group ``plugins`` its command."""
    app.command("check")(check_plugin)


def check_plugin(
    what: Annotated[
        str,
        typer.Argument(metavar="NAME_OR_PATH", help="A plugin's name, its file, or the folder of its project."),
    ],
    config: ConfigFile = None, data_dir: DataDir = None, sets: Sets = None, as_json: Json = False,
) -> None:
    """Check what a plugin promises: contract, types, no clock, no look-ahead, speed and the rest, in other processes.

    Grade A keeps every promise, B lacks texts; C is too slow, D fails without an input or forgets with a restart, F
    breaks the contract. Exit code 0: A or B, 1: worse, 2: there is no such plugin.
    """
    from polyhost.testing.conformance_child import examined
    from polyhost.testing.report import report_lines
    from polyhost.testing.subjects import subjects_of

    loaded = configured(config, {"host.data_dir": data_dir}, sets=sets)
    told = [examined(subject).described() for subject in subjects_of(what, loaded)]
    passed = all(each["passed"] for each in told)
    if as_json:
        print_json({"passed": passed, "plugins": told})
    else:
        for each in told:
            for line in report_lines(each):
                typer.echo(line)
    if not passed:
        raise typer.Exit(1)
