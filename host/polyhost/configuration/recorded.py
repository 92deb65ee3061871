"""The configuration of a run, kept beside its recording, so that a replay needs no guess at what it was (EVD-04).

``configuration.json`` holds every value as it took effect. A configuration has no secrets, only where they are; what
looks like one in a plugin's table is hidden all the same, and taken from today's when the run is repeated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from polyhost.configuration.loading import Loaded
from polyhost.errors import ConfigError
from polyhost.model.secrecy import shown
from polyhost.settings import Configuration

FILE: Final = "configuration.json"
NOTE: Final = "What the run beside this file was configured to; `polyhost replay` reads it. Secrets are not in it."


def told(loaded: Loaded) -> bytes:
    """The file's content. Folders and files of plugins are named in full: a replay may start elsewhere."""
    values = loaded.configuration.model_dump(mode="json")
    values["plugin_paths"] = [str((loaded.base / path).resolve()) for path in loaded.configuration.plugin_paths]
    values["plugins"] = shown("plugins", values["plugins"])
    content = {"note": NOTE, "config_hash": loaded.config_hash, "configuration": values}
    return json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n"


def of_run(folder: Path, now: Loaded) -> Loaded | None:
    """The configuration of the run recorded in ``folder``; None: it is not kept there (an older recording).

    The data folder, and what is hidden in the file, are those of ``now``. Raises ConfigError for a damaged file.
    """
    path = folder / FILE
    try:
        content = json.loads(path.read_bytes())
        values, config_hash = content["configuration"], content["config_hash"]
        values["host"]["data_dir"] = now.configuration.host.data_dir
        present = now.configuration.plugins
        values["plugins"] = {name: unhidden(table, present.get(name, {})) for name, table in values["plugins"].items()}
        configuration = Configuration.model_validate_json(json.dumps(values), strict=True)
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        raise _unreadable(path, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(path, f"{type(error).__name__}: {error}") from error
    return replace(now, configuration=configuration, labels={}, config_hash=config_hash, disagreements=(), doubles=())


def _unreadable(path: Path, problem: str) -> ConfigError:
    return ConfigError(
        f"the run's configuration cannot be read: {problem}", file=str(path),
        remedy="name the configuration that it had with -c FILE",
    )


def unhidden(table: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """A plugin's table without secrets, with those of today where today's value is hidden in the same words."""
    return {key: now[key] if key in now and shown(key, now[key]) == value else value for key, value in table.items()}
