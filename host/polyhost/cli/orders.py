"""``polyhost orders`` and ``polyhost cancel``: our open orders beside what the venue says, and their end by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyhost.cli.host_folder import host_folder
from polyhost.cli.operator import Why
from polyhost.cli.options import AccountName, ConfigFile, DataDir, Json, Sets, command_app, print_json

if TYPE_CHECKING:
    from polyhost.configuration import Loaded

orders_app = command_app("Our open orders, and what the venue says of them.")
cancel_app = command_app("Cancel an open order, or all of ours.")


@orders_app.command()
def orders(
    witness: Annotated[bool, typer.Option("--witness", help="Ask both clients, beside the ledger.")] = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    account: AccountName = "",
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Our open orders from the journal; with a running host what the venue lists at this moment, a person's apart."""
    folder, loaded = host_folder(config, data_dir, account, sets)
    report = _report(folder)
    if witness:
        report["witness"] = _witness(folder, loaded)
    if as_json:
        print_json(report)
    else:
        for line in _lines(report):
            typer.echo(line)
    if witness and not report["witness"]["agree"]:
        raise typer.Exit(1)


@cancel_app.command()
def cancel(
    order: Annotated[str, typer.Argument(metavar="[ID]", help="Name (o000012) or venue id (0x…) of the order.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Every open order of ours.")] = False,
    why: Why = "",
    config: ConfigFile = None,
    data_dir: DataDir = None,
    account: AccountName = "",
    as_json: Json = False,
) -> None:
    """Cancel through the running host, for good. What a plugin wants after that it proposes anew; an exit is placed
    again while its position is open (use ``close`` for that, ``pause`` against new entries)."""
    from polyhost.errors import ConfigError
    from polyhost.service.control_client import ANSWER_S, NoAnswerError, ask
    from polyhost.service.folder import running_pid
    from polyhost.service.operator_box import said_by

    if bool(order) is everything:
        raise typer.BadParameter("name an order, or --all")
    folder, _ = host_folder(config, data_dir, account)
    if running_pid(folder) is None:
        raise ConfigError(
            f"no host runs on {folder}: `polyhost run` recovers what is open, `polyhost kill` cancels without a host"
        )
    try:
        args = {"order": "all" if everything else order}
        done = ask(folder, "cancel", args, who=said_by(), why=why, within_s=ANSWER_S)
    except NoAnswerError as error:
        typer.echo(f"cancel: {error}; `polyhost kill` needs no answer", err=True)
        raise typer.Exit(1) from error
    if as_json:
        print_json({"word": "cancel", "target": args["order"], **done})
        return
    for row in done["orders"]:
        typer.echo(f"cancel {row['order']}: it was {row['was']}, it is {row['state']}")
    if not done["orders"]:
        typer.echo("cancel: no order of ours is open")


def _report(folder: Path) -> dict[str, Any]:
    from polyhost.service.control_client import NoAnswerError, ask
    from polyhost.service.folder import running_pid
    from polyhost.service.order_words import order_line
    from polyhost.service.status import look, open_orders

    running, problem = running_pid(folder) is not None, "no host runs"
    if running:
        try:
            return {"data_dir": str(folder), "running": True, **ask(folder, "orders")}
        except NoAnswerError as error:
            problem = str(error)
    found = look(folder)
    return {
        "data_dir": str(folder), "running": running,
        "orders": [order_line(found.state, order, found.last_at, None) for order in open_orders(found.state)],
        "foreign": None, "venue": {"asked": False, "complete": False, "problem": problem},
    }


def _witness(folder: Path, loaded: Loaded | None) -> dict[str, Any]:
    """Both clients' figures beside the ledger's. Raises ConfigError without a venue to ask."""
    import asyncio

    from polyhost.errors import ConfigError
    from polyhost.service.emergency import both_clients, endpoints_of
    from polyhost.service.status import look

    if loaded is not None and loaded.configuration.host.mode == "paper":
        raise ConfigError("a paper account's orders never leave this machine: no client sees them; leave --witness out")
    endpoints = None if loaded is None else endpoints_of(loaded, folder)
    if loaded is None or endpoints is None:
        raise ConfigError("there is no venue to ask: no host runs, and [venue] url is empty")
    return asyncio.run(both_clients(loaded, endpoints, look(folder).state))


def _lines(report: Mapping[str, Any]) -> list[str]:
    venue = report["venue"]
    told = [] if venue["complete"] else [f"the venue was not asked, or not all of it was read: {venue['problem']}"]
    told += [_line(order) for order in report["orders"]] or ["no open order of ours"]
    told += report.get("witness", {}).get("lines", [])
    told += [
        f"FOREIGN {row['order_id']} {row['slug'] or row['condition_id']}: {row['action']} {row['size']} at "
        f"{row['price']}, {row['matched'] or '?'} matched, {row['status']}"
        for row in report["foreign"] or ()
    ]
    return told


def _line(order: Mapping[str, Any]) -> str:
    venue = order["venue"]
    seen = "" if venue is None else "; venue: " + (
        f"{venue['status']}, {venue['matched'] or '?'} matched" if venue["listed"] else "not listed"
    )
    slot = f" {order['slot']}" if order["slot"] else ""
    what = f"{order['order']} {order['slug']} {order['purpose']}{slot} ({order['why']})"
    return (
        f"{what}: {order['action']} {order['size']} {order['side']} at {order['price']} {order['type']}, "
        f"{order['matched']} matched, {order['state']} for {order['age_s']} s{seen}"
    )
