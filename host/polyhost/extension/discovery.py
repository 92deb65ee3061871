"""Which plugins run: the configuration's tables in their order, each found, checked and built, or refused by name.

Only what the configuration names is ever imported, and into this process only what is built in or marked ``trusted``.
What talks to processes is imported when it is needed: ``config check`` starts a fifth faster so.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from polyhost.errors import ConfigError, PluginError, nearest_name
from polyhost.extension.building import SecretMissingError, built, host_keys, settings_of
from polyhost.extension.handing import handed_over
from polyhost.extension.setups import Surroundings, refuse_contradictions, surroundings
from polyhost.extension.sources import Source, Sources, found_sources, loaded_class
from polyhost.extension.specification import Bound, deprecations, hooks_of
from polyhost.extension.state import PluginState
from polyhost.model.reading import VENUE_SOURCES, wrong
from polyhost.model.secrecy import shown
from polyhost.plugin import Plugin
from polyhost.secret import secrets_in
from polyhost.settings import VOICES, Configuration

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
    """What a person should know, though it is not refused: deprecated hooks, a secret that is not set here."""
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
    sources: Sources | None = None,
    places: Callable[[str], str] | None = None,
    admit: Admit | None = None,
    excused: Container[str] = (),
    looking: bool = False,
) -> tuple[LoadedPlugin, ...]:
    """Every plugin that the configuration names, in its order, what offers none, and those that could be named.

    ``base`` is where relative ``plugin_paths`` begin, ``file`` the configuration's name for messages, ``points`` the
    entry points (the installed ones by default). ``sources``: what ``found_sources`` gave before, for who starts the
    same plugins again and again; None: looked for now. ``places`` tells where a dotted key was set (file and line, or
    variable), for messages; without it they name ``file``. A plugin that cannot be loaded is ``refused``, the others
    go on; so is one whose name several offer, unless one of them is built in: that one runs, the others are refused.
    ``admit`` says why a plugin that is not built in may not run (empty: it may), before anything of it is imported.
    ``excused``: plugins that were here before; one that is gone is refused and stops nothing, while a name that nobody
    has ever offered is a mistake. ``looking``: nothing is started, so no secret has to be there.
    Raises ConfigError for what the user wrote wrongly.
    """
    try:
        if sources is None:
            sources = found_sources(configuration.plugin_paths, base, points)
        way = _Way(sources, file, deadlines, admit, excused, looking, configuration)
        return _discovered(configuration, way)
    except ConfigError as error:
        if places is not None:
            error.file = places(".".join(part for part in (error.table, error.key) if part))
        raise


@dataclass(frozen=True)
class _Way:
    """How plugins are looked for: see ``discover``."""

    sources: Sources
    file: str = ""
    deadlines: Deadlines | None = None
    admit: Admit | None = None
    excused: Container[str] = ()
    looking: bool = False
    configuration: Configuration = field(default_factory=Configuration)
    """What settings of plugins that are not built in are held against."""

    def around(self) -> Surroundings:
        return surroundings(self.configuration, self.sources)


def _discovered(configuration: Configuration, way: _Way) -> tuple[LoadedPlugin, ...]:
    tables, sources = configuration.plugins, way.sources
    named = _voiceless([_plugin(name, table, way) for name, table in tables.items()], configuration)
    used = {plugin.source.name for plugin in named} | set(tables)
    strays = [_stray(source, several[0]) for several in sources.values() for source in several[1:] if _own(several)]
    nothing = [_nothing(source) for source in sources.broken if source.name not in used]
    others = [several[0] for name, several in sorted(sources.items()) if name not in used]
    rest = [LoadedPlugin(source.name, "available", source) for source in others if not source.problem]
    check_combiner(configuration, named, way.file)
    return (*named, *strays, *nothing, *rest)


def _voiceless(plugins: list[LoadedPlugin], configuration: Configuration) -> list[LoadedPlugin]:
    """The plugins, each signal that the combiner that trades gives no voice with a note: it would trade nothing."""
    combiner = next((each for each in plugins if each.name == configuration.evaluation.combiner and each.runs), None)
    if combiner is None or not combiner.source.built_in:
        return plugins
    name, key = combiner.name, VOICES.get(combiner.source.name, "")
    voices = combiner.settings.get(key)
    if voices is None:
        return plugins
    told = f"{name}, the combiner that trades, gives it no voice: [plugins.{name}.{key}] {{}} = 0.2 does"
    return [
        replace(each, notes=(*each.notes, told.format(each.name)))
        if each.runs and "signal" in each.hooks and each.name not in voices else each
        for each in plugins
    ]


def _own(several: Sequence[Source]) -> bool:
    """Is the name a built-in plugin's? Then it stays so, whatever else offers it."""
    return len(several) > 1 and several[0].built_in and not several[1].built_in


