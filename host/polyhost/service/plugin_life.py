"""Plugins of a running host: switched on and off, set up anew and let in again without a restart (PLG-03, OPS-08).

A change is tried out on the whole configuration first, then written down as a choice of the machine's, then done
between two evaluations; the kernel journals it with who and why. Changes are made one after the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, Literal, TypeAlias

import msgspec
from loguru import logger

from polyhost.configuration import Loaded
from polyhost.configuration.names import checked_name
from polyhost.errors import PluginError, PolyhostError, nearest_name
from polyhost.extension.delivery import channels_of
from polyhost.extension.discovery import LoadedPlugin, placed
from polyhost.extension.lock import LOCK_FILE, Lock
from polyhost.model.events import Operator, PluginChanged, PluginTold
from polyhost.model.proposals import Notice
from polyhost.service.control import Word
from polyhost.service.control_client import RefusedError, Request
from polyhost.service.control_words import arguments, durable, refuse_ended
from polyhost.service.engine import Engine
from polyhost.service.logs import REDACTOR
from polyhost.service.plugin_choice import Trial, refuse_missing_combiner, table_text, tried

FeedsChanged: TypeAlias = Callable[[LoadedPlugin | None, LoadedPlugin | None], Awaitable[None]]
CHANGES: Final = ("enable", "disable", "set", "release", "accept")
"""Words about one plugin; by file, too: ``target`` is its name."""


class PluginLife:
    """The plugins of one run and what becomes of them."""

    def __init__(
        self, loaded: Loaded, plugins: Iterable[LoadedPlugin], engine: Engine, feeds: FeedsChanged
    ) -> None:
        """``feeds`` ends the feeds of the first plugin and begins those of the second."""
        self._loaded = loaded
        self._data_dir = loaded.configuration.host.data_dir
        self._engine = engine
        self._runner = engine.runner
        self._feeds = feeds
        self._plugins = tuple(plugins)
        self._changing = asyncio.Lock()

    # --- questions ----------------------------------------------------------------------------------------------------

    def rows(self) -> list[dict[str, Any]]:
        """Every plugin's state, strikes and time used, in order of precedence."""
        return [msgspec.to_builtins(status) for status in self._runner.status()]

    def row(self, name: str) -> dict[str, Any]:
        """One plugin, as discovery and this run know it. Raises PluginError for a name that is not there."""
        plugin = self._of(name)
        return plugin.described() | next(row for row in self.rows() if row["name"] == name)

    def _of(self, name: str) -> LoadedPlugin:
        found = self._find(name)
        if found is None:
            near = nearest_name(name, [plugin.name for plugin in self._plugins])
            raise PluginError(
                "there is no plugin of this name", plugin=name, remedy=f"did you mean {near!r}?" if near else ""
            )
        return found

    def _find(self, name: str) -> LoadedPlugin | None:
        return next((plugin for plugin in self._plugins if plugin.name == name), None)

    # --- changes ------------------------------------------------------------------------------------------------------

    async def choose(
        self, name: str, enabled: bool | None, settings: Mapping[str, Any], who: str, why: str, *,
        accepted: bool = False,
    ) -> dict[str, Any]:
        """Switch a plugin, set it up, or both. Raises ConfigError or PluginError, and nothing has changed then."""
        async with self._changing:
            refuse_ended(self._engine)
            trial = await asyncio.to_thread(tried, self._loaded, name, enabled, settings)
            after = placed(self._plugins, trial.plugin, tuple(trial.loaded.configuration.plugins))
            refuse_missing_combiner(trial, after)
            was = table_text(self._loaded, name)
            if self._stands(trial, was):
                changes = [str(change) for change in await asyncio.to_thread(trial.write)]
                return self._answer(trial, changes) | {"changed": False}
            begun = await self._runner.begun(trial.plugin, self._kept(name)) if trial.plugin.runs else []
            try:
                changes = [str(change) for change in await asyncio.to_thread(trial.write)]
            except BaseException:
                for foreign in begun:
                    foreign.kill()
                raise
            new = await asyncio.to_thread(lambda: take_new(Lock(self._data_dir), [trial.plugin]))
            REDACTOR.add(*trial.plugin.secrets())
            old = self._find(name)
            change = "accepted" if accepted else "set" if trial.plugin.runs and old is not None and old.runs else (
                "enabled" if trial.plugin.runs else "disabled"
            )
            self._loaded = trial.loaded
            await self._seat(after, begun, partial(
                PluginChanged, name, change, who, why, was=was, table=trial.table, version=trial.plugin.version
            ))
            await self._feeds(old, trial.plugin)
            answer = self._answer(trial, changes)
            answer["notes"] += [_first_seen(plugin) for plugin in new]
            return answer | {"changed": True} | await self._durable()

    def _stands(self, trial: Trial, was: str) -> bool:
        """The host runs this very plugin already, or knows that it does not run."""
        old = self._find(trial.name)
        return (
            old is not None and old.state == trial.plugin.state and was == trial.table
            and (old.fingerprint, old.version) == (trial.plugin.fingerprint, trial.plugin.version)
        )

    async def _seat(
        self, plugins: tuple[LoadedPlugin, ...], begun: list[Any], event: Callable[..., PluginChanged]
    ) -> None:
        """Put the new set in place between two evaluations; the kernel hears of it at the same moment."""
        engine, runner = self._engine, self._runner
        changed = next(new for new in plugins if all(new is not old for old in self._plugins))
        async with runner.quiet():
            for told in await runner.stopped(changed.name):
                engine.event(told)
            gone = runner.seat(plugins, begun)
            runner.load_state(changed.name, self._kept(changed.name))
            self._plugins = plugins
            engine.event(event(told_hooks=tuple(sorted(told_hooks(plugins))), channels=channels_of(plugins)))
        for process in gone:
            await process.closed()
        for told in await runner.started(changed.name):
            engine.event(told)

    async def accept(self, name: str, who: str, why: str) -> dict[str, Any]:
        """Take a plugin's code as it is now, and run it if the configuration says so. Raises ConfigError, PluginError.
        """
        source = self._of(name).source
        accepted = await asyncio.to_thread(lambda: Lock(self._data_dir).accept([source]))
        answer = {"accepted": bool(accepted)} | await self.choose(name, None, {}, who, why, accepted=True)
        for other in [plugin.name for plugin in self._plugins if plugin.source.name == source.name]:
            if other != name:
                # The same code under another name: it, too, would go on with the old one.
                answer["notes"] += await self._accepted_also(other, who, why)
        return answer

    async def _accepted_also(self, name: str, who: str, why: str) -> list[str]:
        """What is to be said of another plugin of the same class."""
        try:
            answer = await self.choose(name, None, {}, who, why, accepted=True)
        except PolyhostError as error:
            return [f"{name}, of the same class, goes on as it was: {error}"]
        return [f"{name}, of the same class, too"] if answer["changed"] else []

    async def release(self, name: str, who: str, why: str) -> dict[str, Any]:
        """Let a quarantined plugin in again, from its durable state. Raises PluginError when it does not run."""
        async with self._changing:
            refuse_ended(self._engine)
            plugin = self._of(name)
            out = self._runner.quarantined(name) or name in self._engine.kernel.state.quarantined
            if not plugin.runs and not out:
                raise PluginError(f"is {plugin.state}, and not quarantined", plugin=name)
            if not out:
                return {"plugin": name, "state": self.row(name)["state"], "changed": False}
            async with self._runner.quiet():
                if plugin.runs:
                    self._runner.load_state(name, self._kept(name))
                    self._runner.let_in(name)
                self._engine.event(PluginChanged(
                    name, "released", who, why, tuple(sorted(told_hooks(self._plugins))), channels_of(self._plugins),
                    version=plugin.version,
                ))
            return {"plugin": name, "state": self.row(name)["state"], "changed": True} | await self._durable()

    async def by_file(self, word: Operator) -> None:
        """A word that came as a file: what is to be chosen is written already. Nobody waits for an answer."""
        if word.done:
            self._note(word)
            return
        try:
            if word.word == "release":
                await self.release(word.target, word.who, word.why)
            elif word.word == "accept":
                await self.accept(word.target, word.who, word.why)
            else:
                enabled = {"enable": True, "disable": False}.get(word.word)
                await self.choose(word.target, enabled, {}, word.who, word.why)
        except PolyhostError as error:
            logger.error("{} {} (by {}) is refused: {}", word.word, word.target, word.who, error)

    def _note(self, word: Operator) -> None:
        """Journal what a command did while no host ran; this run began with it."""
        change = {"enable": "enabled", "disable": "disabled", "accept": "accepted"}.get(word.word, word.word)
        table = table_text(self._loaded, word.target)
        plugin = self._find(word.target)
        self._engine.event(PluginChanged(
            word.target, change, word.who, word.why, tuple(sorted(told_hooks(self._plugins))),
            channels_of(self._plugins), was=table, table=table, version="" if plugin is None else plugin.version,
        ))

    def _kept(self, name: str) -> Mapping[str, str]:
        """The plugin's durable state, as it is now."""
        return self._engine.kernel.state.plugin_state.get(name, {})

    def _answer(self, trial: Trial, changes: list[str]) -> dict[str, Any]:
        return {
            "plugin": trial.name, "state": self.row(trial.name)["state"], "changes": changes, "notes": trial.notes(),
        }

    async def _durable(self) -> dict[str, Any]:
        return await durable(self._engine, self._engine.record_seq())


