"""What a plugin is: a class with a name, typed settings, durable state and hook methods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from loguru import Logger
    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema


class Contradiction(Struct, frozen=True):
    """A setting with which something could never happen: the start is refused with these words."""

    key: str
    """The setting to change, of the plugin's own."""
    problem: str
    """What could never happen, and because of what."""
    allowed: str = ""
    """What the setting would have to be."""


class Setup(Struct, frozen=True):
    """What a configuration comes to in windows of one length, for ``Settings.contradictions``.

    Seconds are as they stand in the configuration (for 15-minute windows) unless ``scaled_s`` made them this window's.
    """

    window: str
    """The window's length as it is configured: 5m, 15m …"""
    duration_s: int
    first_entry_s: float
    """No entry in the first seconds of a window, whichever entry policy is the earliest."""
    close_before_expiry_s: float
    """So many seconds before the end the host sees to it that everything is closed or held."""
    plugins: tuple[tuple[str, str, Any], ...] = ()
    """(name, class name, settings) of every built-in plugin that runs. Who is not built in does not see those that have
    a setting for a secret."""
    full_s: int = 900
    """Times are written for windows of this length."""

    def scaled_s(self, seconds_at_15m: float) -> float:
        """As ``View.scaled_s``: shorter windows scale a time, longer ones keep it."""
        return seconds_at_15m * min(self.duration_s, self.full_s) / self.full_s

    @property
    def longest_s(self) -> int:
        """What a time written for 15-minute windows must stay below to fit into this window."""
        return max(self.duration_s, self.full_s)

    def too_long(self, key: str, seconds: float, problem: str, beside_s: float = 0.0) -> Iterator[Contradiction]:
        """The contradiction of setting ``key`` when its time and ``beside_s`` of others do not fit into this window.

        Both in seconds as they stand in the configuration; yields nothing when they fit.
        """
        if self.scaled_s(beside_s + seconds) >= self.duration_s:
            yield Contradiction(key, problem, f"below {self.longest_s - beside_s:g}")

    def settings_of(self, kind: str) -> tuple[tuple[str, Any], ...]:
        """(name, settings) of the running plugins of a built-in class, in configured order."""
        return tuple((name, settings) for name, of, settings in self.plugins if of == kind)


class Settings(BaseModel):
    """Base of a plugin's settings: strict about unknown keys, frozen; each field's docstring says its unit."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        from polyhost.meanings import documented

        return documented(cls, schema, handler)

    def contradictions(self, setup: Setup) -> Iterable[Contradiction]:
        """Settings with which a rule of the plugin could never fire (EXI-11); asked once for each window length.

        What one setting says by itself is a pydantic validator's matter; this is about windows and other plugins.
        """
        return ()


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

    channels: tuple[str, ...] = ("",)
    """Of a plugin with ``notify``: its ways to tell. Each is delivered to, retried and noted by itself (NOT-02)."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings
        self.state: MutableMapping[str, Any] = {}
        self.metrics: dict[str, float] = {}
        self.log: Logger
