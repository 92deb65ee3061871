"""Which plugins run: the configuration's tables in their order, each found, checked and built, or refused by name.

Only what the configuration names is ever imported, and into this process only what is built in or marked ``trusted``.
The log and what talks to processes are imported when they are needed: ``config check`` starts a fifth faster so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from polyhost.errors import ConfigError, PluginError, nearest_name
from polyhost.extension.building import built, host_keys
from polyhost.extension.handing import handed_over
from polyhost.extension.sources import Source, found_sources
from polyhost.extension.specification import Bound, deprecations
from polyhost.extension.state import PluginState
from polyhost.model.reading import VENUE_SOURCES, wrong
from polyhost.model.secrecy import shown
from polyhost.plugin import Plugin
from polyhost.secret import secrets_in
from polyhost.settings import Configuration

if TYPE_CHECKING:
    from polyhost.extension.process import Deadlines


Admit: TypeAlias = Callable[[Source], str]
"""Why a plugin that is not built in may not run; empty: it may."""


@dataclass(frozen=True)
class LoadedPlugin:
    """One plugin as it was found. ``state``: inline, process, disabled, available (not named), refused."""

    name: str
    """Its table's name: what signals, records and logs call it."""
    state: str
    source: Source
    trusted: bool = False
    hooks: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    table: Mapping[str, Any] = field(default_factory=dict)
    """Its own settings as the configuration gives them."""
    timer_s: float | None = None
    description: str = ""
    problem: str = ""
    """Why it was refused."""
    notes: tuple[str, ...] = ()
    """What its author should know: deprecated hooks."""
    fingerprint: str = ""
    """SHA-256 of its file, or over those of its files, for plugins that are not built in."""
    instance: Plugin | None = None
    """None for a plugin that runs in a process of its own, or not at all."""
    bound: Mapping[str, Bound] = field(default_factory=dict)
    durable: PluginState | None = None
    references: tuple[str, ...] = ()
    """Of a plugin in a process of its own: where its secrets are kept."""
    channels: tuple[str, ...] = ("",)
    """Of a notify plugin: its ways to tell; each is served by itself."""

    @property
    def origin(self) -> str:
        return "built in" if self.source.built_in else self.source.origin

    @property
    def version(self) -> str:
        return self.source.version

    @property
    def runs(self) -> bool:
        return self.state in ("inline", "process")

    def secrets(self) -> list[str]:
        """What no log may ever show: the secrets that its settings name."""
        if self.references:
            handed = handed_over(self.table)
            return [handed[name].value for name in self.references if name in handed]
        settings = None if self.instance is None else self.instance.settings
        return [secret.reveal() for _, secret in secrets_in(settings)]

    def described(self) -> dict[str, Any]:
        """For ``plugins list``: plain data."""
        return {
            "name": self.name,
            "use": self.source.name,
            "version": self.version,
            "origin": self.origin,
            "state": self.state,
            "trusted": self.trusted,
            "hooks": list(self.hooks),
            "settings": dict(self.settings),
            "description": self.description,
            "problem": self.problem,
            "notes": list(self.notes),
            "fingerprint": self.fingerprint,
        }


def discover(
    configuration: Configuration,
    base: Path = Path(),
    file: str = "",
    points: Iterable[EntryPoint] | None = None,
    deadlines: Deadlines | None = None,
    sources: Mapping[str, list[Source]] | None = None,
    places: Callable[[str], str] | None = None,
    admit: Admit | None = None,
) -> tuple[LoadedPlugin, ...]:
    """Every plugin that the configuration names, in its order, then those that could be named.

    ``base`` is where relative ``plugin_paths`` begin, ``file`` the configuration's name for messages, ``points`` the
    entry points (the installed ones by default). ``sources``: what ``found_sources`` gave before, for who starts the
    same plugins again and again; None: looked for now. ``places`` tells where a dotted key was set (file and line, or
    variable), for messages; without it they name ``file``. A plugin that cannot be loaded is ``refused``, the others
    go on; so is one whose name several offer. ``admit`` says why a plugin that is not built in may not run (empty: it
    may), before anything of it is imported. Raises ConfigError for what the user wrote wrongly.
    """
    try:
        return _discovered(configuration, base, file, points, deadlines, sources, admit)
    except ConfigError as error:
        if places is not None:
            error.file = places(".".join(part for part in (error.table, error.key) if part))
        raise


