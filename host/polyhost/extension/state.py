"""A plugin's durable key-value state: JSON values, written in ``on_…`` hooks only, all changes of a hook or none.

Values are kept as JSON text, so what a plugin reads is a copy: changing a list that was read changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, Final

import msgspec

from polyhost.errors import PluginError
from polyhost.extension.answers import AnswerError, plain

KEYS_MAX: Final = 1_000
"""Keys of one plugin: state is for decisions, not for archives."""
VALUE_BYTES_MAX: Final = 65_536
"""JSON bytes of one value: it is journaled whole at each change."""
_ENCODE: Final = msgspec.json.Encoder(enc_hook=plain).encode
_DECODE: Final = msgspec.json.Decoder().decode


def check_texts(changes: Mapping[str, str | None]) -> None:
    """Changes as another process tells them. Raises AnswerError for what ``PluginState`` would not have let through."""
    if len(changes) > KEYS_MAX:
        raise AnswerError(f"{len(changes)} changes of state, at most {KEYS_MAX} are allowed")
    for key, text in changes.items():
        if text is None:
            continue
        if len(text) > VALUE_BYTES_MAX:
            raise AnswerError(f"state[{key!r}] is {len(text)} bytes, at most {VALUE_BYTES_MAX}")
        try:
            _DECODE(text)
        except msgspec.MsgspecError as error:
            raise AnswerError(f"state[{key!r}] is no JSON: {error}") from error


class PluginState(MutableMapping[str, Any]):
    """What the host sets as ``self.state``. Writing outside ``on_…`` hooks raises PluginError naming plugin and key."""

    __slots__ = ("_changes", "_plugin", "_texts", "_writable")

    def __init__(self, plugin: str, texts: Mapping[str, str] | None = None) -> None:
        self._plugin = plugin
        self._texts: dict[str, str] = dict(texts or {})
        self._changes: dict[str, str | None] = {}
        self._writable = False

    # --- what the plugin does ----------------------------------------------------------------------------------------

    def __getitem__(self, key: str) -> Any:
        text = self._changes[key] if key in self._changes else self._texts[key]
        if text is None:
            raise KeyError(key)
        return _DECODE(text)

    def __setitem__(self, key: str, value: Any) -> None:
        self._allow(key)
        try:
            text = _ENCODE(value).decode()
        except (TypeError, msgspec.MsgspecError, OverflowError, RecursionError) as error:
            raise PluginError(f"state[{key!r}] cannot be JSON: {error}", plugin=self._plugin) from error
        if len(text) > VALUE_BYTES_MAX:
            raise PluginError(f"state[{key!r}] is {len(text)} bytes, at most {VALUE_BYTES_MAX}", plugin=self._plugin)
        if key not in self and len(self) >= KEYS_MAX:
            raise PluginError(f"state has {KEYS_MAX} keys already, {key!r} is one too many", plugin=self._plugin)
        self._changes[key] = text

    def __delitem__(self, key: str) -> None:
        self._allow(key)
        if key not in self:
            raise KeyError(key)
        self._changes[key] = None

    def __iter__(self) -> Iterator[str]:
        kept = [key for key in self._texts if key not in self._changes]
        return iter(kept + [key for key, text in self._changes.items() if text is not None])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, key: object) -> bool:
        if key in self._changes:
            return self._changes[key] is not None
        return key in self._texts

    def __repr__(self) -> str:
        return f"PluginState({dict(self)!r})"

    def _allow(self, key: object) -> None:
        if not self._writable:
            raise PluginError(
                f"state[{key!r}] written in an answering hook; self.state is read-only there",
                plugin=self._plugin,
                remedy="write it in an on_… hook",
            )
        if not isinstance(key, str):
            raise PluginError(f"state key {key!r} is no text", plugin=self._plugin)

    # --- what the host does ------------------------------------------------------------------------------------------

    def load(self, texts: Mapping[str, str]) -> None:
        """Start from this durable state: JSON texts by key."""
        self._texts = dict(texts)
        self._changes = {}

    def texts(self) -> dict[str, str]:
        """The durable state: JSON texts by key."""
        return dict(self._texts)

    def apply(self, changes: Mapping[str, str | None]) -> None:
        """Make changes durable; None deletes."""
        for key, text in changes.items():
            if text is None:
                self._texts.pop(key, None)
            else:
                self._texts[key] = text

    def open(self) -> None:
        """An ``on_…`` hook begins: writing is allowed."""
        self._changes = {}
        self._writable = True

    def close(self, keep: bool) -> dict[str, str | None]:
        """The hook ended: what it really changed, now durable; nothing if it is not to be kept."""
        changes, self._changes, self._writable = self._changes, {}, False
        if not keep:
            return {}
        real = {key: text for key, text in changes.items() if text != self._texts.get(key)}
        self.apply(real)
        return real
