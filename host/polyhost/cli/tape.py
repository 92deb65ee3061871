"""``polyhost tape info|check TAPE…``: what is on a recording, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyhost.cli.options import Json, command_app, print_json

if TYPE_CHECKING:
    from polyhost.lab.survey import Survey

app = command_app("Look into recordings.")
Tapes = Annotated[list[Path], typer.Argument(metavar="TAPE…", help="*.jsonl or *.jsonl.gz")]


@app.command()
def info(tapes: Tapes, json: Json = False) -> None:
    """Lines, kinds, windows, time range and gaps of each tape."""
    _show(_surveys(tapes), json, windows=True)


@app.command()
def check(tapes: Tapes, json: Json = False) -> None:
    """Is it readable? Exit code 0 yes (problems listed), 1 a promise of the format is broken, 2 not a tape."""
    surveys = _surveys(tapes)
    _show(surveys, json, windows=False)
    if any(seen.broken for seen in surveys):
        raise typer.Exit(1)


def _surveys(tapes: list[Path]) -> list[Survey]:
    from polyhost.lab.survey import survey
    from polyhost.lab.tape import Tape

    return [survey(Tape(path, count_notes=True)) for path in tapes]


def _show(surveys: list[Survey], json: bool, windows: bool) -> None:
    from polyhost.lab.survey import report, text_lines

    if json:
        print_json({"tapes": [report(seen) for seen in surveys]})
        return
    for seen in surveys:
        for line in text_lines(seen, windows):
            typer.echo(line)
