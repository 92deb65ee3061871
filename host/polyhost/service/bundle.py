"""One archive for whoever is to look at a run from elsewhere: logs, configuration, versions, journal, status, health.

It holds no secret: what is put in is scrubbed, and looked through once more before it is written (OPS-09).
"""

from __future__ import annotations

import io
import json
import os
import platform
import stat
import sys
import tarfile
import time
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from polyhost import __version__
from polyhost.configuration import Loaded
from polyhost.errors import PolyhostError
from polyhost.extension.known_secrets import Known, known_secrets
from polyhost.journal import read_journal
from polyhost.journal.codec import KINDS, encode_record
from polyhost.journal.status import ANALYSIS_FILE, JOURNAL_FILE, analysis_status, journal_status
from polyhost.service import health, status
from polyhost.service.folder import DataFolder
from polyhost.service.live_file import LIVE_FILE
from polyhost.service.logs import REDACTOR
from polyhost.service.scrubbing import scrubbed

LOG_BYTES: Final = 8 * 1024 * 1024
"""Of one log file its end: enough for days, and an archive that can be sent."""
LOG_FILES: Final = 200
"""Windows have logs of their own; the latest ones are taken."""


class LeftIn(PolyhostError):  # noqa: N818 it says what happened
    """A secret was still in the archive's texts: nothing was written. A fault of ours."""

    exit_code = 1


class Bundle(Struct, frozen=True):
    """What was written."""

    path: Path
    files: tuple[str, ...]
    hidden: int
    """Places in which something was hidden."""
    looked_for: tuple[str, ...]
    """References of the plugins' secrets that were looked for; keys and credentials are found by their look."""
    not_looked_for: tuple[str, ...]
    """References that could not be fetched here."""
    bytes: int
    missing: tuple[str, ...] = ()
    """What could not be put in, and why."""


