"""``polyhost plugins enable``, ``disable``, ``set``, ``release`` and ``info``: to the running host, or for the next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyhost.cli.options import AccountName, ConfigFile, DataDir, Json, Sets, in_folder, print_json

if TYPE_CHECKING:
    from polyhost.configuration import Loaded


def _name(given: str) -> str:
    from polyhost.configuration.names import checked_name

    return checked_name(given)


Name = Annotated[str, typer.Argument(metavar="NAME", help="The plugin's table: [plugins.NAME].", callback=_name)]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for the journal.")]
Pairs = Annotated[list[str], typer.Argument(metavar="KEY=VALUE…", help="Its settings; KEY= takes a choice back.")]
MoreSettings = Annotated[
    list[str] | None, typer.Option("--with", metavar="KEY=VALUE", help="One of its settings. Repeatable.")
]


def add_words(app: typer.Typer) -> None:
    """Add the commands to the group."""
    for command in (info, enable, disable, release, accept):
        app.command()(command)
    app.command("set")(set_up)


def enable(
    name: Name, settings: MoreSettings = None, why: Why = "", config: ConfigFile = None, data_dir: DataDir = None,
    account: AccountName = "", sets: Sets = None, as_json: Json = False,
) -> None:
    """Switch a plugin on, now if a host runs. Written to the machine's own file; yours is never touched."""
    _choose(in_folder(config, data_dir, account, sets=sets), "enable", name, parsed(name, settings or []), why, as_json)


def disable(
    name: Name, why: Why = "", config: ConfigFile = None, data_dir: DataDir = None,
    account: AccountName = "", sets: Sets = None, as_json: Json = False,
) -> None:
    """Switch a plugin off, now if a host runs. Its positions fall to their obligations; its state is kept."""
    _choose(in_folder(config, data_dir, account, sets=sets), "disable", name, {}, why, as_json)


def set_up(
    name: Name, settings: Pairs, why: Why = "", config: ConfigFile = None, data_dir: DataDir = None,
    account: AccountName = "", sets: Sets = None, as_json: Json = False,
) -> None:
    """Change a plugin's settings, now if a host runs. A wrong one changes nothing."""
    _choose(in_folder(config, data_dir, account, sets=sets), "set", name, parsed(name, settings), why, as_json)


def release(
    name: Name, why: Why = "", config: ConfigFile = None, data_dir: DataDir = None,
    account: AccountName = "", sets: Sets = None, as_json: Json = False,
) -> None:
    """Let a quarantined plugin in again."""
    from polyhost.model.events import Operator
    from polyhost.service.control_client import NoAnswerError, ask
    from polyhost.service.folder import running_pid, writing_words
    from polyhost.service.operator_box import leave, said_by
    from polyhost.service.plugin_figures import figures_of

    folder = Path(in_folder(config, data_dir, account, sets=sets).configuration.host.data_dir)
    running = running_pid(folder) is not None
    try:
        answer = ask(folder, "release", {"plugin": name}, who=said_by(), why=why) if running else None
    except NoAnswerError:
        answer = None
    if answer is None:
        out = running or figures_of(folder).of(name).get("state") == "quarantined"
        if out:
            with writing_words(folder):
                leave(folder, Operator("release", name, said_by(), why=why))
        answer = {"plugin": name, "changed": out}
    if as_json:
        print_json(answer | {"running": running})
    elif not answer["changed"]:
        typer.echo(f"{name} is not quarantined")
    else:
        typer.echo(f"{name} is let in again" + ("" if running else ", by the next start"))


def accept(
    name: Name, why: Why = "", config: ConfigFile = None, data_dir: DataDir = None,
    account: AccountName = "", sets: Sets = None, as_json: Json = False,
) -> None:
    """Take a plugin's code as it is now: it changed since it was accepted, and does not run until then."""
    from polyhost.extension.discovery import look_up_source
    from polyhost.extension.lock import Lock
    from polyhost.model.events import Operator
    from polyhost.service.control_client import NoAnswerError, ask
    from polyhost.service.folder import running_pid, writing_words
    from polyhost.service.operator_box import done_before, leave, said_by

    loaded = in_folder(config, data_dir, account, sets=sets)
    folder = Path(loaded.configuration.host.data_dir)
    source = look_up_source(name, loaded.configuration, loaded.base)
    problem = Lock(folder).problem(source)
    running = running_pid(folder) is not None
    told = "" if running else "; it runs from the next start"
    try:
        answer = ask(folder, "accept", {"plugin": name}, who=said_by(), why=why) if running else None
    except NoAnswerError:
        with writing_words(folder):
            leave(folder, Operator("accept", name, said_by(), why=why))
        answer, told = None, "; the host does not answer, it finds the word as a file"
    if answer is None:
        with writing_words(folder):
            answer = {"plugin": name, "accepted": bool(Lock(folder).accept([source]))}
            if answer["accepted"] and not running:
                leave(folder, done_before("accept", name, why))
    if as_json:
        print_json(answer | {"was": problem, "running": running})
    elif answer["accepted"]:
        changed = f"; what differs from the one before: {problem.partition(': ')[2]}" if problem else ""
        typer.echo(f"{name} ({source.origin}) is accepted as it is now{changed}{told}")
    else:
        typer.echo(f"{name} is as it was accepted" if not source.built_in else f"{name} is built in: nothing to accept")


