"""polyhost with more patience: ``patient_host.py COMMAND …`` is ``polyhost COMMAND …`` on a machine never too slow.

How long the host waits on the wall clock (for a plugin's answer, for the proof of its last cancels, for its exchange to
be ready) is decided where it is built, and tested where the clock is a test's own. A whole run on a machine of unknown
speed must not be judged by it: what it does is looked at, not how fast.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, Final

PATIENCE_S: Final = 240.0
"""Wall seconds: longer than anything takes that goes on at all."""
PATIENT: Final = {
    "polyhost.extension.feeds": ("START_S",),
    "polyhost.service.account_end": ("STOP_WITHIN_S", "SETTLE_WITHIN_S", "KILL_WITHIN_S"),
    "polyhost.service.account_loops": (
        "KERNEL_SILENT_S", "OPERATOR_SILENT_S", "CONTROL_SILENT_S", "EXITS_LATE_S", "JOURNAL_SILENT_S",
        "GATEWAY_SILENT_S", "RECONCILING_S",
    ),
    "polyhost.service.control_words": ("DURABLE_WITHIN_S",),
    "polyhost.service.exchange_child": ("READY_WITHIN_S", "STOP_WITHIN_S"),
    "polyhost.service.log_writer": ("END_S",),
    "polyhost.service.supervision": ("STOOD_STILL_S", "STUCK_S"),
}
"""Module → its limits in wall seconds."""


def be_patient(put: Callable[[Any, str, Any], None] = setattr) -> None:
    """Raise the limits of a host in this process; ``put`` may be a MonkeyPatch's, that takes them back."""
    from importlib import import_module

    from polyhost.extension import process, runner

    for name, limits in PATIENT.items():
        for limit in limits:
            module = import_module(name)
            assert isinstance(getattr(module, limit), float), f"{name}.{limit}"
            put(module, limit, PATIENCE_S)
    ms = round(PATIENCE_S * 1_000)
    deadlines = process.Deadlines(answer_ms=ms, life_ms=ms, start_ms=ms, deliver_ms=ms)
    for each in (process, runner):
        put(each, "Deadlines", lambda: deadlines)


if __name__ == "__main__":
    # As the command line does, before these are imported.
    os.environ |= {"LOGURU_DIAGNOSE": "NO", "PYDANTIC_DISABLE_PLUGINS": "__all__"}
    be_patient()
    from polyhost.cli.main import main

    sys.argv[0] = "polyhost"
    main()
