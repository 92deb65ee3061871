"""``polyhost db``: the databases of a data directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from polyhost.cli.options import ConfigFile, DataDir, Json, command_app, configured, print_json

if TYPE_CHECKING:
    from polyhost.journal.status import DatabaseStatus

app = command_app("The journal's database: status, check.")


@app.callback()
def db() -> None:
    """The journal's database: status, check."""


@app.command()
def status(config: ConfigFile = None, data_dir: DataDir = None, as_json: Json = False) -> None:
    """What stands in journal and analysis data: schema, rows, last record, size. A run may be active.

    Exit code 0: the journal is there and sound; 1: it is missing, or something is wrong with it.
    """
    from pathlib import Path

    from polyhost.journal.status import ANALYSIS_FILE, JOURNAL_FILE, analysis_status, journal_status

    folder = Path(configured(config, {"host.data_dir": data_dir}).configuration.host.data_dir)
    journal, analysis = journal_status(folder / JOURNAL_FILE), analysis_status(folder / ANALYSIS_FILE)
    if as_json:
        print_json(_report(journal) | {"analysis": _report(analysis)})
    else:
        _show("journal", journal)
        _show("analysis data", analysis)
    if not journal.readable or journal.problems or analysis.problems:
        raise typer.Exit(1)


@app.command()
def check(config: ConfigFile = None, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Read everything: schema against models, every record, the fold and its invariants, NULLs where none may be.

    Exit code 0: all is sound; 1: it is not, or there is nothing to check (each problem with its remedy).
    """
    from pathlib import Path

    from polyhost.journal.status import ANALYSIS_FILE, JOURNAL_FILE
    from polyhost.service.db_check import checked

    folder = Path(configured(config, {"host.data_dir": data_dir}).configuration.host.data_dir)
    records, problems = checked(folder / JOURNAL_FILE, folder / ANALYSIS_FILE)
    if as_json:
        print_json({"data_dir": str(folder), "records": records, "sound": not problems, "problems": problems})
    else:
        for problem in problems:
            typer.echo(f"problem: {problem}")
        typer.echo(f"{folder}: {records} records read, {len(problems)} problems")
    if problems:
        raise typer.Exit(1)


def _report(found: DatabaseStatus) -> dict[str, object]:
    return {
        "path": found.path,
        "exists": found.exists,
        "readable": found.readable,
        "schema_version": found.schema_version,
        "schema_wanted": found.schema_wanted,
        "last_seq": found.last_seq,
        "bytes": found.bytes,
        "rows": found.rows,
        "migrations": [
            {"version": version, "name": name, "applied_at": at, "host": host}
            for version, name, at, host in found.history
        ],
        "problems": list(found.problems),
    }


def _show(what: str, found: DatabaseStatus) -> None:
    typer.echo(f"{what}: {found.path}")
    if not found.exists:
        typer.echo("  not there yet: `polyhost run` makes it")
    elif found.readable:
        typer.echo(f"  schema {found.schema_version} (this host: {found.schema_wanted}), {found.bytes:,} bytes")
        if "journal" in found.rows:
            typer.echo(f"  last record {found.last_seq}")
        typer.echo("  rows: " + ", ".join(f"{name} {count}" for name, count in found.rows.items()))
    for problem in found.problems:
        typer.echo(f"  problem: {problem}")