def told_hooks(plugins: Iterable[LoadedPlugin]) -> frozenset[str]:
    """The ``on_…`` hooks that any running plugin has."""
    return frozenset(hook for plugin in plugins if plugin.runs for hook in plugin.hooks if hook.startswith("on_"))


def take_new(lock: Lock, plugins: Iterable[LoadedPlugin]) -> list[LoadedPlugin]:
    """Write down those that run and that nobody has seen here before. Raises OSError or PluginError."""
    new = [plugin for plugin in plugins if plugin.runs and lock.is_new(plugin.source)]
    lock.accept(plugin.source for plugin in new)
    return new


def trusted_on_sight(lock: Lock, plugins: Iterable[LoadedPlugin]) -> list[PluginTold]:
    """The same at a start, and a notice for each of them; one for each that is not as it was accepted."""
    told = [
        _noticed(plugin, _first_seen(plugin), "info") for plugin in take_new(lock, plugins)
    ]
    return told + [
        _noticed(plugin, f"Plugin {plugin.name} does not run: {plugin.problem}", "warning")
        for plugin in plugins if plugin.state == "refused" and lock.problem(plugin.source)
    ]


def _first_seen(plugin: LoadedPlugin) -> str:
    return (
        f"Plugin {plugin.name} ({plugin.origin}) runs here for the first time; its files are noted in {LOCK_FILE}, and "
        "a change has to be accepted"
    )


