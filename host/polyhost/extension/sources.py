"""Where plugins come from: entry points of the group ``polyhost`` and single files. Looking imports nothing."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import metadata
from importlib.metadata import Distribution, EntryPoint, entry_points
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from msgspec import Struct

from polyhost.errors import PluginError
from polyhost.extension.containing import contained

GROUP: Final = "polyhost"
BUILT_IN: Final = "polyhost"
"""The distribution whose plugins are the host's own."""
FILES_MAX: Final = 1_000
"""Files of one ``plugin_paths`` entry that are looked at."""
HASHED_MAX: Final = 20_000
"""Files that one plugin's code may be in: all of them are read at every start."""
PATHS_BEGIN: Final = "name a .py file or a folder of them, from the configuration file's folder on, or take it out"
NEIGHBOURS: Final = (
    "a single file cannot import its neighbours: put all into one file, or make a package of them "
    "(`polyhost plugins new NAME --package`)"
)
WALKED_MAX: Final = 10 * HASHED_MAX
"""Entries of folders that are walked over for them."""


class Source(Struct, frozen=True):
    """One plugin class that could be loaded, and where it lives."""

    name: str
    module: str
    attribute: str
    distribution: str = ""
    version: str = ""
    path: str = ""
    """The file of a single-file plugin; empty for an entry point."""
    problem: str = ""
    """Why it cannot be loaded, when looking has shown that already."""

    @property
    def built_in(self) -> bool:
        return not self.path and self.distribution == BUILT_IN

    @property
    def origin(self) -> str:
        """For people: the distribution with its version, or the file."""
        if not (self.path or self.module):
            return "nowhere"
        return self.path or f"{self.distribution or 'unknown distribution'} {self.version}".strip()

    @property
    def file(self) -> str:
        """The file of its code, found without importing it; empty when it cannot be."""
        return self.path or _file_of(self.module)

    @property
    def remedy(self) -> str:
        """What a person can do when it does not load."""
        if self.path:
            return f"mend {self.path}, or set enabled = false"
        if self.built_in:
            return "install polyhost anew"
        return f"upgrade or reinstall {self.distribution or self.module}, or set enabled = false"

    def files(self) -> dict[str, str]:
        """SHA-256 by name of the files that its code is in; empty when they cannot be found without importing it.

        Of a package all of it, and whatever else its distribution installed beside its metadata. Raises PluginError for
        more files than are read.
        """
        if self.path:
            return _hashes({Path(self.path).name: Path(self.path)})
        found = dict(_tree_of(self.module.partition(".")[0]))
        if self.distribution:
            found |= _installed(self.distribution)
        if len(found) > HASHED_MAX:
            raise PluginError(
                f"its code is in more than {HASHED_MAX} files", plugin=self.name, origin=self.origin,
                remedy="give it a package of its own",
            )
        return _hashes(found)

    def fingerprint(self) -> str:
        """SHA-256 of the plugin's file, or over the names and hashes of its files; empty when there are none."""
        files = self.files()
        if self.path or not files:
            return "".join(files.values())
        told = "".join(f"{name} {digest}\n" for name, digest in sorted(files.items()))
        return hashlib.sha256(told.encode()).hexdigest()


def _hashes(files: Mapping[str, Path]) -> dict[str, str]:
    found = {}
    for name, path in sorted(files.items()):
        try:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError:
            found[name] = "unreadable"
    return found


def _tree_of(top: str) -> Iterator[tuple[str, Path]]:
    """The files of a top-level module or package, by their path below the folder it lies in."""
    spec = importlib.util.find_spec(top)
    if spec is None:
        return
    if not spec.submodule_search_locations:
        if spec.origin:
            yield Path(spec.origin).name, Path(spec.origin)
        return
    for place in map(Path, spec.submodule_search_locations):
        for path in islice(place.rglob("*"), WALKED_MAX):
            if path.is_file() and _is_code(path):
                yield str(path.relative_to(place.parent)), path


def _installed(distribution: str) -> dict[str, Path]:
    """What a distribution installed, but for its metadata."""
    try:
        files = metadata.distribution(distribution).files or ()
    except metadata.PackageNotFoundError:
        return {}
    found = {str(file): Path(str(file.locate())) for file in islice(files, WALKED_MAX)}
    return {
        name: path for name, path in found.items()
        if not name.partition("/")[0].endswith(".dist-info") and _is_code(path) and path.is_file()
    }


def _is_code(path: Path) -> bool:
    return path.suffix != ".pyc" and "__pycache__" not in path.parts


def _file_of(module: str) -> str:
    if not module:
        return ""
    # Finding a sub-module imports its parent package, so the search goes down from the top by hand.
    head, _, rest = module.partition(".")
    spec = importlib.util.find_spec(head)
    places = list(spec.submodule_search_locations or ()) if spec else []
    if spec and not rest:
        return spec.origin or ""
    for place in places:
        below = Path(place, *rest.split("."))
        for candidate in (below.with_suffix(".py"), below / "__init__.py"):
            if candidate.is_file():
                return str(candidate)
    return ""


class Sources(dict[str, list[Source]]):
    """Every plugin that can be named, by name; of several under one name a built-in one comes first."""

    def __init__(self) -> None:
        super().__init__()
        self.broken: list[Source] = []
        """Entries of ``plugin_paths`` and files that offer nothing, each with its problem."""


