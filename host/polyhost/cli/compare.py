"""``polyhost compare``: combiners, signals and the market's price, scored on the same settled evaluations."""

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
    from polyhost.lab.studied import Studied

app = command_app("Score combiners, signals and the market's price on the same settled evaluations.")


@app.command(no_args_is_help=False)
def compare(
    tapes: Annotated[
        list[Path] | None, typer.Argument(metavar="[TAPE…]", help="Recordings; none: what the data folder holds.")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Trades: model_prob_of_side, entry_price, won; plain or gzip."),
    ] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    account: AccountName = "",
    stake: Annotated[str, typer.Option("--stake", help="Collateral of each bet, fee included.")] = "25",
    edge: Annotated[
        float, typer.Option("--edge", help="Least probability less ask and fee of a bet, collateral a share.")
    ] = 0.02,
    seed: Annotated[int, typer.Option("--seed", help="Of the bootstrap.")] = 1,
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Brier score, log loss, reliability, hit rate and P&L at the same sizing, with intervals over windows.

    Exit code 0 scored (also when the data can't tell), 1 nothing to score, 2 wrong usage or not a table or tape.
    """
    from polyhost.errors import ConfigError
    from polyhost.model.money import micros

    if tapes and table is not None:
        raise typer.BadParameter("score tapes or a table, not both", param_hint="--csv")
    try:
        amount = micros(stake)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--stake") from error
    if amount <= 0:
        raise typer.BadParameter("a bet needs a stake above 0", param_hint="--stake")
    try:
        from polyhost.lab.compare import compared, text_lines
    except ImportError as error:
        if error.name != "numpy":
            raise
        raise ConfigError("compare needs numpy: install polyhost[analysis]") from error
    report = compared(_studied(tapes or [], table, config, data_dir, account, sets), amount, edge, seed)
    if as_json:
        print_json(report)
    else:
        for line in text_lines(report):
            typer.echo(line)
    if not report["scored"]:
        raise typer.Exit(1)


def _studied(
    tapes: list[Path], csv: Path | None, config: Path | None, data_dir: Path | None, account: str,
    sets: list[str] | None,
) -> Studied:
    from polyhost.lab import studied

    if csv is not None:
        return studied.table(csv)
    if tapes:
        return studied.tapes(tapes, configured(config, {"host.data_dir": data_dir}, sets=sets))
    loaded = in_folder(config, data_dir, account, sets=sets)
    return studied.live(Path(loaded.configuration.host.data_dir))
