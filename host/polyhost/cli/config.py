"""``polyhost config check`` and ``config show``: what the host would run with, and where each value came from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyhost.cli.options import ConfigFile, Json, Sets, command_app, configured, print_json
from polyhost.errors import ConfigError

if TYPE_CHECKING:
    from polyhost.configuration import Loaded
    from polyhost.extension.discovery import LoadedPlugin

app = command_app("The configuration: check it, show it.")


@app.callback()
def config() -> None:
    """The configuration: check it, show it."""


@app.command()
def check(config: ConfigFile = None, sets: Sets = None, as_json: Json = False) -> None:
    """Check the configuration and every plugin it names. Exit code 1: a plugin is refused; 2: a setting is wrong."""
    try:
        loaded = configured(config, sets=sets)
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
    sets: Sets = None,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value came from.")] = False,
    as_json: Json = False,
) -> None:
    """Show the effective configuration, the plugins' settings included, as TOML."""
    loaded = configured(config, sets=sets)
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


def effective_settings(loaded: Loaded) -> dict[str, Any]:
    """Every table with every value as TOML can hold it; of plugins that run, all their settings. Secrets are hidden."""
    from polyhost.model.secrecy import shown

    plain: dict[str, Any] = loaded.configuration.model_dump(mode="json")
    for plugin in discovered(loaded):
        if plugin.name in plain["plugins"]:
            table = {"enabled": plugin.state != "disabled"} | plain["plugins"][plugin.name]
            plain["plugins"][plugin.name] = table | dict(plugin.settings)
    return {key: shown(key, value) for key, value in plain.items()}


def discovered(loaded: Loaded) -> tuple[LoadedPlugin, ...]:
    """The plugins, and all else checked that is checked when a run starts. Raises ConfigError."""
    from polyhost.extension.discovery import discover

    if loaded.configuration.exchange.pathologies:
        _check_pathologies(loaded)
    return discover(loaded.configuration, loaded.base, str(loaded.path or ""), places=loaded.place)


def _check_pathologies(loaded: Loaded) -> None:
    from polyhost.service.exchange_settings import all_pathologies

    try:
        all_pathologies(loaded.configuration)
    except ConfigError as error:
        error.file = loaded.place(f"exchange.pathologies.{error.value}")
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
