"""A run of the host: set up, trade, report. Signals end it gracefully; the answer is a summary and an exit code."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

from loguru import logger

from polyhost.configuration import Loaded
from polyhost.files import write_atomically
from polyhost.service.early import Begun
from polyhost.service.folder import DataFolder
from polyhost.service.last_words import ended, interrupted, last_words, of_loop
from polyhost.service.logs import set_up, written
from polyhost.service.presence import Presence
from polyhost.service.session import Session

GRAVEST_FIRST: Final = (1, 3, 2, 4, 0)
"""Exit codes, where several accounts have one each."""


def hosted(
    loaded: Loaded, folder: DataFolder, accounts: Mapping[str, DataFolder], begun: Begun, *, windows: int | None,
    summary_file: Path | None, show: bool, verbose: bool, kept: Sequence[Path], problem: Exception | None,
) -> tuple[dict[str, Any], int]:
    """Run the service in folders that are locked; returns the summary and the exit code.

    ``begun``: processes that run already. ``kept``: where ``--fresh`` moved what was there. ``problem``: why there is
    nothing to run; it is logged as the end of a run, and raised.
    """
    places = {name: place.logs for name, place in accounts.items()} or {
        loaded.configuration.host.account: folder.logs
    }
    with ExitStack() as stack:
        set_up(
            folder.logs, to_stderr=not show, verbose=verbose, settings=loaded.configuration.log, accounts=places
        )
        stack.callback(written)
        stack.enter_context(last_words())
        for aside in kept:
            logger.info("starting anew; what was there is kept in {}", aside)
        if problem is not None:
            raise problem
        session = Session(loaded, folder, accounts, windows=windows, begun=begun)
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
