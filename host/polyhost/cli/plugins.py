"""``polyhost plugins list``: every plugin that is named or could be, its state, hooks and settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from polyhost.cli.options import AccountName, ConfigFile, DataDir, Json, Sets, command_app, in_folder, print_json
from polyhost.cli.plugin_words import add_words
from polyhost.cli.plugins_check import add_check
from polyhost.cli.plugins_new import add_new

if TYPE_CHECKING:
    from polyhost.extension.discovery import LoadedPlugin

app = command_app("The plugins: list, info, enable, disable, set, release, accept, check, new.")


@app.callback()
def plugins() -> None:
    """The plugins: list, info, enable, disable, set, release, accept, check, new."""


@app.command("list")
def list_plugins(
    config: ConfigFile = None, data_dir: DataDir = None, account: AccountName = "", sets: Sets = None,
    as_json: Json = False,
) -> None:
    """List the plugins in order of precedence: state, hooks, version, origin."""
    from polyhost.extension.discovery import discover
    from polyhost.extension.lock import Lock
    from polyhost.model.secrecy import shown

    loaded = in_folder(config, data_dir, account, sets=sets)
    lock = Lock(loaded.configuration.host.data_dir)
    found = discover(
        loaded.configuration, loaded.base, str(loaded.path or ""), places=loaded.place, admit=lock.problem,
        excused=loaded.chosen.union(lock.plugins), looking=True,
    )
    rows = [plugin.described() | known(plugin) for plugin in found]
    rows = [row | {"settings": shown("settings", row["settings"])} for row in rows]
    lived(Path(loaded.configuration.host.data_dir), rows)
    if as_json:
        print_json({"plugins": rows, "notes": loaded.told()})
        return
    for line in [*table_lines(rows), *(f"note: {line}" for line in loaded.told())]:
        typer.echo(line)


def known(plugin: LoadedPlugin) -> dict[str, Any]:
    """What the class of a built-in plugin says of itself, whether or not it runs; of others nothing is imported."""
    from polyhost.configuration.options import options_of
    from polyhost.extension.sources import loaded_class
    from polyhost.extension.specification import hooks_of

    if not plugin.source.built_in:
        return {"options": []}
    kind = loaded_class(plugin.source)
    return {"description": kind.description, "hooks": hooks_of(kind), "options": options_of(kind.Settings)}


def table_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Columns as wide as their widest cell, a heading above; why a plugin is refused, and what else is to be known of
    it, stands below its line."""
    heading = ("name", "state", "strikes", "time used", "hooks", "version", "origin")
    cells = [
        heading,
        *((r["name"], r["state"], *used(r), ", ".join(r["hooks"]), r["version"], r["origin"]) for r in rows),
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heading))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    for index in range(len(rows), 0, -1):
        row = rows[index - 1]
        lines[index + 1 : index + 1] = [f"  {text}" for text in (row["problem"], *row["notes"]) if text]
    return lines


def used(row: dict[str, Any]) -> tuple[str, str]:
    """Strikes and time used as the host told them; dashes for a plugin that no host has asked yet."""
    if row.get("strikes") is None:
        return "-", "-"
    asked = row["asked"]
    time_used = f"{row['used_us'] / asked:.0f} us x {asked:,}" if asked else "-"
    return str(row["strikes"]), time_used


def lived(folder: Path, rows: list[dict[str, Any]]) -> str:
    """Add what the running host says of each plugin, or the last one said; whose word it is.

    Of a host that runs the state is taken, too; without one a quarantine is, from the journal.
    """
    from polyhost.service.plugin_figures import figures_of

    figures = figures_of(folder)
    for row in rows:
        told = figures.of(row["name"])
        row |= {key: told.get(key) for key in ("strikes", "asked", "used_us", "slowest_us")}
        if told.get("state"):
            row["state"] = told["state"]
            # Its file may be another one by now; the host asks the plugin that it started.
            row["hooks"] = row["hooks"] or list(told.get("hooks", ()))
        if told.get("problem") and not row["problem"]:
            row["problem"] = told["problem"]
    return figures.by


add_words(app)
add_check(app)
add_new(app)
