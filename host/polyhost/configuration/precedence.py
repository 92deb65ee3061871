"""A person and the machine about plugins: what holds where both say something, and what is told of it (CFG-01)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from polyhost.configuration.choices import Choices
from polyhost.configuration.shipped import OFF_BY_DEFAULT, SHIPPED_PLUGINS
from polyhost.configuration.sources import Kind, Layer
from polyhost.model.secrecy import shown

LATER: Final = frozenset({Kind.ENVIRONMENT, Kind.COMMAND_LINE})
"""A person's layers that come after the machine's."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A person and the machine set a plugin differently; one of them holds."""

    plugin: str
    key: str
    person: Any
    person_place: str
    machine: Any
    machine_place: str
    person_holds: bool

    def __str__(self) -> str:
        person, machine = (_toml(shown(self.key, value)) for value in (self.person, self.machine))
        holds = f"{self.person_place} holds" if self.person_holds else f"{self.machine_place} holds"
        return (
            f"[plugins.{self.plugin}] {self.key}: {person} in {self.person_place}, but {machine} was chosen in "
            f"{self.machine_place}; {holds}"
        )


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


def heeded(choices: Choices, person: Mapping[str, Any]) -> Layer:
    """The choices as a layer, without what a person forbids. ``person``: the plugin tables of all other layers.

    A plugin that a person switched off stays off. Settings alone switch nothing on that would not run by itself.
    """
    layer = choices.layer()
    tables: dict[str, Any] = {}
    for name, chosen in choices.plugins.items():
        theirs = person.get(name)
        table = dict(chosen)
        if theirs is not None and not isinstance(theirs, dict):
            # Told as what it is: a value where a table belongs.
            continue
        if theirs is not None and theirs.get("enabled") is False:
            table.pop("enabled", None)
        elif theirs is None and "enabled" not in table and not _on_by_itself(name):
            table["enabled"] = False
        tables[name] = table
    return Layer({"plugins": tables}, layer.kind, layer.name, layer.text)


def _on_by_itself(name: str) -> bool:
    return name in SHIPPED_PLUGINS and name not in OFF_BY_DEFAULT


def disagreements(choices: Choices, person: Mapping[str, Any], labels: Mapping[str, Layer]) -> Iterator[Disagreement]:
    """Where a person's layers and the choices differ. ``labels``: which of a person's layers set each dotted key."""
    layer = choices.layer()
    for name, chosen in choices.plugins.items():
        theirs = person.get(name)
        if not isinstance(theirs, dict):
            continue
        # A table without the key switches the plugin on.
        said = {"enabled": True} | theirs
        for key, machine in chosen.items():
            if key in said and said[key] != machine:
                dotted = f"plugins.{name}.{key}"
                mine = labels.get(dotted) or labels[f"plugins.{name}"]
                switched_off = key == "enabled" and said[key] is False
                holds = switched_off or (dotted in labels and mine.kind in LATER)
                yield Disagreement(name, key, said[key], mine.place(dotted), machine, layer.place(dotted), holds)


def set_twice(fragments: Iterable[Layer]) -> Iterator[str]:
    """A plugin that more than one fragment sets, in words: the order of file names decides there."""
    first: dict[str, Layer] = {}
    for fragment in fragments:
        plugins = fragment.values.get("plugins")
        for name in plugins if isinstance(plugins, dict) else ():
            if name in first:
                dotted = f"plugins.{name}"
                yield (
                    f"[plugins.{name}] is set in {first[name].place(dotted)} and in {fragment.place(dotted)}: "
                    "the later name wins where both set a key"
                )
            first[name] = fragment


def ordered(plugins: Mapping[str, Any], files: Iterable[Layer], choices: Choices) -> dict[str, Any]:
    """In order of precedence: as the files name them, then named elsewhere by a person, the shipped ones, the chosen.

    Only files place a plugin: setting a value elsewhere moves nothing.
    """
    in_files = [name for layer in files for name in _names(layer)]
    new = [name for name in plugins if name not in SHIPPED_PLUGINS]
    chosen = [name for name in new if name in choices.plugins]
    others = [name for name in new if name not in choices.plugins]
    shipped = {name: {"enabled": False} if name in OFF_BY_DEFAULT else {} for name in SHIPPED_PLUGINS}
    return {name: plugins.get(name, shipped.get(name)) for name in (*in_files, *others, *SHIPPED_PLUGINS, *chosen)}


def _names(layer: Layer) -> Iterable[str]:
    plugins = layer.values.get("plugins")
    return plugins if isinstance(plugins, dict) else ()