def bundle(loaded: Loaded, effective: Mapping[str, Any], folder: DataFolder, since_ms: int, out: Path) -> Bundle:
    """Collect, scrub, check and write. ``effective``: the configuration as `config show` tells it.

    Raises LeftIn, and OSError when it cannot be written.
    """
    known = known_secrets(loaded.configuration.plugins)
    # Whoever has the address of a health check can say that all is well.
    secrets = [*known.values, *filter(None, [loaded.configuration.host.ping_url])]
    REDACTOR.add(*secrets)
    texts, problems = _collected(effective, folder, since_ms)
    if loaded.configuration.accounts:  # the account's own folder has only its own log
        texts |= _logs(DataFolder(folder.path.parent).logs, time.time_ns() // 1_000_000 - since_ms, "host-logs")
    texts["manifest.json"] = _json(_manifest(loaded, folder, since_ms, known, texts))
    clean, hidden = scrubbed(texts, secrets)
    left = [name for name, text in clean.items() if REDACTOR.clean(text) != text]
    if left:
        raise LeftIn(f"a secret is still in {', '.join(left)}: nothing was written; report this")
    _write(out, clean)
    return Bundle(
        out, tuple(clean), hidden, tuple(known.looked_for), tuple(known.missing), out.stat().st_size,
        tuple(f"{what}: {REDACTOR.clean(why)}" for what, why in problems.items()),
    )


def described(made: Bundle) -> dict[str, Any]:
    """The object of ``bundle --json``."""
    return {
        "path": str(made.path), "bytes": made.bytes, "files": list(made.files), "hidden": made.hidden,
        "looked_for": list(made.looked_for), "not_looked_for": list(made.not_looked_for),
        "missing": list(made.missing),
    }


def _collected(
    effective: Mapping[str, Any], folder: DataFolder, since_ms: int
) -> tuple[dict[str, str], dict[str, str]]:
    """The texts by their names, and what is missing, with the reason."""
    texts = {"configuration.json": _json(effective)}
    wall = time.time_ns() // 1_000_000
    problems: dict[str, str] = {}
    try:
        found = status.look(folder.path)
        texts["status.json"] = _json(status.described(found))
        watch, lines = health.examined(folder.path, since_ms, wall)
        texts["health.json"] = _json(health.described(folder.path, watch, lines))
        texts["journal.jsonl"] = _records(folder.journal, watch.since)
    except PolyhostError as error:
        # A journal that cannot be read is often why somebody makes a bundle.
        problems["journal"] = str(error)
    texts["database.json"] = _json({
        "journal": _database(journal_status(folder.path / JOURNAL_FILE)),
        "analysis": _database(analysis_status(folder.path / ANALYSIS_FILE)), "problems": problems,
    })
    live = folder.path / LIVE_FILE
    if live.is_file():
        texts[LIVE_FILE] = live.read_text(encoding="utf-8", errors="replace")
    return texts | _logs(folder.logs, wall - since_ms, "logs"), problems


def _records(journal: Path, since: int) -> str:
    """Every record of the time, a line each: its number, kind and body."""
    rows = (
        f'{{"seq":{seq},"kind":"{KINDS[type(record)]}","body":{encode_record(record).decode()}}}'
        for seq, record in read_journal(journal) if record.at >= since
    )
    return "\n".join(rows) + "\n"


def _database(found: Any) -> dict[str, Any]:
    return {
        "exists": found.exists, "readable": found.readable, "schema_version": found.schema_version,
        "schema_wanted": found.schema_wanted, "rows": found.rows, "bytes": found.bytes,
        "problems": list(found.problems), "history": [list(row) for row in found.history],
    }


def _logs(folder: Path, since_wall_ms: int, under: str) -> dict[str, str]:
    """Log files that were written to within the time, the latest first, each with its end."""
    if not folder.is_dir():
        return {}
    dated = sorted(((at, path) for path in folder.rglob("*") if (at := _written_at(path)) is not None), reverse=True)
    young = [path for at, path in dated if at * 1_000 >= since_wall_ms]
    found = ((path, _end_of(path)) for path in young[:LOG_FILES])
    return {f"{under}/{path.relative_to(folder).as_posix()}": text for path, text in found if text is not None}


def _written_at(path: Path) -> float | None:
    """When, wall seconds; None: it is no file. A running host may end and delete any of them meanwhile."""
    try:
        told = path.lstat()
    except FileNotFoundError:
        return None
    return told.st_mtime if stat.S_ISREG(told.st_mode) else None


def _end_of(path: Path) -> str | None:
    """None: it is gone."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(max(size - LOG_BYTES, 0))
            return file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return None


def _manifest(
    loaded: Loaded, folder: DataFolder, since_ms: int, known: Known, texts: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "since_s": since_ms // 1_000,
        "polyhost": __version__, "python": sys.version, "platform": platform.platform(),
        "packages": dict(sorted((each.name, each.version) for each in distributions())),
        "data_dir": str(folder.path), "config_hash": loaded.config_hash,
        "configuration_file": str(loaded.path or ""), "origin": loaded.origin,
        "files": {name: len(text) for name, text in texts.items()},
        "secrets_looked_for": known.looked_for, "secrets_not_fetched": known.missing,
    }


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n"


def _write(out: Path, texts: Mapping[str, str]) -> None:
    """Whole or not at all, and for its owner only. Raises OSError."""
    part = out.with_name(out.name + ".part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
            for name, text in texts.items():
                content = text.encode("utf-8", "replace")
                entry = tarfile.TarInfo(f"{_stem(out)}/{name}")
                entry.size, entry.mode, entry.mtime = len(content), 0o600, int(time.time())
                archive.addfile(entry, io.BytesIO(content))
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)


def _stem(out: Path) -> str:
    return out.name.removesuffix(".gz").removesuffix(".tar")


def default_name() -> str:
    """A name that tells when."""
    return time.strftime("polyhost-bundle-%Y%m%d-%H%M%S.tar.gz", time.gmtime())
