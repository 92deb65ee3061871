"""Files that are written whole or not at all (PER-04): temporary file, fsync, rename, fsync of the folder.

And the address of a socket's file, however deep its folder lies.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PATH_BYTES_MAX: Final = 100
"""Addresses of Unix sockets end at 104 bytes (macOS) or 108 (Linux)."""


def sync_folder(folder: Path) -> None:
    """Make renames and new names in the folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomically(path: Path | str, data: bytes | str, mode: int = 0o644) -> None:
    """Put ``data`` at ``path``: after a crash the file holds either the old content or the new one, whole.

    Text is written as UTF-8. Raises OSError when it cannot be written; the old file is then untouched.
    """
    target = Path(path)
    body = data.encode() if isinstance(data, str) else data
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


@contextmanager
def short_path(folder: Path, name: str) -> Iterator[str]:
    """An address of a file in a folder that fits into a Unix socket's, however deep the folder lies.

    Raises OSError for a folder too deep on a system without ``/proc``.
    """
    path = str(folder / name)
    if len(os.fsencode(path)) <= PATH_BYTES_MAX:
        yield path
        return
    if not Path("/proc/self/fd").is_dir():
        raise OSError(f"the path {path} is too long for a socket; choose a shorter data_dir")
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)