def _stray(source: Source, own: Source) -> LoadedPlugin:
    """What offers the name of a built-in plugin: refused under the name of its file or distribution."""
    error = PluginError(
        f"offers the name of the built-in plugin {own.name!r}, which runs", plugin=source.name, origin=source.origin,
        remedy="give it a name of its own, or uninstall it; a built-in plugin is replaced by switching it off",
    )
    return LoadedPlugin(source.origin, "refused", source, problem=str(error))


def _nothing(source: Source) -> LoadedPlugin:
    """A path or a file that offers no plugin: refused under its path."""
    problem = source.problem if not source.name else f"{source.path}: {source.problem}; mend it, or take it away"
    return LoadedPlugin(source.path, "refused", source, problem=problem)


def discover_one(
    name: str, configuration: Configuration, base: Path = Path(), file: str = "", deadlines: Deadlines | None = None,
    admit: Admit | None = None, excused: Container[str] = (), looking: bool = False,
) -> LoadedPlugin:
    """One plugin of a configuration, found, checked and built; or ``disabled``, or ``refused`` with its problem.

    Raises as ``discover`` does.
    """
    sources = found_sources(configuration.plugin_paths, base)
    way = _Way(sources, file, deadlines, admit, excused, looking, configuration)
    return _plugin(name, configuration.plugins[name], way)


def look_up(
    name: str, configuration: Configuration, base: Path = Path(), admit: Admit | None = None,
    excused: Container[str] = (),
) -> LoadedPlugin:
    """As ``discover_one`` when nothing is started, also of a plugin that could be named and is not (``available``)."""
    if name in configuration.plugins:
        return discover_one(name, configuration, base, admit=admit, excused=excused, looking=True)
    return LoadedPlugin(name, "available", look_up_source(name, configuration, base))


def look_up_source(name: str, configuration: Configuration, base: Path = Path()) -> Source:
    """Where a plugin's code is; nothing of it is imported. Raises ConfigError when there is none of this name."""
    use = configuration.plugins.get(name, {}).get("use", "")
    return _sources_of(name, str(use), _Way(found_sources(configuration.plugin_paths, base)))[0]


def tell_of(plugins: Iterable[LoadedPlugin]) -> None:
    """Write to the log which plugins do not run and why, and what else a person should know of them."""
    from loguru import logger

    for plugin in plugins:
        if plugin.state == "refused":
            logger.error("plugin {} does not run: {}", plugin.name, plugin.problem)
        for note in plugin.notes:
            logger.warning("plugin {} ({}): {}", plugin.name, plugin.origin, note)


def placed(plugins: Sequence[LoadedPlugin], plugin: LoadedPlugin, order: Sequence[str]) -> tuple[LoadedPlugin, ...]:
    """The plugins with this one in its place: where it was, or behind the last of those before it in ``order``."""
    if any(other.name == plugin.name for other in plugins):
        return tuple(plugin if other.name == plugin.name else other for other in plugins)
    before = set(order[: order.index(plugin.name)])
    at = max((index + 1 for index, other in enumerate(plugins) if other.name in before), default=0)
    return (*plugins[:at], plugin, *plugins[at:])


