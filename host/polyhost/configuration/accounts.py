"""The configuration of one account of several: the common one, with the account's own table over it.

What comes out has the shape of a configuration with one account: its name, mode and folder stand in ``[host]``, its
wallet in ``[venue]``, its limits in ``[limits]``; of ``[accounts]`` it knows only itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from polyhost.configuration.sources import Layer
from polyhost.errors import ConfigError, nearest_name
from polyhost.settings import AccountTable, Configuration, HostTable

OVERRIDES: Final = ("limits", "breakers")
"""Tables of which an account may have its own."""


def account_of(configuration: Configuration) -> AccountTable:
    """The table of the account that a configuration is for; where nobody wrote one, what ``[host]`` says."""
    host = configuration.host
    return configuration.accounts.get(host.account, AccountTable(mode=host.mode))


def refuse_unknown(configuration: Configuration, name: str) -> None:
    """Raises ConfigError, with the names there are, unless the account is configured."""
    names = tuple(configuration.accounts)
    if name not in names:
        raise ConfigError(
            "there is no account of this name", table="accounts", value=name, allowed=names,
            nearest=nearest_name(name, names), remedy="" if names else "without [accounts] leave --account out",
        )


def of_account(
    merged: Mapping[str, Any], labels: Mapping[str, Layer], name: str
) -> tuple[dict[str, Any], dict[str, Layer]]:
    """The merged layers as they are for one account, and which layer set each value."""
    table = merged["accounts"][name]
    found, origin = {**merged, "accounts": {name: table}}, dict(labels)
    host = {**_table(merged, "host"), "account": name, "mode": table.get("mode", AccountTable().mode)}
    found["host"] = host | {"data_dir": str(Path(host.get("data_dir", HostTable().data_dir)) / name)}
    own = {"venue": {key: table[key] for key in ("wallet", "client") if table.get(key)}}
    own |= {key: table[key] for key in OVERRIDES if isinstance(table.get(key), dict)}
    own |= {"paper": {"cash": table["cash"]}} if "cash" in table else {}
    for section, values in own.items():
        found[section] = {**_table(merged, section), **values}
        below = f"accounts.{name}." + ("" if section in ("venue", "paper") else f"{section}.")
        origin |= {f"{section}.{key}": _elsewhere(labels[below + key], below + key) for key in values}
    if (label := labels.get(f"accounts.{name}.mode")) is not None:
        origin["host.mode"] = _elsewhere(label, f"accounts.{name}.mode")
    return found, origin


@dataclass(frozen=True)
class _Elsewhere(Layer):
    """A layer whose value stands in it under another key."""

    key: str = ""

    def place(self, dotted: str = "") -> str:
        return super().place(self.key)

    def named(self, dotted: str) -> str:
        return self.key


def _elsewhere(layer: Layer, key: str) -> Layer:
    return _Elsewhere(layer.values, layer.kind, layer.name, layer.text, key)


def _table(merged: Mapping[str, Any], name: str) -> dict[str, Any]:
    given = merged.get(name)
    return dict(given) if isinstance(given, dict) else {}
