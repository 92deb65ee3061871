"""What a strategy promises itself with an order (POS-12): durable in the same step, before the order is signed.

``Enter.remember`` and ``Pair.remember`` become part of the plugin's own state: hedge triggered at and by which order,
scale-ins done, grid references. After a crash the plugin knows exactly as much as the journal knows of its orders.
"""

from __future__ import annotations

import msgspec

from polyhost.kernel.core import Core
from polyhost.model.commands import Remember
from polyhost.model.proposals import ORDER_REF, Remembered
from polyhost.model.records import PluginStateSet


def keep(core: Core, plugin: str, values: dict[str, Remembered]) -> None:
    """What a plugin wants kept without an order (``Keep``); values that it has already are no change."""
    known = core.state.plugin_state.get(plugin, {})
    texts = {key: None if value is None else msgspec.json.encode(value).decode() for key, value in values.items()}
    changed = {key: values[key] for key, text in texts.items() if known.get(key) != text}
    promise(core, plugin, changed, "")


def promise(core: Core, plugin: str, values: dict[str, Remembered], ref: str) -> None:
    """Keep ``values`` (None deletes, ``ORDER_REF`` stands for the ref of the order or pair) and tell the runner."""
    if not values:
        return
    changes = {
        key: None if value is None else msgspec.json.encode(ref if value == ORDER_REF else value).decode()
        for key, value in values.items()
    }
    core.record(PluginStateSet(core.now, plugin, changes))
    core.command(Remember(plugin, changes))
