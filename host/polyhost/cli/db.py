"""``polyhost db``: the databases of a data folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyhost.cli.options import AccountName, ConfigFile, DataDir, Json, Sets, command_app, in_folder, print_json

if TYPE_CHECKING:
    from polyhost.journal.status import DatabaseStatus
    from polyhost.service.folder import DataFolder
    from polyhost.settings import HostTable

WORDS = "status, check, backup, restore, migrate, export, prune, release"
app = command_app(f"The journal's database: {WORDS}.")
Since = Annotated[
    str, typer.Option("--since", metavar="WHEN", help="From then on: 2026-11-21, 2026-11-21T16:00, or 24h, 7d ago.")
]
Until = Annotated[str, typer.Option("--until", metavar="WHEN", help="Up to before then, written alike.")]


@app.callback()
def db() -> None:
    """The journal's database and the analysis data beside it."""


@app.command()
def status(
    config: ConfigFile = None, data_dir: DataDir = None, account: AccountName = "", sets: Sets = None,
    as_json: Json = False,
) -> None:
    """What stands in journal and analysis data: schema, rows, last record, size. A run may be active.

    Exit code 0: the journal is there and sound; 1: it is missing, or something is wrong with it.
    """
    from polyhost.journal.status import analysis_status, journal_status

    folder, _ = _folder(config, data_dir, account, sets)
    journal, analysis = journal_status(folder.journal), analysis_status(folder.analysis)
    if as_json:
        print_json(_report(journal) | {"analysis": _report(analysis)})
    else:
        _show("journal", journal)
        _show("analysis data", analysis)
    if not journal.readable or journal.problems or analysis.problems:
        raise typer.Exit(1)


