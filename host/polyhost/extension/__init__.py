"""Plugins: found, checked, asked and contained. The only part of the host that knows pluggy.

Names are resolved on first use: who only looks for plugins needs no event loop and no processes.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from polyhost.extension.delivery import channels_of
    from polyhost.extension.discovery import LoadedPlugin, discover
    from polyhost.extension.process import Deadlines
    from polyhost.extension.runner import PluginStatus, Runner, facts_of

__all__ = [
    "Deadlines",
    "LoadedPlugin",
    "PluginStatus",
    "Runner",
    "channels_of",
    "discover",
    "facts_of",
]
_HOMES: Final = {
    "Deadlines": "process",
    "channels_of": "delivery",
    "LoadedPlugin": "discovery",
    "PluginStatus": "runner",
    "Runner": "runner",
    "discover": "discovery",
    "facts_of": "runner",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
