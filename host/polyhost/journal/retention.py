"""Which recordings are deleted: those too old, then the oldest while all together are too big."""

from __future__ import annotations

from pathlib import Path


def prune_recordings(
    folder: Path, hours: float, gigabytes: float, keep: Path | None, now_s: float, *, dry: bool = False
) -> list[Path]:
    """Delete recording files below ``folder`` older than ``hours`` of wall time, then the oldest past ``gigabytes``.

    ``keep`` is being written and stays; None: that may be the newest. Run folders without a recording go too. Gives
    what was deleted (``dry``: what would be); raises OSError.
    """
    files = []
    for path in folder.glob("*/*.jsonl.gz"):
        if path != keep:
            stat = path.stat()
            files.append((stat.st_mtime, path, stat.st_size))
    files.sort()
    if keep is None and files:
        keep = files.pop()[1]
    if keep is None:
        return []
    room = gigabytes * 1e9 - keep.stat().st_size
    total = sum(size for _, _, size in files)
    gone = []
    for modified, path, size in files:
        if modified >= now_s - hours * 3_600 and total <= room:
            break
        gone.append(path)
        total -= size
        if dry:
            continue
        path.unlink()
        if path.parent != keep.parent and not any(path.parent.glob("*.jsonl.gz")):
            _remove_folder(path.parent)
    return gone


def _remove_folder(run: Path) -> None:
    """What told of a run goes with its last recording."""
    for rest in run.glob("*.json"):
        rest.unlink()
    if not any(run.iterdir()):
        run.rmdir()
