"""``polyhost config init``: a first configuration, from a few questions or from the defaults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from polyhost.cli.options import Json, print_json

if TYPE_CHECKING:
    from polyhost.configuration import Loaded
    from polyhost.configuration.starting import Answers

FILE: Final = Path("polyhost.toml")
T = TypeVar("T")


def add_init(app: typer.Typer) -> None:
    """Put the command into the group ``config``."""
    app.command()(init)


def init(
    path: Annotated[Path, typer.Argument(metavar="[PATH]", help="The file to write.")] = FILE,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: the defaults.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write a commented configuration: markets, stake, strategies, notices. It never overwrites a file unasked.

    Exit code 0 written, 1 left as it was, 2 it cannot be written.
    """
    from polyhost.configuration.starting import Answers, first_file
    from polyhost.errors import ConfigError
    from polyhost.files import write_atomically

    if not path.absolute().parent.is_dir():
        raise ConfigError("there is no such folder", file=str(path.parent), remedy=f"mkdir -p {path.parent}")
    if path.exists() and not force and not _overwrite(path, yes):
        raise typer.Exit(1)
    answers = Answers() if yes else asked()
    text = first_file(answers)
    loaded = checked(text)
    try:
        write_atomically(path, text)
    except OSError as error:
        raise ConfigError(
            f"cannot be written: {error.strerror}", file=str(path), remedy="name another path"
        ) from error
    if as_json:
        print_json({"path": str(path), "config_hash": loaded.config_hash})
    else:
        typer.echo(f"{path}: written (config {loaded.config_hash})")
        if answers.notice_env:
            typer.echo(f"next: export {answers.notice_env}=…, the address that notices go to")
        named = "" if path == FILE else f" -c {path}"
        typer.echo(f"next: polyhost config check{named}, then polyhost run{named}")


def _overwrite(path: Path, yes: bool) -> bool:
    from polyhost.errors import ConfigError

    if yes:
        raise ConfigError("is there already", file=str(path), remedy="--force writes over it, or name another path")
    return typer.confirm(f"{path} is there already: write over it?", err=True)


def asked() -> Answers:
    """A person's answers, each asked again until it is right."""
    from polyhost.configuration.starting import DIRECTIONAL, STRATEGIES, Answers

    usual = Answers()
    symbols = _ask("Symbols whose Up or Down windows are traded", ", ".join(usual.symbols), _symbols)
    durations = _ask("Window lengths (5m, 15m, 1h, 4h, 1d)", ", ".join(usual.durations), _durations)
    for name, words in STRATEGIES.items():
        typer.echo(f"  {name}: {words}", err=True)
    strategies = _ask("Strategies", DIRECTIONAL, _strategies)
    stake = usual.stake
    if DIRECTIONAL in strategies:
        stake = _ask("Stake of an entry, in collateral", usual.stake, _stake)
    question = "Notices to a service: the environment variable with its address (- for none)"
    return Answers(symbols, durations, stake, strategies, _ask(question, "-", _variable))


def _ask(question: str, default: str, understood: Callable[[str], T]) -> T:
    from polyhost.errors import ConfigError

    while True:
        try:
            return understood(typer.prompt(question, default=default, err=True).strip())
        except (ConfigError, ValueError) as error:
            typer.echo(f"  {error}", err=True)


def _symbols(text: str) -> tuple[str, ...]:
    from polyhost.configuration.starting import Answers

    return checked_answers(Answers(symbols=tuple(_words(text.upper())))).symbols


def _durations(text: str) -> tuple[str, ...]:
    from polyhost.configuration.starting import Answers

    return checked_answers(Answers(durations=tuple(_words(text)))).durations


def _strategies(text: str) -> tuple[str, ...]:
    from polyhost.configuration.starting import STRATEGIES
    from polyhost.errors import ConfigError, nearest_name

    words = tuple(dict.fromkeys(_words(text)))
    wrong = [word for word in words if word not in STRATEGIES]
    if wrong or not words:
        given = wrong[0] if wrong else text
        raise ConfigError(
            "is no strategy", value=given, allowed=tuple(STRATEGIES), nearest=nearest_name(given, STRATEGIES)
        )
    return words


def _stake(text: str) -> str:
    from polyhost.errors import ConfigError
    from polyhost.model.money import size_text
    from polyhost.model.quantities import Money
    from polyhost.settings import LimitsTable

    most = LimitsTable().window
    if not 0 < (stake := Money(text)) <= most:
        raise ConfigError("is out of range", value=text, allowed=(f"above 0 and at most {size_text(most)}",))
    return size_text(stake)


def _variable(text: str) -> str:
    from polyhost.errors import ConfigError

    if text in ("", "-"):
        return ""
    if not text.isidentifier():
        raise ConfigError(
            "is no name of a variable", allowed=("letters, digits and underscores",),
            remedy="the address itself stays out of the file",
        )
    return text


def _words(text: str) -> list[str]:
    return [word for word in text.replace(",", " ").split() if word]


def checked_answers(answers: Answers) -> Answers:
    """The answers, unless the host would refuse the file that they make: then it raises what is wrong with them."""
    from polyhost.configuration.starting import first_file

    checked(first_file(answers))
    return answers


def checked(text: str) -> Loaded:
    """The configuration of a text that is in no file yet. Raises ConfigError."""
    from tempfile import TemporaryDirectory

    from polyhost.configuration import load_configuration
    from polyhost.errors import ConfigError
    from polyhost.files import write_atomically

    with TemporaryDirectory() as folder:
        file = Path(folder) / FILE
        write_atomically(file, text)
        try:
            return load_configuration(file, env={})
        except ConfigError as error:
            # Its place is nobody's, and neither a default nor a line of it helps here.
            error.file = error.remedy = ""
            raise