def _plugin(name: str, table: Mapping[str, Any], way: _Way) -> LoadedPlugin:
    mine, own = host_keys(name, table, way.file)
    several = _sources_of(name, mine.get("use", ""), way)
    source, trusted = several[0], bool(mine.get("trusted", False))
    inline = source.built_in or trusted
    plugin = LoadedPlugin(name, "inline" if inline else "process", source, trusted, table=own)
    if not mine.get("enabled", True):
        return replace(plugin, state="disabled")
    try:
        _refuse_several(source.name, several)
        if not source.module:
            remedy = f"bring it back, or `polyhost plugins disable {name}`"
            raise PluginError(source.problem, plugin=name, remedy=remedy)
        if not source.built_in:
            plugin = replace(plugin, fingerprint=source.fingerprint())
            _refuse_unaccepted(name, source, way.admit)
        made = _inline(plugin, way) if inline else _foreign(plugin, way)
    except PluginError as error:
        problem = str(error)
        if source.file and source.file not in problem:
            problem += f" (file {source.file})"
        return replace(plugin, state="refused", problem=problem)
    return replace(made, notes=(*made.notes, *deprecations(made.hooks)))


def _refuse_several(name: str, several: Sequence[Source]) -> None:
    if len(several) > 1 and not _own(several):
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


def _sources_of(name: str, use: str, way: _Way) -> list[Source]:
    """All that offer a plugin of this name, the built-in one first. Raises ConfigError when there never was one."""
    wanted = use or name
    several = way.sources.get(wanted, [])
    if several:
        return several
    if way.sources.broken or name in way.excused or wanted in way.excused:
        return [_gone(wanted, way.sources)]
    raise ConfigError(
        "there is no plugin of this name",
        file=way.file,
        table=f"plugins.{name}",
        key="use" if use else "",
        value=shown("use", wanted),
        allowed=sorted(way.sources),
        nearest=nearest_name(wanted, way.sources),
        remedy="install it, name its file in plugin_paths, or take it out of the configuration",
    )


def _gone(wanted: str, sources: Sources) -> Source:
    """A plugin that cannot be found now, though it was here, or may lie where nothing can be read."""
    places = "; ".join(source.problem for source in sources.broken)
    return Source(wanted, "", "", problem=f"nothing offers this plugin any more{f' ({places})' if places else ''}")


def _inline(plugin: LoadedPlugin, way: _Way) -> LoadedPlugin:
    try:
        made = built(plugin.source, plugin.name, plugin.table, way.file)
    except SecretMissingError as error:
        if not way.looking:
            raise
        return _looked_at(plugin, error)
    if not plugin.source.built_in:
        refuse_contradictions(made.instance.settings, plugin.name, way.around(), way.file)
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


def _looked_at(plugin: LoadedPlugin, error: SecretMissingError) -> LoadedPlugin:
    """A plugin that cannot be built for want of a secret, as far as its class tells of it."""
    kind = loaded_class(plugin.source)
    settings = settings_of(kind, plugin.name, plugin.table).model_dump(mode="json")
    hooks = tuple(hooks_of(kind))
    return replace(
        plugin, hooks=hooks, settings=settings, description=kind.description, notes=(_not_here(error.problem),)
    )


def _not_here(problem: str) -> str:
    return f"secret not set here: {problem}; the host needs it when it starts"


def _foreign(plugin: LoadedPlugin, way: _Way) -> LoadedPlugin:
    from polyhost.extension.process import Deadlines, look

    if way.looking:
        missing = [told.problem for told in handed_over(plugin.table).values() if told.problem]
        if missing:
            return replace(plugin, settings=plugin.table, notes=tuple(_not_here(problem) for problem in missing))
    try:
        hello = look(
            plugin.name, plugin.source, plugin.table, way.deadlines or Deadlines(), around=way.around()
        )
    except ConfigError as error:
        error.file = error.file or way.file
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
