"""This machine: configuration, client libraries, disk, database, who runs, and which of its loops live."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Final

from polyhost.errors import VenueError
from polyhost.journal.status import ANALYSIS_FILE, JOURNAL_FILE
from polyhost.service import live_file
from polyhost.service.checkup.check import Check, Context, failed, ok, skipped, warning
from polyhost.service.db_check import checked
from polyhost.service.folder import DISK_FAILS
from polyhost.service.live_file import LIVE_OLD_S
from polyhost.venue.polymarket.client import DISTRIBUTION, REMEDY, require_surface, require_version
from polyhost.venue.polymarket.selftest import signing_selftest

FREE_MIN: Final = 256 * 1024 * 1024
"""With less than this (bytes) the journal may stop at any moment."""
FREE_WARN: Final = 2 * 1024 * 1024 * 1024
"""A day of recordings fits at the least."""
SYNC_WARN_MS: Final = 50.0
"""Every order waits for the disk once; slower than this it is felt."""
PROBE_BYTES: Final = 4_096
SECOND: Final = "py-clob-client-v2"


async def configuration(context: Context) -> Check:
    subject = context.subject
    loaded = subject.loaded
    file = "no file: the built-in defaults" if loaded.path is None else str(loaded.path)
    text = f"{file}; mode {subject.mode}, account {subject.account}, hash {loaded.config_hash}"
    if told := loaded.told():
        text = f"{text}; {'; '.join(told)}"
        return warning("configuration", text, "polyhost config show --origin tells who set what")
    return ok("configuration", text)


async def client(context: Context) -> Check:
    """The installed client is the one that was tested, and signs what we hash."""
    try:
        require_version()
        require_surface()
        await signing_selftest()
    except VenueError as drift:
        return failed("client", str(drift).removesuffix(f"; {REMEDY}"), REMEDY)
    return ok("client", f"{DISTRIBUTION} {version(DISTRIBUTION)} and {SECOND} {version(SECOND)}; signatures agree")


async def disk(context: Context) -> Check:
    return await asyncio.to_thread(_disk, context.subject.folder)


def _disk(folder: Path) -> Check:
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        took_ms = _synced(there)
        free = shutil.disk_usage(there).free
    except OSError as error:
        return failed("disk", f"{there} takes no file: {error.strerror or error}", _mended(error))
    text = f"{there}: {free / 1e9:.1f} GB free, 4 kB on the disk in {took_ms:.1f} ms"
    if free < FREE_MIN:
        return failed("disk", text, "free space: without it the journal stops, and nothing is entered any more")
    if free < FREE_WARN:
        return warning("disk", text, "free space, or lower [host] record_gb")
    if took_ms > SYNC_WARN_MS:
        return warning("disk", text, "every order waits for this: use a local SSD, no network drive")
    return ok("disk", text)


def _mended(error: OSError) -> str:
    """What a disk that takes no file needs."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free space there, or name another [host] data_dir: nothing is entered while no journal can be written"
    if error.errno in DISK_FAILS:
        return "the disk is broken or mounted read-only: see `dmesg`, mend it, or name another [host] data_dir"
    return "give the user that runs polyhost the right to write there, or name another [host] data_dir"


def _synced(folder: Path) -> float:
    """Ms until a small file is on the disk. Raises OSError."""
    probe = folder / f".doctor-{os.getpid()}"
    began = time.perf_counter()
    try:
        with probe.open("wb") as file:
            file.write(b"\0" * PROBE_BYTES)
            file.flush()
            os.fsync(file.fileno())
        return (time.perf_counter() - began) * 1_000
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


async def database(context: Context) -> Check:
    return await asyncio.to_thread(_database, context.subject.folder)


def _database(folder: Path) -> Check:
    journal = folder / JOURNAL_FILE
    if not journal.exists():
        return ok("database", f"{journal}: none yet, the first run makes it")
    records, problems = checked(journal, folder / ANALYSIS_FILE)
    if problems:
        return failed("database", "; ".join(problems[:3]), "polyhost db check tells all of it")
    return ok("database", f"{journal}: {records} records, all of them read, folded and sound")


async def lease(context: Context) -> Check:
    subject = context.subject
    if subject.starting:
        return ok("lease", f"this host holds {subject.folder}")
    if subject.running is None:
        return ok("lease", f"{subject.folder} is free: no host runs on it")
    return ok("lease", f"a host runs on {subject.folder} (pid {subject.running or 'unknown'}); a second one is refused")


async def loops(context: Context) -> Check:
    subject = context.subject
    if subject.running is None or subject.starting:
        return skipped("loops", "no host runs: nothing to supervise yet")
    live = await asyncio.to_thread(live_file.newest, subject.folder)
    if live is None:
        return warning("loops", "the running host has not said anything yet", "ask again in a few seconds")
    if live.age_s > LIVE_OLD_S:
        return failed(
            "loops", f"no sign of life of the host (pid {subject.running}) for {live.age_s:.0f} s",
            "look into logs/errors.log; end the process and start it again: nothing is lost",
        )
    down = [f"{name} ({figures['reason']})" for name, figures in live.loops.items() if not figures["alive"]]
    if live.sealed:
        return failed("loops", f"the journal takes nothing any more: {live.sealed}", "see disk and database")
    if down:
        return failed(
            "loops", f"not alive: {', '.join(down)}", "the host starts them again by itself; logs/errors.log says why"
        )
    restarts = sum(figures["restarts"] for figures in live.loops.values())
    return ok("loops", f"{len(live.loops)} alive, {restarts} restarts since the start")