def _discovered(
    configuration: Configuration, base: Path, file: str, points: Iterable[EntryPoint] | None,
    deadlines: Deadlines | None, sources: Mapping[str, list[Source]] | None, admit: Admit | None,
) -> tuple[LoadedPlugin, ...]:
    if sources is None:
        sources = found_sources(configuration.plugin_paths, base, points)
    tables = configuration.plugins
    named = [_plugin(name, table, sources, file, deadlines, admit) for name, table in tables.items()]
    used = {plugin.source.name for plugin in named} | set(tables)
    others = [several[0] for name, several in sorted(sources.items()) if name not in used]
    rest = [LoadedPlugin(source.name, "available", source) for source in others]
    check_combiner(configuration, named, file)
    return (*named, *rest)


def discover_one(
    name: str, configuration: Configuration, base: Path = Path(), file: str = "", deadlines: Deadlines | None = None,
    admit: Admit | None = None,
) -> LoadedPlugin:
    """One plugin of a configuration, found, checked and built; or ``disabled``, or ``refused`` with its problem.

    Raises as ``discover`` does.
    """
    sources = found_sources(configuration.plugin_paths, base)
    return _plugin(name, configuration.plugins[name], sources, file, deadlines, admit)


def look_up(
    name: str, configuration: Configuration, base: Path = Path(), admit: Admit | None = None
) -> LoadedPlugin:
    """As ``discover_one``, also of a plugin that could be named and is not (``available``)."""
    if name in configuration.plugins:
        return discover_one(name, configuration, base, admit=admit)
    return LoadedPlugin(name, "available", look_up_source(name, configuration, base))


def look_up_source(name: str, configuration: Configuration, base: Path = Path()) -> Source:
    """Where a plugin's code is; nothing of it is imported. Raises ConfigError when there is none of this name."""
    use = configuration.plugins.get(name, {}).get("use", "")
    return _sources_of(name, str(use), found_sources(configuration.plugin_paths, base), "")[0]


def placed(plugins: Sequence[LoadedPlugin], plugin: LoadedPlugin, order: Sequence[str]) -> tuple[LoadedPlugin, ...]:
    """The plugins with this one in its place: where it was, or behind the last of those before it in ``order``."""
    if any(other.name == plugin.name for other in plugins):
        return tuple(plugin if other.name == plugin.name else other for other in plugins)
    before = set(order[: order.index(plugin.name)])
    at = max((index + 1 for index, other in enumerate(plugins) if other.name in before), default=0)
    return (*plugins[:at], plugin, *plugins[at:])


def _plugin(
    name: str, table: Mapping[str, Any], sources: Mapping[str, list[Source]], file: str,
    deadlines: Deadlines | None, admit: Admit | None,
) -> LoadedPlugin:
    mine, own = host_keys(name, table, file)
    several = _sources_of(name, mine.get("use", ""), sources, file)
    source, trusted = several[0], bool(mine.get("trusted", False))
    inline = source.built_in or trusted
    plugin = LoadedPlugin(name, "inline" if inline else "process", source, trusted, table=own)
    if not mine.get("enabled", True):
        return replace(plugin, state="disabled")
    try:
        _refuse_several(source.name, several)
        if not source.built_in:
            plugin = replace(plugin, fingerprint=source.fingerprint())
            _refuse_unaccepted(name, source, admit)
        made = _inline(plugin, file) if inline else _foreign(plugin, file, deadlines)
    except PluginError as error:
        from loguru import logger

        problem = str(error)
        if source.file and source.file not in problem:
            problem += f" (file {source.file})"
        logger.error("plugin {} is refused: {}", name, problem)
        return replace(plugin, state="refused", problem=problem)
    return _warned(made)


