"""``polyhost run``: set up, trade, report. Signals end it gracefully; the answer is a summary and an exit code."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

from loguru import logger

from polyhost.allocator import save_memory
from polyhost.configuration import Loaded
from polyhost.errors import ConfigError
from polyhost.journal import write_atomically
from polyhost.service.folder import DataFolder
from polyhost.service.last_words import ended, interrupted, last_words, of_loop
from polyhost.service.logs import set_up, written
from polyhost.service.presence import Presence
from polyhost.service.session import Session
from polyhost.service.start_permit import may_begin

SWITCH_S: Final = 0.0005
"""How long a thread keeps the interpreter while another wants it (5 ms by default). The journal's thread needs it
several times a commit: beside a busy loop a commit took 11 ms (median), with this 3.5 ms, for 2 % of its work."""

GRAVEST_FIRST: Final = (1, 3, 2, 4, 0)
"""Exit codes, where several accounts have one each."""


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
        places = {name: place.logs for name, place in accounts.items()} or {
            loaded.configuration.host.account: folder.logs
        }
        set_up(
            folder.logs, to_stderr=not show, verbose=verbose, settings=loaded.configuration.log, accounts=places
        )
        stack.callback(written)
        stack.enter_context(last_words())
        for place in (folder, *accounts.values()) if fresh else ():
            if (kept := place.set_aside()) is not None:
                logger.info("starting anew; what was there is kept in {}", kept)
        session = Session(loaded, folder, accounts, windows=windows)
        live = [account for account in session.accounts if account.settings.host.mode == "live"]
        may_begin({each.name: (each.loaded, each.folder.journal) for each in live}, yes=yes)
        report = asyncio.run(_run(session, show))
        if summary_file is not None:
            write_atomically(summary_file, json.dumps(report, indent=2).encode() + b"\n")
        code = exit_code(report)
        ended(code)
    return report, code


def exit_code(report: Mapping[str, Any]) -> int:
    """4 after the operator's kill; 1 when an invariant broke, an order is orphaned or a position is unmanaged.

    Of several accounts the gravest one's: what went wrong (1), then the venue (3), the configuration (2), a kill (4).
    """
    if "accounts" in report:
        codes = {
            exit_code(own) if own["problem"] is None else own["problem"]["exit_code"]
            for own in report["accounts"].values()
        }
        return next((code for code in GRAVEST_FIRST if code in codes), 1)
    if report["wall"].get("killed"):
        return 4
    bad = report["invariants"]["broken"] or report["orphans"]
    return 1 if bad else 0


def _stop(session: Session, name: str) -> None:
    interrupted(name, "the run is stopped gracefully")
    session.stop(name)


def _kill(session: Session, name: str, *, flatten: bool) -> None:
    interrupted(name, f"the operator's kill{', selling out first' if flatten else ''}")
    session.kill(name, flatten=flatten)


async def _run(session: Session, show: bool) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(of_loop)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _stop, session, signal.Signals(number).name)
    for number, flatten in ((signal.SIGUSR1, False), (signal.SIGUSR2, True)):
        loop.add_signal_handler(number, partial(_kill, session, signal.Signals(number).name, flatten=flatten))
    presence = Presence(session, session.ping_url)
    watching = loop.create_task(presence.run(), name="presence")
    try:
        if not show:
            return await session.run()
        from polyhost.service.terminal import shown

        return await shown(session)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await presence.close()
