"""Two configurations compared in what they do: what can be lost, which plugins run, which settings are others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from polyhost.configuration.loading import dotted_values
from polyhost.configuration.rules import enabled_plugins
from polyhost.model.money import size_text
from polyhost.model.secrecy import shown
from polyhost.settings import Configuration
from polyhost.wording import toml_text

LOSSES: Final = {
    "window": "largest loss of one window at a time",
    "symbol": "largest loss of one symbol at a time",
    "day_stop": "loss of a day that stops entries",
    "day": "largest loss of a day",
}
"""What can be lost, as the report calls it."""
_DECIMAL: Final = re.compile(r"-?\d+\.\d+")
STAKES: Final = ("stake", "fraction", "share")
"""Settings by which plugins size an entry."""
Settings = Mapping[str, Mapping[str, Any]]
"""Plugin → all its settings, defaults too, as JSON-able data; of plugins that run."""
Accounts = Mapping[str, Configuration]
"""Account → the configuration as it is for this one; empty where there is only the one of ``[host]``."""


def difference(
    old: Configuration, new: Configuration, old_plugins: Settings, new_plugins: Settings,
    old_accounts: Accounts | None = None, new_accounts: Accounts | None = None,
) -> dict[str, Any]:
    """As plain data: ``losses``, ``accounts``, ``stakes``, ``plugins_on``, ``plugins_off``, ``order``, ``settings`` and
    ``same``.

    Pairs are [old, new]; a stake, setting or account that one of them does not have is None there. ``accounts`` has the
    losses of each account by its name where there are several; ``losses`` are then those of the common tables.
    """
    before, after = enabled_plugins(old), enabled_plugins(new)
    lost = {name: [losses(old)[name], losses(new)[name]] for name in LOSSES}
    stakes = _changed(dict(_stakes(old_plugins)), dict(_stakes(new_plugins)), keep=True)
    settings = _changed(_values(old, old_plugins), _values(new, new_plugins))
    both = [name for name in before if name in after]
    order = [both, moved] if (moved := [name for name in after if name in before]) != both else []
    on, off = [name for name in after if name not in before], [name for name in before if name not in after]
    return {
        "same": not (settings or on or off or order), "losses": lost,
        "accounts": _by_account(old_accounts or {}, new_accounts or {}), "stakes": stakes, "plugins_on": on,
        "plugins_off": off, "order": order, "settings": settings,
    }


def losses(configuration: Configuration) -> dict[str, str]:
    """What can be lost, by the keys of ``LOSSES``; collateral. A day's losses are those until entries stop, and then
    all that is open by then."""
    limits, stop = configuration.limits, configuration.breakers.daily_loss
    # No window holds more than its symbol may, nor a symbol more than all together.
    symbol = min(int(limits.symbol), int(limits.total))
    figures = {"window": min(int(limits.window), symbol), "symbol": symbol, "day_stop": int(stop)}
    return {name: size_text(each) for name, each in (figures | {"day": int(stop) + int(limits.total)}).items()}


def _by_account(old: Accounts, new: Accounts) -> dict[str, dict[str, list[str | None]]]:
    before, after = ({name: losses(each) for name, each in accounts.items()} for accounts in (old, new))
    none: dict[str, str] = {}
    return {
        name: {key: [before.get(name, none).get(key), after.get(name, none).get(key)] for key in LOSSES}
        for name in {**before, **after}
    }


def _stakes(plugins: Settings) -> Iterator[tuple[str, Any]]:
    for name, settings in plugins.items():
        for key, value in settings.items():
            if key in STAKES:
                yield f"{name}.{key}", value


def _values(configuration: Configuration, plugins: Settings) -> dict[str, Any]:
    """Every value of the host, and of each plugin that runs, by dotted key; what a secret could be is hidden."""
    every = dotted_values(configuration).items()
    # A table or a text that is empty in one of them is not there.
    host = {key: value for key, value in every if not key.startswith("plugins.") and value not in ({}, "")}
    theirs = {f"plugins.{name}.{key}": value for name, table in plugins.items() for key, value in table.items()}
    return {key: shown(key, value) for key, value in (host | theirs).items()}


def _changed(old: Mapping[str, Any], new: Mapping[str, Any], keep: bool = False) -> dict[str, list[Any]]:
    """Key → [old, new] where they differ (``keep``: all). Keys of a plugin that only one of them runs are left out."""
    names = [key for key in {**old, **new} if keep or not key.startswith("plugins.") or (key in old and key in new)]
    return {key: [old.get(key), new.get(key)] for key in names if keep or old.get(key) != new.get(key)}


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The report for people."""
    if found["same"]:
        yield "they do the same"
        return
    rows = [(LOSSES[name], pair) for name, pair in found["losses"].items()] if not found["accounts"] else [
        (f"{account}: {LOSSES[name]}", pair) for account, lost in found["accounts"].items()
        for name, pair in lost.items()
    ]
    width = max(len(text) for text, _ in rows)
    for text, pair in rows:
        yield f"{text.ljust(width)}  {_arrow(*pair)}"
    for name, pair in found["stakes"].items():
        yield f"{f'stake ({name})'.ljust(width)}  {_arrow(*pair)}"
    for key, word in (("plugins_on", "switched on"), ("plugins_off", "switched off")):
        if found[key]:
            yield f"{word}: {', '.join(found[key])}"
    if found["order"]:
        yield f"order of precedence: {', '.join(found['order'][0])} -> {', '.join(found['order'][1])}"
    for key, pair in found["settings"].items():
        yield f"{key}: {_arrow(*pair)}"


def _arrow(old: Any, new: Any) -> str:
    before, after = (_plain(value) for value in (old, new))
    return before if before == after else f"{before} -> {after}"


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value.rstrip("0").rstrip(".") if _DECIMAL.fullmatch(value) else value
    return "none" if value is None else toml_text(value)
