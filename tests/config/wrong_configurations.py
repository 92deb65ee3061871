"""Wrong configurations and the message that each gets: reading the table, asking the host, writing the table anew.

``python tests/config/wrong_configurations.py`` puts what the host says now into wrong_configurations.toml; read the
difference before committing it, as somebody who has never seen this project.
"""

from __future__ import annotations

import os
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import tomli_w

from polyhost.cli.config import discovered
from polyhost.configuration import load_configuration
from polyhost.errors import ConfigError

TABLE: Final = Path(__file__).with_name("wrong_configurations.toml")
HEADING: Final = """\
# Wrong configurations and what a person is told of each. `message` is what `polyhost config check` says, written by
#     python tests/config/wrong_configurations.py
# `file` is mine.toml, `fragment` conf.d/a.toml beside it, `choices` polyhost-data/choices.toml, `env` the environment,
# `set` the words of --set. Without `file` there is none.

"""


@cache
def cases() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads(TABLE.read_text(encoding="utf-8"))["case"]
    return found


def refusal(case: dict[str, Any]) -> ConfigError | None:
    """How the host refuses it, plugins and their settings included; None: it takes it."""
    with _surroundings(case):
        try:
            loaded = load_configuration(Path("mine.toml"), sets=case.get("set", ()))
            discovered(loaded)
        except ConfigError as error:
            return error
    return None


@contextmanager
def _surroundings(case: dict[str, Any]) -> Iterator[None]:
    names = {"file": "mine.toml", "fragment": "conf.d/a.toml", "choices": "polyhost-data/choices.toml"}
    environment = patch.dict(os.environ, case.get("env", {}), clear=True)
    with tempfile.TemporaryDirectory() as folder, chdir(folder), environment:
        for key, name in names.items():
            if key in case:
                Path(name).parent.mkdir(exist_ok=True)
                Path(name).write_text(case[key], encoding="utf-8")
        yield


def main() -> None:
    told = [case | {"message": str(refusal(case))} for case in cases()]
    TABLE.write_text(HEADING + tomli_w.dumps({"case": told}, multiline_strings=True), encoding="utf-8")


if __name__ == "__main__":
    main()
