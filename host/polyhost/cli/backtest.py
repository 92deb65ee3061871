"""``polyhost backtest TAPE…``: the whole host over recordings, in virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyhost.cli.options import ConfigFile, Json, command_app, configured, print_json

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
    strict: Annotated[bool, typer.Option("--strict", help="Refuse a broken line instead of skipping it.")] = False,
    json: Json = False,
) -> None:
    """Exit code 0 done, 1 an invariant broke or a tape breaks its format, 2 wrong usage or not a tape."""
    from polyhost.lab.backtest import Backtest
    from polyhost.lab.plugins import running
    from polyhost.lab.summary import text_lines
    from polyhost.lab.tape import Tape

    loaded = configured(config, {"exchange.cash": cash})
    readers = [Tape(path, strict) for path in tapes]
    with running(loaded) as plugins:
        run = Backtest(loaded.configuration, plugins, loaded.config_hash)
        report = run.run(readers)
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
