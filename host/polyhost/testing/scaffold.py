"""``polyhost plugins new``: a plugin that works, with settings, texts and tests that pass at once.

The templates are the files beside this module. Nothing that exists is ever overwritten: either all files are written or
none is.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Any, Final

from polyhost import __version__
from polyhost.errors import ConfigError, nearest_name
from polyhost.extension.sources import found_sources

KINDS: Final = ("signal", "combine", "entry", "exit", "quote", "notify")
"""What can be made, each by the hook that it answers."""
NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
CAPITALISED: Final = re.compile(r"\b[A-Z]\w*")
DESCRIBED: Final = re.compile(r'^    description = "(.+)"$', re.MULTILINE)


def scaffold(name: str, kind: str = "signal", *, package: bool = False, into: Path = Path()) -> dict[str, Any]:
    """Write the plugin ``name`` into a folder; what was written, as plain data.

    ``package``: as a project of its own, ``polyhost-NAME``, instead of a file and its test. Raises ConfigError for a
    name that is none or is taken, for an unknown kind, and for files that exist: then nothing is written.
    """
    _refuse(name, kind)
    if not package:
        _refuse_module(name, into)
    module = f"polyhost_{name}" if package else name
    words = {
        "name": name, "class_name": _class_name(name, kind), "module": module,
        "title": name.replace("_", " ").capitalize(), "distribution": f"polyhost-{name.replace('_', '-')}",
        "version": __version__,
    }
    code, test = _filled(kind, words), _filled(f"{kind}_test", words)
    described = DESCRIBED.search(code)
    assert described is not None, f"the template {kind} has no description"
    words["description"] = described[1]
    texts = _project(words, code, test) if package else {f"{name}.py": code, f"test_{name}.py": test}
    home = into / words["distribution"] if package else into
    _write(home, texts)
    return {
        "plugin": name, "kind": kind, "folder": str(home), "written": [str(home / path) for path in texts],
        "class": words["class_name"], "module": module,
    }


def next_steps(made: Mapping[str, Any]) -> list[str]:
    """What a person does now."""
    name, folder = made["plugin"], Path(made["folder"])
    file = folder / f"{name}.py"
    # Without a slash pip would look for a project of that name in the index.
    where = folder if folder.parent != Path() else f"./{folder}"
    if made["module"] == name:
        return [
            f"test it:    pytest {folder / f'test_{name}.py'}",
            f"check it:   polyhost plugins check {file if file.parent != Path() else f'./{file}'}",
            f"enable it:  in polyhost.toml, at the top: plugin_paths = [\"{file}\"], and a table [plugins.{name}]",
        ]
    return [
        f"test it:    cd {folder} && pytest",
        f"check it:   polyhost plugins check {folder}/",
        f"install it: pip install {where}",
        f"enable it:  a table [plugins.{name}] in polyhost.toml",
    ]


def _refuse(name: str, kind: str) -> None:
    if kind not in KINDS:
        raise ConfigError(
            "there is no such kind", key="--kind", value=kind, allowed=KINDS, nearest=nearest_name(kind, KINDS)
        )
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        legal = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        raise ConfigError(
            "is no name of a plugin", key="NAME", value=name,
            allowed=["small letters, digits and single underscores, and no word of Python's own"],
            nearest=legal if NAME.fullmatch(legal) and not keyword.iskeyword(legal) else "",
        )
    taken = found_sources().get(name)
    if taken:
        raise ConfigError(
            f"is the name of a plugin of {taken[0].origin}", key="NAME", value=name, remedy="take another name"
        )


def _refuse_module(name: str, into: Path) -> None:
    """Its file must not be called like a module that Python knows: a test would import that one, or everybody this."""
    try:
        known = find_spec(name)
    except ValueError:  # a module that says nothing of where it came from
        known = None
    if known is not None and not (known.origin and Path(known.origin).resolve().parent == into.resolve()):
        raise ConfigError(
            "is the name of a module that Python knows", key="NAME", value=name, nearest=f"my_{name}",
            remedy="take another name, or --package, which has a module polyhost_NAME",
        )


def _class_name(name: str, kind: str) -> str:
    """``my_idea`` as ``MyIdea``; with ``Plugin`` behind it where the templates use that word for something else."""
    made = "".join(part.capitalize() for part in name.split("_"))
    used = {word for template in (kind, f"{kind}_test") for word in CAPITALISED.findall(_template(template))}
    return f"{made}Plugin" if made in used or keyword.iskeyword(made) else made


def _project(words: Mapping[str, str], code: str, test: str) -> dict[str, str]:
    name, module = words["name"], words["module"]
    return {
        "pyproject.toml": _filled("pyproject", words),
        "README.md": _filled("readme", words),
        f"src/{module}/__init__.py": code,
        f"src/{module}/py.typed": "",
        f"tests/test_{name}.py": test,
    }


def _filled(template: str, words: Mapping[str, str]) -> str:
    return Template(_template(template)).substitute(words)


def _template(name: str) -> str:
    return (files("polyhost.testing") / "templates" / f"{name}.tmpl").read_text(encoding="utf-8")


def _write(home: Path, texts: Mapping[str, str]) -> None:
    there = [str(home / path) for path in texts if (home / path).exists()]
    if there:
        raise ConfigError(
            f"nothing was written: {', '.join(there)} exists already", key="NAME",
            remedy="take another name, or --into DIR",
        )
    begun: list[Path] = []
    try:
        for path, text in texts.items():
            file = home / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("x", encoding="utf-8") as out:
                begun.append(file)
                out.write(text)
    except OSError as error:
        for file in begun:
            file.unlink(missing_ok=True)
        raise ConfigError(
            f"nothing was written: {error.strerror or error}", key="--into", value=str(home),
            allowed=("a folder that you may write into",), remedy="name another one",
        ) from None
