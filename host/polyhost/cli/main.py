"""The command line's front door: ``polyhost COMMAND …``. It knows the commands' names, and imports none of them.

How a command is added
    1. Its line is in ``COMMANDS``: name, module, one sentence of help, and whether it is a group (``tape info``) or a
       single command (``run``). A line whose module does not exist is left out of the help, so a file that appears
       later is picked up without a change here.
    2. The module holds ``app = command_app("help")`` from polyhost.cli.options and thin functions with
       ``@app.command()``. At its top it imports only typer, pathlib and polyhost.cli.options; what does the work is
       imported inside the function. Options that several commands share (``-c``, ``--data-dir``, ``--json``) are the
       annotated types of polyhost.cli.options; ``configured(...)`` there reads the configuration.
    3. A command prints its report on standard output (``print_json`` with ``--json``: one object and nothing else),
       everything else goes to standard error. It returns for exit code 0, raises ``typer.Exit(1)`` when it ran and the
       answer is "no", ``typer.Exit(4)`` when the operator's kill ended it, and lets a ``PolyhostError`` pass: its
       message is printed here and its ``exit_code`` (2 configuration, 3 venue) is the command's.

``polyhost --help`` and ``--version`` import typer only; a test says so.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Any, Final, NamedTuple

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from polyhost import __version__
from polyhost.errors import PolyhostError


class Entry(NamedTuple):
    """Where a command lives: a module with an ``app``."""

    module: str
    help: str
    group: bool = False
    app: str = "app"
    """Name of the app in the module."""
    brief: bool = False
    """It is over in a moment, whatever it is asked."""


COMMANDS: Final[dict[str, Entry]] = {
    "run": Entry("polyhost.cli.run", "Trade: on the simulated exchange unless configured otherwise."),
    "status": Entry("polyhost.cli.status", "What runs, what is open, what it made."),
    "doctor": Entry("polyhost.cli.doctor", "Is everything ready to trade, and if not, how is it mended?"),
    "setup": Entry("polyhost.cli.setup", "What a wallet needs once: approvals.", group=True),
    "health": Entry("polyhost.cli.health", "Did the host do its work well lately?"),
    "report": Entry("polyhost.cli.report", "What was made, with what, at what cost, and why the worst windows lost."),
    "bundle": Entry("polyhost.cli.bundle", "Everything about a run in one archive, without secrets."),
    "dashboard": Entry("polyhost.cli.dashboard", "A web page that shows what runs, and takes the operator's words."),
    "why": Entry("polyhost.cli.why", "Why an order, a position or a window is as it is.", group=True),
    "pause": Entry("polyhost.cli.operator", "Stop new entries; exits go on.", app="pause_app"),
    "resume": Entry("polyhost.cli.operator", "Allow new entries again, clear a breaker.", app="resume_app"),
    "merge": Entry("polyhost.cli.operator", "Turn UP and DOWN shares back into collateral.", app="merge_app"),
    "redeem": Entry("polyhost.cli.operator", "Turn shares of decided windows into collateral.", app="redeem_app"),
    "close": Entry("polyhost.cli.operator", "Sell the positions of a window, or all.", app="close_app"),
    "orders": Entry("polyhost.cli.orders", "Our open orders, and what the venue says of them.", app="orders_app"),
    "cancel": Entry("polyhost.cli.orders", "Cancel an open order, or all of ours.", app="cancel_app"),
    "kill": Entry("polyhost.cli.kill", "Cancel all our orders and end the host."),
    "backtest": Entry("polyhost.cli.backtest", "Run the host over recorded tapes, in virtual time."),
    "compare": Entry("polyhost.cli.compare", "Score combiners, signals and the market's price on settled windows."),
    "simulate": Entry("polyhost.cli.simulate", "Try the host against every failure of the venue, in virtual time."),
    "replay": Entry("polyhost.cli.replay", "Repeat a recorded run and compare its records."),
    "tape": Entry("polyhost.cli.tape", "Look into recordings: info, check.", group=True),
    "exchange": Entry("polyhost.cli.exchange", "The simulated exchange by itself: serve.", group=True),
    "plugins": Entry("polyhost.cli.plugins", "The plugins: list, info, enable, set, check, new and more.", group=True),
    "config": Entry(
        "polyhost.cli.config", "The configuration: check, show, init, schema, diff.", group=True, brief=True
    ),
    "selftest": Entry("polyhost.cli.selftest", "Try the host's own promises: crash.", group=True),
    "db": Entry("polyhost.cli.db", "The journal's database: check, backup, restore, export and more.", group=True),
}


def load(name: str) -> Any:
    """The real command of that name, imported now."""
    from polyhost.collecting import rarely_collecting

    entry = COMMANDS[name]
    with rarely_collecting():
        app: typer.Typer = getattr(import_module(entry.module), entry.app)
        import_module("pydantic")  # typer needs it for the options, and loads it otherwise
    return typer.main.get_group(app) if entry.group else typer.main.get_command(app)


class LazyGroup(TyperGroup):
    """Names and help of all commands without importing them; a command is loaded when it is the one called."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        for name, entry in COMMANDS.items():
            if find_spec(entry.module) is not None:
                self.commands[name] = TyperCommand(name, help=entry.help)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(name) if name in COMMANDS else command, rest


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"polyhost {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=LazyGroup, name="polyhost", add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)


@app.callback()
def polyhost(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """A trading host for Polymarket: the host owns order safety, plugins own opinions.

    Exit codes: 0 done; 1 ran, and the answer is no; 2 wrong usage or configuration; 3 the venue could not be reached
    or refused; 4 ended by the operator's kill.
    """


def _is_brief(args: Sequence[str]) -> bool:
    """Help, the version, or a command that is over in a moment."""
    return not args or args[0].startswith("-") or (args[0] in COMMANDS and COMMANDS[args[0]].brief)


def main(args: Sequence[str] | None = None) -> None:
    """Run one command line (None: this process's own) and exit with its code."""
    # Before anybody imports loguru: its tracebacks show the values of variables, and one of them may be a key (LOG-09).
    os.environ["LOGURU_DIAGNOSE"] = "NO"
    # Before anybody imports pydantic: whatever is installed may offer it a plugin, which would see every setting here.
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    if args is None and _is_brief(sys.argv[1:]):
        # All that it makes is gone with the process: to look for garbage meanwhile and once more at its end would be a
        # fifth of its time.
        gc.disable()
        atexit.register(gc.freeze)
    try:
        typer.main.get_group(app).main(args=args, prog_name="polyhost")
    except PolyhostError as error:
        typer.echo(f"Error: {error}", err=True)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
