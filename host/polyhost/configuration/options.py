"""What a plugin can be told: each setting with its type, unit, default and meaning, read from its settings class."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from polyhost.meanings import meaning
from polyhost.model.quantities import Money, Price, Shares
from polyhost.wording import allowed_in

UNITS: Final = {"s": "seconds", "ms": "milliseconds", "ticks": "ticks", "hours": "hours", "minutes": "minutes"}
"""What a part of a setting's name says of its unit."""
AMOUNTS: Final[dict[type, str]] = {Price: "collateral per share", Money: "collateral", Shares: "shares"}


def options_of(model: type[BaseModel]) -> list[dict[str, Any]]:
    """Each setting as plain data: ``name``, ``type`` (what it takes), ``unit`` (empty: a number without one, or no
    number), ``default`` and ``meaning``."""
    defaults = model().model_dump(mode="json")
    return [
        {
            "name": name, "type": " or ".join(allowed_in(model, name)), "unit": unit_of(name, field.annotation),
            "default": defaults[name], "meaning": meaning(model, name),
        }
        for name, field in model.model_fields.items()
    ]  # fmt: skip


def unit_of(name: str, kind: Any) -> str:
    """The unit of a setting, by its type or its name."""
    for amount, unit in AMOUNTS.items():
        if isinstance(kind, type) and issubclass(kind, amount):
            return unit
    return next((UNITS[part] for part in name.split("_") if part in UNITS), "")
