"""``polyhost report``: what was made, with what, and how right the opinions were."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyhost.cli.options import AccountName, ConfigFile, DataDir, Json, Sets, command_app, in_folder, print_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

app = command_app("P&L, costs, opinions and the worst windows, as tables and as one HTML page.")
Time = Annotated[
    str, typer.Option(metavar="TIME", help="2026-11-21, 2026-11-21T16:00 (UTC), or 24h, 7d ago; else all there is.")
]


@app.command(no_args_is_help=False)
def report(
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the page: one file that opens offline.")
    ] = None,
    since: Time = "",
    until: Time = "",
    worst: Annotated[int, typer.Option(min=0, metavar="N", help="Windows that lost most, with their why.")] = 5,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    account: AccountName = "",
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """P&L by day, window, plugin and exit reason, calibration, fees, slippage, rewards, and the worst windows.

    It reads the journal and the analysis data: no host need run, and one may. Plots need the extra `report`, scores of
    opinions the extra `analysis`; without them the rest is told.

    Exit code 0: told; 1: nothing was ever run there, a database is damaged or newer, or the analysis data cannot be
    read (what the journal says is told all the same); 2: wrong usage, or the file cannot be written.
    """
    from polyhost.lab.report import NUMPY, reported
    from polyhost.service.why import windows

    loaded = in_folder(config, data_dir, account, sets=sets)
    folder = Path(loaded.configuration.host.data_dir)
    found = reported(folder, windows, *_span(folder, since, until), worst)
    if html is not None:
        _written(found, html)
    if as_json:
        print_json(found)
    elif html is None:
        from polyhost.service.report_terminal import show

        show(found)
    if any(problem != NUMPY for problem in found["problems"]):
        raise typer.Exit(1)


def _span(folder: Path, since: str, until: str) -> tuple[int | None, int | None]:
    """Both ends, market ms; a simulation's clock stood still since its last record."""
    from polyhost.service.database import when

    if not (since or until):
        return None, None
    import time

    from polyhost.lab.report import last_moment

    now = last_moment(folder, time.time_ns() // 1_000_000)
    return when(since, now), when(until, now)


def _written(found: Mapping[str, Any], path: Path) -> None:
    """The page in place of whatever was there. Raises ConfigError: the file cannot be written."""
    from polyhost.errors import ConfigError
    from polyhost.files import write_atomically
    from polyhost.web.report_page import page
    from polyhost.web.report_plots import EXTRA, drawn

    plots = drawn(found)
    try:
        write_atomically(path, page(found, plots))
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}", key="--html", remedy="name another") from error
    typer.echo(f"{path}: the report" + ("" if plots is not None else f" ({EXTRA})"), err=True)