def _noticed(plugin: LoadedPlugin, text: str, level: Literal["info", "warning"]) -> PluginTold:
    return PluginTold(plugin.name, "start", notices=(Notice(text, level, "plugins"),))


def plugin_words(life: PluginLife) -> dict[str, Word]:
    """The words about plugins, for the control socket."""

    async def all_rows(request: Request) -> dict[str, Any]:
        arguments(request)
        return {"plugins": life.rows()}

    async def one_row(request: Request) -> dict[str, Any]:
        return life.row(_name(arguments(request, plugin=str)))

    async def enable(request: Request) -> dict[str, Any]:
        given = arguments(request, plugin=str, settings=dict)
        return await life.choose(_name(given), True, given.get("settings", {}), request.who, request.why)

    async def disable(request: Request) -> dict[str, Any]:
        return await life.choose(_name(arguments(request, plugin=str)), False, {}, request.who, request.why)

    async def set_up(request: Request) -> dict[str, Any]:
        given = arguments(request, plugin=str, settings=dict)
        return await life.choose(_name(given), None, given.get("settings", {}), request.who, request.why)

    async def release(request: Request) -> dict[str, Any]:
        return await life.release(_name(arguments(request, plugin=str)), request.who, request.why)

    async def accept(request: Request) -> dict[str, Any]:
        return await life.accept(_name(arguments(request, plugin=str)), request.who, request.why)

    return {
        "plugins": all_rows, "plugin": one_row, "enable": enable, "disable": disable, "set": set_up,
        "release": release, "accept": accept,
    }


def _name(given: Mapping[str, Any]) -> str:
    if not given.get("plugin"):
        raise RefusedError("name a plugin: args {\"plugin\": NAME}", 2)
    return checked_name(str(given["plugin"]))
