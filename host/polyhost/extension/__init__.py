"""Plugins: found, checked, asked and contained. The only part of the host that knows pluggy."""

from __future__ import annotations

from polyhost.extension.delivery import DeliveryFailed
from polyhost.extension.discovery import LoadedPlugin, discover
from polyhost.extension.process import Deadlines
from polyhost.extension.runner import PluginStatus, Runner, facts_of

__all__ = [
    "Deadlines",
    "DeliveryFailed",
    "LoadedPlugin",
    "PluginStatus",
    "Runner",
    "discover",
    "facts_of",
]
