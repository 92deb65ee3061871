"""``polyhost run``: what must be before anything else. It imports next to nothing; the run itself is in ``hosted``.

The folders are locked, a person has said what a person must say, and the other processes of the host begin (early).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from polyhost.allocator import save_memory
from polyhost.collecting import rarely_collecting
from polyhost.configuration import Loaded
from polyhost.errors import ConfigError
from polyhost.service.early import Begun, begin
from polyhost.service.folder import DataFolder

SWITCH_S: Final = 0.0005
"""How long a thread keeps the interpreter while another wants it (5 ms by default). The journal's thread needs it
several times a commit: beside a busy loop a commit took 11 ms (median), with this 3.5 ms, for 2 % of its work."""


def run_host(
    loaded: Loaded, *, windows: int | None, summary_file: Path | None, fresh: bool, show: bool, verbose: bool = False,
    yes: bool = False,
) -> tuple[dict[str, Any], int]:
    """Run the service; returns the summary and the exit code (0 done, 1 the answer is no).

    ``yes``: the first live start of an account is confirmed.
    """
    if summary_file is not None and not summary_file.parent.is_dir():
        # Said now, not after the run.
        raise ConfigError(f"the summary {summary_file} cannot be written: there is no folder {summary_file.parent}")
    sys.setswitchinterval(SWITCH_S)
    save_memory()
    names = tuple(loaded.configuration.accounts)
    with ExitStack() as stack:
        folder = stack.enter_context(DataFolder(Path(loaded.configuration.host.data_dir)))
        accounts = {name: stack.enter_context(DataFolder(folder.path / name)) for name in names}
        begun = Begun()
        stack.callback(begun.close)
        kept: list[Path] = []
        problem: Exception | None = None
        try:
            if fresh:
                kept += [aside for place in (folder, *accounts.values()) if (aside := place.set_aside()) is not None]
            _permitted(loaded, folder, accounts, yes=yes)
            begin(loaded, folder, accounts, begun)
        except Exception as error:  # whatever it is: it ends the run as soon as there is a log to say so
            problem = error
        # From here on the other processes load what they need while this one does.
        with rarely_collecting():
            from polyhost.service.hosted import hosted
        return hosted(
            loaded, folder, accounts, begun, windows=windows, summary_file=summary_file, show=show, verbose=verbose,
            kept=kept, problem=problem,
        )


def _permitted(loaded: Loaded, folder: DataFolder, accounts: Mapping[str, DataFolder], *, yes: bool) -> None:
    """Raises ConfigError: an account would trade live for the first time, and nobody said so."""
    parts = {name: (loaded.for_account(name), place) for name, place in accounts.items()} or {
        loaded.configuration.host.account: (loaded, folder)
    }
    live = {
        name: (own, place.journal) for name, (own, place) in parts.items() if own.configuration.host.mode == "live"
    }
    if live:
        from polyhost.service.start_permit import may_begin

        may_begin(live, yes=yes)
