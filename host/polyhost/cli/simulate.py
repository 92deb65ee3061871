"""``polyhost simulate``: the whole host against the simulated exchange, with everything that can go wrong, by seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyhost.cli.options import ConfigFile, Json, Sets, command_app, configured, print_json

if TYPE_CHECKING:
    from polyhost.lab.sim_run import Outcome

app = command_app("Try the host against every failure of the venue, in virtual time.")


@app.command()
def simulate(
    seeds: Annotated[str, typer.Option(metavar="A:B", help="Seeds from A up to, not including, B.")] = "0:10",
    hours: Annotated[float, typer.Option(min=0.01, metavar="H", help="Market time of each seed.")] = 1.0,
    pathologies: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="all, none or NAME[=PROBABILITY]; repeatable. Default all; none if calm."),
    ] = None,
    density: Annotated[
        float, typer.Option(min=0.5, max=1_000, metavar="D", help="Population events a market second and symbol.")
    ] = 20.0,
    calm: Annotated[bool, typer.Option("--calm", help="No kills, lost streams, long delays or operator.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, metavar="N", help="Processes; default one a core.")] = None,
    config: ConfigFile = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Without -c: one symbol, the shipped plugins and one that trades at random; with it your own plugins and markets.

    Exit code 0: every invariant held; 1: one broke, and the command that replays it is printed. With --calm and no
    pathologies an error line in the log, or a warning that the market does not explain, is one of them.
    """
    from loguru import logger

    from polyhost.lab.sim_run import Plan
    from polyhost.lab.simulate import Simulations, chosen_pathologies, finding

    logger.disable("polyhost.exchange.world")
    own = config is not None
    loaded = configured(config, sets=[*([] if own else ["markets.symbols=BTC"]), *(sets or ())], chosen=own)
    plan = Plan(hours, chosen_pathologies(_words(pathologies or (["none"] if calm else ["all"]))), density, not calm)
    simulations = Simulations(_seeds(seeds), plan, loaded, trader=not own, workers=workers, sets=sets or ())
    first = True

    def seen(outcome: Outcome) -> None:
        nonlocal first
        if outcome.broken and first:
            first = False
            for line in finding(outcome, simulations.replay_command(outcome.seed)):
                typer.echo(line, err=True)

    report = simulations.run(seen)
    if json:
        print_json(report)
    else:
        for line in _lines(report):
            typer.echo(line)
    if report["invariants"]["broken"]:
        raise typer.Exit(1)


def _words(given: list[str]) -> list[str]:
    return [word for each in given for word in each.replace(",", " ").split()]


def _seeds(text: str) -> range:
    first, colon, last = text.partition(":")
    try:
        found = range(int(first), int(last)) if colon else range(int(first), int(first) + 1)
    except ValueError:
        found = range(0)
    if not found:
        raise typer.BadParameter(f"{text!r} names no seeds; A:B means A up to, not including, B", param_hint="--seeds")
    return found


def _lines(report: dict[str, Any]) -> list[str]:
    invariants, wall = report["invariants"], report["wall"]
    struck = {name: count for name, count in report["pathologies"].items() if count}
    broken = f" ({', '.join(invariants['broken_names'])})" if invariants["broken"] else ""
    counts = ", ".join(f"{report[name]} {name}" for name in ("events", "records", "orders", "fills", "restarts"))
    lines = [
        f"{report['seeds']} seeds, {report['simulated_hours']:g} hours, {counts}",
        f"pathologies: {', '.join(f'{name} {count}' for name, count in struck.items()) or 'none'}",
        f"invariants: {invariants['checked']} checks, {invariants['broken']} seeds broke one{broken}",
        f"{wall['duration_s']:g} s on {wall['workers']} processes, {wall['hours_per_core_hour']} hours a core-hour",
    ]
    return [*lines, f"again: {report['replay']}"] if report["replay"] else lines
