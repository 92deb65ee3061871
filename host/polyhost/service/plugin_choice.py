"""A choice about one plugin: tried out on the whole configuration before anything is written (PLG-03).

Used by the running host and, where none runs, by the command line: both say the same and refuse the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyhost.configuration import Loaded
from polyhost.configuration.choices import Change, choices_of, choose, imagined
from polyhost.errors import ConfigError, PluginError, nearest_name
from polyhost.extension.discovery import LoadedPlugin, check_combiner, discover, discover_one
from polyhost.extension.lock import Lock
from polyhost.model.secrecy import shown


@dataclass(frozen=True)
class Trial:
    """What a choice would come to; nothing of it is written yet."""

    name: str
    enabled: bool | None
    settings: Mapping[str, Any]
    loaded: Loaded
    """The configuration with it."""
    plugin: LoadedPlugin
    """The plugin as it would be: built, or looked at in a process of its own."""

    def write(self) -> tuple[Change, ...]:
        """Write it down; what is another value now. Raises ConfigError or OSError."""
        return choose(self.loaded.configuration.host.data_dir, self.name, self.enabled, self.settings)

    @property
    def table(self) -> str:
        """The plugin's table from then on, as the journal keeps it."""
        return table_text(self.loaded, self.name)

    def notes(self) -> list[str]:
        """Where a person says something else about this plugin, and who holds."""
        return [str(each) for each in self.loaded.disagreements if each.plugin == self.name]


def tried(
    loaded: Loaded, name: str, enabled: bool | None = None, settings: Mapping[str, Any] | None = None
) -> Trial:
    """Raises ConfigError or PluginError when the configuration would not stand, or the plugin would not run."""
    wanted = dict(settings or {})
    choices = choices_of(Path(loaded.configuration.host.data_dir))
    try:
        after = loaded.again(imagined(choices, name, enabled, wanted))
        # Read anew each time: a command may have accepted something meanwhile.
        lock = Lock(after.configuration.host.data_dir)
        # One that is gone can still be switched off; a name that nobody ever offered is a mistake.
        known = loaded.configuration.plugins
        plugin = discover_one(name, after.configuration, after.base, admit=lock.problem, excused=known)
    except ConfigError as error:
        if error.table == f"plugins.{name}":
            error.file = ""  # it stands in no file yet
        raise
    if not plugin.source.module and name not in known:
        # Elsewhere a name may be one in a file that cannot be read; who switches something off means what is there.
        near = nearest_name(name, known)
        raise PluginError(
            "there is no plugin of this name", plugin=name,
            remedy=f"did you mean {near!r}?" if near else "`polyhost plugins list` tells the names",
        )
    if enabled and plugin.state == "disabled":
        _refuse_against_person(after, name)
    if plugin.state == "refused":
        raise PluginError(f"would not run: {plugin.problem}", plugin=name)
    return Trial(name, enabled, wanted, after, plugin)


def refuse_missing_combiner(trial: Trial, plugins: Sequence[LoadedPlugin]) -> None:
    """``plugins``: all that would run. Raises ConfigError when the combiner that trades would not be among them."""
    wanted = trial.loaded.configuration.evaluation.combiner
    if trial.name == wanted and not any(plugin.name == wanted and plugin.runs for plugin in plugins):
        raise ConfigError(
            "is the combiner that trades", table="evaluation", key="combiner", value=wanted,
            remedy="name another one in [evaluation] combiner first",
        )
    check_combiner(trial.loaded.configuration, plugins, "")


def table_text(loaded: Loaded, name: str) -> str:
    """A plugin's table of the configuration as JSON, without secrets; empty: it is not named."""
    table = loaded.configuration.plugins.get(name)
    return "" if table is None else json.dumps(shown("settings", dict(table)), sort_keys=True, ensure_ascii=False)


def _refuse_against_person(after: Loaded, name: str) -> None:
    place = after.place(f"plugins.{name}.enabled")
    raise ConfigError(
        "a person switched it off, and that always wins", table=f"plugins.{name}", key="enabled", file=place,
        remedy=f"take `enabled = false` out of {place.partition(':')[0] or 'your file'} first",
    )


def chosen(loaded: Loaded, name: str, enabled: bool | None, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Try a choice and write it down, where no host runs that could; what a command says of it.

    Raises ConfigError or PluginError, and nothing is written then.
    """
    trial = tried(loaded, name, enabled, settings)
    if "combine" in trial.plugin.hooks or name == loaded.configuration.evaluation.combiner:
        after = trial.loaded
        known = after.configuration.plugins
        found = discover(after.configuration, after.base, str(after.path or ""), excused=known, looking=True)
        refuse_missing_combiner(trial, found)
    changes = trial.write()
    return {
        "plugin": name, "state": trial.plugin.state, "changes": [str(change) for change in changes],
        "notes": trial.notes(), "changed": bool(changes),
    }
