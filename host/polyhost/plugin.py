"""What a plugin is: a class with a name, typed settings, durable state and hook methods."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from loguru import Logger


class Settings(BaseModel):
    """Base of a plugin's settings: strict about unknown keys, frozen; each field's docstring says its unit."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True)


class Plugin:
    """Base of every plugin. Hook methods are marked ``@hookimpl`` and named as in polyhost.hooks.

    The host sets ``state`` (durable, JSON values; writable in ``on_…`` hooks only), ``log`` (a bound logger) and
    ``metrics`` (numbers shown in status). A plugin never sees a key, a client or a clock.
    """

    name: ClassVar[str]
    """Entry-point name and the table's name in TOML: ``[plugins.NAME]``."""
    description: ClassVar[str] = ""
    api: ClassVar[int] = 1
    Settings: ClassVar[type[Settings]] = Settings
    timer_s: ClassVar[float | None] = None
    """Seconds of market time between ``on_timer`` calls; None: never."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings
        self.state: MutableMapping[str, Any] = {}
        self.metrics: dict[str, float] = {}
        self.log: Logger
