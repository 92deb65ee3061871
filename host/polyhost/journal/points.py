"""Places where a crash is tried: named instants of the writer that a crash test may end the process at.

In a run of the host nothing is set and a point costs one comparison. The crash matrix (``polyhost selftest crash``)
sets a hook in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable

_hook: Callable[[str], None] | None = None


def crash_point(name: str) -> None:
    """The process is at ``name`` now; whoever watches may end it here."""
    if _hook is not None:
        _hook(name)


def watch(hook: Callable[[str], None] | None) -> None:
    """Call ``hook`` with the name of every point this process comes to, in the thread that comes to it; None: stop."""
    global _hook
    _hook = hook
