"""The log files of a host: which line goes where, how long files grow, how long they are kept (LOG-01).

No file stays open: each is opened to append what came together, and closed. So files of finished windows hold nothing,
a late line of a settled window still reaches its file, and a file that somebody moved away or deleted is made anew.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from polyhost.service.log_line import Line, as_json, as_text
from polyhost.service.log_writer import Target
from polyhost.settings import LogTable

MASTER: Final = "polyhost.log"
ERRORS: Final = "errors.log"
WINDOWS: Final = "windows"
"""The folder of the logs of windows and markets."""
DAY_S: Final = 86_400.0
MEGABYTE: Final = 1_000_000
TIDY_S: Final = 600.0
"""Old files are looked for this often, wall seconds, and whenever one was ended."""
_ENDED: Final = re.compile(r"\.\d{8}-\d{6}(-\d+)?\.log$")
"""End of the name of a file that grew too large: when it was ended (UTC)."""
_ODD: Final = re.compile(r"[^A-Za-z0-9._-]+")


class LogFiles(Target):
    """``logs``: the host's folder. ``accounts``: the folder of each account's own log."""

    name = "the log"

    def __init__(
        self, logs: Path, accounts: Mapping[str, Path], settings: LogTable, *, now: Callable[[], float] = time.time
    ) -> None:
        self._logs = logs
        self._accounts = accounts
        self._text_of = as_json if settings.format == "json" else as_text
        self._rotate_at = int(settings.rotate_mb * MEGABYTE)
        self._keep_s = settings.keep_days * DAY_S
        self._keep_bytes = int(settings.keep_mb * MEGABYTE)
        self._now = now
        self._tidied_at = float("-inf")
        self._begun = False

    def write(self, lines: list[Line]) -> tuple[int, str]:
        """Every file that can be written is, whatever becomes of the others."""
        # Empty, it says that there was no error; one that is not there says nothing.
        texts: dict[Path, list[str]] = {} if self._begun else {self._logs / ERRORS: []}
        self._begun = True
        for line in lines:
            text = self._text_of(line)
            for path in self._places(line):
                texts.setdefault(path, []).append(text)
        lost, why = 0, ""
        for path, found in texts.items():
            try:
                self._append(path, "".join(found))
            except OSError as error:
                lost, why = lost + len(found), str(error)
        return lost, why

    def tidy(self) -> None:
        """Look for files that are to go, once in a while."""
        if self._now() - self._tidied_at >= TIDY_S:
            self._tidied_at = self._now()
            self._delete_old()

    # --- where --------------------------------------------------------------------------------------------------------

    def _places(self, line: Line) -> Iterator[Path]:
        yield self._logs / MASTER
        if line.is_error:
            yield self._logs / ERRORS
        account = line.bound.get("account", "")
        if account in self._accounts:
            yield account_log(self._accounts[account], account)
        if market := line.bound.get("market"):
            yield self._logs / WINDOWS / market_log(market, line.bound.get("window", ""))

    def _append(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Half a surrogate pair, from a name of the venue's, is no UTF-8.
        left = memoryview(text.encode("utf-8", "backslashreplace"))
        with path.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                while left:
                    left = left[file.write(left):]
            except OSError:
                # A full disk took a part: half a line would spoil the next one, too.
                with suppress(OSError):
                    file.truncate(before)
                raise
            size = file.tell()
        if size >= self._rotate_at:
            self._end(path)

    def _end(self, path: Path) -> None:
        """It is large enough: the next line begins a new one."""
        stem = time.strftime(f"{path.stem}.%Y%m%d-%H%M%S", time.gmtime(self._now()))
        target, number = path.with_name(f"{stem}.log"), 1
        while target.exists():
            number += 1
            target = path.with_name(f"{stem}-{number}.log")
        path.replace(target)
        self._delete_old()

    # --- how long -----------------------------------------------------------------------------------------------------

    def _delete_old(self) -> None:
        """Delete what is too old, and the oldest above the size that all may have together; never what is written to.
        """
        dated = sorted(self._dated(), reverse=True)
        total = 0
        for at, size, path in dated:
            total += size
            if self._now() - at > self._keep_s or total > self._keep_bytes:
                path.unlink(missing_ok=True)

    def _dated(self) -> Iterator[tuple[float, int, Path]]:
        """(last written, bytes, path) of each file that may be deleted."""
        for path in self._finished():
            try:
                told = path.stat()
            except FileNotFoundError:
                continue
            yield told.st_mtime, told.st_size, path

    def _finished(self) -> Iterator[Path]:
        yield from (self._logs / WINDOWS).glob("*.log")
        for folder in {self._logs, *self._accounts.values()}:
            yield from (path for path in folder.glob("*.log") if _ENDED.search(path.name))


def account_log(folder: Path, account: str) -> Path:
    """The log of an account's own lines."""
    return folder / f"account_{account}.log"


def market_log(slug: str, window: str) -> str:
    """``window_2026-01-06_15-45_btc-15m.log``; ``market_SLUG.log`` for a market that is no window."""
    return f"window_{window}.log" if window else f"market_{_ODD.sub('-', slug)[:100]}.log"
