"""From what a person wrote after ``plugins check`` to the plugins that are meant; looking imports nothing."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyhost.configuration import Loaded
from polyhost.errors import ConfigError, nearest_name
from polyhost.extension.building import host_keys
from polyhost.extension.sources import GROUP, Source, found_sources
from polyhost.testing.conformance_child import Subject


def subjects_of(what: str, loaded: Loaded) -> list[Subject]:
    """A plugin's name, its file, a folder of such files, or the folder of a project that is not installed.

    A name that the configuration has a table of is examined with that table's settings, others with their defaults.
    Raises ConfigError when there is nothing of the kind.
    """
    place = Path(what)
    if what.endswith(".py") or os.sep in what or place.is_dir():
        found = _in_project(place) if (place / "pyproject.toml").is_file() else _in_files(place)
        if not found:
            raise ConfigError(
                "no plugin in it", key="NAME_OR_PATH", value=what,
                allowed=("a class derived from Plugin with name = \"…\"", "a pyproject.toml with entry points"),
                remedy="`polyhost plugins new NAME` writes one to begin with",
            )
        return found
    return [_named(what, loaded)]


def _in_files(place: Path) -> list[Subject]:
    if not place.exists():
        raise ConfigError(
            "there is no such file or folder", key="NAME_OR_PATH", value=str(place),
            remedy="name a plugin, its file, or the folder of its project",
        )
    return [
        Subject(source, source.name) for several in found_sources([str(place)], Path(), ()).values()
        for source in several
    ]


def _in_project(folder: Path) -> list[Subject]:
    """The entry points that its ``pyproject.toml`` names, imported from ``src`` or from the folder itself."""
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")).get("project", {})
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"is no TOML: {error}", key="NAME_OR_PATH", value=str(folder / "pyproject.toml")) from error
    paths = tuple(str((folder / inner).resolve()) for inner in ("src", ".") if (folder / inner).is_dir())
    points: Mapping[str, str] = project.get("entry-points", {}).get(GROUP, {})
    found = []
    for name, value in points.items():
        module, _, attribute = value.partition(":")
        source = Source(name, module, attribute, str(project.get("name", "")), str(project.get("version", "")))
        found.append(Subject(source, name, {}, paths))
    return found


def _named(name: str, loaded: Loaded) -> Subject:
    file = str(loaded.path or "")
    sources = found_sources(loaded.configuration.plugin_paths, loaded.base)
    table: Mapping[str, Any] = loaded.configuration.plugins.get(name, {})
    mine, own = host_keys(name, table, file)
    wanted = mine.get("use", name)
    several = sources.get(wanted, [])
    if not several:
        raise ConfigError(
            "there is no plugin of this name", file=file, key="NAME_OR_PATH", value=wanted,
            allowed=sorted(sources), nearest=nearest_name(wanted, sources),
            remedy="install it, name its file in plugin_paths, or give its path here: ./NAME.py",
        )
    return Subject(several[0], name, own)