def found_sources(
    paths: Sequence[str] = (), base: Path = Path(), points: Iterable[EntryPoint] | None = None
) -> Sources:
    """Every plugin that can be named, by name; several under one name are a conflict for whoever wants that name.

    A path at which nothing can be read is among the ``broken``; it hinders nobody else.
    """
    found = Sources()
    for point in entry_points(group=GROUP) if points is None else points:
        module, _, attribute = point.value.partition(":")
        distribution = point.dist
        name, version = _named(distribution) if distribution else ("", "")
        source = Source(point.name, module.strip(), attribute.strip(), name, version)
        known = found.setdefault(point.name, [])
        # One distribution seen twice on the search path (an editable install beside its metadata) is no conflict.
        if not any((other.distribution, other.module) == (name, source.module) for other in known):
            known.append(source)
    for path in paths:
        for source in _file_sources(path, base):
            if source.problem:
                found.broken.append(source)
            if source.name:
                found.setdefault(source.name, []).append(source)
    for several in found.values():
        several.sort(key=lambda source: not source.built_in)
    return found


@cache
def _named(distribution: Distribution) -> tuple[str, str]:
    """Name and version. Reading each parses the whole metadata, and its entry points share one distribution."""
    metadata = distribution.metadata
    return metadata["Name"], metadata["Version"]


def _file_sources(path: str, base: Path) -> list[Source]:
    try:
        if os.path.islink(base / path) and not os.path.exists(base / path):
            return [_broken(path, base / path, "is a link that leads nowhere")]
        place = (base / path).resolve()
        if place.is_dir():
            names = sorted(each for each in os.listdir(place) if each.endswith(".py") and each[0] not in "._")
            return [source for name in names[:FILES_MAX] for source in _sources_in(place / name)]
        if place.is_file():
            return _sources_in(place) if place.suffix == ".py" else [_broken(path, place, "is no .py file")]
        return [_broken(path, place, "there is no such file or folder")]
    except (OSError, ValueError, RuntimeError) as error:  # no right to look, a NUL in it, links in a circle above it
        return [_broken(path, base / path, f"cannot be looked at: {contained(error)}")]


def _broken(path: str, place: Path, problem: str) -> Source:
    return Source("", "", "", path=str(place), problem=f"plugin_paths {path!r}: {problem}; {PATHS_BEGIN}")


def _sources_in(file: Path) -> list[Source]:
    """Classes with a literal ``name``, read from the syntax tree: nothing of the file runs."""
    try:
        tree = ast.parse(file.read_bytes(), filename=str(file))
    except (SyntaxError, ValueError, OSError, RecursionError) as error:
        return [Source(file.stem, file.stem, "", path=str(file), problem=contained(error))]
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.bases]
    return [source for node in classes for source in _source_of(node, file)]


def _source_of(node: ast.ClassDef, file: Path) -> list[Source]:
    name = _literal_name(node)
    if name:
        return [Source(name, f"polyhost_file_{file.stem}", node.name, path=str(file))]
    if name is None and any(isinstance(base, ast.Name) and base.id == "Plugin" for base in node.bases):
        problem = f"the name of {node.name} is no text: the file is not run to find it; write name = \"…\""
        return [Source("", "", "", path=str(file), problem=f"{file}: {problem}")]
    return []


def _literal_name(node: ast.ClassDef) -> str | None:
    """The text that a class is named; empty: it has no name; None: it has one that is no text as it stands."""
    for line in node.body:
        targets: list[ast.expr] = []
        value: ast.expr | None = None
        if isinstance(line, ast.Assign):
            targets, value = line.targets, line.value
        elif isinstance(line, ast.AnnAssign):
            targets, value = [line.target], line.value
        if any(isinstance(target, ast.Name) and target.id == "name" for target in targets) and value is not None:
            return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None
    return ""


def loaded_class(source: Source) -> type[Any]:
    """Import the plugin's class. Raises PluginError with origin and remedy, whatever importing it raised."""
    try:
        if source.problem:
            raise ImportError(source.problem)
        target: Any = _file_module(source) if source.path else importlib.import_module(source.module)
        for part in source.attribute.split(".") if source.attribute else ():
            target = getattr(target, part)
    except BaseException as error:  # importing runs the author's code, which may raise anything
        remedy = NEIGHBOURS if _wants_a_neighbour(source, error) else source.remedy
        raise PluginError(
            f"cannot be imported: {contained(error)}", plugin=source.name, origin=source.origin, remedy=remedy
        ) from error
    if not isinstance(target, type):
        what = f"{source.module}:{source.attribute} is no class"
        raise PluginError(what, plugin=source.name, origin=source.origin, remedy=source.remedy)
    return target


def _wants_a_neighbour(source: Source, error: BaseException) -> bool:
    """Does a single file import what lies beside it?"""
    if not (source.path and isinstance(error, ImportError)):
        return False
    wanted = (error.name or "").partition(".")[0]
    beside = Path(source.path).parent
    found = wanted and any((beside / name).is_file() for name in (f"{wanted}.py", f"{wanted}/__init__.py"))
    return bool(found) or "relative import" in str(error)


def _file_module(source: Source) -> ModuleType:
    spec = importlib.util.spec_from_file_location(source.module, source.path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{source.path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    # Classes find their own module by name (annotations of settings are resolved there).
    sys.modules[source.module] = module
    spec.loader.exec_module(module)
    return module
