"""Calling ``on_…`` hooks, ``start`` and ``stop`` of one plugin in this process: changes and notices, or neither."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter_ns
from typing import Any

from msgspec import Struct

from polyhost.extension.answers import checked, listed
from polyhost.extension.containing import contained
from polyhost.extension.specification import Bound
from polyhost.extension.state import PluginState
from polyhost.model.proposals import Notice


class Telling(Struct, frozen=True):
    """What came of telling one plugin. With a problem nothing of it was kept."""

    changes: dict[str, str | None]
    notices: tuple[Notice, ...]
    used_ns: int
    problem: str = ""

    @property
    def silent(self) -> bool:
        return not (self.changes or self.notices or self.problem)


def told(bound: Bound, state: PluginState, facts: Mapping[str, Any]) -> Telling:
    """Run the hook with ``self.state`` writable. Whatever it raises becomes the problem."""
    begin = perf_counter_ns()
    problem = ""
    notices: tuple[Notice, ...] = ()
    state.open()
    try:
        said = listed(bound.hook, bound.by_name(facts))
        notices = tuple(checked(bound.hook, one) for one in said)  # type: ignore[misc]
    except BaseException as error:  # a plugin may raise anything; its neighbours must not notice
        problem = contained(error)
    changes = state.close(keep=not problem)
    return Telling(changes, notices if not problem else (), perf_counter_ns() - begin, problem)
