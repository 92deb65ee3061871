"""``polyhost backtest TAPE…``: the whole host over recordings, in virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyhost.cli.options import ConfigFile, Json, Sets, command_app, configured, print_json

if TYPE_CHECKING:
    from polyhost.lab.backtest import Backtest

app = command_app("Run the host over recorded tapes, in virtual time.")


@app.command()
def backtest(
    tapes: Annotated[list[Path], typer.Argument(metavar="TAPE…", help="*.jsonl or *.jsonl.gz")],
    config: ConfigFile = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write summary.json and records.jsonl there.")
    ] = None,
    cash: Annotated[str | None, typer.Option("--cash", help="Collateral at the start.")] = None,
    central: Annotated[
        bool, typer.Option("--central", help="The central account alone: quicker, and no statement of evidence.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse a broken line instead of skipping it.")] = False,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Three accounts of one pass: pessimistic, central, optimistic; a profit whose sign differs is no evidence.

    Exit code 0 done, 1 an invariant broke or a tape breaks its format, 2 wrong usage or not a tape.
    """
    from contextlib import ExitStack

    from polyhost.lab.accounts import CENTRAL, FATES, joined
    from polyhost.lab.backtest import Backtest, together
    from polyhost.lab.plugins import running
    from polyhost.lab.summary import text_lines
    from polyhost.lab.tape import Tape

    loaded = configured(config, {"exchange.cash": cash}, sets=sets)
    readers = [Tape(path, strict) for path in tapes]
    fates = (CENTRAL,) if central else FATES
    with ExitStack() as stack:
        passes = [
            Backtest(loaded.configuration, stack.enter_context(running(loaded)), loaded.config_hash, fate=fate)
            for fate in fates
        ]
        reports = together(passes, readers)
    report = joined({each.fate.name: found for each, found in zip(passes, reports, strict=True)})
    run = next(each for each in passes if each.fate is CENTRAL)
    if out is not None:
        _write(out, report, run)
    if json:
        print_json(report)
    else:
        for line in text_lines(report):
            typer.echo(line)
    if report["invariants"]["broken"]:
        raise typer.Exit(1)


def _write(out: Path, report: dict[str, Any], run: Backtest) -> None:
    from json import dumps

    out.mkdir(parents=True, exist_ok=True)
    (out / "summary.json").write_text(dumps(report, indent=1) + "\n")
    (out / "records.jsonl").write_bytes(b"".join(body + b"\n" for body in run.journal.bodies))
