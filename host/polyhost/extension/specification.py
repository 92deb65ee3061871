"""Which hooks a plugin implements, and with which arguments: pluggy's markers and checks, read once at build time.

pluggy validates (names, arguments); it never calls: one raising implementation would abort all others in its chain.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Final

import pluggy
from msgspec import Struct

from polyhost.errors import PluginError, nearest_name
from polyhost.extension.containing import contained
from polyhost.hooks import ANSWERING, DEPRECATED, LIFE, NAMESPACE, TELLING, Hooks

HOOKS: Final = (*ANSWERING, *TELLING, *LIFE)
_OBJECTS_OWN: Final = frozenset(dir(object))


class Bound(Struct, frozen=True):
    """One implementation: what to call and the arguments that it takes, in its own order."""

    hook: str
    call: Callable[..., Any]
    arguments: tuple[str, ...]

    def positional(self) -> Callable[..., Any]:
        """A callable that takes the hook's arguments in the specification's order and passes on those wanted."""
        call, wanted = self.call, self.arguments
        given = arguments_of(self.hook)
        if wanted == given:
            return call
        picks = tuple(given.index(name) for name in wanted)
        if not picks:
            return lambda *args: call()
        if len(picks) == 1:
            pick = picks[0]
            return lambda *args: call(args[pick])
        return lambda *args: call(*[args[pick] for pick in picks])

    def by_name(self, facts: Mapping[str, Any]) -> Any:
        """Call it with those of the named facts that it takes."""
        return self.call(**{name: facts[name] for name in self.arguments})


@cache
def arguments_of(hook: str) -> tuple[str, ...]:
    """The arguments of a hook, in the specification's order."""
    return tuple(inspect.signature(getattr(Hooks, hook)).parameters)[1:]


def hooks_of(kind: type[Any]) -> list[str]:
    """The hooks that a class marks as implemented, in the contract's order; nothing is built."""
    return [hook for hook in HOOKS if hasattr(getattr(kind, hook, None), f"{NAMESPACE}_impl")]


def deprecations(hooks: Iterable[str]) -> tuple[str, ...]:
    """What to tell of a plugin that has these hooks."""
    return tuple(
        f"{hook} is deprecated and goes with the next release: {DEPRECATED[hook]}"
        for hook in hooks if hook in DEPRECATED
    )


class _Manager(pluggy.PluginManager):
    """pluggy's, which would look as closely at what every object has as at what the plugin wrote."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        return None if name in _OBJECTS_OWN else super().parse_hookimpl_opts(plugin, name)


@cache
def _manager() -> pluggy.PluginManager:
    """Knows what hooks there are; reading that costs more than what a plugin says of its own."""
    manager = _Manager(NAMESPACE)
    manager.add_hookspecs(Hooks)
    return manager


def implementations(instance: object, plugin: str, origin: str = "") -> dict[str, Bound]:
    """The hooks that a plugin implements. Raises PluginError for what would be silently wrong at run time."""
    manager = _manager()
    try:
        found = _read(manager, instance, plugin, origin)
        manager.unregister(instance)
    except BaseException:
        _manager.cache_clear()  # what half of a plugin left behind is nobody else's
        raise
    return found


def _read(manager: pluggy.PluginManager, instance: object, plugin: str, origin: str) -> dict[str, Bound]:
    try:
        manager.register(instance, plugin)
    except pluggy.PluginValidationError as error:
        _refuse_arguments(type(instance), plugin, origin)
        problem = f"its hooks cannot be registered: {' '.join(str(error).split())}"
        raise PluginError(problem, plugin=plugin, origin=origin) from error
    except BaseException as error:  # registering reads every attribute: a property of the plugin's may raise anything
        raise PluginError(f"cannot be read: {contained(error)}", plugin=plugin, origin=origin) from error
    found: dict[str, Bound] = {}
    for caller in manager.get_hookcallers(instance) or ():
        for implementation in caller.get_hookimpls():
            _refuse_misfit(caller, implementation, plugin, origin)
            if caller.has_spec():
                call = implementation.function
                found[caller.name] = Bound(caller.name, call, tuple(implementation.argnames))
    _refuse_unmarked(instance, found, plugin, origin)
    return {hook: found[hook] for hook in HOOKS if hook in found}


def _refuse_arguments(kind: type[Any], plugin: str, origin: str) -> None:
    """Raises PluginError for the first hook that wants what it is not given."""
    for hook in hooks_of(kind):
        given = arguments_of(hook)
        unknown = [name for name in _wanted(getattr(kind, hook)) if name not in given]
        if unknown:
            near = nearest_name(unknown[0], given)
            takes = f"it may take: {', '.join(given)}" if given else "it takes no argument"
            raise PluginError(
                f"there is no argument {unknown[0]!r} of this hook", plugin=plugin, hook=hook, origin=origin,
                remedy=f"did you mean {near!r}? {takes}" if near else takes,
            )


def _wanted(method: Callable[..., Any]) -> list[str]:
    """The arguments without a default, but for ``self``."""
    found = list(inspect.signature(method).parameters.values())
    return [each.name for each in found[1:] if each.default is each.empty]


def _refuse_misfit(caller: Any, implementation: Any, plugin: str, origin: str) -> None:
    hook, call = caller.name, implementation.function
    if not caller.has_spec() and not implementation.optionalhook:
        near = nearest_name(hook, HOOKS)
        remedy = f"did you mean {near!r}?" if near else f"hooks are: {', '.join(HOOKS)}"
        raise PluginError("there is no such hook", plugin=plugin, hook=hook, origin=origin, remedy=remedy)
    if inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call):
        raise PluginError(
            "is async; hooks are synchronous",
            plugin=plugin,
            hook=hook,
            origin=origin,
            remedy="write def, not async def",
        )
    if implementation.wrapper or implementation.hookwrapper:
        raise PluginError(
            "is a hook wrapper; every answer is collected, none is wrapped",
            plugin=plugin,
            hook=hook,
            origin=origin,
            remedy="answer the hook itself",
        )


def _refuse_unmarked(instance: object, found: Mapping[str, Bound], plugin: str, origin: str) -> None:
    for hook in HOOKS:
        method = getattr(type(instance), hook, None)
        if hook not in found and callable(method) and getattr(method, f"{NAMESPACE}_impl", None) is None:
            raise PluginError(
                "is named like a hook and not marked, so it would never be called",
                plugin=plugin,
                hook=hook,
                origin=origin,
                remedy="put @hookimpl above it, or rename it",
            )