def _warned(plugin: LoadedPlugin) -> LoadedPlugin:
    notes = deprecations(plugin.hooks)
    if notes:
        from loguru import logger

        for note in notes:
            logger.warning("plugin {} ({}): {}", plugin.name, plugin.origin, note)
    return replace(plugin, notes=notes)


def _refuse_several(name: str, several: Sequence[Source]) -> None:
    if len(several) > 1:
        offers = ", ".join(f"{one.origin} in {one.file}" if one.origin != one.file else one.file for one in several)
        raise PluginError(
            f"several offer this name: {offers}", plugin=name, remedy="uninstall or rename all but one of them"
        )


def _refuse_unaccepted(name: str, source: Source, admit: Admit | None) -> None:
    problem = "" if admit is None else admit(source)
    if problem:
        raise PluginError(
            problem, plugin=name, origin=source.origin,
            remedy=f"look at what changed, then `polyhost plugins accept {name}`",
        )


def _sources_of(name: str, use: str, sources: Mapping[str, list[Source]], file: str) -> list[Source]:
    """All that offer a plugin of this name. Raises ConfigError when there is none."""
    wanted = use or name
    several = sources.get(wanted, [])
    if not several:
        raise ConfigError(
            "there is no plugin of this name",
            file=file,
            table=f"plugins.{name}",
            key="use" if use else "",
            value=shown("use", wanted),
            allowed=sorted(sources),
            nearest=nearest_name(wanted, sources),
            remedy="install it, name its file in plugin_paths, or take it out of the configuration",
        )
    return several


def _inline(plugin: LoadedPlugin, file: str) -> LoadedPlugin:
    made = built(plugin.source, plugin.name, plugin.table, file)
    _check_feeds(plugin, made.hooks)
    return replace(
        plugin,
        hooks=tuple(made.hooks),
        settings=made.settings,
        timer_s=made.instance.timer_s,
        description=made.instance.description,
        instance=made.instance,
        bound=made.hooks,
        durable=made.state,
        channels=made.channels,
    )


def _foreign(plugin: LoadedPlugin, file: str, deadlines: Deadlines | None) -> LoadedPlugin:
    from polyhost.extension.process import Deadlines, look

    try:
        hello = look(plugin.name, plugin.source, plugin.table, deadlines or Deadlines())
    except ConfigError as error:
        error.file = error.file or file
        raise
    _check_feeds(plugin, hello.hooks)
    return replace(
        plugin,
        hooks=hello.hooks,
        settings=hello.settings,
        timer_s=hello.timer_s,
        description=hello.description,
        references=hello.secrets,
        channels=hello.channels,
    )


def _check_feeds(plugin: LoadedPlugin, hooks: Iterable[str]) -> None:
    """A plugin with feeds gives them its name: it must be none of the venue's, and fit on a tape."""
    if "feeds" in hooks and (plugin.name in VENUE_SOURCES or wrong(plugin.name, 0, 0)):
        raise PluginError(
            "its name cannot be that of a feed", plugin=plugin.name, hook="feeds", origin=plugin.origin,
            remedy=f"name its table otherwise: [plugins.my_feed] use = {plugin.source.name!r}",
        )


def check_combiner(configuration: Configuration, plugins: Iterable[LoadedPlugin], file: str) -> None:
    """The combiner that trades must be one of those that run; without any combiner nobody has an estimate."""
    wanted = configuration.evaluation.combiner
    combiners = [plugin.name for plugin in plugins if plugin.runs and "combine" in plugin.hooks]
    if combiners and wanted not in combiners:
        raise ConfigError(
            "no such combiner runs",
            file=file,
            table="evaluation",
            key="combiner",
            value=shown("use", wanted),
            allowed=combiners,
            nearest=nearest_name(wanted, combiners),
        )