def info(
    name: Name, config: ConfigFile = None, data_dir: DataDir = None, account: AccountName = "", sets: Sets = None,
    as_json: Json = False,
) -> None:
    """Everything about one plugin: state, origin, hooks, settings with where they come from, what it used."""
    from polyhost.cli.plugins import known, lived
    from polyhost.extension.discovery import look_up
    from polyhost.extension.lock import Lock
    from polyhost.model.secrecy import shown

    loaded = in_folder(config, data_dir, account, sets=sets)
    lock = Lock(loaded.configuration.host.data_dir)
    plugin = look_up(name, loaded.configuration, loaded.base, lock.problem, excused=loaded.configuration.plugins)
    row = plugin.described() | known(plugin)
    row["settings"] = shown("settings", row["settings"])
    row["origins"] = {key: loaded.origin_of(f"plugins.{name}.{key}") for key in row["settings"]}
    row["figures_by"] = lived(Path(loaded.configuration.host.data_dir), [row])
    row["notes"] += [str(each) for each in loaded.disagreements if each.plugin == name]
    if as_json:
        print_json(row)
        return
    for line in info_lines(row):
        typer.echo(line)


def info_lines(row: dict[str, Any]) -> list[str]:
    """The same for a person."""
    from polyhost.cli.plugins import used

    strikes, time_used = used(row)
    lines = [
        f"{row['name']}: {row['state']}",
        *([f"  {row['problem']}"] if row["problem"] else []),
        row["description"],
        f"origin: {row['origin']} {row['version']}".rstrip() + (f", class {row['use']}" if row["use"] else ""),
        f"hooks: {', '.join(row['hooks']) or '-'}",
        f"strikes {strikes}, time used {time_used}",
    ]
    meanings = {each["name"]: " ".join(each["meaning"].split()) for each in row["options"]}
    for key, value in row["settings"].items():
        lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}  # {row['origins'][key]}")
        if meanings.get(key):
            lines.append(f"  {meanings[key]}")
    return [line for line in lines if line] + [f"note: {line}" for line in row["notes"]]


def parsed(name: str, pairs: list[str]) -> dict[str, Any]:
    """Settings from the command line, typed as ``--set`` types them; an empty value is None. Raises ConfigError."""
    from polyhost.configuration.sources import set_layers
    from polyhost.errors import ConfigError

    found: dict[str, Any] = {}
    for pair in pairs:
        key, given, text = pair.partition("=")
        if given and not text.strip():
            found[key.strip()] = None
            continue
        if not given:
            raise ConfigError(
                "names no value", key="KEY=VALUE", value=pair, allowed=("KEY=VALUE", "KEY= takes a choice back"),
                remedy=f"for example `polyhost plugins set {name} {key.strip() or 'KEY'}=…`",
            )
        layer, = set_layers([f"plugins.{name}.{pair}"])
        found |= layer.values["plugins"][name]
    return found


def _choose(loaded: Loaded, word: str, name: str, settings: dict[str, Any], why: str, as_json: bool) -> None:
    from polyhost.model.events import Operator
    from polyhost.service.control_client import NoAnswerError, ask
    from polyhost.service.folder import running_pid, writing_words
    from polyhost.service.operator_box import done_before, leave, said_by
    from polyhost.service.plugin_choice import chosen

    folder = Path(loaded.configuration.host.data_dir)
    running = running_pid(folder) is not None
    told = "no host runs; it holds from the next start"
    answer: dict[str, Any] | None = None
    if running:
        try:
            args = {"plugin": name} | ({"settings": settings} if settings else {})
            answer = ask(folder, word, args, who=said_by(), why=why)
            told = "the running host does so from now on" if answer["changed"] else "the host does so already"
        except NoAnswerError:
            told = "the host does not answer; it finds the word as a file"
    if answer is None:
        with writing_words(folder):
            answer = chosen(loaded, name, {"enable": True, "disable": False}.get(word), settings)
            if running:
                leave(folder, Operator(word, name, said_by(), why=why))
            elif answer["changed"]:
                leave(folder, done_before(word, name, why))
    if as_json:
        print_json(answer | {"running": running})
        return
    for line in answer["changes"] or [f"{name}: nothing is another value than before"]:
        typer.echo(line)
    for line in answer["notes"]:
        typer.echo(f"note: {line}")
    typer.echo(f"{name} is {answer['state']}: {told}")