@app.command()
def check(
    config: ConfigFile = None, data_dir: DataDir = None, account: AccountName = "", sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Read everything: schema against models, every record, the fold and its invariants, NULLs where none may be.

    Exit code 0: all is sound; 1: it is not, or there is nothing to check (each problem with its remedy).
    """
    from polyhost.service.db_check import checked

    folder, _ = _folder(config, data_dir, account, sets)
    records, problems = checked(folder.journal, folder.analysis)
    if as_json:
        print_json({"data_dir": str(folder.path), "records": records, "sound": not problems, "problems": problems})
    else:
        for problem in problems:
            typer.echo(f"problem: {problem}")
        typer.echo(f"{folder.path}: {records} records read, {len(problems)} problems")
    if problems:
        raise typer.Exit(1)


@app.command()
def backup(
    to: Annotated[Path | None, typer.Argument(metavar="FILE", help="Else a new file in the folder's backups.")] = None,
    portable: Annotated[
        bool, typer.Option("--portable", help="A dump that goes into either kind of database (PostgreSQL's always).")
    ] = False,
    analysis: Annotated[bool, typer.Option("--analysis", help="A copy of the analysis data beside it, too.")] = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    account: AccountName = "",
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Copy the journal, whole and consistent, and read the copy to its end. A run may be active.

    Exit code 0: the copy is there and sound; 1: there is none; 2: the name is taken.
    """
    from polyhost.service.database import back_up

    folder, _ = _folder(config, data_dir, account, sets)
    report = back_up(folder, to, portable=portable, analysis=analysis)
    if as_json:
        print_json(report)
        return
    typer.echo(f"{report['backup']}: {report['records']} records, {report['bytes']:,} bytes")
    if report["analysis"]:
        typer.echo(f"{report['analysis']}: the analysis data")
    if report["waiting"]:
        typer.echo("an emergency file waits beside the journal: its records are not in the copy", err=True)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `db backup` wrote, or a copy of journal.db.")],
    config: ConfigFile = None,
    data_dir: DataDir = None,
    account: AccountName = "",
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Put the journal of a backup where [host] database says; what stood there is set aside. No host may run.

    The backup is read, folded and checked before anything changes. Exit code 0: it is in place; 1: it is not sound, and
    nothing was changed; 2: a host runs.
    """
    from polyhost.service.database import restore
    from polyhost.service.logs import set_up

    set_up(None)
    folder, host = _folder(config, data_dir, account, sets)
    with folder:
        report = restore(folder, file, host)
    if as_json:
        print_json(report)
        return
    typer.echo(f"{report['to']} holds the {report['records']} records of {file}")
    for place in report["set_aside"]:
        typer.echo(f"what was there is kept: {place}")


@app.command()
def migrate(
    config: ConfigFile = None, data_dir: DataDir = None, account: AccountName = "", sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Bring the databases to this host's schema, after a backup of each, as the next start would. No host may run.

    An emergency file that waits is taken in. Exit code 0: done, or nothing to do; 1: it failed, and the database is as
    before; 2: a host runs.
    """
    from polyhost.service.database import migrate
    from polyhost.service.logs import set_up

    set_up(None)
    folder, host = _folder(config, data_dir, account, sets)
    with folder:
        report = migrate(folder, host)
    if as_json:
        print_json(report)
        return
    journal, analysis = report["journal"], report["analysis"]
    typer.echo(f"journal {journal['place']}: schema {journal['from']} → {journal['to']}, {journal['last_seq']} records")
    typer.echo(f"analysis data: schema {analysis['from']} → {analysis['to']}")


@app.command()
def export(
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the files: one a table, none replaced.")],
    table: Annotated[
        list[str] | None, typer.Option("--table", metavar="NAME", help="One table (repeatable); else all there are.")
    ] = None,
    form: Annotated[str, typer.Option("--format", metavar="csv|parquet", help="Kind of the files.")] = "csv",
    since: Since = "",
    until: Until = "",
    config: ConfigFile = None,
    data_dir: DataDir = None,
    account: AccountName = "",
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Write tables for other programs, with exact decimals: fills (for accounting), orders, ledger, positions and more.

    A run may be active. Exit code 0: written; 1: nothing is there; 2: a table or time is unknown, a file exists.
    """
    from polyhost.service.database import export_all

    folder, _ = _folder(config, data_dir, account, sets)
    report = export_all(folder, out, table or (), form, since, until)
    if as_json:
        print_json(report)
        return
    for name, each in report["tables"].items():
        typer.echo(f"{each['file']}: {each['rows']} rows of {name}")


@app.command()
def prune(
    days: Annotated[float | None, typer.Option("--days", help="Keep so many (default: [host] analysis_days).")] = None,
    dry: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    vacuum: Annotated[bool, typer.Option("--vacuum", help="Give the room back to the disk; no host may run.")] = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    account: AccountName = "",
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Delete old analysis rows and recordings past their settings. The journal is never pruned. A run may be active.

    A run does so by itself; a database file keeps its size and fills the room again, unless --vacuum is given.
    """
    from contextlib import nullcontext

    from polyhost.service.database import clear_out

    folder, host = _folder(config, data_dir, account, sets)
    with folder if vacuum else nullcontext():
        report = clear_out(folder, host.analysis_days if days is None else days, host, dry=dry, vacuum=vacuum)
    if as_json:
        print_json(report)
        return
    done = "would go" if dry else "deleted"
    typer.echo(f"{report['analysis_rows']} analysis rows older than {report['days']:g} days {done}")
    typer.echo(f"{len(report['recordings'])} recordings {done}; {report['freed_bytes']:,} bytes given back")


@app.command()
def release(
    config: ConfigFile = None, data_dir: DataDir = None, account: AccountName = "", sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Say that a host which never gave its journal in PostgreSQL back is gone for good, so that this one may go on.

    Only after looking: a host that still runs, cut off from the database, or an emergency file in its data folder holds
    records that this one would not know. Exit code 0: released, or nobody held it; 1: it still writes.
    """
    from polyhost.service.database import let_go

    folder, _ = _folder(config, data_dir, account, sets)
    report = let_go(folder)
    if as_json:
        print_json(report)
    else:
        typer.echo(f"{report['place']}: {report['released'] or 'nobody'} held it")


def _folder(
    config: Path | None, data_dir: Path | None, account: str, sets: list[str] | None
) -> tuple[DataFolder, HostTable]:
    from polyhost.service.folder import DataFolder

    host = in_folder(config, data_dir, account, sets=sets).configuration.host
    return DataFolder(Path(host.data_dir)), host


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
        "holder": found.holder,
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
        if found.holder:
            typer.echo(f"  held by {found.holder}")
    for problem in found.problems:
        typer.echo(f"  problem: {problem}")
