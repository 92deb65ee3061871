"""``polyhost config``: what the host would run with, where each value came from, and what differs between two."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyhost.cli.config_init import add_init
from polyhost.cli.options import ConfigFile, DataDir, Json, Sets, command_app, configured, print_json
from polyhost.errors import ConfigError, PluginError, PolyhostError

if TYPE_CHECKING:
    from polyhost.configuration import Loaded
    from polyhost.extension.discovery import LoadedPlugin
    from polyhost.extension.sources import Source

app = command_app("The configuration: check, show, init, schema, diff.")
add_init(app)


@app.callback()
def config() -> None:
    """The configuration: check, show, init, schema, diff."""


@app.command()
def check(
    config: ConfigFile = None, data_dir: DataDir = None, sets: Sets = None, as_json: Json = False
) -> None:
    """Check the configuration and every plugin it names. Exit code 1: a plugin is refused; 2: a setting is wrong."""
    from polyhost.collecting import rarely_collecting

    try:
        loaded = configured(config, {"host.data_dir": data_dir}, sets=sets)
        with rarely_collecting():
            refused = [plugin for plugin in discovered(loaded) if plugin.state == "refused"]
    except ConfigError as error:
        if as_json:
            print_json({"ok": False, "problems": [str(error)]})
            raise typer.Exit(error.exit_code) from None
        raise
    problems = [plugin.problem for plugin in refused]
    where = str(loaded.path) if loaded.path else "built-in defaults"
    if as_json:
        path = str(loaded.path) if loaded.path else None
        good = {"ok": not problems, "problems": problems, "notes": loaded.told()}
        print_json({**good, "path": path, "config_hash": loaded.config_hash})
    else:
        typer.echo(f"{where}: {'refused' if problems else 'good'} (config {loaded.config_hash})")
        for line in loaded.told():
            typer.echo(f"note: {line}")
        for problem in problems:
            typer.echo(problem, err=True)
    if problems:
        raise typer.Exit(1)


@app.command()
def show(
    config: ConfigFile = None,
    data_dir: DataDir = None,
    sets: Sets = None,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value came from.")] = False,
    as_json: Json = False,
) -> None:
    """Show the effective configuration, the plugins' settings included, as TOML."""
    loaded = configured(config, {"host.data_dir": data_dir}, sets=sets)
    effective = effective_settings(loaded)
    if as_json:
        report: dict[str, Any] = {"configuration": effective, "config_hash": loaded.config_hash}
        report["path"] = str(loaded.path) if loaded.path else None
        if origin:
            report["origin"] = {key: _origin_of(key, loaded) for key, _ in _leaves(effective)}
        print_json(report)
    elif origin:
        for key, value in _leaves(effective):
            typer.echo(f"{key} = {_toml_value(value)}  # {_origin_of(key, loaded)}")
    else:
        import tomli_w

        typer.echo(tomli_w.dumps(effective), nl=False)


@app.command()
def schema(config: ConfigFile = None, data_dir: DataDir = None, sets: Sets = None) -> None:
    """Print the JSON Schema of a configuration file, with every plugin that is built in or named, for editors."""
    from polyhost.configuration.schema import schema as made

    loaded = configured(config, {"host.data_dir": data_dir}, sets=sets)
    typer.echo(json.dumps(made(_others(loaded)), ensure_ascii=False, indent=1))


@app.command(no_args_is_help=False)
def diff(
    old: Annotated[Path, typer.Argument(metavar="A", help="A configuration file.")],
    new: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    as_json: Json = False,
) -> None:
    """What B does otherwise than A: what can be lost, which plugins run, which settings are others.

    The files with their fragments are compared, without environment and choices. Exit code 0, whatever differs.
    """
    from polyhost.configuration.difference import difference, lines

    found = difference(*_compared(old, new))
    if as_json:
        print_json(found)
        return
    for line in lines(found):
        typer.echo(line)


def _compared(old: Path, new: Path) -> tuple[Any, ...]:
    from polyhost.configuration import load_configuration

    both = [load_configuration(path, env={}) for path in (old, new)]
    accounts = [
        {name: loaded.for_account(name).configuration for name in loaded.configuration.accounts} for loaded in both
    ]
    configurations = [loaded.configuration for loaded in both]
    if any(accounts):
        # Where only one has several, the other's is the account of [host].
        accounts = [own or {one.host.account: one} for own, one in zip(accounts, configurations, strict=True)]
    return (*configurations, *(_settings_of(loaded) for loaded in both), *accounts)


def _settings_of(loaded: Loaded) -> dict[str, dict[str, Any]]:
    """All settings of each plugin that runs: of shipped ones with their defaults, of others what the file says.

    Nothing of theirs is imported and no secret is fetched. Raises ConfigError.
    """
    from polyhost.configuration.rules import enabled_plugins
    from polyhost.configuration.shipped import SHIPPED_PLUGINS, shipped_class
    from polyhost.extension.building import host_keys, settings_of

    found: dict[str, dict[str, Any]] = {}
    for name in enabled_plugins(loaded.configuration):
        mine, own = host_keys(name, loaded.configuration.plugins[name], str(loaded.path))
        kind = mine.get("use", name)
        if kind in SHIPPED_PLUGINS:
            own = settings_of(shipped_class(kind), name, own, str(loaded.path)).model_dump(mode="json")
        found[name] = own
    return found


def _others(loaded: Loaded) -> dict[str, tuple[str, dict[str, Any]]]:
    """Description and schema of the plugins that run and are not the shipped ones under their own names.

    One that cannot be asked is left out, and the reason told.
    """
    from polyhost.configuration.rules import enabled_plugins
    from polyhost.configuration.shipped import SHIPPED_PLUGINS, shipped_class
    from polyhost.extension.sources import found_sources

    found: dict[str, tuple[str, dict[str, Any]]] = {}
    tables = {name: loaded.configuration.plugins[name] for name in enabled_plugins(loaded.configuration)}
    names = [name for name in tables if name not in SHIPPED_PLUGINS or "use" in tables[name]]
    sources = found_sources(loaded.configuration.plugin_paths, loaded.base) if names else {}
    for name in names:
        use = tables[name].get("use", name)
        if use in SHIPPED_PLUGINS:
            kind = shipped_class(use)
            found[name] = kind.description, kind.Settings.model_json_schema()
            continue
        try:
            found[name] = _looked_at(name, tables[name], sources.get(use, []), _admission(loaded))
        except PolyhostError as error:
            typer.echo(f"note: its settings are not in the schema: {error}", err=True)
    return found


def _looked_at(
    name: str, table: dict[str, Any], sources: list[Source], admit: Callable[[Source], str]
) -> tuple[str, dict[str, Any]]:
    """What a plugin that is not built in says of its settings, in a process of its own."""
    from polyhost.extension.building import host_keys
    from polyhost.extension.process import look

    if len(sources) != 1:
        raise PluginError(f"{len(sources)} are installed or in plugin_paths", plugin=name)
    if problem := admit(sources[0]):
        raise PluginError(problem, plugin=name, origin=sources[0].origin)
    hello = look(name, sources[0], host_keys(name, table)[1], describe=True)
    return hello.description, hello.schema


def effective_settings(loaded: Loaded) -> dict[str, Any]:
    """Every table with every value as TOML can hold it; of plugins that run, all their settings. Secrets are hidden."""
    from polyhost.model.secrecy import shown

    plain: dict[str, Any] = loaded.configuration.model_dump(mode="json")
    for plugin in discovered(loaded, looking=True):
        if plugin.name in plain["plugins"]:
            table = {"enabled": plugin.state != "disabled"} | plain["plugins"][plugin.name]
            plain["plugins"][plugin.name] = table | dict(plugin.settings)
    return {key: shown(key, value) for key, value in plain.items()}


def discovered(loaded: Loaded, looking: bool = False) -> tuple[LoadedPlugin, ...]:
    """The plugins, and all else checked that is checked when a run starts (``looking``: but for secrets, which the
    host may have alone). Raises ConfigError."""
    from polyhost.configuration.shipped import installed
    from polyhost.extension.discovery import discover
    from polyhost.extension.lock import Lock

    if loaded.configuration.exchange.pathologies:
        _check_pathologies(loaded)
    if loaded.configuration.host.database and not looking:
        _check_database(loaded)
    lock = Lock(loaded.configuration.host.data_dir)
    return discover(
        loaded.configuration, loaded.base, str(loaded.path or ""), installed(), places=loaded.place, admit=lock.problem,
        excused=loaded.chosen.union(lock.plugins), looking=looking,
    )


def _admission(loaded: Loaded) -> Callable[[Source], str]:
    """Why code of others may not run, as ``run`` asks it; the lock is read when there is any."""

    def admit(source: Source) -> str:
        from polyhost.extension.lock import Lock

        return Lock(loaded.configuration.host.data_dir).problem(source)

    return admit


def _check_pathologies(loaded: Loaded) -> None:
    from polyhost.service.exchange_pathologies import all_pathologies

    try:
        all_pathologies(loaded.configuration)
    except ConfigError as error:
        error.file = loaded.place(f"exchange.pathologies.{error.value}")
        raise


def _check_database(loaded: Loaded) -> None:
    from polyhost.journal.place import refuse_unusable

    try:
        refuse_unusable(loaded.configuration.host.database)
    except ConfigError as error:
        error.file = loaded.place("host.database")
        raise


def _leaves(table: dict[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{at}{key}.")
        elif at or key != "plugins":
            yield f"{at}{key}", value


def _origin_of(key: str, loaded: Loaded) -> str:
    """The origin of the value, or of a value that it is a part of."""
    parts = key.split(".")
    for length in range(len(parts), 2, -1):
        dotted = ".".join(parts[:length])
        if dotted in loaded.origin:
            return loaded.origin[dotted]
    return loaded.origin_of(key)


def _toml_value(value: Any) -> str:
    """On one line; JSON writes texts, numbers, booleans and lists just as TOML does."""
    return json.dumps(value, ensure_ascii=False)
